"""A recorded day is decided again and compared with its journal."""

from __future__ import annotations

import msgspec
import pytest
from house_day import (
    ACME,
    NIFTY,
    SCRIPTED,
    HouseDay,
    Memory,
    clock,
    frame,
    scripted,
    sessions,
    tick,
)

from kitestring.core.exits import Exits
from kitestring.core.trading_core import TradingCore
from kitestring.domain.events import Gap, OperatorCommand, OperatorWord
from kitestring.domain.signals import buy
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine.replay import replay
from kitestring.exchange.fill_models import MARKET


def a_morning():
    """NIFTY climbs for four minutes and falls for three; ACME stands still."""
    frames = []
    for second in range(0, 7 * 60, 2):
        rise = second if second < 240 else 480 - second
        at = clock("09:15") + second * 1_000_000
        nifty = 22_000 + rise // 10
        frames.append(
            frame(
                tick(at, NIFTY, f"{nifty}.00", bid=f"{nifty}.00", ask=f"{nifty}.10"),
                tick(at, ACME, "500.00", bid="499.95", ask="500.05"),
            )
        )
    return frames


def the_day(**more):
    return HouseDay(
        [
            scripted("up", NIFTY, "2 BUY stop=-5 trail=4; 6 SELL stop=+5", lots=2),
            scripted("turn", ACME, "2 BUY; 4 SELL; 5 EXIT", lots=10),
        ],
        a_morning(),
        instruments=(NIFTY, ACME),
        timetable=sessions(close="10:00", square_off="09:21:30", cutoff="09:21:05"),
        fill_model=MARKET,
        **more,
    )


def decided_again(day, core=None, tape=None):
    return replay(core or day.fresh_core(), day.journal.commits(), tape or day.tape.records())


@pytest.fixture(scope="module")
def traded():
    day = the_day().run()
    assert len(day.said(PlaceOrder)) > 6
    return day


def test_the_same_house_decides_the_same_day_again(traded):
    done = decided_again(traded)
    assert done.difference is None
    assert done.cut_short == ""
    assert done.commits == traded.journal.count
    assert done.events == traded.day.inbox


def test_a_strategy_with_one_changed_comparison_is_found_at_the_bar_it_decided_on(traded):
    def edited(params, state, i):
        if i.minute == 3 and "stop" in params.script:
            return Memory(state.bars + 1), buy("script", stop=i.close - 5)
        return SCRIPTED.decide(params, state, i)

    core = TradingCore(
        traded.settings,
        instruments=traded.instruments,
        sessions=traded.timetable,
        definitions={"scripted": msgspec.structs.replace(SCRIPTED, decide=edited)},
        charge_book=traded.charge_book,
        previous_close={},
        margins=traded.margins,
    )
    found = decided_again(traded, core).difference
    assert found is not None
    assert found.event == "timer of 09:18:00"
    assert found.replay == "up said BUY on NFO:NIFTY26NOVFUT: script"
    assert found.inbox == event_number(traded, clock("09:18"))


def event_number(day, due_at):
    """The inbox number the tape gives to a timer."""
    (number,) = (
        number for number, event in day.tape.records() if getattr(event, "due_at", None) == due_at
    )
    return number


def test_a_core_with_one_changed_comparison_is_found_at_the_order_it_moved(traded, monkeypatch):
    real = Exits.trail

    def trail(self, book, close):
        return real(self, book, close + 10_000)  # A rupee kinder than it should be.

    monkeypatch.setattr(Exits, "trail", trail)
    found = decided_again(traded).difference
    assert found is not None
    assert found.event == "timer of 09:18:00"
    assert found.commit is not None
    assert found.journal != found.replay
    assert "stop_px=220130000" in found.journal  # 22 017 − 4
    assert "stop_px=220140000" in found.replay


def test_an_order_that_replay_would_not_send_is_named(traded, monkeypatch):
    monkeypatch.setattr(TradingCore, "_signal", lambda self, signal: None)
    found = decided_again(traded).difference
    assert found is not None
    assert found.event == "timer of 09:17:00"
    assert found.journal.startswith("approved ENTRY BUY 130 NFO:NIFTY26NOVFUT")
    assert found.sentence.startswith(f"event {found.inbox:,} (timer of 09:17:00): the journal says")


def test_a_step_that_only_replay_would_have_committed_is_a_difference(traded):
    commits = [
        (number, commit)
        for number, commit in traded.journal.commits()
        if commit.at != clock("09:18")
    ]
    found = replay(traded.fresh_core(), commits, traded.tape.records()).difference
    assert found is not None
    assert found.event == "timer of 09:18:00"
    assert found.journal == "nothing"
    assert found.replay.startswith("modified ")


def test_an_event_that_neither_tape_nor_journal_holds_is_a_difference(traded):
    commits = list(traded.journal.commits())
    _, reports = commits.pop(3)
    done = replay(traded.fresh_core(), commits, traded.tape.records())
    assert done.commits == 3
    assert done.difference is not None
    assert done.difference.inbox == reports.inbox
    assert done.difference.event == "lost"


def test_the_comparison_ends_where_the_tape_was_lost_to_a_power_failure(traded):
    records = traded.tape.records()
    cut = len(records) // 2
    done = decided_again(traded, tape=records[:cut])
    assert done.difference is None
    assert done.events >= records[cut - 1][0]
    assert f"event {done.events + 1:,} is not on the tape" in done.cut_short
    assert 0 < done.commits < traded.journal.count


def test_what_the_tape_holds_after_the_last_commit_was_never_durable(traded):
    commits = list(traded.journal.commits())[:-4]
    done = replay(traded.fresh_core(), commits, traded.tape.records())
    assert done.difference is None
    assert done.events == commits[-1][1].inbox


def test_operator_gaps_and_the_halt_after_a_fault_of_the_house_are_followed():
    day = the_day()
    day.open()
    for place, each in enumerate(a_morning()):
        if place == 40:
            day.day.tell(Gap(start_at=clock("09:16"), end_at=clock("09:16:10"), reason="test"))
        if place == 75:
            day.day.note("resumed", "Resumed after frame 75.")
            day.day.tell(
                OperatorCommand(at=day.core.state.now, word=OperatorWord.FAULT, reason="It failed.")
            )
        if place == 160:
            day.day.tell(
                OperatorCommand(at=day.core.state.now, word=OperatorWord.FLATTEN, reason="enough")
            )
        day.day.take_frame(each)
    day.day._run_out()
    done = decided_again(day)
    assert done.difference is None
    assert done.events == day.day.inbox
    assert day.positions == {}
