"""Everything a simulated day is made of, drawn from its seed before it begins.

Market, strategies, account, limits of risk, delays, faults, pulled plugs and the person who trades
by hand beside the house. The day's calendar is whole and short: entries stop, intraday positions are
squared off and the market closes as on any day, only after minutes instead of hours. Faults are over
at ``CALM_S``; from then on the day must be in order within a minute.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from kitestring.core.settings import RiskSettings, StrategySettings
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import DAY as A_DAY
from kitestring.domain.instants import IST_OFFSET, SECOND, Instant, instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Money, Price, money, price
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.wire.faults import Fault
from kitestring.market.sessions import sessions_for
from kitestring.sim.dice import Dice
from kitestring.sim.fault_swarm import LINE_KINDS, LineFault, fault_of, kinds_on
from kitestring.sim.memory_network import Latency
from kitestring.sim.power import Crash, Moment
from kitestring.sim.random_market import MarketPlan, listed_on

DATE: Final = dt.date(2026, 11, 20)
OPENS: Final = instant(DATE, dt.time(9, 15))
CALM_S: Final = 480
"""Seconds after the opening: every fault is over, plugs stay in."""
WELL_S: Final = CALM_S + 50
"""By now, within a minute, the house must be in order again, without help; no bar closes here."""
CUTOFF_S: Final = 720
SQUARE_OFF_S: Final = 750
FLAT_S: Final = SQUARE_OFF_S + 60
CLOSE_S: Final = 840
_CLOSES: Final = MappingProxyType(
    {
        "NSE:INFY": "1500.00", "NSE:SBIN": "800.00", "NSE:TCS": "3200.00",
        "NSE:RELIANCE": "1400.00", "NSE:HDFCBANK": "980.00", "NSE:ICICIBANK": "1300.00",
        "NFO:NIFTY26NOVFUT": "25500.00", "NFO:BANKNIFTY26NOVFUT": "57600.00",
    }
)  # fmt: skip
_OURS: Final = tuple(name for name in _CLOSES if name not in ("NSE:ICICIBANK", "NSE:HDFCBANK"))
_THE_PERSONS: Final = ("NSE:ICICIBANK", "NSE:HDFCBANK")
"""What the person at the phone trades; the house never does."""
_DIGITS: Final[tuple[Literal[15, 19, "both"], ...]] = (15, 19, "both")
CAPITAL: Final = money("10000000")


class HandTrade(msgspec.Struct, frozen=True, kw_only=True):
    """An order from the phone."""

    at_s: int
    instrument: InstrumentId
    side: str
    qty: int
    at_market: bool


class Meddling(msgspec.Struct, frozen=True, kw_only=True):
    """The person's hand on what is ours: it closes it, or some of it, or withdraws its stop."""

    at_s: int
    what: Literal["closes", "closes some", "cancels the stop"]


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody halts the house: by a word to it, or by the file that any program may write."""

    at_s: int
    by_file: bool


class DayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A day, before it begins. The same seed draws the same plan."""

    seed: int
    market: MarketPlan
    strategies: tuple[StrategySettings, ...]
    risk: RiskSettings
    capital: Money
    account: OpeningChoice
    foreign: tuple[tuple[InstrumentId, str, int], ...]
    """Positions of others' making: instrument, product, quantity."""
    hand: tuple[HandTrade, ...]
    meddling: tuple[Meddling, ...] = ()
    latency: Latency
    order_id_digits: Literal[15, 19, "both"]
    faults: tuple[Fault, ...] = ()
    lines: tuple[LineFault, ...] = ()
    crashes: tuple[Crash, ...] = ()
    halt: Halt | None = None
    types_again: bool = True
    """Whether the person types the phrase again after a crash."""

    @property
    def undisturbed(self) -> bool:
        """Nothing goes wrong on this day."""
        return not (self.faults or self.lines or self.crashes)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What the house watches and trades."""
        named = dict.fromkeys(row.instrument for row in self.strategies)
        return tuple(listed_on(DATE)[name] for name in named)


def at(seconds: float) -> Instant:
    """An instant so many seconds after the opening."""
    return OPENS + round(seconds * SECOND)


def timetable() -> dict[Segment, Session]:
    """The short day's sessions, of the house and of the exchange alike."""
    phases = (
        Phase(PhaseKind.PRE_OPEN, at(-900), at(-420)),
        Phase(PhaseKind.BUFFER, at(-420), OPENS),
        Phase(PhaseKind.CONTINUOUS, OPENS, at(CLOSE_S)),
        Phase(PhaseKind.POST_CLOSE, at(CLOSE_S + 600), at(CLOSE_S + 1800)),
    )
    return {
        segment: Session(
            date=DATE,
            segment=segment,
            open_at=OPENS,
            close_at=at(CLOSE_S),
            entry_cutoff_at=at(CUTOFF_S),
            square_off_at=at(SQUARE_OFF_S),
            phases=phases,
        )
        for segment in sessions_for(DATE)
    }


