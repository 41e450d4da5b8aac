"""Reads a tape back, in order and verified: for replay, for resuming, and as a feed of its own.

A tail that was being written when the machine stopped is found and left out (``torn_at`` says
where); any other damage is named by file and offset, because nothing after it can be trusted.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kitestring.domain.errors import JournalDamaged
from kitestring.domain.ports import Manifest
from kitestring.domain.unreadable import UNREADABLE
from kitestring.store.tape import (
    BLOCK,
    BLOCK_HEAD,
    CHECK,
    DIGEST_SIZE,
    HEAD,
    MAGIC,
    VERSION,
    Record,
)

_RECORDS: Final = msgspec.msgpack.Decoder(list[Record])


class TapeReader:
    """One tape file. Iterating gives ``(inbox number, frame or timer)`` in the order of arrival.

    ``torn_at`` is the offset of a torn tail, known once the end has been read; ``None`` if the tape
    ends cleanly.
    """

    def __init__(self, path: Path) -> None:
        """Open a tape and check its header; raises ``JournalDamaged``."""
        self.path = path
        self.torn_at: int | None = None
        with self._open() as file:
            head = file.read(HEAD.size)
            if len(head) < HEAD.size or not head.startswith(MAGIC):
                raise JournalDamaged(
                    f"{path} is not a tape of this house.", do="Give the path of a tape.bin."
                )
            _, version, length = HEAD.unpack(head)
            if version != VERSION:
                raise JournalDamaged(
                    f"{path} is a tape of version {version}; this house reads version {VERSION}.",
                    do="Read it with the version of kitestring that wrote it.",
                )
            body = file.read(length)
            digest = file.read(DIGEST_SIZE)
            if hashlib.blake2b(head + body, digest_size=DIGEST_SIZE).digest() != digest:
                raise self._damage(0, "its header does not verify")
            try:
                self.manifest = msgspec.json.decode(body, type=Manifest)
            except UNREADABLE as error:
                raise self._damage(HEAD.size, f"its manifest cannot be read: {error}") from error
        self._first_block: int = HEAD.size + length + DIGEST_SIZE

    def __iter__(self) -> Iterator[Record]:
        return self.records()

    def records(self, until: int | None = None, *, after: int = 0) -> Iterator[Record]:
        """The records up to an offset that ``mark()`` gave, or to the end of what is whole.

        ``after`` is an offset of the same kind, to go on from. Raises ``JournalDamaged`` where a
        block is damaged, or where ``until`` is not there.
        """
        for offset, records in self._blocks(until, after):
            try:
                yield from _RECORDS.decode(records)
            except UNREADABLE as error:
                raise self._damage(offset, f"a block does not decode: {error}") from error

    def end(self) -> int:
        """The offset after the last whole block; reads and verifies everything, decodes nothing."""
        ends = [self._first_block]
        ends.extend(offset for offset, _ in self._blocks(None))
        return ends[-1]

    def digest(self, until: int) -> str:
        """The running hash at an offset, as ``mark()`` gave it; raises if the file is shorter."""
        running = hashlib.blake2b(digest_size=DIGEST_SIZE)
        left = until
        with self._open() as file:
            while left:
                piece = file.read(min(left, 1 << 20))
                if not piece:
                    raise self._damage(until - left, f"it ends before byte {until}")
                running.update(piece)
                left -= len(piece)
        return running.hexdigest()

    def truncate_to(self, offset: int) -> None:
        """Cut the file at an offset that ``mark()`` or ``end()`` gave."""
        assert offset >= self._first_block
        with self.path.open("r+b") as file:
            file.truncate(offset)
        self.torn_at = None

    def _blocks(self, until: int | None, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Each whole block: the offset after it, and its records, still encoded."""
        self.torn_at = None
        offset = max(self._first_block, after)
        with self._open() as file:
            size = file.seek(0, 2)
            file.seek(offset)
            while offset < size if until is None else offset < until:
                head = file.read(BLOCK_HEAD)
                if len(head) < BLOCK_HEAD:
                    break
                length, crc = BLOCK.unpack_from(head)
                if CHECK.unpack_from(head, BLOCK.size)[0] != zlib.crc32(head[: BLOCK.size]):
                    if _only_zeros(file):
                        break
                    raise self._damage(offset, "a block's head does not verify")
                records = file.read(length)
                if len(records) < length:
                    break
                if zlib.crc32(records) != crc:
                    # Power that went leaves the end of a file unwritten: missing, or all zeros.
                    if offset + BLOCK_HEAD + length == size or _only_zeros(file):
                        break
                    raise self._damage(offset, "a block's records do not verify")
                offset += BLOCK_HEAD + length
                yield offset, records
        if until is not None and offset != until:
            raise self._damage(offset, f"no block ends at byte {until}, as the journal says")
        if until is None and offset != size:
            self.torn_at = offset

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise JournalDamaged(
                f"The tape {self.path} cannot be read: {error.strerror or error}.",
                do="Check the path and the rights of the file.",
            ) from error

    def _damage(self, offset: int, what: str) -> JournalDamaged:
        return JournalDamaged(
            f"The tape {self.path} is damaged at byte {offset}: {what}.",
            do="Nothing after that byte can be trusted; restore the file, or start with --fresh.",
        )


def _only_zeros(file: BinaryIO) -> bool:
    """Whether the rest is zeros: a file made longer before its content reached the disk."""
    while piece := file.read(1 << 20):
        if piece.strip(b"\0"):
            return False
    return True
