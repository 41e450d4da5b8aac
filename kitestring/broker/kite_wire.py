"""Orders as Kite's REST writes them, and its envelope read back: bytes in and out, no socket.

Parameters: kite.trade/docs/connect/v3/orders. Numbers leave as plain decimals. Every MARKET and SL-M
order names its ``market_protection``, which is demanded since 1 Apr 2026 (kite.trade forum, 15912);
-1 is the broker's own band.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import OrderId, exchange_of, symbol_of
from kitestring.domain.money import Price, rupees_text
from kitestring.domain.orders import OrderIntent, OrdType
from kitestring.domain.unreadable import UNREADABLE
from kitestring.domain.verdicts import ModifyOrder, PlaceOrder

Fields = tuple[tuple[str, str], ...]
REGULAR: Final = "regular"
VARIETIES: Final = frozenset({"regular", "amo", "co", "iceberg", "auction"})
TAG_MAX: Final = 20
_PROTECTED: Final = frozenset({OrdType.MARKET, OrdType.SL_M})
_LIMITED: Final = frozenset({OrdType.LIMIT, OrdType.SL})
_STOPPED: Final = frozenset({OrdType.SL, OrdType.SL_M})
_ID: Final = re.compile(r"[0-9A-Za-z]{1,40}")
_TAG: Final = re.compile(r"[0-9A-Za-z]{1,20}")


class WireRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request: ``path`` is below the root, ``query`` and ``form`` are not yet encoded."""

    method: str
    path: str
    query: Fields = ()
    form: Fields = ()

    @property
    def writes(self) -> bool:
        """Whether it changes something at the broker."""
        return self.method != "GET"

    @property
    def query_text(self) -> str:
        """The query as it stands in an address (``M&M`` and ``NIFTY 50`` are symbols)."""
        return urlencode(self.query)

    @property
    def body(self) -> bytes:
        """The form as it is sent."""
        return urlencode(self.form).encode()


def place_fields(command: PlaceOrder) -> dict[str, str]:
    """The parameters of a new order, its tag among them."""
    if not _TAG.fullmatch(command.cl_ord_id):
        raise InvariantBroken(f"an order tag must be 1 to 20 letters and digits: {command}")
    return intent_fields(command.intent) | {"tag": command.cl_ord_id}


def intent_fields(intent: OrderIntent) -> dict[str, str]:
    """The parameters of an order without a tag, as margin calculators take them too."""
    kind = intent.ord_type
    if intent.order_qty <= 0:
        raise InvariantBroken(f"an order for nothing cannot be written: {intent}")
    if (intent.price is not None) != (kind in _LIMITED):
        raise InvariantBroken(f"a {kind} order has a limit price exactly if it is LIMIT or SL")
    if (intent.stop_px is not None) != (kind in _STOPPED):
        raise InvariantBroken(f"a {kind} order has a trigger exactly if it is SL or SL-M")
    fields = {
        "exchange": exchange_of(intent.instrument),
        "tradingsymbol": symbol_of(intent.instrument),
        "transaction_type": intent.side.value,
        "quantity": str(intent.order_qty),
        "product": intent.product.value,
        "order_type": kind.value,
        "validity": intent.time_in_force.value,
    }
    if intent.price is not None:
        fields["price"] = _px(intent.price)
    if intent.stop_px is not None:
        fields["trigger_price"] = _px(intent.stop_px)
    if kind in _PROTECTED:
        fields["market_protection"] = protection_text(intent.market_protection_bp)
    return fields


def modify_fields(
    command: ModifyOrder, ord_type: OrdType, protection_bp: int | None = None
) -> dict[str, str]:
    """The parameters of a change: what changes, and nothing else, least of all the quantity.

    ``ord_type`` is what the order is now. Where it is or becomes MARKET or SL-M the protection goes
    with it, because a change to MARKET without one is refused (kite.trade forum, comment 52331).
    """
    kind = command.ord_type or ord_type
    fields = {"order_type": kind.value}
    if command.order_qty is not None:
        if command.order_qty <= 0:
            raise InvariantBroken(f"an order cannot be changed to nothing: {command}")
        fields["quantity"] = str(command.order_qty)
    if command.price is not None:
        if kind not in _LIMITED:
            raise InvariantBroken(f"a {kind} order has no limit price: {command}")
        fields["price"] = _px(command.price)
    if command.stop_px is not None:
        if kind not in _STOPPED:
            raise InvariantBroken(f"a {kind} order has no trigger: {command}")
        fields["trigger_price"] = _px(command.stop_px)
    if kind in _PROTECTED:
        fields["market_protection"] = protection_text(protection_bp)
    return fields


