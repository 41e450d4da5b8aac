"""The real broker against the real exchange in virtual time: a calm market, scripted faults, a ledger.

The market stands at known prices and wiggles by a tick; hours of waiting pass in an instant. What the
broker says is judged by the exchange's own books, never by what the broker believes.
"""

import asyncio
import datetime as dt
import json
from contextlib import suppress

from aiohttp import ClientError, WSMsgType

from kitestring.broker.governor import Governor
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.order_manager import OrderManager
from kitestring.domain.ids import ClOrdIds, InstrumentId, StrategyId
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.market.sessions import sessions_for
from kitestring.sim.virtual_world import live

DAY = dt.date(2026, 11, 20)
TEN = instant(DAY, dt.time(10, 0))
PRICES = {"NSE:INFY": "1500.00", "NSE:SBIN": "800.00"}
INFY = InstrumentId("NSE:INFY")


class CalmMarket:
    """Two shares, a tick a second each from 10:00:00 on, 400 on either side of the book."""

    def __init__(self, seconds):
        self.seconds = seconds
        listed = {each.id: each for each in instruments_on(DAY)}
        self._shown = [listed[name] for name in PRICES]
        self.manifest = Manifest(
            name="calm",
            date=DAY,
            instruments=tuple(listed.values()),
            sessions=sessions_for(DAY),
            digest="calm",
            previous_close={name: price(px) for name, px in PRICES.items()},
        )

    def frames(self, after=0):
        for second in range(after, self.seconds):
            at = TEN + second * SECOND
            yield TickFrame(at, tuple(self._tick(each, second, at) for each in self._shown))

    def _tick(self, instrument, second, at):
        step = int(instrument.tick_size)
        last = int(price(PRICES[instrument.id])) + step * (second % 2)
        return Tick(
            instrument.id, at, last, 10_000 + 500 * second, last - step, 400, last + step, 400
        )

    def history(self, instrument, minutes, bars):
        return []


class Desk:
    """A trader's desk: the broker under test, what it said, and the exchange's own books."""

    def __init__(self, broker, exchange, stage, network, clock, http, token):
        self.broker, self.exchange, self.stage, self.network = broker, exchange, stage, network
        self.clock, self.http, self.token = clock, http, token
        self.ids = ClOrdIds("rehearsal", DAY)
        self.reports, self.notes = [], []
        self.commands = []
        self.house = OrderManager({})
        """The core's own book of orders, which must understand all that it is told."""
        self.surprises = []

    # what we send

    def place(self, qty=10, side=Side.BUY, px="1400.00", kind=OrdType.LIMIT, stop=None, tag=None,
              purpose=Purpose.ENTRY, instrument=INFY):  # fmt: skip
        intent = OrderIntent(
            strategy=StrategyId("one"), instrument=instrument, side=side, order_qty=qty,
            ord_type=kind, product=Product.MIS, purpose=purpose, reason="test",
            decision_px=price("1500.00"), decided_at=self.clock.now(),
            price=price(px) if kind in (OrdType.LIMIT, OrdType.SL) else None,
            stop_px=price(stop) if stop else None,
        )  # fmt: skip
        tag = tag or self.ids()
        self.send(PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=self.clock.now())))
        return tag

    def at_market(self, qty=10, side=Side.BUY, **more):
        return self.place(qty, side, kind=OrdType.MARKET, **more)

    def modify(self, tag, **fields):
        self.send(ModifyOrder(cl_ord_id=tag, at=self.clock.now(), **fields))

    def cancel(self, tag):
        self.send(CancelOrder(cl_ord_id=tag, at=self.clock.now(), reason="test"))

    def send(self, command):
        self.commands.append(command)
        match command:
            case PlaceOrder():
                self.house.placing(command, self.clock.now(), None)
            case ModifyOrder():
                self.house.modifying(command)
            case CancelOrder():
                self.house.cancelling(command)
        self.broker.carry_out(command, self.clock.now())

    # what we hear

    def listen(self):
        told = [report for _, report in self.broker.reports_until(self.clock.now())]
        self.reports += told
        for report in told:
            surprise = self.house.apply(report).surprise
            if surprise:
                self.surprises.append((report.cl_ord_id, surprise))
        self.notes += self.broker.notes()

    async def after(self, seconds):
        """Let time pass; the reports so far."""
        await asyncio.sleep(seconds)
        self.listen()
        return self.reports

    async def until(self, condition, seconds=30.0):
        """Wait until something is so; how long it took."""
        began = asyncio.get_running_loop().time()
        while True:
            self.listen()
            if condition():
                return asyncio.get_running_loop().time() - began
            assert asyncio.get_running_loop().time() - began < seconds, self.picture()
            await asyncio.sleep(0.02)

    def picture(self):
        """Everything that a person would look at when it never became so."""
        said = [(r.cl_ord_id[-5:], r.exec_type.value, r.cum_qty, r.text) for r in self.reports]
        rows = [(r["tag"], r["status"], r["filled_quantity"]) for r in self.orders()]
        return f"{said}\n{rows}\n{[note.sentence for note in self.notes]}"

    def told(self, tag):
        """The kinds of what was said of an order, in order."""
        return [report.exec_type for report in self.reports if report.cl_ord_id == tag]

    def of(self, tag, kind):
        """Everything of one kind said of an order."""
        return [r for r in self.reports if r.cl_ord_id == tag and r.exec_type is kind]

    def kinds(self):
        return [note.kind for note in self.notes]

    # what is true

    def orders(self, tag=None):
        """The exchange's own order book, or the orders with one tag."""
        rows = self.exchange.desk.orders(self.exchange.now())
        return [row for row in rows if tag is None or row["tag"] == tag]

    def row(self, tag):
        (row,) = self.orders(tag)
        return row

    def trades(self):
        return self.exchange.desk.trades(self.exchange.now())

    def held(self, name=INFY):
        position = self.exchange.floor.account.positions.get((name, Product.MIS))
        return 0 if position is None else position.net_qty

    def posts(self, method="POST"):
        """How many order requests of a kind reached the exchange's door."""
        return len(self.stage.ledger.conversations(method=method, path="/orders/"))

    def booked(self):
        """Net quantity by the trades we were told of, which must be the exchange's."""
        return sum(
            report.last_qty * (1 if self.side(report.cl_ord_id) is Side.BUY else -1)
            for report in self.reports
            if report.exec_type is ExecType.TRADE
        )

    def compare(self):
        """Every order of which we know the end stands in our book as in the exchange's."""
        over = {"COMPLETE": "FILLED", "CANCELLED": "CANCELED", "REJECTED": "REJECTED"}
        for row in self.orders():
            ours = self.house.table.get(row["tag"])
            if ours is not None and ours.status.terminal and len(self.orders(row["tag"])) == 1:
                assert over[row["status"]] == ours.status, row
                assert row["filled_quantity"] == ours.cum_qty, row

    def side(self, tag):
        return next(
            command.intent.side
            for command in self.commands
            if isinstance(command, PlaceOrder) and command.cl_ord_id == tag
        )

    async def updates(self):
        """Bring the WebSocket's order updates to the broker, as the ticker will."""
        address = f"http://127.0.0.1:8010/?api_key=kitestring&access_token={self.token}"
        with suppress(ClientError):
            async with self.http.session.ws_connect(address) as socket:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        continue
                    try:
                        self.broker.hint(json.loads(message.data)["data"])
                    except (ValueError, KeyError):
                        self.broker.hint()


