"""Kite's rows as the house reads them: orders, trades, positions, holdings, funds, each field typed.

Numbers are read from their text, never through a float, and become whole units of 1/10 000 rupee;
times are Indian wall-clock times and become instants; ids stay texts (19 digits do not fit a float).
Words that decide something (status, side, order type, product) must be known, or the row is strange;
fields we do not know are let pass. Samples: the official mocks; gaps and oddities as users report them.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from kitestring.domain.ids import InstrumentId, OrderId, instrument_id
from kitestring.domain.instants import SECOND, Instant, instant
from kitestring.domain.money import Money, Price, rounded_money, rounded_price
from kitestring.domain.orders import OrdType, Side
from kitestring.domain.unreadable import UNREADABLE

_SHOWN_MAX: Final = 2_000
_QTY_MAX: Final = 10**12
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", re.ASCII)
_Word = TypeVar("_Word", bound=StrEnum)


class KiteStatus(StrEnum):
    """What Kite calls the states of an order (kite.trade/docs/connect/v3/orders)."""

    PUT_RECEIVED = "PUT ORDER REQ RECEIVED"
    AMO_RECEIVED = "AMO REQ RECEIVED"
    VALIDATION_PENDING = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    UPDATE = "UPDATE"
    """In pushed updates only: changed, or filled in part."""
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    CANCELLED_AMO = "CANCELLED AMO"
    REJECTED = "REJECTED"

    @property
    def over(self) -> bool:
        """Nothing more can happen to the order."""
        return self in _OVER


_OVER: Final = frozenset(
    {KiteStatus.COMPLETE, KiteStatus.CANCELLED, KiteStatus.CANCELLED_AMO, KiteStatus.REJECTED}
)


class KiteProduct(StrEnum):
    """Every product an account may hold; the house itself uses the first three."""

    MIS = "MIS"
    NRML = "NRML"
    CNC = "CNC"
    MTF = "MTF"
    CO = "CO"
    BO = "BO"


class RowStrange(ValueError):
    """A row cannot be read; the text says which field and why."""


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the book shows it. Quantities and prices are the broker's word, not ours.

    A MARKET order shows as LIMIT after acceptance, and ``market_protection`` is not echoed reliably:
    never recognise an order by them.
    """

    order_id: OrderId
    status: KiteStatus
    instrument: InstrumentId
    instrument_token: int
    side: Side
    ord_type: OrdType
    product: KiteProduct
    variety: str
    validity: str
    order_qty: int
    cum_qty: int
    pending_qty: int
    cancelled_qty: int
    price: Price
    stop_px: Price
    average_px: Price
    tag: str
    tags: tuple[str, ...]
    status_message: str
    status_message_raw: str
    exchange_order_id: str
    parent_order_id: str
    order_at: Instant | None
    exchange_at: Instant | None
    exchange_update_at: Instant | None
    modified: bool
    placed_by: str
    guid: str

    @property
    def leaves_qty(self) -> int:
        """What may still fill (Kite's own ``pending_quantity`` is not 0 for a cancelled order)."""
        return 0 if self.status.over else self.order_qty - self.cum_qty


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One trade; its id is unique only together with the exchange and the day."""

    trade_id: str
    order_id: OrderId
    exchange_order_id: str
    instrument: InstrumentId
    instrument_token: int
    side: Side
    product: KiteProduct
    qty: int
    px: Price
    fill_at: Instant | None
    exchange_at: Instant | None


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One position; ``net_qty`` is signed. ``last_px`` lags and may be 0: it is no feed."""

    instrument: InstrumentId
    instrument_token: int
    product: KiteProduct
    net_qty: int
    overnight_qty: int
    multiplier: Decimal
    average_px: Price
    close_px: Price
    last_px: Price
    value: Money
    pnl: Money
    m2m: Money
    buy_qty: int
    buy_value: Money
    sell_qty: int
    sell_value: Money
    day_buy_qty: int
    day_buy_value: Money
    day_sell_qty: int
    day_sell_value: Money


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """``net``: carried and today's; ``day``: today's alone. Closed ones stay listed with 0."""

    net: tuple[PositionRow, ...]
    day: tuple[PositionRow, ...]


class HoldingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the demat account; those bought yesterday are in ``t1_qty`` only."""

    instrument: InstrumentId
    instrument_token: int
    isin: str
    product: str
    qty: int
    t1_qty: int
    used_qty: int
    authorised_qty: int
    collateral_qty: int
    average_px: Price
    last_px: Price
    close_px: Price


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """One segment's money. The parts do not add up at Kite either: read them, derive nothing."""

    enabled: bool
    net: Money
    cash: Money
    live_balance: Money
    opening_balance: Money
    collateral: Money
    intraday_payin: Money
    adhoc_margin: Money
    utilised: dict[str, Money]


