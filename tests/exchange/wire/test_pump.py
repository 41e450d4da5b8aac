"""The pump of the day: what is shown in which order, at what time, and when it waits."""

import asyncio
import contextlib

import pytest
from ticker_day import (
    INFY,
    OPEN_AT,
    TCS,
    Book,
    SmallExchange,
    Tape,
    frame,
    in_virtual_time,
    tick,
    until,
)

from kitestring.domain.bars import BarFrame
from kitestring.domain.errors import FeedError
from kitestring.domain.instants import NEVER, SECOND
from kitestring.domain.money import price
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.pump import Pump


class Ear:
    """Writes down what it is told, with what the board showed and what time it was then."""

    def __init__(self, exchange, clock):
        self.exchange, self.clock, self.told = exchange, clock, []

    async def announce(self, happening):
        ids = [self.exchange.board.instruments[row].symbol for row in happening.rows]
        orders = [update.row["order_id"] for update in happening.updates]
        self.last_shown = self.exchange.board.last_px(INFY.id)
        self.told.append((happening.number, happening.at - OPEN_AT, ids, orders))

    async def taken(self):
        pass


def pump_of(exchange, clock, **options):
    ear = Ear(exchange, clock)
    made = Pump(exchange.market, exchange, exchange.board, exchange.desk, clock, **options)
    made.listeners.append(ear)
    return made, ear


@contextlib.asynccontextmanager
async def running(pump):
    task = asyncio.create_task(pump.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


THREE = (
    frame(0, tick(INFY, 0, 1400, 5)),
    frame(1, tick(INFY, 1, 1401, 6), tick(TCS, 1, 3080, 1)),
    frame(4, tick(TCS, 4, 3081, 2)),
)


def test_frames_and_orders_come_in_the_order_of_their_times():
    async def main():
        desk = Book((OPEN_AT + 2 * SECOND, "A"), (OPEN_AT + 1_050_000, "B"), (OPEN_AT + 5 * SECOND, "C"))  # fmt: skip
        exchange = SmallExchange(Tape(*THREE), desk)
        clock = ExchangeClock(OPEN_AT - SECOND)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await asyncio.sleep(10)
        return ear.told, exchange.observed

    told, observed = in_virtual_time(main())
    assert told == [
        (1, 50_000, ["INFY"], []),
        (2, 1_050_000, ["INFY", "TCS"], ["B"]),
        (3, 2_000_000, [], ["A"]),
        (4, 4_050_000, ["TCS"], []),
        (5, 5_000_000, [], ["C"]),
    ]
    assert observed == [
        (1, OPEN_AT + 50_000), (2, OPEN_AT + 1_050_000), (3, OPEN_AT + 4_050_000),
    ]  # fmt: skip


def test_floor_then_board_then_desk_then_sockets():
    order = []

    class Witness(SmallExchange):
        def observe(self, position, frame):
            order.append(("floor", self.board.last_px(INFY.id)))

    class Desk(Book):
        def advance(self, now):
            order.append(("desk", exchange.board.last_px(INFY.id)))
            return []

    exchange = Witness(Tape(THREE[0]), Desk())

    async def main():
        pump, ear = pump_of(exchange, ExchangeClock(OPEN_AT, "max"))

        async def hear(_):
            order.append(("socket", exchange.board.last_px(INFY.id)))

        ear.announce = hear
        async with running(pump):
            await asyncio.sleep(1)

    in_virtual_time(main())
    assert order == [
        ("floor", price("1389.65")), ("desk", price(1400)), ("socket", price(1400)),
    ]  # fmt: skip


def test_after_the_last_frame_prices_stand_and_orders_go_on():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT)
        pump, ear = pump_of(exchange, clock)
        async with running(pump) as task:
            await asyncio.sleep(3_600)
            assert pump.ended
            assert not task.done()
            exchange.desk.due.append((clock.now() + SECOND, "late"))
            pump.stir()
            await asyncio.sleep(2)
        return ear.told[-1], exchange.board.last_px(TCS.id)

    (number, at, rows, orders), px = in_virtual_time(main())
    assert (number, at, rows, orders) == (4, 3_601 * SECOND, [], ["late"])
    assert px == price(3081)


