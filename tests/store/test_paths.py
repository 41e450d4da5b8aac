from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from store_day import DAY, at, commit

from kitestring.domain.errors import StoreError
from kitestring.domain.events import DaySealed
from kitestring.store.journal import SqliteJournal
from kitestring.store.paths import RunPaths, RunState, find_run, list_runs, open_run

KEY = "1a2b3c4d5e6f"


def test_a_run_has_its_own_folder_and_shows_itself_at_the_familiar_paths(tmp_path: Path) -> None:
    paper = RunPaths(artifacts=tmp_path, mode="paper", date=DAY, run_key=KEY)
    live = RunPaths(artifacts=tmp_path, mode="live", date=DAY, run_key=KEY, attempt=2)
    shown = [
        str(path.relative_to(tmp_path))
        for path in (
            paper.journal,
            paper.tape,
            paper.exchange_ledger,
            paper.summary,
            paper.state_latest,
            paper.latest_folder,
            paper.events,
            live.orders,
            live.state_latest,
            live.latest_folder,
        )
    ]
    assert shown == [
        "runs/2026-11-23-paper-1a2b3c4d/journal.sqlite",
        "runs/2026-11-23-paper-1a2b3c4d/tape.bin",
        "runs/2026-11-23-paper-1a2b3c4d/exchange_ledger.jsonl",
        "runs/2026-11-23-paper-1a2b3c4d/summary.json",
        "checkpoints/paper_state_latest.json",
        "journal/2026-11-23",
        "logs/events.jsonl",
        "runs/2026-11-23-live-1a2b3c4d-2/orders.csv",
        "checkpoints/live_state_latest.json",
        "live/2026-11-23",
    ]


def test_the_same_run_is_found_again_and_fresh_starts_another(tmp_path: Path) -> None:
    first = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY)
    first.orders.write_text("kept\n")
    assert open_run(tmp_path, mode="paper", date=DAY, run_key=KEY) == first
    second = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY, fresh=True)
    third = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY, fresh=True)
    assert [run.folder.name for run in list_runs(tmp_path)] == [
        "2026-11-23-paper-1a2b3c4d",
        "2026-11-23-paper-1a2b3c4d-2",
        "2026-11-23-paper-1a2b3c4d-3",
    ]
    assert second != third
    assert find_run(tmp_path, KEY) == third
    assert find_run(tmp_path, "another key") is None
    assert first.orders.read_text() == "kept\n"


def test_a_folder_of_another_run_is_never_written_into(tmp_path: Path) -> None:
    open_run(tmp_path, mode="paper", date=DAY, run_key=KEY)
    with pytest.raises(StoreError, match="belongs to another run"):
        open_run(tmp_path, mode="paper", date=DAY, run_key="1a2b3c4d999999")


def test_a_run_is_interrupted_until_it_is_sealed(tmp_path: Path) -> None:
    run = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY)
    assert run.state() is RunState.INTERRUPTED
    journal = SqliteJournal(run.journal, run_key=KEY)
    journal.commit(commit(1))
    assert run.state() is RunState.RUNNING
    journal.close()
    assert run.state() is RunState.INTERRUPTED
    journal = SqliteJournal(run.journal, run_key=KEY)
    journal.commit(
        commit(
            2,
            DaySealed(
                at=at("15:30:00"),
                equity=0,
                realised=0,
                charges=0,
                net=0,
                orders=0,
                fills=0,
                trades=0,
                carried={},
            ),
        )
    )
    journal.close()
    assert run.state() is RunState.SEALED
    run.journal.write_bytes(b"not a journal")
    assert run.state() is RunState.DAMAGED


def test_publishing_shows_real_copies_of_the_latest_run(tmp_path: Path) -> None:
    first = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY)
    first.orders.write_text("first\n")
    first.fills.write_text("fills\n")
    assert first.publish() == ()
    second = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY, fresh=True)
    second.orders.write_text("second\n")
    assert second.publish() == ()
    shown = tmp_path / "journal" / "2026-11-23"
    assert (shown / "orders.csv").read_text() == "second\n"
    assert not (shown / "orders.csv").is_symlink()
    assert first.orders.read_text() == "first\n"


def test_a_shown_file_that_cannot_be_replaced_is_named_for_a_later_try(tmp_path: Path) -> None:
    run = open_run(tmp_path, mode="paper", date=DAY, run_key=KEY)
    run.orders.write_text("orders\n")
    run.fills.write_text("fills\n")
    # A folder in the way refuses to be replaced, as an open spreadsheet does on Windows.
    (run.latest_folder / "orders.csv").mkdir(parents=True)
    assert run.publish() == (run.latest_folder / "orders.csv",)
    assert (run.latest_folder / "fills.csv").read_text() == "fills\n"
    (run.latest_folder / "orders.csv").rmdir()
    assert run.publish() == ()
    assert sorted(path.name for path in run.latest_folder.iterdir()) == ["fills.csv", "orders.csv"]


def test_runs_are_listed_by_date(tmp_path: Path) -> None:
    later = open_run(tmp_path, mode="live", date=dt.date(2026, 11, 24), run_key="k2")
    earlier = open_run(tmp_path, mode="paper", date=DAY, run_key="k1")
    (tmp_path / "runs" / "somebody's folder").mkdir()
    assert list_runs(tmp_path) == [earlier, later]
    assert list_runs(tmp_path / "nowhere") == []
