"""The faults of all ticker sockets, as ``KiteFeed`` asks for them: one ``SocketFaults`` for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from weakref import WeakKeyDictionary

from aiohttp import WSCloseCode, web

from kitestring.domain.instants import Instant
from kitestring.exchange.depth import Ints
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.faults import Faults
from kitestring.exchange.wire.feed_connection import FeedConnection
from kitestring.exchange.wire.feed_faults import Ending, Message, Payload, SocketFaults


class FeedFaults:
    """What stands between the feed and every socket; ``feed.interference`` is set to it."""

    def __init__(
        self, faults: Faults, clock: ExchangeClock, token_of: Callable[[str], int | None]
    ) -> None:
        self._faults = faults
        self._clock = clock
        self._token_of = token_of
        self._sockets: WeakKeyDictionary[FeedConnection, SocketFaults] = WeakKeyDictionary()
        self._later: set[asyncio.Task[None]] = set()

    def refusal(self, request: web.Request) -> KiteError | None:
        """Nothing: what is refused is refused before the socket's route is asked."""
        del request
        return None

    def ticks(self, connection: FeedConnection, rows: Ints, message: bytes) -> list[bytes]:
        """What is sent instead of a message of ticks."""
        del rows
        sent = self._outgoing(connection, Message.TICKS, message)
        return [each for each in sent if isinstance(each, bytes)]

    def update(self, connection: FeedConnection, text: str) -> list[str]:
        """What is sent instead of an order update; what is late follows by itself."""
        sent = self._outgoing(connection, Message.UPDATE, text)
        return [each for each in sent if isinstance(each, str)]

    def heartbeat(self, connection: FeedConnection) -> bool:
        """Whether this heartbeat is sent."""
        return bool(self._outgoing(connection, Message.HEARTBEAT, b"\x00"))

    def hears(self, connection: FeedConnection) -> bool:
        """Whether what the client sends is heard."""
        return not self._of(connection).deaf(self._clock.now())

    def close(self) -> None:
        """Nothing late is sent any more."""
        for task in self._later:
            task.cancel()

    def _of(self, connection: FeedConnection) -> SocketFaults:
        socket = self._sockets.get(connection)
        if socket is None:
            socket = SocketFaults(self._faults, self._clock.now(), self._token_of)
            self._sockets[connection] = socket
        return socket

    def _outgoing(
        self, connection: FeedConnection, message: Message, payload: Payload
    ) -> list[Payload]:
        """What is sent now of the same sort; the rest is queued here, now or later."""
        now, socket = self._clock.now(), self._of(connection)
        outgoing = socket.outgoing(message, payload, now)
        connection.hear(on=not socket.deaf(now))
        if socket.ending is not None:
            ending, socket.ending = socket.ending, None
            if ending is Ending.RESET:
                connection.cut()
            else:
                self._spawn(connection.close(WSCloseCode.GOING_AWAY, "Going away"))
            return []
        at_once: list[Payload] = []
        for delay, each in outgoing:
            if delay:
                self._spawn(self._send(connection, now + delay, each))
            elif type(each) is type(payload):
                at_once.append(each)
            else:
                connection.send(each)
        return at_once

    async def _send(self, connection: FeedConnection, at: Instant, payload: Payload) -> None:
        await self._clock.wait_until(at)
        connection.send(payload)

    def _spawn(self, later: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(later)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
