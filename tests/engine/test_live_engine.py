"""A live day at the exchange's real handlers, judged by the exchange's own books and ledger."""

import asyncio
import csv
import io
import json
import stat

import msgspec
import pytest
from house_day import SCRIPTED
from live_stage import DAY, on_stage

from kitestring.broker.kite_bridge import KiteBroker
from kitestring.domain.errors import ConfigError, HouseError
from kitestring.domain.events import Gap, OperatorCommand
from kitestring.domain.money import money
from kitestring.domain.verdicts import Blocked, PlaceOrder
from kitestring.engine.arming import ArmingFile
from kitestring.engine.live_day import LiveDay
from kitestring.engine.own_text import own_text
from kitestring.engine.replay_run import replay_run
from kitestring.engine.watching import NobodyWatches
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"


def recorded(artifacts):
    return read_run(chosen_run(artifacts))


def said(artifacts, kind):
    return [fact for fact in recorded(artifacts).facts() if isinstance(fact, kind)]


def is_its_own_replay(artifacts):
    done = replay_run(recorded(artifacts), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference
    return done


def each_order_was_sent_once(stage, artifacts):
    """By the exchange's ledger and books: what the journal holds, each tag once, nothing else."""
    tags = [order.cl_ord_id for order in said(artifacts, PlaceOrder)]
    at_exchange = [row["tag"] for row in stage.orders()]
    assert len(at_exchange) == len(set(at_exchange)), "an order was sent twice"
    assert set(at_exchange) <= set(tags), "an order that no journal holds"
    return tags, at_exchange


def test_a_whole_day_enters_with_a_stop_exits_squares_off_and_is_recorded(tmp_path):
    async def play(stage):
        result = await stage.trade(SCRIPT)
        tags, at_exchange = each_order_was_sent_once(stage, tmp_path)
        assert set(tags) == set(at_exchange)
        assert len(stage.posts()) == len(tags)
        return result, stage.orders(), stage.held(), stage.asked

    result, orders, held, asked = on_stage(play, tmp_path)
    assert (held, result.open_positions, result.trades) == (0, {}, 2)
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
        ("SELL", "COMPLETE"), ("BUY", "CANCELLED"), ("BUY", "COMPLETE"),
    ]  # fmt: skip
    stops = [row for row in orders if row["status"] == "CANCELLED"]
    assert [row["order_type"] for row in stops] == ["SL", "SL"], "a stop rested at the broker"
    text = (tmp_path / "live" / str(DAY) / "orders.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(orders)
    state = json.loads((tmp_path / "checkpoints" / "live_state_latest.json").read_text())
    assert state["mode"] == "live"
    lines, phrase = asked[0]
    assert phrase == "TRADE 200000"
    assert lines[0].startswith("⚠️  LIVE: real orders in the account KS0001")
    assert not (tmp_path / "live" / "arming.json").exists(), "the arming ends with the day"
    assert is_its_own_replay(tmp_path).commits > 20


@pytest.mark.parametrize("when", ["10:03:03", "10:10:01"])
def test_a_house_that_dies_is_taken_up_again_without_a_second_order(tmp_path, when):
    async def play(stage):
        first = asyncio.create_task(stage.trade(SCRIPT))
        await stage.until(when)
        await stage.die(first)
        kept = json.loads((tmp_path / "live" / "arming.json").read_text())
        assert kept["in_use"], "nobody said that it ended"
        await asyncio.sleep(20)
        result = await stage.trade(SCRIPT)
        each_order_was_sent_once(stage, tmp_path)
        return result, stage.held(), len(stage.asked)

    result, held, asked = on_stage(play, tmp_path)
    assert held == 0
    assert not result.open_positions
    assert result.resumed
    assert asked == 2, "after a crash a person is asked again"
    (gap, *_) = said(tmp_path, Gap)
    assert gap.reason == "the house was not running"
    is_its_own_replay(tmp_path)


def test_a_stop_after_a_crash_arms_nothing_that_nobody_armed_again(tmp_path):
    """A service restarts a dead house without a keyboard; stopped and started once more, it asks."""

    async def play(stage):
        first = asyncio.create_task(stage.trade(SCRIPT))
        await stage.until("10:03:03")
        await stage.die(first)
        await asyncio.sleep(20)
        unattended = stage.engine(SCRIPT, types=False)
        second = asyncio.create_task(unattended.start(NobodyWatches()))
        await asyncio.sleep(30)
        unattended.stop()
        await second
        return json.loads((tmp_path / "live" / "arming.json").read_text())["in_use"]

    assert on_stage(play, tmp_path), "nobody has read the terms since the crash"


class PowerCut(BaseException):
    """The machine is gone."""


@pytest.mark.parametrize(("number", "left"), [(1, False), (1, True), (2, True), (3, False)])
def test_power_lost_around_a_send_sends_nothing_twice(tmp_path, monkeypatch, number, left):
    """The intent is on disk; whether a byte has left or not, it is looked for and never sent again."""
    real, count = KiteBroker.carry_out, 0

    def carry_out(self, command, at):
        nonlocal count
        count += 1
        if count != number or left:
            real(self, command, at)
        if count == number:
            raise PowerCut

    monkeypatch.setattr(KiteBroker, "carry_out", carry_out)

    async def play(stage):
        with pytest.raises(PowerCut):
            await stage.trade(SCRIPT)
        result = await stage.trade(SCRIPT)
        each_order_was_sent_once(stage, tmp_path)
        return result, stage.held()

    result, held = on_stage(play, tmp_path)
    assert held == 0
    assert not result.open_positions
    is_its_own_replay(tmp_path)


def test_without_the_phrase_and_with_nothing_open_the_day_does_not_start(tmp_path):
    async def play(stage):
        with pytest.raises(ConfigError, match="not armed") as refused:
            await stage.trade(SCRIPT, types=False)
        with pytest.raises(ConfigError):
            await stage.trade(SCRIPT, types="TRADE 20000")
        return str(refused.value), len(stage.posts())

    sentence, posts = on_stage(play, tmp_path)
    assert posts == 0
    assert "type: TRADE 200000" in sentence


def test_an_unarmed_house_protects_and_closes_what_it_owns_and_enters_nothing(tmp_path):
    async def play(stage):
        first = asyncio.create_task(stage.trade(SCRIPT))
        await stage.until("10:04:00")
        assert stage.held() == 10
        await stage.die(first)
        result = await stage.trade(SCRIPT, types=False)
        return result, stage.held(), stage.orders()

    result, held, orders = on_stage(play, tmp_path)
    assert (held, result.open_positions) == (0, {})
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL", "SELL"]
    assert [fact.code for fact in said(tmp_path, Blocked)] == ["HALTED"]
    assert [fact.word.value for fact in said(tmp_path, OperatorCommand)] == ["arm", "disarm"]


def test_armed_again_on_the_same_day_it_enters_again(tmp_path):
    async def play(stage):
        first = asyncio.create_task(stage.trade(SCRIPT))
        await stage.until("10:04:00")
        await stage.die(first)
        second = asyncio.create_task(stage.trade(SCRIPT, types=False))
        await stage.until("10:04:30")
        await stage.die(second)
        result = await stage.trade(SCRIPT)
        return result, stage.held()

    result, held = on_stage(play, tmp_path)
    assert (held, result.trades) == (0, 2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"live_capital": None}, "trading.live_capital is not set"),
        ({"live_capital": money("99999999999")}, "are free in the account"),
        ({"without_stop": ("one",)}, "one may enter without a stop"),
    ],
)
def test_terms_that_cannot_be_armed_are_refused_before_anybody_is_asked(
    tmp_path, changes, sentence
):
    async def play(stage):
        with pytest.raises(ConfigError, match=sentence):
            await stage.trade(SCRIPT, **changes)
        return stage.asked

    assert on_stage(play, tmp_path) == []


