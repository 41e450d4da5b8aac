"""The guard as a process of its own: its lock, its session with Kite, its token, and its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_settings import KiteSettings
from kitestring.domain.errors import AnotherDayIsRunning, DiskFailed, HouseError, NotLoggedIn
from kitestring.domain.instants import MINUTE, NEVER, Instant, ist_date
from kitestring.engine.guard import Guard, GuardTerms, loss_text
from kitestring.engine.guard_hands import GuardHands
from kitestring.engine.guard_story import WATCHES
from kitestring.engine.living_program import end
from kitestring.market.sessions import sessions_for
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.instance_lock import InstanceLock
from kitestring.store.owned_file import Owned


class GuardProgram:
    """Runs one guard to its end. ``tell`` reaches a person."""

    def __init__(
        self,
        terms: GuardTerms,
        settings: KiteSettings,
        secrets: Path,
        journal: Path,
        *,
        now: Callable[[], Instant],
        tell: Callable[[str], None],
    ) -> None:
        self._terms = terms
        self._settings = settings
        self._store = TokenStore(secrets, os.environ)
        self._journal = GuardJournal(journal)
        self._now = now
        self._tell = tell

    async def run(self) -> str:
        """Watch; why it ended. Raises a ``HouseError``, which was told before."""
        now = self._now
        with ExitStack() as held:
            try:
                lock = InstanceLock(self._terms.artifacts, started_at=now(), name=WATCHES)
                held.enter_context(lock)
            except AnotherDayIsRunning as error:
                raise AnotherDayIsRunning(
                    f"A guard watches {self._terms.artifacts} already; it goes on, and this second"
                    " one was not needed.",
                    do="nothing; kitestring status shows whether the guard is there",
                ) from error
            except DiskFailed as error:
                self._tell(f"{error.what} The guard watches without its lock.")
            try:
                return await self._run()
            except HouseError as error:
                self._tell(f"The guard has ended: {error.what}")
                raise

    async def _run(self) -> str:
        now, terms = self._now, self._terms
        token = self._store.token(now())
        settings = msgspec.structs.replace(self._settings, api_key=token.api_key)
        used = token.access_token.reveal()
        async with KiteHttp(settings) as http:
            client = KiteClient(settings, token.access_token, http)

            def renew() -> None:
                """Go on with a newer login, as soon as there is one."""
                nonlocal used
                with suppress(NotLoggedIn):
                    kept = self._store.token(now()).access_token
                    if kept.reveal() != used:
                        used = kept.reveal()
                        client.use_token(kept)

            self._journal.keep_room()
            hands = GuardHands(client, self._journal, now)
            hands.tell = self._tell
            hands.keep(
                GuardLine(
                    at=now(),
                    kind="began",
                    sentence=f"Watching {terms.artifacts}: {terms.policy}, "
                    f"{loss_text(terms.max_loss)}.",
                )
            )
            guard = Guard(
                msgspec.structs.replace(terms, closes_at=_closes_at(now())),
                hands,
                self._journal,
                now=now,
                end_engine=end_engine,
                tell=self._tell,
                renew=renew,
            )
            return await guard.run()


async def end_engine(owned: Owned) -> str:
    """End exactly the engine that wrote this; empty once it is dead."""
    return await end(owned.pid, owned.born)


def _closes_at(now: Instant) -> Instant:
    """A minute after the day's last market; never where no calendar says."""
    with suppress(HouseError):
        return max(each.close_at for each in sessions_for(ist_date(now)).values()) + MINUTE
    return NEVER