def protection_text(basis_points: int | None) -> str:
    """``market_protection`` in percent: 250 basis points are 2.5; ``None`` is the broker's band."""
    if basis_points is None:
        return "-1"
    if not 0 < basis_points <= 10_000:
        raise InvariantBroken(f"market protection of {basis_points} basis points is none")
    return f"{Decimal(basis_points) / 100:f}"


def place_request(fields: Mapping[str, str], variety: str = REGULAR) -> WireRequest:
    """``POST /orders/{variety}``."""
    return WireRequest(method="POST", path=f"/orders/{_variety(variety)}", form=_pairs(fields))


def modify_request(order_id: OrderId, variety: str, fields: Mapping[str, str]) -> WireRequest:
    """``PUT /orders/{variety}/{id}``; ``variety`` is what the order's row shows."""
    return WireRequest(
        method="PUT",
        path=f"/orders/{_variety(variety)}/{id_in_path(order_id)}",
        form=_pairs(fields),
    )


def cancel_request(order_id: OrderId, variety: str, parent_order_id: str = "") -> WireRequest:
    """``DELETE /orders/{variety}/{id}``; the exit of a cover order names its parent."""
    parent = (("parent_order_id", parent_order_id),) if parent_order_id else ()
    return WireRequest(
        method="DELETE", path=f"/orders/{_variety(variety)}/{id_in_path(order_id)}", query=parent
    )


def read_request(path: str, *query: tuple[str, str]) -> WireRequest:
    """``GET`` something."""
    return WireRequest(method="GET", path=path, query=query)


def id_in_path(given: str) -> str:
    """An id that may stand in a path: letters and digits, so that it can name nothing else."""
    if not _ID.fullmatch(given):
        raise InvariantBroken(f"no order is called {given!r}")
    return given


def word_in_path(given: str) -> str:
    """A name as a path takes it."""
    return quote(given, safe="")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around every answer of Kite's, unread."""

    status: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    message: str | None = None
    error_type: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it says so and brings what was asked for."""
        return (
            self.status == "success"
            and self.data is not msgspec.UNSET
            and bytes(self.data) != b"null"
            and not self.error_type
        )


_envelope = msgspec.json.Decoder(Envelope)


def read_envelope(body: bytes) -> Envelope | None:
    """The envelope of a JSON body; ``None`` where there is none.

    The decoder looks only at what it keeps: a byte that is no UTF-8 in a name or an unread field
    would pass, and that field be taken for one that was left out.
    """
    try:
        if not body.isascii():
            body.decode()
        return _envelope.decode(body)
    except UNREADABLE:
        return None


class _OrderIdRow(msgspec.Struct):
    order_id: str


_order_id = msgspec.json.Decoder(_OrderIdRow)


def acked_order_id(envelope: Envelope) -> OrderId | None:
    """The order id of a successful answer; ``None`` if it names none."""
    if not envelope.succeeded:
        return None
    assert isinstance(envelope.data, msgspec.Raw), "a success has data"
    try:
        order_id = _order_id.decode(envelope.data).order_id
    except UNREADABLE:
        return None
    return OrderId(order_id) if _ID.fullmatch(order_id) else None


def _variety(variety: str) -> str:
    if variety not in VARIETIES:
        raise InvariantBroken(f"Kite knows no variety {variety!r}")
    return variety


def _pairs(fields: Mapping[str, str]) -> Fields:
    return tuple(fields.items())


def _px(px: Price) -> str:
    if int(px) <= 0:
        raise InvariantBroken(f"a price of {rupees_text(px)} cannot be asked for")
    return rupees_text(px)
