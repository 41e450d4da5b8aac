"""A floor, a desk and a market told in a few words, for tests of the order desk."""

import datetime as dt
import itertools

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import money, price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.exchange.desk.order_status import FOLLOWERS, OrderStatus
from kitestring.exchange.fill_models import MARKET
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.matching import Matcher
from kitestring.market.sessions import sessions_for

DAY = dt.date(2026, 11, 20)
BEFORE_PROTECTION = dt.date(2026, 3, 30)
"""The last trading day on which MARKET orders needed no protection; the 31st is a holiday."""


class NoCharges:
    def order_charges(self, instrument, product, side, traded_value):
        return NO_CHARGES


def listed(exchange, symbol, token, kind, segment, **more):
    fields = {"lot_size": 1, "tick_size": price("0.05"), "name": symbol} | more
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=token,
        kind=kind,
        segment=segment,
        **fields,
    )


SBIN = listed("NSE", "SBIN", 779521, InstrumentKind.EQUITY, Segment.EQUITY_WITH_DERIVATIVES)
BHEL = listed("NSE", "BHEL", 112129, InstrumentKind.EQUITY, Segment.EQUITY)
BSE_SBIN = listed("BSE", "SBIN", 128028676, InstrumentKind.EQUITY, Segment.EQUITY)
INDEX = listed(
    "NSE", "NIFTY 50", 256265, InstrumentKind.INDEX, Segment.INDEX, name="NIFTY", has_depth=False
)
FUTURE = listed(
    "NFO",
    "NIFTY26NOVFUT",
    8960002,
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    freeze_qty=1800,
    tick_size=price("0.10"),
    expiry=dt.date(2026, 11, 23),
)
CALL = listed(
    "NFO",
    "NIFTY26NOV24000CE",
    8960258,
    InstrumentKind.CALL,
    Segment.OPTIONS,
    name="NIFTY",
    lot_size=65,
    freeze_qty=1800,
    strike=price(24000),
    expiry=dt.date(2026, 11, 23),
)
GOLD = listed("MCX", "GOLDPETAL26NOVFUT", 58424839, InstrumentKind.FUTURE, Segment.FUTURES)
ALL = (SBIN, BHEL, BSE_SBIN, INDEX, FUTURE, CALL, GOLD)
PRICES = {SBIN: 800, BHEL: 200, BSE_SBIN: 800, FUTURE: 24000, CALL: 100, GOLD: 9000}


