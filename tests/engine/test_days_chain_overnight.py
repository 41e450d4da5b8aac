"""A position is carried over the night with its owner, entry and stop, and no unit of money is lost."""

import csv
from dataclasses import dataclass

import msgspec
import pytest
from day_chain import (
    MONDAY,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    bar_file,
    config,
    day_folder,
    facts_of,
    group_of,
    request,
    run,
    tables,
    trade,
)
from day_chain import read as read_script

from kitestring.cli.paper_days import days_plan
from kitestring.domain.events import DayOpening, DaySealed, Note
from kitestring.domain.money import money, price
from kitestring.domain.orders import ExitReason, Purpose
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import PlaceOrder
from kitestring.store.state_store import StateStore

DAYS = {
    MONDAY: "21000 21000 21000 21000 21010",
    TUESDAY: "21050 21040 21060",
    WEDNESDAY: "21000 20950 20950/20890 20800",
    THURSDAY: "20800 20800 20800 20800 20800",
}
HOLD = "buy: 20240101002, stop: 20900"


@dataclass
class Chain:
    artifacts: object
    result: object
    bars: object


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overnight")
    bars = bar_file(folder, DAYS)
    result = trade(config(HOLD), bars, folder / "a")
    return Chain(folder / "a", result, bars)


def test_each_day_counts_from_the_close_before_it(chain):
    # 65 bought at 21,000 (charges 409.50), stopped at 20,900 on Wednesday (charges 407.55).
    assert [row.date for row in chain.result.rows] == [MONDAY, TUESDAY, WEDNESDAY, THURSDAY]
    assert [row.gross for row in chain.result.rows] == [
        money(650), money(3250), money(-10400), money(0),
    ]  # fmt: skip
    assert [row.net for row in chain.result.rows] == [
        money("240.5"), money(3250), money("-10807.55"), money(0),
    ]  # fmt: skip
    assert [row.closing_equity for row in chain.result.rows] == [
        money("2000240.5"), money("2003490.5"), money("1992682.95"), money("1992682.95"),
    ]  # fmt: skip
    assert chain.result.net == money("-7317.05")


def test_every_day_opens_with_what_the_day_before_closed_with(chain):
    rows = chain.result.rows
    assert [row.opening_equity for row in rows[1:]] == [row.closing_equity for row in rows[:-1]]


def test_the_round_trip_keeps_its_own_entry(chain):
    (trip,) = facts_of(chain.artifacts, WEDNESDAY, RoundTrip)
    assert (trip.entry_px, trip.exit_px) == (price(21000), price(20900))
    assert trip.gross == money(-6500)
    assert trip.exit_reason is ExitReason.STOP
    assert trip.mfe == money(3900)
    assert trip.risk == money(6500)
    assert facts_of(chain.artifacts, MONDAY, RoundTrip) == []


def test_the_carried_stop_is_sent_anew_at_every_open(chain):
    for day in (TUESDAY, WEDNESDAY):
        orders = facts_of(chain.artifacts, day, PlaceOrder)
        assert [order.intent.purpose for order in orders] == [Purpose.STOP]
        assert orders[0].intent.stop_px == price(20900)
        assert f"{orders[0].intent.decided_at}" == f"{_open_at(day)}"


def _open_at(day):
    import datetime as dt

    from kitestring.domain.instants import instant

    return instant(day, dt.time(9, 15))


def test_the_opening_is_in_the_first_commit_and_names_the_journal_it_comes_from(chain):
    from kitestring.store.journal import read_commits, verify

    journal = day_folder(chain.artifacts, TUESDAY) / "journal.sqlite"
    number, first = next(iter(read_commits(journal)))
    (opening,) = [fact for fact in first.facts if isinstance(fact, DayOpening)]
    assert number == 1
    assert opening.date == "2024-01-01"
    assert opening.head == verify(day_folder(chain.artifacts, MONDAY) / "journal.sqlite").head
    (held,) = opening.positions
    assert (held.strategy, held.net_qty, held.mark_px) == ("holder-NIFTY", 65, price(21010))
    assert held.trade.stop_px == price(20900)
    assert held.trade.brought == money(650)


def test_strategies_go_on_with_what_they_remember(chain):
    (opening,) = facts_of(chain.artifacts, THURSDAY, DayOpening)
    # 5, 3 and 4 bars were decided on before Thursday, less the first, on which nobody was ready.
    assert msgspec.msgpack.decode(opening.states["holder-NIFTY"]) == {"bars": 11}


def test_the_highest_equity_is_chained(chain):
    openings = [
        facts_of(chain.artifacts, day, DayOpening)[0] for day in (TUESDAY, WEDNESDAY, THURSDAY)
    ]
    assert [each.peak_equity for each in openings] == [
        money("2000240.5"), money("2003490.5"), money("2003490.5"),
    ]  # fmt: skip


