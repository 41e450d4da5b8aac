"""What one random exit path is made of: the contract, the market, the strategy, the faults, people.

Everything is drawn from the number of the path, part by part, so that a path is the same on every
machine. Half of the paths lie in the middle of a day, half at its end, where intraday positions
must go: the broker squares them off, the closing auction takes no stops, and the market closes.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from kitestring.domain.events import OperatorWord
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import MINUTE, SECOND, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.orders import Product
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.market.sessions import session
from kitestring.sim.dice import Dice

DAY: Final = dt.date(2026, 11, 20)
SHARE: Final = Instrument(
    id=instrument_id("NSE", "ACME"),
    exchange="NSE",
    symbol="ACME",
    token=1,
    kind=InstrumentKind.EQUITY,
    segment=Segment.EQUITY,
    name="ACME",
    lot_size=1,
    tick_size=price("0.05"),
)
AUCTIONED: Final = msgspec.structs.replace(
    SHARE,
    id=instrument_id("NSE", "INFY"),
    symbol="INFY",
    name="INFY",
    token=2,
    segment=Segment.EQUITY_WITH_DERIVATIVES,
)
FUTURE: Final = Instrument(
    id=instrument_id("NFO", "NIFTY26NOVFUT"),
    exchange="NFO",
    symbol="NIFTY26NOVFUT",
    token=3,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    tick_size=price("0.10"),
    freeze_qty=1800,
    expiry=dt.date(2026, 11, 24),
)
_OPENS_PX: Final = {SHARE.id: 5_000_000, AUCTIONED.id: 15_000_000, FUTURE.id: 220_000_000}
_FAULTS: Final = (
    "throttled",
    "refused",
    "lost",
    "unanswered",
    "slow",
    "storm",
    "late",
    "withdrawn",
    "frozen_books",
)
REFUSALS: Final = (
    "Insufficient funds. Required margin is 1,20,000.00 but available margin is 12.00.",
    "Market orders without market protection are not allowed via API.",
    "Your order price is lower than the current lower circuit limit.",
    "Order price is outside the limit price protection range.",
    "Quantity is above the freeze quantity. Place it in smaller orders.",
    "RMS:Blocked for the contract.",
)

Span = tuple[Instant, Instant]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each fault strikes, per mille of the requests; ``lag_ms``: how late reports are told."""

    throttled: int = 0
    refused: int = 0
    lost: int = 0
    unanswered: int = 0
    slow: int = 0
    late: int = 0
    lag_ms: int = 0


class Hand(msgspec.Struct, frozen=True, kw_only=True):
    """What a person, or the exchange unasked, does past the house."""

    at: Instant
    what: str
    """``close``: sell part of ours; ``more``: buy beside it; ``withdraw`` or ``expel`` a stop."""
    share_pct: int = 100


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says."""

    at: Instant
    word: OperatorWord


class ExitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One path, before it is lived."""

    seed: int
    instrument: Instrument
    at_the_end: bool
    session: Session
    product: Product
    scripts: tuple[str, ...]
    lots: int
    open_px: int
    reach_bp: int
    depth_lots: int
    jumps: tuple[tuple[Instant, int], ...]
    """Gaps: at an instant, by so many basis points."""
    locks: tuple[Span, ...]
    """Nobody takes the other side of an exit."""
    silences: tuple[Span, ...]
    """No tick comes."""
    storms: tuple[Span, ...]
    """Every request is answered with 429."""
    frozen_books: tuple[Span, ...]
    """The broker's books cannot be believed."""
    rates: Rates
    hands: tuple[Hand, ...]
    words: tuple[Word, ...]
    expels: int
    """Per mille of stops that the exchange withdraws once they rest."""
    orders_before: int
    """Orders of the account once we have entered: how much of the day's budget is spent."""
    per_second: int
    band_bp: int
    freeze_qty: int
    """What the exchange really takes in one order; the house believes its own number."""
    bands_known: bool
    daily_loss_pct: float | None
    calm_at: Instant
    """From here on nothing goes wrong any more."""
    ends_at: Instant

    @property
    def opens_at(self) -> Instant:
        """The first tick."""
        return self.session.open_at


