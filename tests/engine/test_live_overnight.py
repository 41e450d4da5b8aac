"""A position over a night: what Friday leaves, who protects it, and how Monday takes it over."""

import asyncio

import pytest
from house_day import SCRIPTED
from night_stage import FRIDAY, MONDAY, long_over_the_night, on_day

from kitestring.domain.events import DayOpening, DaySealed, Note, OvernightStop
from kitestring.domain.money import price
from kitestring.domain.orders import ExitReason
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import Blocked
from kitestring.engine import overnight_stops
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.replay_run import replay_run
from kitestring.exchange.desk.form import Form
from kitestring.store.run_reader import chosen_run, read_run


def facts(artifacts, kind):
    return [each for each in read_run(chosen_run(artifacts)).facts() if isinstance(each, kind)]


def said(artifacts, kind):
    return [note.sentence for note in facts(artifacts, Note) if note.kind == kind]


def its_own_replay(artifacts):
    done = replay_run(read_run(chosen_run(artifacts)), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


@pytest.fixture
def friday(tmp_path):
    (result, net, resting, gtts), exchange = long_over_the_night(tmp_path)
    return tmp_path, result, net, resting, gtts, exchange


def test_after_the_close_a_trigger_stands_for_exactly_what_is_owned(friday):
    artifacts, result, net, resting, gtts, exchange = friday
    orders = exchange.desk.orders(exchange.now())
    assert net > 0
    assert not result.interrupted
    assert resting == (0, net), "after the close: the trigger alone"
    (row,) = gtts
    assert (row["status"], row["orders"][0]["transaction_type"]) == ("active", "SELL")
    assert row["orders"][0]["product"] == "NRML"
    assert 940 < row["condition"]["trigger_values"][0] < 960
    told = facts(artifacts, OvernightStop)
    assert [each.step for each in told] == ["asked", "stands"]
    assert told[1].trigger_id == row["id"]
    assert len(orders) == 2, "what lapsed at the close was not sent again"
    (sealed,) = facts(artifacts, DaySealed)
    assert [each.net_qty for each in sealed.handover.positions] == [net]
    its_own_replay(artifacts)


def breaking(after, error):
    """The same, but the first time it ends with an error, all of it done."""
    broken = []

    async def placed(*given):
        answer = await after(*given)
        if not broken:
            broken.append(answer)
            raise error
        return answer

    def finished(*given):
        if not broken:
            broken.append(given)
            raise error
        after(*given)

    return placed if asyncio.iscoroutinefunction(after) else finished


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        (overnight_stops, "_placed", asyncio.CancelledError()),
        (LiveEngine, "_finish", asyncio.CancelledError()),
        (LiveEngine, "_finish", RuntimeError("no space for the last line")),
    ],
    ids=["dies before the answer", "dies before the seal", "a fault in the house"],
)
def test_a_house_that_ends_between_trigger_and_seal_asks_for_no_second_one(
    tmp_path, monkeypatch, module, name, error
):
    monkeypatch.setattr(module, name, breaking(getattr(module, name), error))

    async def play(stage):
        task = asyncio.create_task(stage.trade("2 BUY stop=-50"))
        await asyncio.wait([task])
        if isinstance(error, asyncio.CancelledError):
            assert task.cancelled()
            assert facts(tmp_path, DaySealed) == []
            await stage.trade("2 BUY stop=-50")
        return stage.net(), stage.resting(), stage.gtts()

    (net, resting, gtts), _ = on_day(FRIDAY, play, tmp_path)
    assert net > 0
    assert resting == (0, net), "never more for sale than is owned"
    assert len(gtts) == 1
    assert facts(tmp_path, OvernightStop)[-1].trigger_id == gtts[0]["id"]
    assert facts(tmp_path, OvernightStop)[-1].step == "stands"
    assert len(facts(tmp_path, DaySealed)) == 1


