"""One ticker socket: what it wants to hear, what waits to be sent to it, and whether it keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from aiohttp import web

from kitestring.exchange.depth import Ints
from kitestring.exchange.desk.sessions import OpenSession
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.wire.kite_packets import Mode, Modes, PacketBatch

_LATEST: Final = b""
"""In a queue: the ticks of what changed meanwhile, packed when its turn comes."""


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The socket's limits; every one of them can be another one day.

    ``backlog_bytes``: so much may wait for one consumer before its ticks are conflated.
    ``postback_url``: where updates of the app's own orders are posted to; nowhere if empty.
    """

    instruments_max: int = 3_000
    connections_max: int = 3
    heartbeat_s: float = 1.0
    backlog_bytes: int = 2_000_000
    backlog_updates: int = 10_000
    stalled_s: float = 30.0
    postback_url: str = ""


class FeedConnection:
    """One open socket: what it wants, what waits to be sent, and how it is getting on."""

    def __init__(
        self, number: int, session: OpenSession, board: MarketBoard, settings: FeedSettings
    ) -> None:
        self.number = number
        """Counts the sockets of the day, from 1."""
        self.session = session
        self.modes: Modes = np.zeros(64, dtype=np.uint8)
        """By row of the board."""
        self.subscribed = 0
        self.conflated = 0
        """Messages of ticks that were folded into later ones."""
        self.sent_at = asyncio.get_running_loop().time()
        self._board = board
        self._settings = settings
        self._queue: deque[bytes | str] = deque()
        self._backlog = 0
        self._updates = 0
        self._latest: Modes | None = None
        """Rows (by flag) of which the latest is owed."""
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._gone = False
        self._sending_since: float | None = None
        self._transport: asyncio.Transport | None = None
        self._socket: web.WebSocketResponse | None = None

    @property
    def api_key(self) -> str:
        """The app that listens."""
        return self.session.app.api_key

    @property
    def slow(self) -> bool:
        """Whether more is waiting than may."""
        return self._latest is not None or self._backlog > self._settings.backlog_bytes

    def stalled_for(self, loop_at: float) -> float:
        """Seconds since the consumer took anything, while something waits for it."""
        return 0.0 if self._sending_since is None else loop_at - self._sending_since

    @property
    def overrun(self) -> bool:
        """Whether more order updates wait than may."""
        return self._updates > self._settings.backlog_updates

    def mode_of(self, rows: Ints) -> Modes:
        """The mode of each of some rows."""
        if len(self.modes) < len(self._board):
            grown = np.zeros(2 * len(self._board), dtype=np.uint8)
            grown[: len(self.modes)] = self.modes
            self.modes = grown
        modes: Modes = self.modes[rows]
        return modes

    def set_mode(self, rows: Ints, mode: Mode) -> None:
        """Hear these rows like that from now on; they are no more than may be subscribed."""
        before = self.mode_of(rows)
        self.subscribed += (int(mode > Mode.OFF) * len(rows)) - int(np.count_nonzero(before))
        self.modes[rows] = mode

    def room_for(self, rows: Sequence[int | None]) -> int:
        """How many of these, counted from the first, fit into the limit; ``None`` has no row yet."""
        room = self._settings.instruments_max - self.subscribed
        self.mode_of(np.zeros(0, dtype=np.int64))
        for place, row in enumerate(rows):
            room -= row is None or not self.modes[row]
            if room < 0:
                return place
        return len(rows)

    def send(self, item: bytes | str) -> None:
        """Queue a message; it is never dropped."""
        self._queue.append(item)
        if isinstance(item, str):
            self._updates += 1
        else:
            self._backlog += len(item)
        self._wake.set()

    def owe(self, rows: Ints) -> None:
        """Instead of a message of ticks: the latest of these rows, when the consumer has caught up."""
        self.mode_of(rows)
        if self._latest is None:
            self._latest = np.zeros_like(self.modes)
            self._queue.append(_LATEST)
            self._wake.set()
        elif len(self._latest) < len(self.modes):
            grown = np.zeros_like(self.modes)
            grown[: len(self._latest)] = self._latest
            self._latest = grown
        self._latest[rows] = 1
        self.conflated += 1

    async def write(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        """Send what is queued until the socket ends."""
        self._socket, self._transport = socket, transport
        loop = asyncio.get_running_loop()
        while not socket.closed:
            await self._wake.wait()
            self._wake.clear()
            self._sending_since = loop.time()
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, str):
                    self._updates -= 1
                    await socket.send_str(item)
                else:
                    self._backlog -= len(item)
                    if item or (item := self._caught_up()):
                        await socket.send_bytes(item)
                self.sent_at = self._sending_since = loop.time()
                self._room.set()
            self._sending_since = None

    def _caught_up(self) -> bytes:
        latest, self._latest = self._latest, None
        if latest is None:
            return b""
        rows: Ints = np.flatnonzero(latest)
        rows = rows[self.mode_of(rows) > 0]
        return PacketBatch(self._board, rows).message(self.mode_of(rows)) if len(rows) else b""

    async def keeps_up(self) -> None:
        """Return when no more is waiting than may, or the consumer is gone."""
        while self.slow and not self._gone:
            self._room.clear()
            await self._room.wait()

    def leave(self) -> None:
        """The socket has ended."""
        self._gone = True
        self._room.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being sent."""
        return not self._queue and self._sending_since is None

    def hear(self, on: bool) -> None:
        """Read what the client sends, or let it lie: pings and closes go unanswered then."""
        if self._transport is not None and self._transport.is_reading() is not on:
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """End the connection as WebSockets end."""
        if self._socket is not None:
            await self._socket.close(code=code, message=reason.encode())
