"""The whole way of one order: tick, bar, signal, verdict, order, reports, fills, round trip.

The law: every line is a fact of the journal or a tick of the tape, at the instant it carries;
nothing is decided again. A stop is told with the position it protects and every level it had.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import Fact, Reports
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.orders import ExecutionReport, Purpose
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder, Reduced
from kitestring.store.order_rows import OrderRow, OrderRows
from kitestring.store.run_reader import Recorded
from kitestring.store.tape_reader import TapeReader

_SHORTEST = 4
"""Letters of an id that must be given, at the least, when it is not given whole."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One report, and when the house was told."""

    at: Instant
    report: ExecutionReport


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A stop that was moved: when, from where, to where."""

    at: Instant
    before: Price | None
    after: Price | None
    order_qty: int | None
    price: Price | None = None
    """The new limit, if it was given one."""


class OrderStory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything recorded of one order."""

    row: OrderRow
    placed: PlaceOrder
    signal: Signal | None
    """The signal behind it; of a stop or an exit, the one that opened the position."""
    bar: Bar | None
    """The bar that the signal was given on."""
    verdict: Approved | Reduced
    ticks: tuple[tuple[Tick, Instant], ...]
    """The last tick of the bar, and the one the decision price is from; with when each arrived."""
    heard: tuple[Heard, ...]
    levels: tuple[Level, ...]
    cancels: tuple[CancelOrder, ...]
    fills: tuple[Fill, ...]
    opened_by: tuple[OrderRow, ...]
    """Of a stop or an exit: today's entries of the position it protects or closes."""
    trades: tuple[RoundTrip, ...]
    """The round trips its fills are part of, or that it protected."""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What an id stands for: one order, or a round trip with its orders."""

    trade: RoundTrip | None
    stories: tuple[OrderStory, ...]


def explain(recorded: Recorded, name: str) -> Explained:
    """The story behind our tag, a broker's order id, a fill's id or a round trip's id.

    A part of an id will do where only one has it. Raises ``ConfigError`` where nothing or too much
    has that name.
    """
    facts = tuple(recorded.facts())
    rows = OrderRows()
    rows.record(facts)
    table = rows.rows
    trades = {fact.trade_id: fact for fact in facts if isinstance(fact, RoundTrip)}
    called: dict[str, str] = {}
    for row in table.values():
        called |= dict.fromkeys((row.cl_ord_id, row.order_id, *row.exec_ids), row.cl_ord_id)
    fills = [fact for fact in facts if isinstance(fact, Fill)]
    called |= {fact.fill_id: fact.cl_ord_id for fact in fills if fact.cl_ord_id in table}
    called |= dict.fromkeys(trades, "")
    called.pop("", None)
    for fact in fills:
        if fact.cl_ord_id not in table and name in (fact.fill_id, fact.cl_ord_id):
            raise ConfigError(
                f"{name} was not ours: others closed {fact.qty} of {fact.strategy} with their order"
                f" {fact.cl_ord_id}.",
                do=f"what they closed: python -m kitestring why {fact.strategy}",
            )
    name = _meant(name.strip().removeprefix("'"), called, recorded.run)
    trade = next((one for trade_id, one in trades.items() if trade_id == name), None)
    tags = [called[name]] if trade is None else _tags_of(trade, facts, table)
    stories = [_story(table[tag], facts, table) for tag in tags]
    return Explained(trade=trade, stories=tuple(_with_ticks(recorded, stories)))


def _meant(asked: str, called: dict[str, str], run: str) -> str:
    if asked in called:
        return asked
    near = [one for one in called if asked.upper() in one.upper()]
    orders = {called[one] or one for one in near}
    if len(orders) == 1 and len(asked) >= _SHORTEST:
        return near[0]
    if len(orders) > 1:
        raise ConfigError(
            f"{asked} is part of {len(near)} ids of {run}: {', '.join(near[:6])}.",
            do="give more of the one you mean",
        )
    raise ConfigError(
        f"There is no order, fill or round trip {asked} in {run}.",
        do="orders.csv of the run has every tag and broker's id, trades.csv every round trip;"
        " an entry that risk refused never became an order: python -m kitestring why STRATEGY",
    )


def _tags_of(trade: RoundTrip, facts: Sequence[Fact], table: dict[str, OrderRow]) -> list[str]:
    """The orders of a round trip: those that filled in it, and those that waited to protect it."""
    filled = [
        fact.cl_ord_id
        for fact in facts
        if isinstance(fact, Fill)
        and fact.strategy == trade.strategy
        and trade.entry_at <= fact.at <= trade.exit_at
    ]
    waiting = [
        row.cl_ord_id
        for row in table.values()
        if row.intent.strategy == trade.strategy
        and row.intent.purpose is not Purpose.ENTRY
        and trade.entry_at <= row.placed_at <= trade.exit_at
    ]
    wanted = {*filled, *waiting}
    return [tag for tag in table if tag in wanted]


def _story(row: OrderRow, facts: Sequence[Fact], table: dict[str, OrderRow]) -> OrderStory:
    tag, strategy = row.cl_ord_id, row.intent.strategy
    placed: PlaceOrder | None = None
    verdicts: list[Approved | Reduced] = []
    heard: list[Heard] = []
    levels: list[Level] = []
    cancels: list[CancelOrder] = []
    fills: list[Fill] = []
    stop_px = row.intent.stop_px
    for fact in facts:
        match fact:
            case PlaceOrder() if fact.cl_ord_id == tag:
                placed = fact
            case Approved() if placed is None and _same(fact, row):
                verdicts.append(fact)
            case Reduced() if placed is None and _same(fact.approved, row):
                verdicts.append(fact)
            case Reports():
                heard += [
                    Heard(at=fact.received_at, report=report)
                    for report in fact.reports
                    if report.cl_ord_id == tag
                ]
            case ModifyOrder() if fact.cl_ord_id == tag:
                after = fact.stop_px if fact.stop_px is not None else stop_px
                levels.append(
                    Level(
                        at=fact.at,
                        before=stop_px,
                        after=after,
                        order_qty=fact.order_qty,
                        price=fact.price,
                    )
                )
                stop_px = after
            case CancelOrder() if fact.cl_ord_id == tag:
                cancels.append(fact)
            case Fill() if fact.cl_ord_id == tag:
                fills.append(fact)
            case _:
                pass
    assert placed is not None
    trades, opened_by = _position(row, facts, table)
    signal = _signal_of([row, *opened_by], facts)
    return OrderStory(
        row=row,
        placed=placed,
        signal=signal,
        bar=_bar_of(signal, facts) if row.intent.purpose is Purpose.ENTRY else None,
        verdict=verdicts[-1] if verdicts else placed.approved,
        ticks=(),
        heard=tuple(heard),
        levels=tuple(levels),
        cancels=tuple(cancels),
        fills=tuple(fills),
        opened_by=tuple(opened_by),
        trades=tuple(trade for trade in trades if trade.strategy == strategy),
    )


def _same(approved: Approved, row: OrderRow) -> bool:
    """Whether a verdict was on this order's intent (of an order in slices: on the whole of it)."""
    intent, ours = approved.intent, row.intent
    return (
        intent.strategy == ours.strategy
        and intent.signal_id == ours.signal_id
        and intent.purpose is ours.purpose
        and intent.decided_at == ours.decided_at
    )


