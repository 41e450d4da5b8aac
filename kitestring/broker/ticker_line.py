"""One connection to Kite's ticker: connects, subscribes, proves that ticks flow, notices silence, comes back.

    CONNECTING → SUBSCRIBED → FLOWING → SILENT → DOWN → CONNECTING …

Subscribed is not flowing: Kite first shows the last tick it has, which may be days old. Only a tick
that is fresh by the exchange's own stamp proves the feed. Whatever was missed meanwhile is told as a
``Gap``, minute by minute while it lasts, so that no bar closes over it as if it were whole.

A 403 means that the session is dead: the line stays down until ``resume``, because nothing but a
login cures it. The token is in the address, so no error of the connection is ever shown as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import aiohttp
import msgspec

from kitestring.broker.backoff import Backoff
from kitestring.broker.kite_frames import FrameDamaged, FrameReader
from kitestring.broker.kite_texts import TickerText, UnreadableText, read_text
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import (
    FeedState,
    Now,
    StateChanged,
    TickerEvent,
    TickerSettings,
)
from kitestring.domain.events import Gap
from kitestring.domain.instants import MINUTE, SECOND, Instant
from kitestring.domain.ticks import Tick, TickFrame

_WATCH_S: Final = 0.25
_CLOSING_S: Final = 1.0
_BATCH: Final = 500
"""Tokens in one message."""
_SETTLED_S: Final = 2.0
"""So long after subscribing, packets of another mode than asked for may still be on their way."""
_WELL_S: Final = 60.0
"""A connection that flowed for so long was a good one."""
_PATIENCE_MAX_S: Final = 300.0
_DEAD_TOKEN: Final = 403
_BINARY, _TEXT = aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT


class Ears(NamedTuple):
    """Who hears what; called in the running loop, must return at once."""

    frame: Callable[[TickFrame], None]
    text: Callable[[TickerText], None]
    event: Callable[[TickerEvent], None]


class LineCounts(msgspec.Struct):
    """What became of a connection so far."""

    connects: int = 0
    texts: int = 0
    unreadable_texts: int = 0
    modes_lost: int = 0
    """Times the mode had to be asked for again."""


class Ending(NamedTuple):
    """Why a connection is over."""

    why: str
    token_dead: bool = False


class Redirected(aiohttp.ClientError):
    """The ticker wanted to send us elsewhere."""


class TickerLine:
    """One socket with up to 3 000 instruments, for a whole day."""

    def __init__(
        self,
        number: int,
        tokens: Sequence[int],
        reader: FrameReader,
        settings: TickerSettings,
        access_token: Callable[[], Secret],
        ears: Ears,
        now: Now,
        *,
        expects_ticks: Callable[[Instant], bool],
        seed: int,
    ) -> None:
        self.number = number
        self.state = FeedState.DOWN
        self.counts = LineCounts()
        self.reader = reader
        self._tokens = tuple(tokens)
        self._settings = settings
        self._access_token = access_token
        self._ears = ears
        self._now = now
        self._expects_ticks = expects_ticks
        self._backoff = Backoff(
            settings.backoff_first_s, settings.backoff_max_s, seed, f"ticker {number}"
        )
        self._resumed = asyncio.Event()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._heard_at = 0.0
        """By the loop's clock, as the next four."""
        self._fresh_heard_at = 0.0
        self._state_since = 0.0
        self._flowing_since = 0.0
        self._patience_s = settings.ticks_silent_s
        self._last_fresh_at: Instant = 0
        """When the last fresh frame arrived, by our clock; 0 before the first."""
        self._missing_since: Instant = 0
        """From when on ticks are missing and have not been told so; 0 if none are."""
        self._missing_why = ""
        self._short_seen = -1

    # ── the day of a connection ──────────────────────────────────────────────────────────────

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Stay connected until cancelled."""
        while True:
            self._become(FeedState.CONNECTING)
            ending = await self._connected(session)
            self._miss(ending.why)
            if ending.token_dead:
                self._resumed.clear()
                self._become(FeedState.DOWN, ending.why, token_dead=True)
                await self._resumed.wait()
                self._backoff.well()
                continue
            wait_s = self._backoff.next_s()
            self._become(FeedState.DOWN, f"{ending.why}; again in {wait_s:.1f} s")
            await asyncio.sleep(wait_s)

    def resume(self) -> None:
        """There is a new token: a line that was down for want of one connects again."""
        self._resumed.set()

    async def say(self, message: object) -> bool:
        """Send a message of our own; whether it could be sent."""
        socket = self._socket
        if socket is None or socket.closed:
            return False
        try:
            await socket.send_str(msgspec.json.encode(message).decode())
        except (aiohttp.ClientError, OSError):
            return False
        return True

    async def _connected(self, session: aiohttp.ClientSession) -> Ending:
        """One connection from its first packet to its end."""
        settings = self._settings
        asked = {"api_key": settings.api_key, "access_token": self._access_token().reveal()}
        if settings.user_id:
            asked["user_id"] = settings.user_id
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                socket = await session.ws_connect(
                    f"{settings.ws_root.rstrip('/')}/",
                    params=asked,
                    headers={"X-Kite-Version": "3"},
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSING_S),
                    max_msg_size=settings.message_max_bytes,
                )
        except aiohttp.WSServerHandshakeError as error:
            return _refusal(error.status)
        except TimeoutError:
            return Ending(f"no connection within {settings.connect_timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Ending(_failure(error))
        self.counts.connects += 1
        self._socket = socket
        try:
            return await self._listen(socket)
        finally:
            self._socket = None
            await _close(socket)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> Ending:
        loop = asyncio.get_running_loop()
        self._heard_at = self._fresh_heard_at = loop.time()
        self._short_seen = -1
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._subscribe(socket, "subscribe")
                await self._subscribe(socket, "mode")
        except (TimeoutError, aiohttp.ClientError, OSError):
            return Ending("the connection broke while subscribing")
        self._become(FeedState.SUBSCRIBED)
        reading = asyncio.create_task(self._read(socket))
        try:
            while True:
                done, _ = await asyncio.wait((reading,), timeout=_WATCH_S)
                if done:
                    return reading.result()
                silence = self._silence(loop.time())
                if silence:
                    self._become(FeedState.SILENT, silence)
                    return Ending(silence)
                await self._watch_mode(socket, loop.time())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse, action: str) -> None:
        for first in range(0, len(self._tokens), _BATCH):
            tokens = list(self._tokens[first : first + _BATCH])
            value: object = tokens if action == "subscribe" else ["full", tokens]
            await socket.send_str(msgspec.json.encode({"a": action, "v": value}).decode())

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> Ending:
        loop = asyncio.get_running_loop()
        while True:
            message = await socket.receive()
            if message.type is _BINARY:
                self._heard_at = loop.time()
                self._take_frame(message.data)
            elif message.type is _TEXT:
                self._heard_at = loop.time()
                self._take_text(message.data)
            elif message.type is aiohttp.WSMsgType.ERROR:
                return Ending("the connection broke")
            else:
                return Ending(f"the connection was closed (code {socket.close_code})")

    # ── what comes ───────────────────────────────────────────────────────────────────────────

    def _take_frame(self, frame: bytes) -> None:
        at = self._now()
        try:
            ticks = self.reader.read(frame, at)
        except FrameDamaged as damage:
            self._miss(f"a damaged frame: {damage}")
            return
        if not ticks:
            return
        if self._is_fresh(ticks, at):
            loop_at = asyncio.get_running_loop().time()
            self._fresh_heard_at = loop_at
            if self.state is not FeedState.FLOWING:
                self._flowing_since = loop_at
                self._backoff.well()
                self._become(FeedState.FLOWING)
            self.tell_missing(at, ended=True)
            self._last_fresh_at = at
            if loop_at - self._flowing_since > _WELL_S:
                self._patience_s = self._settings.ticks_silent_s
        self._ears.frame(TickFrame(at, ticks))

    def _is_fresh(self, ticks: Sequence[Tick], at: Instant) -> bool:
        oldest = at - round(self._settings.fresh_s * SECOND)
        return any(tick.event_at >= oldest for tick in ticks)

    def _take_text(self, text: str) -> None:
        self.counts.texts += 1
        said = read_text(text, self._now())
        if isinstance(said, UnreadableText):
            self.counts.unreadable_texts += 1
        self._ears.text(said)

    # ── what does not come ───────────────────────────────────────────────────────────────────

    def _silence(self, loop_at: float) -> str:
        """Why this connection counts as dead; empty while it lives."""
        settings = self._settings
        if loop_at - self._heard_at > settings.silent_s:
            return f"nothing came for {settings.silent_s:g} s, not even a heartbeat"
        if not self._expects_ticks(self._now()):
            self._fresh_heard_at = loop_at
        elif loop_at - self._fresh_heard_at > self._patience_s:
            silence = f"no fresh tick came for {self._patience_s:g} s"
            self._patience_s = min(2 * self._patience_s, _PATIENCE_MAX_S)
            return silence
        return ""

    async def _watch_mode(self, socket: aiohttp.ClientWebSocketResponse, loop_at: float) -> None:
        """Ask for the mode again when packets come in a lesser one: those carry no time."""
        if loop_at - self._state_since < _SETTLED_S:
            return
        short = self.reader.counts.short_packets
        if 0 <= self._short_seen < short:
            self.counts.modes_lost += 1
            self._state_since = loop_at
            try:
                async with asyncio.timeout(self._settings.silent_s):
                    await self._subscribe(socket, "mode")
            except (TimeoutError, aiohttp.ClientError, OSError):
                return  # the reader will notice, too
        self._short_seen = short

    def _miss(self, why: str) -> None:
        if self._last_fresh_at and not self._missing_since:
            self._missing_since, self._missing_why = self._last_fresh_at, why
            self.tell_missing(self._now())

    def tell_missing(self, at: Instant, *, ended: bool = False) -> None:
        """Tell what is missing so far; asked for once a second while a line is not flowing.

        A gap is told to the end of the running minute, in which no bar can be whole any more; if it
        lasts longer, the next minute follows.
        """
        since = self._missing_since
        if not since:
            return
        until = at if ended else (at // MINUTE + 1) * MINUTE
        if until > since and (ended or at >= since):
            gap = Gap(start_at=since, end_at=until, reason=f"ticker {self._missing_why}")
            self._missing_since = until
            self._ears.event(gap)
        if ended:
            self._missing_since = 0

    def _become(self, state: FeedState, why: str = "", *, token_dead: bool = False) -> None:
        self.state = state
        self._state_since = asyncio.get_running_loop().time()
        self._ears.event(
            StateChanged(
                line=self.number, state=state, at=self._now(), why=why, token_dead=token_dead
            )
        )


def _refusal(status: int) -> Ending:
    if status == _DEAD_TOKEN:
        return Ending("Kite refused the session (403): log in again", token_dead=True)
    if status == 429:
        return Ending("Kite refused one connection too many (429)")
    return Ending(f"Kite refused the connection ({status})")


def _failure(error: BaseException) -> str:
    """A failure in words of our own: aiohttp's show the address, and the token is in it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "the certificate of the ticker could not be verified"
    if isinstance(error, Redirected):
        return "the ticker wanted to send us elsewhere, which is refused"
    return f"no connection ({type(error).__name__})"


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close without waiting long for somebody who may be gone."""
    try:
        async with asyncio.timeout(2 * _CLOSING_S):
            await socket.close()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return
