"""Everything a simulated week is made of, drawn from its seed before it begins.

Three to six trading days of the real calendar, one after the other: weekends and holidays lie between
them, a special evening session among them, monthly expiries where they fall. Each day is whole and
short. What belongs to a week and to no single day is here: what is carried and how, gaps overnight,
lots and tokens that change, settings that change, who is there in the morning and in the evening.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from kitestring.core.settings import RiskSettings
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Money, money, price
from kitestring.domain.orders import Product
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.engine.guard_decision import GuardPolicy
from kitestring.engine.stopping import Stopping
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market.calendar import is_trading_day, next_trading_day
from kitestring.market.sessions import sessions_for
from kitestring.sim.dice import Dice
from kitestring.sim.fault_swarm import LINE_KINDS, LineFault
from kitestring.sim.memory_network import Latency
from kitestring.sim.power import Crash, Moment

FIRST_DAY: Final = dt.date(2026, 8, 3)
"""From here on the dated rows hold every rule of a live future (freeze quantities since 3 Aug 2026)."""
LAST_DAY: Final = dt.date(2026, 12, 29)
"""The last expiry of the calendar: later contracts have no row yet."""

# ── the hours of a day, in seconds after its opening ──
BEGINS_S: Final = -180
LOGIN_S: Final = -170
HOUSE_S: Final = -150
MORNING_S: Final = -6
"""The house stands, and nothing has traded yet."""
CALM_S: Final = 210
WELL_S: Final = CALM_S + 50
CUTOFF_S: Final = 300
SQUARE_OFF_S: Final = 315
FLAT_S: Final = SQUARE_OFF_S + 40
BROKERS_S: Final = 370
"""The broker squares off what is intraday and still open."""
CLOSE_S: Final = 420
HEALED_S: Final = CLOSE_S + 60
"""The evening's own faults are over."""
EVENING_S: Final = CLOSE_S + 130
ENDS_S: Final = EVENING_S + 5

BASES: Final[Mapping[str, int]] = MappingProxyType(
    {"NIFTY": 25_500, "BANKNIFTY": 57_600, "INFY": 1_500, "SBIN": 800, "RELIANCE": 1_400}
)
"""Rupees on the evening before the week."""
FUTURES: Final = ("NIFTY", "BANKNIFTY")
_SHARES: Final = ("INFY", "SBIN", "RELIANCE")
CAPITAL: Final = money("10000000")


