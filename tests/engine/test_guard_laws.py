"""What the guard may never decide, whatever the books show: shrunk to the smallest that breaks it."""

from hypothesis import given
from hypothesis import strategies as st

from kitestring.broker.kite_rows import KiteProduct, KiteStatus, OrderRow, PositionRow
from kitestring.domain.ids import GUARDS, ClOrdIds, InstrumentId, OrderId, is_guards, is_ours
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import OrdType, Product, Purpose, Side
from kitestring.engine.guard_decision import (
    GuardPolicy,
    Mine,
    Reduce,
    Seen,
    Unseen,
    decide,
    net_owned,
    reducible,
)
from kitestring.store.owned_file import Owned, OwnedBook, OwnedOrder

import datetime as dt  # isort: skip

DAY = dt.date(2026, 11, 20)
NAMES = (InstrumentId("NSE:INFY"), InstrumentId("NSE:SBIN"))
ENGINE = ClOrdIds("laws", DAY)
TAGS = [ENGINE() for _ in range(8)]
GUARD = ClOrdIds("laws", DAY, letter=GUARDS)
GUARD_TAGS = [GUARD() for _ in range(4)]
MIS = KiteProduct.MIS


def row(name, side, qty, *, cum=0, tag="", status=KiteStatus.OPEN, order_id="1", product=MIS):
    return OrderRow(
        order_id=OrderId(order_id), status=status, instrument=name, instrument_token=1, side=side,
        ord_type=OrdType.LIMIT, product=product, variety="regular", validity="DAY",
        order_qty=qty, cum_qty=cum, pending_qty=qty - cum, cancelled_qty=0, price=Price(1),
        stop_px=Price(0), average_px=Price(1), tag=tag, tags=(), status_message="",
        status_message_raw="", exchange_order_id="x", parent_order_id="", order_at=1,
        exchange_at=1, exchange_update_at=1, modified=False, placed_by="", guid="",
    )  # fmt: skip


def position(name, net, product=MIS):
    nothing = Money(0)
    return PositionRow(
        instrument=name, instrument_token=1, product=product, net_qty=net, overnight_qty=0,
        multiplier=1, average_px=Price(1), close_px=Price(1), last_px=Price(1), value=nothing,
        pnl=nothing, m2m=nothing, buy_qty=0, buy_value=nothing, sell_qty=0, sell_value=nothing,
        day_buy_qty=0, day_buy_value=nothing, day_sell_qty=0, day_sell_value=nothing,
    )  # fmt: skip


def book(name, net):
    return OwnedBook(
        strategy="one", instrument=name, product=Product.MIS, net_qty=net, freeze_qty=0
    )


def order(tag, name, side, leaves, *, cum=0, purpose=Purpose.STOP, order_id=""):
    return OwnedOrder(
        tag=tag, instrument=name, product=Product.MIS, side=side, purpose=purpose,
        leaves_qty=leaves, cum_qty=cum, order_id=order_id,
    )  # fmt: skip


def owned(books=(), orders=()):
    return Owned(
        pid=1, born="tick 1", run="r", run_key="laws", date=str(DAY), commit=1, at=1,
        books=tuple(books), orders=tuple(orders),
    )  # fmt: skip


QTY = st.integers(1, 20)
SIDES = st.sampled_from(list(Side))


@st.composite
def worlds(draw):
    """Books of any kind: ours, a stranger's, half filled, in every state, and an ownership to go with."""
    rows, orders = [], []
    for number in range(draw(st.integers(0, 7))):
        name, side, qty = draw(st.sampled_from(NAMES)), draw(SIDES), draw(QTY)
        status = draw(st.sampled_from([*KiteStatus, *[KiteStatus.TRIGGER_PENDING] * 12]))
        cum = qty if status is KiteStatus.COMPLETE else draw(st.integers(0, qty))
        whose = draw(st.sampled_from(["engine", "engine, not known", "guard", "stranger"]))
        tag = ""
        if whose.startswith("engine"):
            tag = TAGS[number]
        elif whose == "guard":
            tag = GUARD_TAGS[number % len(GUARD_TAGS)]
        rows.append(row(name, side, qty, cum=cum, tag=tag, status=status, order_id=str(number)))
        if whose == "engine":
            booked = draw(st.integers(0, cum))
            purpose = draw(st.sampled_from(list(Purpose)))
            orders.append(order(tag, name, side, qty - booked, cum=booked, purpose=purpose))
    nets = st.integers(-25, 25)
    books = [book(name, draw(nets)) for name in NAMES]
    positions = [position(name, draw(nets)) for name in NAMES]
    unseen = [
        Unseen(key=(draw(st.sampled_from(NAMES)), "MIS"), side=draw(SIDES), qty=draw(QTY))
        for _ in range(draw(st.integers(0, 2)))
    ]
    used = frozenset(GUARD_TAGS)
    fresh = frozenset(draw(st.sets(st.sampled_from(GUARD_TAGS))))
    mine = Mine(owned=owned(books, orders), guards=used, fresh=fresh)
    return Seen(tuple(rows), tuple(positions)), mine, unseen


