"""Kite's ticker for a whole day: every instrument on up to three connections, ticks out, silence noticed.

Frames, order hints and events are handed to three callables in the running loop; they must return at
once (put it into an inbox) and must not raise. TLS is verified, no proxy of the environment is
used, no redirect is followed, and nothing that is shown or raised holds the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Final

import aiohttp

from kitestring.broker.kite_frames import FrameReader
from kitestring.broker.kite_texts import TickerText
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import (
    FeedState,
    InstrumentsQuiet,
    Now,
    TickerEvent,
    TickerSettings,
    worst,
)
from kitestring.broker.ticker_line import Ears, Redirected, TickerLine
from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.ticks import TickFrame

_LOOK_S: Final = 1.0


class KiteTicker:
    """The ticker of one day. ``run`` it as a task; cancel that to end it.

    ``access_token`` is asked at every connection; after a new login call ``resume``.
    ``expects_ticks`` says whether the market is open at an instant: only then is a want of ticks a
    fault. ``seed`` draws the waits between connections.
    """

    def __init__(
        self,
        settings: TickerSettings,
        instruments: Mapping[int, InstrumentId],
        access_token: Callable[[], Secret],
        *,
        now: Now,
        on_frame: Callable[[TickFrame], None],
        on_event: Callable[[TickerEvent], None],
        on_text: Callable[[TickerText], None],
        expects_ticks: Callable[[Instant], bool] = lambda _: True,
        seed: int = 0,
    ) -> None:
        per_line, most = settings.instruments_per_line, settings.lines_max
        tokens = list(instruments)
        if not tokens or len(tokens) > per_line * most:
            raise ConfigError(
                f"{len(tokens)} instruments are to be watched; Kite shows between 1 and"
                f" {per_line * most}, {per_line} on each of {most} connections.",
                do="Choose fewer underlyings, or fewer strikes of each.",
            )
        self._settings = settings
        self._clock = now
        self._latest: Instant = 0
        self._on_frame = on_frame
        self._on_event = on_event
        self._expects_ticks = expects_ticks
        self._last_at: dict[InstrumentId, Instant] = {}
        """By the exchange's stamp."""
        self._names = tuple(instruments.values())
        self._quiet: frozenset[InstrumentId] = frozenset()
        self._open_since: Instant = 0
        ears = Ears(self._hear, on_text, on_event)
        self.lines = tuple(
            TickerLine(
                number,
                tokens[first : first + per_line],
                FrameReader(instruments),
                settings,
                access_token,
                ears,
                self.now,
                expects_ticks=expects_ticks,
                seed=seed,
            )
            for number, first in enumerate(range(0, len(tokens), per_line), 1)
        )

    @property
    def state(self) -> FeedState:
        """That of the worst connection."""
        return worst([line.state for line in self.lines])

    def now(self) -> Instant:
        """The clock given, kept from going back."""
        self._latest = max(self._latest, self._clock())
        return self._latest

    async def run(self) -> None:
        """Stay connected until cancelled. Raises only what one of the three callables raised."""
        tracing = aiohttp.TraceConfig()
        tracing.on_request_redirect.append(_refuse_redirect)
        async with (
            aiohttp.ClientSession(
                trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[tracing]
            ) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for line in self.lines:
                tasks.create_task(line.run(session))
            tasks.create_task(self._look_after())

    def resume(self) -> None:
        """There has been a login: connections that were refused try again."""
        for line in self.lines:
            line.resume()

    async def say(self, message: object) -> bool:
        """Send a message on the first connection (the rehearsal's acknowledgements)."""
        return await self.lines[0].say(message)

    def quiet(self, at: Instant) -> frozenset[InstrumentId]:
        """Instruments whose last tick is older than allowed; those that never ticked included."""
        limit = at - round(self._settings.quiet_s * SECOND)
        if self._open_since > limit:
            return frozenset()  # nobody has had the time to be silent
        last_at = self._last_at
        return frozenset(name for name in self._names if last_at.get(name, 0) < limit)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _hear(self, frame: TickFrame) -> None:
        last_at = self._last_at
        for tick in frame.ticks:
            last_at[tick.instrument] = tick.event_at
        self._on_frame(frame)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            at = self.now()
            for line in self.lines:
                if line.state is not FeedState.FLOWING:
                    line.tell_missing(at)
            self._look_for_quiet(at)

    def _look_for_quiet(self, at: Instant) -> None:
        if not self._expects_ticks(at):
            self._open_since = at
            quiet: frozenset[InstrumentId] = frozenset()
        else:
            self._open_since = self._open_since or at
            quiet = self.quiet(at)
        if quiet != self._quiet:
            before, self._quiet = self._quiet, quiet
            self._on_event(
                InstrumentsQuiet(
                    at=at,
                    quiet=tuple(name for name in self._names if name in quiet - before),
                    again=tuple(name for name in self._names if name in before - quiet),
                )
            )


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, seen: object
) -> None:
    """The token is Kite's to see and nobody else's."""
    del session, context, seen
    raise Redirected
