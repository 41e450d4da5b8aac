"""Faults of the exchange that only a whole live day shows, judged by the exchange's own books."""

import asyncio
import datetime as dt

import live_stage
import pytest
from house_day import SCRIPTED
from live_stage import DAY, at, on_stage
from second_terminal import until

from kitestring.broker.instruments_of_day import instruments_of_day
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.domain.errors import InstrumentsRefused
from kitestring.domain.events import Note
from kitestring.domain.instants import SECOND
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import Blocked, PlaceOrder
from kitestring.engine.replay_run import replay_run
from kitestring.store.instrument_dumps import InstrumentDumps
from kitestring.store.run_reader import chosen_run, read_run


def said(artifacts, kind):
    return [fact for fact in read_run(chosen_run(artifacts)).facts() if isinstance(fact, kind)]


def notes(artifacts, kind):
    return [(note.at, note.sentence) for note in said(artifacts, Note) if note.kind == kind]


def is_its_own_replay(artifacts):
    done = replay_run(read_run(chosen_run(artifacts)), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


def script(fault):
    return f"faults:\n  - {{{fault}}}\n"


async def until_flat(stage, since):
    """How long the exchange's books go on showing the position."""
    while stage.held():
        await stage.clock.wait_until(stage.clock.now() + SECOND // 4)
        assert stage.clock.now() < at("10:11:00"), stage.orders()
    return (stage.clock.now() - since) / SECOND


def test_a_stop_whose_sending_never_arrived_is_said_at_once_and_replaced_after_two_minutes(
    tmp_path,
):
    """``no_answer``: the fill has just moved the book, so that two minutes of looking are enough."""

    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5"))
        await until(stage.held, within_s=300)
        bought = stage.clock.now()
        bare_s = await until_flat(stage, bought)
        return await day, bought, bare_s, stage.orders(), len(stage.posts())

    fault = "kind: no_answer, route: POST /orders/*, nth: 2, reached: false, close_after: 1"
    result, bought, bare_s, orders, posts = on_stage(play, tmp_path, script(fault))
    assert result.open_positions == {}
    assert [row["transaction_type"] for row in orders] == ["BUY", "SELL"], "the stop is not there"
    assert posts == 3, "entry, the stop that was lost, and one exit"
    assert 120 <= bare_s < 140
    told, sentence = notes(tmp_path, "unprotected position")[0]
    assert told - bought < 10 * SECOND
    assert "10 of 10 NSE:INFY of one have had no stop at the broker" in sentence
    is_its_own_replay(tmp_path)


def test_rms_square_off_is_booked_once_and_nothing_of_ours_is_left(tmp_path):
    async def play(stage):
        result = await stage.trade("2 BUY stop=-5; 7 BUY stop=-5")
        return result, stage.held(), stage.orders()

    result, held, orders = on_stage(play, tmp_path, script('kind: rms_square_off, from: "10:04"'))
    assert (held, result.open_positions) == (0, {})
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    assert [trip.exit_reason.value for trip in said(tmp_path, RoundTrip)] == ["broker's risk desk"]
    assert [fact.code for fact in said(tmp_path, Blocked)] == ["TOUCHED_BY_HAND"]
    is_its_own_replay(tmp_path)


def test_token_flush_leaves_the_stop_to_work_and_enters_nothing_more(tmp_path):
    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 EXIT; 7 SELL stop=+5"))
        await stage.until("10:06:00")
        dead = stage.held(), [row["status"] for row in stage.orders()]
        stage.log_in()
        result = await day
        return dead, result, stage.held(), stage.orders()

    dead, result, held, orders = on_stage(
        play, tmp_path, script('kind: token_flush, from: "10:04"')
    )
    assert dead == (10, ["COMPLETE", "TRIGGER PENDING"]), "no exit can be sent; the stop protects"
    assert (held, result.open_positions) == (0, {})
    assert len(orders) == len({row["tag"] for row in orders}) == len(said(tmp_path, PlaceOrder))


@pytest.mark.parametrize("ahead_s", [-90, 90])
def test_clock_skew_in_mid_day_costs_entries_and_leaves_stop_and_square_off(tmp_path, ahead_s):
    async def play(stage):
        day = asyncio.create_task(stage.trade("2 BUY stop=-5; 5 EXIT; 7 BUY stop=-5"))
        await stage.until("10:08:00")
        skewed = stage.held(), [row["status"] for row in stage.orders()]
        return skewed, await day, stage.held(), stage.orders()

    fault = f'kind: clock_skew, seconds: {ahead_s}, from: "10:04", until: "10:08:30"'
    skewed, result, held, orders = on_stage(play, tmp_path, script(fault))
    assert skewed == (10, ["COMPLETE", "TRIGGER PENDING"]), "nothing is decided on such ticks"
    assert (held, result.open_positions) == (0, {})
    assert [(row["transaction_type"], row["status"]) for row in orders] == [
        ("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE"),
    ]  # fmt: skip
    assert orders[2]["order_timestamp"][11:16] == "10:10", "squared off when it was due"
    assert any("no fresh tick" in sentence for _, sentence in notes(tmp_path, "live: feed"))
    is_its_own_replay(tmp_path)


@pytest.mark.parametrize("ahead_s", [-2, 2])
def test_clock_skew_of_two_seconds_changes_no_trade(tmp_path, ahead_s):
    async def play(stage):
        result = await stage.trade("2 BUY stop=-5; 5 EXIT; 7 BUY stop=-5")
        return result, stage.held(), [row["status"] for row in stage.orders()]

    fault = f'kind: clock_skew, seconds: {ahead_s}, from: "10:04", until: "10:08:30"'
    result, held, rows = on_stage(play, tmp_path, script(fault))
    assert (held, result.trades, result.open_positions) == (0, 2, {})
    assert rows == ["COMPLETE", "CANCELLED", "COMPLETE"] * 2


ON_THE_FEED = [
    ("absurd_price", "how: zero, times: 60"),
    ("absurd_price", "how: x100, times: 60"),
    ("stale_ticks", "age: 30, how: instead, times: 60"),
    ("malformed_frame", "how: cut, times: 20"),
    ("socket_closed", "how: reset, times: 1"),
    ("ticks_silent", "for: 60"),
    ("half_open", "for: 60, reconnect_cures: false"),
    ("instrument_frozen", "for: 60"),
]
LONG_DAY = "2 BUY stop=-5; 7 EXIT"
AS_ON_A_CALM_DAY = [("BUY", "COMPLETE"), ("SELL", "CANCELLED"), ("SELL", "COMPLETE")]


async def a_long_day(stage):
    result = await stage.trade(LONG_DAY)
    rows = [(row["transaction_type"], row["status"]) for row in stage.orders()]
    return result, stage.held(), rows, stage.orders()[-1], len(stage.stage.faults.strikes)


@pytest.mark.parametrize(("kind", "how"), ON_THE_FEED, ids=str)
def test_whatever_the_feed_does_with_a_position_open_the_trades_are_those_of_a_calm_day(
    tmp_path, kind, how
):
    fault = f'kind: {kind}, from: "10:03:30", {how}'
    result, held, rows, last, struck = on_stage(a_long_day, tmp_path, script(fault))
    assert struck
    assert (held, result.open_positions) == (0, {})
    assert rows == AS_ON_A_CALM_DAY, "no loss and no stop was seen that was not there"
    assert last["order_timestamp"][11:16] == "10:07"
    is_its_own_replay(tmp_path)


def test_a_feed_that_upgrade_refused_keeps_out_leaves_stop_and_square_off(tmp_path):
    faults = (
        "faults:\n"
        '  - {kind: socket_closed, from: "10:03:30", times: 1}\n'
        '  - {kind: upgrade_refused, status: 502, from: "10:03:30", until: "10:09", times: 500}\n'
    )
    result, held, rows, last, struck = on_stage(a_long_day, tmp_path, faults)
    assert struck > 2
    assert (held, result.open_positions, rows) == (0, {}, AS_ON_A_CALM_DAY)
    assert last["order_timestamp"][11:16] == "10:10"
    is_its_own_replay(tmp_path)


WRONG_LISTS = {
    "changed": "13 of 13 rows are wrong",
    "cut": "lost too much",
    "headless": "does not begin with its columns",
    "empty": "no instrument|lost too much|no rows",
}


async def todays_list(stage, dumps):
    async with KiteHttp(stage.settings) as http:
        client = KiteClient(stage.settings, stage.token, http)
        return await instruments_of_day(dumps, client.instruments, stage.clock.now())


@pytest.mark.parametrize("how", WRONG_LISTS)
def test_instruments_wrong_is_refused_and_the_right_list_is_taken_afterwards(tmp_path, how):
    async def play(stage):
        dumps = InstrumentDumps(tmp_path / "instruments")
        before = DAY - dt.timedelta(days=1)
        dumps.keep(b"kept", day=before, fetched_at=1, counts={"NFO": 4, "NSE": 9})
        with pytest.raises(InstrumentsRefused, match=WRONG_LISTS[how]):
            await todays_list(stage, dumps)
        assert dumps.read(DAY) is None, "what was refused is not kept"
        return set(await todays_list(stage, dumps)), set(stage.exchange.listing.by_key)

    taken, listed = on_stage(play, tmp_path, script(f"kind: instruments_wrong, how: {how}, nth: 1"))
    assert taken == listed


def test_instruments_wrong_of_yesterday_is_told_by_what_has_expired_in_it(tmp_path, monkeypatch):
    """Tuesday the 24th is a holiday: November's contracts expired on Monday."""
    monkeypatch.setattr(live_stage, "DAY", dt.date(2026, 11, 25))

    async def play(stage):
        dumps = InstrumentDumps(tmp_path / "instruments")
        with pytest.raises(InstrumentsRefused, match="is not of 2026-11-25: 2 of its 4"):
            await todays_list(stage, dumps)
        return set(await todays_list(stage, dumps)), set(stage.exchange.listing.by_key)

    taken, listed = on_stage(
        play, tmp_path, script("kind: instruments_wrong, how: yesterday, nth: 1")
    )
    assert taken == listed
