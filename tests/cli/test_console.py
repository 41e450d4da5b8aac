"""What the day looks like on a screen and in a log file."""

import datetime as dt
import io

import msgspec
import pytest

from kitestring.cli.console import LiveConsole, PlainConsole, console_for
from kitestring.cli.day_lines import end_lines, fact_line
from kitestring.domain.charges import Charges
from kitestring.domain.events import (
    Discrepancy,
    Gap,
    MarketDataFault,
    Note,
    Reports,
    StrategyOff,
    StrategyReady,
    TimerFired,
)
from kitestring.domain.instants import MINUTE, instant
from kitestring.domain.money import ChargeUnits, money, price
from kitestring.domain.orders import ExecType, ExecutionReport, ExitReason, Product, Side
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.verdicts import Blocked, CancelOrder, HaltPolicy, HaltSession
from kitestring.engine.watching import DayResult, DaySnapshot, DayStarted

DAY = dt.date(2026, 11, 20)
AT = instant(DAY, dt.time(10, 25))
NIFTY = "NFO:NIFTY26NOVFUT"

FILL = Fill(
    fill_id="1", cl_ord_id="K1", strategy="ema_trend-NIFTY", instrument=NIFTY, side=Side.BUY,
    qty=65, px=price("24712.35"), at=AT, product=Product.MIS, decision_px=price("24710"),
    slippage=money("152.75"), charges=Charges(),
)  # fmt: skip
ROUND_TRIP = RoundTrip(
    trade_id="1", strategy="ema_trend-NIFTY", instrument=NIFTY, side=Side.BUY, qty=65, entry_at=AT,
    exit_at=AT + 5 * MINUTE, entry_px=price(24712), exit_px=price(24730), gross=money("1170"),
    charges=Charges(brokerage=ChargeUnits(400_000_000_000), stt=ChargeUnits(8_000_000_000_000)),
    risk=None, mfe=money(1300), mae=money(-65), exit_reason=ExitReason.TRAIL,
    slippage=money(0), product=Product.MIS,
)  # fmt: skip
REFUSED = Blocked(
    strategy="ema_trend-NIFTY", instrument=NIFTY, side=Side.SELL, code="TOO_SMALL",
    sentence="one lot risks ₹3,250, your limit is ₹2,500", at=AT,
)  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (FILL, "10:25:00  bought 65 NIFTY26NOVFUT at ₹24,712.35 · ema_trend-NIFTY"),
        (
            ROUND_TRIP,
            "10:30:00  closed NIFTY26NOVFUT by trailing stop: net +₹330.00 · ema_trend-NIFTY",
        ),
        (
            REFUSED,
            (
                "10:25:00  refused SELL NIFTY26NOVFUT · ema_trend-NIFTY: "
                "one lot risks ₹3,250, your limit is ₹2,500"
            ),
        ),
        (
            HaltSession(
                code="DAILY_LOSS", sentence="₹40,000 is lost", policy=HaltPolicy.FLATTEN, at=AT
            ),
            "10:25:00  HALT: ₹40,000 is lost (flatten)",
        ),
        (
            StrategyOff(strategy="mine-INFY", at=AT, error="division by zero"),
            "10:25:00  mine-INFY failed and is switched off: division by zero",
        ),
        (
            MarketDataFault(instrument=NIFTY, at=AT, fault="stale", sentence="no tick for 60 s"),
            "10:25:00  NIFTY26NOVFUT: no tick for 60 s",
        ),
        (
            Gap(start_at=AT, end_at=AT + MINUTE, reason="restart"),
            "10:26:00  ticks missing since 10:25:00: restart",
        ),
        (
            Discrepancy(at=AT, what="net of NIFTY26NOVFUT", ours="65", theirs="0"),
            "10:25:00  DIFFERENCE in net of NIFTY26NOVFUT: ours 65, the broker's 0",
        ),
        (Note(at=AT, kind="square-off", sentence="square-off began"), "10:25:00  square-off began"),
        (TimerFired(AT), None),
        (StrategyReady(strategy="s", instrument=NIFTY, at=AT, bars=50), None),
    ],
)  # fmt: skip
def test_each_fact_worth_a_line_is_one_plain_line(fact, line):
    assert fact_line(fact) == line


def test_a_rejection_by_the_exchange_is_shown_and_a_fill_report_is_not():
    def report(exec_type, text):
        return ExecutionReport(cl_ord_id="K1", exec_type=exec_type, event_at=AT, text=text)

    reports = Reports(AT, (report(ExecType.TRADE, ""), report(ExecType.REJECTED, "no margin")))
    assert fact_line(reports) == "10:25:00  the exchange rejected K1: no margin"
    assert fact_line(Reports(AT, (report(ExecType.NEW, ""),))) is None


RESULT = DayResult(
    date=DAY, mode="paper", run="r", feed="synthetic (seed 1)", fill_model="market",
    charges_name="Zerodha 2026-11", opening_equity=money(2_000_000),
    closing_equity=money("2000330"), orders=9, fills=10, trades=3, wins=1, losses=1,
    gross=money(1170), charges=ROUND_TRIP.charges, net=money(330), slippage=money("152.75"),
    refusals={"A": 1, "TOO_SMALL": 7, "CUT_OFF": 7, "B": 1, "C": 1, "D": 1, "E": 1},
    data_faults={"duplicate": 4, "late": 0}, stand_ins=("NIFTY index stands in for its future",),
    artifacts={"journal": "artifacts/journal/2026-11-20"}, ticks=180_000, wall_s=12.5,
)  # fmt: skip
TABLE = """\
Fri 20 Nov 2026, paper: finished, net +₹330.00 after charges
orders          9, 10 fills
round trips     3: 1 won, 1 lost, 1 even
gross           +₹1,170.00
charges         ₹840.00 (brokerage ₹40.00, STT ₹800.00)
net             +₹330.00
slippage        ₹152.75 against the decision prices
equity          ₹20,00,000.00 → ₹20,00,330.00
refused by risk 7 × CUT_OFF
                7 × TOO_SMALL
                1 × A
                1 × B
                1 × C
                1 × D
feed            4 duplicate
fill model      market
charges by      Zerodha 2026-11
market          synthetic (seed 1)
stand-in        NIFTY index stands in for its future
took            12.5 s for 180,000 ticks
journal         artifacts/journal/2026-11-20"""


