"""Killed anywhere, recovered and fed again, the exchange's ledger is that of an undisturbed day."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_days import House, bar_days, broker, scripts, tick_days
from paper_world import World, clock, place, tick

from kitestring.domain.errors import StoreError
from kitestring.domain.instants import MINUTE, NEVER
from kitestring.domain.money import price
from kitestring.domain.orders import OrdType, Product, Side
from kitestring.domain.ticks import TickFrame
from kitestring.exchange.fill_models import INSTANT, MARKET
from kitestring.exchange.ledger import MemoryLedger, What, read_entries


class Killed(Exception):
    """The power is gone."""


class MortalLedger(MemoryLedger):
    """A ledger that dies before, or right after, its last line is kept."""

    def __init__(self, records=(), lines=NEVER, *, kept=True):
        super().__init__(records)
        self.lines = lines
        self.kept = kept

    def append(self, record):
        if len(self.records) >= self.lines:
            raise Killed
        super().append(record)
        if self.kept and len(self.records) >= self.lines:
            raise Killed


def undisturbed(frames, script, model):
    ledger = MemoryLedger()
    House(frames, script).run(broker(ledger, model))
    return ledger.records


def disturbed(frames, script, model, lines, *, kept):
    ledger = MortalLedger(lines=lines, kept=kept)
    house = House(frames, script)
    try:
        house.run(broker(ledger, model))
    except Killed:
        again = MortalLedger(ledger.records)
        house.resume(broker(again, model), tuple(ledger.records))
        return again.records
    return ledger.records


LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=120)


@LAW
@given(tick_days(), scripts, st.sampled_from([MARKET, INSTANT]), st.integers(1, 40), st.booleans())
def test_killed_at_any_line_of_a_day_of_ticks(frames, script, model, lines, kept):
    assert disturbed(frames, script, model, lines, kept=kept) == undisturbed(frames, script, model)


@LAW
@given(bar_days(), scripts, st.sampled_from([MARKET, INSTANT]), st.integers(1, 40), st.booleans())
def test_killed_at_any_line_of_a_day_of_bars(frames, script, model, lines, kept):
    assert disturbed(frames, script, model, lines, kept=kept) == undisturbed(frames, script, model)


@LAW
@given(st.one_of(tick_days(), bar_days()), scripts)
def test_a_ledger_read_back_gives_the_same_books(frames, script):
    ledger = MemoryLedger()
    venue = broker(ledger, MARKET)
    House(frames, script).run(venue)
    again = broker(MemoryLedger(ledger.records), MARKET)
    again.recover(ledger.records, frames[-1].received_at)
    at = frames[-1].received_at + MINUTE
    ours, theirs = again.snapshot(at), venue.snapshot(at)
    assert sorted(ours.orders, key=lambda row: row.order_id) == sorted(
        theirs.orders, key=lambda row: row.order_id
    )
    assert ours.net_qty == theirs.net_qty
    mine, true = again.matcher.account, venue.matcher.account
    for name in ("cash", "realised", "charges", "blocked", "available"):
        assert getattr(mine, name) == getattr(true, name), name


def test_reports_the_house_may_not_have_heard_are_told_again():
    day = World()
    day.tick("10:00:00", "24000", bid=("23999.50", 130), ask=("24000.50", 130))
    day.buy("A", 65)
    sent = day.now
    assert len(day.told) == 2  # and then the house dies, with nothing committed since it sent A
    again = World()
    again.broker.recover(day.ledger.records, sent, 1)
    again.now = sent
    assert again.told == ["A NEW", "A TRADE 65 @ 24000.50"]


def test_reports_of_frames_long_committed_are_not_told_again():
    day = World()
    day.tick("10:00:00", "24000", bid=("23999.50", 130), ask=("24000.50", 130))
    day.buy("A", 65)
    day.tick("10:00:05", "24000", bid=("23999.50", 130), ask=("24000.50", 130))
    again = World()
    again.broker.recover(day.ledger.records, day.now, 2)
    again.now = day.now
    assert again.told == []


def test_without_the_old_frames_an_order_on_its_way_waits_for_the_next_tick():
    day = World()
    day.tick("10:00:00", "24000", bid=("23999.50", 130), ask=("24000.50", 130))
    day.buy("A", 65)
    again = World()
    again.broker.recover(day.ledger.records, day.now, 1)
    again.position = 1
    again.tick("10:00:02", "24001", bid=("24000.50", 130), ask=("24001.50", 130))
    assert again.told == ["A NEW", "A TRADE 65 @ 24001.50"]


def test_a_ledger_of_another_seed_is_refused():
    day = World(seed=1)
    day.tick("10:00:00", "24000")
    with pytest.raises(StoreError, match="another run"):
        World(seed=2).broker.recover(day.ledger.records, day.now)


def test_a_damaged_ledger_is_refused():
    with pytest.raises(StoreError, match="Line 1"):
        World().broker.recover([b'{"position":1,'], 0)


def test_the_ledger_tells_the_whole_story_of_an_order():
    day = World()
    day.tick("10:00:00", "24000", bid=("23999.50", 130), ask=("24000.50", 130))
    day.buy("A", 65, product=Product.NRML)
    assert len(day.told) == 2
    story = [
        (each.what, each.tag, each.qty, each.last_qty, each.last_px, each.trade_id)
        for each in read_entries(day.ledger.records)
    ]
    assert story == [
        (What.OPENED, "", 0, 0, 0, ""),
        (What.PLACE, "A", 65, 0, 0, ""),
        (What.NEW, "A", 65, 0, 0, ""),
        (What.TRADE, "A", 65, 65, price("24000.50"), "261120000000001-1"),
    ]


@pytest.mark.parametrize(
    ("rows", "after"),
    [
        ([("23989", 65), ("23995", 65)], ["B NEW", "B TRADE 65 @ 23995.00"]),
        ([("23995", 65), ("23989", 65)], ["B NEW", "B TRADE 65 @ 23989.10"]),  # A had the best
    ],
)
def test_a_frame_with_two_ticks_remembers_which_of_them_our_order_met(rows, after):
    def frames(venue):
        for position, at, seen in ((1, "10:00:00", [("24000", 65)]), (2, "10:00:02", rows)):
            now = clock(at)
            ticks = tuple(
                tick(now, last, bid=(str(float(last) - 1), lots), ask=(last, lots))
                for last, lots in seen
            )
            venue.observe(position, TickFrame(now, ticks))
            if position == 1:
                command = place("A", Side.BUY, 65, now, OrdType.LIMIT, price="23990")
                venue.carry_out(command, now)
        return now

    day, again = World(), World()
    now = frames(day.broker)
    again.broker.recover(day.ledger.records, now, 2)
    frames(again.broker)
    for each in (day, again):
        each.now, each.position = now, 2
        each.buy("B", 65)
    assert day.told == ["A NEW", "A TRADE 65 @ 23990.00", *after]
    assert again.told[-len(after) :] == after
