"""A real line that breaks on purpose: a proxy on this machine between house and exchange.

What ``link_faults`` are to the virtual network this is to real sockets: it delays, throttles, falls
silent either way, resets or closes after so many bytes, or leaves a connection half open, with one
side gone and nobody told. Where a line breaks is counted in bytes, so that it breaks there each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import msgspec

from kitestring.exchange.wire.raw_answer import cut
from kitestring.sim.link_faults import Towards

_PIECE: Final = 1 << 16
_HEARD_S: Final = 0.01
"""What was sent before a reset is given so long to be read: a reset overtakes it otherwise."""
_LOOK_S: Final = 0.01


class Ends(StrEnum):
    """How a line breaks."""

    RESET = "reset"
    CLOSE = "close"
    SILENCE = "silence"
    """Nothing passes any more, either way, and nobody is told: half open."""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Break a line once ``at_byte`` bytes have passed one way, counted from where ``after`` is seen.

    ``after`` is looked for in what the client sends; bytes towards the client are counted from the
    moment it was seen, bytes towards the server from its own first byte. Empty: from the beginning.
    Struck once.
    """

    at_byte: int
    ends: Ends
    towards: Towards = Towards.CLIENT
    after: bytes = b""


class Line:
    """One connection through the proxy."""

    def __init__(self, number: int, cuts: Iterable[Cut]) -> None:
        self.number = number
        self.passed = {Towards.SERVER: 0, Towards.CLIENT: 0}
        self.ended: Ends | None = None
        self.counting: dict[Cut, int] = {each: 0 for each in cuts if not each.after}
        """Cuts that wait for their byte, with the bytes counted so far."""
        self.writers: list[asyncio.StreamWriter] = []


class FaultProxy:
    """Start it, let the client call ``port`` instead of the server's, change its ways at any time."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", cuts: Iterable[Cut] = ()) -> None:
        self.port = 0
        self.cuts = list(cuts)
        """Those that have not struck yet."""
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        """0 is as fast as it goes."""
        self.silent: set[Towards] = set()
        """Ways in which nothing passes now; what waits passes when it is taken out again."""
        self.refuses = False
        """Whether new connections are reset at once."""
        self.lines: list[Line] = []
        self._server: asyncio.Server | None = None
        self._target = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open a port of this machine."""
        self._server = await asyncio.start_server(self._came, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every line and the port."""
        assert self._server is not None, "started"
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self.lines:
            for writer in line.writers:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    def break_all(self, ends: Ends) -> None:
        """Break every line that stands, now."""
        for line in self.lines:
            self._end(line, ends)

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(len(self.lines) + 1, self.cuts)
        self.lines.append(line)
        line.writers.append(writer)
        if self.refuses:
            cut(writer.transport)
            return
        try:
            there_reader, there = await asyncio.open_connection(*self._target)
        except OSError:
            cut(writer.transport)
            return
        line.writers.append(there)
        for towards, source, sink in (
            (Towards.SERVER, reader, there),
            (Towards.CLIENT, there_reader, writer),
        ):
            task = asyncio.get_running_loop().create_task(self._pump(line, towards, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        line: Line,
        towards: Towards,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
    ) -> None:
        """One way of one line."""
        with suppress(OSError):
            while piece := await source.read(_PIECE):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                while towards in self.silent or line.ended is Ends.SILENCE:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(_LOOK_S)
                if towards is Towards.SERVER:
                    self._look_for_beginnings(line, piece)
                struck, kept = self._struck(line, towards, piece)
                await self._pass(line, towards, piece[:kept], sink)
                if struck is not None:
                    await asyncio.sleep(_HEARD_S)
                    self._end(line, struck.ends)
                    if struck.ends is not Ends.SILENCE:
                        return
        if line.ended is None:
            sink.close()  # whoever ended it, the other side hears of it in order

    def _look_for_beginnings(self, line: Line, piece: bytes) -> None:
        for each in self.cuts:
            if each.after and each not in line.counting and each.after in piece:
                line.counting[each] = -piece.index(each.after) * (each.towards is Towards.SERVER)

    def _struck(self, line: Line, towards: Towards, piece: bytes) -> tuple[Cut | None, int]:
        """Which cut strikes in this piece, and how much of it passes before."""
        for each, counted in list(line.counting.items()):
            if each.towards is not towards or each not in self.cuts:
                continue
            left = each.at_byte - counted
            if left < len(piece):
                self.cuts.remove(each)
                return each, max(left, 0)
            line.counting[each] = counted + len(piece)
        return None, len(piece)

    async def _pass(
        self, line: Line, towards: Towards, piece: bytes, sink: asyncio.StreamWriter
    ) -> None:
        step = max(int(self.bytes_per_s / 20), 1) if self.bytes_per_s else len(piece)
        for start in range(0, len(piece), step or 1):
            if self.bytes_per_s:
                await asyncio.sleep(step / self.bytes_per_s)
            part = piece[start : start + step]
            sink.write(part)
            await sink.drain()
            line.passed[towards] += len(part)

    def _end(self, line: Line, ends: Ends) -> None:
        if line.ended is not None:
            return
        line.ended = ends
        for writer in line.writers:
            if ends is Ends.RESET:
                cut(writer.transport)
            elif ends is Ends.CLOSE:
                writer.close()