def test_the_closing_table_is_net_of_charges_and_names_models_and_stand_ins():
    shown = [line for line in end_lines(RESULT) if not line.startswith("─")]
    assert "\n".join(shown) == TABLE


def test_a_long_sentence_is_broken_at_the_width_of_a_terminal():
    result = msgspec.structs.replace(RESULT, fill_model="word " * 40)
    shown = [line for line in end_lines(result) if "word" in line]
    assert [line[:20] for line in shown] == [
        "fill model      word",
        "                word",
        "                word",
    ]
    assert max(len(line) for line in shown) <= 100


def test_a_halt_and_what_is_carried_are_in_the_table():
    result = msgspec.structs.replace(
        RESULT, halted="₹40,000 is lost", open_positions={NIFTY: 65}, rejections=2,
        strategies_off=("mine-INFY",),
    )  # fmt: skip
    shown = end_lines(result)
    assert "halted          ₹40,000 is lost" in shown
    assert "carried         65 NFO:NIFTY26NOVFUT" in shown
    assert "switched off    mine-INFY" in shown
    assert "rejected        2 by the exchange" in shown


def test_an_interrupted_day_says_how_to_go_on_and_a_finished_one_how_to_begin_again():
    interrupted = msgspec.structs.replace(RESULT, interrupted=True)
    again = msgspec.structs.replace(RESULT, already_finished=True)
    assert end_lines(interrupted)[-1] == "Start the same command again to go on from here."
    assert end_lines(again)[-1].startswith("Add --fresh")


STARTED = DayStarted(
    date=DAY, mode="paper", run="r", feed="synthetic (seed 1)", fill_model="market",
    charges_name="Zerodha 2026-11", capital=money(2_000_000), strategies=("a", "b"),
    artifacts="artifacts", stand_ins=("NIFTY index stands in for its future",),
    resumed_at=AT,
)  # fmt: skip


def snapshot(net="0"):
    return DaySnapshot(money(net), money(0), 2, 1, 7)


def test_a_log_file_gets_one_line_an_hour_and_no_control_characters():
    out = io.StringIO()
    console = console_for(out)
    console.started(STARTED)
    for minute in range(180):
        console.progress(AT + minute * MINUTE, minute, 180, snapshot("-1234.5"))
    console.finished(RESULT)
    lines = out.getvalue().splitlines()
    hours = [line for line in lines if "open, 1 working" in line]
    assert hours == [
        "11:00:00  2 open, 1 working, 7 trades · net -₹1,234.50",
        "12:00:00  2 open, 1 working, 7 trades · net -₹1,234.50",
        "13:00:00  2 open, 1 working, 7 trades · net -₹1,234.50",
    ]
    assert lines[0] == "Friday 20 November 2026 · paper · synthetic (seed 1) · as fast as it goes"
    assert lines[1] == "capital ₹20,00,000.00 · 2 strategies · Zerodha 2026-11"
    assert lines[2] == "fills market"
    assert "note  NIFTY index stands in for its future" in lines
    assert "Going on at 10:25:00, where this run was interrupted." in lines
    assert "\x1b" not in out.getvalue()


def test_the_same_refusal_is_printed_three_times_and_then_only_counted():
    out = io.StringIO()
    console = PlainConsole(out)
    for _ in range(50):
        console.said(REFUSED)
    console.said(msgspec.structs.replace(REFUSED, strategy="other"))
    assert out.getvalue().count("refused SELL") == 4


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_moving_line_and_is_given_back_as_it_was(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    console = console_for(out)
    assert isinstance(console, LiveConsole)
    console.started(STARTED)
    console.progress(AT, 10, 100, snapshot())
    console.said(FILL)
    console.finished(RESULT)
    shown = out.getvalue()
    assert "2 open, 1 working, 7 trades" in shown
    assert "bought 65 NIFTY26NOVFUT at ₹24,712.35" in shown
    assert "net +₹330.00 after charges" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is shown again


def test_a_day_that_fails_gives_the_terminal_back_too(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    console = console_for(out)
    console.started(STARTED)
    console.close()
    console.close()
    shown = out.getvalue()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_a_command_that_goes_out_with_real_money_is_marked_and_one_on_paper_is_not():
    cancel = CancelOrder(cl_ord_id="K1", at=AT, reason="halt")
    for mode, lines in (("live", ["10:25:00  🔴 LIVE withdraws K1: halt"]), ("paper", [])):
        out = io.StringIO()
        console = PlainConsole(out)
        console.started(
            DayStarted(
                date=DAY, mode=mode, run="r", feed="f", fill_model="m", charges_name="c",
                capital=money(1), strategies=(), artifacts="a",
            )
        )  # fmt: skip
        before = len(out.getvalue())
        console.said(cancel)
        assert out.getvalue()[before:].splitlines() == lines
