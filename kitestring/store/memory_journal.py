"""The same journal without a disk: for benchmarks, tests and the simulated world.

The law: the same commits give the same bytes, the same chain and the same folded state as on
disk; only durability is missing. With ``keep`` it forgets all but the last commits, so that its
memory stays flat while the chain goes on.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from kitestring.domain.ports import Commit
from kitestring.store.records import SCHEMA, encode_commit, first_link, fold, read_record


class MemoryJournal:
    """The journal of one run, in memory; ``keep`` bounds how many commits it remembers."""

    def __init__(self, *, run_key: str = "", keep: int | None = None) -> None:
        self.run_key = run_key
        self._head = first_link(run_key)
        self._no = 0
        self._cells: dict[str, msgspec.Raw] = {}
        # (hash before, inbox, at, body, hash) of each commit that is still remembered
        self._kept: deque[tuple[bytes, int, int, bytes, bytes]] = deque(maxlen=keep)

    @property
    def count(self) -> int:
        """Number of the last commit; 0 in a new journal."""
        return self._no

    @property
    def head(self) -> str:
        """Hash of the last commit, in hexadecimal."""
        return self._head.hex()

    def commit(self, commit: Commit) -> int:
        """Remember one step and return its number."""
        body = encode_commit(commit)
        previous = self._head
        digest = hashlib.sha256(previous + body).digest()  # ``link``, spelled out for speed
        self._kept.append((previous, commit.inbox, commit.at, body, digest))
        self._head = digest
        self._no = no = self._no + 1
        if commit.cells:
            fold(self._cells, commit.cells)
        return no

    def commits(self, after: int = 0) -> Iterator[tuple[int, Commit]]:
        """Every commit after the given number up to the last one now, verified, in order.

        Raises ``ValueError`` if the first of them is already forgotten.
        """
        until, first = self._no, self._no - len(self._kept) + 1
        if after + 1 < first and after < until:
            raise ValueError(f"commit {after + 1} is forgotten; this journal keeps from {first} on")
        kept = list(self._kept)[max(0, after + 1 - first) :]
        for no, (previous, inbox, at, body, digest) in enumerate(kept, max(after + 1, first)):
            row = (no, SCHEMA, inbox, at, body, digest)
            yield no, read_record("in memory", no, previous, row)

    def cells(self) -> Mapping[str, bytes]:
        """The folded state: each cell as last written."""
        return {key: bytes(raw) for key, raw in self._cells.items()}

    def measure_commit_ms(self, samples: int = 16) -> float:
        """No disk, no wait; ``samples`` is accepted as on disk."""
        del samples
        return 0.0

    def close(self) -> None:
        """Nothing to let go of."""
