"""A house that is started again looks at the broker's books before it sends anything of its own opinion."""

import asyncio
from contextlib import suppress

import pytest
from house_day import SCRIPTED
from live_stage import on_stage

from kitestring.domain.events import Note
from kitestring.domain.instants import SECOND, ist_clock
from kitestring.engine.replay_run import replay_run
from kitestring.store.run_reader import chosen_run, read_run

SCRIPT = "2 BUY stop=-5"


def phone(stage, side, qty):
    return stage.stage.reach.order_from_phone(
        stage.exchange.now(),
        "regular",
        {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": side,
            "quantity": str(qty),
            "product": "MIS",
            "validity": "DAY",
            "order_type": "MARKET",
            "market_protection": "-1",
        },
    )


def the_stop(stage):
    return next(row for row in stage.orders() if row["order_type"] == "SL")


def withdraw_the_stop(stage):
    stage.exchange.desk.cancel(stage.exchange.now(), "regular", the_stop(stage)["order_id"])


def taken_up_again(tmp_path, meanwhile, faults=""):
    """What a house does that dies with a position and a stop, after what others did ``meanwhile``."""

    async def play(stage):
        first = asyncio.create_task(stage.trade(SCRIPT))
        await stage.until("10:03:03")
        await stage.die(first)
        assert stage.held() == 10
        await asyncio.sleep(5)
        meanwhile(stage)
        await asyncio.sleep(5)
        before = {row["order_id"] for row in stage.orders()}
        began = stage.clock.now()
        second = asyncio.create_task(stage.trade(SCRIPT))
        await asyncio.sleep(40)
        new = [row for row in stage.orders() if row["order_id"] not in before]
        held = stage.held()
        with suppress(asyncio.CancelledError):
            await stage.die(second)
        return new, held, began

    new, held, began = on_stage(play, tmp_path, faults)
    run = read_run(chosen_run(tmp_path))
    notes = [fact for fact in run.facts() if isinstance(fact, Note) and fact.at >= began]
    assert replay_run(run, lambda _: SCRIPTED).replayed.difference is None
    return new, held, notes


def test_nothing_is_sent_for_a_position_that_others_closed_meanwhile(tmp_path):
    def meanwhile(stage):
        withdraw_the_stop(stage)
        phone(stage, "SELL", 10)

    new, held, notes = taken_up_again(tmp_path, meanwhile)
    assert (new, held) == ([], 0)
    assert "closed by others" in {note.kind for note in notes}


def test_a_stop_that_is_gone_is_sent_again_for_what_is_there(tmp_path):
    new, held, _ = taken_up_again(tmp_path, withdraw_the_stop)
    assert held == 10
    assert [(row["order_type"], row["quantity"]) for row in new] == [("SL", 10)]


UNREADABLE = """
faults:
  - {kind: KIND, route: GET /portfolio/positions, from: "10:03:10", until: "10:03:40"}
"""


@pytest.mark.parametrize("kind", ["html_error", "no_answer"])
def test_books_that_cannot_be_read_are_waited_for_and_do_not_leave_it_bare(tmp_path, kind):
    new, held, notes = taken_up_again(tmp_path, withdraw_the_stop, UNREADABLE.replace("KIND", kind))
    assert held == 10
    assert [(row["order_type"], row["quantity"]) for row in new] == [("SL", 10)]
    (waited,) = [note for note in notes if "Started again" in note.sentence]
    assert waited.kind == "live: books"
    assert ist_clock(waited.at) <= "10:03:20", "a position is not left bare for it"
    sent_at = str(new[0]["order_timestamp"]).partition(" ")[2]
    assert sent_at <= ist_clock(waited.at + 2 * SECOND)
