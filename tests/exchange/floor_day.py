"""A day at the exchange itself, with that date's own timetable, told in a few words."""

import datetime as dt

from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, money, price, rupees_text
from kitestring.domain.orders import OrdType, Product, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.fill_models import MARKET
from kitestring.exchange.ledger import MemoryLedger, What
from kitestring.exchange.matching import Matcher
from kitestring.exchange.recovery import recover
from kitestring.market.sessions import sessions_for

NOW = dt.date(2026, 11, 20)
LIMIT, SL, SL_M = OrdType.LIMIT, OrdType.SL, OrdType.SL_M
MIS, NRML, CNC = Product.MIS, Product.NRML, Product.CNC


def contract(exchange, symbol, kind, segment, **more):
    fields = {"name": symbol, "lot_size": 1, "tick_size": price("0.05")} | more
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=len(symbol),
        kind=kind,
        segment=segment,
        **fields,
    )


FUTURE = contract(
    "NFO",
    "NIFTYFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    freeze_qty=1800,
    tick_size=price("0.10"),
    expiry=dt.date(2026, 12, 29),
)
STOCK_FUTURE = contract(
    "NFO",
    "BIGFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="BIG",
    expiry=dt.date(2026, 12, 29),
)
CALL = contract(
    "NFO",
    "NIFTYCE",
    InstrumentKind.CALL,
    Segment.OPTIONS,
    name="NIFTY",
    lot_size=65,
    strike=price(24000),
    expiry=dt.date(2026, 12, 29),
)
SHARE = contract("NSE", "SMALL", InstrumentKind.EQUITY, Segment.EQUITY)
BIG = contract("NSE", "BIG", InstrumentKind.EQUITY, Segment.EQUITY_WITH_DERIVATIVES)
ALL = {each.id: each for each in (FUTURE, STOCK_FUTURE, CALL, SHARE, BIG)}


class FreeBook:
    name = "free"

    def order_charges(self, instrument, product, side, traded_value):
        return NO_CHARGES


def told_words(entry):
    line = f"{entry.tag} {entry.what.value}"
    if entry.what is What.TRADE:
        return f"{line} {entry.last_qty} @ {rupees_text(Price(entry.last_px))}"
    return f"{line} {entry.text}".strip()


class FloorDay:
    """Ticks and requests in, what was announced out."""

    def __init__(self, date=NOW, *, records=None, at=0, position=0, **parts):
        self.date = date
        self.parts = {
            "instruments": ALL,
            "sessions": sessions_for(date),
            "charges": FreeBook(),
            "cash": money(10**8),
            "fill_model": MARKET,
            "seed": 7,
            "own_clock": True,
        } | parts
        self.ledger = MemoryLedger(records or ())
        self.floor = Matcher(**self.parts, ledger=self.ledger)
        if records is not None:
            recover(self.floor, records, at, position)
        self.position = 0
        self.now = self.clock("08:00")
        self.entries = []

    def clock(self, text):
        return instant(self.date, dt.time.fromisoformat(text))

    def wait(self, text):
        """Let the clock run; whoever reads it asks for what is due."""
        self.now = self.clock(text)
        self._listen(self.now)

    def _listen(self, until):
        while self.floor.next_due_at <= until:
            due = self.floor.next_due_at
            self.entries += [entry for _, entry in self.floor.announcements_until(due)]

    def tick(self, at, last, bid=None, ask=None, *, vol=0, of=SHARE):
        self.wait(at)
        bid_px, bid_qty = (price(bid[0]), bid[1]) if bid else (Price(0), 0)
        ask_px, ask_qty = (price(ask[0]), ask[1]) if ask else (Price(0), 0)
        self.position += 1
        one = Tick(of.id, self.now, price(last), vol, bid_px, bid_qty, ask_px, ask_qty)
        self.floor.observe(self.position, TickFrame(self.now, (one,)))
        self._listen(self.now)

    def place(self, tag, side, qty, kind=OrdType.MARKET, *, of=SHARE, product=CNC, **fields):
        self.floor.place(
            at=self.now,
            tag=tag,
            instrument=of.id,
            side=side,
            qty=qty,
            ord_type=kind,
            product=product,
            validity=fields.pop("validity", TimeInForce.DAY),
            price=price(fields.pop("price", 0)),
            trigger_price=price(fields.pop("stop", 0)),
            protection_bp=fields.pop("protection_bp", 0),
            **fields,
        )

    def buy(self, tag, qty, kind=OrdType.MARKET, **fields):
        self.place(tag, Side.BUY, qty, kind, **fields)

    def sell(self, tag, qty, kind=OrdType.MARKET, **fields):
        self.place(tag, Side.SELL, qty, kind, **fields)

    def modify(self, tag, **fields):
        if "price" in fields:
            fields["price"] = price(fields["price"])
        self.floor.modify(at=self.now, tag=tag, **fields)

    def cancel(self, tag):
        self.floor.cancel(at=self.now, tag=tag)

    @property
    def told(self):
        """Everything announced up to a second from now."""
        self._listen(self.now + 999_000)
        return [told_words(entry) for entry in self.entries]

    @property
    def told_after(self):
        """What was announced since this was last asked."""
        told = self.told
        self.entries = []
        return told
