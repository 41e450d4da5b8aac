"""What ends entries without a loss: a broker that refuses them again and again, a position in trouble."""

from __future__ import annotations

import msgspec
import pytest
from banded_broker import BandedBroker
from house_day import ACME, NIFTY, HouseDay, clock, frame, scripted, sessions, tick
from risk_desk import TEN, engine, intent, request, standing, strategy
from unruly_broker import CALM, UnrulyBroker

from kitestring.core.risk_state import RISK_CELL
from kitestring.domain.instants import MINUTE, SECOND, ist_clock
from kitestring.domain.orders import Purpose
from kitestring.domain.verdicts import Approved, Blocked, PlaceOrder

LONG_DAY = sessions(close="10:30", square_off="10:20", cutoff="10:15")
EVERY_MINUTE = "; ".join(f"{minute} BUY stop=-5" for minute in range(1, 41))


def quotes(until, *instruments):
    return [
        frame(*(tick(at, each, "500.00") for each in instruments))
        for at in range(clock("09:15:01"), clock(until), 5 * SECOND)
    ]


def refusing(*names):
    """A broker whose risk desk refuses every order of these strategies; of nobody named, of all."""

    class Refusing(UnrulyBroker):
        def _place(self, command):
            refused = not names or command.intent.strategy in names
            self._wild = CALM._replace(refuses=100 if refused else 0)
            super()._place(command)

    return Refusing({ACME.id: 1, NIFTY.id: 65})


def lived(strategies, broker, until="09:50", *instruments):
    instruments = instruments or (ACME,)
    return HouseDay(
        strategies, quotes(until, *instruments), instruments=instruments, timetable=LONG_DAY,
        broker=broker,
    ).run()  # fmt: skip


def test_a_broker_that_refuses_every_entry_hears_five_of_them_and_then_none_for_half_an_hour():
    day = lived([scripted("one", ACME, EVERY_MINUTE)], refusing(), until="09:55")
    sent = [ist_clock(order.approved.at)[:5] for order in day.said(PlaceOrder)]
    assert sent == ["09:17", "09:18", "09:19", "09:20", "09:21", "09:52", "09:53", "09:54", "09:55"]
    (first, *_, last) = [fact for fact in day.said(Blocked) if fact.code == "REFUSED"]
    assert first.sentence == (
        "the broker refused 5 entries of one in a row; it pauses until 09:51:00."
    )
    assert ist_clock(last.at)[:5] == "09:51"


def test_only_the_strategy_that_is_refused_pauses():
    rows = [scripted("one", ACME, EVERY_MINUTE), scripted("two", NIFTY, "20 BUY stop=-5")]
    day = lived(rows, refusing("one"), "09:40", ACME, NIFTY)
    assert {fact.strategy for fact in day.said(Blocked) if fact.code == "REFUSED"} == {"one"}
    assert "two" in {order.intent.strategy for order in day.said(PlaceOrder)}


def test_an_order_that_is_taken_ends_the_row_and_slices_of_one_signal_are_one_refusal():
    desk = engine()
    for number in range(4):
        for _ in range(10):
            desk.entry_refused(intent(signal=f"s{number}"), TEN - 10 * MINUTE)
    assert desk.state.strategies["ema"].refusals == 4
    desk.entry_taken("ema")
    for number in range(4):
        desk.entry_refused(intent(signal=f"t{number}"), TEN - 5 * MINUTE)
    assert isinstance(desk.check_entry(request(), standing()), Approved)
    desk.entry_refused(intent(signal="t5"), TEN)
    assert desk.check_entry(request(), standing()).code == "REFUSED"


def test_refusals_of_several_strategies_within_a_minute_stop_everybody_for_a_minute():
    desk = engine()
    for number in range(5):
        at = TEN + number * SECOND
        desk.entry_refused(intent(name=f"s{number}", signal=f"n{number}"), at)
    other = strategy("other")
    desk.admit(other)
    asked = request(settings=other, reference_at=TEN + 5 * SECOND)
    verdict = desk.check_entry(asked, standing(TEN + 5 * SECOND))
    assert (verdict.code, verdict.sentence) == (
        "REFUSED",
        "the broker refused 5 entries within a minute; none is sent before a minute has passed.",
    )
    later = TEN + MINUTE
    asked = request(settings=other, reference_at=later)
    assert isinstance(desk.check_entry(asked, standing(later)), Approved)


def test_the_pause_survives_a_restart():
    desk = engine()
    for number in range(5):
        desk.entry_refused(intent(signal=f"s{number}"), TEN)
    cell = msgspec.msgpack.encode(desk._dirty[RISK_CELL])
    again = engine()
    again.restore({RISK_CELL: cell})
    later = TEN + 20 * MINUTE
    assert again.check_entry(request(reference_at=later), standing(later)).code == "REFUSED"


class NoWayOut(BandedBroker):
    """Takes no stop of one strategy, and nobody buys from it until 09:30."""

    def _match(self, order):
        if order.purpose is Purpose.ENTRY or self._now >= clock("09:30"):
            super()._match(order)


@pytest.mark.parametrize("trouble", ["stuck", "bare"])
def test_while_one_position_needs_a_person_nothing_new_is_risked_in_another(trouble):
    script = "2 BUY; 3 EXIT" if trouble == "stuck" else "2 BUY stop=-5"
    broker = NoWayOut({ACME.id: 1, NIFTY.id: 65})
    if trouble == "bare":
        broker = NoStops({ACME.id: 1, NIFTY.id: 65})
    rows = [scripted("one", ACME, script, lots=10), scripted("two", NIFTY, "8 BUY; 20 BUY")]
    day = lived(rows, broker, "09:45", ACME, NIFTY)
    blocked = [fact for fact in day.said(Blocked) if fact.code == "NEEDS_A_PERSON"]
    assert [(fact.strategy, ist_clock(fact.at)[:5]) for fact in blocked] == [("two", "09:23")]
    said = "does not get out (signal)" if trouble == "stuck" else "stands without its stop"
    assert f"10 NSE:ACME of one {said}" in blocked[0].sentence
    entered = [order for order in day.said(PlaceOrder) if order.intent.strategy == "two"]
    assert ist_clock(entered[0].approved.at)[:5] == "09:35", "once it was out"


class NoStops(NoWayOut):
    """Does not answer the stop that it was sent; at 09:30 it refuses it."""

    def _place(self, command):
        if command.intent.purpose is Purpose.STOP:
            self._hidden = command
            return
        super()._place(command)

    def observe(self, position, frame):
        hidden = getattr(self, "_hidden", None)
        if hidden is not None and frame.received_at >= clock("09:30"):
            self._hidden = None
            super()._place(hidden)
        super().observe(position, frame)
