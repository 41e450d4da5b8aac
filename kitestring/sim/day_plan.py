"""Everything a simulated day is made of, drawn from its seed before it begins.

Date, market, strategies, capital, account, limits of risk, delays, faults, pulled plugs and the person
who trades by hand beside the house. The calendar is ``day_calendar``'s: whole and short. Faults are
over at ``CALM_S``; from then on the day must be in order within a minute.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from kitestring.core.settings import RiskSettings, StrategySettings
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import DAY as A_DAY
from kitestring.domain.instants import IST_OFFSET, SECOND, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Money, Price, money, price
from kitestring.domain.sessions import Session
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.wire.faults import Fault
from kitestring.sim.day_calendar import (
    BEGINS_S,
    CALM_S,
    CLOSE_S,
    CUTOFF_S,
    DATE,
    DATES,
    FLAT_AFTER_S,
    QUIET_S,
    SQUARE_OFF_S,
    WELL_S,
    at,
    closes_s,
    opens,
    timetable,
)
from kitestring.sim.dice import Dice
from kitestring.sim.fault_swarm import LINE_KINDS, LineFault, fault_of, kinds_on
from kitestring.sim.memory_network import Latency
from kitestring.sim.power import Crash, Moment
from kitestring.sim.random_market import MarketPlan, Span, listed_on

__all__ = [
    "CALM_S", "CLOSE_S", "CUTOFF_S", "DATE", "SQUARE_OFF_S", "WELL_S", "DayPlan", "Halt",
    "HandTrade", "Meddling", "at", "plan_of", "timetable",
]  # fmt: skip
_SHARES: Final = MappingProxyType(
    {
        "NSE:INFY": "1500.00", "NSE:SBIN": "800.00", "NSE:TCS": "3200.00",
        "NSE:RELIANCE": "1400.00", "NSE:HDFCBANK": "980.00", "NSE:ICICIBANK": "1300.00",
    }
)  # fmt: skip
_FUTURES: Final = MappingProxyType({"NIFTY": "25500.00", "BANKNIFTY": "57600.00"})
_OPTION: Final = "180.00"
_THE_PERSONS: Final = ("NSE:ICICIBANK", "NSE:HDFCBANK")
"""What the person at the phone trades; the house never does."""


@lru_cache(maxsize=8)
def closes_on(date: dt.date) -> Mapping[InstrumentId, Price]:
    """Yesterday's closes of what may be traded on a day: shares, near futures, two options."""
    found = {InstrumentId(name): price(close) for name, close in _SHARES.items()}
    listed = listed_on(date).values()
    for name, close in _FUTURES.items():
        futures = [e for e in listed if e.kind is InstrumentKind.FUTURE and e.name == name]
        nearest = min(futures, key=lambda each: each.expiry or dt.date.max)
        found[nearest.id] = price(close)
    for each in listed:
        if each.strike is not None:
            found[each.id] = price(_OPTION)
    return MappingProxyType(found)


_DIGITS: Final[tuple[Literal[15, 19, "both"], ...]] = (15, 19, "both")
CAPITALS: Final = tuple(money(each) for each in ("10000000", "10000000", "2500000", "30000000"))


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
    date: dt.date = DATE
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
    def slow(self) -> bool:
        """Whether what was sent may arrive long afterwards."""
        late = ("late_arrival", "no_answer")
        return bool(self.lines) or any(fault.kind in late for fault in self.faults)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What the house watches and trades."""
        named = dict.fromkeys(row.instrument for row in self.strategies)
        return tuple(listed_on(self.date)[name] for name in named)

    def at(self, seconds: float) -> Instant:
        """An instant so many seconds after this day's opening."""
        return at(seconds, self.date)

    @property
    def sessions(self) -> dict[Segment, Session]:
        """The day's sessions."""
        return timetable(self.date)

    @property
    def closes_s(self) -> int:
        """When the last of it closes, in seconds after the opening."""
        return closes_s(self.date)

    @property
    def flat_by(self) -> dict[InstrumentId, Instant]:
        """When nothing of the house's may be open any more, by instrument."""
        sessions = self.sessions
        after = FLAT_AFTER_S * SECOND
        return {each.id: sessions[each.segment].square_off_at + after for each in self.instruments}


