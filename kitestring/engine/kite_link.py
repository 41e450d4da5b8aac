"""Zerodha Kite as a live day's outside world: one session, its orders, its ticks, its candles.

Only wiring: the parts know nothing of each other. What the ticker says of orders is a hint to read
the book; what it says of itself goes into the day's inbox as gaps and notes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_feed import LiveFeed, ticker_settings
from kitestring.broker.kite_history import KiteHistory
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import KiteSettings, TimeOf
from kitestring.broker.kite_texts import BrokerSaid, OrderHint, TickerText, UnreadableText
from kitestring.broker.order_traffic import loop_seconds
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import FeedState, StateChanged, TickerEvent
from kitestring.domain.bars import Bar
from kitestring.domain.events import Gap, Note
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.ports import Manifest
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_engine import Account, Ears
from kitestring.engine.rehearsal_clock import FASTEST
from kitestring.store.candle_cache import CandleCache

FLOW_WITHIN_S: Final = 30.0
"""In an open market: how long the first tick is waited for before history is joined to it."""


class KiteLink:
    """An opened session with Kite; a ``LiveLink``."""

    def __init__(
        self, client: KiteClient, broker: KiteBroker, feed: LiveFeed, clock: LiveClock
    ) -> None:
        self._client = client
        self.broker = broker
        self.feed = feed
        self.clock = clock

    async def account(self) -> Account:
        """Whose account it is. Raises ``NotLoggedIn`` where the session is dead."""
        profile = await self.broker.ensure_logged_in()
        available = None
        with suppress(KiteReadFailed):  # unknown funds arm nothing, and are said there
            funds = (await self._client.margins()).equity
            available = funds.net if funds is not None else None
        return Account(user_id=profile.user_id, user_name=profile.user_name, available=available)

    async def load_history(
        self, needed: Iterable[tuple[InstrumentId, int, int]]
    ) -> Mapping[tuple[InstrumentId, int], Sequence[Bar]]:
        """Bars up to where the live ones begin. Raises ``KiteReadFailed``."""
        wanted = list(needed)
        if self.feed.is_open(self.clock.now()):
            with suppress(TimeoutError):  # a silent feed is said by the day; history ends at now
                await asyncio.wait_for(self.feed.until_flowing(), FLOW_WITHIN_S)
        await self.feed.load_history(wanted)
        return {
            (name, minutes): self.feed.history(name, minutes, bars)
            for name, minutes, bars in wanted
        }


@asynccontextmanager
async def open_kite(
    ears: Ears,
    *,
    settings: KiteSettings,
    token: Callable[[], Secret],
    manifest: Manifest,
    clock: LiveClock,
    cache: Path,
) -> AsyncIterator[KiteLink]:
    """A session for one day; closed again with the day, without cancelling anything at Kite."""

    def heard_event(event: TickerEvent) -> None:
        if isinstance(event, Gap):
            ears.hear(event)
        elif isinstance(event, StateChanged):
            why = f": {event.why}" if event.why else ""
            ears.hear(
                Note(
                    at=event.at,
                    kind="feed",
                    sentence=f"Feed {event.line} is {event.state.value}{why}.",
                )
            )
            if event.state is FeedState.FLOWING:
                broker.hint()

    def heard_text(text: TickerText) -> None:
        if isinstance(text, OrderHint):
            broker.hint(text.row)
        elif isinstance(text, UnreadableText):
            broker.hint()
        elif isinstance(text, BrokerSaid):
            ears.hear(Note(at=text.received_at, kind="broker says", sentence=text.text))

    rehearsed = settings.clock is TimeOf.EXCHANGE
    speed = FASTEST if rehearsed else 1.0
    # What an exchange shows within ten seconds, a quick one shows within ten of its own.
    seconds = (lambda: clock.now() / SECOND) if rehearsed else loop_seconds
    async with KiteHttp(settings) as http:
        client = KiteClient(settings, token(), http)
        broker = KiteBroker(
            client,
            now=clock.now,
            woken=ears.woken,
            entries_stopped=ears.entries_stopped,
            seconds=seconds,
            journal=str(ears.paths.journal.resolve()),
        )
        feed = LiveFeed(
            manifest,
            ticker_settings(settings, speed=speed),
            token,
            KiteHistory(client, CandleCache(cache), clock.now, manifest.instruments),
            clock.now,
            on_event=heard_event,
            on_text=heard_text,
        )
        try:
            yield KiteLink(client, broker, feed, clock)
        finally:
            await feed.close()
