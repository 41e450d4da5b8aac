"""Judges of a traded day. Each looks at one law, by the broker's ledger wherever it can."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from house_day import cells_of

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.instants import NEVER
from kitestring.domain.orders import OrdStatus, Purpose, Side
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import CancelOrder, HaltSession, PlaceOrder
from kitestring.engine.recovery import read_story, restore

RESTING = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)


def exits_only_shrink(day):
    """No fill of an EXIT or STOP ever grew or flipped its position, in the broker's own books."""
    for fill in day.broker.ledger:
        if fill.purpose is not Purpose.ENTRY:
            assert abs(fill.net_after) == abs(fill.net_before) - fill.qty, fill


def results_are_exact(day):
    """The P&L reported is that of the broker's fills, to the unit; charges add up per order."""
    cash = defaultdict(int)
    net = defaultdict(int)
    value = defaultdict(int)
    for fill in day.broker.ledger:
        cash[fill.strategy] -= fill.qty * fill.side.sign * fill.px
        net[fill.strategy] += fill.qty * fill.side.sign
        value[fill.tag] += fill.qty * fill.px
    instrument_of = {row.name: row.instrument for row in day.settings.strategies}
    last = {name: int(view.last_px) for name, view in day.core.market.views.items()}
    expected = sum(cash[name] + net[name] * last[instrument_of[name]] for name in list(net))
    portfolio = day.core.portfolio
    assert int(portfolio.realised) + int(day.core.unrealised()) == expected
    for name, book in portfolio.books.items():
        assert book.net_qty == net.get(name, 0)
    charged = defaultdict(lambda: NO_CHARGES)
    for fill in day.said(Fill):
        charged[fill.cl_ord_id] = charged[fill.cl_ord_id].plus(fill.charges)
    placed = {command.cl_ord_id: command.intent for command in day.said(PlaceOrder)}
    total = NO_CHARGES
    for tag, sum_of_increments in charged.items():
        intent = placed[tag]
        whole = day.charge_book.order_charges(
            intent.instrument, intent.product, intent.side, value[tag]
        )
        assert sum_of_increments == whole
        total = total.plus(whole)
    assert portfolio.charges == total
    assert int(day.core.equity) == int(day.settings.capital) + expected - int(
        portfolio.charges_money
    )
    flat = {name for name, book in portfolio.books.items() if not book.net_qty}
    for name in flat:
        trips = [trip for trip in day.said(RoundTrip) if trip.strategy == name]
        assert sum(int(trip.gross) for trip in trips) == cash[name]


def no_exposure_after_a_halt(day):
    """From the halt on no entry is sent, and every entry that still worked was withdrawn."""
    halted = False
    asked = set()
    for _, commit in day.journal.commits():
        for fact in commit.facts:
            if isinstance(fact, HaltSession):
                halted = True
            elif isinstance(fact, PlaceOrder) and fact.intent.purpose is Purpose.ENTRY:
                assert not halted, f"an entry after the halt: {fact}"
            elif isinstance(fact, CancelOrder):
                asked.add(fact.cl_ord_id)
    if halted:
        for order in day.core.orders.all_working():
            assert order.purpose is not Purpose.ENTRY or order.cl_ord_id in asked, order


def nothing_left_before_it_was_journalled(day):
    """Every command the broker was given was in the journal when it was given."""
    assert day.broker.early == []


def a_repetition_changes_nothing(core, reports):
    """The same reports told again to a core that has just heard them: no order, no money moves."""
    before = cells_of(core)
    assert core.step(reports) == ()
    after = cells_of(core)
    for key in before:
        if key.startswith(("order/", "book/")):
            assert after[key] == before[key], (key, show(core, key), reports)
    assert core.portfolio.fills == 0  # Counted since the restart.


def quiet(day) -> bool:
    """Nothing is under way: every report is told and every order rests."""
    return day.broker.next_due_at == NEVER and all(
        order.status in RESTING for order in day.core.orders.all_working()
    )


def working_orders_fit_the_books(core, now):
    """Flat books have no exits working; open ones exactly their stop, or exits, or a reason to wait."""
    for name, book in core.portfolio.books.items():
        working = list(core.orders.working(name))
        exits = [order for order in working if order.is_exit]
        if not book.net_qty:
            assert not exits, (name, exits)
            continue
        trade = book.trade
        closing = Side.SELL if book.net_qty > 0 else Side.BUY
        covered = sum(order.leaves_qty for order in exits)
        assert all(order.side is closing for order in exits), (name, exits)
        assert covered <= abs(book.net_qty), (name, covered, book.net_qty)
        turning = [o for o in working if not o.is_exit and o.side is closing]
        if now < trade.retry_at or turning:
            continue
        if trade.leaving is not None:
            assert covered == abs(book.net_qty), (name, covered, book.net_qty)
        elif trade.stop_px is not None:
            assert covered == abs(book.net_qty), (name, covered, book.net_qty)
            assert all(order.stop_px == trade.stop_px for order in exits), (name, exits)
        else:
            assert not exits, (name, exits)


def worst_case_within_limits(core, settings):
    """Positions, working and unanswered orders at their worst, against the limits in rupees.

    Beyond a limit is only what positions alone are worth by now: a price that moved is no entry.
    """
    gross = longs = shorts = standing = alone = 0
    by_symbol = defaultdict(int)
    alone_by_symbol = defaultdict(int)
    for name, book in core.portfolio.books.items():
        px = int(core.market.views[book.instrument].last_px)
        entries = [order for order in core.orders.working(name) if not order.is_exit]
        high = book.net_qty + sum(o.order_qty - o.cum_qty for o in entries if o.side is Side.BUY)
        low = book.net_qty - sum(o.order_qty - o.cum_qty for o in entries if o.side is Side.SELL)
        worst = max(abs(high), abs(low)) * px
        gross += worst
        by_symbol[book.instrument] += worst
        alone += abs(book.net_qty) * px
        alone_by_symbol[book.instrument] += abs(book.net_qty) * px
        longs += max(high, 0) * px
        shorts += max(-low, 0) * px
        standing += worst > 0
    capital, risk = int(settings.capital), settings.risk
    assert gross <= max(capital * risk.max_gross_exposure_x, alone)
    for symbol, worst in by_symbol.items():
        assert worst <= max(capital * risk.max_symbol_exposure_x, alone_by_symbol[symbol])
    return standing


def restores(day, number):
    """A core restored from the journal and the tape up to now is the core that wrote them."""
    story = read_story(day.journal)
    again = day.fresh_core()
    restore(again, day.journal, story, day.tape.records())
    ours, theirs = cells_of(day.core), cells_of(again)
    for key, cell in ours.items():
        assert theirs.get(key) == cell, (number, key, show(day.core, key), show(again, key))
    assert theirs.keys() == ours.keys()
    assert again.next_due_at == day.core.next_due_at
    return again


def show(core, key):
    kind, _, name = key.partition("/")
    match kind:
        case "order":
            return core.orders.table.get(name)
        case "book":
            return core.portfolio.books.get(name)
        case "risk":
            return core.risk.state
        case "core":
            return core.state
        case _:
            return core.strategies._runs[name].cell


def journal_bytes(day) -> bytes:
    return b"".join(msgspec.msgpack.encode(commit) for _, commit in day.journal.commits())
