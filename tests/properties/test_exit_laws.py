"""Flat by T or a named reason, on random days with gaps, droughts, thin books, ranges and refusals."""

from __future__ import annotations

import judges
import msgspec
from banded_broker import BandedBroker
from house_day import ACME, NIFTY, HouseDay, clock, frame, scripted, sessions, tick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_days import FRAMES, LOTS, MOODS, TIMETABLE, WatchfulBroker, market, recipes

from kitestring.core.exit_goal import FRESH, SAY_AGAIN_AFTER
from kitestring.domain.events import Note
from kitestring.domain.instants import SECOND
from kitestring.domain.orders import OrdType, Purpose
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import ModifyOrder, PlaceOrder

A_FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
BEGINS, ENDS = clock("09:15"), clock("09:22")


class HardBroker(BandedBroker, WatchfulBroker):
    """Everything at once; it remembers what came before it was journalled, too."""


class Hard(msgspec.Struct, frozen=True):
    """A random day, and what makes its exits hard."""

    recipe: object
    band_bp: int
    depth: int
    droughts: tuple
    silences: tuple
    calm_from: int

    def build(self, follower=None) -> HouseDay:
        recipe = self.recipe
        frames = [
            each
            for each in market(recipe.seed, recipe.instruments, recipe.reach)
            if not any(begins <= each.received_at < ends for begins, ends in self.silences)
        ]
        day = HouseDay(
            recipe.strategies,
            frames,
            instruments=recipe.instruments,
            timetable=TIMETABLE,
            risk=recipe.risk,
            broker=HardBroker(
                LOTS,
                seed=recipe.seed,
                mood=recipe.mood,
                calm_from=self.calm_from,
                band_bp=self.band_bp,
                depth=self.depth,
                droughts=self.droughts,
            ),
            follower=follower,
        )
        day.broker.journal = day.journal
        return day


@st.composite
def spans(draw_):
    begins = draw_(st.integers(BEGINS // SECOND, ENDS // SECOND))
    return begins * SECOND, (begins + draw_(st.integers(1, 200))) * SECOND


HARD = st.builds(
    Hard,
    recipe=recipes(MOODS),
    band_bp=st.sampled_from([20, 100, 300, 2_000]),
    depth=st.sampled_from([1, 3, 50, 1 << 40]),
    droughts=st.lists(spans(), max_size=3).map(tuple),
    silences=st.lists(spans(), max_size=2).map(tuple),
    calm_from=st.sampled_from([40, FRAMES]),
)


class Look:
    """After every commit: whoever is past the deadline has been told of."""

    day: HouseDay

    def committed(self, number, commit):
        core = self.day.core
        for name, book in core.portfolio.books.items():
            trade = book.trade
            if trade is not None and trade.leaving is not None and book.net_qty:
                assert trade.exit_by, f"{name} leaves without a deadline"
                late = core.state.now > trade.exit_by + SECOND
                assert not late or trade.stuck_told_at, f"{name} is late and nobody was told"

    def passing(self, at, frames):
        pass


@A_FEW
@given(hard=HARD)
def test_flat_by_the_deadline_or_a_person_was_told_why(hard):
    look = Look()
    day = look.day = hard.build(look)
    day.run()
    last = {}
    for fact in day.said(Note, RoundTrip):
        if isinstance(fact, RoundTrip):
            last.pop(fact.strategy, None)
        elif fact.kind == "exit stuck":
            strategy = fact.sentence.split(" is still ")[0]
            assert fact.at - last.get(strategy, 0) >= SAY_AGAIN_AFTER, fact
            last[strategy] = fact.at
    for name, book in day.core.portfolio.books.items():
        if book.net_qty:
            assert name in last, f"{name} ends the day with a position nobody was told of"


@A_FEW
@given(hard=HARD)
def test_live_exits_never_exceed_the_position_and_never_flip_it(hard):
    day = hard.build().run()
    assert day.broker.too_much == []
    judges.exits_only_shrink(day)


@A_FEW
@given(hard=HARD)
def test_a_flat_position_leaves_nothing_at_the_broker_that_could_open_one(hard):
    """Looked at in the broker's own books whenever no report is on its way."""

    class Orphans:
        day: HouseDay

        def committed(self, number, commit):
            if not judges.quiet(self.day):
                return
            broker = self.day.broker
            for order in broker.orders.values():
                if order.live and order.purpose is not Purpose.ENTRY:
                    assert order.side.sign * broker.net.get(order.strategy, 0) < 0, order

        def passing(self, at, frames):
            pass

    follower = Orphans()
    follower.day = hard.build(follower)
    follower.day.run()


@A_FEW
@given(hard=HARD)
def test_no_exit_is_priced_from_an_old_tick(hard):
    day = hard.build().run()
    placed = {each.cl_ord_id: each.intent for each in day.said(PlaceOrder)}
    ticks = {}
    for each in day.feed.frames():
        for one in each.ticks:
            ticks.setdefault(one.instrument, []).append(one.event_at)
    for change in day.said(ModifyOrder):
        if change.ord_type is OrdType.LIMIT:
            seen = [at for at in ticks[placed[change.cl_ord_id].instrument] if at <= change.at]
            assert change.at - seen[-1] <= FRESH


@A_FEW
@given(hard=HARD)
def test_every_market_order_and_every_stop_is_one_that_kite_takes(hard):
    """Stops are SL with a limit, and never SL-M; protection is the broker's own band, or above zero."""
    for order in hard.build().run().said(PlaceOrder):
        intent = order.intent
        kind = OrdType.SL if intent.purpose is Purpose.STOP else OrdType.MARKET
        assert intent.ord_type is kind
        assert intent.market_protection_bp is None or 0 < intent.market_protection_bp <= 10_000


@settings(A_FEW, max_examples=10)
@given(hard=HARD)
def test_a_house_taken_up_again_anywhere_goes_on_with_the_same_goals(hard):
    class Restores:
        day: HouseDay

        def committed(self, number, commit):
            if number % 7 == 0:
                judges.restores(self.day, number)

        def passing(self, at, frames):
            pass

    follower = Restores()
    day = follower.day = hard.build(follower)
    day.run()


def test_a_restart_in_the_middle_of_an_exit_keeps_its_deadline_and_its_step():
    seen = []

    class Restores:
        def committed(self, number, commit):
            trade = judges.restores(day, number).portfolio.books["one"].trade
            if trade is not None and trade.exit_by:
                seen.append((trade.exit_by, trade.exit_step, trade.exit_tries))

        def passing(self, at, frames):
            pass

    ticks = range(clock("09:15:01"), clock("09:20"), SECOND)
    day = HouseDay(
        [scripted("one", ACME, "2 BUY; 3 EXIT", lots=10)],
        [frame(tick(at, ACME, "500.00")) for at in ticks],
        instruments=(ACME,),
        timetable=sessions(close="10:30", square_off="09:35", cutoff="09:30"),
        broker=BandedBroker(
            {ACME.id: 1, NIFTY.id: 65}, droughts=[(clock("09:18"), clock("09:18:09"))]
        ),
        follower=Restores(),
    )
    day.run()
    assert {by for by, _, _ in seen} == {clock("09:19")}
    steps = sorted({(step, tries) for _, step, tries in seen})
    assert steps == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]
