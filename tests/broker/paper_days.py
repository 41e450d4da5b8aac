"""Days of trading drawn at random, and a small house that trades them, for laws of the broker."""

from hypothesis import strategies as st
from paper_world import ALL, FUTURE, SESSIONS, SHARE, TwentyAnOrder, clock, place

from kitestring.broker.paper_broker import PaperBroker
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import Price, money
from kitestring.domain.orders import ExecType, OrdType, Side, TimeInForce
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import CancelOrder, ModifyOrder


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


def command(tag, kind, side, lots, away, *, ioc):
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
    ioc=st.booleans(),
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