@given(worlds(), st.sampled_from(list(GuardPolicy)))
def test_everything_of_ours_together_is_never_more_than_both_sides_have(world, policy):
    books, mine, unseen = world
    plan = decide(books, mine, policy, unseen)
    have = net_owned(mine, books.orders)
    net = {(each.instrument, "MIS"): each.net_qty for each in books.positions}
    for asked in plan.reduce:
        size = reducible(have[asked.key], net[asked.key])
        assert size * asked.side.sign < 0, "an order in the direction of the position"
        at_work = sum(
            each.leaves_qty for each in books.orders
            if each.tag and (each.instrument, each.product.value) == asked.key
            and each.side is asked.side
        ) + sum(each.qty for each in unseen if (each.key, each.side) == (asked.key, asked.side))  # fmt: skip
        assert asked.qty > 0
        assert asked.qty + at_work <= abs(size)
        assert abs(size) <= min(abs(have[asked.key]), abs(net[asked.key]))
    assert len({asked.key for asked in plan.reduce}) == len(plan.reduce)


@given(worlds(), st.sampled_from(list(GuardPolicy)))
def test_what_stays_can_never_flip_and_what_is_foreign_is_never_touched(world, policy):
    books, mine, unseen = world
    plan = decide(books, mine, policy, unseen)
    for each in plan.withdraw:
        assert each.row.tag, "a stranger's order carries none of our tags"
        assert not each.row.status.over
    have = net_owned(mine, books.orders)
    net = {(each.instrument, "MIS"): each.net_qty for each in books.positions}
    gone = {each.row.order_id for each in plan.withdraw}
    cannot_be_withdrawn = {KiteStatus.CANCEL_PENDING, KiteStatus.PUT_RECEIVED,
        KiteStatus.AMO_RECEIVED, KiteStatus.VALIDATION_PENDING, KiteStatus.OPEN_PENDING}  # fmt: skip
    for key in {(name, "MIS") for name in NAMES}:
        size = reducible(have.get(key, 0), net[key])
        stays = [
            each for each in books.orders
            if each.tag and not each.status.over and each.order_id not in gone
            and (each.instrument, "MIS") == key and each.status not in cannot_be_withdrawn
        ]  # fmt: skip
        assert all(each.side.sign * size < 0 for each in stays)
        assert sum(each.leaves_qty for each in stays) <= abs(size)
        if policy is GuardPolicy.FLATTEN:
            assert all(each.tag in mine.fresh for each in stays)
    moving = [each for each in books.orders if each.tag and each.status in cannot_be_withdrawn]
    if moving or unseen:
        assert not plan.idle, "its end has to be seen"


INFY = NAMES[0]
KEY = (INFY, "MIS")


def decided(rows, net, mine, policy=GuardPolicy.KEEP_PROTECTED, unseen=()):
    return decide(Seen(tuple(rows), (position(INFY, net),)), mine, policy, unseen)


def test_a_stop_that_fits_stays_and_only_what_it_leaves_bare_is_closed():
    mine = Mine(owned=owned([book(INFY, 10)], [order(TAGS[0], INFY, Side.SELL, 6, order_id="1")]))
    stop = row(INFY, Side.SELL, 6, tag=TAGS[0], status=KiteStatus.TRIGGER_PENDING)
    plan = decided([stop], 10, mine)
    assert plan.withdraw == ()
    assert plan.reduce == (Reduce(key=KEY, side=Side.SELL, qty=4),)
    assert plan.covered == {KEY: 6}


