"""Laws of the merge: hints, stale copies and failed reads of trades change nothing of what is told.

An order's true story is drawn; the books are read at arbitrary points of it, hints come in any order,
doubled or not at all. Whatever was seen on the way, the same facts are told, each once, and the core's
own book of orders understands them all. Each law is shown to catch a planted fault.
"""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitestring.broker.kite_outcomes import Acked
from kitestring.broker.kite_rows import KiteProduct, KiteStatus, OrderRow, TradeRow
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_doubts import BookRead
from kitestring.core.order_manager import OrderManager
from kitestring.domain.ids import InstrumentId, OrderId, StrategyId
from kitestring.domain.instants import SECOND
from kitestring.domain.money import Price, price
from kitestring.domain.orders import ExecType, OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, ModifyOrder, PlaceOrder

TAG, ORDER_ID = "KAAAAAAAAAAAAAAAAAA1", OrderId("1953341975595868160")
INFY = InstrumentId("NSE:INFY")
BEGAN = 1_795_149_000 * SECOND
K = KiteStatus


def order_row(status, at, filled=0, px="1400", trigger="0", qty=10, text="", registered=0):
    return OrderRow(
        order_id=ORDER_ID, status=status, instrument=INFY, instrument_token=1, side=Side.BUY,
        ord_type=OrdType.LIMIT, product=KiteProduct.MIS, variety="regular", validity="DAY",
        order_qty=qty, cum_qty=filled, pending_qty=0, cancelled_qty=0, price=price(px),
        stop_px=price(trigger), average_px=Price(0), tag=TAG, tags=(TAG,), status_message=text,
        status_message_raw="", parent_order_id="", placed_by="K", guid="", modified=False,
        exchange_order_id="" if status in (K.PUT_RECEIVED, K.VALIDATION_PENDING) else "13000",
        order_at=BEGAN + registered * SECOND, exchange_at=None,
        exchange_update_at=BEGAN + at * SECOND,
    )  # fmt: skip


def trade(number, qty, at):
    return TradeRow(
        trade_id=str(number), order_id=ORDER_ID, exchange_order_id="13000", instrument=INFY,
        instrument_token=1, side=Side.BUY, product=KiteProduct.MIS, qty=qty, px=price("1399.50"),
        fill_at=BEGAN + at * SECOND, exchange_at=None,
    )  # fmt: skip


@st.composite
def stories(draw):
    """An order's life: the rows it passes through, each with the trades made by then."""
    stop = draw(st.booleans())
    trigger = "1390" if stop else "0"
    qty, filled, px, at, registered = 10, 0, "1400", 1, 0
    trades, states = [], []

    def pass_through(status, text=""):
        nonlocal at
        at += draw(st.integers(0, 2))
        states.append(
            (order_row(status, at, filled, px, trigger, qty, text, registered), tuple(trades))
        )

    pass_through(K.PUT_RECEIVED)
    if draw(st.integers(0, 9)) == 0:
        pass_through(K.REJECTED, "no funds")
        return stop, states
    pass_through(K.OPEN_PENDING)
    if stop:
        pass_through(K.TRIGGER_PENDING)
        if draw(st.booleans()):
            pass_through(draw(st.sampled_from([K.CANCELLED, K.REJECTED])), "gone")
            return stop, states
    pass_through(K.OPEN)
    for _ in range(draw(st.integers(0, 4))):
        move = draw(st.sampled_from(["fill", "phone", "cancel pending"]))
        if move == "fill" and filled < qty:
            more = draw(st.integers(1, qty - filled))
            filled += more
            trades.append(trade(len(trades) + 1, more, at))
            pass_through(K.COMPLETE if filled == qty else K.OPEN)
            if filled == qty:
                return stop, states
        elif move == "phone":
            px = str(int(px) + draw(st.integers(1, 5)))
            at = registered = at + 1
            pass_through(K.MODIFY_PENDING)
            pass_through(K.OPEN)
        else:
            pass_through(K.CANCEL_PENDING)
            pass_through(K.OPEN)
    pass_through(K.CANCELLED, "as asked")
    return stop, states


def command(stop):
    intent = OrderIntent(
        strategy=StrategyId("one"), instrument=INFY, side=Side.BUY, order_qty=10,
        ord_type=OrdType.SL if stop else OrdType.LIMIT, product=Product.MIS,
        purpose=Purpose.ENTRY, reason="", decision_px=price("1400"), decided_at=BEGAN,
        price=price("1400"), stop_px=price("1390") if stop else None,
    )  # fmt: skip
    return PlaceOrder(cl_ord_id=TAG, approved=Approved(intent=intent, at=BEGAN))


@st.composite
def lookings(draw):
    """A story, and how it is looked at: which states are read, with or without trades, and hints."""
    stop, states = draw(stories())
    last = len(states) - 1
    some = st.lists(st.integers(0, last), max_size=6).map(sorted)
    seen = list(range(last + 1)) if draw(st.booleans()) else draw(some)
    stale = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, last)), max_size=2))
    for place, state in stale:
        seen.insert(place, min(state, max(seen[:place], default=0)))
    reads = [(state, draw(st.booleans())) for state in seen]
    hints = draw(st.lists(st.tuples(st.integers(0, len(reads)), st.integers(0, last)), max_size=8))
    return stop, states, reads, hints


