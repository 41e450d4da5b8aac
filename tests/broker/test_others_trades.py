"""What the broker's books say of others in the account, and when they contradict themselves."""

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import msgspec
import pytest
from test_order_book_merge_laws import BEGAN, TAG, order_row, trade

from kitestring.broker.book_watch import BookWatch
from kitestring.broker.broker_books import Books, contradiction, snapshot_of
from kitestring.broker.governor import Governor
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_rows import KiteStatus, Positions, position_row
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_doubts import BookRead
from kitestring.broker.others_trades import TRADE_OF_OTHERS
from kitestring.domain.ids import ClOrdIds
from kitestring.domain.instants import SECOND
from kitestring.domain.money import price
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, PlaceOrder

replace = msgspec.structs.replace
OURS = order_row(KiteStatus.COMPLETE, 1, filled=10)
THEIRS = replace(OURS, order_id="2", tag="", tags=(), side=Side.SELL, placed_by="K")
ANOTHER_RUN = ClOrdIds("another run", dt.date(2026, 11, 20))()


def sold(order_id="2", qty=10, at=60):
    return replace(trade(7, qty, at), order_id=order_id, side=Side.SELL)


def position(net, overnight=0, product="MIS"):
    text = (
        f'{{"tradingsymbol":"INFY","exchange":"NSE","product":"{product}","quantity":{net},'
        f'"overnight_quantity":{overnight},"average_price":1399.5,"last_price":1401.25}}'
    )
    return position_row(text.encode())


def merged(*rows):
    merge = OrderBookMerge()
    intent = OrderIntent(
        strategy="one", instrument=OURS.instrument, side=Side.BUY, order_qty=10,
        ord_type=OrdType.LIMIT, product=Product.MIS, purpose=Purpose.ENTRY, reason="",
        decision_px=price("1400"), decided_at=BEGAN, price=price("1400"),
    )  # fmt: skip
    merge.place(PlaceOrder(cl_ord_id=TAG, approved=Approved(intent=intent, at=BEGAN)), 0.0)
    read = BookRead(orders=rows, trades=(trade(1, 10, 1),), began_s=1.0, ended_s=2.0, at=BEGAN)
    merge.read(read)
    return merge


def shown(other, *, trades=None, positions=None):
    rows = (OURS, other)
    trades = (trade(1, 10, 1), sold()) if trades is None else trades
    books = Books(rows, trades, positions or (position(0),), BEGAN)
    return snapshot_of(books, merged(*rows), BEGAN + 90 * SECOND, distrust="", failed="")


@pytest.mark.parametrize(
    ("other", "rms"),
    [
        (THEIRS, False),
        (replace(THEIRS, placed_by="RMS01"), True),
        (replace(THEIRS, status_message="Auto Square off of MIS"), True),
        (replace(THEIRS, status_message_raw="RMS:Square off"), True),
        (replace(THEIRS, status_message="rms", guid="an app's"), False),
    ],
)
def test_a_trade_of_another_order_is_told_with_who_did_it(other, rms):
    snapshot = shown(other)
    assert snapshot.trusted
    (told,) = snapshot.others
    assert (told.order_id, told.side, told.qty, told.rms) == ("2", Side.SELL, 10, rms)
    assert (told.trade_id, told.px, told.at) == ("7", price("1399.50"), BEGAN + 60 * SECOND)
    (row,) = snapshot.positions
    assert (row.net_qty, row.average_px, row.last_px) == (0, price("1399.50"), price("1401.25"))


@pytest.mark.parametrize("tags", [(TAG,), (ANOTHER_RUN,), ("theirs", ANOTHER_RUN)])
def test_an_order_under_a_tag_of_ours_is_nobody_elses(tags):
    assert shown(replace(THEIRS, tag=tags[0], tags=tags)).others == ()


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ((position(10),), ""),
        ((position(4), position(6, product="CNC")), ""),  # converted by hand
        ((position(35, overnight=25),), ""),
        ((), "its positions show 0 NSE:INFY, its own trades make 10"),
        ((position(25, overnight=25),), "its positions show 25 NSE:INFY, its own trades make 35"),
    ],
)
def test_positions_must_follow_from_the_brokers_own_trades(positions, said):
    books = Books((OURS,), (trade(1, 10, 1),), positions, BEGAN)
    assert contradiction(books, {OURS.instrument}).partition(":")[0] == said.partition(":")[0]
    assert contradiction(books, {OURS.instrument}).startswith(said)
    snapshot = snapshot_of(books, merged(OURS), BEGAN, distrust="", failed="")
    assert snapshot.trusted is not bool(said)


def test_contracts_that_are_not_ours_may_contradict_themselves():
    books = Books((OURS,), (), (), BEGAN)
    assert contradiction(books, set()) == ""


# ── the sandwich ─────────────────────────────────────────────────────────────────────────────


class Client:
    """Books that somebody changes while they are read."""

    def __init__(self, moves, broken=""):
        self.moves, self.broken, self.asked = moves, broken, []

    async def orders(self):
        self.asked.append("orders")
        if len(self.asked) > 1 and self.moves > 0:
            self.moves -= 1
            return (OURS, replace(THEIRS, cum_qty=len(self.asked) % 10))
        return (OURS,)

    async def trades(self):
        return await self._other("trades", (trade(1, 10, 1),))

    async def positions(self):
        return await self._other("positions", Positions(net=(position(10),), day=()))

    async def _other(self, name, rows):
        self.asked.append(name)
        if name == self.broken:
            raise KiteReadFailed(name, ReadFailure.DOWN, "503")
        return rows


class Line:
    def __init__(self):
        self.governor = Governor()

    @asynccontextmanager
    async def turn(self, call):
        yield


def look(client):
    watch = BookWatch(client, merged(OURS), Line(), now=lambda: BEGAN, told=lambda: None)
    return watch, asyncio.run(watch.refresh())


def test_a_look_reads_orders_around_trades_and_positions():
    client = Client(moves=0)
    watch, why = look(client)
    assert (why, client.asked) == ("", ["orders", "trades", "positions", "orders"])
    assert watch.books is not None


def test_a_look_whose_orders_moved_is_taken_again_and_at_last_given_up():
    watch, why = look(Client(moves=1))
    assert why == ""
    assert watch.books is not None
    watch, why = look(Client(moves=99))
    assert "orders kept changing" in why
    assert watch.books is None


@pytest.mark.parametrize("broken", ["trades", "positions"])
def test_a_look_of_which_a_part_fails_is_none(broken):
    watch, why = look(Client(moves=0, broken=broken))
    assert "503" in why
    assert watch.books is None


def test_a_trade_of_others_in_a_contract_of_ours_is_said_once_and_elsewhere_never():
    merge = merged(OURS)
    watch = BookWatch(Client(0), merge, Line(), now=lambda: BEGAN, told=lambda: None)
    merge.notes.clear()
    elsewhere = replace(THEIRS, order_id="3", instrument="NFO:NIFTY26NOV26000CE")

    async def twice():
        for _ in range(2):
            watch._take((OURS, THEIRS, elsewhere), (), (), 3.0)

    asyncio.run(twice())
    assert [note.kind for note in merge.notes] == [TRADE_OF_OTHERS]
    assert "NSE:INFY" in merge.notes[0].sentence
