"""The orders of the day as the exchange knows them, and the market each of them waits in.

Live orders are found by tag and stand, in order of arrival, with their instrument; an order that
is over leaves the live books at once and keeps one short row for the order book of the day, so
that nothing gets slower as the day grows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from kitestring.domain.bars import Bar
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import ChargeUnits, Money, Price
from kitestring.domain.orders import OrdType, Product, Side, TimeInForce
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick
from kitestring.exchange.account import AccountPosition
from kitestring.exchange.ledger import What

if TYPE_CHECKING:
    from kitestring.exchange.auctions import ClosingWindow

NO_PRICE: Final = Price(0)
"""No legal price: nothing is known, or nothing was asked."""
UNPROTECTED: Final = -2
"""The ``protection_bp`` of an order whose client asked for none; 0 is the broker's own band."""
NO_PLACE: Final = -1
"""The place in the queue of an order whose market showed no depth."""
BETWEEN_FRAMES: Final = 1 << 60
"""The ``nth`` of what came after all ticks of a frame."""


class Status(StrEnum):
    """Kite's words for the state of an order."""

    RECEIVED = "PUT ORDER REQ RECEIVED"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Market:
    """One instrument at the exchange: its last word, its waiting orders, and what we took of it.

    ``taken_*`` count what our own orders had of the quotes of the snapshot ``taken_of``, and
    ``printed_*`` what they had of the volume traded up to it; a new snapshot brings new liquidity. ``known_px`` is a last price known without a tick: of a bar, or of the ledger.
    """

    __slots__ = (
        "bar",
        "bar_before",
        "before",
        "close_at",
        "collecting",
        "instrument",
        "known_px",
        "open_at",
        "orders",
        "printed_bought",
        "printed_sold",
        "refusal",
        "session",
        "taken_bought",
        "taken_of",
        "taken_sold",
        "tick",
        "window",
    )

    def __init__(
        self, instrument: Instrument, session: Session | None, refusal: str | None
    ) -> None:
        self.instrument = instrument
        self.session = session
        self.refusal = refusal
        self.open_at: Instant = session.open_at if session else 0
        self.close_at: Instant = session.close_at if session else 0
        self.orders: list[ExchangeOrder] = []
        self.tick: Tick | None = None
        self.before: Tick | None = None
        self.bar: Bar | None = None
        self.bar_before: Bar | None = None
        self.known_px = Price(0)
        self.taken_of: Tick | Bar | None = None
        self.taken_bought = 0
        self.taken_sold = 0
        self.printed_bought = 0
        self.printed_sold = 0
        self.collecting = False
        """Orders of a pre-open wait for the first continuous tick."""
        self.window: ClosingWindow | None = None

    def last_px(self, at: Instant) -> Price:
        """The last traded price known at an instant; 0 if nothing is known of the market yet.

        A bar is matched as a whole before its close; at its open only the one before is known.
        """
        if self.tick is not None:
            return self.tick.last_px
        bar = self.bar
        if bar is not None and bar.close_at > at:
            bar = self.bar_before
        return self.known_px if bar is None else bar.close

    def taken(self, snapshot: Tick | Bar, *, buy: bool) -> int:
        """What our orders already had of this side of this snapshot."""
        if self.taken_of is not snapshot:
            return 0
        return self.taken_bought if buy else self.taken_sold

    def had_printed(self, snapshot: Tick, *, buy: bool) -> int:
        """What our orders of one side already had of the volume traded up to this snapshot."""
        if self.taken_of is not snapshot:
            return 0
        return self.printed_bought if buy else self.printed_sold

    def take(self, snapshot: Tick | Bar, qty: int, *, buy: bool, printed: int = 0) -> None:
        """Our order had this much of a snapshot, ``printed`` of it out of the traded volume."""
        if self.taken_of is not snapshot:
            self.taken_of = snapshot
            self.taken_bought = self.taken_sold = 0
            self.printed_bought = self.printed_sold = 0
        if buy:
            self.taken_bought += qty - printed
            self.printed_bought += printed
        else:
            self.taken_sold += qty - printed
            self.printed_sold += printed


class ExchangeOrder(msgspec.Struct, kw_only=True, eq=False):
    """One live order. ``limit_px`` is the limit it works at (a MARKET order has one, too)."""

    order_id: str
    tag: str
    symbol: str
    market: Market | None
    side: Side
    buy: bool
    qty: int
    ord_type: OrdType
    product: Product
    validity: TimeInForce
    limit_px: Price
    stop_px: Price
    protection_bp: int
    way_back_us: int
    last_arrival: Instant
    """When the last request for it arrives: the next one does not overtake it."""
    status: Status = Status.RECEIVED
    filled: int = 0
    trades: int = 0
    traded_value: Money = Money(0)
    charged: ChargeUnits = ChargeUnits(0)
    modifications: int = 0
    takes: bool = False
    """It met the opposite quote as it came, and goes on taking it."""
    ahead: int = 0
    """What others have standing before it at its price; ``NO_PLACE`` if the feed never showed it."""
    seen_to: tuple[int, int] = (0, 0)
    """The tick (place in the feed, nth of its frame) that ``ahead`` already knows of."""
    collected: bool = False
    """It came in the pre-open, whose auction has not been matched yet."""
    disclosed_qty: int = 0
    ttl_minutes: int = 0
    lapses_at: Instant = NEVER
    """When its validity in minutes runs out."""
    position: AccountPosition | None = None
    journey: str = ""
    """The name by which the way of its requests is drawn."""

    @property
    def live(self) -> bool:
        """It may still trade."""
        return self.status is Status.OPEN or self.status is Status.TRIGGER_PENDING

    @property
    def leaves(self) -> int:
        """What has not traded yet."""
        return self.qty - self.filled

    def reaches(self, px: Price) -> bool:
        """Whether the order would trade at this price."""
        return px <= self.limit_px if self.buy else px >= self.limit_px

    def triggers_at(self, px: Price) -> bool:
        """Whether a trade at this price sets off the stop."""
        return px >= self.stop_px if self.buy else px <= self.stop_px


class Request(msgspec.Struct, kw_only=True, eq=False):
    """Something heard from the client, on its way to the matching."""

    number: int
    kind: What
    arrives_at: Instant
    tag: str
    order_id: str
    order: ExchangeOrder | None
    seen_px: Price
    """The last price known when it was heard."""
    way_back_us: int
    qty: int = 0
    ord_type: OrdType | None = None
    limit_px: Price = NO_PRICE
    stop_px: Price = NO_PRICE
    validity: TimeInForce | None = None
    ttl_minutes: int = 0
    disclosed_qty: int = 0
    protection_bp: int | None = None


ClosedOrder = tuple[str, str, Status, int, int]
"""What is kept of an order that is over: order id, instrument, status, quantity, filled."""
