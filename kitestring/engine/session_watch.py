"""Keeps a live day's session with Kite: notices that it died, waits for a login, goes on by itself.

A dead session takes the market away for entries, and nothing else: what rests at the broker rests,
exits are tried, the day says loudly what to type. A login in any terminal is noticed within seconds;
the new token is tried first and must be of the same account. Entries go on once ticks flow and the
books were read, and only if it was this that had stopped them.

Orders refused for the address they come from are explained the same way. That ends when Kite takes
an order again, or with a restart of the day.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from kitestring.broker.governor import Call
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_feed import LiveFeed
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import LOG_IN
from kitestring.broker.secret_text import Secret
from kitestring.broker.session_health import SessionHealth
from kitestring.broker.ticker_events import FeedState
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.events import Note, OperatorWord
from kitestring.engine.live_day import LiveDay
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.halt_file import HaltFile
from kitestring.store.paths import RunPaths

EVERY_S: Final = 0.25
TOKEN_EVERY_S: Final = 2.0
TICKER_AGAIN_S: Final = 10.0
REMIND_S: Final = 300.0
"""While nobody logs in, it is said again so often."""
BOOKS_AGAIN_S: Final = 2.0


class SessionWatch:
    """A companion of a live day (``Beside``). ``token`` is what the running session uses."""

    def __init__(
        self,
        client: KiteClient,
        http: KiteHttp,
        kept: Callable[[], Secret],
        first: Secret,
    ) -> None:
        self.health: SessionHealth = client.health
        self.user_id = ""
        """Whose account it is, as the day's start has heard; a login of another is not taken."""
        self._client = client
        self._http = http
        self._kept = kept
        self._token = first
        self._tried = first.reveal()
        self._reason = ""
        """With which we have stopped entries; empty while we have not."""
        self._said = ""
        self._next_token_s = self._next_ticker_s = self._next_word_s = 0.0

    def token(self) -> Secret:
        """The token of the running session: for the ticker, at every connection."""
        return self._token

    def beside(self, broker: KiteBroker, feed: LiveFeed) -> _Tending:
        """The companion, once broker and feed are there."""
        return _Tending(self, broker, feed)

    async def tend(self, day: LiveDay, broker: KiteBroker, feed: LiveFeed, halts: HaltFile) -> None:
        """Look after the session until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self._look_for_a_login(day, broker, feed)
            await self._look_at_the_ticker(broker, feed)
            wrong = await self._wrong(broker)
            if wrong and wrong != self._said:
                self._stop(day, wrong)
            elif wrong and self._loop_s() >= self._next_word_s:
                self._note(day, "login due" if self.health.dead else "refused: address", wrong)
            elif not wrong and self._said:
                await self._go_on(day, broker, feed, halts)

    # ── what is wrong ────────────────────────────────────────────────────────────────────────

    async def _wrong(self, broker: KiteBroker) -> str:
        """What stops entries, in a sentence that says what to type; empty if nothing does."""
        health = self.health
        if health.dead and not self._said:
            # One refusal may be a slip of theirs; entries are held back meanwhile all the same.
            with suppress(NotLoggedIn, KiteReadFailed):
                await broker.ensure_logged_in()
        if health.dead:
            return (
                "The session with Kite has died: nothing is entered, stops at the broker stay, and "
                f"ours cannot be moved. {LOG_IN} in any terminal; the day goes on by itself."
            )
        if health.address:
            return (
                f"Kite refuses orders from this address: {health.address.rstrip('.')}. Nothing is "
                "entered; exits are still tried. Register the address of this machine (kitestring "
                "doctor shows which it calls from) for your app on developers.kite.trade, then stop "
                "and start the same command: its arming holds."
            )
        return ""

    def _stop(self, day: LiveDay, why: str) -> None:
        self._said = why
        self._note(day, "login due" if self.health.dead else "refused: address", why)
        if day.core.risk.state.halted is None:
            self._reason = why
            day.order(OperatorWord.DISARM, why)

    async def _go_on(
        self, day: LiveDay, broker: KiteBroker, feed: LiveFeed, halts: HaltFile
    ) -> None:
        """First ticks, then the books, then entries."""
        if feed.is_open(day.now()) and feed.status is not FeedState.FLOWING:
            return
        broker.hint()
        if await day.look_at_the_books():
            await asyncio.sleep(BOOKS_AGAIN_S)
            return
        if self.health.entries_stopped:
            return
        reason, self._reason, self._said = self._reason, "", ""
        sentence = "Kite answers and takes orders again; ticks flow and the books were read"
        halted = day.core.risk.state.halted
        if reason and halted is not None and halted.sentence == reason and not halts.stands:
            day.order(OperatorWord.ARM, f"{sentence}: entries go on, as armed before.")
        else:
            self._note(day, "session", f"{sentence}.")

    # ── the login ────────────────────────────────────────────────────────────────────────────

    async def _look_for_a_login(self, day: LiveDay, broker: KiteBroker, feed: LiveFeed) -> None:
        if self._loop_s() < self._next_token_s:
            return
        self._next_token_s = self._loop_s() + TOKEN_EVERY_S
        try:
            token = self._kept()
        except (NotLoggedIn, ConfigError):
            return  # none, or one that cannot be used: what runs goes on
        if token.reveal() == self._tried:
            return
        trial = KiteClient(self._client.settings, token, self._http)
        try:
            async with broker.line.turn(Call.READ):
                profile = await trial.profile()
        except KiteReadFailed as error:
            if error.cause is ReadFailure.TOKEN:
                self._tried = token.reveal()
            return
        self._tried = token.reveal()
        if self.user_id and profile.user_id != self.user_id:
            self._note(
                day,
                "login due",
                f"The new login is of {profile.user_id}, and this day trades for {self.user_id}: it is "
                f"not taken. {LOG_IN} as {self.user_id}.",
            )
            return
        self._token = token
        self._client.use_token(token)
        self.health.answered()
        self.health.ticker_refused = False
        feed.resume()
        broker.hint()
        self._note(day, "session", f"A new login of {profile.user_id} is used from now on.")

    async def _look_at_the_ticker(self, broker: KiteBroker, feed: LiveFeed) -> None:
        """The ticker was refused: if the session lives all the same, it is let in again."""
        if not self.health.ticker_refused or self._loop_s() < self._next_ticker_s:
            return
        self._next_ticker_s = self._loop_s() + TICKER_AGAIN_S
        try:
            await broker.ensure_logged_in()
        except (NotLoggedIn, KiteReadFailed):
            return
        self.health.ticker_refused = False
        feed.resume()

    def _note(self, day: LiveDay, kind: str, sentence: str) -> None:
        self._next_word_s = self._loop_s() + REMIND_S
        day.hear(Note(at=day.now(), kind=f"{LIVE_NOTE}{kind}", sentence=sentence))

    @staticmethod
    def _loop_s() -> float:
        return asyncio.get_running_loop().time()


class _Tending:
    """The watch beside one day."""

    def __init__(self, watch: SessionWatch, broker: KiteBroker, feed: LiveFeed) -> None:
        self._watch = watch
        self._broker = broker
        self._feed = feed

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``."""
        halts = HaltFile(paths.artifacts)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                # Blind to a dead session we enter nothing, rather than find out with an order.
                self._watch.health.refused("the watch over it broke")
                sentence = f"The watch over the session broke: {type(error).__name__}: {error}."
                day.hear(Note(at=day.now(), kind=f"{LIVE_NOTE}fault", sentence=sentence))

        watching = self._watch.tend(day, self._broker, self._feed, halts)
        task = asyncio.get_running_loop().create_task(watching)
        task.add_done_callback(ended)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
