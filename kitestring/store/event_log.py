"""The day's story, line by line, in ``events.jsonl``: what was seen, decided, sent, refused and filled.

The law: it is a view of the journal. A line of a commit names the run and the commit, and is
written once, however often the day is interrupted; a log that cannot be written is counted and
tried again, and never stops the day. Several runs may write to the same file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable, Mapping, MutableMapping
from io import FileIO
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from kitestring.domain.instants import Instant
from kitestring.domain.ports import Commit
from kitestring.store.event_lines import Cell, Level, lines_of, time_text

_BLOCK: Final = 1 << 16
_WAITING_MAX: Final = 8 << 20
"""Bytes kept for a disk that refuses them; beyond it the oldest whole lines go."""
_FIRST_KEYS: Final = ("ts", "kind", "level", "run", "mode", "commit", "strategy", "symbol")
_LIVE_MARK: Final = "🔴 LIVE "

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class _LineHead(msgspec.Struct, frozen=True):
    """What is read back of a line."""

    run: str = ""
    commit: int | None = None


_head_decoder: Final = msgspec.json.Decoder(_LineHead)


class EventLog:
    """Writes one run's lines. With ``resumed`` it first looks up where that run left off."""

    def __init__(self, path: Path, *, run: str, mode: str, resumed: bool = True) -> None:
        self.path = path
        self.failures = 0
        """How often the file could not be written so far."""
        self.bytes_lost = 0
        """What had to be dropped because it could not be written for too long; ``rebuild`` it."""
        self._run = run
        self._live = mode == "live"
        self._file: FileIO | None = None
        self._waiting = bytearray()
        self._torn = False
        """Whether the last write ended inside a line, whose rest comes first in ``_waiting``."""
        self._begun_commit, self._begun_lines = 0, 0
        self._done = 0
        if resumed:
            with contextlib.suppress(OSError):
                self._begun_commit, self._begun_lines = _left_off(path, run)
                self._done = max(0, self._begun_commit - 1)
        self._head = {"run": run, "mode": mode}
        self._log: _Lines = structlog.wrap_logger(
            _Sink(self._waiting), processors=[_rendered], wrapper_class=_Lines, context_class=dict
        ).bind()

    @property
    def last_commit(self) -> int:
        """The last commit that is surely told whole: continue with ``journal.commits(this)``."""
        return self._done

    def record(self, no: int, commit: Commit) -> None:
        """Tell one commit; one that was told before is passed over. Written at ``flush``."""
        if no <= self._done:
            return
        self._done = no
        told = self._begun_lines if no == self._begun_commit else 0
        for fact in commit.facts:
            for at, kind, level, cells in lines_of(fact):
                if told:
                    told -= 1
                    continue
                self._tell(commit.at if at is None else at, kind, level, no, cells)

    def say(
        self, at: Instant, kind: str, sentence: str, *, level: Level = "info", **cells: Cell
    ) -> None:
        """Tell what is in no commit: connections, failures of the disk, a refused start."""
        self._tell(at, kind, level, None, {"sentence": sentence, **cells})

    def flush(self) -> bool:
        """Write what is waiting; ``False`` if some of it still waits."""
        if not self._waiting:
            return True
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _cut_torn_line(self.path)
                self._file = FileIO(self.path, "a")
            written = self._file.write(self._waiting)
        except OSError:
            self.failures += 1
            self._drop_if_too_much()
            return False
        self._torn = written > 0 and self._waiting[written - 1] != ord("\n")
        del self._waiting[:written]
        return not self._waiting

    def catch_up(self, commits: Iterable[tuple[int, Commit]]) -> None:
        """Tell the commits that a restart left untold, and write them."""
        for no, commit in commits:
            self.record(no, commit)
            if len(self._waiting) > _BLOCK:
                self.flush()
        self.flush()

    def rebuild(self, commits: Iterable[tuple[int, Commit]]) -> bool:
        """Write this run's lines anew from its journal, after everybody else's, which stay.

        ``False`` where the file would not be written; it is then as it was.
        """
        self.close()
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        self._waiting.clear()
        self._done = self._begun_commit = self._begun_lines = 0
        self._torn = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                if self.path.exists():
                    with self.path.open("rb") as old:
                        file.writelines(line for line in old if not self._is_retold(line))
                for no, commit in commits:
                    self.record(no, commit)
                    file.write(self._waiting)
                    self._waiting.clear()
            aside.replace(self.path)
        except OSError:
            self.failures += 1
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            return False
        return True

    def close(self) -> None:
        """Write what is waiting, if it can be, and let go of the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _tell(
        self, at: Instant, kind: str, level: Level, no: int | None, cells: Mapping[str, Cell]
    ) -> None:
        if self._live and kind in ("order", "fill"):
            cells = {**cells, "sentence": f"{_LIVE_MARK}{cells.get('sentence', '')}"}
        first = {"ts": time_text(at), "kind": kind, "level": level, **self._head, "commit": no}
        self._log.tell({**cells, **first})

    def _is_retold(self, line: bytes) -> bool:
        head = _head_of(line)
        return head is not None and head.run == self._run and head.commit is not None

    def _drop_if_too_much(self) -> None:
        if len(self._waiting) <= _WAITING_MAX:
            return
        start = self._waiting.find(b"\n") + 1 if self._torn else 0
        end = self._waiting.find(b"\n", len(self._waiting) // 2) + 1
        self.bytes_lost += end - start
        del self._waiting[start:end]


class _Sink:
    """Where structlog's finished lines go."""

    def __init__(self, waiting: bytearray) -> None:
        self._waiting = waiting

    def msg(self, line: bytes) -> None:
        """Keep one line until it is written."""
        self._waiting += line
        self._waiting += b"\n"


class _Lines(structlog.BoundLoggerBase):
    """structlog's logger with the one verb of this log."""

    def tell(self, cells: Mapping[str, Cell]) -> None:
        """One line."""
        self._proxy_to_logger("msg", None, **cells)


def _rendered(
    _: object, __: str, event: MutableMapping[str, Any]
) -> tuple[tuple[bytes], dict[str, Cell]]:
    """When, what and who first; what is empty is left out."""
    line = {key: event[key] for key in _FIRST_KEYS if event.get(key) is not None}
    for key, cell in event.items():
        if cell is not None and key not in line:
            line[key] = cell
    return (_encoder.encode(line),), {}


def _head_of(line: bytes) -> _LineHead | None:
    try:
        return _head_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _left_off(path: Path, run: str) -> tuple[int, int]:
    """The last commit of a run that has whole lines in the file, and how many it has."""
    needle = b'"run":' + _encoder.encode(run)
    commit, lines = 0, 0
    if not path.exists() or not path.stat().st_size:
        return commit, lines
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        # A last line without its newline was never finished: it is cut away and told again.
        start = text.rfind(b"\n") + 1
        while (found := text.rfind(needle, 0, start)) >= 0:
            start, end = text.rfind(b"\n", 0, found) + 1, text.find(b"\n", found)
            head = _head_of(text[start:end])
            if head is None or head.run != run or head.commit is None:
                continue
            if commit and head.commit != commit:
                break
            commit, lines = head.commit, lines + 1
    return commit, lines


def _cut_torn_line(path: Path) -> None:
    """Take away a last line that a crash left unfinished: its commit is told again."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
