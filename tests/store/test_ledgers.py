from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_day import (
    EMA,
    FIRST,
    NIFTY,
    SECOND,
    at,
    bar,
    commit,
    fill,
    place,
    report,
    round_trip,
    signal,
)

from kitestring.domain.events import Fact
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrdStatus, OrdType, Side
from kitestring.domain.verdicts import Blocked, CancelOrder, ModifyOrder
from kitestring.store.journal import MemoryJournal
from kitestring.store.ledgers import Ledgers, order_line
from kitestring.store.order_rows import OrderRows

ORDERS_HEAD = (
    "timestamp,order_id,broker_order_id,tag,strategy,signal_id,exchange,symbol,side,quantity,"
    "filled_quantity,price,trigger_price,average_price,order_type,product,variety,validity,status,"
    "reason,updated_at,purpose,decision_price,sent_because\n"
)

MORNING: tuple[tuple[Fact, ...], ...] = (
    (bar(), signal(), place()),
    (
        report(ExecType.NEW, "09:20:00.1"),
        report(ExecType.TRADE, "09:20:00.34", trade="T1", qty=25, px=price("22105.95"), cum=25),
        fill(qty=25),
    ),
    (report(ExecType.TRADE, "09:20:00.9", trade="T2", qty=50, px=price("22106"), cum=75),),
    (fill("T2", 50, "22106.00", "09:20:00.9"),),
    (place(SECOND, "10:05:00", side=Side.SELL, ord_type=OrdType.SL, stop_px=price("22050.5")),),
    (report(ExecType.REJECTED, "10:05:00.2", SECOND, text='Margin short, by "₹100"'),),
    (round_trip(),),
)


def journal_of(days: tuple[tuple[Fact, ...], ...] = MORNING) -> MemoryJournal:
    journal = MemoryJournal()
    for no, facts in enumerate(days, 1):
        journal.commit(commit(no, *facts))
    return journal


def ledgers_of(folder: Path, journal: MemoryJournal) -> Ledgers:
    ledgers = Ledgers(folder, commits=journal.commits)
    ledgers.catch_up()
    return ledgers


def test_a_morning_as_the_three_tables_show_it(tmp_path: Path) -> None:
    assert ledgers_of(tmp_path, journal_of()).write() == ()
    assert (tmp_path / "orders.csv").read_text(encoding="utf-8") == ORDERS_HEAD + (
        "2026-11-23 09:20:00.000,KRUN0127P00000001ABC,'261123000000017,KRUN0127P00000001ABC,"
        "ema_trend-NIFTY,ema_trend-NIFTY/0920,NFO,NIFTY26NOVFUT,BUY,75,75,22106.00,,22105.9833,"
        "LIMIT,MIS,regular,DAY,FILLED,ema cross,2026-11-23 09:20:00.900,ENTRY,22105.00,ema cross\n"
        "2026-11-23 10:05:00.000,KRUN0127P00000002ABD,'261123000000017,KRUN0127P00000002ABD,"
        "ema_trend-NIFTY,ema_trend-NIFTY/0920,NFO,NIFTY26NOVFUT,SELL,75,0,22106.00,22050.50,,"
        'SL,MIS,regular,DAY,REJECTED,"Margin short, by ""₹100""",2026-11-23 10:05:00.200,ENTRY,'
        "22105.00,ema cross\n"
    )
    assert (tmp_path / "fills.csv").read_text(encoding="utf-8") == (
        "timestamp,fill_id,order_id,symbol,side,quantity,price,charges,strategy,brokerage,stt,"
        "exchange_charges,sebi_charges,stamp_duty,gst,exchange,product,decision_price,slippage\n"
        "2026-11-23 09:20:00.340,T1,KRUN0127P00000001ABC,NIFTY26NOVFUT,BUY,25,22105.95,94.5008325,"
        "ema_trend-NIFTY,20.00,0.00,30.328,1.657875,33.1575,9.3574575,NFO,MIS,22105.00,71.25\n"
        "2026-11-23 09:20:00.900,T2,KRUN0127P00000001ABC,NIFTY26NOVFUT,BUY,50,22106.00,94.5008325,"
        "ema_trend-NIFTY,20.00,0.00,30.328,1.657875,33.1575,9.3574575,NFO,MIS,22105.00,71.25\n"
    )
    assert (tmp_path / "trades.csv").read_text(encoding="utf-8") == (
        "trade_id,strategy,symbol,side,quantity,entry_time,exit_time,entry_price,exit_price,"
        "gross_pnl,charges,net_pnl,r_multiple,mfe,mae,exit_reason,exchange,product,risk,slippage,"
        "brokerage,stt,exchange_charges,sebi_charges,stamp_duty,gst\n"
        "ema_trend-NIFTY/1,ema_trend-NIFTY,NIFTY26NOVFUT,BUY,75,2026-11-23 09:20:00.340,"
        "2026-11-23 10:05:00.120,22105.95,22155.95,3750.00,94.5008325,3655.4991675,0.8711,"
        "4000.00,-150.50,trailing stop,NFO,MIS,4196.25,71.25,20.00,0.00,30.328,1.657875,33.1575,"
        "9.3574575\n"
    )


