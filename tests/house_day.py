"""A short market day in a few words, for tests of the whole house: real core, loop, journal and tape.

The strategy is a script: what to say at which minute. Everything else is the house as it runs.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import lru_cache

import msgspec

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.events import RunOpened
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Price, money, price
from kitestring.domain.orders import Side
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.signals import Action, Decision, hold
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.engine.clocks import AsFastAsPossible
from kitestring.engine.trading_day import TradingDay
from kitestring.exchange.fill_models import INSTANT
from kitestring.exchange.ledger import MemoryLedger
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.tape import MemoryTape

DAY = dt.date(2026, 11, 20)
SYMBOLS = ("NIFTY", "BANKNIFTY", "ACME")


def clock(text: str) -> int:
    return instant(DAY, dt.time.fromisoformat(text))


def _future(symbol: str, lot: int, tick: str, freeze: int) -> Instrument:
    return Instrument(
        id=instrument_id("NFO", f"{symbol}26NOVFUT"),
        exchange="NFO",
        symbol=f"{symbol}26NOVFUT",
        token=1,
        kind=InstrumentKind.FUTURE,
        segment=Segment.FUTURES,
        name=symbol,
        lot_size=lot,
        tick_size=price(tick),
        freeze_qty=freeze,
        expiry=dt.date(2026, 11, 24),
    )


NIFTY = _future("NIFTY", 65, "0.10", 1800)
BANKNIFTY = _future("BANKNIFTY", 30, "0.20", 600)
ACME = Instrument(
    id=instrument_id("NSE", "ACME"),
    exchange="NSE",
    symbol="ACME",
    token=3,
    kind=InstrumentKind.EQUITY,
    segment=Segment.EQUITY,
    name="ACME",
    lot_size=1,
    tick_size=price("0.05"),
)
INSTRUMENTS = {each.name: each for each in (NIFTY, BANKNIFTY, ACME)}


def sessions(close: str = "09:50", square_off: str = "09:45", cutoff: str = "09:40"):
    open_at, close_at = clock("09:15"), clock(close)
    return {
        segment: Session(
            date=DAY,
            segment=segment,
            open_at=open_at,
            close_at=close_at,
            entry_cutoff_at=clock(cutoff),
            square_off_at=clock(square_off),
            phases=(Phase(PhaseKind.CONTINUOUS, open_at, close_at),),
        )
        for segment in (Segment.FUTURES, Segment.EQUITY)
    }


class TwentyAnOrder:
    """₹20 for an order that has traded, and a hundredth of a percent of what is sold."""

    name = "twenty"

    def order_charges(self, instrument, product, side, traded_value):
        if not traded_value:
            return NO_CHARGES
        tax = int(traded_value) * 100 if side is Side.SELL else 0
        return Charges(brokerage=ChargeUnits(20 * 10**10), stt=ChargeUnits(tax))


class NoMargin:
    """Next to nothing is tied up."""

    def unit_margin(self, instrument, product, side, px):
        return money("0.0001")


# ── a strategy that reads its decisions from a script ───────────────────────────────────────────


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    script: str = ""


class Memory(msgspec.Struct, frozen=True):
    bars: int = 0


_WAIT = hold("the script says nothing")


@lru_cache(maxsize=256)
def _lines(script: str) -> dict[int, tuple[str, dict[str, str]]]:
    """``1 BUY stop=-50 target=22200 trail=30 for=5; 3 EXIT``: by minutes since the open."""
    lines = {}
    for line in filter(None, (part.strip() for part in script.split(";"))):
        minute, word, *more = line.split()
        if ":" in minute:
            minute = (clock(minute) - clock("09:15")) // MINUTE
        lines[int(minute)] = (word, dict(each.split("=") for each in more))
    return lines


def _level(text: str | None, close: float) -> float | None:
    if text is None:
        return None
    return close + float(text) if text[0] in "+-" else float(text)


def _decide(params, state, i):
    state = Memory(state.bars + 1)
    line = _lines(params.script).get(i.minute)
    if line is None:
        return state, _WAIT
    word, more = line
    if word == "RAISE":
        raise ZeroDivisionError("the script divides by zero")
    return state, Decision(
        Action[word],
        "script",
        stop=_level(more.get("stop"), i.close),
        target=_level(more.get("target"), i.close),
        trail=float(more["trail"]) if "trail" in more else None,
        exit_after_minutes=int(more["for"]) if "for" in more else None,
    )


SCRIPTED = StrategyDefinition(
    name="scripted",
    path=__file__,
    source_hash="0" * 64,
    idea="Says what its script says.",
    params_type=Params,
    state_type=Memory,
    indicators=lambda params: {},
    history=lambda params: 0,
    decide=_decide,
)


def scripted(name, on, script, *, lots=1, **more) -> StrategySettings:
    return StrategySettings(
        name=name,
        strategy="scripted",
        source=on.id,
        instrument=on.id,
        minutes=1,
        params={"script": script},
        lots=lots,
        **more,
    )


RELAXED = RiskSettings(
    max_daily_loss_pct=None,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_gross_exposure_x=100.0,
    max_net_exposure_x=100.0,
    max_symbol_exposure_x=100.0,
    per_trade_risk_pct=0.5,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
    duplicate_window_s=0.0,
)


class FrameFeed:
    """Frames written down beforehand."""

    def __init__(self, frames, instruments, timetable):
        self._frames = list(frames)
        self.manifest = Manifest(
            name="test frames",
            date=DAY,
            instruments=tuple(instruments),
            sessions=timetable,
            digest="test",
        )

    def frames(self, after=0):
        return iter(self._frames[after:])

    def history(self, instrument, minutes, bars):
        return ()


def tick(at, of, px, *, bid=None, ask=None, depth=1_000_000, volume=0) -> Tick:
    """A tick of ``of``; ``px`` in rupees as text, quotes as text, or none for no depth."""
    return Tick(
        of.id,
        at,
        price(px),
        volume,
        price(bid) if bid else Price(0),
        depth if bid else 0,
        price(ask) if ask else Price(0),
        depth if ask else 0,
    )


def frame(*ticks) -> TickFrame:
    return TickFrame(max(each.event_at for each in ticks), ticks)


class Silent:
    """A follower that hears nothing."""

    def committed(self, number, commit):
        pass

    def passing(self, at, frames):
        pass


class HouseDay:
    """One day of the house: build it, ``run`` it, look at its ``core``, ``journal`` and ``tape``."""

    def __init__(
        self,
        strategies,
        frames,
        *,
        instruments=(NIFTY, BANKNIFTY, ACME),
        timetable=None,
        risk=RELAXED,
        capital="1000000",
        broker=None,
        fill_model=INSTANT,
        seed=7,
        follower=None,
        journal=None,
    ):
        self.timetable = timetable or sessions()
        self.instruments = tuple(instruments)
        self.settings = DaySettings(
            date=DAY,
            capital=money(capital),
            run_key="test",
            strategies=tuple(strategies),
            risk=risk,
        )
        self.feed = FrameFeed(frames, self.instruments, self.timetable)
        self.charge_book = TwentyAnOrder()
        self.margins = NoMargin()
        self.ledger = MemoryLedger()
        self.broker = broker or PaperBroker(
            instruments={each.id: each for each in self.instruments},
            sessions=self.timetable,
            charges=self.charge_book,
            cash=money("1000000000"),
            fill_model=fill_model,
            seed=seed,
            ledger=self.ledger,
        )
        self.journal = journal or MemoryJournal(run_key="test")
        self.tape = MemoryTape(keep_bytes=1 << 30)
        self.core = self.fresh_core()
        self.day = TradingDay(
            self.core,
            feed=self.feed,
            broker=self.broker,
            journal=self.journal,
            tape=self.tape,
            pace=AsFastAsPossible(),
            follower=follower or Silent(),
        )

    def fresh_core(self) -> TradingCore:
        return TradingCore(
            self.settings,
            instruments=self.instruments,
            sessions=self.timetable,
            definitions={"scripted": SCRIPTED},
            charge_book=self.charge_book,
            previous_close={},
            margins=self.margins,
        )

    def open(self):
        self.core.facts.append(
            RunOpened(
                mode="paper",
                date=str(DAY),
                feed="test",
                seed=0,
                run_key="test",
                config_hash="",
                strategy_hashes={},
                fill_model="",
                charges="",
                capital=int(self.settings.capital),
                version="",
            )
        )
        self.day.note("opened", "The day is open.")

    def run(self):
        self.open()
        asyncio.run(self.day.run())
        return self

    @property
    def facts(self):
        return [fact for _, commit in self.journal.commits() for fact in commit.facts]

    def said(self, *kinds):
        return [fact for fact in self.facts if isinstance(fact, kinds)]

    @property
    def working(self):
        return list(self.core.orders.all_working())

    @property
    def positions(self):
        return {
            book.strategy: book.net_qty
            for book in self.core.portfolio.books.values()
            if book.net_qty
        }


def cells_of(core: TradingCore) -> dict[str, bytes]:
    """Every cell of a core as it would be written now."""
    encode = msgspec.msgpack.encode
    core.state.issued = core._ids.issued
    cells = {f"order/{name}": encode(order) for name, order in core.orders.table.items()}
    cells |= {f"book/{name}": encode(book) for name, book in core.portfolio.books.items()}
    for run in core.strategies._runs.values():
        cells[run.cell_key] = encode(run.cell)
    cells["risk/state"] = encode(core.risk.state)
    cells["core/state"] = encode(core.state)
    cells["core/view"] = encode(core.view.state)
    return cells
