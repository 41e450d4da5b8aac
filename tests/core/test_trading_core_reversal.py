"""A position that turns round, and everything that may want to close it at the same time."""

from __future__ import annotations

from itertools import pairwise

from house_day import ACME, HouseDay, clock, frame, scripted, sessions, tick
from unruly_broker import UnrulyBroker

from kitestring.domain.orders import Purpose
from kitestring.domain.verdicts import Blocked, CancelOrder, PlaceOrder

EARLY = sessions(close="10:30", square_off="09:35", cutoff="09:30")


def ticks(*rows):
    """Every two seconds from ``at`` until the next row, ACME at that price."""
    frames = []
    for (at, px), (until, _) in zip(rows, [*rows[1:], ("09:22:00", "")], strict=True):
        frames += [
            frame(tick(when, ACME, px)) for when in range(clock(at), clock(until), 2_000_000)
        ]
    return frames


class SlowToReverse(UnrulyBroker):
    """Takes four seconds to fill an entry that closes something first."""

    def _tell(self, order, exec_type, *, qty=0, px=0, text=""):
        wait = self.closes.get(order.tag, 0)
        self._wild = self._wild._replace(delay_ms=wait or 1)
        self._now += wait * 1000
        super()._tell(order, exec_type, qty=qty, px=px, text=text)
        self._now -= wait * 1000

    def carry_out(self, command, at):
        if isinstance(command, PlaceOrder) and command.intent.closes_qty:
            self.closes[command.cl_ord_id] = 4000
        super().carry_out(command, at)

    closes: dict


def sent(day):
    return [
        (each.intent.purpose, each.intent.side.value, each.intent.order_qty)
        for each in day.said(PlaceOrder)
    ]


def test_a_target_hit_while_the_reversal_works_does_not_close_the_position_twice():
    broker = SlowToReverse({ACME.id: 1})
    broker.closes = {}
    day = HouseDay(
        [scripted("one", ACME, "2 BUY target=510; 3 SELL; 5 EXIT", lots=10)],
        ticks(("09:15:01", "500.00"), ("09:18:01", "511.00"), ("09:18:31", "505.00")),
        instruments=(ACME,),
        timetable=EARLY,
        broker=broker,
    ).run()
    assert sent(day) == [
        (Purpose.ENTRY, "BUY", 10),
        (Purpose.ENTRY, "SELL", 20),
        (Purpose.EXIT, "BUY", 10),
    ]
    assert [fill.net_after for fill in broker.ledger] == [10, -10, 0]
    assert day.positions == {}


class RefusesReversals(UnrulyBroker):
    def _place(self, command):
        self._wild = self._wild._replace(refuses=100 if command.intent.closes_qty else 0)
        super()._place(command)


def test_a_reversal_that_the_broker_refuses_still_leaves_the_old_side():
    broker = RefusesReversals({ACME.id: 1})
    day = HouseDay(
        [scripted("one", ACME, "2 BUY; 3 SELL", lots=10)],
        ticks(("09:15:01", "500.00")),
        instruments=(ACME,),
        timetable=EARLY,
        broker=broker,
    ).run()
    assert sent(day) == [
        (Purpose.ENTRY, "BUY", 10),
        (Purpose.ENTRY, "SELL", 20),
        (Purpose.EXIT, "SELL", 10),
    ]
    assert [fill.net_after for fill in broker.ledger] == [10, 0]


def test_while_one_book_turns_round_no_other_may_enter_the_instrument():
    broker = SlowToReverse({ACME.id: 1})
    broker.closes = {}
    day = HouseDay(
        [
            scripted("one", ACME, "2 BUY; 3 SELL", lots=10),
            scripted("two", ACME, "3 BUY", lots=10),
        ],
        ticks(("09:15:01", "500.00")),
        instruments=(ACME,),
        timetable=EARLY,
        broker=broker,
    ).run()
    assert [(each.strategy, each.code) for each in day.said(Blocked)] == [("two", "BOOK_CONFLICT")]


class FillsHalf(UnrulyBroker):
    """Fills half of every entry at once; its rest waits."""

    def _match(self, order):
        if order.purpose is not Purpose.ENTRY:
            super()._match(order)
        elif order.trades == 0:
            self._fill(order, order.qty // 2, self._last[order.instrument])


def test_the_rest_of_an_entry_is_withdrawn_with_the_position_it_opened():
    broker = FillsHalf({ACME.id: 1})
    day = HouseDay(
        [scripted("one", ACME, "2 BUY stop=-5", lots=10)],
        ticks(("09:15:01", "500.00"), ("09:18:01", "494.80")),
        instruments=(ACME,),
        timetable=EARLY,
        broker=broker,
    ).run()
    assert [(fill.purpose, fill.net_after) for fill in broker.ledger] == [
        (Purpose.ENTRY, 5),
        (Purpose.STOP, 0),
    ]
    assert len(day.said(CancelOrder)) == 1
    assert day.working == []


class NeverWithdraws(UnrulyBroker):
    def _cancel(self, command):
        order = self.orders[command.cl_ord_id]
        self._wild = self._wild._replace(refuses_cancels=100)
        super()._cancel(command)
        assert order.live


def test_a_broker_that_will_not_withdraw_a_stop_is_asked_ever_more_slowly():
    broker = NeverWithdraws({ACME.id: 1})
    day = HouseDay(
        [scripted("one", ACME, "2 BUY stop=-5; 3 EXIT", lots=10)],
        ticks(("09:15:01", "500.00")),
        instruments=(ACME,),
        timetable=EARLY,
        broker=broker,
    )
    day.open()
    for each in day.feed.frames():
        day.day.take_frame(each)
    asked = [each.at for each in day.said(CancelOrder)]
    gaps = [(later - earlier) // 1_000_000 for earlier, later in pairwise(asked)]
    assert gaps == [0, 1, 3, 7, 15, 31, 60, 60, 60]
    assert len(broker.orders) == 2
