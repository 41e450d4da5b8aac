"""The clock that jumps: order at equal instants, deadlocks told, the outside refused."""

import asyncio
import threading
import time

import pytest

from kitestring.sim.event_trace import EventTrace, first_difference
from kitestring.sim.refused_calls import NotInVirtualTime
from kitestring.sim.virtual_loop import (
    NothingCanHappen,
    TimeIsOver,
    TimeStandsStill,
    VirtualLoop,
)


def test_a_trading_day_of_sleeping_takes_no_time():
    async def day():
        began = asyncio.get_running_loop().time()
        for _ in range(375):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time() - began

    began = time.perf_counter()
    assert VirtualLoop().run(day()) == 375 * 60
    assert time.perf_counter() - began < 1


def test_timers_of_one_instant_run_in_the_order_they_were_asked_for():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        at = loop.time() + 5
        for name in "abcdefghijklmnopqrstuvwxyz":
            loop.call_at(at, seen.append, name)
        loop.call_at(at - 1, seen.append, "early")
        await asyncio.sleep(6)

    VirtualLoop().run(main())
    assert "".join(seen) == "earlyabcdefghijklmnopqrstuvwxyz"


def test_what_is_ready_runs_before_time_moves_and_in_order():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, seen.append, "later")
        loop.call_soon(lambda: (seen.append("first"), loop.call_soon(seen.append, "third")))
        loop.call_soon(seen.append, "second")
        await asyncio.sleep(1)

    VirtualLoop().run(main())
    assert seen == ["first", "second", "third", "later"]


def test_a_timer_in_the_past_runs_now_and_does_not_turn_the_clock_back():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(10)
        now = loop.time()
        told = loop.create_future()
        loop.call_at(now - 9, told.set_result, None)
        await told
        return loop.time() - now

    assert VirtualLoop().run(main()) == 0


def test_cancelled_timers_neither_run_nor_move_the_clock():
    async def main():
        loop = asyncio.get_running_loop()
        began, seen = loop.time(), []
        timers = [loop.call_later(1 + n, seen.append, n) for n in range(1000)]
        for timer in timers:
            timer.cancel()
        await asyncio.sleep(0.5)
        return seen, loop.time() - began, len(loop._timers)

    seen, passed, left = VirtualLoop().run(main())
    assert (seen, passed) == ([], 0.5)
    assert left < 200  # they do not pile up either


def test_a_timeout_of_two_minutes():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(120):
                await asyncio.sleep(3600)
        return loop.time() - began

    assert VirtualLoop().run(main()) == 120


def test_a_deadlock_names_who_waits_and_where():
    async def wait_for_the_exchange():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingCanHappen) as caught:
        VirtualLoop().run(wait_for_the_exchange())
    assert "Task-1 waits in wait_for_the_exchange (test_virtual_loop.py:" in str(caught.value)


def test_a_world_that_never_ends_is_stopped():
    async def for_ever():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1)

    loop = VirtualLoop(last_s=3600)
    with pytest.raises(TimeIsOver, match=r"beyond this world's 3600 s"):
        loop.run(for_ever())


def test_a_world_in_which_time_never_passes_is_stopped(monkeypatch):
    monkeypatch.setattr("kitestring.sim.virtual_loop._INSTANT_MAX", 100_000)

    async def restless():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(TimeStandsStill, match="Task-1 waits in restless"):
        VirtualLoop().run(restless())


@pytest.mark.parametrize(
    "ask",
    [
        lambda loop: loop.run_in_executor(None, time.sleep, 1),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.add_signal_handler(2, print),
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol).send(None),
        lambda loop: loop.subprocess_shell(asyncio.SubprocessProtocol, "true").send(None),
    ],
)
def test_what_would_bring_the_machine_in_is_refused_with_the_reason(ask):
    async def main():
        with pytest.raises(NotInVirtualTime, match="has no place in virtual time"):
            ask(asyncio.get_running_loop())

    VirtualLoop().run(main())


def test_another_thread_may_not_call_in():
    async def main():
        loop, caught = asyncio.get_running_loop(), []

        def intrude():
            try:
                loop.call_soon_threadsafe(print)
            except NotInVirtualTime as error:
                caught.append(str(error))

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        return caught

    assert "keep to one thread" in VirtualLoop().run(main())[0]


def test_what_is_left_behind_is_ended_in_the_order_it_began():
    ended = []

    async def lingerer(name):
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(name)

    async def main():
        kept.extend(asyncio.create_task(lingerer(name)) for name in "cabfed")
        await asyncio.sleep(0)

    kept = []
    VirtualLoop().run(main())
    assert ended == list("cabfed")


def test_an_error_nobody_awaits_is_heard():
    async def fail():
        raise ValueError("lost")

    async def main():
        asyncio.create_task(fail())  # noqa: RUF006
        await asyncio.sleep(1)

    loop = VirtualLoop()
    loop.run(main())
    assert len(loop.unheard) == 1
    assert "lost" in loop.unheard[0]


def test_an_exception_in_a_callback_does_not_stop_the_world():
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        return "alive"

    loop = VirtualLoop()
    assert loop.run(main()) == "alive"
    assert "ZeroDivisionError" in loop.unheard[0]


def test_async_generators_are_closed_at_the_end():
    closed = []

    async def ticks():
        try:
            while True:
                yield 1
        finally:
            closed.append("ticks")

    async def main():
        kept.append(ticks())
        await anext(kept[0])

    kept = []
    VirtualLoop().run(main())
    assert closed == ["ticks"]


def test_runs_under_the_runner_of_the_standard_library():
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(asyncio.sleep(86_400, "tomorrow")) == "tomorrow"


def test_two_traces_are_compared_line_by_line():
    one, other = EventTrace(), EventTrace()
    for trace in (one, other):
        trace.note(1.0, "open")
    assert first_difference(one, other) is None
    one.note(2.0, "fill 25")
    other.note(2.0, "fill 50")
    assert first_difference(one, other) == (
        "line 2: '2.000000000 fill 25' in one run, '2.000000000 fill 50' in the other"
    )
