"""The door of a live day for its owner: a Unix socket beside the day's files, one JSON object a line.

Whoever connects is asked of the kernel: the same user, or nobody. A client that talks nonsense, too
much or too slowly costs itself its connection and nobody else anything; the day waits for none of
them. No socket works on without the day: it goes when the day goes, and one that a dead day left
behind is replaced.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.events import Note
from kitestring.domain.unreadable import UNREADABLE
from kitestring.engine.control_words import Answered, Asked, ControlWords
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.live_day import LiveDay
from kitestring.engine.live_standing import GuardSays
from kitestring.engine.replay import LIVE_NOTE
from kitestring.store.atomic_file import write_atomically
from kitestring.store.halt_file import HaltFile
from kitestring.store.paths import RunPaths

SOCKET: Final = "control.sock"
ELSEWHERE: Final = "control.path"
"""Says where the socket is, where the folder's own path is too long for one."""
PATH_MAX: Final = 100
"""Bytes of a socket's path: 108 with its end on Linux, 104 on macOS."""
LINE_MAX: Final = 4096
CLIENTS_MAX: Final = 8
IDLE_S: Final = 60.0
WRITE_S: Final = 5.0
_decoder: Final = msgspec.json.Decoder(Asked)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class ControlSocket:
    """A companion of a live day (``Beside``); ``watch`` is the day's own, entered before this one."""

    def __init__(self, artifacts: Path, watch: HaltWatch, guard: GuardSays | None = None) -> None:
        self._folder = artifacts / "live"
        self._halts = HaltFile(artifacts)
        self._watch = watch
        self._guard = guard
        self._clients: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def attend(self, day: LiveDay, paths: RunPaths) -> AsyncIterator[None]:
        """See ``Beside``. A door that cannot be opened costs the day its second terminal only."""
        words = ControlWords(day, paths, self._halts, self._watch, self._guard)

        def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # A task of our own: the library would call its cancellation a fault of the loop.
            task = asyncio.get_running_loop().create_task(served(reader, writer))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if len(self._clients) > CLIENTS_MAX:
                    await _say(writer, Answered(ok=False, says="Too many terminals at once."))
                elif _same_user(writer):
                    await _converse(words, reader, writer)
            # A client's trouble, or a fault of ours in an answer, ends this conversation only.
            except (OSError, TimeoutError):
                pass
            except Exception as error:  # noqa: BLE001
                sentence = f"A word of a second terminal failed: {type(error).__name__}: {error}."
                day.hear(Note(at=day.now(), kind=f"{LIVE_NOTE}fault", sentence=sentence))
            finally:
                writer.close()

        server = None
        place = self._folder / SOCKET
        try:
            place = self._place()
            bound = _bound(place)
            try:
                server = await asyncio.start_unix_server(came, sock=bound, limit=LINE_MAX)
            except BaseException:
                bound.close()
                self._take_away(place)
                raise
        except (OSError, NotImplementedError, AttributeError) as error:  # Windows has none
            sentence = (
                f"No second terminal today: {place} cannot be opened ({error}). The HALT file and "
                "Ctrl-C work without it."
            )
            day.hear(Note(at=day.now(), kind=f"{LIVE_NOTE}control", sentence=sentence))
        try:
            yield
        finally:
            if server is not None:
                server.close()
                self._take_away(place)
            for task in tuple(self._clients):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.sleep(0)  # what was closed has a turn to be gone

    def _place(self) -> Path:
        """Where the socket goes; a folder whose path is too long only says where it is instead."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        near, pointer = self._folder / SOCKET, self._folder / ELSEWHERE
        if len(os.fsencode(near.absolute())) <= PATH_MAX:
            pointer.unlink(missing_ok=True)
            return near
        far = Path(tempfile.mkdtemp(prefix="kitestring-")) / SOCKET  # 0700 by its nature
        write_atomically(pointer, os.fsencode(far), private=True)
        return far

    def _take_away(self, place: Path) -> None:
        place.unlink(missing_ok=True)
        if place.parent != self._folder:
            (self._folder / ELSEWHERE).unlink(missing_ok=True)
            with suppress(OSError):
                place.parent.rmdir()


def where(artifacts: Path) -> Path | None:
    """Where a live day of a folder listens, or ``None`` where none does."""
    near, pointer = artifacts / "live" / SOCKET, artifacts / "live" / ELSEWHERE
    if near.exists():
        return near
    try:
        far = Path(os.fsdecode(pointer.read_bytes()))
        # Nobody else may have put a socket of his there meanwhile.
        return far if far.exists() and far.parent.stat().st_uid == os.geteuid() else None
    except OSError:
        return None


def _bound(place: Path) -> socket.socket:
    """A listening socket; what a dead day left there is replaced, a living one is left alone."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        if place.exists():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
                asked.setblocking(False)
                try:
                    asked.connect(str(place))
                except ConnectionRefusedError:
                    place.unlink()
                else:
                    raise FileExistsError("another day listens there")
        made.bind(str(place))
        place.chmod(0o600)
        made.listen(CLIENTS_MAX)
    except BaseException:
        made.close()
        raise
    return made


def _same_user(writer: asyncio.StreamWriter) -> bool:
    """Whether the kernel says that the other end is ours; where it cannot, the folder's mode must do."""
    peer = writer.get_extra_info("socket")
    if sys.platform != "linux" or peer is None:
        return True
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return bool(uid == os.geteuid())


async def _converse(
    words: ControlWords, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readline()
        except ValueError:  # longer than the limit: what follows could be anything
            await _say(writer, Answered(ok=False, says=f"A line has at most {LINE_MAX} bytes."))
            return
        if not line.endswith(b"\n"):
            return
        try:
            asked = _decoder.decode(line)
        except UNREADABLE:
            says = 'That is no request; one looks like {"word": "status"}; there are ' + ", ".join(
                words.words
            )
            await _say(writer, Answered(ok=False, says=f"{says}."))
            continue
        await _say(writer, await words.answer(asked))


async def _say(writer: asyncio.StreamWriter, answer: Answered) -> None:
    writer.write(_encoder.encode(answer) + b"\n")
    async with asyncio.timeout(WRITE_S):
        await writer.drain()
