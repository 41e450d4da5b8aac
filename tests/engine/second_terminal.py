"""A second terminal at a live day in virtual time: its words without the socket, which has no place there."""

import asyncio
from contextlib import asynccontextmanager

from kitestring.engine.control_words import Asked, ControlWords
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.watching import NobodyWatches
from kitestring.store.halt_file import HaltFile


class Terminal:
    """A companion that keeps the day's words for the test."""

    def __init__(self, artifacts):
        self.artifacts = artifacts
        self.watch = HaltWatch(artifacts)
        self.halts = HaltFile(artifacts)
        self.day = self.words = None

    @asynccontextmanager
    async def attend(self, day, paths):
        self.day = day
        self.words = ControlWords(day, paths, self.halts, self.watch)
        yield

    @property
    def beside(self):
        return (self.watch, self)

    async def say(self, word, **more):
        return await self.words.answer(Asked(word=word, **more))

    def trade(self, stage, script, **options):
        """A day with this terminal beside it, as a task of the running loop."""
        engine = stage.engine(script, beside=self.beside, **options)
        return asyncio.get_running_loop().create_task(engine.start(NobodyWatches()))


async def until(condition, within_s=60):
    """Wait for something to come true; of the world's time, at most so long."""
    for _ in range(within_s * 50):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")
