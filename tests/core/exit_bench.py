"""A bench for the exits controller: a book, orders in the states the test names, and one question."""

from __future__ import annotations

from types import SimpleNamespace

from house_day import ACME, DAY, clock, sessions

from kitestring.core.exit_goal import ExitGoals
from kitestring.core.exits import Exits
from kitestring.core.order_manager import OrderManager
from kitestring.domain.ids import SignalId
from kitestring.domain.instants import NEVER
from kitestring.domain.money import price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import Book, OpenTrade
from kitestring.domain.verdicts import Approved, PlaceOrder

TEN = clock("10:00")
DAY_LONG = sessions(close="15:30", square_off="15:15", cutoff="15:00")


class Bench:
    """``net`` shares of ACME at 500, with a ``stop`` and a reason for ``leaving`` if given."""

    def __init__(self, net=10, *, stop=None, leaving=None, trail=None, freeze=0, side=None):
        self.instrument = SimpleNamespace(
            **{name: getattr(ACME, name) for name in ACME.__struct_fields__}
        )
        self.instrument.freeze_qty = freeze
        self.orders = OrderManager({})
        instruments = {ACME.id: self.instrument}
        self.exits = Exits(self.orders, instruments, ExitGoals(instruments, DAY_LONG, DAY, {}))
        self.trade = OpenTrade(
            side=side or (Side.BUY if net > 0 else Side.SELL), entry_at=TEN, signal_id=SignalId("s")
        )
        self.trade.stop_px = price(stop) if stop else None
        self.trade.trail_by = price(trail) if trail else None
        self.trade.leaving = leaving
        self.book = Book(strategy="one", instrument=ACME.id, product=Product.MIS, net_qty=net)
        self.book.trade = self.trade
        self.view = SimpleNamespace(
            instrument=self.instrument, last_px=price("500"), last_at=TEN, bid_px=price("499.95"),
            ask_px=price("500.05"), stale=False,
        )  # fmt: skip

    def order(self, tag, purpose, side, qty, *, said=ExecType.NEW, filled=0, stop=None, at=TEN):
        """An order of the book's, with the broker's last word on it; ``None``: not answered."""
        intent = OrderIntent(
            strategy="one", instrument=ACME.id, side=side, order_qty=qty, ord_type=OrdType.LIMIT,
            product=Product.MIS, purpose=purpose, reason="test", decision_px=price("500"),
            decided_at=at, stop_px=price(stop) if stop else None,
        )  # fmt: skip
        order = self.orders.placing(
            PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=at)), at, None
        )
        if said is not None:
            self.tell(tag, said, at=at)
        if filled:
            self.tell(
                tag, ExecType.TRADE, last_qty=filled, last_px=price("500"), exec_id="T", at=at
            )
        return order

    def stop(self, tag, qty, px="490", **more):
        return self.order(tag, Purpose.STOP, Side.SELL, qty, stop=px, **more)

    def exit(self, tag, qty, **more):
        return self.order(tag, Purpose.EXIT, Side.SELL, qty, **more)

    def entry(self, tag, qty, side=Side.SELL, **more):
        return self.order(tag, Purpose.ENTRY, side, qty, **more)

    def tell(self, tag, kind, *, at=TEN, **more):
        self.orders.apply(ExecutionReport(cl_ord_id=tag, exec_type=kind, event_at=at, **more))

    def wants(self, at=TEN):
        """What is to be sent, each in a few words; ``woken`` is when it wants to look again."""
        self.exits.wake_at = NEVER
        self.view.last_at = at
        wants = self.exits.settle(self.book, self.view, at)
        self.woken = self.exits.wake_at
        return wants

    def notes(self):
        kinds = [kind for kind, _ in self.exits.notes]
        self.exits.notes.clear()
        return kinds
