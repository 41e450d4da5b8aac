"""A live day counts with the margins the broker told it before it began, and so does whoever repeats it."""

import pytest
from house_day import SCRIPTED
from live_stage import on_stage

from kitestring.domain.events import Note, RunOpened
from kitestring.domain.money import price
from kitestring.domain.orders import Product, Side
from kitestring.domain.verdicts import Blocked
from kitestring.engine.broker_margins import margins_of
from kitestring.engine.replay_run import replay_run
from kitestring.exchange.margin import StatedMargins
from kitestring.store.run_reader import chosen_run, read_run


def facts(artifacts, kind):
    return [each for each in read_run(chosen_run(artifacts)).facts() if isinstance(each, kind)]


def traded(stage):
    return [(row["transaction_type"], row["status"]) for row in stage.orders()]


def its_own_replay(artifacts):
    done = replay_run(read_run(chosen_run(artifacts)), lambda _: SCRIPTED).replayed
    assert done.difference is None, done.difference


async def a_day(stage):
    infy = stage.market.shown[0]
    await stage.trade("2 BUY stop=-5; 5 EXIT")
    return infy, traded(stage)


def test_what_the_broker_said_is_in_the_journal_and_is_what_risk_counts_with(tmp_path):
    infy, orders = on_stage(a_day, tmp_path)
    assert ("BUY", "COMPLETE") in orders
    (opened,) = facts(tmp_path, RunOpened)
    (row,) = opened.margins
    assert (row.instrument, row.product, row.qty, row.why) == (infy.id, "MIS", 1, "")
    told, stated = margins_of(opened.margins), StatedMargins()
    for px in (row.px, price("1612.35")):
        theirs = told.unit_margin(infy, Product.MIS, Side.SELL, px)
        assert abs(int(theirs) - int(stated.unit_margin(infy, Product.MIS, Side.SELL, px))) <= 100
    its_own_replay(tmp_path)


@pytest.mark.parametrize("times", [1_000, 1], ids=["dear", "usual"])
def test_a_dearer_broker_leaves_no_money_for_an_entry(tmp_path, times):
    """One share at 1,500 wants 300 of 200,000; at a thousand times that not one fits."""

    async def play(stage):
        calculators = stage.exchange.calculators
        usual = calculators.order_margins

        def dear(now, items, *, compact=False):
            rows = usual(now, items, compact=compact)
            return [row | {"total": row["total"] * times} for row in rows]

        if times > 1:
            calculators.order_margins = dear
        return await a_day(stage)

    _, orders = on_stage(play, tmp_path)
    assert (orders == []) is (times > 1)
    codes = [fact.code for fact in facts(tmp_path, Blocked)]
    assert bool(codes) is (times > 1)
    its_own_replay(tmp_path)


def test_a_margin_that_cannot_be_read_opens_no_position_and_says_so(tmp_path):

    async def play(stage):
        def none(now, items, *, compact=False):
            del now, items, compact
            return []

        stage.exchange.calculators.order_margins = none
        return await a_day(stage)

    _, orders = on_stage(play, tmp_path)
    assert orders == []
    (blocked,) = facts(tmp_path, Blocked)
    assert blocked.code == "MARGIN_UNKNOWN"
    assert "0 margins for 2 orders" in blocked.sentence
    assert any(note.kind == "live: margin" for note in facts(tmp_path, Note))
    its_own_replay(tmp_path)
