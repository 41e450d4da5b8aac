"""The tape: every tick, recorded bar and timer of the day as the house received it, in order.

Append-only. Written *before* the core sees a frame, so that what was decided can be decided again.
The layout, all numbers little-endian::

    header   "KITETAPE" · u16 version · u32 length · manifest (JSON) · 16 bytes BLAKE2b of all before
    block    u32 length · u32 CRC-32 of the records · u32 CRC-32 of the two before · records

The records of a block are one MessagePack array of ``[inbox number, frame or timer]``, the very
values that entered the inbox. They are encoded together when the block is written: one call in C for
hundreds of frames costs less than packing each tick by hand, and a frame costs only a list entry
when it arrives.

``mark()`` writes the running block and answers with the offset and a running BLAKE2b over the whole
file, which the journal's commit records. It does not call ``fdatasync``: what is written survives the
death of the process (the kernel has it), and only a power failure can leave the tape shorter than
the journal says. Then ``reopen`` goes on after the last whole block, and what is missing is a gap in
the market, never in the orders, which the journal alone holds. ``close()`` syncs once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections import deque
from io import FileIO
from pathlib import Path
from typing import Final, Self

import msgspec

from kitestring.domain.errors import DiskFailed, JournalDamaged
from kitestring.domain.events import TimerFired
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Frame, Manifest
from kitestring.store.atomic_file import sync_folder

MAGIC: Final = b"KITETAPE"
VERSION: Final = 1
HEAD: Final = struct.Struct("<8sHI")
"""Magic, version, length of the manifest."""
BLOCK: Final = struct.Struct("<II")
"""Length and CRC-32 of a block's records."""
CHECK: Final = struct.Struct("<I")
"""CRC-32 of ``BLOCK``: a damaged length is known for what it is."""
BLOCK_HEAD: Final = BLOCK.size + CHECK.size
DIGEST_SIZE: Final = 16

RECORDS_PER_BLOCK: Final = 256
"""A block is written when it holds this many records, even without a mark."""

Record = tuple[int, Frame | TimerFired]


def header(manifest: Manifest) -> bytes:
    """The first bytes of a tape."""
    body = msgspec.json.encode(manifest)
    head = HEAD.pack(MAGIC, VERSION, len(body)) + body
    return head + hashlib.blake2b(head, digest_size=DIGEST_SIZE).digest()


class BlockTape:
    """What every tape does: gather records, encode them in blocks, hash them; subclasses keep them."""

    def __init__(self, running: hashlib.blake2b, offset: int) -> None:
        self._records: list[Record] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._hash = running
        self._offset = offset
        self._marked = (offset, running.hexdigest())

    def append_frame(self, inbox: int, frame: Frame) -> None:
        """Record a frame before it is stepped; raises ``DiskFailed`` where a full block cannot go."""
        records = self._records
        records.append((inbox, frame))
        if len(records) >= RECORDS_PER_BLOCK:
            self._end_block()

    def append_timer(self, inbox: int, due_at: Instant) -> None:
        """Record a timer before it is stepped; raises as ``append_frame`` does."""
        self._records.append((inbox, TimerFired(due_at)))
        if len(self._records) >= RECORDS_PER_BLOCK:
            self._end_block()

    def mark(self) -> tuple[int, str]:
        """Write what is buffered; the offset and running hash a commit records."""
        if self._records:
            self._end_block()
        if self._marked[0] != self._offset:
            self._marked = (self._offset, self._hash.hexdigest())
        return self._marked

    def close(self) -> None:
        """Write what is buffered."""
        self.mark()

    def _end_block(self) -> None:
        records = self._encode(self._records)
        head = BLOCK.pack(len(records), zlib.crc32(records))
        block = head + CHECK.pack(zlib.crc32(head)) + records
        self._keep(block)
        self._records.clear()
        self._hash.update(block)
        self._offset += len(block)

    def _keep(self, block: bytes) -> None:
        raise NotImplementedError


