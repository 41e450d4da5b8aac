"""Kite's market data for one day on paper: ticks and candles over a line that carries no order.

Only wiring. The ticker, its reconnects and the joining of history to the first live bar are the very
ones of a live day (``engine.kite_link``); what is missing here is a broker, and what is different is
that the connection refuses to send whatever is not a plain read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import LiveFeed, ticker_settings
from kitestring.broker.kite_history import KiteHistory
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.kite_texts import BrokerSaid, TickerText
from kitestring.broker.reads_only import ReadsOnly
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import StateChanged, TickerEvent
from kitestring.domain.bars import Bar
from kitestring.domain.events import Gap, Note
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.ports import Manifest
from kitestring.engine.live_day import LiveClock
from kitestring.store.candle_cache import CandleCache

FLOW_WITHIN_S: Final = 30.0
"""In an open market: how long the first tick is waited for before history is joined to it."""

Wanted = Iterable[tuple[InstrumentId, int, int]]
"""Instrument, minutes, number of bars."""
Bars = Mapping[tuple[InstrumentId, int], Sequence[Bar]]


Hear = Callable[[Gap | Note], None]


class KiteMarket:
    """Ticks, candles and the time; no account, no orders."""

    def __init__(self, feed: LiveFeed, clock: LiveClock, hear: Hear) -> None:
        self.feed = feed
        self.clock = clock
        self._hear = hear

    async def load_history(self, needed: Wanted) -> Bars:
        """Bars up to where the live ones begin. Raises ``KiteReadFailed``."""
        return await joined_history(self.feed, self.clock, needed, self._hear)


async def joined_history(feed: LiveFeed, clock: LiveClock, needed: Wanted, hear: Hear) -> Bars:
    """Bars up to where the live ones begin, and to ``hear`` what is said of them.

    Raises ``KiteReadFailed``.
    """
    wanted = list(needed)
    if feed.is_open(clock.now()):
        with suppress(TimeoutError):  # a silent feed is said by the day; history ends at now
            await asyncio.wait_for(feed.until_flowing(), FLOW_WITHIN_S)
    for sentence in await feed.load_history(wanted):
        hear(Note(at=clock.now(), kind="history", sentence=sentence))
    return {(name, minutes): feed.history(name, minutes, bars) for name, minutes, bars in wanted}


def feed_note(event: StateChanged) -> Note:
    """What a connection has become, as a line of the day's story."""
    why = f": {event.why}" if event.why else ""
    return Note(
        at=event.at, kind="feed", sentence=f"Feed {event.line} is {event.state.value}{why}."
    )


@asynccontextmanager
async def open_market(
    hear: Hear,
    *,
    settings: KiteSettings,
    token: Callable[[], Secret],
    manifest: Manifest,
    clock: LiveClock,
    cache: Path,
    futures: Sequence[Instrument] = (),
) -> AsyncIterator[KiteMarket]:
    """Market data for one day; what the ticker says of orders is nothing to a day on paper.

    ``futures``: those listed today, on which a new contract may warm up; else those watched.
    """

    def heard_event(event: TickerEvent) -> None:
        if isinstance(event, Gap):
            hear(event)
        elif isinstance(event, StateChanged):
            hear(feed_note(event))

    def heard_text(text: TickerText) -> None:
        if isinstance(text, BrokerSaid):
            hear(Note(at=text.received_at, kind="broker says", sentence=text.text))

    async with ReadsOnly(settings) as http:
        feed = LiveFeed(
            manifest,
            ticker_settings(settings),
            token,
            KiteHistory(
                KiteClient(settings, token(), http),
                CandleCache(cache),
                clock.now,
                futures or manifest.instruments,
            ),
            clock.now,
            on_event=heard_event,
            on_text=heard_text,
        )
        try:
            yield KiteMarket(feed, clock, hear)
        finally:
            await feed.close()
