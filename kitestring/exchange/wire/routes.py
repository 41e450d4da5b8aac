"""What a route of the exchange is: method, path, class of call, and a plain function that answers.

The functions know no socket: they take the exchange and what was asked, and answer with JSON-ready
values, with a ``Dump`` (CSV) or a ``Page``, or raise ``KiteError``. One that has much to do
returns a generator and lets others be served between its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from kitestring.domain.instants import Instant
from kitestring.domain.unreadable import UNREADABLE
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.desk.sessions import OpenSession
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.rate_limits import CallClass

ITEMS_MAX: Final = 1_000


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, read: by whom, when, and with which parameters.

    ``form`` is the body of a POST or PUT and the query of a GET or DELETE; ``query`` is always the
    query. What the official clients send twice is in both, and the path counts.
    """

    now: Instant
    session: OpenSession | None
    path: Mapping[str, str]
    form: Form
    query: Form
    body: bytes
    remote: str

    @property
    def api_key(self) -> str:
        """The app that asks; nobody on a route that needs no session."""
        return self.session.app.api_key if self.session is not None else ""

    def items(self) -> list[dict[str, object]]:
        """The JSON body of a calculator: a list of orders."""
        try:
            read = msgspec.json.decode(self.body)
        except UNREADABLE:
            raise input_error("Invalid JSON in the request's body.") from None
        if not isinstance(read, list) or not all(isinstance(item, dict) for item in read):
            raise input_error("The request's body must be a JSON list of orders.")
        if len(read) > ITEMS_MAX:
            raise input_error(f"At most {ITEMS_MAX} orders can be asked about at once.")
        return read


class Page(msgspec.Struct, frozen=True):
    """An HTML page, or the address the browser goes on to."""

    html: str = ""
    location: str = ""


Answer = Callable[[LocalExchange, Call], object]


class Route(msgspec.Struct, frozen=True):
    """One method on one path.

    ``signed``: a live session is needed. ``reads_market``: not in the free plan. ``ordering``: an
    order is placed, changed or withdrawn, for which the address counts. ``weight``: how many
    orders the day's limit counts it as.
    """

    method: str
    path: str
    answer: Answer
    kind: CallClass = CallClass.OTHER
    signed: bool = True
    reads_market: bool = False
    ordering: bool = False
    weight: Callable[[Call], int] | None = None

    @property
    def changes(self) -> bool:
        """Whether it may change what the desk will do next."""
        return self.method != "GET"
