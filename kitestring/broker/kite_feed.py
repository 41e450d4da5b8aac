"""Today's market from Kite, as the engine's feed: manifest, frames as they arrive, history that joins them.

A live feed cannot be rewound: ``frames`` is refused, ``live_frames`` is for one reader. Bars of before
are loaded once and then handed out like any feed's.

**Where history ends and live bars begin.** ``joined_at`` is the session's open, if the feed was
subscribed before it, and else the start of the minute in which it began to flow: history is loaded up
to there. The part of that minute that nobody saw is told as a ``Gap``, so that no bar over it passes for whole.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from kitestring.broker.kite_history import History, KiteHistory
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.kite_texts import TickerText
from kitestring.broker.kite_ticker import KiteTicker
from kitestring.broker.secret_text import Secret
from kitestring.broker.tick_inbox import TICKS_MAX, TickInbox
from kitestring.broker.ticker_events import (
    FeedState,
    Now,
    StateChanged,
    TickerEvent,
    TickerSettings,
)
from kitestring.core.bar_builder import continuous_hours
from kitestring.domain.bars import Bar
from kitestring.domain.errors import FeedError
from kitestring.domain.events import Gap
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.ports import Frame, Manifest
from kitestring.domain.ticks import TickFrame
from kitestring.market.sessions import sessions_for


def ticker_settings(
    settings: KiteSettings, *, user_id: str = "", speed: float = 1.0
) -> TickerSettings:
    """The ticker's settings from those of Kite.

    ``speed`` is the exchange's seconds per real one in a rehearsal: freshness is of its time, and
    the way here takes ours.
    """
    usual = TickerSettings(ws_root=settings.ws_root, api_key=settings.api_key, user_id=user_id)
    return msgspec.structs.replace(usual, fresh_s=usual.fresh_s * max(speed, 1.0))


def live_manifest(
    day: dt.date,
    instruments: Sequence[Instrument],
    previous_close: Mapping[str, Price],
    notes: Sequence[str] = (),
    *,
    price_bands: Mapping[str, tuple[Price, Price]] = MappingProxyType({}),
) -> Manifest:
    """What a live day says of itself; it is the same again after a restart on the same instruments."""
    named = "\n".join(f"{each.id} {each.token}" for each in instruments)
    digest = hashlib.sha256(f"kite {day}\n{named}".encode()).hexdigest()
    return Manifest(
        name=f"Kite, {day}",
        date=day,
        instruments=tuple(instruments),
        sessions=sessions_for(day),
        digest=digest,
        rewindable=False,
        previous_close=dict(previous_close),
        price_bands=dict(price_bands),
        notes=tuple(notes),
    )


class LiveFeed:
    """One live day. ``on_event`` and ``on_text`` are called in the running loop and return at once.

    ``status`` is the worst connection's state. Make it inside the loop it will live in.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: TickerSettings,
        access_token: Callable[[], Secret],
        history: KiteHistory,
        now: Now,
        *,
        on_event: Callable[[TickerEvent], None],
        on_text: Callable[[TickerText], None],
        seed: int = 0,
        ticks_max: int = TICKS_MAX,
    ) -> None:
        self.manifest = manifest
        self.joined_at: Instant | None = None
        self.inbox = TickInbox(on_event, ticks_max)
        self.ticker = KiteTicker(
            settings,
            {each.token: each.id for each in manifest.instruments},
            access_token,
            now=now,
            on_frame=self.inbox.put,
            on_event=self._hear_event,
            on_text=on_text,
            expects_ticks=self.is_open,
            seed=seed,
        )
        self._history = history
        self._on_event = on_event
        self._now = now
        self._subscribed_at: Instant = 0
        self._flowing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loaded: dict[tuple[InstrumentId, int], tuple[Bar, ...]] = {}
        self._by_id = {each.id: each for each in manifest.instruments}
        used = {each.segment for each in manifest.instruments}
        self._hours = tuple(
            sorted(
                {
                    span
                    for segment, session in manifest.sessions.items()
                    if segment in used
                    for span in continuous_hours(session)
                }
            )
        )

    @property
    def status(self) -> FeedState:
        """How far the feed has come; only ``FLOWING`` is good enough to enter on."""
        return self.ticker.state

    def is_open(self, at: Instant) -> bool:
        """Whether any of its instruments trades continuously at an instant."""
        return any(start_at <= at < end_at for start_at, end_at in self._hours)

    # ── frames ───────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Connect and listen; what comes waits for ``live_frames``."""
        if self._task is None:
            self._task = asyncio.create_task(self.ticker.run())
            self._task.add_done_callback(lambda _: self.inbox.close())

    async def until_flowing(self) -> None:
        """Return once ticks flow on every connection for the first time."""
        self.start()
        await self._flowing.wait()

    async def live_frames(self) -> AsyncIterator[TickFrame]:
        """Frames as they arrive, until ``close``. Raises what broke the ticker."""
        self.start()
        assert self._task is not None
        try:
            while (frame := await self.inbox.take()) is not None:
                yield frame
            if not self._task.cancelled():
                self._task.result()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop listening; frames that wait are still handed out."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.inbox.close()

    def resume(self) -> None:
        """There has been a login."""
        self.ticker.resume()

    def _hear_event(self, event: TickerEvent) -> None:
        self._on_event(event)
        if self.joined_at is not None or not isinstance(event, StateChanged):
            return
        if event.state is FeedState.SUBSCRIBED:
            self._subscribed_at = event.at
        if self.ticker.state is FeedState.FLOWING:
            self._join(event.at)

    def _join(self, at: Instant) -> None:
        """The first time that everything flows."""
        open_at = max(
            (start_at for start_at, _ in self._hours if start_at <= at),
            default=self._hours[0][0],
        )
        if self._subscribed_at <= open_at:
            self.joined_at = open_at
        else:
            self.joined_at = at // MINUTE * MINUTE
            self._on_event(
                Gap(
                    start_at=self.joined_at,
                    end_at=at,
                    reason="ticks before the feed began to flow",
                )
            )
        self._flowing.set()

    # ── history ──────────────────────────────────────────────────────────────────────────────

    async def load_history(
        self, needed: Iterable[tuple[InstrumentId, int, int]]
    ) -> tuple[str, ...]:
        """Load (instrument, minutes, bars) up to ``joined_at``, or up to now before that.

        Returns what has to be said of them. Raises ``KiteReadFailed``: no history is better than half of one.
        """
        notes: list[str] = []
        until = self._now() if self.joined_at is None else self.joined_at
        for name, minutes, bars in needed:
            loaded: History = await self._history.bars(
                self._by_id[name], minutes, bars, until=until
            )
            self._loaded[name, minutes] = loaded.bars
            notes += loaded.notes
        return tuple(notes)

    def history(self, instrument: InstrumentId, minutes: int, bars: int) -> Sequence[Bar]:
        """Up to ``bars`` of those loaded, oldest first."""
        return self._loaded.get((instrument, minutes), ())[-bars:] if bars > 0 else ()

    def frames(self, after: int = 0) -> Iterator[Frame]:
        """Refused: a live market cannot be played again."""
        raise FeedError(
            f"Kite's live market has no frame {after} to go back to.",
            do="play the day's tape instead: kitestring replay",
        )
