"""The hand behind the scenes: time, market, account, risk management, faults and ledger over HTTP.

Off unless asked for, and for this machine only: a caller must come from a loopback address, name a
loopback host, and be no page of another site. JSON in, JSON out; ``/admin/`` is a page to look at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from kitestring.domain.errors import HouseError
from kitestring.domain.instants import SECOND, Instant, instant, ist_text
from kitestring.domain.money import money, price
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.wire.admin_page import admin_page
from kitestring.exchange.wire.admin_words import Asked, phase_start, time_of_day
from kitestring.exchange.wire.exchange_clock import ExchangeClock, speed_of
from kitestring.exchange.wire.fault_script import parse_script
from kitestring.exchange.wire.feed_routes import FEED, PUMP
from kitestring.exchange.wire.wire_ledger import Heard

if TYPE_CHECKING:
    from kitestring.exchange.wire.rehearsal_stage import RehearsalStage

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost", ""})
_LEDGER_ROWS: Final = 500
Act = Callable[[Asked, Instant], object]


class Admin:
    """The routes under ``/admin``."""

    def __init__(
        self, stage: RehearsalStage, clock: ExchangeClock, stop: Callable[[], None]
    ) -> None:
        self._stage = stage
        self._reach = stage.reach
        self._exchange = stage.reach.exchange
        self._clock = clock
        self._stop = stop
        self._app: web.Application | None = None

    def add_routes(self, app: web.Application) -> None:
        """Open the interface on an application."""
        self._app = app
        add = app.router.add_route
        for path in ("/admin", "/admin/"):
            add("GET", path, self._guarded(self._page))
        acts: Mapping[tuple[str, str], Act] = {
            ("GET", "state"): lambda _, now: self.state(now),
            ("GET", "time"): lambda _, now: self._clock_face(now),
            ("POST", "time"): self._time,
            ("POST", "price"): self._price,
            ("POST", "orders"): self._order,
            ("POST", "rms"): self._rms,
            ("POST", "account"): self._account,
            ("GET", "faults"): lambda _, now: self._stage.faults.rows(now),
            ("POST", "faults"): self._load,
            ("DELETE", "faults"): self._clear,
            ("POST", "tokens/flush"): self._flush,
            ("POST", "addresses"): self._addresses,
            ("GET", "ledger"): self._ledger,
            ("POST", "shutdown"): self._shutdown,
        }
        for (method, name), act in acts.items():
            add(method, f"/admin/{name}", self._guarded(self._answering(act, name)))

    def _guarded(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            refusal = stranger(request)
            if refusal:
                return _json({"status": "error", "message": refusal}, 403)
            return await answer(request)

        return guarded

    def _answering(
        self, act: Act, name: str
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            now = self._exchange.now()
            try:
                asked = Asked.of(dict(request.query), await request.read())
                asked.know(_FIELDS.get((request.method, name), ()))
                data = act(asked, now)
            except KiteError as refusal:
                return _json({"status": "error", "message": refusal.message}, refusal.status)
            except HouseError as error:
                return _json({"status": "error", "message": str(error)}, 400)
            if request.method != "GET":
                self._stage.ledger.note(now, f"admin: {request.method} {name} {asked.said}")
            return _json({"status": "success", "data": data}, 200)

        return answer

    # ── looking ──────────────────────────────────────────────────────────────────────────────

    def state(self, now: Instant) -> dict[str, object]:
        """How the day stands."""
        exchange, clock = self._exchange, self._clock
        app = self._app
        pump = None if app is None else app.get(PUMP)
        feed = None if app is None else app.get(FEED)
        floor = exchange.floor
        return {
            "time": ist_text(now),
            "date": exchange.day.isoformat(),
            "speed": clock.speed,
            "paused": clock.paused,
            "frames": 0 if pump is None else pump.position,
            "market_ended": pump is not None and pump.ended,
            "phases": {
                segment.value: session.phase_at(now).value
                for segment, session in exchange.market.manifest.sessions.items()
            },
            "sockets": 0 if feed is None else len(feed.connections),
            "orders": len(exchange.desk.orders(now)),
            "working_orders": len(floor.orders),
            "positions": {
                f"{name} {product.value}": position.net_qty
                for (name, product), position in floor.account.positions.items()
                if position.net_qty
            },
            "available_rupees": int(floor.account.available) / 10_000,
            "faults": len(self._stage.faults.states),
            "strikes": len(self._stage.faults.strikes),
            "moves": {
                name: {"percent": move.millionths / 10_000 - 100, "until": ist_text(move.until)}
                for name, move in self._stage.moves.on.items()
            },
        }

    async def _page(self, request: web.Request) -> web.StreamResponse:
        del request
        now = self._exchange.now()
        strikes = self._stage.faults.strikes[-20:]
        page = admin_page(self.state(now), self._stage.faults.rows(now), strikes)
        # Nothing on the page comes from elsewhere, and nothing may.
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return web.Response(
            text=page,
            content_type="text/html",
            headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
        )

    def _ledger(self, asked: Asked, now: Instant) -> object:
        del now
        after, most = asked.whole("after", 0), asked.whole("limit", _LEDGER_ROWS)
        if asked.yes("lines"):
            lines = [line for line in self._stage.ledger.lines() if line.n > after]
            return lines[:most]
        method, path = asked.text("method", ""), asked.text("path", "")
        rows = self._stage.ledger.conversations(method, path)
        assert all(isinstance(row.heard, Heard) for row in rows)
        return [row for row in rows if row.heard.n > after][:most]

    # ── time ─────────────────────────────────────────────────────────────────────────────────

    def _clock_face(self, now: Instant) -> object:
        """For whoever lives by this clock: ``at`` in microseconds; asked many times a second."""
        clock = self._clock
        return {"time": ist_text(now), "at": now, "speed": clock.speed, "paused": clock.paused}

    def _time(self, asked: Asked, now: Instant) -> object:
        clock, action = self._clock, asked.one_of("action", _TIME_ACTIONS)
        match action:
            case "pause":
                clock.pause()
            case "resume":
                clock.resume()
            case "speed":
                clock.set_speed(speed_of(asked.text("speed")))
            case "step":
                clock.step(round(asked.number("seconds", least=0) * SECOND))
            case _:
                clock.jump(self._moment(asked))
        return {"time": ist_text(self._clock.now()), "asked_at": ist_text(now)}

    def _moment(self, asked: Asked) -> Instant:
        phase = asked.text("phase", "")
        if phase:
            segment = asked.text("segment", "")
            return phase_start(self._exchange.market.manifest.sessions, phase, segment)
        return instant(self._exchange.day, time_of_day(asked.text("to"), "to"))

    # ── market, orders, account ──────────────────────────────────────────────────────────────

    def _price(self, asked: Asked, now: Instant) -> object:
        name, lasts = asked.text("instrument"), round(asked.number("seconds", 60.0) * SECOND)
        if asked.has("to"):
            px = price(str(asked.number("to", least=0.0001)))
            self._reach.jump_to(now, name, px, lasts)
        else:
            self._reach.jump(now, (name,), asked.number("percent", least=-99), lasts)
        return {"instrument": name, "until": ist_text(now + lasts)}

    def _order(self, asked: Asked, now: Instant) -> object:
        variety = asked.text("variety", "regular")
        return self._reach.order_from_phone(now, variety, asked.rest())

    def _rms(self, asked: Asked, now: Instant) -> object:
        match asked.one_of("action", _RMS_ACTIONS):
            case "square_off":
                return {"order_ids": self._reach.square_off(now, asked.names("instruments"))}
            case "reject_next":
                message = asked.text("message", "RMS: the order is blocked by risk management")
                count = asked.whole("count", 1)
                self._reach.refuse_next(message, count)
                return {"count": count}
            case "fill":
                order_id = asked.text("order_id")
                return {"order_id": order_id, "filled": self._reach.fill_order(order_id)}
            case _:
                order_id = asked.text("order_id")
                message = asked.text("message", "Cancelled by risk management")
                self._reach.withdraw(now, order_id, message)
                return {"order_id": order_id}

    def _account(self, asked: Asked, now: Instant) -> object:
        if asked.has("cash"):
            self._reach.add_cash(money(str(asked.number("cash"))))
        if asked.has("position"):
            row = asked.section("position")
            row.know(("instrument", "product", "quantity", "price"))
            self._reach.set_position(
                row.text("instrument"), row.text("product"), row.whole("quantity"),
                price(str(row.number("price", least=0.0001))),
            )  # fmt: skip
        if asked.has("holding"):
            row = asked.section("holding")
            row.know(("instrument", "quantity", "price"))
            self._reach.set_holding(
                row.text("instrument"), row.whole("quantity"),
                price(str(row.number("price", 1.0, least=0.0001))),
            )  # fmt: skip
        return {"available_rupees": self.state(now)["available_rupees"]}

    # ── faults, session, addresses, end ──────────────────────────────────────────────────────

    def _load(self, asked: Asked, now: Instant) -> object:
        script = parse_script(asked.script(), "the script")
        if asked.yes("replace"):
            self._stage.faults.clear()
        if script.seed:
            self._stage.faults.seed = script.seed
        self._stage.faults.load(script.faults)
        self._stage.watch.look(now)
        return self._stage.faults.rows(now)

    def _clear(self, asked: Asked, now: Instant) -> object:
        del now
        return {"cleared": self._stage.faults.clear(asked.whole("number", 0))}

    def _flush(self, asked: Asked, now: Instant) -> object:
        del asked, now
        self._reach.flush_tokens()
        return True

    def _addresses(self, asked: Asked, now: Instant) -> object:
        del now
        self._reach.allow_addresses(asked.names("allowed"))
        return True

    def _shutdown(self, asked: Asked, now: Instant) -> object:
        del asked, now
        self._stop()
        return True


_TIME_ACTIONS: Final = ("pause", "resume", "speed", "step", "jump")
_RMS_ACTIONS: Final = ("square_off", "reject_next", "cancel", "fill")
_FIELDS: Final[Mapping[tuple[str, str], tuple[str, ...] | None]] = {
    ("POST", "time"): ("action", "seconds", "speed", "to", "phase", "segment"),
    ("POST", "price"): ("instrument", "percent", "to", "seconds"),
    ("POST", "orders"): None,
    ("POST", "rms"): ("action", "instruments", "message", "count", "order_id"),
    ("POST", "account"): ("cash", "position", "holding"),
    ("POST", "faults"): ("script", "replace"),
    ("DELETE", "faults"): ("number",),
    ("POST", "addresses"): ("allowed",),
    ("GET", "ledger"): ("after", "limit", "lines", "method", "path"),
}
"""What may be asked of each route; an order's fields are judged by the desk."""


def stranger(request: web.Request) -> str:
    """Why a caller is none of ours: from another machine, another name, another site; or nothing."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if isinstance(peer, tuple) and str(peer[0]) not in _LOOPBACK:
        return "The admin interface answers this machine only."
    host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    if host not in _LOOPBACK:
        return "The admin interface is reached as localhost or 127.0.0.1 only."
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return "The admin interface answers no page of another site."
    return ""


def _json(tree: object, status: int) -> web.Response:
    plain = msgspec.to_builtins(tree)
    body = json.dumps(plain, ensure_ascii=False).encode()
    return web.Response(body=body, status=status, content_type="application/json")
