"""What stands between the network and the routes: the ledger writes, faults strike, the exchange answers.

For each request: heard (in the ledger), struck (by the faults whose turn it is), done (by the
exchange, if it is let through), told (in the ledger, and only then on the wire).
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.unreadable import UNREADABLE
from kitestring.exchange.wire.day_faults import DayFaults
from kitestring.exchange.wire.fault_kinds import Place
from kitestring.exchange.wire.fault_middleware import RestFaults
from kitestring.exchange.wire.faults import Faults, Strike
from kitestring.exchange.wire.raw_answer import Answer, RawAnswer, order_ids_in
from kitestring.exchange.wire.wire_ledger import HIDDEN, SECRET_NAMES, WireLedger

_BESIDE: Final = ("/admin", "/step")
"""Not Kite's: the rehearsal's own routes, which no fault and no line concerns."""
_SANDBOX: Final = "/oms"
_FIELDS_MAX: Final = 5_000


class WireWatch:
    """One middleware: ledger and faults around the routes of an exchange."""

    def __init__(
        self,
        now: Callable[[], Instant],
        ledger: WireLedger,
        faults: Faults,
        rest: RestFaults,
        day: DayFaults,
    ) -> None:
        self._now = now
        self._ledger = ledger
        self._faults = faults
        self._rest = rest
        self._day = day
        self._opening: dict[int, int] = {}
        faults.on_strike = self._note

    def middleware(self) -> Middleware:
        """For ``make_app(exchange, middlewares=[…])``: the outermost of them."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(_BESIDE):
                return await handler(request)
            response = await self._watched(request, handler)
            response.headers.setdefault("Date", http_date(self._now()))
            return response

        return watch

    def attach(self, app: web.Application) -> None:
        """Also watch sockets being opened: their answer leaves before their handler returns."""
        app.on_response_prepare.append(self._opened)

    def look(self, now: Instant) -> None:
        """Let begin and end what only time decides; the pump calls this with every frame."""
        self._rest.frozen.look(now)
        self._day.look(now)

    async def _watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        now = self._now()
        self.look(now)
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        n = self._ledger.heard(
            now,
            "WS" if socket else request.method,
            request.path,
            await _sent(request),
            headers=request.headers,
            remote=request.remote or "",
        )
        place, method = (Place.UPGRADE, "WS") if socket else (Place.REQUEST, request.method)
        where = f"{method} {request.path.removeprefix(_SANDBOX) or '/'}"
        struck = self._faults.strike(place, where, now)
        for state in struck:
            if state.fault.spec.place is Place.DAY:
                self._day.carry_out(state.fault, now)
        self._rest.frozen.look(now)
        kinds = tuple(state.fault.kind for state in struck)
        if socket:
            if not struck:
                return await self._socket(n, request, handler)
            response: web.StreamResponse = web.Response(status=struck[0].fault.whole("status"))
            self._ledger.told(n, self._now(), response.status, faults=kinds)
            return response

        async def proceed() -> web.StreamResponse:
            return await self._done(n, request, handler)

        try:
            response = await self._rest.around(struck, request, proceed)()
        except web.HTTPException as answer:
            self._ledger.told(n, self._now(), answer.status, faults=kinds)
            raise
        if isinstance(response, RawAnswer):
            self._ledger.told(n, self._now(), response.told_status, faults=kinds, how=response.how)
        else:
            ids = order_ids_in(Answer.of(response)) if request.method != "GET" else ()
            self._ledger.told(n, self._now(), response.status, ids, faults=kinds)
        return response

    async def _done(self, n: int, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the exchange answer, and write down what it did."""
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            self._ledger.did(n, self._now(), refusal.status, error=refusal.reason)
            raise
        now, writing = self._now(), request.method != "GET"
        response.headers["Date"] = http_date(now)
        failed = response.status >= 400
        answer = Answer.of(response) if writing or failed else None
        ids = order_ids_in(answer) if writing else ()
        if request.method == "POST":
            for order_id in ids:
                self._rest.placed_at.setdefault(order_id, now)
        self._ledger.did(n, now, response.status, ids, _sentence(answer) if failed else "")
        return response

    async def _socket(self, n: int, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._opening[id(request)] = n
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            self._ledger.told(n, self._now(), answer.status)
            raise
        finally:
            left = self._opening.pop(id(request), None)
        if left is not None:
            self._ledger.told(n, self._now(), response.status)
        else:
            self._ledger.told(n, self._now(), 101, how="socket closed")
        return response

    async def _opened(self, request: web.Request, response: web.StreamResponse) -> None:
        n = self._opening.pop(id(request), None)
        if n is not None:
            self._ledger.told(n, self._now(), response.status)

    def _note(self, strike: Strike) -> None:
        self._ledger.struck(strike.at, strike.number, strike.kind, strike.occurrence, strike.where)


def http_date(at: Instant) -> str:
    """The exchange's own time as HTTP's ``Date`` tells it, whatever day it is outside."""
    return _http_date(at // SECOND)


@lru_cache(maxsize=8)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


async def _sent(request: web.Request) -> list[tuple[str, str]]:
    """The parameters of query and body; of a JSON body its text without what is secret."""
    pairs = list(request.query.items())
    if request.method not in {"POST", "PUT"}:
        return pairs
    try:
        body = await request.read()
    except (web.HTTPException, OSError):
        return pairs  # too long, or gone: the route will say so
    if request.content_type == "application/json":
        try:
            kept = msgspec.json.encode(_without_secrets(msgspec.json.decode(body))).decode()
        except UNREADABLE:
            kept = f"({len(body)} bytes that are no JSON)"
        return [*pairs, ("body", kept)]
    try:
        text = body.decode("utf-8", errors="replace")
        return [*pairs, *parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)]
    except ValueError:
        return [*pairs, ("body", f"({len(body)} bytes, too many fields)")]


def _without_secrets(tree: object) -> object:
    if isinstance(tree, dict):
        return {
            name: HIDDEN if str(name).lower() in SECRET_NAMES else _without_secrets(each)
            for name, each in tree.items()
        }
    return [_without_secrets(each) for each in tree] if isinstance(tree, list) else tree


def _sentence(answer: Answer | None) -> str:
    tree = None if answer is None else answer.json()
    if not isinstance(tree, dict):
        return ""
    return f"{tree.get('error_type', '')}: {tree.get('message', '')}"