def test_a_stop_leaves_everything_protected_and_says_what_covers_it(tmp_path):
    async def play(stage):
        engine = stage.engine(SCRIPT)
        day = asyncio.create_task(engine.start(NobodyWatches()))
        await stage.until("10:04:00")
        engine.stop()
        result = await day
        kept = tmp_path / "live" / "arming.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        resting = [row for row in stage.orders() if row["status"] == "TRIGGER PENDING"]
        again = await stage.trade(SCRIPT)
        return result, len(resting), again, len(stage.asked), stage.held()

    result, resting, again, asked, held = on_stage(play, tmp_path)
    assert result.interrupted
    assert resting == 1
    assert any("stays open: stop" in note for note in result.notes)
    assert asked == 1, "a clean stop keeps the arming of the day"
    assert (again.open_positions, held) == ({}, 0)


def test_a_stop_with_flatten_leaves_nothing_open(tmp_path):
    async def play(stage):
        engine = stage.engine(SCRIPT)
        day = asyncio.create_task(engine.start(NobodyWatches()))
        await stage.until("10:04:00")
        engine.stop(flatten=True)
        result = await day
        open_rows = [r for r in stage.orders() if r["status"] in ("OPEN", "TRIGGER PENDING")]
        return result, stage.held(), open_rows, stage.exchange.now()

    result, held, open_rows, _ = on_stage(play, tmp_path)
    assert result.interrupted
    assert (held, open_rows, result.open_positions) == (0, [], {})