def test_filling_the_tables_as_the_day_goes_gives_the_same_files(tmp_path: Path) -> None:
    journal = journal_of()
    at_once = ledgers_of(tmp_path / "at once", journal)
    at_once.write()
    as_it_goes = Ledgers(tmp_path / "as it goes", commits=journal.commits)
    for no, one in journal.commits():
        as_it_goes.record(no, one)
        as_it_goes.record(no, one)
        assert as_it_goes.write() == ()
    for name in ("orders.csv", "fills.csv", "trades.csv"):
        assert (tmp_path / "as it goes" / name).read_bytes() == (
            tmp_path / "at once" / name
        ).read_bytes()


def test_a_day_without_orders_has_tables_with_headings_only(tmp_path: Path) -> None:
    assert ledgers_of(tmp_path, journal_of(((bar(),),))).write() == ()
    assert (tmp_path / "orders.csv").read_text() == ORDERS_HEAD
    assert (tmp_path / "fills.csv").read_text().count("\n") == 1
    assert (tmp_path / "trades.csv").read_text().count("\n") == 1


def test_fills_are_appended_and_what_was_written_before_is_left_alone(tmp_path: Path) -> None:
    journal = MemoryJournal()
    ledgers = Ledgers(tmp_path, commits=journal.commits)
    for no in (1, 2):
        one = commit(no, fill(f"T{no}"))
        journal.commit(one)
        ledgers.record(no, one)
        ledgers.write()
        inode = (tmp_path / "fills.csv").stat().st_ino
        if no == 1:
            first = inode
    assert inode == first
    rows = list(csv.DictReader(io.StringIO((tmp_path / "fills.csv").read_text())))
    assert [row["fill_id"] for row in rows] == ["T1", "T2"]


@pytest.mark.parametrize("name", ["orders.csv", "fills.csv", "trades.csv"])
def test_a_table_somebody_deleted_or_changed_is_written_anew(tmp_path: Path, name: str) -> None:
    ledgers = ledgers_of(tmp_path, journal_of())
    ledgers.write()
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    assert ledgers.write() == ()
    assert (tmp_path / name).read_bytes() == whole
    if name != "orders.csv":
        (tmp_path / name).write_bytes(whole + b"saved by a spreadsheet")
        assert ledgers.write() == ()
        assert (tmp_path / name).read_bytes() == whole


def test_a_table_another_program_holds_is_written_later_and_the_rest_now(tmp_path: Path) -> None:
    journal = journal_of()
    ledgers = ledgers_of(tmp_path, journal)
    for name in ("orders.csv", "fills.csv"):
        (tmp_path / name).mkdir()
    assert ledgers.write() == (tmp_path / "orders.csv", tmp_path / "fills.csv")
    assert (tmp_path / "trades.csv").exists()
    for name in ("orders.csv", "fills.csv"):
        (tmp_path / name).rmdir()
    assert ledgers.write() == ()
    ledgers_of(tmp_path / "again", journal).write()
    for name in ("orders.csv", "fills.csv", "trades.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("broker_id", "cell"),
    [
        ("151220000000000", "'151220000000000"),
        ("1301220000000000001", "'1301220000000000001"),
        ("007", "'007"),
        ("12E34", "'12E34"),
        ("2026-11-23", "'2026-11-23"),
        ("P000017", "P000017"),
    ],
)
def test_ids_stay_text_in_a_spreadsheet(broker_id: str, cell: str) -> None:
    rows = OrderRows()
    said = report(ExecType.NEW, "09:20:00.1")
    theirs = msgspec.structs.replace(said.reports[0], order_id=broker_id)
    rows.record((place(), msgspec.structs.replace(said, reports=(theirs,))))
    (line,) = csv.reader(io.StringIO(order_line(rows.rows[FIRST])))
    assert line[2] == cell
    assert line[2].removeprefix("'") == broker_id


