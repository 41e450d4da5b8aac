"""A core and a broker's account that others use as well: everything happens at once, one thing at a time.

The account knows who did what, so that it can judge: what the house sent, what it owned, and what
the broker held at that moment.
"""

from __future__ import annotations

import msgspec
from house_day import ACME, HouseDay, cells_of, clock, frame, scripted, sessions, tick

from kitestring.domain.events import (
    Adjustment,
    BrokerOrderRow,
    BrokerPosition,
    BrokerSnapshot,
    DayOpening,
    Note,
    OperatorCommand,
    OperatorWord,
    OthersTrade,
    Reports,
    Resolution,
    TimerFired,
)
from kitestring.domain.instants import SECOND
from kitestring.domain.money import money, price
from kitestring.domain.orders import ExecType, ExecutionReport, OrdType, Product, Purpose, Side
from kitestring.domain.positions import CarriedPosition, Fill, OpenTrade, RoundTrip
from kitestring.domain.verdicts import Blocked, CancelOrder, ModifyOrder, PlaceOrder

DAY = sessions(close="10:30", square_off="10:20", cutoff="10:15")


class Resting(msgspec.Struct):
    tag: str
    order_id: str
    side: Side
    qty: int
    kind: OrdType
    stop_px: int
    purpose: Purpose
    filled: int = 0
    status: str = "NEW"