def lives(looking, merge_of=OrderBookMerge, *, with_hints=True):
    """Live one story through; the reports, and the core's order at its end."""
    stop, states, reads, hints = looking
    merge, house = merge_of(), OrderManager({})
    house.placing(command(stop), BEGAN, None)
    order = merge.place(command(stop), 0.0)
    merge.placing(order, 0.0)
    merge.placed(order, Acked(order_id=ORDER_ID), BEGAN, 0.1)
    whole = (len(states) - 1, True)
    told = []
    for step, (state, traded) in enumerate([*reads, whole, whole]):
        for place, hinted in hints if with_hints else ():
            if place == step:
                row = states[hinted][0]
                merge.hint(
                    {"order_id": ORDER_ID, "tag": TAG, "status": row.status.value,
                     "filled_quantity": row.cum_qty}, 1.0 + step,
                )  # fmt: skip
        row, trades = states[state]
        merge.read(BookRead(
            orders=[row], trades=trades if traded else None, began_s=1.0 + step,
            ended_s=1.5 + step, at=BEGAN + step * SECOND,
        ))  # fmt: skip
        for report in merge.reports:
            assert house.apply(report).surprise == "", report
        told += merge.reports
        merge.reports = []
    return told, house.table[TAG], merge


def the_same_facts(looking, merge_of=OrderBookMerge):
    """The laws."""
    _, states, _, _ = looking
    last, trades = states[-1]
    told, ours, merge = lives(looking, merge_of)
    # 1. The end is the book's end, and only trades have filled it.
    over = {K.COMPLETE: "FILLED", K.CANCELLED: "CANCELED", K.REJECTED: "REJECTED"}
    assert ours.status == over[last.status]
    assert ours.cum_qty == last.cum_qty
    assert sorted(ours.exec_ids) == sorted(trade.trade_id for trade in trades)
    assert ours.price == last.price or last.status is K.REJECTED or not last.exchange_order_id
    assert not merge.unsettled
    assert merge.distrust(1000.0) == ""
    # 2. Every fact is told once: what tells it names it.
    facts = [
        (report.exec_type, report.exec_id, report.price if report.exec_type == "REPLACED" else 0)
        for report in told
    ]
    once = [fact for fact in facts if fact[0] is not ExecType.REPLACED]
    assert len(once) == len(set(once))
    # 3. Hints change nothing of it.
    assert told == lives(looking, merge_of, with_hints=False)[0]
    # 4. Terms are told in the order in which they came to be: no old copy takes them back.
    prices = [int(report.price) for report in told if report.exec_type is ExecType.REPLACED]
    assert prices == sorted(set(prices))
    # 5. What is told in the end does not depend on what was read on the way, changes of terms
    #    that nobody saw apart.
    short, _, _ = lives((looking[0], states, [], []), merge_of)
    kinds = [report.exec_type for report in short]
    for report in told:
        if report.exec_type in (ExecType.REPLACED, ExecType.PENDING_NEW):
            continue
        fired = report.exec_type is ExecType.TRIGGERED and not last.cum_qty
        rested = report.exec_type is ExecType.NEW and last.status is K.REJECTED
        # Whether a refused order had rested, or a withdrawn stop had fired, its last row cannot say.
        assert report.exec_type in kinds or fired or rested


@settings(max_examples=300)
@given(lookings())
def test_whatever_was_seen_on_the_way_the_same_facts_are_told(looking):
    the_same_facts(looking)


class BooksTradesTwice(OrderBookMerge):
    def _trades(self, order, row, trades):
        order.trade_ids.clear()
        super()._trades(order, row, trades)


class BelievesHints(OrderBookMerge):
    def hint(self, told, s):
        super().hint(told, s)
        order = self.orders.get(told.get("tag"))
        if order is not None and told["status"] == "CANCELLED" and not order.over:
            order.over = True
            self._tell(order, ExecType.CANCELED, BEGAN)


class EndsBeforeItsTrades(OrderBookMerge):
    def _end(self, order, row, at, s):
        order.told_qty = row.cum_qty
        super()._end(order, row, at, s)


class BelievesOldCopies(OrderBookMerge):
    def _older(self, order, row):
        return False


class ForgetsTheTrigger(OrderBookMerge):
    def _introduce(self, order, row, at):
        order.told_trigger = False
        super()._introduce(order, row, at)


@pytest.mark.parametrize(
    "broken",
    [BooksTradesTwice, BelievesHints, EndsBeforeItsTrades, ForgetsTheTrigger],
)
def test_the_laws_catch_a_planted_fault(broken):
    @settings(max_examples=400, database=None, derandomize=True, report_multiple_bugs=False)
    @given(lookings())
    def law(looking):
        the_same_facts(looking, broken)

    with pytest.raises(AssertionError):
        law()


