"""The end of a bad day: two agreeing marks, a latch that holds, exits that always pass."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from risk_desk import CAPITAL, TEN, at, engine, intent, request, round_trip, standing

from kitestring.core.risk_engine import NOT_ARMED, RISK_CELL, RiskEngine, RiskState
from kitestring.core.settings import RiskSettings
from kitestring.domain.money import money
from kitestring.domain.orders import Purpose, Side
from kitestring.domain.verdicts import Approved, Blocked, HaltPolicy, HaltSession

# A loss limit of ₹50,000 of ₹10,00,000, and no other.
FIFTY_THOUSAND = RiskSettings(max_daily_loss_pct=0.05, max_drawdown_pct=None)
THREE_THOUSAND = RiskSettings(max_daily_loss_pct=0.003, max_drawdown_pct=None)
DRAWDOWN_ONLY = RiskSettings(max_daily_loss_pct=None, max_drawdown_pct=0.05)


def open_standing(when, pnl, **changes):
    return standing(when, pnl, open_positions=1, **changes)


def halted_desk():
    desk = engine()
    desk.halt("OPERATOR", "a person said stop", HaltPolicy.FLATTEN, TEN)
    return desk


@pytest.mark.parametrize(
    ("pnl", "ends"), [("-49999", False), ("-50000", True), ("-50001", True), ("60000", False)]
)
def test_the_day_ends_at_a_loss_of_fifty_thousand(pnl, ends):
    desk = engine(FIFTY_THOUSAND)
    assert desk.watch(open_standing(at("10:00"), pnl)) is None
    verdict = desk.watch(open_standing(at("10:01"), pnl))
    assert (verdict is not None) == ends
    if verdict is not None:
        assert (verdict.code, verdict.policy) == ("DAILY_LOSS", HaltPolicy.FLATTEN)


def test_the_halt_says_both_rupees():
    desk = engine(FIFTY_THOUSAND)
    desk.watch(open_standing(at("10:00"), "-50001"))
    verdict = desk.watch(open_standing(at("10:01"), "-51234.50"))
    assert verdict.sentence == (
        "the day has lost ₹51,234.50 after charges, the limit is ₹50,000.00."
    )


def test_minus_fifty_thousand_against_a_limit_of_three_thousand_is_refused_at_once():
    desk = engine(THREE_THOUSAND)
    first = desk.check_entry(request(), open_standing(TEN, "-50000"))
    assert isinstance(first, Blocked)
    assert first.code == "DAILY_LOSS"
    second = desk.check_entry(request(), open_standing(at("10:00:01"), "-50000"))
    assert isinstance(second, HaltSession)
    third = desk.check_entry(request(), standing(at("10:00:02"), "500000"))
    assert isinstance(third, Blocked)
    assert third.code == "HALTED"


def test_one_bad_mark_does_not_end_the_day_but_stops_entries_while_it_stands():
    desk = engine(FIFTY_THOUSAND)
    assert desk.watch(open_standing(TEN, "-90000")) is None
    assert isinstance(desk.check_entry(request(), open_standing(TEN, "-90000")), Blocked)
    assert desk.watch(open_standing(at("10:00:01"), "-100")) is None
    assert isinstance(desk.check_entry(request(), open_standing(at("10:00:01"), "-100")), Approved)
    assert desk.watch(open_standing(at("10:00:02"), "-90000")) is None
    assert desk.state.halted is None


@pytest.mark.parametrize(
    ("second_at", "second_pnl", "ends"),
    [
        ("10:00:00", "-90000", False),  # the same mark looked at twice
        ("10:00:00", "-90001", False),  # the same instant
        ("10:00:00.5", "-90000", False),  # unchanged marks, too soon
        ("10:00:00.5", "-90001", True),  # a new mark that agrees
        ("10:00:01", "-90000", True),  # unchanged for a second
    ],
)
def test_what_agrees_is_a_later_mark(second_at, second_pnl, ends):
    desk = engine(FIFTY_THOUSAND)
    desk.watch(open_standing(TEN, "-90000"))
    verdict = desk.watch(open_standing(at(second_at), second_pnl))
    assert (verdict is not None) == ends


def test_a_loss_that_is_booked_needs_no_second_mark():
    desk = engine(FIFTY_THOUSAND)
    verdict = desk.watch(standing(TEN, "-50001", open_positions=0))
    assert isinstance(verdict, HaltSession)


def test_marks_that_are_not_fresh_never_end_the_day_and_never_allow_an_entry():
    desk = engine(THREE_THOUSAND)
    for second in range(5):
        account = open_standing(
            TEN + second * 1_000_000, "-50000", marks_fresh=False, marks_why="no tick"
        )
        assert desk.watch(account) is None
        assert isinstance(desk.check_entry(request(), account), Blocked)
    assert desk.state.halted is None


# --- drawdown ---


@pytest.mark.parametrize(("pnl", "ends"), [("-49999", False), ("-50001", True)])
def test_the_drawdown_is_measured_from_the_peak_carried_into_the_day(pnl, ends):
    desk = engine(DRAWDOWN_ONLY)
    account = open_standing(at("10:00"), pnl)
    desk.watch(account)
    verdict = desk.watch(open_standing(at("10:01"), pnl))
    assert (verdict is not None) == ends
    if verdict is not None:
        assert (verdict.code, verdict.policy) == ("DRAWDOWN", HaltPolicy.FLATTEN)
        assert verdict.sentence == (
            "equity is ₹9,49,999.00, ₹50,001.00 below its peak; the limit is ₹50,000.00."
        )


def test_a_peak_of_earlier_days_counts():
    desk = engine(DRAWDOWN_ONLY)
    for clock in ("10:00", "10:01"):
        verdict = desk.watch(open_standing(at(clock), "0", peak_equity=CAPITAL + money(50_000)))
    assert verdict is not None


def test_the_peak_rises_with_the_day():
    desk = engine(DRAWDOWN_ONLY)
    for clock, pnl in (("10:00", "30000"), ("10:01", "40000"), ("10:02", "-10000")):
        assert desk.watch(open_standing(at(clock), pnl)) is None
    # Two marks agreed on ₹30,000; the peak is not the single ₹40,000.
    assert desk.state.peak_equity == CAPITAL + money(30_000)
    assert desk.watch(open_standing(at("10:03"), "-20000")) is None
    assert desk.watch(open_standing(at("10:04"), "-20001")) is not None


def test_one_absurd_mark_upwards_makes_no_peak():
    desk = engine(DRAWDOWN_ONLY)
    for clock, pnl in (("10:00", "0"), ("10:01", "900000"), ("10:02", "0"), ("10:03", "0")):
        assert desk.watch(open_standing(at(clock), pnl)) is None
    assert desk.state.peak_equity == CAPITAL


# --- the latch ---


def test_after_a_halt_every_entry_is_refused_for_the_rest_of_the_day():
    desk = halted_desk()
    for clock in ("10:00", "11:30", "15:29"):
        verdict = desk.check_entry(
            request(reference_at=at(clock)), standing(at(clock), pnl="100000")
        )
        assert isinstance(verdict, Blocked)
        assert verdict.code == "HALTED"
        assert verdict.sentence == "the day was halted at 10:00:00: a person said stop"


def test_the_first_halt_wins():
    desk = halted_desk()
    assert desk.halt("LATER", "another", HaltPolicy.FLATTEN, at("10:05")) is None
    assert desk.halt("LATER", "another", HaltPolicy.KEEP_PROTECTED, at("10:05")) is None
    assert desk.state.halted.code == "OPERATOR"


def test_a_halt_that_keeps_positions_still_flattens_a_loss():
    desk = engine(FIFTY_THOUSAND)
    desk.halt("DATA", "the feed lied", HaltPolicy.KEEP_PROTECTED, TEN)
    assert desk.watch(open_standing(at("10:01"), "-60000")) is None
    verdict = desk.watch(open_standing(at("10:02"), "-60000"))
    assert isinstance(verdict, HaltSession)
    assert verdict.policy is HaltPolicy.FLATTEN


def test_a_halt_that_flattens_is_said_once():
    desk = engine(FIFTY_THOUSAND)
    desk.watch(open_standing(at("10:00"), "-60000"))
    assert desk.watch(open_standing(at("10:01"), "-60000")) is not None
    assert desk.watch(open_standing(at("10:02"), "-60000")) is None


def cell_of(desk):
    return {RISK_CELL: msgspec.msgpack.encode(desk.state)}


def test_the_latch_and_the_counts_survive_a_restart():
    desk = halted_desk()
    desk.order_sent(TEN, is_entry=True)
    desk.entry_placed(intent(signal="s7"), TEN)
    again = engine()
    again.restore(cell_of(desk))
    assert again.state == desk.state
    verdict = again.check_entry(request(), standing(at("14:00")))
    assert isinstance(verdict, Blocked)
    assert verdict.code == "HALTED"


def test_a_first_bad_mark_before_the_crash_and_a_second_after_it_agree():
    desk = engine(FIFTY_THOUSAND)
    desk.watch(open_standing(TEN, "-60000"))
    again = engine(FIFTY_THOUSAND)
    again.restore(cell_of(desk))
    assert again.watch(open_standing(at("10:00:05"), "-60000")) is not None


def test_the_next_session_starts_free_but_remembers_the_peak():
    desk = halted_desk()
    desk.state.peak_equity = CAPITAL + money(5)
    desk.order_sent(TEN, is_entry=True)
    monday = RiskEngine(RiskSettings(), CAPITAL, dt.date(2026, 11, 23), {})
    monday.restore(cell_of(desk))
    assert monday.state == RiskState(date="2026-11-23", peak_equity=CAPITAL + money(5))


def test_nothing_to_restore_is_a_fresh_day():
    desk = engine()
    desk.restore({})
    assert desk.state.halted is None


def test_every_change_is_put_where_the_next_commit_finds_it():
    dirty = {}
    desk = RiskEngine(RiskSettings(), CAPITAL, dt.date(2026, 11, 20), dirty)
    desk.check_entry(request(), standing())
    dirty.clear()
    desk.check_entry(request(), standing())
    assert dirty == {}
    desk.order_sent(TEN, is_entry=False)
    assert dirty == {RISK_CELL: desk.state}
    dirty.clear()
    desk.halt("X", "x", HaltPolicy.FLATTEN, TEN)
    assert dirty == {RISK_CELL: desk.state}


def test_an_arming_lifts_what_stood_for_want_of_one_and_no_other_halt():
    desk = halted_desk()
    desk.arm()
    assert desk.state.halted is not None
    assert desk.check_entry(request(), standing(at("14:00"))).code == "HALTED"
    unarmed = engine()
    unarmed.halt(NOT_ARMED, "nobody armed it", HaltPolicy.KEEP_PROTECTED, TEN)
    unarmed.arm()
    assert unarmed.state.halted is None


# --- exits ---


@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.STOP])
def test_exits_pass_on_the_worst_of_days(purpose):
    desk = halted_desk()
    for _ in range(5000):
        desk.order_sent(TEN, is_entry=False)
    leaving = intent(purpose, side=Side.SELL, qty=7)
    assert desk.approve_exit(leaving, TEN) == Approved(intent=leaving, at=TEN)


def test_an_entry_cannot_pass_as_an_exit():
    with pytest.raises(AssertionError):
        engine().approve_exit(intent(Purpose.ENTRY), TEN)


def written(desk, dirty, act):
    dirty.clear()
    act(desk)
    return dirty == {RISK_CELL: desk.state}


def test_what_a_mark_or_a_closed_trade_changes_is_written_too():
    dirty = {}
    desk = RiskEngine(RiskSettings(), CAPITAL, dt.date(2026, 11, 20), dirty)
    desk.check_entry(request(), standing())
    assert written(desk, dirty, lambda d: d.trade_closed(round_trip("-100")))
    assert written(desk, dirty, lambda d: d.watch(open_standing(TEN, "100")))
    assert desk.state.higher_seen_at == TEN
    assert written(desk, dirty, lambda d: d.watch(open_standing(TEN + 1, "-50")))
    assert desk.state.higher_seen_at == 0
    dirty.clear()
    desk.watch(open_standing(TEN + 2, "-50"))
    assert dirty == {}
    assert written(desk, dirty, lambda d: d.open_with(CAPITAL))
