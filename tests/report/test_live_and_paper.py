"""A live day beside paper on the page: every rupee in one row, what was missed and why, the days so far."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path

import pytest
from page_reading import Page

from kitestring.domain.money import Money, money, show_rupees
from kitestring.market.charges import configured_charges
from kitestring.report.day_report import beside_paper, day_page, write_day_report
from kitestring.report.live_and_paper import live_and_paper, side_by_side
from kitestring.report.run_facts import read_run
from kitestring.store.run_pairs import RunPair, pair_of, pairs

sys.path.append(str(Path(__file__).parents[1] / "engine"))

from live_stage import DAY, on_stage
from twin_on_stage import DearMarket, TwinBeside

SCRIPT = "2 BUY stop=-5; 4 EXIT; 5 SELL stop=+8; 7 EXIT"
REFUSED = """\
faults:
  - {kind: rms_rejection, route: POST /orders/*, message: "RMS: margin exceeds", nth: 4}
"""
"""The first trade's entry, stop and exit come before it."""


def traded(folder, script=SCRIPT, faults=""):
    """A live day of flat charges at a market that fills worse than paper, with its twin."""
    beside = TwinBeside("instant")

    async def play(stage):
        await stage.trade(
            script, beside=(beside,), charge_book=configured_charges("flat 0.1%", DAY)
        )

    on_stage(play, folder, faults, market=DearMarket())
    (pair,) = pairs(folder)
    return pair


@pytest.fixture(scope="module")
def dear(tmp_path_factory):
    return traded(tmp_path_factory.mktemp("dear"))


def compared(pair):
    return side_by_side(read_run(pair.live), read_run(pair.paper))


def test_worse_fills_stand_where_they_belong_to_the_paisa(dear):
    day = compared(dear)
    found = {each.what: each.rupees for each in day.sources}
    # Bought 10 at +2.00 and sold 10 at -0.50 as entries; the exits the other way round.
    assert found["entry prices of the same trades"] == money("-25.00")
    assert found["exit prices, left for the same reason"] == money("-25.00")
    # 0.1 % of 15 00-odd rupees more: two trades of 30,015.00 instead of 30,000.00.
    assert found["charges of the same trades"] == money("-0.03")
    assert day.difference == money("-50.03")
    assert sum((each.rupees for each in day.sources), Money(0)) == day.difference
    assert (day.paper_net, day.live_net) == (money("-60.00"), money("-110.03"))


def test_the_page_of_the_live_day_says_it(dear):
    write_day_report(dear.live)
    page = Page(dear.live.report.read_text(encoding="utf-8"))
    assert page.texts["paper-net"] == show_rupees(money("-60.00")).replace("-", "−")
    assert page.texts["live-difference"] == "₹50.03"
    assert "beside" in page.attributes
    assert "days-beside" not in page.attributes, "one day is no row of days"


def test_the_twins_own_page_and_a_day_without_one_say_nothing(dear, tmp_path):
    assert beside_paper(dear.paper, read_run(dear.paper)) == ""
    alone = dataclasses.replace(dear.live, artifacts=tmp_path)
    assert pairs(tmp_path) == []
    assert pair_of(alone) is None


def test_a_refused_order_is_a_missed_trade_with_the_brokers_words(tmp_path):
    pair = traded(tmp_path, faults=REFUSED)
    day = compared(pair)
    missed = [row for row in day.rows if row.live is None]
    assert len(missed) == 1
    assert missed[0].why == "rejected by the broker: RMS: margin exceeds"
    # Paper's trade at one price twice costs its charges: 0.1 % of 30,000.00; live was spared them.
    assert {each.what: each.rupees for each in day.sources}["trades only the first has"] == money(
        "30.00"
    )
    assert len(day.rejected) == 1
    assert day.rejected[0].endswith("SELL 10 INFY: RMS: margin exceeds")
    page = day_page(read_run(pair.live), beside=live_and_paper(day, [pair])).decode()
    assert "rejected by the broker: RMS: margin exceeds" in page
    assert "Refused by the broker: 1" in page


def days_of(pair, results):
    """Days before a pair, with their paper and live results."""
    return [
        RunPair(
            dataclasses.replace(pair.live, date=DAY - dt.timedelta(days=len(results) - n)),
            pair.paper, money(live), money(paper),
        )
        for n, (paper, live) in enumerate(results)
    ]  # fmt: skip


def test_days_add_up(dear):
    results = [("310.00", "120.00"), ("-220.00", "-300.00"), ("150.50", "90.00")]
    days = [*days_of(dear, results), dear]
    shown = Page(live_and_paper(compared(dear), days))
    # 310 - 220 + 150.50 - 60 and 120 - 300 + 90 - 110.03
    assert shown.texts["days-claim"] == "4 days: paper +₹180.50, live −₹200.03"
    assert "20 Nov" in shown.attributes["days-beside"]["data-days"]


def test_pairs_are_found_by_the_twins_word_and_only_when_both_are_over(dear):
    (pair,) = pairs(dear.live.artifacts)
    assert (pair.live.mode, pair.paper.mode) == ("live", "twin")
    assert pair_of(dear.live) == pair
    assert pairs(dear.live.artifacts, until=DAY - dt.timedelta(days=1)) == []
