"""Each limit of the house on both sides of its edge, in literal rupees."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from risk_desk import (
    CAPITAL,
    NIFTY,
    SHARE,
    TEN,
    at,
    engine,
    intent,
    request,
    round_trip,
    standing,
    strategy,
)

from kitestring.core.risk_engine import RiskEngine
from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import money, price
from kitestring.domain.orders import Side
from kitestring.domain.verdicts import Approved, Blocked, Reduced


def code_of(verdict):
    if isinstance(verdict, Approved):
        return "yes"
    assert isinstance(verdict, Blocked | Reduced), verdict
    return verdict.code


def check(asked=None, account=None, settings=None):
    return engine(settings).check_entry(asked or request(), account or standing())


# --- rupees lost ---


@pytest.mark.parametrize(
    ("pnl", "code"),
    [("-9999", "yes"), ("-10000", "SYMBOL_LOSS"), ("-10001", "SYMBOL_LOSS"), ("50000", "yes")],
)
def test_an_instrument_that_lost_ten_thousand_today_is_left_alone(pnl, code):
    assert code_of(check(account=standing(symbol_pnl=money(pnl)))) == code


def test_the_refusal_names_both_rupees():
    verdict = check(account=standing(symbol_pnl=money("-12345.50")))
    assert verdict.sentence == "HDFCBANK lost ₹12,345.50 today, the limit is ₹10,000.00."


# --- exposure ---

ONE_SHARE_FITS = RiskSettings(
    max_gross_exposure_x=0.05, max_net_exposure_x=None, max_symbol_exposure_x=None
)


@pytest.mark.parametrize(
    ("gross", "qty"), [("0", 50), ("48999", 1), ("49000", 1), ("49001", 0), ("50001", 0)]
)
def test_gross_exposure_of_fifty_thousand_is_filled_and_never_passed(gross, qty):
    verdict = check(
        request(stop=None, lots=50), standing(gross=money(gross)), settings=ONE_SHARE_FITS
    )
    if qty == 0:
        assert isinstance(verdict, Blocked)
        assert verdict.code == "GROSS_EXPOSURE"
    elif qty == 50:
        assert isinstance(verdict, Approved)
    else:
        assert isinstance(verdict, Reduced)
        assert verdict.code == "GROSS_EXPOSURE"
        assert verdict.approved.intent.order_qty == qty
        assert verdict.asked_qty == 50


@pytest.mark.parametrize(
    ("px", "code"), [("49999", "yes"), ("50000", "yes"), ("50001", "GROSS_EXPOSURE")]
)
def test_one_share_of_49999_passes_and_of_50001_does_not(px, code):
    verdict = check(request(px=px, stop=None, lots=1), settings=ONE_SHARE_FITS)
    assert code_of(verdict) == code


def test_the_exposure_sentence_says_what_is_held_and_what_fits():
    verdict = check(
        request(stop=None, lots=10), standing(gross=money(47_000)), settings=ONE_SHARE_FITS
    )
    assert verdict.sentence == (
        "10 lots of HDFCBANK need ₹10,000 on top of ₹47,000 gross exposure, the limit is "
        "₹50,000; 3 fit."
    )


NET_ONLY = RiskSettings(
    max_gross_exposure_x=None, max_net_exposure_x=0.05, max_symbol_exposure_x=None
)


@pytest.mark.parametrize(
    ("side", "net", "qty"),
    [
        (Side.BUY, "20000", 30),
        (Side.BUY, "-20000", 70),
        (Side.SELL, "-20000", 30),
        (Side.SELL, "20000", 70),
        (Side.BUY, "50000", 0),
        (Side.SELL, "-50000", 0),
    ],
)
def test_net_exposure_is_measured_in_the_direction_of_the_order(side, net, qty):
    verdict = check(
        request(side=side, stop=None, lots=100), standing(net=money(net)), settings=NET_ONLY
    )
    assert code_of(verdict) == "NET_EXPOSURE"
    assert (verdict.approved.intent.order_qty if isinstance(verdict, Reduced) else 0) == qty


def test_the_exposure_of_one_instrument_has_its_own_limit():
    settings = RiskSettings(max_symbol_exposure_x=0.05)
    verdict = check(
        request(stop=None, lots=50), standing(symbol_worst=money(20_000)), settings=settings
    )
    assert code_of(verdict) == "SYMBOL_EXPOSURE"
    assert verdict.approved.intent.order_qty == 30


def test_a_reversal_gets_the_room_of_what_it_closes():
    # Short 40 shares; buying 40 + 50 ends long 50 of ₹1,000: exactly the limit of ₹50,000.
    account = standing(
        gross=money(40_000), net=money(-40_000), symbol_worst=money(40_000), open_positions=1
    )
    settings = RiskSettings(
        max_gross_exposure_x=0.05, max_net_exposure_x=0.05, max_symbol_exposure_x=0.05
    )
    assert code_of(check(request(stop=None, lots=50, closes=40), account, settings)) == "yes"
    assert code_of(check(request(stop=None, lots=51, closes=40), account, settings)) != "yes"


def test_closing_more_than_is_counted_gives_no_extra_room():
    settings = RiskSettings(
        max_gross_exposure_x=0.05, max_net_exposure_x=None, max_symbol_exposure_x=0.06
    )
    asked = request(stop=None, lots=51, closes=40)
    assert code_of(check(asked, settings=settings)) == "GROSS_EXPOSURE"


@pytest.mark.parametrize(("side", "net"), [(Side.BUY, "-20000"), (Side.SELL, "20000")])
def test_net_exposure_after_a_reversal_counts_the_new_position_only(side, net):
    verdict = check(
        request(side=side, stop=None, lots=100, closes=20), standing(net=money(net)), NET_ONLY
    )
    assert code_of(verdict) == "NET_EXPOSURE"
    assert verdict.approved.intent.order_qty == 70
    assert verdict.approved.intent.closes_qty == 20


@pytest.mark.parametrize(
    ("cash", "code", "qty"),
    [("50000", "yes", 250), ("49999", "MARGIN", 249), ("199", "MARGIN", 0), ("-5", "MARGIN", 0)],
)
def test_known_margin_is_kept(cash, code, qty):
    # 250 shares at ₹200 of margin each need ₹50,000.
    verdict = check(account=standing(available_cash=money(cash), margin_per_unit=money(200)))
    assert code_of(verdict) == code
    if isinstance(verdict, Reduced):
        assert verdict.approved.intent.order_qty == qty
    elif isinstance(verdict, Approved):
        assert verdict.intent.order_qty == qty
    else:
        assert qty == 0


def test_unknown_margin_is_not_judged():
    assert code_of(check(account=standing(available_cash=money(0)))) == "yes"
    assert code_of(check(account=standing(margin_per_unit=money(200)))) == "yes"


# --- counts ---


@pytest.mark.parametrize(
    ("held", "code"), [(5, "yes"), (6, "OPEN_POSITIONS"), (7, "OPEN_POSITIONS")]
)
def test_six_positions_are_enough(held, code):
    assert code_of(check(account=standing(open_positions=held))) == code


def test_a_reversal_does_not_add_a_position():
    assert code_of(check(request(closes=10), standing(open_positions=6))) == "yes"
    assert code_of(check(request(closes=10), standing(open_positions=7))) == "OPEN_POSITIONS"


@pytest.mark.parametrize(("waiting", "code"), [(49, "yes"), (50, "WORKING_ORDERS")])
def test_fifty_waiting_orders_are_enough(waiting, code):
    assert code_of(check(account=standing(working_orders=waiting))) == code


def after_orders(instants, settings=None):
    desk = engine(settings)
    for sent_at in instants:
        desk.order_sent(sent_at, is_entry=True)
    return desk


@pytest.mark.parametrize(("sent", "code"), [(5, "yes"), (6, "ORDERS_PER_SECOND")])
def test_entries_leave_a_fifth_of_the_second_to_exits(sent, code):
    desk = after_orders([TEN] * sent)
    assert code_of(desk.check_entry(request(), standing())) == code


def test_the_second_passes():
    desk = after_orders([TEN] * 6)
    assert code_of(desk.check_entry(request(), standing(at("10:00:00.999999")))) != "yes"
    assert code_of(desk.check_entry(request(), standing(at("10:00:01")))) == "yes"


@pytest.mark.parametrize(("sent", "code"), [(159, "yes"), (160, "ORDERS_PER_MINUTE")])
def test_entries_leave_a_fifth_of_the_minute_to_exits(sent, code):
    desk = after_orders([TEN] * sent)
    later = standing(at("10:00:59"))
    assert code_of(desk.check_entry(request(reference_at=at("10:00:59")), later)) == code
    a_minute_on = standing(at("10:01"))
    assert code_of(desk.check_entry(request(reference_at=at("10:01")), a_minute_on)) == "yes"


@pytest.mark.parametrize(("sent", "code"), [(1599, "yes"), (1600, "ORDERS_PER_DAY")])
def test_entries_leave_a_fifth_of_the_day_to_exits(sent, code):
    nine = at("09:15")
    desk = after_orders(nine + number * 1_000_000 for number in range(sent))
    assert code_of(desk.check_entry(request(), standing())) == code


def test_exits_use_the_same_budget():
    desk = engine()
    for _ in range(6):
        desk.order_sent(TEN, is_entry=False)
    assert code_of(desk.check_entry(request(), standing())) == "ORDERS_PER_SECOND"


def test_the_memory_of_sent_orders_does_not_grow_with_the_day():
    desk = after_orders(range(at("09:15"), at("15:15"), 2_000_000))
    assert len(desk.state.recent_orders) < 100
    assert desk.state.orders_today == 10_800


@pytest.mark.parametrize(("entered", "code"), [(19, "yes"), (20, "TRADES_PER_STRATEGY")])
def test_a_strategy_has_twenty_entries_a_day(entered, code):
    desk = engine()
    for number in range(entered):
        desk.entry_placed(intent(instrument=NIFTY, signal=f"n{number}"), at("09:30"))
    assert code_of(desk.check_entry(request(), standing())) == code


@pytest.mark.parametrize(("entered", "code"), [(19, "yes"), (20, "TRADES_PER_SYMBOL")])
def test_an_instrument_is_entered_twenty_times_a_day_by_all_together(entered, code):
    desk = engine()
    for number in range(entered):
        desk.entry_placed(intent(name=f"other{number % 2}", signal=f"n{number}"), at("09:30"))
    assert code_of(desk.check_entry(request(), standing())) == code


# --- a run of losses ---


def test_four_losses_in_a_row_cool_a_strategy_down_for_half_an_hour():
    desk = engine()
    for _ in range(3):
        desk.trade_closed(round_trip("-100", at("09:55")))
    assert code_of(desk.check_entry(request(), standing())) == "yes"
    desk.trade_closed(round_trip("-100", at("09:58")))
    verdict = desk.check_entry(request(), standing())
    assert code_of(verdict) == "COOLDOWN"
    assert verdict.sentence == "ema lost 4 trades in a row and pauses until 10:28:00."
    other = request(settings=strategy("other"))
    assert code_of(desk.check_entry(other, standing())) == "yes"
    still = at("10:27:59")
    assert code_of(desk.check_entry(request(reference_at=still), standing(still))) == "COOLDOWN"
    over = at("10:28")
    assert code_of(desk.check_entry(request(reference_at=over), standing(over))) == "yes"


def test_a_win_ends_the_run_of_losses_and_charges_can_make_a_loss():
    desk = engine()
    for gross in ("-100", "-100", "-100", "1", "-100"):
        desk.trade_closed(round_trip(gross, at("09:55")))
    assert code_of(desk.check_entry(request(), standing())) == "yes"
    for _ in range(3):
        desk.trade_closed(round_trip("40", at("09:56"), charges="47.20"))
    assert code_of(desk.check_entry(request(), standing())) == "COOLDOWN"


def test_a_trade_at_no_gain_and_no_loss_leaves_the_run_as_it_is():
    desk = engine()
    for gross in ("-100", "-100", "-100", "0", "-100"):
        desk.trade_closed(round_trip(gross, at("09:55")))
    assert code_of(desk.check_entry(request(), standing())) == "COOLDOWN"


def test_after_a_cooldown_the_count_starts_again():
    desk = engine()
    for _ in range(4):
        desk.trade_closed(round_trip("-100", at("09:20")))
    desk.trade_closed(round_trip("-100", at("09:55")))
    assert code_of(desk.check_entry(request(), standing())) == "yes"


def test_without_a_cooldown_time_the_strategy_is_out_for_the_day():
    desk = engine(RiskSettings(cooldown_minutes=0, loss_streak_max=1))
    desk.trade_closed(round_trip("-1", at("09:20")))
    evening = at("15:00")
    verdict = desk.check_entry(request(reference_at=evening), standing(evening))
    assert code_of(verdict) == "COOLDOWN"
    assert verdict.sentence == "ema lost a trade and pauses for today."


# --- prices and data ---


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ("09:59:55", "yes"),
        ("09:59:54.999", "STALE_REFERENCE"),
        ("09:59:00", "STALE_REFERENCE"),
        ("09:58:59.999", "STALE_DATA"),
    ],
)
def test_an_entry_needs_a_price_of_the_last_five_seconds(seen, code):
    assert code_of(check(request(reference_at=at(seen)))) == code


def test_no_price_is_no_reference():
    assert code_of(check(request(px="0", stop=None, lots=1))) == "STALE_REFERENCE"


@pytest.mark.parametrize(
    ("bid", "ask", "code"),
    [
        ("975", "1025", "yes"),
        ("975", "1025.10", "WIDE_SPREAD"),
        ("1000.05", "1000", "WIDE_SPREAD"),
        ("0", "5000", "yes"),
        ("1", "0", "yes"),
    ],
)
def test_a_quote_wider_than_five_percent_or_crossed_is_no_market(bid, ask, code):
    asked = request(stop=None, lots=1, bid=bid, ask=ask)
    assert code_of(check(asked)) == code


def test_an_open_position_without_a_fresh_mark_means_no_new_exposure():
    account = standing(marks_fresh=False, marks_why="NIFTY26NOVFUT has not ticked since 09:41.")
    verdict = check(account=account)
    assert code_of(verdict) == "MARKS_UNKNOWN"
    assert "NIFTY26NOVFUT" in verdict.sentence


def test_an_unexplained_order_stops_entries():
    verdict = check(account=standing(orders_untrusted="Kite says FROZEN of order 17"))
    assert code_of(verdict) == "ORDER_UNTRUSTED"
    assert "FROZEN" in verdict.sentence


# --- the session and the books ---


def test_a_closed_door_is_named_as_the_core_names_it():
    account = standing(entries_open=False, entries_closed_why="no new positions after 15:00.")
    assert code_of(check(account=account)) == "SESSION_CLOSED"
    account.entries_closed_code = "ENTRY_CUTOFF"
    verdict = check(account=account)
    assert (verdict.code, verdict.sentence) == ("ENTRY_CUTOFF", "no new positions after 15:00.")


@pytest.mark.parametrize(
    ("clock", "code"),
    [
        ("09:44:59", "STRATEGY_WINDOW"),
        ("09:45", "yes"),
        ("14:29:59", "yes"),
        ("14:30", "STRATEGY_WINDOW"),
    ],
)
def test_a_strategy_enters_in_its_own_window_only(clock, code):
    settings = strategy(entry_from=dt.time(9, 45), entry_until=dt.time(14, 30))
    asked = request(settings=settings, reference_at=at(clock))
    assert code_of(check(asked, standing(at(clock)))) == code


def test_a_window_that_never_opens_stops_the_start():
    with pytest.raises(ConfigError, match="which is never"):
        engine().admit(strategy(entry_from=dt.time(14, 30), entry_until=dt.time(9, 45)))


@pytest.mark.parametrize(
    ("side", "others", "code"),
    [
        (Side.BUY, -1, "BOOK_CONFLICT"),
        (Side.SELL, 1, "BOOK_CONFLICT"),
        (Side.BUY, 1, "yes"),
        (Side.SELL, -1, "yes"),
        (Side.BUY, 0, "yes"),
    ],
)
def test_books_never_trade_against_each_other(side, others, code):
    asked = request(side=side, stop=None, lots=1)
    assert code_of(check(asked, standing(book_sign=others))) == code


# --- duplicates ---


def test_a_signal_makes_one_order():
    desk = engine()
    desk.entry_placed(intent(signal="s1"), at("09:30"))
    assert code_of(desk.check_entry(request(signal="s1"), standing())) == "DUPLICATE_ORDER"
    assert code_of(desk.check_entry(request(signal="s2"), standing())) == "yes"


def test_the_same_entry_within_a_second_is_a_duplicate():
    desk = engine()
    desk.entry_placed(intent(signal="s1"), TEN)
    soon, later = at("10:00:00.999"), at("10:00:01")
    assert code_of(desk.check_entry(request(signal="s2"), standing(soon))) == "DUPLICATE_ORDER"
    other_side = request(signal="s2", side=Side.SELL, stop="1010")
    assert code_of(desk.check_entry(other_side, standing(soon))) == "yes"
    assert code_of(desk.check_entry(request(signal="s2"), standing(later))) == "yes"


def test_a_second_entry_waits_for_the_first():
    assert code_of(check(account=standing(own_working=True))) == "DUPLICATE_ORDER"


# --- what can be traded ---


def test_an_index_is_not_traded():
    index = msgspec.structs.replace(SHARE, kind=InstrumentKind.INDEX)
    assert code_of(check(request(instrument=index))) == "NOT_TRADABLE"


def test_odd_lots_to_close_first_are_refused():
    asked = request(instrument=NIFTY, px="25000", stop="24980", closes=60)
    assert code_of(check(asked, standing(open_positions=1))) == "LOT"


# --- limits that are off, and limits that cannot be computed ---


def test_every_limit_can_be_switched_off():
    off = RiskSettings(
        max_daily_loss_pct=None,
        max_symbol_loss_pct=None,
        max_drawdown_pct=None,
        max_open_positions=None,
        max_working_orders=None,
        max_gross_exposure_x=None,
        max_net_exposure_x=None,
        max_symbol_exposure_x=None,
        max_orders_per_second=None,
        max_orders_per_minute=None,
        max_orders_per_day=None,
        max_trades_per_strategy=None,
        max_trades_per_symbol=None,
        loss_streak_max=None,
        refusals_max=None,
        spread_pct_max=None,
    )
    desk = engine(off)
    for number in range(30):
        desk.order_sent(TEN, is_entry=True)
        desk.entry_placed(intent(signal=f"n{number}"), at("09:30"))
        desk.trade_closed(round_trip("-100000", at("09:30")))
    account = standing(
        pnl="-999999",
        open_positions=99,
        working_orders=999,
        gross=money(10**9),
        net=money(10**9),
        symbol_worst=money(10**9),
        symbol_pnl=money(-999_999),
    )
    asked = request(stop=None, lots=1, bid="1", ask="1999")
    assert code_of(desk.check_entry(asked, account)) == "yes"
    assert desk.used(account) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_daily_loss_pct", float("nan")),
        ("max_daily_loss_pct", float("inf")),
        ("max_daily_loss_pct", 0.0),
        ("max_daily_loss_pct", -0.02),
        ("max_daily_loss_pct", 2.0),
        ("max_daily_loss_pct", 1e-12),
        ("max_drawdown_pct", 0.0),
        ("max_symbol_loss_pct", float("nan")),
        ("per_trade_risk_pct", 0.0),
        ("per_trade_risk_pct", float("nan")),
        ("per_trade_risk_pct", 1e-12),
        ("max_gross_exposure_x", 0.0),
        ("max_gross_exposure_x", float("inf")),
        ("max_gross_exposure_x", 1e-12),
        ("max_net_exposure_x", -1.0),
        ("max_symbol_exposure_x", float("nan")),
        ("max_open_positions", 0),
        ("max_working_orders", -1),
        ("max_orders_per_second", 0),
        ("max_orders_per_minute", 0),
        ("max_orders_per_day", -5),
        ("max_trades_per_strategy", 0),
        ("max_trades_per_symbol", 0),
        ("loss_streak_max", 0),
        ("cooldown_minutes", -1),
        ("reference_age_s_max", 0.0),
        ("reference_age_s_max", float("nan")),
        ("stale_after_s", float("inf")),
        ("duplicate_window_s", -1.0),
        ("spread_pct_max", float("nan")),
    ],
)
def test_a_limit_that_cannot_be_computed_stops_the_start(key, value):
    with pytest.raises(ConfigError) as raised:
        engine(RiskSettings(**{key: value}))
    assert f"risk.{key}" in raised.value.what
    assert raised.value.do.startswith(f"set risk.{key} to ")


@pytest.mark.parametrize("capital", ["0", "-1"])
def test_without_capital_no_limit_can_be_computed(capital):
    with pytest.raises(ConfigError, match="no limit of risk can be computed"):
        RiskEngine(RiskSettings(), money(capital), dt.date(2026, 11, 20), {})


def test_what_is_used_of_each_limit_is_told_in_rupees_and_counts():
    desk = engine()
    desk.order_sent(TEN, is_entry=True)
    desk.entry_placed(intent(), TEN)
    account = standing(pnl="-5000", open_positions=3, gross=money(2_500_000))
    rows = {row.code: row for row in desk.used(account)}
    assert (rows["DAILY_LOSS"].limit, rows["DAILY_LOSS"].used) == ("₹20,000.00", "₹5,000.00")
    assert rows["DAILY_LOSS"].fraction == 0.25
    assert rows["DRAWDOWN"].used == "₹5,000.00"
    assert rows["GROSS_EXPOSURE"].fraction == 0.25
    assert (rows["OPEN_POSITIONS"].limit, rows["OPEN_POSITIONS"].used) == ("6", "3")
    assert rows["ORDERS_PER_DAY"].used == "1"
    assert rows["TRADES_PER_STRATEGY"].used == "1"
    assert rows["COOLDOWN"].key == "loss_streak_max"
    assert desk.used(standing(pnl="7000"))[0].used == "₹0.00"


def test_prices_and_rupees_of_the_desk_are_what_its_docstring_says():
    assert (CAPITAL, price("1000")) == (10_000_000_000, 10_000_000)