def test_no_trigger_is_left_for_what_the_broker_does_not_confirm(tmp_path):
    """The owner has made another product of it; nothing explains that, and the position is frozen."""

    async def play(stage):
        task = asyncio.create_task(stage.trade("2 BUY stop=-50"))
        await stage.until("10:05:00")
        net, one = stage.net(), stage.market.shown[0]
        form = {
            "exchange": "NFO", "tradingsymbol": one.symbol, "transaction_type": "BUY",
            "position_type": "day", "quantity": str(net), "old_product": "NRML",
            "new_product": "MIS",
        }  # fmt: skip
        assert stage.exchange.portfolio.convert(stage.exchange.now(), Form(form))
        await task
        return stage.net(), stage.gtts()

    (net, gtts), _ = on_day(FRIDAY, play, tmp_path)
    assert (net, gtts) == (0, [])
    told = [note.sentence for note in facts(tmp_path, Note)]
    assert any("the broker confirms 0: no trigger for more" in sentence for sentence in told)


def test_monday_takes_the_trigger_back_and_protects_with_a_stop_of_its_own(friday):
    artifacts, _, net, _, _, night = friday

    async def play(stage):
        resting = []

        async def look():
            while True:
                resting.append(sum(stage.resting()))
                await asyncio.sleep(0.05)

        watch = asyncio.ensure_future(look())
        result = await stage.trade("5 EXIT")
        watch.cancel()
        return result, stage.net(), stage.resting(), resting, stage.orders(), stage.asked

    (result, left, after, resting, orders, asked), _ = on_day(
        MONDAY, play, artifacts, night=night, carried=True
    )
    assert max(resting) == net, "never more for sale than is owned"
    assert [row["order_type"] for row in orders] == ["SL", "LIMIT"]
    assert (left, after) == (0, (0, 0))
    assert result.trades == 1
    assert f"{net} NFO:" in "".join(asked[0][0])
    assert any(line.startswith("when stopped    leave_protected") for line in asked[0][0])
    (opening,) = facts(artifacts, DayOpening)
    assert (opening.date, opening.positions[0].strategy) == (str(FRIDAY), "one")
    assert not opening.positions[0].frozen
    assert [each.step for each in facts(artifacts, OvernightStop)] == ["gone"]
    its_own_replay(artifacts)


def test_a_trigger_that_fired_at_the_open_is_never_sold_a_second_time(friday):
    artifacts, _, net, _, _, night = friday

    async def play(stage):
        await stage.until("10:02:00")
        assert stage.net() == 0, "the trigger sold it"
        await stage.trade("5 EXIT")
        return stage.net(), stage.resting(), [row["tag"] for row in stage.orders()]

    (left, resting, tags), _ = on_day(MONDAY, play, artifacts, night=night, carried=True, px="945")
    assert (left, resting) == (0, (0, 0))
    assert tags == [None], "the trigger's order and none of ours"
    (stop,) = facts(artifacts, OvernightStop)
    assert (stop.step, stop.qty) == ("fired", net)
    (opening,) = facts(artifacts, DayOpening)
    assert "fired" in opening.positions[0].frozen
    (fill,), (trip,) = facts(artifacts, Fill), facts(artifacts, RoundTrip)
    assert (fill.cl_ord_id, fill.qty, fill.px) == (stop.order_id, net, price("944.90"))
    assert (trip.exit_reason, trip.exit_px) == (ExitReason.STOP, price("944.90"))
    assert any("by the overnight stop" in each for each in said(artifacts, "overnight stop"))
    assert not facts(artifacts, Blocked)
    its_own_replay(artifacts)


def test_the_strategy_may_enter_again_after_its_overnight_stop(friday):
    artifacts, _, net, _, _, night = friday

    async def play(stage):
        await stage.until("10:02:00")
        await stage.trade("5 BUY stop=-50")
        return stage.net(), [row["tag"] is None for row in stage.orders()]

    (left, past_us), _ = on_day(MONDAY, play, artifacts, night=night, carried=True, px="945")
    assert left == net, "what our own stop did is nobody's touch"
    assert past_us[:2] == [True, False]
    its_own_replay(artifacts)