def plan_of(seed: int) -> DayPlan:
    """The day of a seed."""
    dice = Dice(seed, "day")
    date = Dice(seed, "date").one_of(DATES)
    closes = closes_on(date)
    mine = [name for name in closes if name not in _THE_PERSONS]
    ours = dice.some_of(mine, dice.between(1, 4))
    rough = not dice.one_in(6)
    swarm = Dice(seed, "swarm")
    opening = (opens(date) + IST_OFFSET) % A_DAY
    kinds = kinds_on(swarm, swarm.between(1, 7)) if rough else []
    halts = dice.one_in(8)
    people = tuple(InstrumentId(name) for name in _THE_PERSONS)
    capital = Dice(seed, "capital").one_of(CAPITALS)
    return DayPlan(
        seed=seed,
        date=date,
        market=_market(seed, date, (*ours, *people)),
        strategies=_strategies(Dice(seed, "strategies"), date, tuple(ours)),
        risk=_risk(Dice(seed, "risk")),
        capital=capital,
        account=OpeningChoice(cash=Money(int(capital) * 2)),
        foreign=_foreign(Dice(seed, "foreign"), date, tuple(ours)),
        hand=_hand(Dice(seed, "hand")),
        meddling=_meddling(Dice(seed, "meddling")),
        latency=dice.one_of((Latency(), Latency(0.01, 0.03), Latency(0.06, 0.1))),
        order_id_digits=dice.one_of(_DIGITS),
        faults=tuple(
            fault_of(swarm, kind, opening, CALM_S, tuple(ours))
            for kind in kinds
            for _ in range(swarm.between(1, 2))
        ),
        lines=_lines(Dice(seed, "lines")) if rough else (),
        crashes=_crashes(Dice(seed, "crashes")) if rough else (),
        halt=Halt(at_s=dice.between(60, CALM_S), by_file=dice.one_in(2)) if halts else None,
        types_again=not dice.one_in(4),
    )


def _market(seed: int, date: dt.date, names: tuple[InstrumentId, ...]) -> MarketPlan:
    dice = Dice(seed, "market")
    silences, locks = [], []
    if dice.one_in(3):
        start = at(dice.between(30, CALM_S - 90), date)
        silences.append(Span(start=start, end=start + dice.between(10, 50) * SECOND))
    if dice.one_in(4):
        start = at(dice.between(30, CALM_S - 200), date)
        end = start + dice.between(30, 180) * SECOND
        silences.append(Span(start=start, end=end, name=dice.one_of(names)))
    if dice.one_in(4):
        start = at(dice.between(30, CALM_S - 130), date)
        end = start + dice.between(10, 120) * SECOND
        side = dice.one_of((1, -1))
        locks.append(Span(start=start, end=end, name=dice.one_of(names), side=side))
    closes = closes_on(date)
    return MarketPlan(
        seed=seed,
        names=names,
        closes={name: closes[name] for name in names},
        opens_at=opens(date),
        ends_at=at(closes_s(date), date),
        step_s=dice.one_of((1, 2, 2, 3)),
        burst=dice.one_of((1, 2, 3)),
        sd_bp=dice.one_of((1, 3, 8)),
        jump_one_in=dice.one_of((0, 150, 60)),
        thin=dice.one_in(3),
        gap_bp=dice.one_of((0, 30, 300)),
        quiet=(Span(start=at(QUIET_S[0], date), end=at(QUIET_S[1], date)),),
        quiet_step_s=dice.one_of((3, 6, 15)),
        silences=tuple(silences),
        locks=tuple(locks),
    )


def _strategies(
    dice: Dice, date: dt.date, names: tuple[InstrumentId, ...]
) -> tuple[StrategySettings, ...]:
    rows = []
    for place in range(dice.between(1, 3)):
        name = dice.one_of(names)
        instrument = listed_on(date)[name]
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
                params={"script": _script(dice, int(closes_on(date)[name]) / 10_000)},
                lots=lots,
            )
        )
    if dice.one_in(2):
        name = dice.one_of(names)
        instrument = listed_on(date)[name]
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


def _foreign(
    dice: Dice, date: dt.date, ours: tuple[InstrumentId, ...]
) -> tuple[tuple[InstrumentId, str, int], ...]:
    """What others hold in the account: also in what we trade, under another product."""
    listed = listed_on(date)
    rows = []
    for name in dice.some_of(ours, dice.below(3)):
        instrument = listed[name]
        product = "NRML" if instrument.lot_size > 1 else "CNC"
        rows.append((instrument.id, product, instrument.lot_size * dice.between(1, 4)))
    if dice.one_in(2):
        rows.append((InstrumentId(_THE_PERSONS[0]), "MIS", dice.one_of((-25, 10, 300))))
    return tuple(rows)


def _hand(dice: Dice) -> tuple[HandTrade, ...]:
    return tuple(
        HandTrade(
            at_s=dice.between(BEGINS_S + 10, CLOSE_S),
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
                from_s=dice.between(BEGINS_S + 5, CALM_S - lasts_s - 1),
                lasts_s=lasts_s,
            )
        )
    return tuple(made)


def _crashes(dice: Dice) -> tuple[Crash, ...]:
    return tuple(
        Crash(
            moment=dice.one_of(tuple(Moment)),
            from_s=dice.between(-100, CALM_S - 60),
            count=dice.one_of((1, 1, 2, 3, 5)),
            down_s=dice.one_of((0.5, 3.0, 12.0)),
        )
        for _ in range(dice.one_of((0, 0, 1, 1, 2, 3)))
    )
