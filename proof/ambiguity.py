"""Orders whose answer is lost: each is placed at most once, found again, and never given up wrongly.

Whole days of the production house at the real exchange in virtual time. Answers to orders, changes
and cancellations go missing in every way that is known of Kite and of the lines to it; books show
orders late; an answer belongs to somebody else's order; plugs are pulled while nobody knows. The
exchange's ledger then says what became of every order, and the house's journal must say the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from msgspec import msgpack

from kitestring.core.settings import RiskSettings, StrategySettings
from kitestring.domain.ids import ClOrdId, InstrumentId, StrategyId
from kitestring.domain.instants import DAY as A_DAY
from kitestring.domain.instants import IST_OFFSET, SECOND, Instant
from kitestring.domain.money import money, price
from kitestring.domain.orders import Order, OrdStatus
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.ledger import What
from kitestring.exchange.wire.fault_kinds import Value
from kitestring.exchange.wire.faults import Fault, When
from kitestring.exchange.wire.raw_answer import Answer
from kitestring.sim.day_calendar import CLOSE_S, at, opens
from kitestring.sim.day_plan import CAPITALS, DayPlan, HandTrade
from kitestring.sim.day_story import story
from kitestring.sim.dice import Dice
from kitestring.sim.evidence import Evidence
from kitestring.sim.fault_swarm import LineFault
from kitestring.sim.invariants import broken
from kitestring.sim.memory_network import Latency
from kitestring.sim.power import Crash, Moment
from kitestring.sim.promises import Broken as PromiseBroken
from kitestring.sim.promises_of_orders import short
from kitestring.sim.random_market import MarketPlan
from kitestring.sim.simulated_day import World, WorldBroke, simulate
from proof.tier import Broken, Outcome, Scale, Tier

ORDERS_A_DAY: Final = 20
"""Units of one day; the answers that are really lost on it are usually more, and are counted."""
_ANSWERS_LATE_S: Final = (11.0, 14.0, 25.0, 60.0)
"""Later than a request may take."""
_ARRIVES_LATE_S: Final = (1.0, 4.0, 9.0, 12.0, 30.0, 45.0)
_SHOWN_LATE_S: Final = (2.0, 8.0, 15.0, 40.0, 82.0, 110.0, 150.0)
_CLOSES: Final = {
    "NSE:INFY": "1500.00", "NSE:SBIN": "800.00", "NSE:TCS": "3200.00", "NSE:RELIANCE": "1400.00",
    "NFO:NIFTY26NOVFUT": "25500.00", "NFO:BANKNIFTY26NOVFUT": "57600.00",
}  # fmt: skip
_BY_HAND: Final = "NSE:ICICIBANK"
_ROUTES: Final = ("POST /orders/*", "POST /orders/*", "changes", "writes")
CALM_S: Final = 600
"""Seconds after the opening: from now on every answer arrives."""
_OPENS_AT: Final = (opens() + IST_OFFSET) % A_DAY
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
_LOST: Final[tuple[tuple[str, dict[str, Value]], ...]] = (
    ("no_answer", {"close_after": 600.0}),
    ("no_answer", {"close_after": 3.0}),
    ("no_answer", {"close_after": 30.0, "reached": False}),
    ("timed_out_400", {}),
    ("timed_out_400", {"error_type": "NetworkException"}),
    ("timed_out_400", {"error_type": "InputException"}),
    ("html_error", {"status": 502, "reached": True}),
    ("html_error", {"status": 503, "reached": True}),
    ("html_error", {"status": 504, "reached": False}),
    ("error_answer", {"status": 500, "error_type": "OrderException", "reached": True}),
    ("error_answer", {"status": 400, "error_type": "NewException", "reached": True}),
    ("error_answer", {"status": 504, "error_type": "NetworkException", "reached": True}),
    ("truncated", {"keep": 0.0}),
    ("truncated", {"keep": 0.5}),
    ("truncated", {"keep": 0.9, "length": "cut"}),
    ("slow_drip", {"bytes_per_second": 2.0}),
    ("connection_lost", {"how": "reset"}),
    ("connection_lost", {"how": "close"}),
    ("connection_lost", {"how": "close", "reached": False}),
    ("empty_body", {}),
    ("field_missing", {"field": "data"}),
    ("field_missing", {"field": "data.order_id"}),
    ("field_missing", {"field": "status"}),
    ("no_content_type", {}),
    ("wrong_content_type", {}),
    ("redirect", {"reached": True}),
    ("redirect", {"status": 303, "reached": True}),
    ("answered_twice", {}),
    ("answered_twice", {"seconds": 0.4}),
)
"""How an answer is lost, and how little one may learn from it."""


def live(first: int, count: int) -> Outcome:
    """Live the days of the units ``first`` … ``first + count - 1``."""
    outcome = Outcome(units=0)
    last = first + count - 1
    for day in range((first - 1) // ORDERS_A_DAY, (last - 1) // ORDERS_A_DAY + 1):
        begins = max(first, day * ORDERS_A_DAY + 1)
        ends = min(last, (day + 1) * ORDERS_A_DAY)
        outcome += _day(day, units=ends - begins + 1)
    return outcome


def _day(number: int, *, units: int) -> Outcome:
    plan = plan_of(number)
    again = f"python -m proof --tier ambiguity --unit {number * ORDERS_A_DAY + 1}"
    swapped: list[str] = []
    try:
        day = simulate(plan, change=lambda world: _swap_answers(world, number, swapped))
    except WorldBroke as error:
        return Outcome(units=units, broken=(Broken(seed=number, story=str(error), again=again),))
    counts: Counter[str] = Counter(f"fault.{strike.kind}" for strike in day.strikes)
    counts["fault.anothers_answer"] = len(swapped)
    counts["fault.power_cut"] = sum(death.planned for death in day.deaths)
    counts["orders"] = sum(order.owner == "ours" for order in day.real.values())
    lost_answers = [strike for strike in day.strikes if not strike.where.startswith("GET ")]
    counts["ambiguous"] = len(lost_answers) + len(swapped)
    doubled, lost = twice(day), unsettled(day)
    counts["doubled"], counts["lost"] = len(doubled), len(lost)
    found = [*doubled, *lost]
    told = [
        PromiseBroken(promise="ambiguity", at=moment, sentence=sentence)
        for moment, sentence in found
    ]
    told = sorted([*told, *broken(day)], key=lambda each: each.at)
    failed: tuple[Broken, ...] = ()
    if told:
        failed = (Broken(seed=number, story="\n".join(story(day, told)[:-2]), again=again),)
    return Outcome(units=units, counts=dict(counts), broken=failed)


# ── how the day is made ──────────────────────────────────────────────────────────────────────────


def plan_of(number: int) -> DayPlan:
    """The day of a number: several strategies that trade all the time, and answers that get lost."""
    dice = Dice(number, "ambiguity")
    names = tuple(dice.some_of(tuple(_CLOSES), dice.between(4, 6)))
    watched = (*names, _BY_HAND)
    closes = {name: price(_CLOSES.get(name, "1300.00")) for name in watched}
    return DayPlan(
        seed=number,
        market=MarketPlan(
            seed=number,
            names=tuple(InstrumentId(name) for name in watched),
            closes=closes,
            opens_at=opens(),
            ends_at=at(CLOSE_S),
            step_s=dice.one_of((2, 3)),
            sd_bp=dice.one_of((1, 3, 8)),
            jump_one_in=dice.one_of((0, 150)),
            thin=dice.one_in(4),
            silences=(),
        ),
        strategies=tuple(_strategy(dice, place, name) for place, name in enumerate(names)),
        risk=_RELAXED,
        capital=CAPITALS[0],
        account=OpeningChoice(cash=money(20_000_000)),
        foreign=(),
        hand=tuple(
            HandTrade(
                at_s=dice.between(5, CALM_S),
                instrument=InstrumentId(_BY_HAND),
                side=dice.one_of(("BUY", "SELL")),
                qty=dice.between(1, 99),
                at_market=True,
            )
            for _ in range(dice.below(6))
        ),
        latency=dice.one_of((Latency(), Latency(0.01, 0.03), Latency(0.06, 0.1))),
        order_id_digits=dice.one_of((15, 19, "both")),
        faults=_faults(dice),
        lines=_lines(dice),
        crashes=_crashes(dice),
    )


def _strategy(dice: Dice, place: int, name: str) -> StrategySettings:
    near = float(_CLOSES[name]) / 1000
    lines = []
    for minute in range(1, 12):
        word = dice.one_of(("BUY", "SELL", "EXIT", "BUY", "SELL"))
        line = f"{minute} {word}"
        if word != "EXIT":
            away, along = ("-", "+") if word == "BUY" else ("+", "-")
            if dice.below(8):
                line += f" stop={away}{near * dice.between(1, 5):.2f}"
            if dice.one_in(3):
                line += f" target={along}{near * dice.between(1, 4):.2f}"
            if dice.one_in(2):
                line += f" trail={near * dice.between(1, 3):.2f}"
        lines.append(line)
    return StrategySettings(
        name=StrategyId(f"s{place}"),
        strategy="scripted",
        source=InstrumentId(name),
        instrument=InstrumentId(name),
        minutes=1,
        params={"script": "; ".join(lines)},
        lots=dice.between(1, 3) if name.startswith("NFO") else dice.between(1, 90),
    )


def _faults(dice: Dice) -> tuple[Fault, ...]:
    until = _OPENS_AT + CALM_S * SECOND
    lost: list[tuple[str, dict[str, Value]]] = list(dice.some_of(_LOST, dice.between(2, 5)))
    if dice.one_in(2):
        lost.append(("late_answer", {"seconds": dice.one_of(_ANSWERS_LATE_S)}))
    if dice.one_in(2):
        lost.append(("late_arrival", {"seconds": dice.one_of(_ARRIVES_LATE_S)}))
    rare = dice.between(2, 4) * len(lost) / 2
    faults = [
        Fault(
            kind=kind,
            route=dice.one_of(_ROUTES),
            when=When(since=_OPENS_AT, until=until, probability=1 / rare),
            params=params,
        )
        for kind, params in lost
    ]
    if dice.one_in(2):
        faults.append(_book(dice, "order_shown_late", {"seconds": dice.one_of(_SHOWN_LATE_S)}))
    if dice.one_in(4):
        faults.append(_book(dice, "html_error", {"status": 503}))
    if dice.one_in(4):
        faults.append(_book(dice, "truncated", {"keep": 0.6}))
    return tuple(faults)


def _book(dice: Dice, kind: str, params: dict[str, Value]) -> Fault:
    """What is wrong with the order book, for some of its reads or all of a while."""
    since = _OPENS_AT + dice.below(CALM_S // 2) * SECOND
    until: Instant = min(since + dice.between(20, 300) * SECOND, _OPENS_AT + CALM_S * SECOND)
    often = dice.one_of((1.0, 1.0, 0.5, 0.1)) if kind == "order_shown_late" else 0.3
    when = When(since=since, until=until, probability=often)
    return Fault(kind=kind, route="GET /orders", when=when, params=params)


def _lines(dice: Dice) -> tuple[LineFault, ...]:
    if dice.below(3):
        return ()
    lasts_s = dice.between(2, 40)
    kind = dice.one_of(("deaf", "mute", "blackhole", "reset", "drip", "delay"))
    return (LineFault(kind=kind, from_s=dice.between(50, CALM_S - 50), lasts_s=lasts_s),)


def _crashes(dice: Dice) -> tuple[Crash, ...]:
    moments = (Moment.ORDER_HEARD, Moment.ORDER_TOLD)
    return tuple(
        Crash(
            moment=dice.one_of(moments),
            from_s=dice.between(50, CALM_S - 60),
            count=dice.between(1, 5),
            down_s=dice.one_of((0.5, 3.0, 12.0)),
        )
        for _ in range(dice.one_of((0, 0, 0, 1, 2)))
    )


def _swap_answers(world: World, number: int, swapped: list[str]) -> None:
    """On some days an order is answered with the id of another order, ours or somebody else's."""
    dice = Dice(number, "anothers answer")
    if dice.below(3):
        return
    witness = world.witness

    def with_wrong_ids() -> Middleware:
        stands_by = witness()

        @web.middleware
        async def wrong(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await stands_by(request, handler)
            placed = request.method == "POST" and request.path.startswith("/orders/")
            answer = Answer.of(response) if placed and response.status == 200 else None
            tree = answer.json() if answer is not None else None
            if answer is None or not isinstance(tree, dict) or world.clock.now() > at(CALM_S):
                return response
            told = tree.get("data")
            mine = told.get("order_id") if isinstance(told, dict) else None
            rows = world.exchange.desk.orders(world.exchange.now())
            others = [str(row["order_id"]) for row in rows if row["order_id"] != mine]
            if not others or dice.below(4):
                return response
            swapped.append(str(mine))
            return answer.with_json({**tree, "data": {"order_id": dice.one_of(others)}}).response()

        return wrong

    world.witness = with_wrong_ids  # type: ignore[method-assign]


# ── the judges ───────────────────────────────────────────────────────────────────────────────────


def twice(day: Evidence) -> list[tuple[Instant, str]]:
    """Every tag that was sent, or taken by the exchange, more than once."""
    found: list[tuple[Instant, str]] = []
    sent: Counter[str] = Counter()
    for each in day.sent:
        if each.method == "POST":
            sent[each.tag] += 1
            if sent[each.tag] == 2:
                found.append((each.at, f"order {short(each.tag)} was sent a second time"))
    taken: Counter[str] = Counter()
    for order in day.real.values():
        if order.owner == "ours":
            taken[order.tag] += 1
            if taken[order.tag] == 2:
                found.append((order.at, f"the exchange has a second order of {short(order.tag)}"))
    return found


def unsettled(day: Evidence) -> list[tuple[Instant, str]]:
    """Every order the exchange took and of which our journal ends with something else, or nothing."""
    if not day.ended:
        return [
            (at(CLOSE_S), f"the house did not live its day to the end: {day.broke or 'no reason'}")
        ]
    decode = msgpack.Decoder(Order).decode
    kept: dict[ClOrdId, Order] = {}
    for _, commit in day.commits:
        for key, cell in commit.cells.items():
            if key.startswith("order/") and cell is not None:
                order = decode(cell)
                kept[order.cl_ord_id] = order
    ends = {order.order_id: order for _, order in day.strokes()}
    killed = {entry.tag: entry.what for entry, _ in day.strokes() if entry.what in _ENDS}
    found: list[tuple[Instant, str]] = []
    for real in day.real.values():
        if real.owner != "ours":
            continue
        ours, end = kept.get(ClOrdId(real.tag)), ends[real.order_id]
        who = f"order {short(real.tag)}"
        if ours is None:
            found.append((real.at, f"{who} is at the exchange and not in the journal"))
        elif ours.cum_qty != end.filled:
            found.append((real.at, f"{who} filled {end.filled}, in the journal {ours.cum_qty}"))
        elif ours.status.terminal == end.live:
            lives = "works" if end.live else "is over"
            found.append((real.at, f"{who} {lives} at the exchange; in the journal {ours.status}"))
        elif killed.get(real.order_id) is What.CANCELED and ours.status is OrdStatus.FILLED:
            found.append((real.at, f"{who} was withdrawn; in the journal it is {ours.status}"))
    taken = {real.tag for real in day.real.values()}
    for tag, ours in kept.items():
        if tag not in taken and not ours.status.terminal:
            found.append((ours.updated_at, f"order {short(tag)} never was, and is {ours.status}"))
        elif tag not in taken and ours.cum_qty:
            found.append((ours.updated_at, f"order {short(tag)} never was, and filled"))
    return found


_ENDS: Final = (What.CANCELED, What.REJECTED)

TIER: Final = Tier(
    name="ambiguity",
    unit="orders",
    claim="An order whose answer was lost is placed at most once, found again, and booked as it was.",
    size={Scale.TEST: ORDERS_A_DAY, Scale.PROOF: 1_000, Scale.SOAK: 10_000},
    batch=3 * ORDERS_A_DAY,
    live=live,
)