def plan_path(number: int) -> ExitPlan:
    """The path of that number."""
    dice = Dice(number, "exit path")
    instrument = dice.one_of((SHARE, AUCTIONED, FUTURE, AUCTIONED))
    at_the_end = dice.one_in(3)
    hours = session(DAY, instrument.segment)
    begins = (
        hours.entry_cutoff_at - 4 * MINUTE
        if at_the_end
        else hours.open_at + dice.between(60, 240) * MINUTE
    )
    hours = _opened_at(hours, begins)
    calm_at = begins + dice.between(3 * 60, 9 * 60) * SECOND
    if at_the_end:
        calm_at = hours.square_off_at + dice.between(-60, 420) * SECOND
    ends_at = calm_at + 6 * MINUTE
    if at_the_end:
        ends_at = max(ends_at, hours.phases[-1].end_at + SECOND)
    struck = set(dice.some_of(_FAULTS, dice.between(1, 4))) if dice.one_in(2) else set[str]()
    rates = _rates(dice, struck)
    spans = _Spans(dice, begins + 190 * SECOND, calm_at)
    freeze = dice.one_in(12)
    return ExitPlan(
        seed=number,
        instrument=instrument,
        at_the_end=at_the_end,
        session=hours,
        product=_product(dice, instrument),
        scripts=tuple(
            _script(dice, instrument, at_the_end=at_the_end)
            for _ in range(2 if dice.one_in(5) else 1)
        ),
        lots=_lots(dice, instrument),
        open_px=_OPENS_PX[instrument.id],
        reach_bp=dice.one_of((1, 3, 8, 15)),
        depth_lots=dice.one_of((1, 3, 20, 1_000_000, 1_000_000)),
        jumps=tuple(
            sorted(
                (
                    begins + MINUTE + dice.below(max(calm_at - begins - MINUTE, SECOND)),
                    dice.one_of((-900, -400, -150, -80, 80, 150, 400, 900)),
                )
                for _ in range(dice.below(4))
            )
        ),
        locks=spans.some(3, 2, 90),
        silences=spans.some(4, 2, 60),
        storms=spans.some(1, 3, 40) if "storm" in struck else (),
        frozen_books=spans.some(1, 20, 120) if "frozen_books" in struck else (),
        rates=rates,
        hands=_hands(dice, begins, calm_at, struck),
        words=_words(dice, begins, calm_at),
        expels=dice.one_of((100, 300)) if "withdrawn" in struck else 0,
        orders_before=dice.one_of((3_899, 3_899, 4_895, 4_900)) if dice.one_in(25) else 0,
        per_second=dice.one_of((8, 8, 8, 3)),
        band_bp=dice.one_of((2_000, 2_000, 500, 120)),
        freeze_qty=(instrument.lot_size if freeze else instrument.freeze_qty),
        bands_known=dice.one_in(2),
        daily_loss_pct=0.001 if dice.one_in(6) else None,
        calm_at=calm_at,
        ends_at=ends_at,
    )


class _Spans:
    def __init__(self, dice: Dice, begins: Instant, ends: Instant) -> None:
        self._dice, self._begins, self._ends = dice, begins, ends

    def some(self, one_in: int, shortest_s: int, longest_s: int) -> tuple[Span, ...]:
        """Up to two spans, in one of so many paths; over before the calm."""
        if not self._dice.one_in(one_in):
            return ()
        found: list[Span] = []
        for _ in range(1 + self._dice.below(2)):
            begins = self._begins + self._dice.below(max(self._ends - self._begins, 1))
            length = self._dice.between(shortest_s, longest_s) * SECOND
            found.append((begins, min(begins + length, self._ends)))
        return tuple(found)


def _opened_at(hours: Session, begins: Instant) -> Session:
    """The same day, opened late: what lies before is of no interest to an exit."""
    phases = tuple(
        msgspec.structs.replace(phase, start_at=max(phase.start_at, begins))
        for phase in hours.phases
        if phase.end_at > begins
    )
    assert phases[0].kind is PhaseKind.CONTINUOUS
    return msgspec.structs.replace(hours, open_at=begins, phases=phases)