class WeekRow(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy of the week, by the name a trader gives its market."""

    name: StrategyId
    market: str
    product: Product
    lots: int


class HandOnOurs(msgspec.Struct, frozen=True, kw_only=True):
    """The person closes some of what is ours at the phone, wherever something is open then."""

    at_s: int
    some: bool


class WeekHalt(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's HALT, and when it is lifted: so many days later, at that second."""

    at_s: int
    days: int
    lifted_s: int
    flatten: bool = False


class WeekDay(msgspec.Struct, frozen=True, kw_only=True):
    """What is particular about one day."""

    date: dt.date
    gaps_bp: Mapping[str, int]
    """How far each market opens from the close before."""
    scripts: tuple[str, ...]
    """One for each strategy."""
    lots: Mapping[str, int] = {}
    """Lots that are other ones from today on."""
    tokens: tuple[str, ...] = ()
    """Markets whose tokens are other ones from today on."""
    without: tuple[StrategyId, ...] = ()
    """Strategies that the settings leave out from today on."""
    house_s: float = HOUSE_S
    """When the person starts the house; after the opening on a late morning."""
    types: bool = True
    types_again: bool = True
    armed_ahead: bool = False
    routes: tuple[tuple[str, str, int, int, float], ...] = ()
    """Faults of requests: kind, route, from, until, probability."""
    lines: tuple[LineFault, ...] = ()
    crashes: tuple[Crash, ...] = ()
    dies_s: int | None = None
    """The machine dies for good: nobody starts the house again today."""
    stops: tuple[int, int | None] | None = None
    """The person stops the house, and starts it again later, or not today."""
    change: Literal["", "tighter", "looser"] = ""
    """Other settings at the first start after one that was stopped or died."""
    hand: tuple[HandOnOurs, ...] = ()
    halt: WeekHalt | None = None
    resolves_s: int | None = None
    """A person releases what is frozen."""


class WeekPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A week, before it begins. The same seed draws the same plan."""

    seed: int
    days: tuple[WeekDay, ...]
    rows: tuple[WeekRow, ...]
    risk: RiskSettings
    capital: Money
    stopping: Stopping
    latency: Latency
    guard: GuardPolicy | None
    foreign: tuple[tuple[str, int], ...]
    """Others hold so many lots of a future (or ten shares) in the same account."""
    step_s: int
    sd_bp: int
    jump_one_in: int

    @property
    def markets(self) -> tuple[str, ...]:
        """What is watched, by the names traders use."""
        return tuple(dict.fromkeys(row.market for row in self.rows))

    @property
    def undisturbed(self) -> bool:
        """Nothing goes wrong in this week, and nobody interferes."""
        return not any(
            day.routes or day.lines or day.crashes or day.dies_s or day.stops or day.hand
            for day in self.days
        )


# ── hours ────────────────────────────────────────────────────────────────────────────────────────


def opens_at(day: dt.date) -> Instant:
    """When the day's share market opens; a special session has its own hour."""
    return sessions_for(day)[Segment.FUTURES].open_at


def moment(day: dt.date, seconds: float) -> Instant:
    """An instant so many seconds after the day's opening."""
    return opens_at(day) + round(seconds * SECOND)


def hours(day: dt.date) -> dict[Segment, Session]:
    """The short day's sessions, of the house and of the exchange alike."""
    opening = opens_at(day)
    phases = (Phase(PhaseKind.CONTINUOUS, opening, moment(day, CLOSE_S)),)
    return {
        segment: Session(
            date=day,
            segment=segment,
            open_at=opening,
            close_at=moment(day, CLOSE_S),
            entry_cutoff_at=moment(day, CUTOFF_S),
            square_off_at=moment(day, SQUARE_OFF_S),
            phases=phases,
        )
        for segment in sessions_for(day)
    }


def listed(plan: WeekPlan, day: WeekDay) -> dict[str, Instrument]:
    """The day's list: as the calendar has it, with the lots and tokens that have changed by then."""
    until = [each for each in plan.days if each.date <= day.date]
    found: dict[str, Instrument] = {}
    for each in instruments_on(day.date):
        lot, token = each.lot_size, each.token
        for past in until:
            if each.expiry is not None:
                lot = past.lots.get(each.name, lot)
            token += 256 * 4_000 * past.tokens.count(each.name)
        found[each.id] = msgspec.structs.replace(each, lot_size=lot, token=token)
    found.update(_MANY)
    return found


def _others() -> dict[str, Instrument]:
    """Contracts that nobody here trades: a list of four futures would lose half of them at an expiry."""
    made = {}
    for number in range(12):
        symbol = f"OTHER{number}26DECFUT"
        made[f"NFO:{symbol}"] = Instrument(
            id=InstrumentId(f"NFO:{symbol}"),
            exchange="NFO",
            symbol=symbol,
            token=(60_000 + number) << 8 | 2,
            kind=InstrumentKind.FUTURE,
            segment=Segment.FUTURES,
            name=f"OTHER{number}",
            lot_size=100,
            tick_size=price("0.05"),
            expiry=LAST_DAY,
        )
    return made


_MANY: Final[Mapping[str, Instrument]] = MappingProxyType(_others())


@lru_cache(maxsize=1)
def trading_days() -> tuple[dt.date, ...]:
    """Every day a week may hold."""
    days = [FIRST_DAY if is_trading_day(FIRST_DAY) else next_trading_day(FIRST_DAY)]
    while days[-1] < LAST_DAY:
        days.append(next_trading_day(days[-1]))
    return tuple(day for day in days if day <= LAST_DAY)


# ── the draw ─────────────────────────────────────────────────────────────────────────────────────


def week_of(seed: int) -> WeekPlan:
    """The week of a seed."""
    dice = Dice(seed, "week")
    dates = _dates(dice)
    rows = _rows(Dice(seed, "rows"))
    rough = not dice.one_in(5)
    stopping = dice.one_of(tuple(Stopping))
    guard = dice.one_of((None, None, GuardPolicy.KEEP_PROTECTED, GuardPolicy.FLATTEN))
    return WeekPlan(
        seed=seed,
        days=tuple(_day(seed, nth, date, rows, rough=rough) for nth, date in enumerate(dates)),
        rows=rows,
        risk=_risk(Dice(seed, "risk")),
        capital=CAPITAL,
        stopping=stopping,
        latency=dice.one_of((Latency(), Latency(0.01, 0.03), Latency(0.06, 0.1))),
        guard=guard,
        foreign=_foreign(Dice(seed, "foreign"), rows),
        step_s=dice.one_of((2, 3)),
        sd_bp=dice.one_of((1, 3, 6)),
        jump_one_in=dice.one_of((0, 90)),
    )


def _dates(dice: Dice) -> list[dt.date]:
    """Any week of the calendar's rows; of two one lies at an expiry, a holiday or a special session."""
    days = trading_days()
    count = dice.between(3, 6)
    last = len(days) - count
    if dice.one_in(2):
        start = dice.between(0, last)
    else:
        near = dice.one_of(_marked())
        start = min(max(days.index(near) - dice.between(0, count - 1), 0), last)
    return list(days[start : start + count])


@lru_cache(maxsize=1)
def _marked() -> tuple[dt.date, ...]:
    """Expiries, days after a holiday in mid-week, and sessions at other hours or on a weekend."""
    days = trading_days()
    found: list[dt.date] = []
    usual = opens_at(days[0]) % (24 * 3600 * SECOND)
    for before, day in itertools.pairwise(days):
        expires = any(each.expiry == day for each in instruments_on(day))
        holiday = (day - before).days > 1 and day.weekday() not in (0, 5, 6)
        special = day.weekday() > 4 or opens_at(day) % (24 * 3600 * SECOND) != usual
        found += [day] * (4 * expires + holiday + 4 * special)
    return tuple(found)


def _rows(dice: Dice) -> tuple[WeekRow, ...]:
    rows = []
    for place in range(dice.between(1, 3)):
        future = bool(dice.below(3))
        market = dice.one_of(FUTURES if future else _SHARES)
        carried = Product.NRML if future else Product.CNC
        rows.append(
            WeekRow(
                name=StrategyId(f"s{place}"),
                market=market,
                product=carried if dice.below(4) else Product.MIS,
                lots=dice.between(1, 3) if future else dice.between(10, 60),
            )
        )
    return tuple(rows)


def _day(seed: int, nth: int, date: dt.date, rows: tuple[WeekRow, ...], *, rough: bool) -> WeekDay:
    dice = Dice(seed, f"day {nth}")
    swarm = Dice(seed, f"swarm {nth}")
    names = tuple(dict.fromkeys(row.market for row in rows))
    futures = [name for name in names if name in FUTURES]
    wild = dice.one_in(5)
    gaps = {name: dice.between(-450, 450) if wild else dice.between(-80, 80) for name in names}
    late = nth > 0 and dice.one_in(6)
    stops = None
    if rough and dice.one_in(5):
        at_s = dice.between(30, 190)
        stops = (at_s, None if dice.one_in(3) else at_s + dice.between(10, 60))
    return WeekDay(
        date=date,
        gaps_bp=gaps,
        scripts=tuple(_script(Dice(seed, f"script {nth} {row.name}"), row) for row in rows),
        lots={dice.one_of(futures): dice.one_of((20, 50, 75, 130))}
        if futures and nth and dice.one_in(10)
        else {},
        tokens=tuple(dice.some_of(names, 1)) if nth and dice.one_in(6) else (),
        without=(rows[0].name,) if nth and dice.one_in(14) else (),
        house_s=float(dice.between(15, 90)) if late else HOUSE_S,
        types=not dice.one_in(8),
        types_again=not dice.one_in(4),
        armed_ahead=dice.one_in(6),
        routes=_routes(swarm) if rough and dice.below(3) else (),
        lines=_lines(swarm) if rough and dice.one_in(3) else (),
        crashes=_crashes(swarm) if rough else (),
        dies_s=dice.between(40, EVENING_S - 30) if rough and dice.one_in(12) else None,
        stops=stops,
        change=dice.one_of(("", "", "tighter", "looser")) if rough else "",
        hand=_hand(Dice(seed, f"hand {nth}"), late=late) if rough else (),
        halt=_halt(Dice(seed, f"halt {nth}")),
        resolves_s=dice.between(100, 200) if dice.one_in(2) else None,
    )


def _script(dice: Dice, row: WeekRow) -> str:
    """Few entries, with stops at very different distances, held for minutes or for days."""
    near = BASES[row.market] / 1000
    lines = []
    for minute in range(1, CUTOFF_S // 60 + 1):
        if dice.one_in(2):
            continue
        words = ("BUY", "BUY", "EXIT") if row.product is Product.CNC else ("BUY", "SELL", "EXIT")
        word = dice.one_of(words)
        line = f"{minute} {word}"
        if word != "EXIT":
            away, along = ("-", "+") if word == "BUY" else ("+", "-")
            if dice.below(7):
                line += f" stop={away}{near * dice.one_of((2, 6, 15, 40)):.2f}"
            if dice.one_in(4):
                line += f" target={along}{near * dice.between(2, 20):.2f}"
            if dice.one_in(5):
                line += f" trail={near * dice.between(2, 10):.2f}"
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
            _RELAXED,
            change(_RELAXED, max_daily_loss_pct=0.001),
            change(_RELAXED, max_drawdown_pct=0.002),
        )
    )