class MemoryTape(BlockTape):
    """A tape that keeps its last ``keep_bytes`` in memory, for tests and measurement.

    Encodes and hashes exactly as ``FileTape`` does; memory stays flat however long the day.
    """

    def __init__(self, manifest: Manifest | None = None, *, keep_bytes: int = 1 << 20) -> None:
        head = header(manifest) if manifest is not None else b""
        super().__init__(hashlib.blake2b(head, digest_size=DIGEST_SIZE), len(head))
        self._keep_bytes = keep_bytes
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0

    def _keep(self, block: bytes) -> None:
        kept = self._kept
        kept.append(block)
        self._kept_bytes += len(block)
        while self._kept_bytes > self._keep_bytes and len(kept) > 1:
            self._kept_bytes -= len(kept.popleft())

    def records(self) -> list[Record]:
        """What is still kept, decoded; what has been dropped for room is not among it."""
        self.mark()
        decoder = msgspec.msgpack.Decoder(list[Record])
        return [record for block in self._kept for record in decoder.decode(block[BLOCK_HEAD:])]


class FileTape(BlockTape):
    """The tape of a run, in one file; only one process writes it. Made by ``begin`` or ``resume``."""

    def __init__(self, path: Path, file: FileIO, running: hashlib.blake2b, offset: int) -> None:
        super().__init__(running, offset)
        self.durable = True
        """Whether ``close`` waits for the disk."""
        self._path = path
        self._file = file

    @classmethod
    def begin(cls, path: Path, manifest: Manifest, *, durable: bool = False) -> Self:
        """Begin a new tape; an existing file is never overwritten.

        ``durable`` waits until its header is on disk: a tape without one cannot be gone on with, and
        a live day that lost its power would be refused over it. Raises ``DiskFailed`` if the file
        cannot be made.
        """
        head = header(manifest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb", buffering=0)
            _write_whole(file, head)
            if durable:
                os.fsync(file.fileno())
                sync_folder(path.parent)
        except OSError as error:
            raise DiskFailed(
                f"The tape {path} cannot be begun: {error.strerror or error}.",
                do="Look at the folder's rights and room, then start again.",
            ) from error
        return cls(path, file, hashlib.blake2b(head, digest_size=DIGEST_SIZE), len(head))

    @classmethod
    def resume(cls, path: Path, offset: int, digest: str) -> Self:
        """Go on after a mark: what comes later is cut off, what comes before must be unchanged.

        Raises ``JournalDamaged`` if the file is shorter than the mark or differs from it.
        """
        running = hashlib.blake2b(digest_size=DIGEST_SIZE)
        try:
            file = path.open("r+b", buffering=0)
            left = offset
            while left and (piece := file.read(min(left, 1 << 20))):
                running.update(piece)
                left -= len(piece)
            if left or running.hexdigest() != digest:
                file.close()
                raise JournalDamaged(
                    f"The tape {path} is not what the journal recorded up to byte {offset}.",
                    do="Keep the file for inspection, and start with --fresh.",
                )
            file.truncate(offset)
        except OSError as error:
            raise DiskFailed(
                f"The tape {path} cannot be opened: {error.strerror or error}.",
                do="Look at the folder's rights, then start again.",
            ) from error
        return cls(path, file, running, offset)

    @classmethod
    def reopen(cls, path: Path, end: int) -> Self:
        """Go on after the last whole block (``TapeReader.end()``), whatever the journal says.

        For a tape that a power failure left shorter than its journal; the caller tells the gap.
        """
        running = hashlib.blake2b(digest_size=DIGEST_SIZE)
        with path.open("rb") as file:
            running.update(file.read(end))
        return cls.resume(path, end, running.hexdigest())

    def _keep(self, block: bytes) -> None:
        """Write a block whole, or leave the file as it was and raise ``DiskFailed``."""
        try:
            _write_whole(self._file, block)
        except OSError as error:
            with contextlib.suppress(OSError):
                # Half a block would be taken for a torn tail, and the next one for damage.
                self._file.seek(self._offset)
                self._file.truncate()
            raise DiskFailed(
                f"The tape {self._path} cannot be written: {error.strerror or error}.",
                do="Free some room on the disk; the house takes no new risk until then.",
            ) from error

    def close(self) -> None:
        """Write what is buffered, sync it to the disk, and let go of the file."""
        if self._file.closed:
            return
        try:
            self.mark()
            if self.durable:
                os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _write_whole(file: FileIO, content: bytes) -> None:
    """Write everything; an unbuffered file may take less than it is given."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