class Margins(msgspec.Struct, frozen=True, kw_only=True):
    """Money by segment; a segment the account lacks is ``None``."""

    equity: Funds | None
    commodity: Funds | None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account it is, and what it may trade."""

    user_id: str
    user_name: str
    user_shortname: str
    email: str
    broker: str
    exchanges: tuple[str, ...]
    products: tuple[str, ...]
    order_types: tuple[str, ...]


class _Order(msgspec.Struct, kw_only=True):
    order_id: str
    status: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    order_type: str
    product: str
    quantity: Decimal
    filled_quantity: Decimal
    instrument_token: int = 0
    variety: str = "regular"
    validity: str = "DAY"
    pending_quantity: Decimal | None = None
    cancelled_quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    average_price: Decimal | None = None
    tag: str | None = None
    tags: list[str] | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    exchange_order_id: str | None = None
    parent_order_id: str | None = None
    order_timestamp: str | None = None
    exchange_timestamp: str | None = None
    exchange_update_timestamp: str | None = None
    modified: bool = False
    placed_by: str | None = None
    guid: str | None = None


class _Trade(msgspec.Struct, kw_only=True):
    trade_id: str
    order_id: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    product: str
    quantity: Decimal
    average_price: Decimal
    instrument_token: int = 0
    exchange_order_id: str | None = None
    fill_timestamp: str | None = None
    exchange_timestamp: str | None = None


class _Position(msgspec.Struct, kw_only=True):
    tradingsymbol: str
    exchange: str
    product: str
    quantity: Decimal
    overnight_quantity: Decimal
    average_price: Decimal
    instrument_token: int = 0
    multiplier: Decimal = Decimal(1)
    close_price: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)
    m2m: Decimal = Decimal(0)
    buy_quantity: Decimal = Decimal(0)
    buy_value: Decimal = Decimal(0)
    sell_quantity: Decimal = Decimal(0)
    sell_value: Decimal = Decimal(0)
    day_buy_quantity: Decimal = Decimal(0)
    day_buy_value: Decimal = Decimal(0)
    day_sell_quantity: Decimal = Decimal(0)
    day_sell_value: Decimal = Decimal(0)


class _Holding(msgspec.Struct, kw_only=True):
    tradingsymbol: str
    exchange: str
    quantity: Decimal
    t1_quantity: Decimal
    average_price: Decimal
    instrument_token: int = 0
    isin: str | None = None
    product: str = "CNC"
    used_quantity: Decimal = Decimal(0)
    authorised_quantity: Decimal = Decimal(0)
    collateral_quantity: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    close_price: Decimal = Decimal(0)


class _Available(msgspec.Struct, kw_only=True):
    cash: Decimal
    live_balance: Decimal
    opening_balance: Decimal = Decimal(0)
    collateral: Decimal = Decimal(0)
    intraday_payin: Decimal = Decimal(0)
    adhoc_margin: Decimal = Decimal(0)


class _Funds(msgspec.Struct, kw_only=True):
    enabled: bool
    net: Decimal
    available: _Available
    utilised: dict[str, Decimal]


class _Margins(msgspec.Struct, kw_only=True):
    equity: _Funds | None = None
    commodity: _Funds | None = None


class _Profile(msgspec.Struct, kw_only=True):
    user_id: str
    user_name: str | None = None
    user_shortname: str | None = None
    email: str | None = None
    broker: str | None = None
    exchanges: list[str] | None = None
    products: list[str] | None = None
    order_types: list[str] | None = None


_order = msgspec.json.Decoder(_Order)
_trade = msgspec.json.Decoder(_Trade)
_position = msgspec.json.Decoder(_Position)
_holding = msgspec.json.Decoder(_Holding)
_margins = msgspec.json.Decoder(_Margins)
_profile = msgspec.json.Decoder(_Profile)
_Wire = TypeVar("_Wire")

_STATUSES: Final = {word.value: word for word in KiteStatus}
_SIDES: Final = {word.value: word for word in Side}
_ORD_TYPES: Final = {word.value: word for word in OrdType}
_PRODUCTS: Final = {word.value: word for word in KiteProduct}


def order_row(raw: bytes) -> OrderRow:
    """One row of ``/orders``, or the ``data`` of a pushed update. Raises ``RowStrange``."""
    row = read_as(raw, _order)
    quantity, filled = (
        whole(row.quantity, "quantity"),
        whole(row.filled_quantity, "filled_quantity"),
    )
    if not 0 <= filled <= quantity:
        raise RowStrange(f"filled_quantity is {filled} of {quantity}")
    return OrderRow(
        order_id=OrderId(_id(row.order_id, "order_id")),
        status=_word(row.status, "status", _STATUSES),
        instrument=_instrument(row.exchange, row.tradingsymbol),
        instrument_token=row.instrument_token,
        side=_word(row.transaction_type, "transaction_type", _SIDES),
        ord_type=_word(row.order_type, "order_type", _ORD_TYPES),
        product=_word(row.product, "product", _PRODUCTS),
        variety=row.variety,
        validity=row.validity,
        order_qty=quantity,
        cum_qty=filled,
        pending_qty=_whole_or_0(row.pending_quantity, "pending_quantity"),
        cancelled_qty=_whole_or_0(row.cancelled_quantity, "cancelled_quantity"),
        price=_px(row.price, "price"),
        stop_px=_px(row.trigger_price, "trigger_price"),
        average_px=_px(row.average_price, "average_price"),
        tag=row.tag or "",
        tags=tuple(row.tags or ()),
        status_message=row.status_message or "",
        status_message_raw=row.status_message_raw or "",
        exchange_order_id=row.exchange_order_id or "",
        parent_order_id=row.parent_order_id or "",
        order_at=kite_instant(row.order_timestamp, "order_timestamp"),
        exchange_at=kite_instant(row.exchange_timestamp, "exchange_timestamp"),
        exchange_update_at=kite_instant(row.exchange_update_timestamp, "exchange_update_timestamp"),
        modified=row.modified,
        placed_by=row.placed_by or "",
        guid=row.guid or "",
    )


def trade_row(raw: bytes) -> TradeRow:
    """One row of ``/trades``. Raises ``RowStrange``."""
    row = read_as(raw, _trade)
    quantity, px = whole(row.quantity, "quantity"), _px(row.average_price, "average_price")
    if quantity <= 0 or px <= Price(0):
        raise RowStrange(f"a trade of {quantity} at {row.average_price} is none")
    return TradeRow(
        trade_id=_id(row.trade_id, "trade_id"),
        order_id=OrderId(_id(row.order_id, "order_id")),
        exchange_order_id=row.exchange_order_id or "",
        instrument=_instrument(row.exchange, row.tradingsymbol),
        instrument_token=row.instrument_token,
        side=_word(row.transaction_type, "transaction_type", _SIDES),
        product=_word(row.product, "product", _PRODUCTS),
        qty=quantity,
        px=px,
        fill_at=kite_instant(row.fill_timestamp, "fill_timestamp"),
        exchange_at=kite_instant(row.exchange_timestamp, "exchange_timestamp"),
    )


def position_row(raw: bytes) -> PositionRow:
    """One row of ``/portfolio/positions``. Raises ``RowStrange``."""
    row = read_as(raw, _position)
    if not row.multiplier > 0 or row.multiplier.adjusted() > 9:
        raise RowStrange(f"multiplier is {row.multiplier}")
    return PositionRow(
        instrument=_instrument(row.exchange, row.tradingsymbol),
        instrument_token=row.instrument_token,
        product=_word(row.product, "product", _PRODUCTS),
        net_qty=whole(row.quantity, "quantity"),
        overnight_qty=whole(row.overnight_quantity, "overnight_quantity"),
        multiplier=row.multiplier,
        average_px=_px(row.average_price, "average_price"),
        close_px=_px(row.close_price, "close_price"),
        last_px=_px(row.last_price, "last_price"),
        value=_rupees(row.value, "value"),
        pnl=_rupees(row.pnl, "pnl"),
        m2m=_rupees(row.m2m, "m2m"),
        buy_qty=whole(row.buy_quantity, "buy_quantity"),
        buy_value=_rupees(row.buy_value, "buy_value"),
        sell_qty=whole(row.sell_quantity, "sell_quantity"),
        sell_value=_rupees(row.sell_value, "sell_value"),
        day_buy_qty=whole(row.day_buy_quantity, "day_buy_quantity"),
        day_buy_value=_rupees(row.day_buy_value, "day_buy_value"),
        day_sell_qty=whole(row.day_sell_quantity, "day_sell_quantity"),
        day_sell_value=_rupees(row.day_sell_value, "day_sell_value"),
    )


def holding_row(raw: bytes) -> HoldingRow:
    """One row of ``/portfolio/holdings``. Raises ``RowStrange``."""
    row = read_as(raw, _holding)
    return HoldingRow(
        instrument=_instrument(row.exchange, row.tradingsymbol),
        instrument_token=row.instrument_token,
        isin=row.isin or "",
        product=row.product,
        qty=whole(row.quantity, "quantity"),
        t1_qty=whole(row.t1_quantity, "t1_quantity"),
        used_qty=whole(row.used_quantity, "used_quantity"),
        authorised_qty=whole(row.authorised_quantity, "authorised_quantity"),
        collateral_qty=whole(row.collateral_quantity, "collateral_quantity"),
        average_px=_px(row.average_price, "average_price"),
        last_px=_px(row.last_price, "last_price"),
        close_px=_px(row.close_price, "close_price"),
    )


def margins(raw: bytes) -> Margins:
    """``/user/margins``. Raises ``RowStrange``."""
    row = read_as(raw, _margins)
    if row.equity is None and row.commodity is None:
        raise RowStrange("it has neither equity nor commodity funds")
    return Margins(equity=_funds(row.equity), commodity=_funds(row.commodity))


def profile(raw: bytes) -> Profile:
    """``/user/profile``. Raises ``RowStrange``."""
    row = read_as(raw, _profile)
    return Profile(
        user_id=_id(row.user_id, "user_id"),
        user_name=row.user_name or "",
        user_shortname=row.user_shortname or "",
        email=row.email or "",
        broker=row.broker or "",
        exchanges=tuple(row.exchanges or ()),
        products=tuple(row.products or ()),
        order_types=tuple(row.order_types or ()),
    )


def read_as(raw: bytes, decoder: msgspec.json.Decoder[_Wire]) -> _Wire:
    """One JSON value as its type. Raises ``RowStrange`` with the field that is wrong."""
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        raise RowStrange(str(error)) from None


def whole(number: Decimal, field: str) -> int:
    """A quantity: 10, 10.0 and 1e1 are whole, 10.5 is not. Raises ``RowStrange``."""
    if number.is_finite() and number.adjusted() <= 12 and number == number.to_integral_value():
        quantity = int(number)
        if -_QTY_MAX <= quantity <= _QTY_MAX:
            return quantity
    raise RowStrange(f"{field} is {str(number)[:40]}, which is no quantity")


def px_of(number: Decimal, field: str) -> Price:
    """A price, 0 for none. Raises ``RowStrange``."""
    try:
        return rounded_price(number)
    except ValueError:
        raise RowStrange(f"{field} is {str(number)[:40]}, which is no price") from None


def shown(text: str) -> str:
    """A text of a row in a message. It is cut where secrets have been taken out: never in one."""
    return repr(text[:_SHOWN_MAX])


def kite_instant(text: str | None, field: str) -> Instant | None:
    """``YYYY-MM-DD HH:MM:SS``, Indian time; nothing, or a date of year 1, is ``None``."""
    if not text:
        return None
    if _TIME.fullmatch(text):
        try:
            midnight = _midnight(text[:10])
            clock = dt.time.fromisoformat(text[11:])
        except ValueError:  # the 31st of February
            pass
        else:
            seconds = (clock.hour * 60 + clock.minute) * 60 + clock.second
            return midnight + seconds * SECOND if midnight > 0 else None
    raise RowStrange(f"{field} is {shown(text)}, which is no Indian date and time")


@lru_cache(maxsize=64)
def _midnight(date: str) -> Instant:
    return instant(dt.date.fromisoformat(date), dt.time())


def _funds(row: _Funds | None) -> Funds | None:
    if row is None:
        return None
    available = row.available
    return Funds(
        enabled=row.enabled,
        net=_rupees(row.net, "net"),
        cash=_rupees(available.cash, "cash"),
        live_balance=_rupees(available.live_balance, "live_balance"),
        opening_balance=_rupees(available.opening_balance, "opening_balance"),
        collateral=_rupees(available.collateral, "collateral"),
        intraday_payin=_rupees(available.intraday_payin, "intraday_payin"),
        adhoc_margin=_rupees(available.adhoc_margin, "adhoc_margin"),
        utilised={name: _rupees(amount, name) for name, amount in row.utilised.items()},
    )


def _instrument(exchange: str, symbol: str) -> InstrumentId:
    if not exchange or not symbol or ":" in exchange:
        raise RowStrange(f"no instrument is called {shown(exchange)} {shown(symbol)}")
    return instrument_id(exchange, symbol)


def _id(text: str, field: str) -> str:
    if not text or len(text) > 64 or not text.isascii() or not text.isprintable() or " " in text:
        raise RowStrange(f"{field} is {shown(text)}")
    return text


def _word(text: str, field: str, words: dict[str, _Word]) -> _Word:
    word = words.get(text)
    if word is None:
        raise RowStrange(f"{field} is {shown(text)}, a word we do not know")
    return word


def _whole_or_0(number: Decimal | None, field: str) -> int:
    return 0 if number is None else whole(number, field)


def _px(number: Decimal | None, field: str) -> Price:
    return Price(0) if number is None else px_of(number, field)


def _rupees(number: Decimal, field: str) -> Money:
    try:
        return rounded_money(number)
    except ValueError:
        raise RowStrange(f"{field} is {str(number)[:40]}, which is no amount") from None
