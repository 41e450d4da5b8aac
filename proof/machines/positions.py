"""The portfolio against a list of cash flows: several strategies on one contract, in one account.

The model keeps every flow ever booked and adds them up anew each time, in whole numbers. Fills come in
any order, cross zero, are told of others' orders, or are a person's adjustment; positions are carried
in from yesterday. After each, ``sold - bought + net x mark`` is the same on both sides.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kitestring.core.portfolio import Portfolio
from kitestring.domain.charges import Charges
from kitestring.domain.ids import ClOrdId, ExecId, InstrumentId, StrategyId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Money, Price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    ExitReason,
    Order,
    OrdStatus,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.positions import CarriedPosition, OpenTrade, RoundTrip

MULTIPLIER = 3
SHARED = Instrument(
    id=InstrumentId("NFO:X26NOVFUT"),
    exchange="NFO",
    symbol="X26NOVFUT",
    token=1,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="X",
    lot_size=1,
    tick_size=Price(1),
    multiplier=MULTIPLIER,
    expiry=dt.date(2026, 11, 24),
)
NAMES = tuple(StrategyId(name) for name in ("one", "two", "three"))
CARRIED = StrategyId("carried")


class Flow(NamedTuple):
    """Signed quantity at a price."""

    qty: int
    px: int


class _ByValue:
    """A flat fee an order, and a share of its value: any split of an order must add up to the whole."""

    name = "by value"

    def order_charges(
        self, instrument: Instrument, product: Product, side: Side, traded_value: Money
    ) -> Charges:
        """What the whole order costs so far."""
        del instrument, product
        fee = 7 if traded_value else 0
        return Charges(
            brokerage=ChargeUnits(fee),
            stt=ChargeUnits(int(traded_value) // 13 if side is Side.SELL else 0),
        )


class PositionsMachine(RuleBasedStateMachine):
    """Rules are fills, adjustments and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.charge_book = _ByValue()
        self.portfolio = Portfolio({SHARED.id: SHARED}, self.charge_book, {})
        for name in NAMES:
            self.portfolio.open(name, SHARED.id, Product.NRML)
        self.flows: dict[StrategyId, list[Flow]] = {name: [] for name in NAMES}
        self.orders: dict[ClOrdId, Order] = {}
        self.charged: dict[ClOrdId, int] = {}
        self.trips: list[RoundTrip] = []
        self.numbers = 0
        self.at = 1_000

    @rule(name=st.sampled_from(NAMES), buy=st.booleans(), qty=st.integers(1, 9))
    def order(self, name: StrategyId, buy: bool, qty: int) -> None:
        """A new order of ours; its fills come when they like."""
        self.numbers += 1
        tag = ClOrdId(f"K{self.numbers}")
        self.orders[tag] = self._order(tag, name, Side.BUY if buy else Side.SELL, qty)

    def _order(self, tag: ClOrdId, name: StrategyId, side: Side, qty: int) -> Order:
        return Order(
            cl_ord_id=tag,
            strategy=name,
            instrument=SHARED.id,
            side=side,
            order_qty=qty,
            ord_type=OrdType.MARKET,
            product=Product.NRML,
            purpose=Purpose.ENTRY,
            reason="",
            decision_px=Price(100),
            created_at=self.at,
            updated_at=self.at,
            status=OrdStatus.NEW,
            closes_qty=1,
        )

    @rule(place=st.integers(0, 99), qty=st.integers(1, 5), px=st.integers(1, 400))
    def fill(self, place: int, qty: int, px: int) -> None:
        """A part of any order that is not filled."""
        waiting = [each for each in self.orders.values() if each.cum_qty < each.order_qty]
        if waiting:
            order = waiting[place % len(waiting)]
            self._book(order, min(qty, order.order_qty - order.cum_qty), px)

    @rule(name=st.sampled_from(NAMES), px=st.integers(1, 400), share=st.integers(1, 9))
    def closed_by_others(self, name: StrategyId, px: int, share: int) -> None:
        """Somebody else's order took some of a position: booked from that trade."""
        net = self.portfolio.books[name].net_qty
        if not net:
            return
        self.numbers += 1
        side = Side.SELL if net > 0 else Side.BUY
        qty = min(share, abs(net))
        self._book(self._order(ClOrdId(f"H{self.numbers}"), name, side, qty), qty, px)

    def _book(self, order: Order, qty: int, px: int) -> None:
        self.at += 1
        self.numbers += 1
        name, tag = order.strategy, order.cl_ord_id
        order.cum_qty += qty
        order.traded_value = order.traded_value + Price(px) * qty
        report = ExecutionReport(
            cl_ord_id=tag,
            exec_type=ExecType.TRADE,
            event_at=self.at,
            exec_id=ExecId(f"T{self.numbers}"),
            last_qty=qty,
            last_px=Price(px),
            cum_qty=order.cum_qty,
        )
        before = sum(flow.qty for flow in self.flows[name])
        fill, closed = self.portfolio.book(order, report)
        self.flows[name].append(Flow(order.side.sign * qty, px))
        after = sum(flow.qty for flow in self.flows[name])
        self.charged[tag] = self.charged.get(tag, 0) + int(fill.charges.total)
        whole = self.charge_book.order_charges(
            SHARED, Product.NRML, order.side, order.traded_value * MULTIPLIER
        )
        assert self.charged[tag] == int(whole.total), "increments do not add up to the order"
        ended = bool(before) and (after == 0 or (before > 0) is not (after > 0))
        assert (closed is not None) is ended, f"{name}: {before} to {after}"
        if closed is not None:
            self.trips.append(closed)

    @rule(name=st.sampled_from(NAMES), aim=st.integers(-6, 6), px=st.integers(1, 400))
    def adjust(self, name: StrategyId, aim: int, px: int) -> None:
        """A person's word."""
        book = self.portfolio.books[name]
        change = aim - book.net_qty
        if change:
            told, _ = self.portfolio.adjust(
                book, aim, Price(px), self.at, source="test", reason="said"
            )
            assert told.qty == change
            self.flows[name].append(Flow(change, px))

    @rule(net=st.integers(-5, 5).filter(bool), mark=st.integers(1, 400), entry=st.integers(1, 400))
    def carry(self, net: int, mark: int, entry: int) -> None:
        """A position from yesterday, at yesterday's close; once a day."""
        if CARRIED in self.portfolio.books:
            return
        side = Side.BUY if net > 0 else Side.SELL
        trade = OpenTrade(
            side=side,
            entry_at=1,
            signal_id=None,
            entry_qty=abs(net),
            entry_value=Price(entry) * (abs(net) * MULTIPLIER),
            leaving=ExitReason.OPERATOR,
            brought=Money((mark - entry) * net * MULTIPLIER),
        )
        position = CarriedPosition(
            strategy=CARRIED,
            instrument=SHARED,
            product=Product.NRML,
            net_qty=net,
            mark_px=Price(mark),
            trade=trade,
        )
        self.portfolio.carry(position, CARRIED, "")
        self.flows[CARRIED] = [Flow(net, mark)]
        self.orders[ClOrdId("C")] = self._order(ClOrdId("C"), CARRIED, side.opposite, abs(net))

    @rule()
    def restart(self) -> None:
        """Books are taken up from their cells."""
        cells = {
            f"book/{name}": msgspec.msgpack.encode(book)
            for name, book in self.portfolio.books.items()
        }
        again = Portfolio({SHARED.id: SHARED}, self.charge_book, {})
        for name in NAMES:
            again.open(name, SHARED.id, Product.NRML)
        again.restore(cells)
        assert again.books == self.portfolio.books
        assert again.realised == self.portfolio.realised
        assert again.charges == self.portfolio.charges
        self.portfolio = again

    @invariant()
    def identity_holds_to_the_unit(self) -> None:
        realised = charges = 0
        for name, flows in self.flows.items():
            book = self.portfolio.books[name]
            net = sum(flow.qty for flow in flows)
            cash = -sum(flow.qty * flow.px for flow in flows) * MULTIPLIER
            assert book.net_qty == net == book.bought_qty - book.sold_qty
            for mark in (1, 77, 400):
                result = int(book.realised) + int(book.unrealised(Price(mark)))
                assert result == cash + net * mark * MULTIPLIER, f"{name} at {mark}"
            assert (book.trade is not None) is (net != 0)
            if book.trade is not None:
                assert (book.trade.side is Side.BUY) is (net > 0)
                assert book.trade.entry_qty - book.trade.exit_qty == abs(net)
            realised += int(book.realised)
            charges += int(book.charges.total)
        assert int(self.portfolio.realised) == realised
        assert int(self.portfolio.charges.total) == charges == sum(self.charged.values())
        held = self.portfolio.open_by_instrument.get(SHARED.id, ())
        assert {book.strategy for book in held} == {
            name for name, flows in self.flows.items() if sum(flow.qty for flow in flows)
        }

    def teardown(self) -> None:
        """Of a strategy that is flat and had no adjustment, the trips make up all of its cash."""
        for name in NAMES:
            if (
                any(flow.qty for flow in self.flows[name])
                and not self.portfolio.books[name].net_qty
            ):
                mine = [trip for trip in self.trips if trip.strategy == name]
                assert all(trip.exit_at >= trip.entry_at for trip in mine)


MACHINE: type[Any] = PositionsMachine
