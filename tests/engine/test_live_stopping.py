"""A live day that is stopped before its end: what each policy does, by the exchange's own books."""

import asyncio
import signal

import msgspec
import pytest
from live_stage import on_stage

from kitestring.engine.leaving import stopping_on_signals
from kitestring.engine.stopping import Stopping
from kitestring.engine.watching import NobodyWatches


def thin(market):
    """One share on either side, so that an entry of ten takes its time."""
    whole = market._tick

    def tick(instrument, second, now):
        full = whole(instrument, second, now)
        return msgspec.structs.replace(full, bid_qty=1, ask_qty=1)

    market._tick = tick


async def stopped_in_its_entry(stage, policy):
    """The house is stopped three seconds after its entry left; the day's result and the books."""
    thin(stage.market)
    script = "2 BUY stop=-5"
    settings = stage.plan(script).settings
    row = msgspec.structs.replace(settings.strategies[0], lots=600)
    settings = msgspec.structs.replace(settings, strategies=(row,))
    engine = stage.engine(script, stopping=policy, settings=settings)
    task = asyncio.create_task(engine.start(NobodyWatches()))
    await stage.until("10:02:04.500000")
    held = stage.held()
    assert 0 < held < 600, "the entry is under way"
    deletes = len(stage.stage.ledger.conversations(method="DELETE", path="/orders/"))
    engine.stop()
    result = await task
    asked = len(stage.stage.ledger.conversations(method="DELETE", path="/orders/")) - deletes
    return result, stage.held(), stage.orders(), asked


def rows(orders, side):
    return [row for row in orders if row["transaction_type"] == side]


def test_leave_protected_withdraws_the_entry_and_keeps_a_stop_for_all_that_is_held(tmp_path):
    def play(stage):
        return stopped_in_its_entry(stage, Stopping.LEAVE_PROTECTED)

    result, held, orders, _ = on_stage(play, tmp_path)
    assert result.interrupted
    (entry,) = rows(orders, "BUY")
    assert (entry["status"], entry["filled_quantity"]) == ("CANCELLED", held)
    (stop,) = [row for row in rows(orders, "SELL") if row["status"] == "TRIGGER PENDING"]
    assert stop["quantity"] == held
    said = " ".join(result.notes)
    assert stop["order_id"] in said
    assert "dead at the close of the session at 10:12" in said


def test_flatten_leaves_nothing_open(tmp_path):
    def play(stage):
        return stopped_in_its_entry(stage, Stopping.FLATTEN)

    result, held, orders, _ = on_stage(play, tmp_path)
    assert (result.interrupted, held) == (True, 0)
    assert all(row["status"] in {"COMPLETE", "CANCELLED"} for row in orders)


def test_handover_touches_nothing(tmp_path):
    def play(stage):
        return stopped_in_its_entry(stage, Stopping.HANDOVER)

    result, _, orders, asked = on_stage(play, tmp_path)
    assert result.interrupted
    assert asked == 0
    assert rows(orders, "BUY")[0]["status"] in {"OPEN", "COMPLETE"}


def test_a_stopped_day_that_is_started_again_enters_again(tmp_path):
    async def play(stage):
        engine = stage.engine("6 BUY stop=-5", stopping=Stopping.LEAVE_PROTECTED)
        task = asyncio.create_task(engine.start(NobodyWatches()))
        await stage.until("10:03:00")
        engine.stop()
        await task
        await stage.trade("6 BUY stop=-5")
        return stage.orders(), len(stage.asked)

    orders, asked = on_stage(play, tmp_path)
    assert rows(orders, "BUY"), "the word that stopped entries was lifted"
    assert asked == 1, "a clean stop keeps the arming"


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGINT, "stop"), (signal.SIGTERM, "terminate")]
)
def test_a_signal_runs_the_policy_once_and_a_second_one_is_the_systems_own(number, how):
    heard = []

    async def run():
        loop = asyncio.get_running_loop()
        with stopping_on_signals(lambda: heard.append("stop"), lambda: heard.append("terminate")):
            signal.raise_signal(number)
            await asyncio.sleep(0.05)
            return loop.remove_signal_handler(number)

    assert asyncio.run(run()) is False, "after the first one nobody of ours listens"
    assert heard == [how]
