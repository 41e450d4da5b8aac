"""``kitestring days``, ``compare``, ``export`` and ``journal verify``: whole runs."""

import csv
import json
import shutil
import zipfile
from xml.etree import ElementTree as ET

import msgspec
import pytest
from answered_days import ask
from house_day import clock

from kitestring.domain.events import Note
from kitestring.store.journal import SqliteJournal


def test_days_lists_every_run(answered):
    code, out, err = ask("days", "--artifacts", answered)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "date         state     market       fills by  orders  trades         net  run",
        "20 Nov 2026  finished  test frames  market         9       3  +₹1,575.30  2026-11-20-paper-plainday",
        "20 Nov 2026  finished  test frames  market         9       3    +₹575.30  2026-11-20-paper-slowlane",
    ]  # fmt: skip


def test_days_tells_an_interrupted_run_and_a_damaged_one(halfway, tmp_path):
    shutil.copytree(halfway, tmp_path / "kept")
    code, out, _ = ask("days", "--artifacts", tmp_path / "kept")
    assert code == 0
    assert out.splitlines()[1].startswith("20 Nov 2026  interrupted 09:25  test frames  market ")
    (journal,) = (tmp_path / "kept").rglob("journal.sqlite")
    journal.write_bytes(b"not a journal" * 100)
    code, out, err = ask("days", "--artifacts", tmp_path / "kept")
    assert (code, err) == (0, "")
    assert "damaged" in out.splitlines()[1]
    assert "is damaged" in out


def test_no_runs_is_an_answer(tmp_path):
    code, out, err = ask("days", "--artifacts", tmp_path)
    assert (code, err) == (0, "")
    assert out == f"No runs in {tmp_path} yet; python -m scripts.run_day trades a first one.\n"
    assert ask("days", "--json", "--artifacts", tmp_path)[1] == "[]\n"


def test_every_question_about_a_run_that_is_not_there_names_what_to_type(tmp_path):
    for typed in (
        ("why", "x"), ("explain", "x"), ("compare", "a", "b"), ("journal", "verify"),
        ("export", "--to", tmp_path / "x.csv"),
    ):  # fmt: skip
        code, out, err = ask(*typed, "--artifacts", tmp_path)
        assert (code, out) == (2, "")
        assert err.splitlines()[0] == f"There are no runs in {tmp_path} yet."


def test_a_machine_gets_the_days(answered):
    code, out, _ = ask("days", "--json", "--artifacts", answered)
    assert code == 0
    assert [(row["run"], row["state"], row["net"]) for row in json.loads(out)] == [
        ("2026-11-20-paper-plainday", "finished", 1575.3019),
        ("2026-11-20-paper-slowlane", "finished", 575.3019),
    ]


def test_two_runs_differ_decision_by_decision_down_to_the_rupee(answered):
    code, out, err = ask("compare", "plain", "slowlane", "--artifacts", answered)
    assert (code, err) == (0, "")
    rule = "─" * 64
    assert out.splitlines() == [
        "1  2026-11-20-paper-plainday · 20 Nov 2026, test frames, fills market, finished",
        "2  2026-11-20-paper-slowlane · 20 Nov 2026, test frames, fills market, finished",
        rule,
        "                          1           2       2 − 1",
        "orders                    9           9           =",
        "fills                     5           5           =",
        "round trips               3           3           =",
        "won                       2           2           =",
        "refused by risk          21          21           =",
        "gross            +₹2,162.00  +₹1,162.00  -₹1,000.00",
        "charges             ₹586.70     ₹586.70           =",
        "slippage            ₹103.00     ₹103.00           =",
        "net              +₹1,575.30    +₹575.30  -₹1,000.00",
        rule,
        "27 decisions the same, 2 different",
        "09:19 BUY  cross-NIFTY NIFTY26NOVFUT: only in the first (65 at ₹24,040.10)",
        "09:21 BUY  cross-NIFTY NIFTY26NOVFUT: only in the second (65 at ₹24,060.10)",
        rule,
        "Where it comes from (+: the second run has more)",
        "  exit prices, left for the same reason    +₹300.00  1 trade",
        "  trades only the first has                +₹199.26  1 trade",
        "  trades only the second has             -₹1,499.26  1 trade",
        "  the difference in net                  -₹1,000.00",
        rule,
        "where they part first",
        "  Event 15: first Signal cross-NIFTY at 09:19:00, second Bar",
        "  NFO:NIFTY26NOVFUT at 09:20:00.",
    ]


def test_a_run_compared_with_itself_has_no_rupee_of_difference(answered):
    code, out, _ = ask("compare", "plainday", "plainday", "--artifacts", answered)
    assert code == 0
    assert out.endswith(
        "28 decisions the same, 0 different\n" + "─" * 64 + "\nNo rupee of difference.\n"
    )


def test_the_sources_of_difference_add_up(answered):
    _, out, _ = ask("compare", "slowlane", "plain", "--json", "--artifacts", answered)
    answer = json.loads(out)
    whole = answer["second"]["net"] - answer["first"]["net"]
    assert sum(one["rupees"] for one in answer["rupees_from"]) == pytest.approx(whole, abs=1e-9)


