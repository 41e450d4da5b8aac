"""Killed anywhere, recovered and fed again, the exchange's ledger is that of an undisturbed day."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_world import ALL, FUTURE, SESSIONS, SHARE, TwentyAnOrder, World, clock, place

from kitestring.broker.paper_broker import PaperBroker
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.errors import StoreError
from kitestring.domain.instants import MINUTE, NEVER, SECOND
from kitestring.domain.money import Price, money, price
from kitestring.domain.orders import ExecType, OrdType, Product, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import CancelOrder, ModifyOrder
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


def broker(ledger, model):
    return PaperBroker(
        instruments=ALL,
        sessions=SESSIONS,
        charges=TwentyAnOrder(),
        cash=money(2_000_000),
        fill_model=model,
        seed=3,
        ledger=ledger,
    )


class House:
    """A house that does as its script says, and answers the first trade of an order with a stop.

    Its journal is ``committed``: time, position, commands, trades known and tags answered.
    """

    def __init__(self, frames, script):
        self.frames = frames
        self.script = script
        self.committed = (0, 0, (), frozenset(), frozenset())
        self.known = set()
        self.answered = set()

    def run(self, venue, *, after=0):
        for position, frame in enumerate(self.frames, 1):
            if position <= after:
                continue
            self.listen(venue, frame.received_at - 1, position - 1)
            venue.observe(position, frame)
            self.listen(venue, frame.received_at, position - 1)
            commands = [make(frame.received_at) for make in self.script.get(position, ())]
            if commands:
                self.commit(frame.received_at, position, commands, venue)
        self.listen(venue, self.frames[-1].received_at + 30 * SECOND, len(self.frames))

    def listen(self, venue, until, position):
        while venue.next_due_at <= until:
            for at, report in venue.reports_until(venue.next_due_at):
                commands = []
                if report.exec_type is ExecType.TRADE and report.exec_id not in self.known:
                    self.known.add(report.exec_id)
                    tag = report.cl_ord_id
                    if len(tag) == 2 and tag not in self.answered:
                        self.answered.add(tag)
                        stop = Price(int(report.last_px) * 995 // 1000 // 1000 * 1000)
                        commands.append(
                            place(tag + "S", Side.SELL, 65, at, OrdType.SL_M, stop_px=stop)
                        )
                self.commit(at, position, commands, venue)

    def commit(self, at, position, commands, venue):
        self.committed = (
            at,
            position,
            tuple(commands),
            frozenset(self.known),
            frozenset(self.answered),
        )
        for command in commands:
            venue.carry_out(command, at)

    def resume(self, venue, records):
        at, position, commands, known, answered = self.committed
        self.known, self.answered = set(known), set(answered)
        venue.recover(records, at, position)
        for place_, frame in enumerate(self.frames, 1):
            if frame.received_at <= at:
                venue.observe(place_, frame)
        for command in commands:
            venue.carry_out(command, at)
        self.run(venue, after=position)


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


def command(tag, kind, side, lots, away, ioc):
    def make(at):
        if kind == "cancel":
            return CancelOrder(cl_ord_id=tag, at=at)
        px = Price(240_000_000 + away * 10_000)
        if kind == "modify":
            return ModifyOrder(cl_ord_id=tag, at=at, price=px)
        fields = {"time_in_force": TimeInForce.IOC if ioc else TimeInForce.DAY}
        if kind in (OrdType.LIMIT, OrdType.SL):
            fields["price"] = px
        if kind in (OrdType.SL, OrdType.SL_M):
            fields["stop_px"] = px
        return place(tag, side, lots * 65, at, kind, **fields)

    return make


commands = st.builds(
    command,
    st.sampled_from(["A1", "A2", "A3", "A4", "A5"]),
    st.sampled_from([*OrdType, "cancel", "modify"]),
    st.sampled_from(Side),
    st.integers(1, 8),
    st.integers(-40, 40),
    st.booleans(),
)
scripts = st.dictionaries(st.integers(1, 14), st.lists(commands, max_size=3), max_size=8)


@st.composite
def tick_days(draw):
    at, volume, frames = clock("10:00"), 1000, []
    for _ in range(14):
        at += draw(st.sampled_from([60_000, 250_000, SECOND, 3 * SECOND]))
        ticks = []
        for each in draw(st.lists(st.sampled_from([FUTURE, FUTURE, SHARE]), max_size=2)):
            px = 240_000_000 + draw(st.integers(-40, 40)) * 10_000
            volume += draw(st.integers(0, 1500))
            depth = draw(st.booleans())
            lots = draw(st.integers(1, 4)) * 65
            quotes = (Price(px - 5_000), lots, Price(px + 5_000), lots) if depth else ()
            ticks.append(Tick(each.id, at, Price(px), volume, *quotes))
        frames.append(TickFrame(at, tuple(ticks)))
    return frames


@st.composite
def bar_days(draw):
    at, frames = clock("10:00"), []
    for _ in range(14):
        opened, at = at, at + MINUTE
        prices = [240_000_000 + draw(st.integers(-40, 40)) * 10_000 for _ in range(4)]
        low, first, last, high = sorted(prices)
        volume = draw(st.sampled_from([0, 800, 5000]))
        bars = (
            Bar(
                FUTURE.id, 1, opened, at, Price(first), Price(high), Price(low), Price(last), volume
            ),
        )
        frames.append(BarFrame(at, bars))
    return frames


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
@given(st.one_of(tick_days(), bar_days()), scripts, st.integers(0, 40))
def test_a_ledger_read_back_gives_the_same_books(frames, script, _):
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