class SharedAccount:
    def __init__(self, *scripts, stamp="09:15:00", lots=10, late=False, product=Product.MIS):
        scripts = scripts or ("2 BUY stop=-5",)
        names = ("one", "two", "three")
        rows = [
            scripted(names[i], ACME, text, lots=lots, product=product)
            for i, text in enumerate(scripts)
        ]
        self.product = product.value
        self.house = HouseDay(rows, [], instruments=(ACME,), timetable=DAY)
        self.core = self.house.fresh_core()
        self.now, self.px, self.late = clock(stamp), price("500.00"), late
        self.net = self.overnight = 0
        self.orders: dict[str, Resting] = {}
        self.others: list[OthersTrade] = []
        self.told: list = []
        self.facts: list = []
        self.held_back: list = []
        self.exits: list[tuple[int, int, int]] = []
        """Of each exit that filled: its signed quantity, what was owned, the broker's net before it."""

    # ── what happens ─────────────────────────────────────────────────────────────────────────

    def step(self, event):
        commands = self.core.step(event)
        facts, _ = self.core.take()
        self.facts += facts
        for command in commands:
            self._carry_out(command)
        return self

    def tick(self, px=None):
        if px is not None:
            self.px = price(px)
        self.now += SECOND
        while self.core.next_due_at <= self.now:
            self.step(TimerFired(self.core.next_due_at))
        self.step(frame(msgspec.structs.replace(tick(self.now, ACME, "500.00"), last_px=self.px)))
        for order in list(self.orders.values()):
            fired = (
                self.px <= order.stop_px if order.side is Side.SELL else self.px >= order.stop_px
            )
            if order.status == "NEW" and order.stop_px and fired:
                self._fill(order)
        return self

    def carried(self, qty, *, stop=None, target=None, **more):
        """Bought yesterday at 500 for the first strategy; ``more`` is said of the position."""
        trade = OpenTrade(side=Side.BUY, entry_at=self.now - 86_400 * SECOND, signal_id=None)
        trade.entry_qty, trade.entry_value = qty, self.px * qty
        trade.stop_px = price(stop) if stop else None
        trade.target_px = price(target) if target else None
        position = CarriedPosition(
            strategy="one",
            instrument=ACME,
            product=Product(self.product),
            net_qty=qty,
            mark_px=self.px,
            trade=trade,
            **more,
        )
        return self.step(
            DayOpening(
                at=self.now,
                date="2026-11-19",
                run_key="test",
                equity=money("1000000"),
                peak_equity=money("1000000"),
                positions=(position,),
            )
        )

    def until(self, text):
        while self.now < clock(text):
            self.tick()
        return self

    def until_stopped(self):
        """Until a stop rests again."""
        while not self.stops:
            self.tick()
        return self

    def by_hand(self, side, qty, *, rms=False, product="MIS"):
        """A trade past the house."""
        self.net += qty * side.sign
        number = len(self.others) + 1
        self.others.append(
            OthersTrade(
                trade_id=f"T{number}",
                order_id=f"9{number:014d}",
                instrument=ACME.id,
                product=product,
                side=side,
                qty=qty,
                px=self.px,
                at=self.now,
                rms=rms,
            )
        )
        return self

    def cancel_by_hand(self, purpose=Purpose.STOP, text=""):
        (order,) = (o for o in self.orders.values() if o.status == "NEW" and o.purpose is purpose)
        order.status = "CANCELED"
        self._tell(order, ExecType.CANCELED, text=text)
        return self

    def look(self, *, trusted=True, times=1):
        for _ in range(times):
            self.now += SECOND
            net = {f"{ACME.id}/{self.product}": self.net} if self.net else {}
            self.step(
                BrokerSnapshot(
                    at=self.now,
                    read_at=self.now,
                    trusted=trusted,
                    why="" if trusted else "an acknowledged order does not appear",
                    orders=tuple(
                        BrokerOrderRow(
                            cl_ord_id=order.tag,
                            order_id=order.order_id,
                            instrument=ACME.id,
                            status=order.status,
                            order_qty=order.qty,
                            cum_qty=order.filled,
                        )
                        for order in self.orders.values()
                    ),
                    net_qty=net,
                    others=tuple(self.others),
                    positions=(
                        BrokerPosition(
                            instrument=ACME.id,
                            product=self.product,
                            net_qty=self.net,
                            overnight_qty=self.overnight,
                            average_px=self.px,
                            last_px=self.px,
                        ),
                    ),
                )
            )
        return self

    def resolve(self, how, instrument=ACME.id):
        command = OperatorCommand(
            at=self.now, word=OperatorWord.RESOLVE, instrument=instrument,
            resolution=Resolution(how),
        )  # fmt: skip
        return self.step(command)

    def restart(self):
        """Another core from the cells of this one; the same account."""
        cells = cells_of(self.core)
        core = self.house.fresh_core()
        core.observe(frame(msgspec.structs.replace(tick(self.now, ACME, "1"), last_px=self.px)))
        core.restore(cells)
        assert msgspec.msgpack.encode(core.view.state) == cells["core/view"]
        self.core = core
        return self

    # ── the broker ───────────────────────────────────────────────────────────────────────────

    def _carry_out(self, command):
        match command:
            case PlaceOrder(cl_ord_id=tag, intent=intent):
                order = self.orders[tag] = Resting(
                    tag, f"1{len(self.orders):014d}", intent.side, intent.order_qty,
                    intent.ord_type, int(intent.stop_px or 0), intent.purpose,
                )  # fmt: skip
                self._tell(order, ExecType.NEW)
                if order.kind is OrdType.MARKET:
                    self._fill(order)
            case ModifyOrder(cl_ord_id=tag):
                order = self.orders[tag]
                order.qty = command.order_qty or order.qty
                order.stop_px = int(command.stop_px or order.stop_px)
                self._tell(
                    order, ExecType.REPLACED, order_qty=order.qty, stop_px=command.stop_px,
                    price=command.price,
                )  # fmt: skip
            case CancelOrder(cl_ord_id=tag):
                order = self.orders[tag]
                if order.status == "NEW":
                    order.status = "CANCELED"
                    self._tell(order, ExecType.CANCELED)

    def _fill(self, order):
        qty = order.qty - order.filled
        order.filled, order.status = order.qty, "FILLED"
        if order.purpose is not Purpose.ENTRY:
            self.exits.append((qty * order.side.sign, self.owned, self.net))
        self.net += qty * order.side.sign
        self._tell(
            order, ExecType.TRADE, exec_id=f"X{order.tag}", last_qty=qty, last_px=self.px,
            cum_qty=order.filled,
        )  # fmt: skip

    def _tell(self, order, kind, **more):
        report = ExecutionReport(
            cl_ord_id=order.tag, exec_type=kind, event_at=self.now, order_id=order.order_id, **more
        )
        if self.late and kind is ExecType.TRADE and order.purpose is not Purpose.ENTRY:
            self.held_back.append(report)
        else:
            self.step(Reports(self.now, (report,)))

    def tell_what_was_held_back(self):
        held, self.held_back = self.held_back, []
        return self.step(Reports(self.now, tuple(held)))

    # ── what is true ─────────────────────────────────────────────────────────────────────────

    @property
    def owned(self):
        return sum(book.net_qty for book in self.core.portfolio.books.values())

    @property
    def stops(self):
        return [o.qty for o in self.orders.values() if o.status == "NEW" and o.stop_px]

    @property
    def fills(self):
        return [(each.side.value, each.qty, each.fill_id) for each in self.of(Fill)]

    @property
    def reasons(self):
        return [trip.exit_reason.value for trip in self.of(RoundTrip)]

    @property
    def notes(self):
        return [note.kind for note in self.of(Note)]

    @property
    def blocked(self):
        return [blocked.code for blocked in self.of(Blocked)]

    @property
    def adjusted(self):
        return [(each.strategy, each.qty, int(each.px) / 10_000) for each in self.of(Adjustment)]

    def of(self, kind):
        return [fact for fact in self.facts if isinstance(fact, kind)]
