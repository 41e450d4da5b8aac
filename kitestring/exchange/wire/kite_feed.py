"""Kite's ticker socket: who may listen, what they hear, and what happens when they listen too slowly.

Protocol: kite.trade/docs/connect/v3/websocket. Limits: 3 000 instruments a connection (more are refused
with an error, the rest goes on), 3 connections an api_key (a fourth gets 429). What the documentation
leaves open is settled so: a bare subscribe means ``quote``, and so does subscribing again; ``mode``
subscribes what was not; every subscribe and mode brings a first snapshot of what has a price; unknown tokens
are ignored; a one-byte heartbeat comes when a second was silent.

Whatever happens to the market goes out in the order in which it happened. A consumer that does not
keep up gets the latest ticks instead of all of them, but every order update; one that takes nothing
for half a minute is disconnected.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, Instant
from kitestring.domain.unreadable import UNREADABLE
from kitestring.exchange.depth import Ints
from kitestring.exchange.desk.kite_error import (
    KiteError,
    general_error,
    network_error,
    permission_error,
    token_error,
)
from kitestring.exchange.desk.sessions import OpenSession, Sessions
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedConnection, FeedSettings
from kitestring.exchange.wire.kite_packets import Mode, Modes, PacketBatch, message_of
from kitestring.exchange.wire.pump import Happening
from kitestring.exchange.wire.step_gate import StepGate

HEARTBEAT: Final = b"\x00"
_MODES: Final = {"ltp": Mode.LTP, "quote": Mode.QUOTE, "full": Mode.FULL}
_TOKEN_MAX: Final = (1 << 32) - 1
_MESSAGE_MAX: Final = 1 << 20
_SLICE: Final = 1_000
"""So many instruments are packed before others have their turn."""


class Interference(Protocol):
    """Faults on the way to a socket and from it; ``KiteFeed.interference`` is usually none."""

    def refusal(self, request: web.Request) -> KiteError | None:
        """Why this socket is not opened."""
        ...

    def ticks(self, connection: FeedConnection, rows: Ints, message: bytes) -> Iterable[bytes]:
        """What is sent instead of a message of ticks."""
        ...

    def update(self, connection: FeedConnection, text: str) -> Iterable[str]:
        """What is sent instead of an order update; more may be sent later, with ``send``."""
        ...

    def heartbeat(self, connection: FeedConnection) -> bool:
        """Whether this heartbeat is sent."""
        ...

    def hears(self, connection: FeedConnection) -> bool:
        """Whether what the client sends is heard."""
        ...


class KiteFeed:
    """Every ticker socket of one exchange; a listener of the pump.

    ``watch`` is told which instruments somebody asked for, so that they tick from now on.
    """

    def __init__(
        self,
        board: MarketBoard,
        sessions: Sessions,
        clock: ExchangeClock,
        gate: StepGate,
        *,
        watch: Callable[[Iterable[InstrumentId]], object] = lambda _: None,
        settings: FeedSettings | None = None,
    ) -> None:
        self.settings = settings or FeedSettings()
        self.connections: list[FeedConnection] = []
        self.interference: Interference | None = None
        self.heard: Callable[[FeedConnection, str], None] = lambda _, __: None
        """Told every text a client sends."""
        self.sent: Counter[str] = Counter()
        """What went to sockets: messages of ``ticks``, ``updates``, ``errors``, ``heartbeats``."""
        self._board = board
        self._sessions = sessions
        self._clock = clock
        self._gate = gate
        self._watch = watch
        self._opened = 0
        self._ending: dict[FeedConnection, asyncio.Task[None]] = {}
        self._wanted: Modes = np.zeros(0, dtype=np.uint8)
        """By row, the fullest mode of any connection."""

    # ── a socket is opened ───────────────────────────────────────────────────────────────────

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Answer an upgrade: 403 without a live token, 429 for one connection too many."""
        try:
            if "websocket" not in request.headers.get("Upgrade", "").lower():
                raise general_error("Route not found", 404)
            session = self._admit(request)
        except KiteError as refusal:
            return _refused(refusal)
        self._opened += 1
        connection = FeedConnection(self._opened, session, self._board, self.settings)
        self.connections.append(connection)
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MESSAGE_MAX)
        writer = None
        try:
            await socket.prepare(request)
            transport = request.transport
            if transport is None:  # Gone before it was opened.
                return socket
            if self._clock.speed == "step":
                connection.send(_step_text(self._gate.shown, self._clock.now(), 0, 0))
            writer = asyncio.create_task(connection.write(socket, transport))
            async for message in socket:
                if self.interference is not None and not self.interference.hears(connection):
                    continue
                if message.type is WSMsgType.TEXT:
                    self.heard(connection, message.data)
                    self._obey(connection, message.data)
                else:
                    self._complain(connection, "Text messages in JSON are expected.")
        except ConnectionError:
            pass  # The client is gone; there is nobody to be told.
        finally:
            self.connections.remove(connection)
            connection.leave()
            self._ending.pop(connection, None)
            self._gate.leave(connection)
            self._count_wanted()
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
        return socket

    def _admit(self, request: web.Request) -> OpenSession:
        if self.interference is not None:
            refusal = self.interference.refusal(request)
            if refusal is not None:
                raise refusal
        api_key = request.query.get("api_key", "")
        token = request.query.get("access_token", "")
        session = self._sessions.find(self._clock.now(), api_key, token)
        if session is None:
            raise token_error()
        if session.app.personal:
            raise permission_error()
        listening = sum(each.api_key == api_key for each in self.connections)
        if listening >= self.settings.connections_max:
            raise network_error()
        return session

    # ── what clients ask for ─────────────────────────────────────────────────────────────────

    def _obey(self, connection: FeedConnection, text: str) -> None:
        try:
            asked = msgspec.json.decode(text)
        except UNREADABLE:
            self._complain(connection, "The message is not JSON.")
            return
        if not isinstance(asked, dict):
            self._complain(connection, 'An object like {"a":"subscribe","v":[408065]} is expected.')
            return
        value = asked.get("v")
        match asked.get("a"):
            case "subscribe":
                self._subscribe(connection, value, Mode.QUOTE)
            case "mode":
                if (
                    not isinstance(value, list)
                    or len(value) != 2
                    or not isinstance(value[0], str)
                    or value[0] not in _MODES
                ):
                    self._complain(connection, 'A mode is ["ltp" or "quote" or "full", [tokens]].')
                    return
                self._subscribe(connection, value[1], _MODES[value[0]])
            case "unsubscribe":
                rows = self._rows(self._named(connection, value))
                if len(rows):
                    connection.set_mode(rows, Mode.OFF)
                    self._count_wanted()
            case "ack":
                self._acknowledge(connection, value, asked.get("w", NEVER))
            case other:
                self._complain(connection, f"There is no action {other!r:.40}.")

    def _acknowledge(self, connection: FeedConnection, value: object, wake_at: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            self._complain(connection, "An acknowledgement names the number of an event.")
            return
        if not isinstance(wake_at, int) or isinstance(wake_at, bool):
            self._complain(connection, "A timer is named in whole microseconds.")
            return
        wrong = self._gate.acknowledge(connection, value, wake_at)
        if wrong is not None:
            self._complain(connection, wrong)

    def _subscribe(self, connection: FeedConnection, value: object, mode: Mode) -> None:
        named = self._named(connection, value)
        fits = connection.room_for([self._board.opened_row(one) for one in named])
        if fits < len(named):
            self._complain(
                connection,
                f"A connection has at most {self.settings.instruments_max} instruments;"
                f" {len(named) - fits} of yours were left out.",
            )
        if not fits:
            return
        self._watch(named[:fits])
        chosen = self._rows(named[:fits])
        connection.set_mode(chosen, mode)
        self._count_wanted()
        chosen = self._board.priced(chosen)
        if len(chosen):
            batch = PacketBatch(self._board, chosen, mode)
            self._send_ticks(connection, [(batch, connection.mode_of(chosen))])

    def _rows(self, named: Iterable[InstrumentId]) -> Ints:
        rows = [self._board.row_of(one) for one in named]
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def _named(self, connection: FeedConnection, value: object) -> list[InstrumentId]:
        """The instruments of the tokens in a message, each once; complains of what is no token."""
        if isinstance(value, int | float):
            value = [value]
        if not isinstance(value, list):
            self._complain(connection, "A list of instrument tokens is expected.")
            return []
        named: dict[InstrumentId, None] = {}
        for token in value:
            number = int(token) if isinstance(token, float) and token.is_integer() else token
            if (
                not isinstance(number, int)
                or isinstance(number, bool)
                or not 0 < number <= _TOKEN_MAX
            ):
                self._complain(connection, f"{token!r:.40} is no instrument token.")
                continue
            instrument = self._board.listed(number)
            if instrument is not None:
                named[instrument.id] = None
        return list(named)

    def _count_wanted(self) -> None:
        """What anybody wants; reckoned when somebody changes their mind, not for every frame."""
        wanted: Modes = np.zeros(max(len(self._board), 1), dtype=np.uint8)
        for connection in self.connections:
            modes = connection.modes[: len(wanted)]
            np.maximum(wanted[: len(modes)], modes, out=wanted[: len(modes)])
        self._wanted = wanted

    def _complain(self, connection: FeedConnection, sentence: str) -> None:
        self.sent["errors"] += 1
        connection.send(msgspec.json.encode({"type": "error", "data": sentence}).decode())

    # ── what they hear ───────────────────────────────────────────────────────────────────────

    async def announce(self, happening: Happening) -> None:
        """Send an event of the day to everybody it concerns: ticks first, then order updates."""
        if not self.connections:
            return
        batches = await self._packed(happening.rows)
        texts = [
            msgspec.json.encode({"type": "order", "data": update.row}).decode()
            for update in happening.updates
        ]
        stepping = self._clock.speed == "step"
        for connection in self.connections.copy():
            wanted = [(batch, connection.mode_of(batch.rows)) for batch in batches]
            wanted = [(batch, modes) for batch, modes in wanted if modes.any()]
            if stepping:
                frames, orders = int(bool(wanted)), len(texts)
                connection.send(_step_text(happening.number, happening.at, frames, orders))
            if wanted:
                self._send_ticks(connection, wanted)
            self._send_updates(connection, texts)
            if len(batches) > 1:
                await asyncio.sleep(0)

    async def _packed(self, rows: Ints) -> list[PacketBatch]:
        """Those of some rows that anybody wants, packed; others have their turn between large parts."""
        rows = rows[rows < len(self._wanted)]
        rows = rows[self._wanted[rows] > 0]
        if not len(rows):
            return []
        most = Mode(int(self._wanted[rows].max()))
        batches = []
        for first in range(0, len(rows), _SLICE):
            if first:
                await asyncio.sleep(0)
            batches.append(PacketBatch(self._board, rows[first : first + _SLICE], most))
        return batches

    def _send_ticks(
        self, connection: FeedConnection, batches: Sequence[tuple[PacketBatch, Modes]]
    ) -> None:
        wanted = [batch.rows[modes > 0] for batch, modes in batches]
        rows = wanted[0] if len(wanted) == 1 else np.concatenate(wanted)
        if connection.slow:
            connection.owe(rows)
            return
        message = message_of(
            (batch, np.minimum(modes, np.uint8(batch.most))) for batch, modes in batches
        )
        messages: Iterable[bytes] = (message,)
        if self.interference is not None:
            messages = self.interference.ticks(connection, rows, message)
        for each in messages:
            self.sent["ticks"] += 1
            connection.send(each)

    def _send_updates(self, connection: FeedConnection, texts: Sequence[str]) -> None:
        for text in texts:
            instead: Iterable[str] = (text,)
            if self.interference is not None:
                instead = self.interference.update(connection, text)
            for each in instead:
                self.sent["updates"] += 1
                connection.send(each)

    async def taken(self) -> None:
        """Return when no connection has more waiting than it should."""
        for connection in self.connections.copy():
            await connection.keeps_up()

    # ── the minute hand ──────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Send heartbeats, end the sockets of dead tokens and of consumers that take nothing."""
        loop = asyncio.get_running_loop()
        beat = self.settings.heartbeat_s
        while True:
            await asyncio.sleep(beat / 4)
            loop_at, now = loop.time(), self._clock.now()
            for connection in self.connections.copy():
                if connection.stalled_for(loop_at) > self.settings.stalled_s or connection.overrun:
                    connection.cut()
                elif not self._alive(connection, now):
                    self._end(connection)
                elif connection.idle and loop_at - connection.sent_at >= beat:
                    self._beat(connection)

    def _end(self, connection: FeedConnection) -> None:
        """Close a socket, once, without waiting for its client to agree."""
        if connection not in self._ending:
            closing = connection.close(WSCloseCode.POLICY_VIOLATION, "The session has ended.")
            self._ending[connection] = asyncio.create_task(closing)

    def _beat(self, connection: FeedConnection) -> None:
        if self.interference is None or self.interference.heartbeat(connection):
            self.sent["heartbeats"] += 1
            connection.send(HEARTBEAT)

    def _alive(self, connection: FeedConnection, now: Instant) -> bool:
        session = connection.session
        found = self._sessions.find(now, session.app.api_key, session.access_token)
        return found is session

    async def close_all(self) -> None:
        """The exchange stops serving."""
        closing = [
            connection.close(WSCloseCode.GOING_AWAY, "The exchange is closing.")
            for connection in self.connections
        ]
        await asyncio.gather(*closing)


def _step_text(number: int, at: Instant, frames: int, orders: int) -> str:
    return f'{{"type":"step","data":{number},"at":{at},"frames":{frames},"orders":{orders}}}'


def _refused(refusal: KiteError) -> web.Response:
    answer = {
        "status": "error",
        "message": refusal.message,
        "data": None,
        "error_type": refusal.error_type,
    }
    return web.Response(
        body=msgspec.json.encode(answer),
        status=refusal.status,
        content_type="application/json",
    )
