"""What a judge of a simulated day says: which promise was broken, when, and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from kitestring.domain.instants import Instant
from kitestring.sim.evidence import Evidence


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was not kept."""

    promise: str
    at: Instant
    sentence: str


Judge = Callable[[Evidence], Iterable[tuple[Instant, str]]]


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant: its number of the catalogue, and who judges it."""

    number: str
    judge: Judge

    @property
    def name(self) -> str:
        """As it is written: ``I2 at most one``."""
        return f"{self.number} {self.judge.__name__.replace('_', ' ')}"

    def broken(self, evidence: Evidence) -> list[Broken]:
        """Everything that breaks it."""
        return [
            Broken(promise=self.name, at=at, sentence=sentence)
            for at, sentence in self.judge(evidence)
        ]
