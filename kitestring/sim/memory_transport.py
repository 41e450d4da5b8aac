"""One end of a connection in memory: what asyncio calls a transport, with nothing beneath it.

It keeps the promises a transport on a socket keeps: nothing is delivered from within a call, a
protocol is told to pause when more than the high-water mark waits, ``close`` delivers what was
written and then ends, ``abort`` forgets it, and ``connection_lost`` is called exactly once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kitestring.sim.one_way import OneWay, Sign, as_bytes

if TYPE_CHECKING:
    from kitestring.sim.link_faults import Address
    from kitestring.sim.memory_network import Line

_HIGH_WATER = 64 * 1024


class MemorySocket:
    """What programs ask of a socket besides bytes: its names and its options."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, own: Address, peer: Address | None = None) -> None:
        self._own = own
        self._peer = peer
        self._options: dict[tuple[int, int], int | bytes] = {}

    def getsockname(self) -> Address:
        return self._own

    def getpeername(self) -> Address:
        if self._peer is None:
            raise OSError("Transport endpoint is not connected")
        return self._peer

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int) -> int | bytes:
        return self._options.get((level, option), 0)

    def fileno(self) -> int:
        """-1: there is no file beneath."""
        return -1


class MemoryTransport(asyncio.Transport):
    """One end; ``out`` is the way it sends on, ``into`` the way it hears from."""

    def __init__(
        self,
        line: Line,
        protocol: asyncio.BaseProtocol,
        *,
        out: OneWay,
        into: OneWay,
        own: Address,
        peer: Address,
    ) -> None:
        super().__init__(
            {"sockname": own, "peername": peer, "socket": MemorySocket(own, peer)},
        )
        self._line = line
        self._loop = line.network.loop
        self._protocol: Any = protocol
        self._out = out
        self._into = into
        out.sender = self
        into.receiver = self
        self._high, self._low = _HIGH_WATER, _HIGH_WATER // 4
        self._closing = self._lost = self._ended = False
        self._paused = self._writing_paused = False
        into.let_go()

    # -- reading --------------------------------------------------------------------------

    @property
    def holds_back(self) -> bool:
        """Whether what arrives must wait."""
        return self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._into.let_go()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def take(self, payload: bytes) -> None:
        """Bytes arrived."""
        if self._closing:
            # Nobody reads here any more; a kernel answers so, and the other side learns of it.
            self._out.finished = False
            self._out.sign(Sign.RESET)
            return
        try:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                self._fill(self._protocol, payload)
            else:
                self._protocol.data_received(payload)
        except Exception as error:  # noqa: BLE001  # the protocol's bug ends its connection, and is told
            self._break(error, "data_received")

    def _fill(self, protocol: asyncio.BufferedProtocol, payload: bytes) -> None:
        rest = memoryview(payload)
        while rest:
            room: Any = protocol.get_buffer(len(rest))
            size = min(len(room), len(rest))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")
            room[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]

    def take_end(self) -> None:
        """The other side has written its last."""
        if self._closing:
            return
        self._ended = True
        try:
            stays_open = self._protocol.eof_received()
        except Exception as error:  # noqa: BLE001  # as in take()
            self._break(error, "eof_received")
            return
        if not stays_open:
            self.close()

    # -- writing --------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._closing:
            return
        self._out.send(as_bytes(data))
        if self._out.backlog_bytes > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    _eof_written = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Half-close: nothing more is sent, everything is still heard."""
        if not self._closing and not self._eof_written:
            self._eof_written = True
            if not self._out.backlog_bytes:
                self._out.sign(Sign.FIN)

    def written(self) -> None:
        """Some of what waited has left; go on with whatever waited for that."""
        waiting = self._out.backlog_bytes
        if self._writing_paused and waiting <= self._low and not self._lost:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not waiting:
            if self._closing:
                self._finish(None)
            elif self._eof_written:
                self._out.sign(Sign.FIN)

    def get_write_buffer_size(self) -> int:
        return self._out.backlog_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be at least low ({low}), and low at least 0")
        self._high, self._low = high, low

    # -- ending ---------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Read no more, let out what was written, then end."""
        if not self._closing:
            self._closing = True
            if not self._out.backlog_bytes:
                self._finish(None)

    def abort(self) -> None:
        """End now; what has not left is forgotten. The other side sees an end, as on Linux."""
        self._closing = True
        self._out.forget_backlog()
        self._finish(None)

    def lose(self, error: Exception | None) -> None:
        """The connection broke."""
        self._closing = True
        self._out.drop()
        self._finish(error)

    def _break(self, error: Exception, where: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"the protocol failed in {where}()",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._closing = True
        self._out.forget_backlog()
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        # Unread bytes make a kernel answer a close with a reset instead of an end.
        self._out.sign(Sign.RESET if self._into.unread else Sign.FIN)
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._into.let_go()
            self._line.ended(self)

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def __repr__(self) -> str:
        return f"<MemoryTransport {self._line.name} {self._out.towards}>"
