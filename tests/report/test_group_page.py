"""Many days on one page: what each made, added up."""

import json

from page_reading import Page
from report_days import hand_made_day

from kitestring.domain.events import RunOpened
from kitestring.domain.money import money
from kitestring.report.figures import figures
from kitestring.report.group_report import Day, group_page


def day(date, feed="by hand", **changes):
    opened = RunOpened(
        mode="paper", date=date, feed=feed, seed=1, run_key=date, config_hash="c0ffee",
        strategy_hashes={}, fill_model="market", charges=f"charges of {date}",
        capital=1_000_000_000, version="0.1.0",
    )  # fmt: skip
    facts = hand_made_day(opened=opened, **changes)
    return Day(
        figures=figures(facts),
        terms=(("Market data", feed), ("Charges", opened.charges)),
        claimed=money("14.9985"),
        run=f"{date}-paper-0123abcd",
        head=date,
        sealed=facts.sealed is not None,
    )


def test_days_add_up_and_are_listed_in_order():
    page = Page(group_page([day("2026-11-19"), day("2026-11-20"), day("2026-11-23")]).decode())
    assert page.texts["net"] == "+₹266.91"
    assert page.texts["trades"] == "3"
    assert page.texts["claimed"] == "+₹45.00"
    assert page.texts["drawdown"] == "₹100.00"
    assert [(row["Day"], row["Net"], row["Drawdown"]) for row in page.rows("days")] == [
        ("Thu 19 Nov 2026", "+₹88.97", "₹100.00"),
        ("Fri 20 Nov 2026", "+₹88.97", "₹100.00"),
        ("Mon 23 Nov 2026", "+₹88.97", "₹100.00"),
    ]
    (strategy,) = page.rows("by-strategy")
    assert (strategy["Trades"], strategy["Net"], strategy["Average R"]) == (
        "3",
        "+₹266.91",
        "+0.89 R",
    )
    curve = page.attributes["equity-curve"]
    assert json.loads(curve["data-values"]) == [[0, 0], [1, 889685], [2, 1779370], [3, 2669055]]
    assert curve["data-days"] == "before|19 Nov|20 Nov|23 Nov"


def test_a_fall_that_lasts_over_a_night_is_one_fall():
    sinking = {"fills": hand_made_day().fills[:1], "trades": (), "sealed": None}
    bars = hand_made_day().minutes
    held = {name: rows[:3] for name, rows in bars.items()}
    page = Page(
        group_page(
            [day("2026-11-19", minutes=held, **sinking), day("2026-11-20", minutes=held, **sinking)]
        ).decode()
    )
    # +41.9985 on the first day, then −58.0015, then +41.9985 and −58.0015 below that.
    assert page.texts["drawdown"] == "₹158.00"
    assert "19 Nov 2026: shown as far as it went" in page.texts["terms"]


def test_terms_that_differ_are_named_and_many_are_shortened():
    few = Page(group_page([day("2026-11-19"), day("2026-11-20", feed="tape")]).decode())
    assert "by hand (1 of 2 days)" in few.texts["terms"]
    assert "tape (1 of 2 days)" in few.texts["terms"]
    many = Page(group_page([day(f"2026-11-{number}") for number in (16, 17, 18, 19)]).decode())
    assert "charges of 2026-11-16 … charges of 2026-11-19 (4 different)" in many.texts["terms"]
    assert "charges of 2026-11-17" not in many.texts["terms"]
