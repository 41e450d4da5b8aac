"""Each limit of one strategy on both sides of its edge, alone and in a day of the whole house."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from house_day import NIFTY, HouseDay, clock, frame, scripted, tick
from risk_desk import SHARE, TEN, at, engine, intent, request, round_trip, standing, strategy

from kitestring.domain.errors import ConfigError
from kitestring.domain.events import Note
from kitestring.domain.money import money
from kitestring.domain.orders import ExitReason, Side
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import Approved, Blocked


def code_of(verdict):
    return "yes" if isinstance(verdict, Approved) else verdict.code


def asking(settings, *, bar="10:00", side=Side.BUY, signal="s1", closes=0):
    """A request of this strategy on the bar that closed at ``bar``."""
    stop = "990" if side is Side.BUY else "1010"
    asked = request(
        settings=settings,
        side=side,
        stop=stop,
        signal=signal,
        closes=closes,
        reference_at=at(bar),
    )
    return msgspec.structs.replace(
        asked, signal=msgspec.structs.replace(asked.signal, bar_close_at=at(bar))
    )


def left(reason, clock_time, *, gross="100"):
    return msgspec.structs.replace(round_trip(gross, at(clock_time)), exit_reason=reason)


# --- its own loss ---

CAPPED = strategy(loss_max=money(4_000))


@pytest.mark.parametrize(
    ("pnl", "code"), [("-3999", "yes"), ("-4000", "STRATEGY_LOSS"), ("-4000.5", "STRATEGY_LOSS")]
)
def test_a_strategy_that_lost_its_four_thousand_enters_no_more(pnl, code):
    verdict = engine().check_entry(asking(CAPPED), standing(strategy_pnl=money(pnl)))
    assert code_of(verdict) == code


def test_the_refusal_names_its_loss_and_its_limit():
    verdict = engine().check_entry(asking(CAPPED), standing(strategy_pnl=money("-4100.25")))
    assert verdict.sentence == "ema lost ₹4,100.25 today after charges, its limit is ₹4,000.00."


def test_a_strategy_without_a_limit_of_its_own_is_bound_by_the_accounts_alone():
    verdict = engine().check_entry(asking(strategy()), standing(strategy_pnl=money(-9_000)))
    assert code_of(verdict) == "yes"


def test_one_bad_mark_stops_nobody_and_two_that_agree_do():
    risk = engine()
    assert risk.watch_strategy(CAPPED, money(-4_100), at("10:00:01")) is None
    assert risk.watch_strategy(CAPPED, money(-3_900), at("10:00:02")) is None
    assert risk.watch_strategy(CAPPED, money(-4_100), at("10:00:03")) is None
    assert not risk.has_lost("ema")
    sentence = risk.watch_strategy(CAPPED, money(-4_050), at("10:00:04"))
    assert sentence == "ema lost ₹4,050.00 today after charges, its limit is ₹4,000.00."
    assert risk.has_lost("ema")
    assert risk.watch_strategy(CAPPED, money(-5_000), at("10:00:05")) is None, "told once"


@pytest.mark.parametrize(("pnl", "stopped"), [("-3999.99", False), ("-4000", True)])
def test_its_limit_is_reached_at_the_rupee(pnl, stopped):
    risk = engine()
    for second in ("10:00:01", "10:00:02"):
        risk.watch_strategy(CAPPED, money(pnl), at(second))
    assert risk.has_lost("ema") is stopped


def test_a_strategy_stopped_for_the_day_stays_so_when_the_price_comes_back():
    risk = engine()
    for second in ("10:00:01", "10:00:02"):
        risk.watch_strategy(CAPPED, money(-4_100), at(second))
    verdict = risk.check_entry(asking(CAPPED), standing(strategy_pnl=money(500)))
    assert code_of(verdict) == "STRATEGY_LOSS"
    other = strategy("other", loss_max=money(4_000))
    assert code_of(risk.check_entry(asking(other), standing())) == "yes"


def test_how_much_of_a_strategys_limits_is_used_can_be_told():
    risk = engine()
    row = strategy(loss_max=money(4_000), max_reentries=1)
    risk.entry_placed(intent(), TEN)
    told = [(use.key, use.code, use.limit, use.used, use.fraction) for use in
            risk.used_by(row, money(-1_000))]  # fmt: skip
    assert told == [
        ("ema.loss_max", "STRATEGY_LOSS", "₹4,000.00", "₹1,000.00", 0.25),
        ("ema.max_reentries", "REENTRIES", "1", "0", 0.5),
    ]


# --- entering again ---


@pytest.mark.parametrize(
    ("entries", "most", "code"),
    [(0, 0, "yes"), (1, 0, "REENTRIES"), (2, 2, "yes"), (3, 2, "REENTRIES"), (9, None, "yes")],
)
def test_so_many_entries_after_the_first(entries, most, code):
    risk = engine()
    for number in range(entries):
        risk.entry_placed(intent(signal=f"old{number}"), at("09:30"))
    verdict = risk.check_entry(asking(strategy(max_reentries=most)), standing())
    assert code_of(verdict) == code


def test_the_refusal_counts_re_entries():
    risk = engine()
    for number in range(3):
        risk.entry_placed(intent(signal=f"old{number}"), at("09:30"))
    verdict = risk.check_entry(asking(strategy(max_reentries=2)), standing())
    assert verdict.sentence == "ema entered again 2 times today, the limit is 2."


@pytest.mark.parametrize(
    ("now", "code"),
    [("09:50", "REENTRY_WAIT"), ("10:04:59", "REENTRY_WAIT"), ("10:05", "yes"), ("11:00", "yes")],
)
def test_fifteen_minutes_are_waited_after_an_exit(now, code):
    risk = engine()
    risk.trade_closed(left(ExitReason.SIGNAL, "09:50:00.300"))
    waiting = strategy(wait_minutes=15)
    assert code_of(risk.check_entry(asking(waiting, bar=now), standing(at(now)))) == code
    assert code_of(risk.check_entry(asking(strategy(), bar=now), standing(at(now)))) == "yes"


def test_a_wait_says_until_when_and_forbids_reversing_at_once():
    risk = engine()
    risk.trade_closed(left(ExitReason.STOP, "09:50"))
    waiting = strategy(wait_minutes=15)
    assert risk.check_entry(asking(waiting), standing()).sentence == (
        "ema waits 15 min after an exit, until 10:05:00."
    )
    assert engine().check_entry(asking(waiting, closes=10), standing()).sentence == (
        "ema waits 15 min after an exit, so it does not reverse at once."
    )


FRESH = strategy(fresh_signal=True)


def told(risk, *bars, side=Side.BUY):
    """What is answered to the same signal on each of these bars of five minutes."""
    return [
        code_of(risk.check_entry(asking(FRESH, bar=bar, side=side, signal=bar), standing(at(bar))))
        for bar in bars
    ]


def test_a_signal_that_goes_on_after_a_stop_is_not_taken_again():
    risk = engine()
    risk.trade_closed(left(ExitReason.STOP, "09:57"))
    assert told(risk, "10:00", "10:05", "10:10") == ["SAME_SIGNAL"] * 3
    # On the bar of 10:15 it held its peace.
    assert told(risk, "10:20") == ["yes"]


def test_one_silent_bar_after_the_stop_is_enough():
    risk = engine()
    risk.trade_closed(left(ExitReason.TARGET, "09:57"))
    assert told(risk, "10:05") == ["yes"]


def test_the_other_side_is_another_signal_and_ends_the_first():
    risk = engine()
    risk.trade_closed(left(ExitReason.STOP, "09:57"))
    assert told(risk, "10:00", side=Side.SELL) == ["yes"]
    assert told(risk, "10:05") == ["yes"]


@pytest.mark.parametrize("reason", [ExitReason.SIGNAL, ExitReason.REVERSAL])
def test_a_strategy_that_left_by_itself_has_ended_its_signal(reason):
    risk = engine()
    risk.trade_closed(left(reason, "09:57"))
    assert told(risk, "10:00") == ["yes"]


def test_the_refusal_says_what_is_waited_for():
    risk = engine()
    risk.trade_closed(left(ExitReason.STOP, "09:57"))
    assert risk.check_entry(asking(FRESH), standing()).sentence == (
        "ema was taken out of this BUY at 09:57:00 and its signal has not ended since; it needs a "
        "fresh one."
    )


def test_a_signal_refused_for_another_reason_still_goes_on():
    risk = engine()
    settings = strategy(fresh_signal=True, entry_from=dt.time(10, 7))
    risk.trade_closed(left(ExitReason.STOP, "09:57"))
    codes = [
        code_of(risk.check_entry(asking(settings, bar=bar, signal=bar), standing(at(bar))))
        for bar in ("10:00", "10:05", "10:10")
    ]
    assert codes == ["STRATEGY_WINDOW", "STRATEGY_WINDOW", "SAME_SIGNAL"]


def test_what_is_remembered_survives_a_restart():
    before, rows = engine(), strategy(loss_max=money(4_000), fresh_signal=True, wait_minutes=15)
    before.trade_closed(left(ExitReason.STOP, "09:57"))
    before.watch_strategy(rows, money(-4_100), at("09:55"))
    after = engine()
    after.restore({"risk/state": msgspec.msgpack.encode(before.state)})
    assert after.state == before.state
    assert after.watch_strategy(rows, money(-4_100), at("10:00")) is not None
    assert code_of(after.check_entry(asking(FRESH), standing())) == "SAME_SIGNAL"


@pytest.mark.parametrize(
    "wrong", [{"loss_max": money(0)}, {"max_reentries": -1}, {"wait_minutes": -5}]
)
def test_a_limit_that_cannot_be_meant_stops_the_start(wrong):
    with pytest.raises(ConfigError):
        engine().admit(strategy(instrument=SHARE, **wrong))


# --- in the house ---


def day_of(*points):
    """A tick of the future every second, stepping to each price at its time."""
    frames, px = [], "22000.00"
    steps = {clock(when): price for when, price in points}
    for at_ in range(clock("09:15:01"), clock("09:50"), 1_000_000):
        px = steps.get(at_, px)
        frames.append(frame(tick(at_, NIFTY, px)))
    return frames


def test_a_position_at_its_strategys_limit_is_closed_and_none_opened_again():
    # One lot is 65: 62 rupees down are ₹4,030; the stop is further away.
    day = HouseDay(
        [
            scripted("one", NIFTY, "2 BUY stop=-500; 20 BUY stop=-500", loss_max=money(4_000)),
            scripted("two", NIFTY, "3 BUY stop=-500; 25 EXIT"),
        ],
        day_of(("09:20", "21938.00")),
        instruments=(NIFTY,),
    ).run()
    one, two = day.said(RoundTrip)
    assert (one.strategy, one.exit_reason) == ("one", ExitReason.STRATEGY_LOSS)
    assert clock("09:20:01") <= one.exit_at <= clock("09:20:03")
    assert (two.strategy, two.exit_reason) == ("two", ExitReason.SIGNAL)
    (note,) = [note for note in day.said(Note) if note.kind == "strategy loss"]
    # ₹20 are the charges of the way in.
    assert note.sentence == (
        "one lost ₹4,050.00 today after charges, its limit is ₹4,000.00. Its position is closed."
    )
    (refused,) = day.said(Blocked)
    assert (refused.strategy, refused.code) == ("one", "STRATEGY_LOSS")


def test_a_rupee_above_its_limit_nothing_happens():
    # 61 rupees down and ₹20 of charges are ₹3,985.
    day = HouseDay(
        [scripted("one", NIFTY, "2 BUY stop=-500; 25 EXIT", loss_max=money("3985.01"))],
        day_of(("09:20", "21939.00")),
        instruments=(NIFTY,),
    ).run()
    (trip,) = day.said(RoundTrip)
    assert trip.exit_reason is ExitReason.SIGNAL


def test_a_strategy_stopped_out_waits_for_a_fresh_signal_in_the_house():
    script = "; ".join(f"{minute} BUY stop=-50" for minute in (2, 7, 8, 9, 12))
    day = HouseDay(
        [scripted("one", NIFTY, script, fresh_signal=True)],
        day_of(("09:21:30", "21940.00")),
        instruments=(NIFTY,),
    ).run()
    refused = day.said(Blocked)
    assert [block.code for block in refused] == ["SAME_SIGNAL"] * 3
    assert [trip.exit_reason for trip in day.said(RoundTrip)] == [
        ExitReason.STOP,
        ExitReason.SQUARE_OFF,
    ]
