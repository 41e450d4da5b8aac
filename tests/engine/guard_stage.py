"""A guard beside a house on the stage: production parts in virtual time, at the exchange's real handlers."""

import asyncio
from contextlib import asynccontextmanager

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.engine.guard import Guard, GuardTerms
from kitestring.engine.guard_hands import GuardHands
from kitestring.engine.guard_story import guard_folder
from kitestring.store.guard_journal import GuardJournal


class Beside:
    """A guard, what it told, and the engine's end as the test wants it."""

    def __init__(self, stage, client, **terms):
        self.stage = stage
        self.told = []
        self.ended = []
        self.end_engine = self._dead
        self.journal = GuardJournal(guard_folder(stage.artifacts))
        self.hands = GuardHands(client, self.journal, stage.clock.now)
        given = {"artifacts": stage.artifacts, "write_deadline_s": 10.0, "visible_s": 10.0} | terms
        self.guard = Guard(
            GuardTerms(**given),
            self.hands,
            self.journal,
            now=stage.clock.now,
            end_engine=self._end,
            tell=self.told.append,
        )

    async def _end(self, owned):
        self.ended.append(owned.pid)
        return await self.end_engine(owned)

    async def _dead(self, owned):
        return ""

    def start(self):
        return asyncio.create_task(self.guard.run())

    def intents(self):
        return [line for line in self.journal.lines() if line.kind == "intent"]


@asynccontextmanager
async def guard_beside(stage, **terms):
    async with KiteHttp(stage.settings) as http:
        yield Beside(stage, KiteClient(stage.settings, stage.token, http), **terms)
