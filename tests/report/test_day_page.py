"""The page of a day that was really traded, held against the files the day left."""

import csv
import json
import re
from collections import Counter
from decimal import Decimal

import pytest
from page_reading import Page, inr, shown_charge
from report_days import HOSTILE, trade_a_day

from kitestring.domain.errors import AnotherDayIsRunning, StoreError
from kitestring.report.day_report import write_day_report
from kitestring.store.journal import SqliteJournal, verify
from kitestring.store.paths import list_runs


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return trade_a_day(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def run(artifacts):
    (run,) = list_runs(artifacts)
    return run


@pytest.fixture(scope="module")
def html(run):
    return run.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def net(trade):
    return Decimal(trade["gross_pnl"]) - shown_charge(trade["charges"])


def won(trades):
    return sum(net(trade) > 0 for trade in trades)


@pytest.fixture(scope="module")
def trades(run):
    trades = read_csv(run.trades)
    assert len(trades) >= 4, "the day of these tests should trade"
    return trades


@pytest.fixture(scope="module")
def summary(run):
    return json.loads(run.summary.read_text(encoding="utf-8"), parse_float=Decimal)


def test_the_day_leaves_its_report_at_the_familiar_path_and_names_it(artifacts, run, summary):
    shown = artifacts / "journal" / "2026-11-20" / "report.html"
    assert shown.read_bytes() == run.report.read_bytes()
    assert summary["artifacts"]["report"] == str(shown)


def test_the_headline_is_the_days_summary(page, summary, trades):
    assert page.texts["net"] == inr(summary["net"], signed=True)
    assert page.texts["trades"] == str(summary["trades"])
    assert page.texts["win-rate"] == f"{100 * summary['wins'] / summary['trades']:.0f} %"
    assert page.texts["slippage"] == inr(summary["slippage"])
    assert page.texts["equity"] == inr(summary["closing_equity"])
    assert f"{summary['wins']} won, {summary['losses']} lost" in "".join(page.words)
    multiples = [float(trade["r_multiple"]) for trade in trades if trade["r_multiple"]]
    shown = f"{sum(multiples) / len(multiples):+.2f} R".replace("-", "−")
    assert page.texts["expectancy"] == shown


def test_fill_model_source_charges_and_notes_are_named_before_any_result_is_explained(
    html, page, summary
):
    terms = page.texts["terms"]
    assert summary["fill_model"] in terms
    assert summary["feed"] in terms
    assert summary["charges_name"] in terms
    assert all(note in terms for note in summary["notes"])
    assert html.index('id="terms"') < html.index('id="curve"')


def test_every_round_trip_is_the_row_of_trades_csv(page, trades):
    shown = page.rows("round-trips")
    exits = page.below("round-trips", "Entry → exit")
    worst = page.below("round-trips", "MFE / MAE")
    assert len(shown) == len(trades)
    for row, exit_px, mae, trade in zip(shown, exits, worst, trades, strict=True):
        times = f"{trade['entry_time'][11:19]} → {trade['exit_time'][11:19]}"
        side = "long" if trade["side"] == "BUY" else "short"
        assert row["Time"] == times
        assert row["Instrument"] == trade["symbol"]
        assert row["Position"] == f"{side} {trade['quantity']}"
        assert row["Entry → exit"] == inr(trade["entry_price"])
        assert exit_px == f"→ {inr(trade['exit_price'])}"
        assert row["Gross"] == inr(trade["gross_pnl"], signed=True)
        assert row["Charges"] == inr(shown_charge(trade["charges"]))
        assert row["Net"] == inr(net(trade), signed=True)
        r = float(row["R"].removesuffix(" R").replace("−", "-"))
        assert r == pytest.approx(float(trade["r_multiple"]), abs=0.0051)
        assert row["MFE / MAE"] == inr(trade["mfe"])
        assert mae == inr(trade["mae"])
        assert row["Slippage"] == inr(trade["slippage"])
        assert row["Exit"] == trade["exit_reason"]


def test_charges_are_itemised_to_the_paisa(page, summary):
    items = summary["charges"]
    names = ("brokerage", "stt", "exchange", "sebi", "stamp", "gst", "total")
    amounts = [row["Amount"] for row in page.rows("charge-items")]
    assert amounts == [inr(shown_charge(items[name])) for name in names]


def test_strategies_and_hours_add_up_to_the_trades(page, trades):
    by_strategy, by_hour = {}, {}
    for trade in trades:
        by_strategy.setdefault(trade["strategy"], []).append(trade)
        by_hour.setdefault(trade["exit_time"][11:13], []).append(trade)
    shown = {row["Strategy"]: row for row in page.rows("by-strategy")}
    for strategy, own in by_strategy.items():
        gross = sum(Decimal(trade["gross_pnl"]) for trade in own)
        charges = shown_charge(sum(Decimal(trade["charges"]) for trade in own))
        row = shown[strategy]
        assert row["Trades"] == str(len(own))
        assert row["Won"] == f"{100 * won(own) / len(own):.0f} %"
        assert row["Gross"] == inr(gross, signed=True)
        assert row["Net"] == inr(gross - charges, signed=True)
        assert row["Slippage"] == inr(sum(Decimal(trade["slippage"]) for trade in own))
    hours = page.rows("by-hour")
    assert [row["Closed"][:2] for row in hours] == sorted(by_hour)
    for row in hours:
        own = by_hour[row["Closed"][:2]]
        gross = sum(Decimal(trade["gross_pnl"]) for trade in own)
        charges = shown_charge(sum(Decimal(trade["charges"]) for trade in own))
        assert row["Trades"] == str(len(own))
        assert row["Net"] == inr(gross - charges, signed=True)


def test_the_instant_day_is_the_filled_day_plus_its_slippage(page, run, summary):
    fills = read_csv(run.fills)
    sign = {"BUY": -1, "SELL": 1}
    at_decision = sum(
        sign[fill["side"]] * int(fill["quantity"]) * Decimal(fill["decision_price"])
        for fill in fills
    )
    gross, charges, result = page.rows("instant")
    assert gross["As filled"] == inr(summary["gross"], signed=True)
    assert gross["Under instant"] == inr(at_decision, signed=True)
    assert gross["Difference"] == inr(summary["slippage"], signed=True)
    assert charges["As filled"] == inr(shown_charge(summary["charges"]["total"]))
    assert result["As filled"] == inr(summary["net"], signed=True)
    assert page.texts["claimed"] == result["Difference"].lstrip("+−")
    assert "charges stand as booked" not in page.texts["repriced"]


def test_the_curve_runs_from_nothing_to_the_result_and_holds_its_drawdown(page, summary):
    values = json.loads(page.attributes["equity-curve"]["data-values"])
    assert values[0] == [0, 0]
    assert Decimal(values[-1][1]) / 10_000 == summary["net"]
    assert [minute for minute, _ in values] == sorted({minute for minute, _ in values})
    peak = worst = 0
    for _, value in values:
        peak = max(peak, value)
        worst = max(worst, peak - value)
    assert page.texts["drawdown"] == inr(Decimal(worst) / 10_000)


def test_every_traded_instrument_has_its_price_with_an_entry_or_exit_for_every_filled_order(
    page, run
):
    orders = {(fill["symbol"], fill["order_id"]) for fill in read_csv(run.fills)}
    charts = [attrs for name, attrs in page.attributes.items() if name.startswith("price-")]
    assert len(charts) == len({symbol for symbol, _ in orders})
    for chart in charts:
        assert len(json.loads(chart["data-values"])) >= 359
    assert sum(len(json.loads(chart["data-marks"])) for chart in charts) == len(orders)
    stops = [attrs for tag, attrs in page.tags if tag == "path" and attrs.get("class") == "stop"]
    assert len(stops) == len(charts) + 1  # and the one in the legend


def test_refusals_are_counted_with_code_and_sentence(page, summary):
    if not summary["refusals"]:
        pytest.fail("the day of these tests should have a refusal")
    counted = Counter()
    for row in page.rows("refused"):
        counted[row["Code"]] += int(row["Times"])
        assert row["Reason"]
    assert counted == summary["refusals"]


def test_the_page_names_the_record_it_was_made_from(page, run):
    found = verify(run.journal)
    assert page.texts["head"] == found.head
    assert page.texts["commits"] == str(found.commits)
    assert run.folder.name in page.texts["audit"]


def test_the_page_needs_no_other(html, page):
    assert re.findall(r"(?:https?:)?//[a-z0-9]", html) == []
    fetched = [
        (tag, name, value)
        for tag, attrs in page.tags
        for name, value in attrs.items()
        if name in {"src", "srcset", "href", "action", "data"} and not (value or "").startswith("#")
    ]
    assert fetched == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)
    assert len(html.encode()) < 400_000


