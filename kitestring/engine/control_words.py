"""What may be said to a live day from a second terminal, and what it answers.

Every word goes through the day's inbox like all else, and is answered once the day has taken it:
an answer is a fact, never a hope. This file knows no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.events import OperatorCommand, OperatorWord, Resolution
from kitestring.domain.ids import InstrumentId, symbol_of
from kitestring.domain.verdicts import HaltPolicy
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_standing import GuardSays, LiveStanding, standing_of
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.paths import RunPaths

TAKEN_WITHIN_S: Final = 5.0
"""A day takes a word within some milliseconds; one that does not is said to hang."""
BOOKS_WITHIN_S: Final = 40.0
"""Reading the broker's books: several calls, each with its own deadline."""
REASON_MAX: Final = 300
_LOOK_S: Final = 0.005


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request; fields that a word does not need are ignored."""

    word: str
    reason: str = ""
    symbol: str = ""
    resolution: str = ""


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer. ``says`` is for a person; ``ok`` says whether the day did what was asked."""

    ok: bool
    says: str
    do: str = ""
    standing: LiveStanding | None = None


class ControlWords:
    """The words of one day."""

    def __init__(
        self,
        day: LiveDay,
        paths: RunPaths,
        halts: HaltFile,
        watch: HaltWatch,
        guard: GuardSays | None = None,
    ) -> None:
        self._day = day
        self._paths = paths
        self._halts = halts
        self._watch = watch
        self._guard = guard
        self.words: Mapping[str, Callable[[Asked], Awaitable[Answered]]] = MappingProxyType(
            {
                "status": self._status,
                "halt": self._halt,
                "flatten": self._flatten,
                "reconcile": self._reconcile,
                "resolve": self._resolve,
            }
        )

    async def answer(self, asked: Asked) -> Answered:
        """Do what was asked, and say what came of it."""
        word = self.words.get(asked.word)
        if word is None:
            shown = asked.word[:40] if asked.word.isprintable() else "?"
            return Answered(
                ok=False,
                says=f"There is no word {shown!r} here; there are {', '.join(self.words)}.",
            )
        return await word(asked)

    async def _status(self, asked: Asked) -> Answered:
        del asked
        standing = standing_of(self._day, self._paths, self._halts, self._guard)
        return Answered(ok=True, says="", standing=standing)

    async def _halt(self, asked: Asked) -> Answered:
        day = self._day
        if not self._halts.stands:
            self._halts.write(HaltedBy.OPERATOR, _reason(asked), day.now())
        told = self._watch.look(day)
        if told is not None and not await self._taken(told):
            return _hangs("HALT is on disk, so nothing is entered")
        if not await self._until(lambda: day.core.risk.state.halted is not None):
            return _hangs("HALT is on disk, so nothing is entered")
        halted = day.core.risk.state.halted
        assert halted is not None
        working = sum(1 for _ in day.core.orders.entries_working())
        left = f" {working} entries are being withdrawn." if working else ""
        return Answered(
            ok=True, says=f"Entries are blocked: {halted.sentence}{left} Exits and stops go on."
        )

    async def _flatten(self, asked: Asked) -> Answered:
        day = self._day
        told = day.order(OperatorWord.FLATTEN, _reason(asked))
        if not await self._taken(told):
            return _hangs("The order to flatten waits in the inbox")
        held = [
            f"{book.net_qty} {symbol_of(book.instrument)}"
            for book in day.core.portfolio.books.values()
            if book.net_qty
        ]
        halted = day.core.risk.state.halted
        assert halted is not None
        assert halted.policy is HaltPolicy.FLATTEN
        if not held:
            return Answered(ok=True, says="Nothing of ours is open; entries are over for today.")
        shown = ", ".join(held)
        return Answered(ok=True, says=f"Closing {shown}; entries are over for today.")

    async def _reconcile(self, asked: Asked) -> Answered:
        del asked
        day = self._day
        try:
            async with asyncio.timeout(BOOKS_WITHIN_S):
                why = await day.look_at_the_books()
        except TimeoutError:
            why = f"no whole answer within {BOOKS_WITHIN_S:g} s"
        if why:
            return Answered(
                ok=False,
                says=f"The broker's books could not be read: {why}.",
                do="the day tries again by itself; entries wait where its view is not believed",
            )
        untrusted = day.core.state.untrusted
        if untrusted:
            return Answered(
                ok=False,
                says=f"The books do NOT agree: {untrusted}.",
                do="look at the broker; then kitestring resolve SYMBOL adopt|release|flatten",
            )
        return Answered(ok=True, says="The broker's books and ours agree.")

    async def _resolve(self, asked: Asked) -> Answered:
        day = self._day
        if asked.resolution not in set(Resolution):
            return Answered(ok=False, says=f"Resolve by one of {', '.join(Resolution)}.")
        resolution = Resolution(asked.resolution)
        wanted = asked.symbol.strip().upper()
        known = [each for each in day.core.instruments if _is_named(each, wanted)]
        if len(known) != 1:
            among = known or sorted(day.core.instruments)
            shown = ", ".join(among[:8]) + (" …" if len(among) > 8 else "")
            what = "is several" if known else "is none of ours today"
            return Answered(ok=False, says=f"{wanted or 'An empty name'} {what}: {shown}.")
        (instrument,) = known
        if not self._frozen(instrument):
            return Answered(
                ok=False, says=f"{instrument} is not frozen: there is nothing to resolve."
            )
        told = day.order(
            OperatorWord.RESOLVE,
            asked.reason[:REASON_MAX] or "said at a second terminal",
            instrument=instrument,
            resolution=resolution,
        )
        if not await self._taken(told):
            return _hangs("The decision waits in the inbox")
        untrusted = day.core.state.untrusted
        if self._frozen(instrument):
            return Answered(
                ok=False,
                says=f"{instrument} stays frozen: the broker's books are not believed ({untrusted}).",
                do="try again once they are, or release it",
            )
        still = f" Not explained yet: {untrusted}." if untrusted else ""
        return Answered(ok=True, says=f"{instrument}: {resolution} was taken.{still}")

    def _frozen(self, instrument: InstrumentId) -> bool:
        frozen = self._day.core.view.state.frozen.values()
        return any(each.instrument == instrument for each in frozen)

    async def _taken(self, told: OperatorCommand) -> bool:
        return await self._until(lambda: not self._day.waits(told))

    async def _until(self, done: Callable[[], bool]) -> bool:
        """Look again and again, without keeping the loop; ``False`` where it takes too long."""
        loop = asyncio.get_running_loop()
        late = loop.time() + TAKEN_WITHIN_S
        while not done():
            if loop.time() > late:
                return False
            await asyncio.sleep(_LOOK_S)
        return True


def _is_named(instrument: InstrumentId, wanted: str) -> bool:
    return wanted in {instrument.upper(), symbol_of(instrument).upper()}


def _reason(asked: Asked) -> str:
    text = "".join(c if c.isprintable() else " " for c in asked.reason).strip()[:REASON_MAX]
    return text or "said at a second terminal"


def _hangs(what: str) -> Answered:
    return Answered(
        ok=False,
        says=f"{what}, but the day has not taken it within {TAKEN_WITHIN_S:g} s: it is busy or hangs.",
        do="look at kitestring status; if it stays so, stop the engine and look at the broker",
    )