def test_of_two_stops_that_together_are_too_many_one_goes():
    stops = [
        row(INFY, Side.SELL, 6, tag=tag, status=KiteStatus.TRIGGER_PENDING, order_id=str(number))
        for number, tag in enumerate(TAGS[:2])
    ]
    known = [order(tag, INFY, Side.SELL, 6) for tag in TAGS[:2]]
    plan = decided(stops, 10, Mine(owned=owned([book(INFY, 10)], known)))
    assert [each.row.order_id for each in plan.withdraw] == ["1"]
    assert plan.reduce == (), "the bare four have to wait until the second stop is gone"


def test_the_orders_of_another_house_on_the_same_account_are_a_strangers():
    theirs = ClOrdIds("another run", DAY)()
    stop = row(INFY, Side.SELL, 5, tag=theirs, status=KiteStatus.TRIGGER_PENDING)
    plan = decided([stop], 5, Mine(owned=owned([book(INFY, 0)])))
    assert plan.withdraw == ()
    assert plan.reduce == ()


def test_to_flatten_the_stop_goes_first_and_only_then_all_of_it():
    mine = Mine(owned=owned([book(INFY, 10)], [order(TAGS[0], INFY, Side.SELL, 10)]))
    stop = row(INFY, Side.SELL, 10, tag=TAGS[0], status=KiteStatus.TRIGGER_PENDING)
    first = decided([stop], 10, mine, GuardPolicy.FLATTEN)
    assert [each.row.order_id for each in first.withdraw] == ["1"]
    assert first.reduce == ()
    gone = row(INFY, Side.SELL, 10, tag=TAGS[0], status=KiteStatus.CANCELLED)
    then = decided([gone], 10, mine, GuardPolicy.FLATTEN)
    assert then.reduce == (Reduce(key=KEY, side=Side.SELL, qty=10),)


def test_an_orphan_stop_goes_because_it_could_only_open():
    mine = Mine(owned=owned([book(INFY, 0)], [order(TAGS[0], INFY, Side.SELL, 10)]))
    stop = row(INFY, Side.SELL, 10, tag=TAGS[0], status=KiteStatus.TRIGGER_PENDING)
    plan = decided([stop], 0, mine)
    assert [each.why for each in plan.withdraw] == ["there is nothing of ours that it could close"]
    assert not plan.idle


def test_a_fill_that_the_books_have_not_seen_is_ours_all_the_same():
    entry = order(TAGS[0], INFY, Side.BUY, 10, purpose=Purpose.ENTRY)
    mine = Mine(owned=owned([book(INFY, 0)], [entry]))
    filled = row(INFY, Side.BUY, 10, cum=10, tag=TAGS[0], status=KiteStatus.COMPLETE)
    assert decided([filled], 10, mine).reduce == (Reduce(key=KEY, side=Side.SELL, qty=10),)
    stranger = row(INFY, Side.BUY, 10, cum=10, status=KiteStatus.COMPLETE)
    assert decided([stranger], 10, mine).idle


def test_an_exit_that_may_still_appear_holds_its_quantity_back():
    mine = Mine(owned=owned([book(INFY, 10)]))
    unseen = [Unseen(key=KEY, side=Side.SELL, qty=7)]
    plan = decided([], 10, mine, GuardPolicy.FLATTEN, unseen)
    assert plan.reduce == (Reduce(key=KEY, side=Side.SELL, qty=3),)


def test_what_the_owner_holds_beside_us_stays():
    mine = Mine(owned=owned([book(INFY, 10)]))
    assert decided([], 25, mine).reduce[0].qty == 10
    assert decided([], 4, mine).reduce[0].qty == 4
    assert decided([], -4, mine).reduce == ()


def test_tags_of_the_two_are_never_taken_for_each_other():
    assert all(is_ours(tag) and not is_guards(tag) for tag in TAGS)
    assert all(is_guards(tag) and not is_ours(tag) for tag in GUARD_TAGS)
    assert all(len(tag) == 20 and tag.isalnum() for tag in GUARD_TAGS)
