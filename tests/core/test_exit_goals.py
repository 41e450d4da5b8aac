"""An exit that does not get out: priced anew from a fresh quote, wider and wider, then said aloud."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from banded_broker import OUTSIDE, BandedBroker
from house_day import ACME, NIFTY, HouseDay, clock, frame, scripted, sessions, tick

from kitestring.core.exit_goal import ExitGoals
from kitestring.core.instrument_view import InstrumentView
from kitestring.domain.events import Note
from kitestring.domain.instants import MINUTE, SECOND, instant, ist_clock
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Price, price, show_rupees
from kitestring.domain.orders import ExecType, ExitReason, OrdType, Purpose, Side
from kitestring.domain.sessions import PhaseKind
from kitestring.domain.verdicts import ModifyOrder, PlaceOrder
from kitestring.market.sessions import sessions_for

LONG_DAY = sessions(close="10:30", square_off="09:35", cutoff="09:30")
LOTS = {ACME.id: 1, NIFTY.id: 65}


def quotes(px="500.00", *, until="09:20:00", of=ACME, silent=(), every=SECOND):
    """A tick a second from 09:15:01 on, but none in ``silent`` (from, to)."""
    quiet = [(clock(begins), clock(ends)) for begins, ends in silent]
    return [
        frame(tick(at, of, px))
        for at in range(clock("09:15:01"), clock(until), every)
        if not any(begins <= at < ends for begins, ends in quiet)
    ]


def a_day(script, frames, *, of=ACME, droughts=(), lots=10, broker=BandedBroker, **more):
    spans = [(clock(begins), clock(ends)) for begins, ends in droughts]
    venue = broker(LOTS, droughts=spans, **more)
    return HouseDay(
        [scripted("one", of, script, lots=lots)],
        frames,
        instruments=(of,),
        timetable=LONG_DAY,
        broker=venue,
    ).run()


def priced(day):
    """When each exit was priced anew, and at what."""
    return [
        (ist_clock(each.at), show_rupees(each.price) if each.price else each.market_protection_bp)
        for each in day.said(ModifyOrder)
        if each.stop_px is None
    ]


def notes(day, kind):
    return [(ist_clock(each.at), each.sentence) for each in day.said(Note) if each.kind == kind]


def test_the_remainder_is_priced_anew_every_two_seconds_a_step_further_each_time():
    day = a_day("2 BUY; 3 EXIT", quotes(), droughts=[("09:18", "09:18:09")])
    assert priced(day) == [
        ("09:18:02", "₹495.00"),
        ("09:18:04", "₹490.00"),
        ("09:18:06", "₹485.00"),
        ("09:18:08", "₹475.00"),
    ]
    assert (day.positions, notes(day, "exit stuck")) == ({}, [])
    assert len([each for each in day.said(PlaceOrder) if each.intent.purpose is Purpose.EXIT]) == 1


def test_a_future_is_never_priced_outside_the_exchanges_price_protection():
    """NSE takes limits within 2 % of an index future's price."""
    day = a_day(
        "2 BUY; 3 EXIT",
        quotes("22000.00", of=NIFTY),
        of=NIFTY,
        lots=1,
        band_bp=200,
        droughts=[("09:18", "09:18:09")],
    )
    assert [what for _, what in priced(day)] == ["₹21,780.00", "₹21,560.00"] + ["₹21,560.00"] * 2
    assert day.positions == {}


def test_without_a_fresh_quote_the_market_is_asked_again_under_wider_protection():
    """The last tick is of 09:17:55: at 09:18:02 its price is seven seconds old and prices nothing."""
    day = a_day(
        "2 BUY; 3 EXIT",
        quotes(silent=[("09:17:56", "09:18:07")]),
        droughts=[("09:18", "09:18:09")],
    )
    assert priced(day) == [
        ("09:18:02", None),
        ("09:18:04", 200),
        ("09:18:06", 300),
        ("09:18:08", "₹475.00"),
    ]
    assert day.positions == {}


class MovedBand(BandedBroker):
    """From 09:18 on the exchange takes nothing further than 0.2 % from the last price."""

    def _outside(self, instrument, price):
        self.band_bp = 20 if self._now >= clock("09:18") else 1_000
        return super()._outside(instrument, price)


def test_a_refused_price_is_followed_by_a_nearer_one():
    day = a_day("2 BUY; 3 EXIT", quotes(), droughts=[("09:18", "09:18:05")], broker=MovedBand)
    assert [what for _, what in priced(day)][:2] == ["₹495.00", "₹500.00"]
    assert day.positions == {}