def _rates(dice: Dice, struck: set[str]) -> Rates:
    rough = {
        name: dice.one_of((10, 30, 100, 300) if name != "lost" else (5, 20, 60))
        for name in ("throttled", "refused", "lost", "unanswered", "slow", "late")
        if name in struck
    }
    return Rates(**rough, lag_ms=dice.one_of((0, 0, 100, 500, 2_000)))


def _product(dice: Dice, instrument: Instrument) -> Product:
    carried = Product.NRML if instrument.kind is InstrumentKind.FUTURE else Product.CNC
    return carried if dice.one_in(8) else Product.MIS


def _lots(dice: Dice, instrument: Instrument) -> int:
    if instrument.kind is InstrumentKind.FUTURE:
        return dice.one_of((1, 2, 5, 60))  # 60 lots are more than one order may be.
    return dice.one_of((1, 10, 200, 900))


def _script(dice: Dice, instrument: Instrument, *, at_the_end: bool) -> str:
    side = dice.one_of(("BUY", "SELL"))
    other = "SELL" if side == "BUY" else "BUY"
    near = _OPENS_PX[instrument.id] / 10_000 / 1_000  # A tenth of a percent, in rupees.
    more = ""
    far = 20 if at_the_end else 8
    if not dice.one_in(5):
        more += f" stop={-near * dice.between(1, far) * (1 if side == 'BUY' else -1):+g}"
        if dice.one_in(3):
            more += f" trail={near * dice.between(1, far):g}"
    if dice.one_in(4 if at_the_end else 2):
        more += f" target={near * dice.between(1, far) * (1 if side == 'BUY' else -1):+g}"
    if dice.one_in(5):
        more += f" for={dice.between(1, 3)}"
    minute = dice.between(2, 3)  # The first bar is over before a strategy is ready.
    lines = [f"{minute} {side}{more}"]
    lasts = (
        ("EXIT", "REVERSE", "RAISE", "EXIT") if not at_the_end or dice.one_in(3) else ("NOTHING",)
    )
    last = dice.one_of(lasts)
    leaves = minute + dice.between(1, 3 if not at_the_end else 8)
    if last == "REVERSE":
        stop = near * dice.between(1, 8) * (1 if side == "BUY" else -1)
        lines.append(f"{leaves} {other} stop={stop:+g}")
        lines.append(f"{leaves + dice.between(1, 3)} EXIT")
    elif last != "NOTHING":
        lines.append(f"{leaves} {last}")
    return "; ".join(lines)


def _hands(dice: Dice, begins: Instant, calm_at: Instant, struck: set[str]) -> tuple[Hand, ...]:
    hands: list[Hand] = []
    if dice.one_in(5):
        what = dice.one_of(("close", "close", "more"))
        hands.append(
            Hand(
                at=begins + 2 * MINUTE + dice.below(max(calm_at - begins - 2 * MINUTE, SECOND)),
                what=what,
                share_pct=dice.one_of((30, 100, 150)),
            )
        )
    if "withdrawn" in struck:
        hands.extend(
            Hand(
                at=begins + 2 * MINUTE + dice.below(4 * MINUTE),
                what=dice.one_of(("withdraw", "expel")),
            )
            for _ in range(dice.between(1, 3))
        )
    return tuple(sorted(hands, key=lambda each: each.at))


def _words(dice: Dice, begins: Instant, calm_at: Instant) -> tuple[Word, ...]:
    if not dice.one_in(4):
        return ()
    at = begins + 2 * MINUTE + dice.below(max(calm_at - begins - 2 * MINUTE, SECOND))
    word = dice.one_of((OperatorWord.FLATTEN, OperatorWord.FLATTEN, OperatorWord.HALT))
    words = [Word(at=at, word=word)]
    if dice.one_in(2):
        words.append(Word(at=at + dice.between(1, 30) * SECOND, word=OperatorWord.FLATTEN))
    return tuple(words)