def plan_of(seed: int) -> DayPlan:
    """The day of a seed."""
    dice = Dice(seed, "day")
    ours = dice.some_of(_OURS, dice.between(1, 4))
    rough = not dice.one_in(6)
    swarm = Dice(seed, "swarm")
    names = tuple(ours)
    opens = (OPENS + IST_OFFSET) % A_DAY
    kinds = kinds_on(swarm, swarm.between(1, 7)) if rough else []
    halts = dice.one_in(8)
    return DayPlan(
        seed=seed,
        market=_market(seed, (*ours, *_THE_PERSONS)),
        strategies=_strategies(Dice(seed, "strategies"), names),
        risk=_risk(Dice(seed, "risk")),
        capital=CAPITAL,
        account=OpeningChoice(cash=money(20_000_000)),
        foreign=_foreign(Dice(seed, "foreign"), names),
        hand=_hand(Dice(seed, "hand")),
        meddling=_meddling(Dice(seed, "meddling")),
        latency=dice.one_of((Latency(), Latency(0.01, 0.03), Latency(0.06, 0.1))),
        order_id_digits=dice.one_of(_DIGITS),
        faults=tuple(
            fault_of(swarm, kind, opens, CALM_S, names)
            for kind in kinds
            for _ in range(swarm.between(1, 2))
        ),
        lines=_lines(Dice(seed, "lines")) if rough else (),
        crashes=_crashes(Dice(seed, "crashes")) if rough else (),
        halt=Halt(at_s=dice.between(60, CALM_S), by_file=dice.one_in(2)) if halts else None,
        types_again=not dice.one_in(4),
    )


def _market(seed: int, names: tuple[str, ...]) -> MarketPlan:
    dice = Dice(seed, "market")
    silences: list[tuple[Instant, Instant]] = []
    if dice.one_in(3):
        start = at(dice.between(30, CALM_S - 90))
        silences.append((start, start + dice.between(10, 50) * SECOND))
    closes: Mapping[str, Price] = {name: price(_CLOSES[name]) for name in names}
    return MarketPlan(
        seed=seed,
        names=tuple(InstrumentId(name) for name in names),
        closes=closes,
        opens_at=OPENS,
        ends_at=at(CLOSE_S),
        step_s=dice.one_of((1, 2, 3)),
        sd_bp=dice.one_of((1, 3, 8)),
        jump_one_in=dice.one_of((0, 150, 60)),
        thin=dice.one_in(3),
        silences=tuple(silences),
    )


def _strategies(dice: Dice, names: tuple[str, ...]) -> tuple[StrategySettings, ...]:
    rows = []
    for place in range(dice.between(1, 3)):
        name = dice.one_of(names)
        instrument = listed_on(DATE)[InstrumentId(name)]
        lots = dice.between(1, 3) * (1 if instrument.lot_size > 1 else 40)
        if instrument.freeze_qty and dice.one_in(6):
            lots = instrument.freeze_qty // instrument.lot_size + dice.between(1, 4)  # in slices
        rows.append(
            StrategySettings(
                name=StrategyId(f"s{place}"),
                strategy="scripted",
                source=instrument.id,
                instrument=instrument.id,
                minutes=1,
                params={"script": _script(dice, float(_CLOSES[name]))},
                lots=lots,
            )
        )
    if dice.one_in(2):
        name = dice.one_of(names)
        instrument = listed_on(DATE)[InstrumentId(name)]
        rows.append(
            StrategySettings(
                name=StrategyId("cross"),
                strategy="ema_cross",
                source=instrument.id,
                instrument=instrument.id,
                minutes=1,
                params={"fast": 1, "slow": 2},
                lots=1 if instrument.lot_size > 1 else dice.between(1, 60),
            )
        )
    return tuple(rows)


