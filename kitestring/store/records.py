"""How one step of the day is written down: its bytes, and the hash that ties it to all before it.

The law: ``hash(n) = sha256(hash(n-1) + body(n))``, starting from the name of the run, so that no
commit can be changed, dropped, doubled or moved to another run without the chain showing it.
Every journal (on disk or in memory) uses these same bytes and this same chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import JournalDamaged
from kitestring.domain.events import Fact
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.domain.unreadable import UNREADABLE

SCHEMA: Final = 1
"""Version of the record; it grows when a field is appended in a way an older house cannot read."""

_NIL: Final = msgspec.Raw(b"\xc0")
"""MessagePack's nil: how a removed cell looks."""


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A ``Commit`` as it is read back: msgspec cannot decode ``Raw | None``, so nil stays raw here.

    Its fields are those of ``Commit``, in the same order; a test holds the two together.
    """

    inbox: int
    at: Instant
    feed_position: int
    tape_offset: int
    tape_hash: str
    facts: tuple[Fact, ...]
    cells: dict[str, msgspec.Raw]
    frame_left: int = 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(CommitRecord)
_cells_decoder: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def encode_commit(commit: Commit) -> bytes:
    """The bytes of a commit."""
    return _encoder.encode(commit)


def decode_commit(body: bytes) -> Commit:
    """The commit of the bytes; raises one of ``UNREADABLE`` where they are none."""
    record = _decoder.decode(body)
    return Commit(
        inbox=record.inbox,
        at=record.at,
        feed_position=record.feed_position,
        tape_offset=record.tape_offset,
        tape_hash=record.tape_hash,
        facts=record.facts,
        cells={key: None if raw == _NIL else raw for key, raw in record.cells.items()},
        frame_left=record.frame_left,
    )


def encode_cell(state: object) -> msgspec.Raw:
    """One piece of state as a cell of a commit; decode it with ``msgspec.msgpack`` and its type."""
    return msgspec.Raw(_encoder.encode(state))


def encode_cells(cells: Mapping[str, msgspec.Raw]) -> bytes:
    """All live cells in one piece, for a checkpoint."""
    return _encoder.encode(cells)


def decode_cells(body: bytes) -> dict[str, msgspec.Raw]:
    """The live cells of a checkpoint, each free of the checkpoint's own bytes."""
    return {key: raw.copy() for key, raw in _cells_decoder.decode(body).items()}


def first_link(run_key: str) -> bytes:
    """The hash before the first commit; it names the run, so no commit fits another run's chain."""
    return hashlib.sha256(b"kitestring journal of run " + run_key.encode()).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """The hash of a commit, given the hash of the one before it."""
    return hashlib.sha256(previous + body).digest()


def fold(cells: dict[str, msgspec.Raw], changes: Mapping[str, msgspec.Raw | None]) -> None:
    """Lay a commit's cells over those before it: the last write wins, ``None`` removes."""
    for key, raw in changes.items():
        if raw is None or raw == _NIL:
            cells.pop(key, None)
        else:
            cells[key] = raw


def damaged(path: Path | str, found: str) -> JournalDamaged:
    """The refusal to trade on a record that does not verify."""
    return JournalDamaged(
        f"The journal {path} is damaged: {found}. Nothing was changed, and nothing is traded on it.",
        do=f"run: python -m kitestring journal verify {path}; then put back an undamaged copy,"
        " or start another run with --fresh (it deletes nothing). Check your open positions first",
    )


def read_record(path: Path | str, no: int, previous: bytes, row: tuple[object, ...]) -> Commit:
    """The commit numbered ``no`` from its row (no, schema, inbox, at, body, hash), verified.

    Raises ``JournalDamaged`` naming the commit and what was found.
    """
    found, schema, inbox, at, body, digest = row
    if found != no:
        raise damaged(path, f"commit {no} is missing (commit {found} stands in its place)")
    if schema != SCHEMA:
        raise damaged(path, f"commit {no} has schema {schema!r}; this house reads {SCHEMA}")
    if not isinstance(body, bytes) or link(previous, body) != digest:
        raise damaged(path, f"commit {no} does not match its hash")
    try:
        commit = decode_commit(body)
    except UNREADABLE as error:
        raise damaged(path, f"commit {no} cannot be read ({error})") from error
    if (commit.inbox, commit.at) != (inbox, at):
        raise damaged(path, f"commit {no} is filed under inbox {inbox!r} at {at!r}, wrongly")
    return commit