def test_an_order_placed_now_is_heard_before_the_next_frame():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await asyncio.sleep(2)
            exchange.desk.due.append((clock.now() + 120_000, "placed"))
            pump.stir()
            await asyncio.sleep(1)
        return ear.told[-1]

    assert in_virtual_time(main()) == (3, 2_120_000, [], ["placed"])


def test_a_day_at_full_speed_takes_no_time_and_keeps_its_own():
    async def main():
        many = [frame(n, tick(INFY, n, 1400 + n % 9, n + 1)) for n in range(5_000)]
        exchange = SmallExchange(Tape(*many), Book((OPEN_AT + 60 * SECOND + 1, "A")))
        clock = ExchangeClock(OPEN_AT, "max")
        pump, ear = pump_of(exchange, clock)
        before = asyncio.get_running_loop().time()
        async with running(pump):
            await until(lambda: pump.ended)
        return asyncio.get_running_loop().time() - before, ear.told, clock.now()

    took, told, now = in_virtual_time(main())
    assert took < 0.1
    assert len(told) == 5_001
    assert [entry for entry in told if entry[3]] == [(61, 60 * SECOND + 1, [], ["A"])]
    assert now == OPEN_AT + 4_999 * SECOND + 50_000


def test_nothing_moves_while_the_day_is_paused():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await asyncio.sleep(0.5)
            clock.pause()
            await asyncio.sleep(100)
            heard = len(ear.told)
            clock.step(2 * SECOND)
            await asyncio.sleep(1)
        return heard, len(ear.told)

    assert in_virtual_time(main()) == (1, 2)


def test_after_a_leap_everything_on_the_way_happens_and_is_told_together():
    async def main():
        many = [frame(n, tick(INFY, n, 1400 + n % 9, n + 1)) for n in range(2_000)]
        many.append(frame(2_600, tick(TCS, 2_600, 3090, 9)))
        exchange = SmallExchange(Tape(*many), Book((OPEN_AT + 700 * SECOND, "A")))
        clock = ExchangeClock(OPEN_AT - SECOND)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await asyncio.sleep(0.1)
            clock.jump(OPEN_AT + 2_500 * SECOND)
            await asyncio.sleep(0.1)
        assert ear.last_shown == exchange.board.last_px(INFY.id)
        return ear.told, exchange.observed

    told, observed = in_virtual_time(main())
    assert len(observed) == 2_000  # the floor has seen every frame,
    assert len(told) < 20  # the sockets have been told of few,
    assert [rows for _, _, rows, _ in told][-1] == ["INFY"]  # and of the last prices at last,
    assert [(at, rows) for _, at, rows, orders in told if orders] == [(700 * SECOND, ["INFY"])]


def test_time_does_not_pass_a_frame_that_has_not_been_shown():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT)
        pump, _ = pump_of(exchange, clock)
        clock.now()
        await asyncio.sleep(30)  # nobody drives the day yet
        held = clock.now()
        async with running(pump):
            await asyncio.sleep(1)
        return held - OPEN_AT, clock.now() - OPEN_AT

    assert in_virtual_time(main()) == (50_000, 31 * SECOND)


def test_a_price_moved_by_the_admin_is_a_frame_like_any_other():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await asyncio.sleep(2)
            pump.insert([tick(INFY, 2, 1500, 7)])
            await asyncio.sleep(1)
            moved = exchange.board.last_px(INFY.id)
            await asyncio.sleep(3)
        return moved, exchange.observed, ear.told[2]

    moved, observed, told = in_virtual_time(main())
    assert moved == price(1500)
    assert [position for position, _ in observed] == [1, 2, 3, 4]
    assert told == (3, 2 * SECOND, ["INFY"], [])