def _position(
    row: OrderRow, facts: Sequence[Fact], table: dict[str, OrderRow]
) -> tuple[list[RoundTrip], list[OrderRow]]:
    """The round trips an order belongs to, and for an exit the entries it closes."""
    strategy, at = row.intent.strategy, row.placed_at
    trips = [fact for fact in facts if isinstance(fact, RoundTrip) and fact.strategy == strategy]
    ends = [fact.at for fact in facts if isinstance(fact, Fill) and fact.cl_ord_id == row.cl_ord_id]
    entry = row.intent.purpose is Purpose.ENTRY
    trades = [
        trip
        for trip in trips
        if any(trip.entry_at <= moment <= trip.exit_at for moment in ends)
        or (not ends and not entry and trip.entry_at <= at < trip.exit_at)
    ]
    if entry:
        return trades, []
    entries: dict[str, OrderRow] = {}
    latest: OrderRow | None = None
    for fact in facts:
        if isinstance(fact, PlaceOrder) and fact.cl_ord_id == row.cl_ord_id:
            break
        if isinstance(fact, Fill) and fact.strategy == strategy:
            latest = table.get(fact.cl_ord_id)
            if latest is not None and latest.intent.purpose is Purpose.ENTRY:
                entries[latest.cl_ord_id] = latest
        elif isinstance(fact, RoundTrip) and fact.strategy == strategy:
            # What closed it may, in a reversal, have opened the next.
            last = latest.cl_ord_id if latest is not None else ""
            entries = {tag: one for tag, one in entries.items() if tag == last}
    return trades, list(entries.values())


def _signal_of(rows: Sequence[OrderRow], facts: Sequence[Fact]) -> Signal | None:
    for row in rows:
        for fact in facts:
            if (
                isinstance(fact, Signal)
                and row.intent.signal_id is not None
                and fact.signal_id == row.intent.signal_id
            ):
                return fact
    return None


def _bar_of(signal: Signal | None, facts: Sequence[Fact]) -> Bar | None:
    if signal is None:
        return None
    found = [
        fact
        for fact in facts
        if isinstance(fact, Bar)
        and fact.instrument == signal.source
        and fact.close_at == signal.bar_close_at
    ]
    # Several timeframes may close together; the signal's own id names its timeframe.
    named = [bar for bar in found if signal.signal_id.endswith(f"-{bar.minutes}m")]
    return next(iter(named or found), None)


def _with_ticks(recorded: Recorded, stories: list[OrderStory]) -> list[OrderStory]:
    """Each story with its ticks, from one pass over the tape; a tape that is gone adds nothing."""
    wanted: list[tuple[int, InstrumentId, Instant, bool]] = []
    for place, story in enumerate(stories):
        if story.bar is not None:
            wanted.append((place, story.bar.instrument, story.bar.close_at, True))
        intent = story.row.intent
        wanted.append((place, intent.instrument, intent.decided_at, False))
    found: dict[tuple[int, bool], tuple[Tick, Instant]] = {}
    end = max(until for _, _, until, _ in wanted)
    names = {instrument for _, instrument, _, _ in wanted}
    try:
        for _, frame in TapeReader(recorded.paths.tape).records():
            if not isinstance(frame, TickFrame):
                continue
            if frame.received_at > end:
                break
            for tick in frame.ticks:
                if tick.instrument not in names:
                    continue
                for place, instrument, until, of_bar in wanted:
                    if instrument == tick.instrument and (
                        tick.event_at < until if of_bar else frame.received_at <= until
                    ):
                        found[place, of_bar] = (tick, frame.received_at)
    except HouseError:
        return stories
    told: list[OrderStory] = []
    for place, story in enumerate(stories):
        both = [found[place, of_bar] for of_bar in (True, False) if (place, of_bar) in found]
        ticks = tuple(both[:1] if len(both) == 2 and both[0] == both[1] else both)
        told.append(msgspec.structs.replace(story, ticks=ticks))
    return told