def test_an_exported_csv_is_marked_for_excel_and_keeps_long_ids(answered, tmp_path):
    target = tmp_path / "day.csv"
    code, out, err = ask("export", "plain", "--to", target, "--artifacts", answered)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{target}: 3 round trips of 2026-11-20-paper-plainday",
        f"{tmp_path / 'day-fills.csv'}: 5 fills of 2026-11-20-paper-plainday",
    ]
    assert target.read_bytes().startswith(b"\xef\xbb\xbftrade_id,")
    with (tmp_path / "day-fills.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["fill_id"] == "'261120000000001-1"
    assert (rows[0]["quantity"], rows[0]["price"], rows[0]["slippage"]) == (
        "65",
        "24040.10",
        "71.50",
    )


def test_an_exported_workbook_has_numbers_as_numbers_and_ids_as_text(answered, tmp_path):
    target = tmp_path / "day.xlsx"
    assert ask("export", "plain", "--to", target, "--artifacts", answered)[0] == 0
    spaces = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(target) as book:
        assert "[Content_Types].xml" in book.namelist()
        names = ET.fromstring(book.read("xl/workbook.xml")).findall(".//m:sheet", spaces)
        assert [sheet.get("name") for sheet in names] == ["trades", "fills"]
        sheet = ET.fromstring(book.read("xl/worksheets/sheet2.xml"))
    cells = sheet.findall(".//m:row", spaces)[1].findall("m:c", spaces)
    assert (cells[1].get("t"), "".join(cells[1].itertext())) == ("inlineStr", "261120000000001-1")
    assert (cells[5].get("t"), "".join(cells[5].itertext())) == (None, "65")


def test_another_ending_is_refused(answered, tmp_path):
    code, _, err = ask("export", "--to", tmp_path / "day.ods", "--artifacts", answered)
    assert code == 2
    assert "is neither a CSV file nor a workbook." in err


def test_a_journal_verifies_by_name_and_by_path(answered):
    code, out, _ = ask("journal", "verify", "plain", "--artifacts", answered)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "The journal verifies."
    assert lines[2] == "run      plainday"
    assert lines[3].startswith("commits  ")
    assert len(lines[4].removeprefix("head     ")) == 64
    assert lines[5] == "day      sealed"
    path = answered / "runs" / "2026-11-20-paper-plainday" / "journal.sqlite"
    assert ask("journal", "verify", path)[1] == out


def test_damage_is_named_by_its_commit(answered, tmp_path):
    import sqlite3

    copy = tmp_path / "journal.sqlite"
    shutil.copy(answered / "runs" / "2026-11-20-paper-plainday" / "journal.sqlite", copy)
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE commits SET body = cast(body || x'00' AS BLOB) WHERE no = 5")
    db.close()
    code, out, err = ask("journal", "verify", copy)
    assert (code, err) == (4, "")
    assert out.splitlines()[0] == "The journal is DAMAGED."
    assert "commits  4 verified" in out
    assert "damage   at commit 5:" in out


def test_a_day_that_is_running_is_asked_without_disturbing_it(halfway, tmp_path):
    shutil.copytree(halfway, tmp_path / "kept")
    (path,) = (tmp_path / "kept").rglob("journal.sqlite")
    journal = SqliteJournal(path)
    try:
        (*_, (_, last)) = journal.commits()
        note = Note(at=clock("09:26"), kind="test", sentence="The day went on.")
        journal.commit(msgspec.structs.replace(last, at=note.at, facts=(note,), cells={}))
        before = journal.head
        code, out, _ = ask("why", "unsized", "--artifacts", tmp_path / "kept")
        assert code == 0
        assert out.splitlines()[2] == "The day is running: as recorded up to 09:26:00."
        assert "running 09:26" in ask("days", "--artifacts", tmp_path / "kept")[1]
        code, out, _ = ask("journal", "verify", "--artifacts", tmp_path / "kept")
        assert code == 0
        assert "day      running; verified as far as it was written just now" in out
        assert (
            ask("status", "--artifacts", tmp_path / "kept")[1].splitlines()[1] == "09:25:38 running"
        )
        assert journal.head == before
    finally:
        journal.close()


def test_the_latest_run_is_meant_where_none_is_named(answered):
    _, out, _ = ask("journal", "verify", "--artifacts", answered)
    assert "run      slowlane" in out
    _, out, _ = ask("why", "unsized", "--day", "2026-11-20", "--artifacts", answered)
    assert "2026-11-20-paper-slowlane" in out
    code, _, err = ask("why", "unsized", "--day", "2026-11-19", "--artifacts", answered)
    assert code == 2
    assert err.splitlines()[0] == f"There is no run of 2026-11-19 in {answered}."
    code, _, err = ask("journal", "verify", "2026", "--artifacts", answered)
    assert code == 2
    assert err.splitlines()[0] == (
        "2 runs are called like 2026: 2026-11-20-paper-plainday, 2026-11-20-paper-slowlane."
    )


def test_the_two_latest_runs_are_compared_where_none_are_named(answered):
    _, named, _ = ask("compare", "plainday", "slowlane", "--artifacts", answered)
    assert ask("compare", "--artifacts", answered) == (0, named, "")
    assert ask("compare", "plainday", "--artifacts", answered) == (0, named, "")


def test_one_run_cannot_be_compared(halfway):
    code, _, err = ask("compare", "--artifacts", halfway)
    assert code == 2
    assert (
        err.splitlines()[0]
        == f"There is only one run in {halfway}, and nothing to compare it with."
    )