def test_a_drawdown_over_several_days_ends_the_entries(tmp_path):
    # 0.5 % of ₹20 lakh is ₹10,000; from the peak of Tuesday the account has lost ₹10,807.55.
    file = config(f"{HOLD}, sell: 20240104002", drawdown="0.5%")
    result = trade(file, bar_file(tmp_path, DAYS), tmp_path / "a")
    thursday = result.rows[3]
    assert thursday.halted == (
        "equity is ₹19,92,682.95, ₹10,807.55 below its peak; the limit is ₹10,000.00."
    )
    assert thursday.orders == 0


def test_intraday_positions_do_not_stay_overnight(tmp_path):
    days = {day: f"{words} " + " ".join(["21000"] * 370) for day, words in DAYS.items()}
    file = config("buy: 20240101002", product="MIS")
    result = trade(file, bar_file(tmp_path, days), tmp_path / "a")
    assert result.rows[0].trades == 1
    assert result.rows[0].carried == {}
    assert result.rows[1].net == money(0)


def test_one_table_holds_the_trades_of_all_days(chain):
    with (group_of(chain.artifacts) / "trades.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["date"] == "2024-01-03"
    assert (row["entry_time"], row["gross_pnl"]) == ("2024-01-01 09:17:00.000", "-6500.00")
    summary = msgspec.json.decode((group_of(chain.artifacts) / "summary.json").read_bytes())
    assert (summary["days"], summary["win_days"], summary["loss_days"]) == (4, 2, 1)
    assert summary["net"] == -7317.05
    assert summary["max_drawdown"]["amount"] == 10807.55
    assert (summary["max_drawdown"]["since"], summary["max_drawdown"]["until"]) == (
        "2024-01-02", "2024-01-03",
    )  # fmt: skip


def test_the_last_day_is_shown_at_the_familiar_paths(chain):
    state = StateStore(chain.artifacts / "checkpoints" / "paper_state_latest.json").load()
    assert state.date == "2024-01-04"
    assert (chain.artifacts / "journal" / "2024-01-04" / "orders.csv").exists()


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stop_between_two_days_changes_nothing(chain, tmp_path, stop_after):
    stopped = trade(config(HOLD), chain.bars, tmp_path / "a", stop_after=stop_after)
    assert stopped.interrupted
    assert len(stopped.rows) == stop_after
    again = trade(config(HOLD), chain.bars, tmp_path / "a")
    assert not again.interrupted
    assert tables(tmp_path / "a") == tables(chain.artifacts)
    assert again.rows == chain.result.rows


@pytest.mark.parametrize(
    "lost", [("journal.sqlite", "summary.json"), ("summary.json", "trades.csv")]
)
def test_a_kill_in_a_day_or_behind_its_seal_changes_nothing(chain, tmp_path, lost):
    trade(config(HOLD), chain.bars, tmp_path / "a", stop_after=3)
    for name in lost:
        (day_folder(tmp_path / "a", WEDNESDAY) / name).unlink()
    again = trade(config(HOLD), chain.bars, tmp_path / "a")
    assert again.rows == chain.result.rows
    assert tables(tmp_path / "a") == tables(chain.artifacts)


def test_finished_days_are_told_again_and_not_traded_again(chain, tmp_path):
    before = tables(chain.artifacts)
    again = trade(config(HOLD), chain.bars, chain.artifacts)
    assert again.already_finished
    assert again.rows == chain.result.rows
    assert tables(chain.artifacts) == before


def test_a_position_whose_strategy_is_gone_is_frozen_and_thaws_with_it(tmp_path):
    bars = bar_file(tmp_path, DAYS)
    ours = days_plan(request(config(HOLD), bars, tmp_path / "a"), read=read_script)
    others = days_plan(request(config("", name="stranger"), bars, tmp_path / "a"), read=read_script)

    def plan_of(day, opening):
        return (others if day == TUESDAY else ours).plan_of(day, opening)

    result = run(msgspec.structs.replace(ours, plan_of=plan_of))
    assert facts_of(tmp_path / "a", TUESDAY, PlaceOrder) == []
    notes = [note.sentence for note in facts_of(tmp_path / "a", TUESDAY, Note)]
    assert any(
        note == "65 NIFTY-STANDIN of holder-NIFTY is shown and counts for margin, but is not "
        "traded: no strategy is called holder-NIFTY today."
        for note in notes
    )
    (sealed,) = facts_of(tmp_path / "a", TUESDAY, DaySealed)
    assert sealed.carried == {"holder-NIFTY|NFO:NIFTY-STANDIN|NRML": 65}
    assert [row.net for row in result.rows] == [
        money("240.5"), money(3250), money("-10807.55"), money(0),
    ]  # fmt: skip