def _script(dice: Dice, close: float) -> str:
    """Entries with and without stops, targets and trails, reversals, exits, now and then a bug."""
    near = close / 1000
    lines = []
    for minute in range(1, CUTOFF_S // 60 + 1):
        if dice.one_in(2):
            continue
        word = dice.one_of(("BUY", "SELL", "BUY", "SELL", "BUY", "SELL", "EXIT"))
        if dice.one_in(60):
            word = "RAISE"
        line = f"{minute} {word}"
        if word in ("BUY", "SELL"):
            away, along = ("-", "+") if word == "BUY" else ("+", "-")
            if dice.below(6):
                line += f" stop={away}{near * dice.between(1, 6):.2f}"
            if dice.one_in(2):
                line += f" target={along}{near * dice.between(1, 6):.2f}"
            if dice.one_in(4):
                line += f" trail={near * dice.between(1, 5):.2f}"
            if dice.one_in(4):
                line += f" for={dice.between(1, 3)}"
        lines.append(line)
    return "; ".join(lines)


_RELAXED: Final = RiskSettings(
    max_daily_loss_pct=0.5,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_gross_exposure_x=20.0,
    max_net_exposure_x=20.0,
    max_symbol_exposure_x=20.0,
    per_trade_risk_pct=0.5,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
    duplicate_window_s=0.0,
)


def _risk(dice: Dice) -> RiskSettings:
    change = msgspec.structs.replace
    return dice.one_of(
        (
            _RELAXED,
            _RELAXED,
            change(_RELAXED, max_gross_exposure_x=1.0, max_symbol_exposure_x=0.6),
            change(_RELAXED, max_daily_loss_pct=0.0008),
            change(_RELAXED, max_drawdown_pct=0.0008, max_open_positions=2),
            change(_RELAXED, max_orders_per_minute=10, loss_streak_max=2, cooldown_minutes=2),
        )
    )


def _foreign(dice: Dice, ours: tuple[str, ...]) -> tuple[tuple[InstrumentId, str, int], ...]:
    """What others hold in the account: also in what we trade, under another product."""
    listed = listed_on(DATE)
    rows = []
    for name in dice.some_of(ours, dice.below(3)):
        instrument = listed[InstrumentId(name)]
        product = "NRML" if instrument.lot_size > 1 else "CNC"
        rows.append((instrument.id, product, instrument.lot_size * dice.between(1, 4)))
    if dice.one_in(2):
        rows.append((InstrumentId(_THE_PERSONS[0]), "MIS", dice.one_of((-25, 10, 300))))
    return tuple(rows)


def _hand(dice: Dice) -> tuple[HandTrade, ...]:
    return tuple(
        HandTrade(
            at_s=dice.between(10, SQUARE_OFF_S),
            instrument=InstrumentId(dice.one_of(_THE_PERSONS)),
            side=dice.one_of(("BUY", "SELL")),
            qty=dice.between(1, 200),
            at_market=not dice.one_in(3),
        )
        for _ in range(dice.below(5))
    )


def _meddling(dice: Dice) -> tuple[Meddling, ...]:
    if dice.below(4):
        return ()
    return tuple(
        Meddling(
            at_s=dice.between(60, CALM_S),
            what=dice.one_of(("closes", "closes some", "cancels the stop")),
        )
        for _ in range(dice.between(1, 3))
    )


def _lines(dice: Dice) -> tuple[LineFault, ...]:
    made = []
    for _ in range(dice.below(3)):
        lasts_s = dice.between(2, 60)
        made.append(
            LineFault(
                kind=dice.one_of(LINE_KINDS),
                from_s=dice.between(-15, CALM_S - lasts_s - 1),
                lasts_s=lasts_s,
            )
        )
    return tuple(made)


def _crashes(dice: Dice) -> tuple[Crash, ...]:
    return tuple(
        Crash(
            moment=dice.one_of(tuple(Moment)),
            from_s=dice.between(5, CALM_S - 60),
            count=dice.one_of((1, 1, 2, 3, 5)),
            down_s=dice.one_of((0.5, 3.0, 12.0)),
        )
        for _ in range(dice.one_of((0, 0, 1, 1, 2, 3)))
    )
