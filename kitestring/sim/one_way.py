"""One way of a connection: bytes leave, travel for a while, and arrive in order or not at all.

The law of TCP as programs see it: what arrives is what was sent, in order, without holes; a close
arrives after the last byte; at most a window of bytes is between the two programs, and a sender
who wants more must wait until the receiver has read.
"""

from __future__ import annotations

import errno
import math
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

from kitestring.exchange.seeded import Stream
from kitestring.sim.link_faults import Blackhole, Delay, LinkFault, Reset, SlowDrip, Towards

if TYPE_CHECKING:
    from kitestring.sim.memory_network import Line
    from kitestring.sim.memory_transport import MemoryTransport

WINDOW: Final = 256 * 1024
"""Bytes between two programs: both kernels' buffers together, as Linux gives a fresh connection."""
_DRAWN: Final = 64


class Sign(Enum):
    """What travels besides bytes."""

    FIN = "fin"
    RESET = "reset"


class OneWay:
    """From ``sender`` to ``receiver``; both are set once the two transports exist."""

    __slots__ = (
        "_arrived_last",
        "_backlog",
        "_drawn",
        "_held",
        "_latencies",
        "_line",
        "_loop",
        "_on_the_way",
        "_room",
        "_struck",
        "_struck_at",
        "backlog_bytes",
        "finished",
        "receiver",
        "sender",
        "sent",
        "towards",
    )

    sender: MemoryTransport | None
    receiver: MemoryTransport | None

    def __init__(self, line: Line, towards: Towards) -> None:
        self._line = line
        self._loop = line.network.loop
        self.towards = towards
        self.sender = self.receiver = None
        self.sent = 0
        """Bytes that left, ever."""
        self.finished = False
        """Whether a close or a reset was sent: nothing may follow."""
        self.backlog_bytes = 0
        self._backlog: deque[memoryview] = deque()
        self._on_the_way: deque[tuple[float, bytes | Sign]] = deque()
        self._room = WINDOW
        self._arrived_last = -math.inf
        self._held = False
        self._latencies: Stream | None = None
        self._drawn: list[int] = []
        self._struck: list[LinkFault] = []
        self._struck_at = -1

    # -- leaving --------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Let bytes leave, as many as the window has room for; the rest waits with the sender."""
        size = len(payload)
        if not self._backlog and size <= self._room:
            self._room -= size
            self._depart(payload)
            return
        self._backlog.append(memoryview(payload))
        self.backlog_bytes += size
        self._refill()

    def _refill(self) -> None:
        while self._backlog and self._room > 0:
            waiting = self._backlog.popleft()
            leaving = bytes(waiting[: self._room])
            if len(leaving) < len(waiting):
                self._backlog.appendleft(waiting[len(leaving) :])
            self.backlog_bytes -= len(leaving)
            self._room -= len(leaving)
            self._depart(leaving)

    def forget_backlog(self) -> None:
        """Throw away what has not left yet."""
        self._backlog.clear()
        self.backlog_bytes = 0

    def sign(self, sign: Sign) -> None:
        """Send a close (after everything sent before it) or a reset (which overtakes nothing here)."""
        if not self.finished:
            self.finished = True
            self._depart(sign)

    def _depart(self, load: bytes | Sign) -> None:
        network = self._line.network
        if network.faults:
            self._depart_struck(load)
            return
        self._travel(load, self._loop.time() + self.latency_s())

    def _depart_struck(self, load: bytes | Sign) -> None:
        """As ``_depart``, through the faults that strike this way; bytes are cut where one begins."""
        network = self._line.network
        if self._struck_at != network.fault_edition:
            self._struck = network.faults_of(self._line, self.towards)
            self._struck_at = network.fault_edition
        while isinstance(load, bytes) and load:
            ahead = [fault.from_byte - self.sent for fault in self._struck]
            cut = min((gap for gap in ahead if 0 < gap <= len(load)), default=len(load))
            self._through_faults(load[:cut])
            load = load[cut:]
            if self.finished:
                return
        if isinstance(load, Sign):
            self._through_faults(load)

    def _through_faults(self, load: bytes | Sign) -> None:
        now = self._loop.time()
        size = len(load) if isinstance(load, bytes) else 0
        at, begun = now + self.latency_s(), self.sent
        drip: SlowDrip | None = None
        breaks = False
        for fault in self._struck:
            if not fault.from_s <= now < fault.until_s:
                continue
            match fault:
                case Reset():
                    breaks |= 0 < fault.from_byte == begun + size
                case _ if begun < fault.from_byte:
                    continue
                case Blackhole():
                    if load is Sign.RESET:
                        return  # nobody sends a reset again
                    at = max(at, fault.until_s + self.latency_s())
                case Delay():
                    at += fault.by_s
                case SlowDrip():
                    drip = fault
                case _:
                    pass
        if drip is not None and isinstance(load, bytes):
            at = max(at, self._arrived_last)
            for first in range(0, size, drip.piece):
                at += drip.every_s
                self._travel(load[first : first + drip.piece], at)
        else:
            self._travel(load, at)
        if breaks:
            self.finished = True
            self._loop.call_at(self._arrived_last, self._line.break_now)

    def latency_s(self) -> float:
        """How long the next piece travels: drawn from the seed, for this way of this connection."""
        latency = self._line.network.latency
        if not latency.jitter_s:
            return latency.base_s
        if not self._drawn:
            if self._latencies is None:
                self._latencies = Stream(
                    self._line.network.seed, "latency", self._line.name, self.towards
                )
            self._drawn = self._latencies.below(_DRAWN, 1_000_000).tolist()
        return latency.base_s + latency.jitter_s * self._drawn.pop() / 1_000_000

    # -- arriving -------------------------------------------------------------------------

    def _travel(self, load: bytes | Sign, at: float) -> None:
        if isinstance(load, bytes):
            self.sent += len(load)
        self._arrived_last = at = max(at, self._arrived_last)
        if math.isinf(at):
            return
        self._on_the_way.append((at, load))
        if len(self._on_the_way) == 1 and not self._held:
            self._loop.call_at(at, self._arrive)

    def _arrive(self) -> None:
        queue, receiver = self._on_the_way, self.receiver
        if not queue or self._held:
            return
        if receiver is None or receiver.holds_back:
            self._held = True
            return
        now = self._loop.time()
        loads: list[bytes] = []
        sign: Sign | None = None
        while queue and queue[0][0] <= now and sign is None:
            load = queue.popleft()[1]
            if isinstance(load, bytes):
                loads.append(load)
            else:
                sign = load
        if queue and queue[0][0] > now:
            self._loop.call_at(queue[0][0], self._arrive)
        elif queue:
            self._loop.call_soon(self._arrive)
        whole = loads[0] if len(loads) == 1 else b"".join(loads)
        if whole:
            self._room += len(whole)
            self._line.note(self.towards, f"{len(whole)} B")
            receiver.take(whole)
        if sign is not None:
            self._line.note(self.towards, sign.value)
            if sign is Sign.FIN:
                receiver.take_end()
            else:
                receiver.lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        if self._backlog:
            self._refill()
        if self.sender is not None:
            self.sender.written()

    def let_go(self) -> None:
        """The receiver reads, or reads again."""
        if self._held:
            self._held = False
            self._loop.call_soon(self._arrive)

    @property
    def unread(self) -> bool:
        """Whether bytes lie at the receiver which it did not want to read."""
        return self._held

    def drop(self) -> None:
        """Whatever is on the way is lost: the connection is broken."""
        self.finished = True
        self.forget_backlog()
        self._on_the_way.clear()
        self._held = False


def as_bytes(payload: bytes | bytearray | memoryview) -> bytes:
    """The sender may change its buffer once ``write`` has returned, so what may change is copied."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    raise TypeError(f"write() takes bytes, not {type(payload).__name__}")