def test_a_hostile_name_stays_a_name(html, page):
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert HOSTILE not in html
    assert f"{HOSTILE}-RELIANCE" in {row["Strategy"] for row in page.rows("by-strategy")}


def test_the_report_is_made_again_the_same(run, html):
    run.report.unlink()
    assert write_day_report(run).read_text(encoding="utf-8") == html
    assert run.report.read_text(encoding="utf-8") == html


def test_without_tape_and_summary_the_page_says_what_it_lacks(run, html, tmp_path):
    kept = [(path, path.read_bytes()) for path in (run.tape, run.summary)]
    for path, _ in kept:
        path.unlink()
    try:
        page = Page(write_day_report(run).read_text(encoding="utf-8"))
    finally:
        for path, content in kept:
            path.write_bytes(content)
    assert "Charts show the bars that strategies read." in page.texts["terms"]
    assert page.texts["net"] == Page(html).texts["net"]
    write_day_report(run)


def test_a_day_that_is_running_has_no_report_yet(run):
    journal = SqliteJournal(run.journal)
    try:
        with pytest.raises(AnotherDayIsRunning):
            write_day_report(run)
    finally:
        journal.close()


def test_a_run_without_a_journal_is_said(run, tmp_path):
    empty = type(run)(artifacts=tmp_path, mode="paper", date=run.date, run_key=run.run_key)
    with pytest.raises(StoreError, match="has no journal"):
        write_day_report(empty)