def test_an_exit_that_does_not_get_out_is_handed_to_a_person_and_still_tried():
    day = a_day(
        "2 BUY; 3 EXIT",
        quotes(until="09:24:00"),
        droughts=[("09:18", "09:21:30")],
    )
    said = notes(day, "exit stuck")
    assert [at for at, _ in said] == ["09:18:20", "09:19:20", "09:20:20", "09:21:20"]
    assert said[0][1] == (
        "one is still long 10 NSE:ACME (signal): 10 tries brought no fill, the goal is flat by "
        "09:19:00. exit B000002 (SELL 10 at ₹450.00) rests unfilled. The house goes on trying "
        "every 15 s. Look at NSE:ACME in Kite; to get out by hand, cancel that order there first, "
        "then close 10 there: the house books what it finds."
    )
    fast, slow = priced(day)[:10], priced(day)[10:]
    assert [at for at, _ in fast] == [f"09:18:{second:02}" for second in range(2, 22, 2)]
    seconds = [(clock(at) - clock("09:18:20")) // SECOND for at, _ in slow]
    # After twenty changes of one order it is withdrawn and a new one sent, Kite's most being 25.
    assert seconds == [*range(15, 151, 15), 180]
    exits = [each for each in day.said(PlaceOrder) if each.intent.purpose is Purpose.EXIT]
    assert [each.intent.market_protection_bp for each in exits] == [None, 1_000]
    assert day.positions == {}, "the drought ended, and the house was still there"


class Deaf(BandedBroker):
    """Never answers what became of an exit."""

    def _tell(self, order, exec_type, *, qty=0, px=0, text=""):
        if order.purpose is Purpose.EXIT and order.tag not in self.told:
            self.told.add(order.tag)
            super()._tell(order, ExecType.UNKNOWN)
            return
        if order.purpose is not Purpose.EXIT:
            super()._tell(order, exec_type, qty=qty, px=px, text=text)

    told: set = set()  # noqa: RUF012 - one broker, one test


def test_an_exit_without_an_answer_is_said_at_its_deadline_and_never_doubled():
    day = a_day(
        "2 BUY; 3 EXIT", quotes(until="09:22:00"), droughts=[("09:18", "11:00")], broker=Deaf
    )
    said = notes(day, "exit stuck")
    assert said[0][0] == "09:19:00"
    assert "was sent and not answered; it is looked up, never sent again" in said[0][1]
    exits = [each for each in day.said(PlaceOrder) if each.intent.purpose is Purpose.EXIT]
    assert len(exits) == 1


@pytest.mark.parametrize(("every", "lots"), [(1, 30), (3, 15)])
def test_fills_on_the_way_are_progress_and_nobody_is_called_for_them(every, lots):
    """One lot a frame: the exit takes most of a minute, with a fill between any two tries."""
    day = a_day("2 BUY; 3 EXIT", quotes(every=every * SECOND), lots=lots, depth=1)
    assert notes(day, "exit stuck") == []
    assert day.positions == {}
    prices = [what for _, what in priced(day)]
    assert set(prices) <= {"₹495.00"}, "a fill shows that the price is far enough"
    assert (len(prices) > 10) is (every == 3)


def test_the_deadline_of_a_square_off_is_a_minute_before_the_brokers_own():
    goals = ExitGoals({NIFTY.id: NIFTY}, LONG_DAY, LONG_DAY[NIFTY.segment].date, {})
    squared = clock("09:35")
    # Of a session to 10:30 the broker squares futures off at 10:15, fifteen minutes before.
    assert goals.deadline(NIFTY.id, ExitReason.SQUARE_OFF, squared) == clock("10:14")
    assert goals.deadline(NIFTY.id, ExitReason.STOP, squared) == squared + MINUTE
    late = clock("10:28:30")
    assert goals.deadline(NIFTY.id, ExitReason.SQUARE_OFF, late) == clock("10:29")


@pytest.mark.parametrize(
    ("side", "band", "expected"),
    [
        (Side.SELL, None, "475.00"),
        (Side.SELL, ("485.02", "515.00"), "485.05"),
        (Side.SELL, ("501.00", "520.00"), "475.00"),
        (Side.BUY, None, "525.00"),
        (Side.BUY, ("485.00", "514.98"), "514.95"),
        (Side.BUY, ("480.00", "499.00"), "525.00"),
    ],
    ids=["sell", "clipped up", "band left behind", "buy", "clipped down", "band left behind above"],
)
def test_a_price_is_clipped_to_the_days_band_unless_the_market_has_left_it(side, band, expected):
    bands = {ACME.id: (price(band[0]), price(band[1]))} if band else {}
    session = LONG_DAY[ACME.segment]
    view = InstrumentView(ACME, session, 0, Price(0))
    view.last_px, view.last_at = price("500.00"), clock("09:20")
    goals = ExitGoals({ACME.id: ACME}, LONG_DAY, session.date, bands)
    terms = goals.terms(side, view, 4, clock("09:20:05"))
    assert (terms.ord_type, terms.price) == (OrdType.LIMIT, price(expected))
    assert goals.terms(side, view, 4, clock("09:20:05") + 1).ord_type is OrdType.MARKET


class SlowWithStops(BandedBroker):
    """Takes eight seconds to acknowledge a stop."""

    def _tell(self, order, exec_type, *, qty=0, px=0, text=""):
        wait = 8 * SECOND if order.purpose is Purpose.STOP else 0
        self._now += wait
        super()._tell(order, exec_type, qty=qty, px=px, text=text)
        self._now -= wait


def test_a_position_without_its_stop_for_five_seconds_is_said_once():
    day = a_day("2 BUY stop=-10", quotes(until="09:19:00"), broker=SlowWithStops)
    ((at, sentence),) = notes(day, "unprotected position")
    filled = next(fill.at for fill in day.broker.ledger)
    assert clock(at) - filled < 6 * SECOND
    assert sentence.startswith("10 of 10 NSE:ACME of one have had no stop at the broker for 5 s")
    assert "is on its way and not answered" in sentence


def test_a_stop_that_rests_in_time_is_no_news():
    day = a_day("2 BUY stop=-10; 3 EXIT", quotes(until="09:19:00"))
    assert notes(day, "unprotected position") == []


def test_the_broker_says_why_in_the_note():
    """Every change is refused: the sentence carries the refusal."""

    class Stubborn(BandedBroker):
        def _modify(self, command):
            order = self.orders[command.cl_ord_id]
            self._tell(order, ExecType.REPLACE_REJECTED, text=OUTSIDE)

    day = a_day(
        "2 BUY; 3 EXIT", quotes(until="09:22:00"), droughts=[("09:18", "11:00")], broker=Stubborn
    )
    (first, *_) = notes(day, "exit stuck")
    assert f"The broker's last refusal: {OUTSIDE}" in first[1]
    assert clock(first[0]) <= clock("09:19:00")


class Frozen(BandedBroker):
    """Takes nothing above a hundred at once."""

    def _place(self, command):
        assert command.intent.order_qty <= 100, "above the freeze quantity"
        super()._place(command)


@pytest.mark.parametrize("script", ["2 BUY stop=-10; 3 EXIT", "2 BUY stop=-10"])
def test_entries_stops_and_exits_are_cut_to_the_freeze_quantity_one_intent_each(script):
    """At 09:19 the market falls through the stop, for the day that has no exit of its own."""
    small = msgspec.structs.replace(ACME, freeze_qty=100)
    frames = quotes(until="09:19") + [
        frame(tick(at, ACME, "480.00")) for at in range(clock("09:19"), clock("09:20"), SECOND)
    ]
    day = HouseDay(
        [scripted("one", small, script, lots=250)],
        frames,
        instruments=(small,),
        timetable=LONG_DAY,
        broker=Frozen({ACME.id: 1}),
    ).run()
    sizes = {}
    for order in day.said(PlaceOrder):
        sizes.setdefault(order.intent.purpose, []).append(order.intent.order_qty)
    assert sizes[Purpose.ENTRY] == [100, 100, 50]
    assert day.broker.too_much == []
    assert (day.positions, day.working) == ({}, [])
    most = Purpose.EXIT if "EXIT" in script else Purpose.STOP
    assert sizes[most][-3:] == [100, 100, 50]
    tags = [order.cl_ord_id for order in day.said(PlaceOrder)]
    assert len(tags) == len(set(tags))


def test_a_share_with_derivatives_is_flat_before_the_closing_auction_takes_its_stop_away():
    """Since 3 August 2026 the auction begins at 15:15, and every stop that still waits is cancelled."""
    day = dt.date(2026, 11, 20)
    timetable = sessions_for(day)
    session = timetable[Segment.EQUITY_WITH_DERIVATIVES]
    share = msgspec.structs.replace(ACME, segment=Segment.EQUITY_WITH_DERIVATIVES)
    goals = ExitGoals({share.id: share}, timetable, day, {})
    flat_by = goals.deadline(share.id, ExitReason.SQUARE_OFF, session.square_off_at)
    auction_at = instant(day, dt.time(15, 15))
    assert session.phase_at(auction_at) is PhaseKind.AUCTION_REFERENCE
    assert (ist_clock(session.square_off_at), ist_clock(flat_by)) == ("15:03:00", "15:11:00")
    assert goals.deadline(share.id, ExitReason.STOP, session.square_off_at) < auction_at