@pytest.mark.parametrize("closed", [False, True], ids=["left alone", "closed by hand"])
def test_a_stop_that_fired_into_a_gap_is_said_aloud_and_nothing_is_sent_beside_it(friday, closed):
    artifacts, _, net, _, _, night = friday

    async def play(stage):
        await stage.until("10:02:00")
        day = asyncio.create_task(stage.trade("5 EXIT"))
        await stage.until("10:04:00")
        (resting,) = stage.orders()
        assert (resting["status"], resting["pending_quantity"]) == ("OPEN", net)
        if closed:
            stage.exchange.desk.modify(
                stage.clock.now(), "regular", resting["order_id"],
                Form({"order_type": "LIMIT", "price": "890"}),
            )  # fmt: skip
        await day
        return stage.net(), [row["tag"] for row in stage.orders()]

    (left, tags), _ = on_day(MONDAY, play, artifacts, night=night, carried=True, px="900")
    assert (left, tags) == (0 if closed else net, [None])
    sentence, *tonight = said(artifacts, "live: unprotected position")
    assert [f"{net} " in each and "overnight without a stop" in each for each in tonight] == (
        [] if closed else [True]
    )
    assert "0 of 65 traded" in sentence
    assert "change that order to MARKET" in sentence
    assert [each.qty for each in facts(artifacts, Fill)] == ([net] if closed else [])
    its_own_replay(artifacts)


def test_a_fired_stop_whose_order_is_over_without_a_trade_gives_the_position_back(friday):
    artifacts, _, _, _, _, night = friday

    async def play(stage):
        await stage.until("10:02:00")
        (resting,) = stage.orders()
        stage.exchange.desk.cancel(stage.clock.now(), "regular", resting["order_id"])
        await stage.trade("5 EXIT")
        return stage.net(), [(row["tag"] is None, row["status"]) for row in stage.orders()]

    (left, orders), _ = on_day(MONDAY, play, artifacts, night=night, carried=True, px="900")
    assert left == 0
    assert orders[0] == (True, "CANCELLED")
    assert [whose for whose, status in orders if status == "COMPLETE"] == [False]
    assert "without a trade" in facts(artifacts, OvernightStop)[0].sentence
    its_own_replay(artifacts)


def test_a_trigger_that_cannot_be_taken_back_keeps_the_position_to_itself(friday):
    artifacts, _, net, _, _, night = friday

    async def play(stage):
        stage.exchange.gtt.delete = lambda now, trigger_id: {"trigger_id": int(trigger_id)}
        await stage.trade("5 EXIT")
        return stage.net(), stage.resting(), stage.orders()

    (left, resting, orders), _ = on_day(MONDAY, play, artifacts, night=night, carried=True)
    assert (left, resting, orders) == (net, (0, net), [])
    assert [each.step for each in facts(artifacts, OvernightStop)] == ["unknown"]


def test_what_the_broker_does_not_show_is_frozen_and_named(friday):
    artifacts, _, _, _, _, night = friday

    async def play(stage):
        await stage.trade("5 EXIT")
        return stage.net(), stage.orders()

    (left, orders), _ = on_day(MONDAY, play, artifacts, night=night, carried=False)
    assert (left, orders) == (0, []), "nothing was sold that nobody holds"
    assert any("the broker shows 0" in each for each in said(artifacts, "frozen"))
    assert any("kitestring resolve" in each for each in said(artifacts, "frozen")), "a way out"
    its_own_replay(artifacts)


def test_a_day_that_nobody_finished_is_taken_up_from_its_journal_and_said_aloud(tmp_path):
    async def dies(stage):
        task = asyncio.create_task(stage.trade("2 BUY stop=-50"))
        await stage.until("10:05:00")
        await stage.die(task)
        return stage.net()

    net, night = on_day(FRIDAY, dies, tmp_path)
    assert net > 0

    async def play(stage):
        result = await stage.trade("5 EXIT")
        return result, stage.net(), [row["order_type"] for row in stage.orders()]

    (result, left, types), _ = on_day(MONDAY, play, tmp_path, night=night, carried=True)
    assert (left, types, result.trades) == (0, ["SL", "LIMIT"], 1)
    assert any(
        "was never finished" in sentence and f"owned: {net} " in sentence
        for sentence in said(tmp_path, "live: the day before")
    )