def _foreign(dice: Dice, rows: tuple[WeekRow, ...]) -> tuple[tuple[str, int], ...]:
    if dice.below(3):
        return ()
    return ((dice.one_of(rows).market, dice.one_of((1, 2, 5))),)


_MORNING: Final = (
    "GET /gtt/triggers",
    "DELETE /gtt/triggers/*",
    "GET /portfolio/*",
    "GET /orders",
    "GET /user/*",
)
_EVENING: Final = ("GET /gtt/triggers", "POST /gtt/triggers", "GET /orders", "GET /portfolio/*")
_AT_ANY_TIME: Final = (
    "POST /orders/*",
    "GET /orders",
    "GET /trades",
    "GET /portfolio/positions",
    "DELETE /orders/*",
    "PUT /orders/*",
)
_KINDS: Final = (
    "no_answer",
    "late_answer",
    "timed_out_400",
    "html_error",
    "truncated",
    "connection_lost",
    "empty_body",
    "too_many_requests",
)


def _routes(dice: Dice) -> tuple[tuple[str, str, int, int, float], ...]:
    """Two thirds of a week's faults lie where days meet: before the opening and after the close."""
    made = []
    for _ in range(dice.between(1, 4)):
        kind = dice.one_of(_KINDS)
        often = dice.one_of((0.15, 0.4, 0.9))
        match dice.below(3):
            case 0:
                made.append((kind, dice.one_of(_MORNING), BEGINS_S, dice.between(-140, -40), often))
            case 1:
                made.append((kind, dice.one_of(_EVENING), CLOSE_S - 5, HEALED_S, often))
            case _:
                at_s = dice.between(0, CALM_S - 60)
                until_s = at_s + dice.between(10, 60)
                made.append((kind, dice.one_of(_AT_ANY_TIME), at_s, until_s, often))
    return tuple(made)


