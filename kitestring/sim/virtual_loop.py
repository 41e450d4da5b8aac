"""An asyncio event loop whose clock jumps: waiting for two minutes costs nothing.

The laws: time stands still while anything can run, and then jumps to the earliest timer; what is
ready runs first in, first out; timers run by (when, order of asking), so equal instants never
depend on a heap's mood. No threads, no sockets of the operating system, no wall clock: two runs of
one program are the same run. A world in which nothing can happen any more says so instead of
hanging, and one that runs past its end is stopped.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import heapq
import math
import socket
import sys
import threading
import weakref
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, NoReturn, Protocol, TypeVar, TypeVarTuple

from kitestring.sim.event_trace import EventTrace, name_of
from kitestring.sim.refused_calls import NotInVirtualTime, RefusedCalls, refuse

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_Factory = Callable[[AbstractEventLoop, Any], "asyncio.Future[Any]"]
_ExceptionHook = Callable[[AbstractEventLoop, dict[str, Any]], object]

START_S: Final = 1_000.0
"""Where virtual time begins. Not zero: real clocks never show it, and some code takes it for unset."""
DAY_S: Final = 86_400.0
_INSTANT_MAX: Final = 10_000_000
"""Callbacks at one virtual instant before it is called a standstill."""
_SWEEP_EVERY: Final = 50_000
"""Callbacks between two sweeps of the garbage collector, which otherwise runs by memory's mood."""


class NothingCanHappen(RuntimeError):
    """Nothing is ready, nothing is scheduled, and somebody is still waiting: a deadlock."""


class TimeIsOver(RuntimeError):
    """The next thing to happen lies beyond the end of this virtual world."""


class TimeStandsStill(RuntimeError):
    """Callbacks keep making callbacks ready, and the clock never gets its turn."""


class LoopNetwork(Protocol):
    """What connects the programs of one loop; ``memory_network.Network`` is the one there is."""

    def attach(self, loop: VirtualLoop) -> None: ...
    def resolve(self, host: str) -> str: ...
    async def listen(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], hosts: list[str], port: int
    ) -> asyncio.AbstractServer: ...
    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None: ...
    def adopt(
        self, sock: socket.socket, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]: ...
    async def dial(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        address: tuple[str, int],
        local: tuple[str, int] | None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]: ...