def test_a_fault_of_the_house_costs_its_entries_and_nothing_else(tmp_path, monkeypatch):
    real, failed = LiveDay.take_frame, []

    def take_frame(self, frame):
        if frame.received_at // 1_000_000 % 86_400 > 4.55 * 3600 and not failed:
            failed.append(frame)
            raise ZeroDivisionError("a planted fault")
        real(self, frame)

    monkeypatch.setattr(LiveDay, "take_frame", take_frame)

    async def play(stage):
        result = await stage.trade(SCRIPT)
        each_order_was_sent_once(stage, tmp_path)
        return result, stage.held(), len(stage.asked)

    result, held, asked = on_stage(play, tmp_path)
    assert failed
    assert (held, result.trades, asked) == (0, 1, 1)
    assert "ZeroDivisionError" in result.halted
    is_its_own_replay(tmp_path)


def test_a_second_fault_ends_the_day_and_says_where_to_look(tmp_path, monkeypatch):
    def take_frame(self, frame):
        raise ZeroDivisionError("a planted fault")

    monkeypatch.setattr(LiveDay, "take_frame", take_frame)

    async def play(stage):
        with pytest.raises(HouseError, match="failed twice") as ended:
            await stage.trade(SCRIPT)
        return ended.value.do

    assert "at the broker now" in on_stage(play, tmp_path)


def test_a_house_whose_own_text_was_changed_is_armed_again_by_a_person_or_not_at_all(
    tmp_path, monkeypatch
):
    """Two builds on one day: the second does not trade on what was armed for the first."""

    async def play(stage):
        plan = stage.plan(SCRIPT)
        arming = ArmingFile(tmp_path)
        first = stage.engine(SCRIPT)
        day = asyncio.create_task(first.start(NobodyWatches()))
        await stage.until("10:01:00")
        armed = msgspec.structs.replace(arming.read(), in_use=False)
        await stage.die(day)
        arming.write(armed)
        monkeypatch.setattr("kitestring.engine.live_plan.own_text", lambda: "another build")
        with pytest.raises(ConfigError, match="kitestring itself was changed since"):
            await stage.trade(SCRIPT, types=False)
        monkeypatch.undo()
        assert plan.config_hash == armed.config_hash
        return await stage.trade(SCRIPT, types=False)

    assert on_stage(play, tmp_path).trades


def test_the_text_of_the_house_is_every_byte_of_it(tmp_path):
    (tmp_path / "rooms").mkdir()
    for name, text in (("a.py", "1"), ("rooms/b.toml", "2"), ("c.pyc", "3")):
        (tmp_path / name).write_text(text)
    reads = own_text.__wrapped__
    before = reads(tmp_path)
    (tmp_path / "c.pyc").write_text("4")
    assert reads(tmp_path) == before
    (tmp_path / "rooms" / "b.toml").write_text("5")
    changed = reads(tmp_path)
    (tmp_path / "rooms" / "b.toml").rename(tmp_path / "rooms" / "c.toml")
    assert len({before, changed, reads(tmp_path)}) == 3
    assert own_text() == own_text.__wrapped__()
