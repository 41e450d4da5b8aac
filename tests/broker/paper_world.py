"""A market day told in a few words, for tests of the paper broker."""

import datetime as dt

from kitestring.broker.paper_broker import PaperBroker
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import MINUTE, instant, ist_clock
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import ChargeUnits, Money, Price, money, price, rupees_text
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrdType,
    Product,
    Purpose,
    Side,
    TimeInForce,
)
from kitestring.domain.sessions import Phase, PhaseKind, Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import Approved, CancelOrder, ModifyOrder, PlaceOrder
from kitestring.exchange.fill_models import MARKET
from kitestring.exchange.ledger import MemoryLedger

DAY = dt.date(2026, 11, 20)


def clock(text):
    return instant(DAY, dt.time.fromisoformat(text))


def session(segment, close):
    open_at, close_at = clock("09:15"), clock(close)
    return Session(
        date=DAY,
        segment=segment,
        open_at=open_at,
        close_at=close_at,
        entry_cutoff_at=close_at - 30 * MINUTE,
        square_off_at=close_at - 20 * MINUTE,
        phases=(
            Phase(PhaseKind.PRE_OPEN, clock("09:00"), clock("09:08")),
            Phase(PhaseKind.BUFFER, clock("09:08"), open_at),
            Phase(PhaseKind.CONTINUOUS, open_at, close_at),
        ),
    )


SESSIONS = {
    Segment.FUTURES: session(Segment.FUTURES, "15:40"),
    Segment.OPTIONS: session(Segment.OPTIONS, "15:40"),
    Segment.EQUITY: session(Segment.EQUITY, "15:30"),
}


def instrument(exchange, symbol, kind, segment, **more):
    fields = {"lot_size": 1, "tick_size": price("0.05"), "name": symbol} | more
    return Instrument(
        id=instrument_id(exchange, symbol),
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=segment,
        **fields,
    )


FUTURE = instrument(
    "NFO",
    "NIFTY26NOVFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    tick_size=price("0.10"),
    freeze_qty=1800,
    expiry=dt.date(2026, 11, 23),
)
CALL = instrument(
    "NFO",
    "NIFTY26NOV24000CE",
    InstrumentKind.CALL,
    Segment.OPTIONS,
    name="NIFTY",
    lot_size=65,
    freeze_qty=1800,
    strike=price(24000),
    expiry=dt.date(2026, 11, 23),
)
SHARE = instrument("NSE", "ACME", InstrumentKind.EQUITY, Segment.EQUITY)
BSE_SHARE = instrument("BSE", "ACME", InstrumentKind.EQUITY, Segment.EQUITY)
INDEX = instrument("NSE", "NIFTY 50", InstrumentKind.INDEX, Segment.INDEX)
EXPIRED = instrument(
    "NFO",
    "NIFTY26OCTFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    lot_size=65,
    expiry=dt.date(2026, 10, 27),
)
ALL = {each.id: each for each in (FUTURE, CALL, SHARE, BSE_SHARE, INDEX, EXPIRED)}


class FreeBook:
    name = "free"

    def order_charges(self, instrument, product, side, traded_value):
        return NO_CHARGES


class TwentyAnOrder:
    """₹20 an order that has traded, and 0.01 % of a sale."""

    name = "twenty"

    def order_charges(self, instrument, product, side, traded_value):
        if not traded_value:
            return NO_CHARGES
        tax = int(traded_value) * 100 if side is Side.SELL else 0
        return Charges(brokerage=ChargeUnits(20 * 10**10), stt=ChargeUnits(tax))


def place(tag, side, qty, at, ord_type, **fields):
    fields = {"product": Product.MIS, "instrument": FUTURE.id} | fields
    for name in ("price", "stop_px"):
        if isinstance(fields.get(name), str):
            fields[name] = price(fields[name])
    intent = OrderIntent(
        strategy="test",
        side=side,
        order_qty=qty,
        ord_type=ord_type,
        purpose=Purpose.ENTRY,
        reason="test",
        decision_px=Price(0),
        decided_at=at,
        **fields,
    )
    return PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=at))


def tick(at, last, bid=None, ask=None, *, vol=0, of=FUTURE):
    bid_px, bid_qty = (price(bid[0]), bid[1]) if bid else (Price(0), 0)
    ask_px, ask_qty = (price(ask[0]), ask[1]) if ask else (Price(0), 0)
    return Tick(of.id, at, price(last), vol, bid_px, bid_qty, ask_px, ask_qty)


def words(report: ExecutionReport) -> str:
    line = f"{report.cl_ord_id} {report.exec_type.value}"
    if report.exec_type is ExecType.TRADE:
        return f"{line} {report.last_qty} @ {rupees_text(report.last_px)}"
    return f"{line} {report.text}".strip()


class World:
    """Frames and commands in, what the broker told out (``told``)."""

    def __init__(self, model=MARKET, cash="100000000", book=None, opening=None, seed=7):
        self.ledger = MemoryLedger()
        self.broker = PaperBroker(
            instruments=ALL,
            sessions=SESSIONS,
            charges=book or FreeBook(),
            cash=money(cash) if isinstance(cash, str) else Money(cash),
            fill_model=model,
            seed=seed,
            ledger=self.ledger,
            opening=opening or {},
        )
        self.position = 0
        self.now = clock("09:00")
        self.reports = []

    @property
    def told(self):
        """Everything told so far, after waiting a second for what is on its way."""
        self._drain(self.now + 999_000)
        return [words(report) for _, report in self.reports]

    @property
    def told_at(self):
        self._drain(self.now + 999_000)
        return [f"{ist_clock(at)}.{at % 1_000_000:06d} {words(it)}" for at, it in self.reports]

    def _drain(self, until):
        while self.broker.next_due_at <= until:
            self.reports += self.broker.reports_until(self.broker.next_due_at)

    def tick(self, at, last, *, bid=None, ask=None, vol=0, of=FUTURE):
        self.now = clock(at)
        self._drain(self.now)
        self.position += 1
        frame = TickFrame(self.now, (tick(self.now, last, bid, ask, vol=vol, of=of),))
        self.broker.observe(self.position, frame)

    def bar(self, open_at, *ohlc, vol=0, of=FUTURE):
        opened = clock(open_at)
        self.now = opened + MINUTE
        self.position += 1
        bar = Bar(of.id, 1, opened, self.now, *map(price, ohlc), vol)
        self.broker.observe(self.position, BarFrame(self.now, (bar,)))
        self.reports += self.broker.reports_until(self.now)

    def buy(self, tag, qty, ord_type=OrdType.MARKET, **fields):
        self.broker.carry_out(place(tag, Side.BUY, qty, self.now, ord_type, **fields), self.now)

    def sell(self, tag, qty, ord_type=OrdType.MARKET, **fields):
        self.broker.carry_out(place(tag, Side.SELL, qty, self.now, ord_type, **fields), self.now)

    def cancel(self, tag):
        self.broker.carry_out(CancelOrder(cl_ord_id=tag, at=self.now), self.now)

    def modify(self, tag, **fields):
        for name in ("price", "stop_px"):
            if isinstance(fields.get(name), str):
                fields[name] = price(fields[name])
        self.broker.carry_out(ModifyOrder(cl_ord_id=tag, at=self.now, **fields), self.now)


IOC = TimeInForce.IOC