def _lines(dice: Dice) -> tuple[LineFault, ...]:
    lasts_s = dice.between(2, 30)
    from_s = dice.one_of(
        (dice.between(-145, -60), dice.between(0, CALM_S - lasts_s), CLOSE_S + dice.below(20))
    )
    return (LineFault(kind=dice.one_of(LINE_KINDS), from_s=from_s, lasts_s=lasts_s),)


def _crashes(dice: Dice) -> tuple[Crash, ...]:
    """Plugs pulled at any moment of a day, and at the commits of its morning and its evening."""
    return tuple(
        Crash(
            moment=dice.one_of(tuple(Moment)),
            from_s=dice.one_of(
                (
                    HOUSE_S + dice.below(20),
                    dice.between(0, CALM_S - 30),
                    dice.between(0, CALM_S - 30),
                    CLOSE_S + dice.below(40),
                )
            ),
            count=dice.one_of((1, 1, 2, 3, 5)),
            down_s=dice.one_of((0.5, 3.0, 12.0)),
        )
        for _ in range(dice.one_of((0, 0, 0, 1, 1, 2)))
    )


def _hand(dice: Dice, *, late: bool) -> tuple[HandOnOurs, ...]:
    """On a late morning the person may be quicker than the house."""
    made = []
    if late and dice.one_in(2):
        made.append(HandOnOurs(at_s=dice.between(3, 12), some=dice.one_in(2)))
    if dice.one_in(8):
        made.append(HandOnOurs(at_s=dice.between(20, CALM_S), some=dice.one_in(2)))
    return tuple(made)


def _halt(dice: Dice) -> WeekHalt | None:
    if dice.below(9):
        return None
    return WeekHalt(
        at_s=dice.between(5, CALM_S),
        days=dice.between(0, 2),
        lifted_s=dice.one_of((-160, 40, 200)),
        flatten=dice.one_in(4),
    )
