from __future__ import annotations

import json
from pathlib import Path

from store_day import EMA, NIFTY, at, bar, commit, fill, place, report, round_trip, signal

from kitestring.domain.events import (
    DaySealed,
    Discrepancy,
    Gap,
    HistoryLoaded,
    MarketDataFault,
    Note,
    OperatorCommand,
    OperatorWord,
    RunOpened,
    SessionEnded,
    StrategyOff,
    StrategyReady,
    TimerFired,
)
from kitestring.domain.orders import ExecType, Side
from kitestring.domain.signals import Action
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    HaltPolicy,
    HaltSession,
    ModifyOrder,
    Reduced,
)
from kitestring.store.event_log import EventLog
from kitestring.store.journal import MemoryJournal

BLOCKED = Blocked(
    strategy=EMA,
    instrument=NIFTY,
    side=Side.BUY,
    code="TOO_SMALL",
    sentence="one lot risks ₹3 250, your limit is ₹2 500",
    at=at("09:20:00"),
)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def a_day() -> MemoryJournal:
    journal = MemoryJournal(run_key="run")
    journal.commit(commit(1, bar(), signal(), place().approved, place()))
    journal.commit(commit(2, TimerFired(at("09:20:01"))))
    journal.commit(commit(3, report(ExecType.NEW, "09:20:01"), fill(), round_trip()))
    journal.commit(commit(4, BLOCKED))
    return journal


def told(path: Path) -> list[tuple[object, object]]:
    return [(line["commit"], line["kind"]) for line in lines(path)]


WHOLE = [
    (1, "signal"),
    (1, "risk"),
    (1, "order"),
    (3, "order"),
    (3, "fill"),
    (3, "trade"),
    (4, "risk"),
]


def test_a_line_says_when_what_who_and_why(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "events.jsonl"
    log = EventLog(path, run="run", mode="paper")
    log.record(1, commit(1, signal(), BLOCKED))
    assert log.flush()
    log.close()
    assert path.read_text(encoding="utf-8") == (
        '{"ts":"2026-11-23T09:20:00.000+05:30","kind":"signal","level":"info","run":"run",'
        '"mode":"paper","commit":1,"strategy":"ema_trend-NIFTY","symbol":"NIFTY26NOVFUT",'
        '"exchange":"NFO","sentence":"BUY NIFTY26NOVFUT: ema cross","action":"BUY",'
        '"signal_id":"ema_trend-NIFTY/0920","source":"NFO:NIFTY26NOVFUT","price":22105,'
        '"stop_price":22050}\n'
        '{"ts":"2026-11-23T09:20:00.000+05:30","kind":"risk","level":"warning","run":"run",'
        '"mode":"paper","commit":1,"strategy":"ema_trend-NIFTY","symbol":"NIFTY26NOVFUT",'
        '"verdict":"BLOCK","code":"TOO_SMALL","exchange":"NFO","side":"BUY",'
        '"sentence":"one lot risks ₹3 250, your limit is ₹2 500"}\n'
    )


def test_a_restart_tells_what_was_left_untold_and_nothing_twice(tmp_path: Path) -> None:
    journal = a_day()
    whole = tmp_path / "whole.jsonl"
    log = EventLog(whole, run="run", mode="paper", resumed=False)
    log.catch_up(journal.commits())
    log.close()
    assert told(whole) == WHOLE
    content = whole.read_bytes()
    cut = tmp_path / "cut.jsonl"
    # Killed while writing, at many places: inside lines, between lines, between commits.
    for size in (*range(0, len(content), 37), len(content) - 1, len(content)):
        cut.write_bytes(content[:size])
        log = EventLog(cut, run="run", mode="paper")
        log.catch_up(journal.commits(log.last_commit))
        log.close()
        assert cut.read_bytes() == content, size


def test_other_runs_share_the_file_and_are_left_alone(tmp_path: Path) -> None:
    journal = a_day()
    path = tmp_path / "events.jsonl"
    live = EventLog(path, run="other", mode="live", resumed=False)
    live.record(1, commit(1, place()))
    live.say(at("09:15:01"), "connection", "The ticker is connected")
    live.flush()
    paper = EventLog(path, run="run", mode="paper", resumed=False)
    paper.catch_up(journal.commits())
    live.record(9, commit(9, Note(at=at("09:30:00"), kind="started", sentence="on")))
    live.close()
    paper.close()
    again = EventLog(path, run="other", mode="live")
    assert again.last_commit == 8
    again.record(9, commit(9, Note(at=at("09:30:00"), kind="started", sentence="on")))
    again.close()
    assert [line["kind"] for line in lines(path) if line["run"] == "other"] == [
        "order",
        "connection",
        "started",
    ]
    before = [line for line in lines(path) if line["run"] == "other"]
    rebuilt = EventLog(path, run="run", mode="paper")
    assert rebuilt.rebuild(journal.commits())
    rebuilt.close()
    assert [line for line in lines(path) if line["run"] == "other"] == before
    assert [(one["commit"], one["kind"]) for one in lines(path) if one["run"] == "run"] == WHOLE


def test_a_live_order_is_marked_on_every_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, run="run", mode="live")
    log.record(1, commit(1, place(), fill(), signal()))
    log.close()
    assert [str(line["sentence"]).startswith("🔴 LIVE ") for line in lines(path)] == [
        True,
        True,
        False,
    ]


