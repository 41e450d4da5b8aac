"""Kite Connect's REST around a local exchange: envelope, errors, who may ask, how often.

Nothing is judged here. A request is read, its session and its rate are checked, a function of
``routes_*`` answers, and the answer is put into Kite's envelope. Conventions:
kite.trade/docs/connect/v3/response-structure and /exceptions; what the official clients demand
beyond them (a content type on everything, ``data`` on every success, exactly ``text/csv``) is kept.

``make_app(exchange, middlewares=…, set_up=…)``: middlewares stand around the routes, inside the net
that catches what nobody expected; ``set_up`` functions add routes of their own (ticker, admin).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import (
    KiteError,
    general_error,
    input_error,
    permission_error,
)
from kitestring.exchange.desk.sessions import OpenSession, for_market_reading
from kitestring.exchange.local_exchange import Dump, LocalExchange
from kitestring.exchange.wire import (
    routes_funds,
    routes_market,
    routes_orders,
    routes_portfolio,
    routes_session,
)
from kitestring.exchange.wire.rate_limits import CallClass, RateLimits
from kitestring.exchange.wire.routes import Call, Page, Route

ROUTES: Final[tuple[Route, ...]] = (
    *routes_session.ROUTES,
    *routes_orders.ROUTES,
    *routes_portfolio.ROUTES,
    *routes_market.ROUTES,
    *routes_funds.ROUTES,
)
SANDBOX_PREFIX: Final = "/oms"
"""Zerodha's sandbox serves everything but the instruments under it."""
LINE_MAX: Final = 65_536
"""A thousand symbols in one address; aiohttp's own limit is an eighth of it."""
_BODY_MAX: Final = 1 << 20
_FIELDS_MAX: Final = 5_000
_JSON: Final = "application/json"
_CSV: Final = "text/csv"

SetUp = Callable[[web.Application, LocalExchange], None]

EXCHANGE: Final = web.AppKey("exchange", LocalExchange)
LIMITS: Final = web.AppKey("limits", RateLimits)
FAILURES: Final = web.AppKey("failures", list[BaseException])
"""What nobody expected: our own mistakes, each of them answered with 500. A test wants none."""

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder(decimal_format="number")


def make_app(
    exchange: LocalExchange,
    *,
    middlewares: Sequence[Middleware] = (),
    set_up: Iterable[SetUp] = (),
) -> web.Application:
    """The application that serves an exchange; the caller runs it and ends it."""
    app = web.Application(middlewares=[_net, *middlewares], client_max_size=_BODY_MAX)
    switches = exchange.settings.switches
    app[EXCHANGE] = exchange
    app[LIMITS] = RateLimits(exchange.order_rules, on=switches.rate_limits)
    app[FAILURES] = []
    for route in ROUTES:
        handler = _served(exchange, app[LIMITS], route)
        app.router.add_route(route.method, route.path, handler)
        if switches.sandbox_prefix:
            app.router.add_route(route.method, SANDBOX_PREFIX + route.path, handler)
    for add in set_up:
        add(app, exchange)
    return app


def json_answer(data: object) -> web.Response:
    """Kite's envelope around what was asked for."""
    body = _encoder.encode({"status": "success", "data": data})
    return web.Response(body=body, headers={"Content-Type": _JSON})


def error_answer(refusal: KiteError) -> web.Response:
    """Kite's envelope around a refusal."""
    body = _encoder.encode(
        {
            "status": "error",
            "message": refusal.message,
            "data": None,
            "error_type": refusal.error_type,
        }
    )
    return web.Response(body=body, status=refusal.status, headers={"Content-Type": _JSON})


@web.middleware
async def _net(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The last resort: whatever escapes is Kite's GeneralException, is logged, and is counted."""
    try:
        return await handler(request)
    except KiteError as refusal:
        return error_answer(refusal)
    except web.HTTPException as answer:
        return _as_kite(answer)
    except Exception as error:  # noqa: BLE001 - a client must get an answer; these are counted
        _log.exception("%s %s", request.method, request.path)
        request.app[FAILURES].append(error)
        return error_answer(general_error("Something went wrong at the exchange."))


def _as_kite(answer: web.HTTPException) -> web.StreamResponse:
    """What aiohttp itself refuses, in Kite's words."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return answer
    if answer.status == HTTPStatus.NOT_FOUND:
        return error_answer(general_error("Route not found", 404))
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return error_answer(general_error("Method not allowed", 405))
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return error_answer(input_error("The request's body is too large."))
    return error_answer(general_error(answer.reason, answer.status))


def _served(exchange: LocalExchange, limits: RateLimits, route: Route) -> Handler:
    """A route as aiohttp wants it."""
    with_body = route.method in {"POST", "PUT"}
    answer_of = route.answer

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read() if with_body else b""
        now = exchange.now()
        session: OpenSession | None = None
        try:
            if route.signed and not exchange.open_to_all(route.path):
                session = exchange.sessions.authorise(now, request.headers.get("Authorization", ""))
                if route.reads_market:
                    for_market_reading(session)
            remote = request.remote or ""
            if route.ordering:
                _judge_address(exchange, remote)
            query = Form(_pairs(request.rel_url.raw_query_string))
            call = Call(
                now=now,
                session=session,
                path=request.match_info,
                form=_form(request, body) if with_body else query,
                query=query,
                body=body,
                remote=remote,
            )
            if limits.on:
                orders = 1 if route.weight is None else route.weight(call)
                limits.take(now, route.kind, call.api_key, orders=orders)
            data = answer_of(exchange, call)
            if isinstance(data, Generator):
                data = await _in_steps(data)
        except KiteError as refusal:
            return error_answer(refusal)
        finally:
            if with_body or route.changes:
                exchange.stirred()
        if isinstance(data, Dump):
            return _dump_answer(request, data)
        if isinstance(data, Page):
            return _page_answer(data)
        return json_answer(data)

    return answer


async def _in_steps(steps: Generator[None, None, object]) -> object:
    """Do a long piece of work with pauses, in which others are served."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        await asyncio.sleep(0)


def _pairs(text: str) -> list[tuple[str, str]]:
    """The parameters of a query or form, decoded; what is no UTF-8 becomes the replacement mark."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise input_error("Too many parameters.") from None


def _form(request: web.Request, body: bytes) -> Form:
    """The fields of a body; a JSON body has none."""
    if request.content_type == _JSON:
        return Form(())
    return Form(_pairs(body.decode("utf-8", errors="replace")))


def _judge_address(exchange: LocalExchange, remote: str) -> None:
    """Orders come from registered addresses only, where the switch is on (since 1 Apr 2026)."""
    allowed = exchange.settings.switches.allowed_addresses
    if allowed and remote not in allowed:
        raise permission_error(
            f"IP ({remote}) is not allowed to place orders for this app."
            " Update allowed IPs on the Kite developer console."
        )


def _dump_answer(request: web.Request, dump: Dump) -> web.Response:
    headers = {"Content-Type": _CSV}
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=dump.plain, headers=headers)
    return web.Response(body=dump.packed, headers=headers | {"Content-Encoding": "gzip"})


def _page_answer(page: Page) -> web.Response:
    if page.location:
        return web.Response(status=302, headers={"Location": page.location})
    return web.Response(text=page.html, content_type="text/html")


__all__ = [
    "EXCHANGE",
    "FAILURES",
    "LIMITS",
    "CallClass",
    "error_answer",
    "json_answer",
    "make_app",
]
