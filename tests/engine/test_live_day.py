"""The live loop alone: one inbox, time from a clock, and what it does while somebody is slow."""

import asyncio
from itertools import pairwise

import msgspec
from house_day import ACME, RELAXED, HouseDay, clock, frame, scripted, sessions, tick

from kitestring.domain.bars import Bar
from kitestring.domain.events import Gap, Note, SessionEnded
from kitestring.domain.instants import SECOND
from kitestring.domain.money import price
from kitestring.engine.live_day import UNREAD_AGAIN, LiveDay
from kitestring.engine.replay import replay
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.sim.virtual_world import live
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.tape import MemoryTape


class Slow:
    """A paper broker behind a line: its books take their time, and may fail."""

    def __init__(self, broker, takes_s=0.1, failing=""):
        self._broker, self.takes_s, self.failing, self.looks = broker, takes_s, failing, 0

    def __getattr__(self, name):
        return getattr(self._broker, name)

    def notes(self):
        return []

    async def refresh(self):
        self.looks += 1
        await asyncio.sleep(self.takes_s)
        return self.failing


class Ticking:
    """A tick a second from the open on, as it happens; silent between two times of day."""

    def __init__(self, now, silent=("23:59", "23:59"), late_s=0.0):
        self._clock, self._late_s = now, late_s
        self._silent = tuple(clock(each) for each in silent)

    async def live_frames(self):
        for second in range(20 * 60):
            at = clock("09:15") + second * SECOND
            await self._clock.wait_until(at + round(self._late_s * SECOND))
            if not self._silent[0] <= at < self._silent[1]:
                made = frame(tick(at, ACME, "500.00", bid="499.95", ask="500.05"))
                yield type(made)(self._clock.now(), made.ticks)


def lived(script="2 BUY stop=-5; 4 EXIT", *, slow=None, silent=("23:59", "23:59"), late_s=0.0,
          grace_ms=1500, hold=()):  # fmt: skip
    """The day lived through; the house, its loop and its broker."""
    timetable = sessions(close="09:25", square_off="09:23", cutoff="09:22")

    async def whole(network):
        del network
        house = HouseDay([scripted("one", ACME, script, lots=10)], [], instruments=(ACME,),
                         timetable=timetable, risk=RELAXED)  # fmt: skip
        house.settings = msgspec.structs.replace(house.settings, bar_grace_ms=grace_ms)
        house.core, house.journal = house.fresh_core(), MemoryJournal(run_key="test")
        house.tape = MemoryTape(keep_bytes=1 << 30)
        now = ExchangeClock(clock("09:14:50"))
        broker = Slow(house.broker, **(slow or {}))
        house.day = LiveDay(
            house.core, feed=Ticking(now, silent, late_s), broker=broker, journal=house.journal,
            tape=house.tape, clock=now, follower=_Silent(),
        )  # fmt: skip
        house.open()
        tasks = [asyncio.ensure_future(each(house.day, now)) for each in hold]
        await house.day.run()
        await asyncio.gather(*tasks)
        return house, broker

    return live(whole)


class _Silent:
    def committed(self, number, commit):
        pass

    def passing(self, at, frames):
        pass


def test_the_day_trades_by_the_clock_and_ends_by_itself():
    house, broker = lived()
    assert house.positions == {}
    assert len(house.said(SessionEnded)) == 1
    assert 8 <= broker.looks <= 16, "once a minute, and at the end"
    done = replay(house.fresh_core(), house.journal.commits(), house.tape.records())
    assert done.difference is None


def test_a_tick_that_is_late_by_less_than_the_grace_is_in_its_own_bar():
    inside, _ = lived(late_s=2.0)
    assert inside.core.market.views[ACME.id].late == 0
    outside, _ = lived(late_s=2.0, grace_ms=500)
    assert outside.core.market.views[ACME.id].late > 0
    assert len(inside.said(Bar)) == len(outside.said(Bar)), "bars close by time all the same"


def test_books_that_take_long_stop_nothing_and_are_read_one_at_a_time():
    house, broker = lived(slow={"takes_s": 90.0})
    assert house.positions == {}
    assert broker.looks <= 8


def test_books_that_cannot_be_read_are_said_and_tried_again():
    house, broker = lived(slow={"failing": "the line is down"})
    assert house.positions == {}
    assert broker.looks > 60
    said = [note.at for note in house.said(Note) if "not read: the line is down" in note.sentence]
    assert said, "it is said"
    gaps = [after - before for before, after in pairwise(said)]
    assert min(gaps) >= UNREAD_AGAIN, "and for the same reason not at every try"


def test_books_that_fail_for_another_reason_are_said_at_once():
    async def hold(day, now):
        for text, reason in (("09:17:02", "no route"), ("09:17:20", ""), ("09:17:30", "no route")):
            await now.wait_until(clock(text))
            day._live_broker.failing = reason
            day._next_look = 0
            day.wake()

    house, _ = lived(slow={"failing": "the line is down"}, hold=(hold,))
    said = [
        note.at
        for note in house.said(Note)
        if "not read: no route" in note.sentence and note.at < clock("09:18")
    ]
    assert len(said) == 2
    assert said[0] < clock("09:17:10"), "another reason"
    assert said[1] > clock("09:17:30"), "and again after they were read"


def test_silence_is_said_once_and_told_as_a_gap_when_ticks_return():
    house, _ = lived(silent=("09:18", "09:19"))
    said = [note for note in house.said(Note) if note.kind == "live: silence"]
    assert len(said) == 1
    (gap,) = house.said(Gap)
    assert gap.reason == "the feed was silent"
    assert (gap.start_at, gap.end_at) == (clock("09:17:59"), clock("09:19"))


def test_a_frame_that_waited_comes_before_the_timer_that_came_due_meanwhile():
    """The loop is held for five seconds over a minute's end: no tick of that minute is late."""

    async def hold(day, now):
        await now.wait_until(clock("09:16:58.500000"))
        # Everything up to 09:17:04 is put there at once, as after a pause of the machine.
        for second in range(59, 65):
            at = clock("09:16") + second * SECOND
            made = frame(tick(at, ACME, "500.10", bid="500.05", ask="500.15"))
            day.hear(type(made)(at, made.ticks))

    house, _ = lived(silent=("09:16:59", "09:17:05"), hold=(hold,))
    assert house.core.market.views[ACME.id].late == 0
    closed = [bar for bar in house.said(Bar) if bar.close_at == clock("09:17")]
    assert [bar.close for bar in closed] == [price("500.10")]