def test_a_log_that_cannot_be_written_waits_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.mkdir()
    log = EventLog(path, run="run", mode="paper", resumed=False)
    log.record(1, commit(1, signal()))
    assert not log.flush()
    assert log.failures == 1
    path.rmdir()
    log.record(2, commit(2, signal()))
    assert log.flush()
    log.close()
    assert told(path) == [(1, "signal"), (2, "signal")]
    assert log.bytes_lost == 0


def test_holds_bars_and_timers_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, run="run", mode="paper")
    log.record(1, commit(1, signal(Action.HOLD), bar(), TimerFired(at("09:20:00"))))
    assert log.flush()
    assert not path.exists()


def test_every_kind_of_fact_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, run="run", mode="paper")
    facts = (
        Reduced(
            approved=Approved(intent=place().intent, at=at("09:20:00")),
            asked_qty=150,
            code="RISK",
            sentence="halved",
        ),
        HaltSession(
            code="LOSS", sentence="lost ₹10 000", policy=HaltPolicy.FLATTEN, at=at("09:21:00")
        ),
        ModifyOrder(cl_ord_id=place().cl_ord_id, at=at("09:22:00"), order_qty=50),
        CancelOrder(cl_ord_id=place().cl_ord_id, at=at("09:23:00"), reason="halt"),
        report(ExecType.REJECTED, "09:23:01", text="margin"),
        StrategyReady(strategy=EMA, instrument=NIFTY, at=at("09:15:00"), bars=21, missed="30 min"),
        StrategyOff(strategy=EMA, at=at("09:24:00"), error="ZeroDivisionError"),
        MarketDataFault(instrument=NIFTY, at=at("09:25:00"), fault="STALE", sentence="no tick"),
        Discrepancy(at=at("09:26:00"), what="net quantity", ours="75", theirs="0"),
        OperatorCommand(at=at("09:27:00"), word=OperatorWord.HALT, reason="lunch"),
        Gap(start_at=at("09:28:00"), end_at=at("09:29:00"), reason="disconnected"),
        HistoryLoaded(instrument=NIFTY, minutes=5, bars=(bar(),), source="Kite", digest="ab"),
        SessionEnded(at("15:30:00")),
        RunOpened(
            mode="paper",
            date="2026-11-23",
            feed="synthetic",
            seed=7,
            run_key="run",
            config_hash="",
            strategy_hashes={},
            fill_model="market",
            charges="2026-11",
            capital=5_000_000_000,
            version="0",
        ),
        DaySealed(
            at=at("15:31:00"),
            equity=0,
            realised=0,
            charges=0,
            net=0,
            orders=3,
            fills=2,
            trades=1,
            carried={},
        ),
    )
    log.record(1, commit(1, *facts))
    log.close()
    assert [(line["kind"], line["level"], line["sentence"]) for line in lines(path)] == [
        ("risk", "warning", "halved"),
        ("halt", "error", "lost ₹10 000"),
        ("order", "info", "Changing order KRUN0127P00000001ABC"),
        ("order", "info", "Withdrawing order KRUN0127P00000001ABC: halt"),
        ("order", "warning", "Order KRUN0127P00000001ABC: REJECTED (margin)"),
        ("strategy_ready", "info", "ema_trend-NIFTY is ready on 21 bars; missed: 30 min"),
        (
            "error",
            "error",
            "ema_trend-NIFTY failed and was switched off: ZeroDivisionError",
        ),
        ("market_data", "warning", "no tick"),
        ("discrepancy", "error", "net quantity: ours 75, theirs 0"),
        ("operator", "warning", "Operator: halt, lunch"),
        ("gap", "warning", "No ticks from 09:28:00 to 09:29:00: disconnected"),
        ("history", "info", "1 bars of 5 minutes from Kite"),
        ("session_ended", "info", "The feed is over for today"),
        (
            "run_opened",
            "info",
            "paper run run of 2026-11-23 on synthetic; fills: market; charges: 2026-11",
        ),
        ("day_sealed", "info", "The day is over: 3 orders, 2 fills, 1 trades"),
    ]
