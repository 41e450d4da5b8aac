"""Faults that no script of the exchange can ask for, each on a live day at its real handlers."""

import asyncio
import sqlite3

import msgspec
import pytest
from house_day import SCRIPTED, scripted
from live_stage import on_stage
from second_terminal import until

from kitestring.broker.kite_client import KiteClient
from kitestring.domain.errors import DiskFailed
from kitestring.domain.events import Gap, Note
from kitestring.domain.instants import SECOND, ist_clock
from kitestring.domain.verdicts import Blocked, PlaceOrder
from kitestring.engine.replay_run import replay_run
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.desk.order_flow import OrderFlow, Step
from kitestring.store.journal import SqliteJournal
from kitestring.store.run_reader import chosen_run, read_run


def said(artifacts, kind):
    return [fact for fact in read_run(chosen_run(artifacts)).facts() if isinstance(fact, kind)]


def notes(artifacts, kind):
    return [note.sentence for note in said(artifacts, Note) if note.kind.endswith(kind)]


def is_its_own_replay(artifacts):
    done = replay_run(read_run(chosen_run(artifacts)), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


async def whole(stage, script):
    result = await stage.trade(script)
    return result, stage.held(), stage.orders(), stage.posts()


def test_an_order_the_exchange_never_answers_counts_as_risk_is_said_and_nothing_replaces_it(
    tmp_path, monkeypatch
):
    """OPEN PENDING for hours: the line between broker and exchange is down, and nobody is told."""
    take_step = OrderFlow._take_step

    def deaf(self, step, order, at):
        if step is Step.REST:
            return  # What the floor did with it never comes back.
        take_step(self, step, order, at)

    async def play(stage):
        monkeypatch.setattr(OrderFlow, "_take_step", deaf)
        monkeypatch.setattr(OrderFlow, "_hear", lambda *_: None)
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 BUY stop=-5"))
        await stage.until("10:08:00")
        book = [(row["status"], row["transaction_type"]) for row in stage.orders()]
        posts = len(stage.posts())
        await stage.die(day)
        return book, posts

    book, posts = on_stage(play, tmp_path)
    assert book == [("OPEN PENDING", "BUY")]
    assert posts == 1, "nothing is sent in its place"
    (sentence,) = notes(tmp_path, "order pending")
    assert "has been OPEN PENDING for 3" in sentence
    assert "It counts as if it worked" in sentence
    (blocked,) = said(tmp_path, Blocked)
    assert blocked.code in ("DUPLICATE_ORDER", "ORDER_UNTRUSTED")


def test_orders_are_regular_for_the_day_and_cut_by_the_house_itself(tmp_path):
    """No AMO, no iceberg, no cover order, no slicing by the broker, and no SL-M."""
    result, held, _, posts = on_stage(
        lambda stage: whole(stage, "2 BUY stop=-5; 4 SELL stop=+5; 6 EXIT; 7 BUY"), tmp_path
    )
    assert (held, result.open_positions) == (0, {})
    assert len(posts) >= 5
    for each in posts:
        sent = each.heard
        assert sent.path == "/orders/regular"
        assert sent.params["validity"] == "DAY"
        assert sent.params["order_type"] in ("MARKET", "SL", "LIMIT")
        assert not {"iceberg_legs", "iceberg_quantity", "autoslice", "validity_ttl"} & set(
            sent.params
        )
        if sent.params["order_type"] == "MARKET":
            assert sent.params["market_protection"]


def test_exits_refused_until_the_close_are_shouted_about_and_the_day_ends_saying_what_is_left(
    tmp_path,
):
    """The broker's own square-off does not come either: nobody closes it, and a person must know."""
    faults = (
        "faults:\n"
        '  - {kind: error_answer, route: "POST /orders/*", from: "10:05", status: 400,'
        ' error_type: OrderException, message: "Not now."}\n'
    )
    result, held, _, posts = on_stage(lambda stage: whole(stage, "2 BUY; 5 EXIT"), tmp_path, faults)
    assert held == 10
    assert result.open_positions
    assert any("10 NSE:INFY" in line for line in notes(tmp_path, "exit stuck"))
    assert any("INFY" in line for line in result.notes), result.notes
    tried = [each for each in posts if each.heard.params["transaction_type"] == "SELL"]
    assert 5 < len(tried) < 60, "again and again, and ever more slowly"
    is_its_own_replay(tmp_path)


def test_while_the_market_is_halted_nothing_is_entered_and_the_stop_stays(tmp_path):
    """Neither ticks nor orders for three minutes, as on 5 October 2012; then it trades again."""
    faults = (
        "faults:\n"
        '  - {kind: ticks_silent, heartbeats: true, reconnect_cures: false, from: "10:03:30", for: 180}\n'
        '  - {kind: error_answer, route: writes, from: "10:03:30", until: "10:06:30", status: 400,'
        ' error_type: OrderException, message: "Markets are halted."}\n'
    )

    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 BUY stop=-5; 8 EXIT"))
        await stage.until("10:06:25")
        halted = stage.held(), [row["status"] for row in stage.orders()], len(stage.posts())
        return halted, await day, stage.held(), stage.orders()

    halted, result, held, orders = on_stage(play, tmp_path, faults)
    assert halted == (10, ["COMPLETE", "TRIGGER PENDING"], 2), "nothing was written meanwhile"
    assert (held, result.open_positions) == (0, {})
    assert orders[-1]["order_timestamp"][11:16] == "10:08"
    is_its_own_replay(tmp_path)


@pytest.mark.parametrize("asleep_s", [40, 120])
def test_a_machine_that_slept_tells_a_gap_and_its_stop_has_stood(tmp_path, asleep_s):
    """The lid was closed: every timer of the house is long over, and no tick came meanwhile."""
    fault = f'faults:\n  - {{kind: ticks_silent, from: "10:04:00", for: {asleep_s}}}\n'

    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 4 EXIT; 8 SELL stop=+5"))
        await stage.until("10:03:50")
        await asyncio.sleep(10)
        loop = asyncio.get_running_loop()
        slept_at = loop.time()

        def sleep():
            loop._now += asleep_s

        loop.call_soon(sleep)
        await asyncio.sleep(1)
        slept_s = loop.time() - slept_at
        await stage.until("10:06:30")
        return slept_s, stage.held(), await day, stage.held(), stage.orders()

    slept_s, between, result, held, orders = on_stage(play, tmp_path, fault)
    assert slept_s >= asleep_s
    gaps = said(tmp_path, Gap)
    assert sum(gap.end_at - gap.start_at for gap in gaps) >= (asleep_s - 15) * SECOND
    assert (between, held, result.open_positions) == (0, 0, {})
    assert len(orders) == len({row["tag"] for row in orders}) == 6
    is_its_own_replay(tmp_path)


def test_a_source_that_stands_still_while_the_traded_share_goes_on_enters_nothing(tmp_path):
    """The index's feed died at 10:06 on 24 February 2021, and the market was halted at 11:40."""
    fault = 'faults:\n  - {kind: instrument_frozen, instruments: ["NSE:SBIN"], from: "10:03:30", for: 900}\n'

    async def play(stage):
        infy, sbin = (
            stage.market.shown[0],
            next(each for each in stage.market.shown if each.id == "NSE:SBIN"),
        )
        plan = stage.plan("")
        row = scripted("one", infy, "2 BUY stop=-5; 3 EXIT; 7 BUY stop=-5; 8 SELL stop=+5", lots=10)
        row = msgspec.structs.replace(row, source=sbin.id)
        settings = msgspec.structs.replace(plan.settings, strategies=(row,))
        result = await stage.trade("", settings=settings)
        return result, stage.held(), stage.posts()

    result, held, posts = on_stage(play, tmp_path, fault)
    assert (held, result.open_positions) == (0, {})
    assert {ist_clock(fact.approved.at)[:5] for fact in said(tmp_path, PlaceOrder)} <= {
        "10:02",
        "10:03",
    }
    assert len(posts) == 3, "entry, stop and exit of before"


class Tagless(KiteClient):
    """On the way out the second order's tag is lost, or becomes another."""

    tag = ""
    sent = 0

    async def place(self, fields, variety="regular", **more):
        Tagless.sent += 1
        if Tagless.sent == 2:
            fields = {name: value for name, value in fields.items() if name != "tag"}
            fields |= {"tag": self.tag} if self.tag else {}
        return await super().place(fields, variety, **more)


@pytest.mark.parametrize("tag", ["", "mktp"], ids=["lost", "altered"])
def test_a_stop_whose_tag_was_lost_is_known_by_its_number_and_withdrawn_with_its_position(
    tmp_path, monkeypatch, tag
):
    monkeypatch.setattr(Tagless, "tag", tag)
    monkeypatch.setattr(Tagless, "sent", 0)
    monkeypatch.setattr("kitestring.engine.kite_link.KiteClient", Tagless)

    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 EXIT"))
        await until(stage.held, within_s=300)
        return await day, stage.held(), stage.orders()

    result, held, orders = on_stage(play, tmp_path)
    assert Tagless.sent == 3
    assert (held, result.open_positions) == (0, {})
    assert [(row["tag"] or "", row["status"]) for row in orders][1] == (tag, "CANCELLED")
    assert [row["status"] for row in orders] == ["COMPLETE", "CANCELLED", "COMPLETE"]
    is_its_own_replay(tmp_path)


def test_a_line_that_is_gone_for_minutes_leaves_the_stop_and_comes_back_to_one_exit(tmp_path):
    """Nothing is answered and nothing heard; the exit that falls due then is sent once."""
    faults = (
        "faults:\n"
        '  - {kind: no_answer, route: any, from: "10:03:30", until: "10:06:30", reached: false,'
        " close_after: 300}\n"
        '  - {kind: half_open, from: "10:03:30", for: 180, reconnect_cures: false}\n'
    )

    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 EXIT; 6 BUY"))
        await stage.until("10:06:20")
        away = stage.held(), [row["status"] for row in stage.orders()]
        return away, await day, stage.held(), stage.orders(), stage.posts()

    away, result, held, orders, posts = on_stage(play, tmp_path, faults)
    assert away == (10, ["COMPLETE", "TRIGGER PENDING"]), "what rests at the exchange rests"
    assert (held, result.open_positions) == (0, {})
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL", "SELL"]
    tags = [each.heard.params["tag"] for each in posts]
    assert len(tags) == len(set(tags))
    is_its_own_replay(tmp_path)


class Worn:
    """A disk on which nothing can be made durable any more: EIO, as from a dying medium."""

    def __init__(self, db):
        self._db = db

    def execute(self, statement, *values):
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._db.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self._db, name)


def test_a_disk_that_cannot_make_a_commit_durable_ends_the_day_before_another_order(tmp_path):
    async def play(stage):
        engine = stage.engine("2 BUY stop=-5; 4 EXIT")
        opened = []

        def journal(path, run_key):
            opened.append(SqliteJournal(path, run_key=run_key))
            return opened[-1]

        engine._open_journal = journal
        day = asyncio.create_task(engine.start(NobodyWatches()))
        await stage.until("10:03:00")
        before = len(stage.posts())
        opened[-1]._db = Worn(opened[-1]._db)
        with pytest.raises(DiskFailed, match="No new risk"):
            await day
        failed = len(opened), len(stage.posts()), [row["status"] for row in stage.orders()]
        result = await stage.trade("2 BUY stop=-5; 4 EXIT")
        return before, failed, result, stage.held(), stage.orders()

    before, failed, result, held, orders = on_stage(play, tmp_path)
    assert failed == (1, before, ["COMPLETE", "TRIGGER PENDING"]), (
        "no retry, and no order unrecorded"
    )
    assert (held, result.open_positions) == (0, {})
    assert len(orders) == len({row["tag"] for row in orders}) == 3