class Rig:
    """One exchange day under test; its clock stands where the last word left it."""

    def __init__(
        self, *, cash=100_000_000, day=DAY, model=MARKET, start="10:00:00", seed=7, **desk
    ):
        self.day = day
        self.ledger = MemoryLedger()
        self.floor = Matcher(
            instruments={each.id: each for each in ALL},
            sessions=sessions_for(day),
            charges=NoCharges(),
            cash=money(cash),
            fill_model=model,
            seed=seed,
            ledger=self.ledger,
        )
        self.desk = OrderDesk(
            self.floor,
            Listing(day, ALL),
            user_id="AB1234",
            app_id=1234,
            api_secret="secret",
            **desk,
        )
        self.updates = []
        self.position = 0
        self.volume = 0
        self.now = self.clock(start)

    def clock(self, text):
        return instant(self.day, dt.time.fromisoformat(text))

    def run_to(self, now):
        """Let time pass; the desk is asked whenever it has asked to be."""
        if isinstance(now, str):
            now = self.clock(now)
        while self.desk.next_due_at <= now:
            self.updates += self.desk.advance(self.desk.next_due_at)
        self.now = now

    def wait(self, seconds=2):
        self.run_to(self.now + int(seconds * SECOND))

    def open_market(self):
        """Every instrument trades around its usual price, a tick of spread, plenty on both sides."""
        for instrument, last in PRICES.items():
            self.tick(instrument, last)
        return self

    def tick(self, instrument, last, *, qty=1_000_000, bid=None, ask=None, wait=1, traded=0):
        """One second passes and an instrument ticks; ``qty`` stands on either side."""
        self.wait(wait)
        self.position += 1
        self.volume += traded
        last = price(str(last))
        size = instrument.tick_size
        self.floor.observe(
            self.position,
            TickFrame(
                self.now,
                (
                    Tick(
                        instrument.id,
                        self.now,
                        last,
                        1_000 + self.volume,
                        price(str(bid)) if bid else last - size,
                        qty,
                        price(str(ask)) if ask else last + size,
                        qty,
                    ),
                ),
            ),
        )
        self.updates += self.desk.advance(self.now)

    def place(self, instrument=SBIN, side="BUY", quantity=1, variety="regular", **fields):
        """Place an order, by default a carried LIMIT at the usual price; the answer."""
        source = {"source": fields.pop("source")} if "source" in fields else {}
        carried = "CNC" if instrument.kind is InstrumentKind.EQUITY else "NRML"
        form = {
            "exchange": instrument.exchange,
            "tradingsymbol": instrument.symbol,
            "transaction_type": side,
            "quantity": quantity,
            "product": carried,
            "order_type": "LIMIT",
            "validity": "DAY",
        } | fields
        if form["order_type"] in ("LIMIT", "SL"):
            form.setdefault("price", PRICES.get(instrument, 100))
        if form["order_type"] in ("MARKET", "SL-M"):
            form.setdefault("market_protection", -1)
        return self.desk.place(
            self.now,
            variety,
            Form({name: str(value) for name, value in form.items() if value is not None}),
            **source,
        )

    def order(self, *args, **fields):
        """Place an order; its id."""
        return self.place(*args, **fields)["order_id"]

    def modify(self, order_id, variety="regular", **fields):
        form = Form({name: str(value) for name, value in fields.items()})
        return self.desk.modify(self.now, variety, order_id, form)

    def cancel(self, order_id, variety="regular", **fields):
        return self.desk.cancel(self.now, variety, order_id, **fields)

    def row(self, order_id):
        return next(row for row in self.desk.orders(self.now) if row["order_id"] == order_id)

    def statuses(self, order_id):
        return [row["status"] for row in self.desk.history(self.now, order_id)]

    def pushed(self, order_id):
        return [each.row["status"] for each in self.updates if each.order_id == order_id]

    def hold(self, instrument, quantity):
        """Buy shares for the account, so that they can be sold."""
        order_id = self.order(instrument, "BUY", quantity, order_type="MARKET")
        self.wait(3)
        assert self.row(order_id)["status"] == "COMPLETE"
        return self

    def check_laws(self):
        """What holds of every order at every moment."""
        trades = self.desk.trades(self.now)
        assert len({row["trade_id"] for row in trades}) == len(trades)
        for row in self.desk.orders(self.now):
            status = OrderStatus(row["status"])
            order_id = row["order_id"]
            mine = self.desk.order_trades(self.now, order_id)
            assert sum(trade["quantity"] for trade in mine) == row["filled_quantity"]
            assert mine == [trade for trade in trades if trade["order_id"] == order_id]
            if mine:
                value = sum(price(str(t["average_price"])) * t["quantity"] for t in mine)
                assert abs(row["average_price"] * row["filled_quantity"] * 10_000 - value) < 1
            else:
                assert row["average_price"] == 0
            if not status.over:
                assert row["filled_quantity"] + row["pending_quantity"] == row["quantity"]
                assert row["cancelled_quantity"] == 0
            if status is OrderStatus.COMPLETE:
                assert row["filled_quantity"] == row["quantity"]
            if status is OrderStatus.CANCELLED and row["variety"] != "auction":
                assert row["filled_quantity"] + row["cancelled_quantity"] == row["quantity"]
            history = self.desk.history(self.now, order_id)
            assert row == history[-1]
            for before, after in itertools.pairwise(history):
                assert OrderStatus(after["status"]) in FOLLOWERS[OrderStatus(before["status"])]
                assert after["filled_quantity"] >= before["filled_quantity"]
                assert after["order_timestamp"] >= before["order_timestamp"]
