"""Many days as they are typed: which options go together, what is said, how it exits."""

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from kitestring.cli.commands import house
from kitestring.cli.days_console import PlainDaysConsole
from kitestring.cli.days_lines import days_end_lines
from kitestring.cli.run_day import run_command, run_day
from kitestring.domain.charges import Charges
from kitestring.domain.money import ChargeUnits, Money, money
from kitestring.engine.day_rows import DayRow, DaysResult, deepest_fall

MONDAY = dt.date(2024, 1, 1)


def row(day, opening, closing, *, halted=None, carried=None):
    return DayRow(
        date=MONDAY + dt.timedelta(days=day), run=f"run-{day}", opening_equity=money(opening),
        closing_equity=money(closing), net=money(closing) - money(opening),
        gross=money(closing) - money(opening) + money(20),
        charges=Charges(brokerage=ChargeUnits(20 * 10**10)), slippage=Money(0), orders=2, fills=2,
        trades=1, wins=int(closing > opening), losses=int(closing < opening), refusals={},
        rejections=0, strategies_off=(), halted=halted, carried=carried or {},
    )  # fmt: skip


ROWS = (row(0, 1000, 1100), row(1, 1100, 1050), row(2, 1050, 1020), row(3, 1020, 1120))


def result(rows=ROWS, **more):
    return DaysResult(
        first=MONDAY, last=MONDAY + dt.timedelta(days=3), days=4, rows=rows, mode="paper",
        run="2024-01-01_2024-01-04-paper-1a2b3c4d", feed="bars ACME.csv", fill_model="market",
        charges_name="flat 0.03%", **more,
    )  # fmt: skip


class Asked:
    def __init__(self, answer=None):
        self.answer = answer or result()
        self.request = None

    def __call__(self, request, watcher):
        self.request = request
        watcher.days_finished(self.answer)
        return self.answer


def run(*typed, days=None):
    return run_command(run_day, typed, run=days or Asked())


def test_bars_are_many_days(tmp_path):
    days = Asked()
    typed = "--bars a.csv --bars b.csv --from 2024-01-01 --to 2024-08-23 --charges-as-of 2026-11-20"
    assert run(*typed.split(), days=days) == 0
    asked = days.request
    assert (asked.feed, asked.bars) == ("bars", (Path("a.csv"), Path("b.csv")))
    assert (asked.first, asked.last) == (MONDAY, dt.date(2024, 8, 23))
    assert run("--days", "10", days=days) == 0
    assert (days.request.feed, days.request.days) == ("synthetic", 10)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--feed bars", "--feed bars needs --bars FILE"),
        ("--feed synthetic --bars a.csv", "--bars goes with --feed bars"),
        ("--bars a.csv --date 2024-01-01", "choose among them with --from and --to"),
        ("--bars a.csv --days 3", "choose among them with --from and --to"),
        ("--from 2024-01-01", "--from and --to go with --feed bars"),
        ("--bars a.csv --from 2024-02-01 --to 2024-01-01", "lies after"),
        ("--tape t --days 2", "a tape holds one day"),
        ("--days 0", "0"),
    ],
)
def test_what_does_not_go_together_exits_2_and_says_why(typed, sentence, capsys):
    assert run(*typed.split()) == 2
    assert sentence in capsys.readouterr().err


def test_interrupted_days_exit_130(capsys):
    assert run("--days", "4", days=Asked(result(ROWS[:2], interrupted=True))) == 130
    said = capsys.readouterr().out
    assert "01 Jan 2024 to 04 Jan 2024, paper: interrupted, net +₹50.00 after charges" in said
    assert "Start the same command again to go on from here." in said


def test_one_json_object_holds_the_whole_and_every_day(capsys):
    assert run("--days", "4", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["net"] == 120
    assert (summary["win_days"], summary["loss_days"], summary["trades"]) == (2, 2, 4)
    assert [day["net"] for day in summary["per_day"]] == [100, -50, -30, 100]
    assert summary["charges"]["total"] == 80


def test_the_drawdown_is_from_the_highest_close():
    fall = deepest_fall(ROWS)
    assert (fall.amount, fall.pct) == (money(80), Decimal("7.27"))
    assert (fall.since, fall.until) == (MONDAY, dt.date(2024, 1, 3))
    assert deepest_fall(()).amount == Money(0)


def test_the_table_names_every_day_and_what_ended_it():
    rows = (
        *ROWS[:3],
        row(3, 1020, 1120, halted="the day has lost ₹50.", carried={"a-N|NFO:X|NRML": -65}),
    )
    said = "\n".join(days_end_lines(result(rows)))
    assert "Tue 02 Jan 2024       1    0        ₹20.00         -₹50.00           ₹1,050.00" in said
    assert "halted          1 days, first on 04 Jan 2024: the day has lost ₹50." in said
    assert "carried         -65 X of a-N" in said
    assert "max drawdown    ₹80.00 (7.27 %), close of 01 Jan 2024 to close of 03 Jan 2024" in said


def test_a_line_is_written_for_each_of_a_few_days():
    out = io.StringIO()
    console = PlainDaysConsole(out)
    console._days = 4
    console.day_finished(ROWS[1], 2)
    assert out.getvalue() == ("Tue 02 Jan 2024  2/4  1 trades · net -₹50.00 · equity ₹1,050.00\n")


def test_bars_check_names_what_is_wrong_and_exits_3(tmp_path, capsys):
    path = tmp_path / "ACME.csv"
    path.write_text("date,open,high,low,close\n2024-01-01 09:15,100,98,99,100\n")
    assert run_command(house, ["bars", "check", str(path)]) == 3
    said = capsys.readouterr().out
    assert f"{path}:2: open 100, high 98, low 99, close 100 cannot all be true" in said
    path.write_text("date,open,high,low,close\n2024-01-01 09:15,100,102,99,100\n")
    assert run_command(house, ["bars", "check", str(path)]) == 0
    assert "It can be traded." in capsys.readouterr().out


def test_a_chain_of_days_ends_with_one_report(tmp_path, capsys):
    typed = ["--days", "2", "--engines", "equity", "--json", "--artifacts", str(tmp_path)]
    assert run_command(run_day, typed) == 0
    summary = json.loads(capsys.readouterr().out)
    report = Path(summary["artifacts"]["report"])
    assert report.parent.parent == tmp_path / "groups"
    page = report.read_text(encoding="utf-8")
    for day in ("20 Nov 2026", "23 Nov 2026"):
        assert day in page
    paise = f"{abs(round(summary['net'], 2)):,.2f}"
    assert paise.replace(",", "") in page.replace(",", "")