def test_an_old_copy_of_the_book_does_not_take_terms_back():
    states = [
        (order_row(K.OPEN, 2), ()),
        (order_row(K.OPEN, 4, px="1401", registered=3), ()),
        (order_row(K.CANCELLED, 5, px="1401", registered=3), ()),
    ]
    looking = (False, states, [(0, True), (1, True), (0, True)], [])
    the_same_facts(looking)
    with pytest.raises(AssertionError):
        the_same_facts(looking, BelievesOldCopies)


def test_a_row_that_cannot_be_read_keeps_its_order_and_is_said():
    from kitestring.broker.kite_errors import StrangeRow

    merge = OrderBookMerge()
    order = merge.place(command(stop=False), 0.0)
    merge.placing(order, 0.0)
    merge.placed(order, Acked(order_id=ORDER_ID), BEGAN, 0.1)
    strange = StrangeRow(order_id=ORDER_ID, tag=TAG, why="status is 'FLOATING'")
    merge.read(BookRead(orders=[], trades=None, began_s=1, ended_s=1, at=BEGAN, strange=(strange,)))
    assert "FLOATING" in merge.distrust(1.0)
    assert [note.kind for note in merge.notes] == ["strange row"]
    assert [report.exec_type for report in merge.reports] == [ExecType.PENDING_NEW]
    row = order_row(K.OPEN, 3)
    merge.read(BookRead(orders=[row], trades=None, began_s=2, ended_s=2, at=BEGAN))
    assert merge.distrust(2.0) == ""
    # A tag that the broker has lost is found by the order's id, and by the other tags of a row.
    merge.read(
        BookRead(
            orders=[msgspec.structs.replace(row, tag="", tags=(), status=K.CANCELLED)],
            trades=None, began_s=3, ended_s=3, at=BEGAN,
        )
    )  # fmt: skip
    assert merge.reports[-1].exec_type is ExecType.CANCELED


def test_an_order_of_ten_thousand_trades_is_told_trade_by_trade_and_once():
    """One order of 29 August 2019 came back in more than a hundred thousand pieces."""
    count = 10_000
    merge, manager = OrderBookMerge(), OrderManager({})
    asked = command(stop=False)
    bulk = msgspec.structs.replace(
        asked,
        approved=Approved(
            intent=msgspec.structs.replace(asked.approved.intent, order_qty=count), at=BEGAN
        ),
    )
    manager.placing(bulk, BEGAN, None)
    merge.placing(merge.place(bulk, 0.0), 0.0)
    merge.placed(merge.orders[TAG], Acked(order_id=ORDER_ID), BEGAN, 0.1)
    row = order_row(K.COMPLETE, 5, count, qty=count)
    trades = [trade(number, 1, 5) for number in range(count)]
    for began_s in (1, 2):
        merge.read(
            BookRead(orders=[row], trades=trades, began_s=began_s, ended_s=began_s, at=BEGAN)
        )
    told = [report for report in merge.reports if report.exec_type is ExecType.TRADE]
    assert len(told) == len({report.exec_id for report in told}) == count
    for report in merge.reports:
        assert manager.apply(report).surprise == ""
    order = manager.table[TAG]
    assert (order.cum_qty, order.status.terminal) == (count, True)


def test_a_fill_that_overtakes_the_answer_to_an_enlargement_is_booked_whole():
    """The trade book is read after the order book: a change may have come between (found by the proof)."""
    merge, house = OrderBookMerge(), OrderManager({})
    house.placing(command(stop=False), BEGAN, None)
    order = merge.place(command(stop=False), 0.0)
    merge.placing(order, 0.0)
    merge.placed(order, Acked(order_id=ORDER_ID), BEGAN, 0.1)
    enlarge = ModifyOrder(cl_ord_id=TAG, at=BEGAN, order_qty=30)
    trades = [trade(1, 25, 4), trade(2, 5, 4)]
    books = (
        (order_row(K.OPEN, 2), ()),
        (order_row(K.OPEN, 2), trades),
        (order_row(K.OPEN, 4, filled=25, qty=30, registered=3), trades[:1]),
        (order_row(K.COMPLETE, 4, filled=30, qty=30, registered=3), trades),
    )
    booked = []
    for step, (row, seen) in enumerate(books):
        merge.read(
            BookRead(orders=[row], trades=seen, began_s=1 + step, ended_s=1 + step, at=BEGAN)
        )
        for report in merge.reports:
            assert house.apply(report).surprise == "", report
        merge.reports = []
        booked.append(house.table[TAG].cum_qty)
        if step == 0:
            house.modifying(enlarge)
            change = merge.change(enlarge)
            merge.changing(order, change)
            merge.changed(order, change, Acked(order_id=ORDER_ID), BEGAN, 1.1)
    assert booked == [0, 0, 25, 30]
    assert house.table[TAG].status == "FILLED"