def test_a_sentence_like_a_formula_is_disarmed_and_a_share_named_by_a_digit_is_not() -> None:
    rows = OrderRows()
    rows.record((place(instrument="NSE:3MINDIA", reason="=HYPERLINK(0)"),))
    (line,) = csv.reader(io.StringIO(order_line(rows.rows[FIRST])))
    assert line[6:8] == ["NSE", "3MINDIA"]
    assert line[19] == "'=HYPERLINK(0)"


def status_after(*facts: Fact) -> tuple[OrdStatus, int, str]:
    rows = OrderRows()
    rows.record((place(), *facts))
    row = rows.rows[FIRST]
    return row.status, row.cum_qty, row.reason


PX = price("22106")
NEW = report(ExecType.NEW, "09:20:01")
PART = report(ExecType.TRADE, "09:20:02", trade="T1", qty=25, px=PX, cum=25)
REST = report(ExecType.TRADE, "09:20:04", trade="T2", qty=50, px=PX, cum=75)
CANCEL = CancelOrder(cl_ord_id=FIRST, at=at("09:20:03"), reason="square-off began")
MODIFY = ModifyOrder(cl_ord_id=FIRST, at=at("09:20:03"), order_qty=50)
CANCELED = report(ExecType.CANCELED, "09:20:05", text="cancelled by user")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((), (OrdStatus.PENDING_NEW, 0, "")),
        ((NEW,), (OrdStatus.NEW, 0, "")),
        ((NEW, PART), (OrdStatus.PARTIALLY_FILLED, 25, "")),
        ((NEW, PART, PART), (OrdStatus.PARTIALLY_FILLED, 25, "")),
        ((PART, NEW), (OrdStatus.PARTIALLY_FILLED, 25, "")),
        ((NEW, PART, REST), (OrdStatus.FILLED, 75, "")),
        ((NEW, PART, REST, CANCELED), (OrdStatus.FILLED, 75, "")),
        ((NEW, CANCEL), (OrdStatus.PENDING_CANCEL, 0, "square-off began")),
        ((NEW, CANCEL, PART), (OrdStatus.PENDING_CANCEL, 25, "square-off began")),
        ((NEW, CANCEL, PART, REST), (OrdStatus.FILLED, 75, "")),
        ((NEW, CANCEL, CANCELED), (OrdStatus.CANCELED, 0, "square-off began")),
        ((NEW, CANCELED), (OrdStatus.CANCELED, 0, "cancelled by user")),
        ((NEW, CANCELED, PART), (OrdStatus.CANCELED, 25, "cancelled by user")),
        (
            (NEW, PART, CANCEL, report(ExecType.CANCEL_REJECTED, "09:20:04", text="too late")),
            (OrdStatus.PARTIALLY_FILLED, 25, "too late"),
        ),
        ((NEW, MODIFY), (OrdStatus.PENDING_REPLACE, 0, "")),
        (
            (NEW, MODIFY, report(ExecType.REPLACED, "09:20:04", order_qty=50)),
            (OrdStatus.NEW, 0, ""),
        ),
        (
            (NEW, PART, report(ExecType.REPLACED, "09:20:04", order_qty=25)),
            (OrdStatus.FILLED, 25, ""),
        ),
        (
            (report(ExecType.UNKNOWN, "09:20:04", text="no answer in 5 s"),),
            (OrdStatus.UNKNOWN, 0, "no answer in 5 s"),
        ),
        (
            (report(ExecType.UNKNOWN, "09:20:04", text="no answer"), NEW, PART),
            (OrdStatus.PARTIALLY_FILLED, 25, ""),
        ),
        (
            (report(ExecType.REJECTED, "09:20:01", text="margin"),),
            (OrdStatus.REJECTED, 0, "margin"),
        ),
    ],
)
def test_an_order_stands_where_its_last_report_left_it(
    facts: tuple[Fact, ...], expected: tuple[OrdStatus, int, str]
) -> None:
    assert status_after(*facts) == expected


def test_somebody_elses_orders_and_blocked_entries_are_no_rows() -> None:
    rows = OrderRows()
    blocked = Blocked(
        strategy=EMA,
        instrument=NIFTY,
        side=Side.BUY,
        code="LOT",
        sentence="one lot risks ₹3 250, your limit is ₹2 500",
        at=at("09:20:00"),
    )
    rows.record((report(ExecType.NEW, "09:20:00.1", SECOND), blocked))
    assert rows.rows == {}


@given(st.permutations([NEW, PART, REST, PART, NEW]))
def test_reports_in_any_order_and_told_twice_end_in_the_same_row(facts: list[Fact]) -> None:
    assert status_after(*facts) == (OrdStatus.FILLED, 75, "")
