"""The exchange's clock, on a loop whose time jumps: speeds, pauses, leaps, and who waits for what."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticker_day import OPEN_AT, in_virtual_time

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.exchange.wire.exchange_clock import ExchangeClock, speed_of


@pytest.mark.parametrize(("speed", "moved"), [(1.0, 2), (60.0, 120), (0.5, 1)])
def test_time_passes_at_the_speed_asked_for(speed, moved):
    async def main():
        clock = ExchangeClock(OPEN_AT, speed)
        assert clock.now() == OPEN_AT
        await asyncio.sleep(2)
        return clock.now() - OPEN_AT

    assert in_virtual_time(main()) == moved * SECOND


def test_time_does_not_run_before_anybody_asks_inside_a_loop():
    clock = ExchangeClock(OPEN_AT)
    assert clock.now() == OPEN_AT

    async def main():
        await asyncio.sleep(500)
        return clock.now()

    assert in_virtual_time(main()) == OPEN_AT


def test_waiting_takes_the_real_seconds_that_the_speed_makes_of_it():
    async def main():
        clock, loop = ExchangeClock(OPEN_AT, 60.0), asyncio.get_running_loop()
        clock.now()
        before = loop.time()
        await clock.wait_until(OPEN_AT + 5 * MINUTE)
        return loop.time() - before, clock.now()

    took, now = in_virtual_time(main())
    assert took == pytest.approx(5, abs=1e-3)
    assert OPEN_AT + 5 * MINUTE <= now < OPEN_AT + 5 * MINUTE + SECOND


def test_a_pause_stops_time_and_a_resume_takes_it_up_where_it_stood():
    async def main():
        clock = ExchangeClock(OPEN_AT)
        clock.now()
        await asyncio.sleep(3)
        clock.pause()
        await asyncio.sleep(100)
        stood = clock.now()
        clock.resume()
        await asyncio.sleep(2)
        return stood - OPEN_AT, clock.now() - OPEN_AT

    assert in_virtual_time(main()) == (3 * SECOND, 5 * SECOND)


def test_another_speed_counts_from_where_time_is():
    async def main():
        clock = ExchangeClock(OPEN_AT)
        clock.now()
        await asyncio.sleep(10)
        clock.set_speed(60.0)
        await asyncio.sleep(1)
        return clock.now() - OPEN_AT

    assert in_virtual_time(main()) == 70 * SECOND


def test_a_leap_wakes_whoever_waits_for_a_moment_on_the_way():
    async def main():
        clock = ExchangeClock(OPEN_AT)
        waiting = asyncio.create_task(clock.wait_until(OPEN_AT + 30 * MINUTE))
        await asyncio.sleep(1)
        assert not waiting.done()
        clock.jump(OPEN_AT + 60 * MINUTE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return waiting.done(), clock.now()

    assert in_virtual_time(main()) == (True, OPEN_AT + 60 * MINUTE)


def test_steps_move_a_paused_clock_and_leave_it_paused():
    async def main():
        clock = ExchangeClock(OPEN_AT)
        clock.pause()
        clock.step(90 * SECOND)
        await asyncio.sleep(50)
        return clock.now() - OPEN_AT, clock.paused

    assert in_virtual_time(main()) == (90 * SECOND, True)


def test_time_does_not_go_back():
    clock = ExchangeClock(OPEN_AT)
    with pytest.raises(ConfigError, match="09:15:00 at the exchange and cannot become 09:14:59"):
        clock.jump(OPEN_AT - SECOND)


def test_time_stands_at_the_next_event_until_that_has_been_shown():
    async def main():
        clock = ExchangeClock(OPEN_AT)
        clock.hold(OPEN_AT + 2 * SECOND)
        clock.now()
        await asyncio.sleep(10)
        held = clock.now() - OPEN_AT
        waiting = asyncio.create_task(clock.wait_until(OPEN_AT + 5 * SECOND))
        await asyncio.sleep(1)
        early = waiting.done()
        clock.hold(OPEN_AT + 6 * SECOND)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return held, early, waiting.done(), clock.now() - OPEN_AT

    assert in_virtual_time(main()) == (2 * SECOND, False, True, 6 * SECOND)


@pytest.mark.parametrize("speed", ["max", "step"])
def test_events_make_the_time_where_there_is_no_pace(speed):
    async def main():
        clock, loop = ExchangeClock(OPEN_AT, speed), asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(5)
        stood = clock.now()
        assert await clock.reach(OPEN_AT + 40 * SECOND)
        return stood - OPEN_AT, clock.now() - OPEN_AT, loop.time() - before

    assert in_virtual_time(main()) == (0, 40 * SECOND, 5)


def test_a_paused_day_at_full_speed_waits_too():
    async def main():
        clock = ExchangeClock(OPEN_AT, "max")
        clock.pause()
        reached = asyncio.create_task(clock.reach(OPEN_AT + SECOND))
        await asyncio.sleep(9)
        assert not reached.done()
        clock.resume()
        await reached
        return await clock.reach(OPEN_AT + SECOND)

    assert in_virtual_time(main()) is True


@given(st.lists(st.tuples(st.sampled_from("prsjw"), st.floats(0.001, 500)), max_size=30))
def test_whatever_is_done_to_it_time_never_goes_back(orders):
    async def main():
        clock = ExchangeClock(OPEN_AT)
        seen = [clock.now()]
        for order, size in orders:
            match order:
                case "p":
                    clock.pause()
                case "r":
                    clock.resume()
                case "s":
                    clock.set_speed(size)
                case "j":
                    clock.step(round(size * SECOND))
                case _:
                    await asyncio.sleep(size)
            seen.append(clock.now())
        return seen

    seen = in_virtual_time(main())
    assert seen == sorted(seen)


def test_speeds_as_they_are_typed():
    assert [speed_of(word) for word in ("1", "60", "0.5", "max", "step")] == [
        1.0, 60.0, 0.5, "max", "step",
    ]  # fmt: skip
    for word in ("0", "-1", "fast", "", "inf", "nan"):
        with pytest.raises(ConfigError, match="is no speed"):
            speed_of(word)
