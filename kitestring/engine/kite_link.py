"""Zerodha Kite as a live day's outside world: one session, its orders, its ticks, its candles.

Only wiring: the parts know nothing of each other. What the ticker says of orders is a hint to read
the book; what it says of itself goes into the day's inbox as gaps and notes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kitestring.broker.governor import Call, Governor
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_feed import LiveFeed, ticker_settings
from kitestring.broker.kite_history import KiteHistory
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import KiteSettings, TimeOf
from kitestring.broker.kite_texts import BrokerSaid, OrderHint, TickerText, UnreadableText
from kitestring.broker.kite_triggers import KiteTriggers
from kitestring.broker.order_traffic import loop_seconds
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import FeedState, StateChanged, TickerEvent
from kitestring.domain.bars import Bar
from kitestring.domain.events import Gap, Note
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.instruments import Instrument
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.engine.kite_market import Hear, feed_note, joined_history
from kitestring.engine.live_day import LiveClock
from kitestring.engine.live_plan import Account, Beside, Ears
from kitestring.engine.rehearsal_clock import FASTEST
from kitestring.engine.session_watch import SessionWatch
from kitestring.store.candle_cache import CandleCache


class KiteLink:
    """An opened session with Kite; a ``LiveLink``."""

    def __init__(
        self,
        client: KiteClient,
        broker: KiteBroker,
        feed: LiveFeed,
        clock: LiveClock,
        session: SessionWatch,
        hear: Hear,
        fenced: Callable[[], str],
    ) -> None:
        self._hear = hear
        self._client = client
        self._session = session
        self.beside: tuple[Beside, ...] = (session.beside(broker, feed),)
        self.broker = broker
        self.feed = feed
        self.clock = clock
        self.triggers = KiteTriggers(client, broker.line, fenced=fenced)

    async def account(self) -> Account:
        """Whose account it is. Raises ``NotLoggedIn`` where the session is dead."""
        profile = await self.broker.ensure_logged_in()
        self._session.user_id = profile.user_id
        available = None
        with suppress(KiteReadFailed):  # unknown funds arm nothing, and are said there
            funds = (await self._client.margins()).equity
            available = funds.net if funds is not None else None
        return Account(user_id=profile.user_id, user_name=profile.user_name, available=available)

    async def delivered(self) -> Mapping[str, int]:
        """The demat account as the day began, by ``NSE:INFY/CNC``. Raises ``KiteReadFailed``."""
        async with self.broker.line.turn(Call.READ):
            rows = await self._client.holdings()
        found: dict[str, int] = {}
        for row in rows:
            key = f"{row.instrument}/{Product.CNC.value}"
            found[key] = found.get(key, 0) + row.qty + row.t1_qty + row.used_qty
        return found

    async def load_history(
        self, needed: Iterable[tuple[InstrumentId, int, int]]
    ) -> Mapping[tuple[InstrumentId, int], Sequence[Bar]]:
        """Bars up to where the live ones begin. Raises ``KiteReadFailed``."""
        return await joined_history(self.feed, self.clock, needed, self._hear)


@asynccontextmanager
async def open_kite(
    ears: Ears,
    *,
    settings: KiteSettings,
    token: Callable[[], Secret],
    manifest: Manifest,
    clock: LiveClock,
    cache: Path,
    governor: Governor | None = None,
    futures: Sequence[Instrument] = (),
) -> AsyncIterator[KiteLink]:
    """A session for one day; closed again with the day, without cancelling anything at Kite.

    ``governor`` counts against Kite's published limits unless another is given. ``futures``: those
    listed today, on which a new contract may warm up; else those watched.
    """

    def heard_event(event: TickerEvent) -> None:
        if isinstance(event, Gap):
            ears.hear(event)
        elif isinstance(event, StateChanged):
            ears.hear(feed_note(event))
            if event.state is FeedState.FLOWING:
                broker.hint()
            if event.token_dead:
                client.health.ticker_refused = True

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
        first = token()
        client = KiteClient(settings, first, http)
        session = SessionWatch(client, http, token, first)
        broker = KiteBroker(
            client,
            now=clock.now,
            woken=ears.woken,
            entries_stopped=lambda: client.health.entries_stopped or ears.entries_stopped(),
            fenced=ears.fenced,
            seconds=seconds,
            journal=str(ears.paths.journal.resolve()),
            governor=governor,
        )
        feed = LiveFeed(
            manifest,
            ticker_settings(settings, speed=speed),
            session.token,
            KiteHistory(client, CandleCache(cache), clock.now, futures or manifest.instruments),
            clock.now,
            on_event=heard_event,
            on_text=heard_text,
        )
        try:
            yield KiteLink(client, broker, feed, clock, session, ears.hear, ears.fenced)
        finally:
            await feed.close()