def test_a_price_moved_at_the_very_moment_of_a_frame_is_shown_and_so_is_the_frame():
    async def main():
        exchange = SmallExchange(Tape(*THREE))
        clock = ExchangeClock(OPEN_AT - SECOND)
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await clock.wait_until(OPEN_AT + SECOND // 2)
            # The time of the second frame comes while the loop is busy with something else.
            asyncio.get_running_loop().here += 0.6
            pump.insert((tick(TCS, 1, 3079, 1),))
            await asyncio.sleep(10)
        return ear.told, exchange.observed

    told, observed = in_virtual_time(main())
    assert [ids for _, _, ids, _ in told] == [["INFY"], ["TCS"], ["INFY", "TCS"], ["TCS"]]
    assert len(observed) == 4
    assert sorted(at for _, at, _, _ in told) == [at for _, at, _, _ in told]


def test_a_desk_that_waits_for_the_market_does_not_keep_the_day_from_going_on():
    class Waiting(Book):
        next_due_at = OPEN_AT + SECOND

    async def main():
        exchange = SmallExchange(Tape(*THREE), Waiting())
        pump, ear = pump_of(exchange, ExchangeClock(OPEN_AT, "max"))
        async with running(pump):
            await asyncio.sleep(1)
        return len(ear.told), len(exchange.desk.asked)

    told, asked = in_virtual_time(main())
    assert told == 3
    assert asked < 10


def test_bars_are_no_market_for_an_exchange():
    exchange = SmallExchange(Tape(BarFrame(OPEN_AT, ())))
    with pytest.raises(FeedError, match="shows ticks"):
        pump_of(exchange, ExchangeClock(OPEN_AT))


# ── step by step ─────────────────────────────────────────────────────────────────────────────────


def stepped(script):
    """Run a script against a stepped day of three frames and an order due between the last two."""

    async def main():
        exchange = SmallExchange(Tape(*THREE), Book((OPEN_AT + 2 * SECOND, "A")))
        clock = ExchangeClock(OPEN_AT, "step")
        pump, ear = pump_of(exchange, clock)
        async with running(pump):
            await script(pump, ear, clock)

    in_virtual_time(main())


def test_an_event_waits_for_the_acknowledgement_of_the_one_before():
    async def script(pump, ear, clock):
        await asyncio.sleep(60)
        assert ear.told == []  # nobody has begun
        for event in range(5):
            assert pump.gate.acknowledge("client", event) is None
            await asyncio.sleep(60)
            assert len(ear.told) == min(event + 1, 4)
        assert [at for _, at, _, _ in ear.told] == [50_000, 1_050_000, 2_000_000, 4_050_000]
        assert clock.now() == OPEN_AT + 4_050_000

    stepped(script)


def test_time_also_stops_where_a_client_wants_to_be_woken():
    async def script(pump, ear, clock):
        wakes = {0: OPEN_AT + 1_500_000, 2: OPEN_AT + 1_500_000, 3: OPEN_AT + 9_000_000}
        for event in range(7):
            pump.gate.acknowledge("client", event, wakes.get(event, NEVER))
            await asyncio.sleep(60)
        # Asked again at 2: the frame of 1.05 s came in between, and wakes are named anew each time.
        assert [at for _, at, _, _ in ear.told] == [
            50_000,
            1_050_000,
            1_500_000,
            2_000_000,
            4_050_000,
        ]
        pump.gate.acknowledge("client", 5, OPEN_AT + 9_000_000)
        await asyncio.sleep(60)
        assert clock.now() == OPEN_AT + 9_000_000  # after the last frame, too

    stepped(script)


def test_an_event_waits_for_calls_under_way():
    async def script(pump, ear, clock):
        pump.gate.call_began()
        pump.gate.acknowledge("client", 0)
        await asyncio.sleep(60)
        assert ear.told == []
        pump.gate.call_ended()
        await asyncio.sleep(1)
        assert len(ear.told) == 1

    stepped(script)


def test_everyone_who_acknowledges_is_waited_for_until_they_leave():
    async def script(pump, ear, clock):
        pump.gate.acknowledge("slow", 0)
        await asyncio.sleep(1)
        pump.gate.acknowledge("quick", 1)
        await asyncio.sleep(60)
        assert len(ear.told) == 1
        pump.gate.leave("slow")
        await asyncio.sleep(1)
        assert len(ear.told) == 2
        pump.gate.leave("quick")
        await asyncio.sleep(60)
        assert len(ear.told) == 2  # nobody is left to see a third

    stepped(script)


def test_an_event_that_has_not_happened_cannot_be_acknowledged():
    async def script(pump, ear, clock):
        assert "has not happened" in pump.gate.acknowledge("client", 1)
        await asyncio.sleep(60)
        assert ear.told == []

    stepped(script)
