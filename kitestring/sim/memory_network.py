"""The network of a virtual world: addresses, listeners, connections with latency, and their faults.

Everything stays in memory and in one thread. Latency is drawn from the seed for each way of each
connection of a server, so that what happens at one server does not change what another's clients see.
"""

from __future__ import annotations

import asyncio
import errno
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kitestring.sim.link_faults import (
    Address,
    Blackhole,
    Delay,
    LinkFault,
    Refused,
    Reset,
    Towards,
)
from kitestring.sim.memory_transport import MemorySocket, MemoryTransport
from kitestring.sim.one_way import OneWay

if TYPE_CHECKING:
    import socket

    from kitestring.sim.virtual_loop import VirtualLoop

_FIRST_SERVED: Final = 49_152
_FIRST_DIALLED: Final = 32_768
_SYN_GIVES_UP_S: Final = 127.0
"""Linux sends a connection request seven times, over 127 seconds (tcp_syn_retries = 6)."""
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104  # the names of "everywhere", in memory
_Factory = Callable[[], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one way takes: ``base_s``, plus up to ``jitter_s`` by the seed."""

    base_s: float = 0.000_200
    jitter_s: float = 0.000_100


class Line:
    """One connection: two ways and, once it stands, two ends."""

    def __init__(self, network: Network, server: Address, number: int, client: Address) -> None:
        self.network = network
        self.server = server
        self.number = number
        self.client = client
        self.name = f"{server[0]}:{server[1]}#{number}"
        self.to_server = OneWay(self, Towards.SERVER)
        self.to_client = OneWay(self, Towards.CLIENT)
        self.broken = False
        self._ends: list[MemoryTransport] = []
        self._opened = 0

    def open_end(self, factory: _Factory, towards: Towards) -> MemoryTransport:
        """Make the end that sends ``towards`` the other; its protocol hears of it next."""
        if towards is Towards.SERVER:
            out, into, own, peer = self.to_server, self.to_client, self.client, self.server
        else:
            out, into, own, peer = self.to_client, self.to_server, self.server, self.client
        protocol = factory()
        end = MemoryTransport(self, protocol, out=out, into=into, own=own, peer=peer)
        self._ends.append(end)
        self._opened += 1
        return end

    def note(self, towards: Towards | None, what: str) -> None:
        """A line of the trace."""
        trace = self.network.loop.trace
        if trace is not None:
            trace.note(self.network.loop.time(), f"{self.name} {towards or ''} {what}")

    def break_now(self) -> None:
        """Both sides are reset, and whatever travels is lost."""
        self.note(None, "breaks")
        self.broken = True
        for way in (self.to_server, self.to_client):
            way.drop()
        for end in list(self._ends):
            end.lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def ended(self, end: MemoryTransport) -> None:
        """One end is gone."""
        self._ends.remove(end)
        if not self._ends and (self.broken or self._opened == 2):
            self.network.lines.pop(self.name, None)


class MemoryServer(asyncio.AbstractServer):
    """A listener on one or more addresses."""

    def __init__(self, network: Network, factory: _Factory, addresses: list[Address]) -> None:
        self._network = network
        self.factory = factory
        self._addresses = addresses
        self._serving = True
        self._forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> tuple[MemorySocket, ...]:
        """Where it listens; none once it is closed."""
        if not self._serving:
            return ()
        return tuple(MemorySocket(address) for address in self._addresses)

    def close(self) -> None:
        """Accept nobody any more; connections that stand stay."""
        if self._serving:
            self._serving = False
            for address in self._addresses:
                self._network.listeners.pop(address, None)
            if self._forever is not None and not self._forever.done():
                self._forever.cancel()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    def is_serving(self) -> bool:
        return self._serving

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        """Until it is cancelled or closed."""
        self._forever = self._network.loop.create_future()
        try:
            await self._forever
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """At once: whoever accepted a connection ends it."""


class Network:
    """Everything between the programs of one virtual loop."""

    loop: VirtualLoop

    def __init__(
        self,
        seed: int = 0,
        *,
        latency: Latency = Latency(),
        names: dict[str, str] | None = None,
    ) -> None:
        self.seed = seed
        self.latency = latency
        self.names = {"localhost": "127.0.0.1", **(names or {})}
        """Host names and the addresses they stand for; the world knows no other."""
        self.listeners: dict[Address, MemoryServer] = {}
        self.lines: dict[str, Line] = {}
        """The connections that stand, by name."""
        self.faults: list[LinkFault] = []
        self.fault_edition = 0
        self._numbers: Counter[Address] = Counter()
        self._next_served = _FIRST_SERVED
        self._next_dialled = _FIRST_DIALLED
        self._tickets: weakref.WeakKeyDictionary[Any, Line] = weakref.WeakKeyDictionary()

    def attach(self, loop: VirtualLoop) -> None:
        """Called by the loop that lives on this network; there is exactly one."""
        if hasattr(self, "loop"):
            raise RuntimeError("this network already belongs to a loop: make one for each world")
        self.loop = loop

    # -- faults ---------------------------------------------------------------------------

    def strike(self, *faults: LinkFault) -> None:
        """Let faults be in force from now on, for connections that stand and for new ones."""
        self.faults.extend(faults)
        self.fault_edition += 1
        for line in list(self.lines.values()):
            self._plan_breaks(line, faults)

    def heal(self, *faults: LinkFault) -> None:
        """Take faults away (all, if none is named); what they swallowed stays swallowed."""
        self.faults = [fault for fault in self.faults if faults and fault not in faults]
        self.fault_edition += 1

    def faults_of(self, line: Line, towards: Towards | None = None) -> list[LinkFault]:
        """The faults that strike a connection, one way of it or either."""
        return [fault for fault in self.faults if fault.strikes(line.server, line.number, towards)]

    def _plan_breaks(self, line: Line, faults: tuple[LinkFault, ...]) -> None:
        for fault in faults:
            if (
                isinstance(fault, Reset)
                and not fault.from_byte
                and fault.strikes(line.server, line.number)
                and self.loop.time() < fault.until_s
            ):
                self.loop.call_at(max(fault.from_s, self.loop.time()), self._break, line, fault)

    def _break(self, line: Line, fault: Reset) -> None:
        if fault in self.faults:
            line.break_now()

    # -- names and listeners --------------------------------------------------------------

    def resolve(self, host: str) -> str:
        """The address of a name; a numeric address is its own."""
        known = self.names.get(host)
        if known is not None:
            return known
        if host.replace(".", "").isdigit() or ":" in host:
            return host
        raise OSError(
            errno.ENOENT,
            f"{host} is no name of this virtual world: add it with Network(names={{…}})",
        )

    async def listen(self, protocol_factory: _Factory, hosts: list[str], port: int) -> MemoryServer:
        """Serve on addresses; port 0 is given the next free number."""
        if not port:
            port = self._next_served
            self._next_served += 1
        addresses = [("0.0.0.0" if host in _ANY else host, port) for host in hosts]  # noqa: S104
        for address in addresses:
            if address in self.listeners:
                raise OSError(errno.EADDRINUSE, f"{address[0]}:{port} is already listened on")
        server = MemoryServer(self, protocol_factory, addresses)
        self.listeners.update(dict.fromkeys(addresses, server))
        return server

    def _listener(self, address: Address) -> MemoryServer | None:
        found = self.listeners.get(address)
        return found or self.listeners.get(("0.0.0.0", address[1]))  # noqa: S104

    # -- connecting -----------------------------------------------------------------------

    async def dial(
        self, protocol_factory: _Factory, address: Address, local: Address | None
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Connect and open this side's end."""
        return self._open(await self._shake_hands(address, local), protocol_factory)

    async def connect(self, sock: socket.socket, address: Address) -> None:
        """Connect for a socket object, which then stands for the connection until it is adopted.

        The object itself is never used, so that code which makes its own sockets runs as it is.
        """
        self._tickets[sock] = await self._shake_hands(address, None)

    def adopt(
        self, sock: socket.socket, protocol_factory: _Factory
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Open this side's end of the connection a socket object stands for."""
        line = self._tickets.pop(sock, None)
        if line is None:
            raise OSError(errno.ENOTCONN, "this socket was not connected by loop.sock_connect()")
        sock.close()
        return self._open(line, protocol_factory)

    def _open(self, line: Line, factory: _Factory) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        if line.broken:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        end = line.open_end(factory, Towards.SERVER)
        protocol = end.get_protocol()
        protocol.connection_made(end)
        return end, protocol

    async def _shake_hands(self, address: Address, local: Address | None) -> Line:
        """A round trip; then the connection stands, and the server has heard of it."""
        self._numbers[address] += 1
        if local is None or not local[1]:
            local = (local[0] if local else "127.0.0.1", self._next_dialled)
            self._next_dialled += 1
        line = Line(self, address, self._numbers[address], local)
        line.note(None, "is dialled")
        await self._pass(self._syn_s(line, Towards.SERVER))
        listener = self._listener(address)
        if listener is None or self._refused(line):
            await self._pass(self._syn_s(line, Towards.CLIENT))
            line.note(None, "is refused")
            where = f"nobody listens on {address[0]}:{address[1]} in this virtual world"
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connection refused: {where}")
        back_s = self._syn_s(line, Towards.CLIENT)
        served = line.open_end(listener.factory, Towards.CLIENT)
        self.lines[line.name] = line
        line.note(None, "stands")
        served.get_protocol().connection_made(served)
        self._plan_breaks(line, tuple(self.faults))
        try:
            await self._pass(back_s)
        except BaseException:
            line.break_now()  # whoever dialled has gone away meanwhile
            raise
        return line

    def _refused(self, line: Line) -> bool:
        now = self.loop.time()
        return any(
            isinstance(fault, Refused) and fault.from_s <= now < fault.until_s
            for fault in self.faults_of(line)
        )

    def _syn_s(self, line: Line, towards: Towards) -> float:
        """How long one way of the handshake takes, through faults that strike before any byte."""
        now = self.loop.time()
        way = line.to_server if towards is Towards.SERVER else line.to_client
        takes = way.latency_s()
        for fault in self.faults_of(line, towards):
            if fault.from_byte or not fault.from_s <= now < fault.until_s:
                continue
            if isinstance(fault, Delay):
                takes += fault.by_s
            elif isinstance(fault, Blackhole):
                takes = max(takes, fault.until_s - now + way.latency_s())
        return takes

    async def _pass(self, takes_s: float) -> None:
        await asyncio.sleep(min(takes_s, _SYN_GIVES_UP_S))
        if takes_s > _SYN_GIVES_UP_S:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