class VirtualLoop(RefusedCalls):
    """One virtual world. ``run(main())`` lives it through and closes it."""

    def __init__(
        self,
        network: LoopNetwork | None = None,
        *,
        last_s: float = 30 * DAY_S,
        trace: EventTrace | None = None,
    ) -> None:
        self._now = START_S
        self._last = START_S + last_s
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._asked = 0
        self._dead_timers = 0
        self._ran = self._ran_at_jump = 0
        self._running = self._closed = self._stopping = self._debug = False
        self._tasks_made = 0
        self._tasks: dict[int, weakref.ref[Task[Any]]] = {}
        self._factory: _Factory | None = None
        self._exception_hook: _ExceptionHook | None = None
        self._generators: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}
        self._generators_begun = 0
        self._thread = threading.get_ident()
        self.unheard: list[str] = []
        """What was reported to the loop and to nobody else: lost exceptions, forgotten tasks."""
        self.trace = trace
        self.network = network
        if network is not None:
            network.attach(self)

    # -- time -----------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    @property
    def callbacks_run(self) -> int:
        """How many callbacks this world has run: its length, whatever the machine."""
        return self._ran

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """Run after everything that is ready now."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        ready = Handle(callback, args, self, context)
        self._ready.append(ready)
        return ready

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run when ``delay`` virtual seconds have passed."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> TimerHandle:
        """Run at an instant of ``time()``; one that is past runs now, after what is ready."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if math.isnan(when):
            raise ValueError("a timer at NaN would never be due and spoil the order of all others")
        timer = TimerHandle(when, callback, args, self, context)
        self._asked += 1
        heapq.heappush(self._timers, (when, self._asked, timer))
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001  # how a TimerHandle knows it must report its cancel
        return timer

    def _timer_handle_cancelled(self, _timer: TimerHandle) -> None:
        """Called by a cancelled timer; many of them are swept out together."""
        self._dead_timers += 1
        if self._dead_timers > 100 and self._dead_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._dead_timers = 0

    # -- running --------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run ``main`` to its end, end what it left behind in the order it began, close the loop.

        The garbage collector is swept by the count of callbacks meanwhile, because whatever it
        finalises belongs to the run.
        """
        collected = gc.isenabled()
        gc.disable()
        try:
            try:
                return self.run_until_complete(main)
            finally:
                try:
                    self._end_tasks()
                    self.run_until_complete(self.shutdown_asyncgens())
                finally:
                    self.close()
        finally:
            if collected:
                gc.enable()

    def _end_tasks(self) -> None:
        left = self.living_tasks()
        for task in left:
            task.cancel()
        if left:
            self.run_until_complete(asyncio.wait(left))
        for task in left:
            if not task.cancelled() and task.exception() is not None:
                self.call_exception_handler(
                    {
                        "message": "a task failed while the world ended",
                        "exception": task.exception(),
                        "task": task,
                    }
                )

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """Live until ``future`` is done."""
        self._refuse_twice()
        awaited = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]  # as in the contract
        awaited.add_done_callback(_stop_loop)
        try:
            self.run_forever()
        except BaseException:
            if awaited.done() and not awaited.cancelled():
                awaited.exception()  # whoever reads the loop's own error need not be told twice
            raise
        finally:
            awaited.remove_done_callback(_stop_loop)
        if not awaited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return awaited.result()

    def run_forever(self) -> None:
        """Live until ``stop()``; raises ``NothingCanHappen`` or ``TimeIsOver``."""
        self._refuse_twice()
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generator_began, finalizer=self._generator_lost)
        self._running = True
        asyncio._set_running_loop(self)  # noqa: SLF001  # meant for those who write loops
        try:
            while not self._stopping:
                if not self._ready:
                    self._jump()
                self._run_ready()
        finally:
            self._stopping = self._running = False
            asyncio._set_running_loop(None)  # noqa: SLF001
            sys.set_asyncgen_hooks(*hooks)

    def _run_ready(self) -> None:
        """Everything ready now, not what it makes ready: ``stop()`` must get its turn."""
        ready, trace, now = self._ready, self.trace, self._now
        count = len(ready)
        for _ in range(count):
            one = ready.popleft()
            if one._cancelled:  # noqa: SLF001  # `cancelled()` costs a call for each of millions
                continue
            if trace is not None:
                trace.note(now, name_of(one._callback))  # type: ignore[attr-defined]  # noqa: SLF001
            one._run()  # noqa: SLF001  # how every loop runs them, exceptions and context included
        before = self._ran
        self._ran = before + count
        if self._ran // _SWEEP_EVERY != before // _SWEEP_EVERY:
            gc.collect(1)
            if self._ran - self._ran_at_jump > _INSTANT_MAX:
                raise TimeStandsStill(
                    f"{_INSTANT_MAX} callbacks ran at one instant, {self._now - START_S:.6f} s after "
                    f"the start; something never waits. Among:\n{self._waiting()}"
                )

    def _jump(self) -> None:
        """Set the clock to the earliest timer and make ready all that are due then."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # noqa: SLF001
            heapq.heappop(timers)
            self._dead_timers -= 1
        if not timers:
            raise NothingCanHappen(
                "Nothing is ready and nothing is scheduled, so nothing can ever happen again.\n"
                f"  Virtual time: {self._now - START_S:.6f} s after the start. Still waiting:\n"
                f"{self._waiting()}"
            )
        when = timers[0][0]
        if when > self._last:
            raise TimeIsOver(
                f"The next thing would happen {when - START_S:.3f} s after the start, beyond this "
                f"world's {self._last - START_S:.0f} s.\n"
                "  Either it never ends, or give it more with last_s. Still waiting:\n"
                f"{self._waiting()}"
            )
        self._now = now = max(self._now, when)
        self._ran_at_jump = self._ran
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001
            if timer._cancelled:  # noqa: SLF001
                self._dead_timers -= 1
            else:
                self._ready.append(timer)

    def _waiting(self) -> str:
        lines = [f"  - {task.get_name()} {_place_of(task)}" for task in self.living_tasks()]
        return "\n".join(lines) or "  - no task"

    def _refuse_twice(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if self._running:
            raise RuntimeError("This event loop is already running")
        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def stop(self) -> None:
        """Stop once what is ready now has run."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether the world is being lived."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it is over for good."""
        return self._closed

    def close(self) -> None:
        """End it for good; whatever was still to happen never does."""
        if self._running:
            raise RuntimeError("Cannot close a running event loop")
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    # -- tasks and futures ----------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> Task[_T]:
        """A task; unnamed ones are numbered per loop, so that two runs give the same names."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        self._tasks_made = number = self._tasks_made + 1
        called = f"Task-{number}" if name is None else str(name)
        task: Task[_T]
        if self._factory is None:
            task = Task(coro, loop=self, name=called, context=context)
        else:
            task = self._factory(self, coro)  # type: ignore[assignment]  # asyncio's own contract
            task.set_name(called)
        tasks = self._tasks
        tasks[number] = weakref.ref(task, lambda _: tasks.pop(number, None))
        return task

    def living_tasks(self) -> list[Task[Any]]:
        """Tasks that are not done, in the order they were made."""
        found = [reference() for reference in list(self._tasks.values())]
        return [task for task in found if task is not None and not task.done()]

    def set_task_factory(self, factory: _Factory | None) -> None:
        """Make tasks by ``factory`` from now on."""
        self._factory = factory

    def get_task_factory(self) -> _Factory | None:
        """What makes tasks, if not the loop itself."""
        return self._factory

    def _generator_began(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators_begun = number = self._generators_begun + 1
        begun = self._generators
        begun[number] = weakref.ref(generator, lambda _: begun.pop(number, None))

    def _generator_lost(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.call_soon(self.create_task, generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators left open, in the order they began."""
        for reference in list(self._generators.values()):
            generator = reference()
            if generator is not None:
                await generator.aclose()
        self._generators.clear()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """There is none."""

    # -- errors ---------------------------------------------------------------------------

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what nobody awaits: to the hook if there is one, and always to ``unheard``."""
        error = context.get("exception")
        self.unheard.append(
            f"{context.get('message', 'an error')}: {error!r}"
            if error is not None
            else str(context.get("message", "an error"))
        )
        if self._exception_hook is not None:
            self._exception_hook(self, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As ``call_exception_handler`` without a hook."""
        self.unheard.append(str(context.get("message", "an error")))

    def set_exception_handler(self, handler: _ExceptionHook | None) -> None:
        """Tell ``handler`` as well."""
        self._exception_hook = handler

    def get_exception_handler(self) -> _ExceptionHook | None:
        """Who is told as well."""
        return self._exception_hook

    def get_debug(self) -> bool:
        """Whether asyncio's debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Turn asyncio's debug mode on or off."""
        self._debug = enabled

    # -- the network ----------------------------------------------------------------------

    def _wire(self) -> LoopNetwork:
        if self.network is None:
            raise NotInVirtualTime(
                "This virtual loop has no network: make it with VirtualLoop(Network(seed=…))."
            )
        return self.network

    async def getaddrinfo(  # type: ignore[override]  # host as bytes is not used by anybody here
        self,
        host: str | None,
        port: str | int | None,
        **_hints: int,
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """Look a name up among the network's own names; no resolver, no thread."""
        address = self._wire().resolve(host or "127.0.0.1")
        where = (address, int(port or 0))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]

    async def getnameinfo(  # type: ignore[override]  # an address is a pair here
        self, sockaddr: tuple[str, int], _flags: int = 0
    ) -> tuple[str, str]:
        """The address itself, as text."""
        return sockaddr[0], str(sockaddr[1])

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket object within the network; the operating system is not asked."""
        await self._wire().connect(sock, (str(address[0]), int(address[1])))

    async def create_connection(  # type: ignore[override]  # one signature for the contract's two
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        **_tuning: object,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A connection in memory: to an address, or over a socket that ``sock_connect`` connected."""
        if ssl:
            if sock is not None:
                sock.close()  # it came to be connected; nobody else will close it
            refuse("TLS", "serve and call http:// and ws:// in virtual time")
        wire = self._wire()
        if sock is not None:
            return wire.adopt(sock, protocol_factory)
        address = (wire.resolve(host or "127.0.0.1"), int(port or 0))
        return await wire.dial(protocol_factory, address, local_addr)

    async def create_server(  # type: ignore[override]  # one signature for the contract's two
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | list[str] | tuple[str, ...] | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: socket.socket | None = None,
        **_tuning: object,
    ) -> asyncio.AbstractServer:
        """Listen in memory. Port 0 or ``None`` is given the next free number."""
        if ssl:
            refuse("TLS", "serve and call http:// and ws:// in virtual time")
        if sock is not None:
            refuse("A bound socket", "give create_server a host and a port")
        wire = self._wire()
        hosts = [host] if isinstance(host, str) else list(host or [""])
        return await wire.listen(
            protocol_factory, [one and wire.resolve(one) for one in hosts], int(port or 0)
        )

    # -- what does not exist here -----------------------------------------------------------

    def run_in_executor(  # type: ignore[override]  # it never returns
        self, _executor: object, func: Callable[..., Any], *_args: Any
    ) -> NoReturn:
        """Refused: a thread ends when the machine pleases."""
        refuse(
            f"run_in_executor({name_of(func)})",
            "call it directly, or keep it out of the code that runs in virtual time",
        )

    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """``call_soon``; refused from any thread but the one that made the loop."""
        if threading.get_ident() != self._thread:
            refuse(f"A call of {name_of(callback)} from a thread", "keep to one thread")
        return self.call_soon(callback, *args, context=context)


def _stop_loop(future: asyncio.Future[Any]) -> None:
    future.get_loop().stop()


def _place_of(task: Task[Any]) -> str:
    """The line on which a task waits: the innermost of its chain of awaits, asyncio's own left out."""
    place = "is about to begin"
    waits: Any = task.get_coro()
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is not None and "/asyncio/" not in frame.f_code.co_filename.replace("\\", "/"):
            name = frame.f_code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
            place = f"waits in {frame.f_code.co_name} ({name}:{frame.f_lineno})"
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return place