def rehearse(play, script="", *, seconds=1200, hints=False, seed=1, orders=None, governor=None,
             client_of=KiteClient, limits=False, broker_options=None, at_end=True):  # fmt: skip
    """Run ``play(desk)`` in a fresh virtual world; nothing unexpected may have happened in it."""

    async def whole(network):
        clock = ExchangeClock(TEN)
        exchange = LocalExchange(
            ExchangeSettings(
                seed=seed, switches=Switches(rate_limits=limits), orders=orders or OrderSettings()
            ),
            CalmMarket(seconds),
            clock,
        )
        stage = RehearsalStage(exchange, clock, script=parse_script(script))
        served = Served(
            exchange,
            port=8010,
            middlewares=stage.middlewares,
            set_up=[lambda app, local: add_feed(app, local, clock), stage.set_up],
        )
        await served.start()
        settings = local_settings(served.rest, api_key="kitestring")
        token = exchange.sessions.log_in(clock.now(), "kitestring").access_token
        async with KiteHttp(settings) as http:
            client = client_of(settings, Secret(token), http)
            broker = KiteBroker(
                client, now=clock.now, governor=governor or Governor(), **(broker_options or {})
            )
            broker.start()
            desk = Desk(broker, exchange, stage, network, clock, http, token)
            listening = asyncio.create_task(desk.updates()) if hints else None
            await asyncio.sleep(1)
            try:
                answer = await play(desk)
                desk.listen()
                if at_end:
                    assert [note for note in desk.notes if note.kind == "fault"] == []
                    told = [r.exec_id for r in desk.reports if r.exec_type is ExecType.TRADE]
                    assert len(told) == len(set(told)), "a trade was told twice"
                    assert desk.surprises == []
                    desk.compare()
            finally:
                if listening is not None:
                    listening.cancel()
                    with suppress(asyncio.CancelledError):
                        await listening
                await broker.close()
        await served.stop()
        assert served.app[FAILURES] == []
        return answer

    return live(whole, seed=seed)
