"""Numbers of an exit's goal as they were decided (docs/decisions/0015), its deadlines, prices and sentences."""

import datetime as dt
from types import SimpleNamespace

import pytest
from exit_bench import DAY_LONG, TEN, Bench
from house_day import ACME, DAY, NIFTY, clock

from kitestring.core import exit_goal
from kitestring.core.exit_goal import ExitGoals, Terms, naked_sentence, stuck, stuck_sentence
from kitestring.domain.instants import SECOND
from kitestring.domain.instruments import Segment
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, ExitReason, OrdType, Purpose, Side

INSTRUMENTS = {ACME.id: ACME, NIFTY.id: NIFTY}


def goals(bands=None, day=DAY):
    return ExitGoals(INSTRUMENTS, DAY_LONG, day, bands or {})


def test_the_numbers_are_those_that_were_decided():
    assert exit_goal.LEAVE_WITHIN == 60 * SECOND
    assert exit_goal.BEFORE_THE_BROKER == 60 * SECOND
    assert exit_goal.CHASE_AFTER == 2 * SECOND
    assert exit_goal.TRIES_MAX == 10
    assert exit_goal.SLOW_AFTER == 15 * SECOND
    assert exit_goal.SAY_AGAIN_AFTER == 60 * SECOND
    assert exit_goal.FRESH == 5 * SECOND
    assert exit_goal.NAKED_AFTER == 5 * SECOND
    assert exit_goal.THROUGH_BP == (0, 100, 200, 300, 500, 1000)
    assert exit_goal.STEP_MAX == 5


@pytest.mark.parametrize(
    ("reason", "at", "by"),
    [
        (ExitReason.SIGNAL, "15:29:30", "15:30:30"),
        (ExitReason.SQUARE_OFF, "10:00", "15:24"),
        (ExitReason.EXPIRY, "15:20", "15:24"),
        (ExitReason.SQUARE_OFF, "15:23:30", "15:24:30"),
        (ExitReason.SQUARE_OFF, "15:28:30", "15:29"),
        (ExitReason.SQUARE_OFF, "15:28:59", "15:29:01"),
        (ExitReason.SQUARE_OFF, "15:29:30", "15:29:32"),
    ],
)
def test_a_deadline_is_a_minute_or_before_the_brokers_own_square_off(reason, at, by):
    """The broker squares futures off at 15:25 where the close is 15:30."""
    made = goals()
    made._broker_at[Segment.FUTURES] = clock("15:25")
    assert made.deadline(NIFTY.id, reason, clock(at)) == clock(by)


def test_a_broker_that_is_not_known_squares_off_at_the_close():
    assert exit_goal._broker_before(dt.date(1999, 1, 4), Segment.FUTURES) == 0
    assert goals()._broker_at[Segment.FUTURES] <= DAY_LONG[Segment.FUTURES].close_at


def view(px="500", *, bid="499.95", ask="500.05", at=TEN, stale=False, of=ACME):
    return SimpleNamespace(
        instrument=of, last_px=price(px), last_at=at, stale=stale,
        bid_px=price(bid) if bid else price("0"), ask_px=price(ask) if ask else price("0"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("side", "step", "more", "limit"),
    [
        (Side.SELL, 0, {}, "499.95"),
        (Side.SELL, 1, {}, "494.95"),
        (Side.SELL, 5, {}, "449.95"),
        (Side.SELL, 9, {}, "449.95"),
        (Side.BUY, 1, {}, "505.10"),
        (Side.BUY, 5, {}, "550.10"),
        (Side.SELL, 1, {"bid": ""}, "495.00"),
        (Side.BUY, 1, {"ask": ""}, "505.00"),
        (Side.SELL, 5, {"px": "0.05", "bid": "0.05"}, "0.05"),
    ],
)
def test_a_price_is_a_step_through_the_opposite_quote(side, step, more, limit):
    assert goals().terms(side, view(**more), step, TEN) == Terms(OrdType.LIMIT, price(limit), None)


def test_an_old_or_stale_quote_prices_nothing():
    for older, kind in ((exit_goal.FRESH, OrdType.LIMIT), (exit_goal.FRESH + 1, OrdType.MARKET)):
        assert goals().terms(Side.SELL, view(), 2, TEN + older).ord_type is kind
    assert goals().terms(Side.SELL, view(stale=True), 1, TEN) == Terms(OrdType.MARKET, None, None)
    assert goals().terms(Side.SELL, view(stale=True), 2, TEN).protection_bp == 200


@pytest.mark.parametrize(
    ("side", "band", "limit"),
    [
        (Side.SELL, ("498.00", "510"), "498.00"),
        (Side.SELL, ("494.95", "510"), "494.95"),
        (Side.SELL, ("499.95", "510"), "499.95"),
        (Side.SELL, ("500.00", "510"), "494.95"),
        (Side.BUY, ("490", "502.00"), "502.00"),
        (Side.BUY, ("490", "500.05"), "500.05"),
        (Side.BUY, ("490", "500.00"), "505.10"),
    ],
)
def test_the_days_band_is_an_edge_unless_the_market_has_left_it(side, band, limit):
    low, high = map(price, band)
    assert goals({ACME.id: (low, high)}).terms(side, view(), 1, TEN).price == price(limit)


@pytest.mark.parametrize(("step", "wide"), [(0, None), (1, None), (2, 200), (5, 1000), (7, 1000)])
def test_protection_widens_with_the_step(step, wide):
    assert goals().protection(view(), step) == wide


def test_protection_stays_inside_what_the_exchange_takes_of_a_future():
    for low, wide in (("490", 200), ("440", 1000), ("500", 1)):

        class Banded(ExitGoals):
            def _range(self, instrument, last, low=low):
                return price(low), price("510")

        made = Banded(INSTRUMENTS, DAY_LONG, DAY, {})
        assert made.protection(view(), 5) == wide, "never none at all"
    assert goals()._range(NIFTY, price("0")) is None
    assert goals(day=dt.date(2035, 1, 1))._range(NIFTY, price("24000")) is None, "beyond the rows"
    assert goals().protection(view("0"), 3) == 300


def test_a_goal_is_missed_by_tries_or_by_time():
    bench = Bench(leaving=ExitReason.SIGNAL)
    assert not stuck(bench.trade, TEN)
    bench.trade.exit_by = TEN + 1
    assert not stuck(bench.trade, TEN)
    assert stuck(bench.trade, TEN + 1)
    bench.trade.exit_by, bench.trade.exit_tries = 0, 9
    assert not stuck(bench.trade, TEN)
    bench.trade.exit_tries = 10
    assert stuck(bench.trade, TEN)


def test_what_a_person_is_told_of_a_stuck_exit():
    bench = Bench(leaving=ExitReason.SIGNAL)
    bench.trade.exit_by = TEN
    text = stuck_sentence(bench.book, bench.trade, [], TEN)
    assert text == (
        "one is still long 10 NSE:ACME (signal): the goal is flat by 10:00:00. no exit works now. "
        "The house goes on trying every 15 s. Look at NSE:ACME in Kite; to get out by hand, close "
        "10 there: the house books what it finds."
    )
    order = bench.exit("K1", 10)
    order.order_id, order.price = "4711", price("495")
    bench.trade.refused, bench.trade.retry_at, bench.trade.exit_tries = "no", TEN + SECOND, 10
    text = stuck_sentence(bench.book, bench.trade, [order], TEN)
    assert "10 tries brought no fill, the goal is flat by 10:00:00" in text
    assert "exit 4711 (SELL 10 at ₹495.00) rests unfilled." in text
    assert "The broker's last refusal: no. Not sent again before 10:00:01." in text
    assert "cancel that order there first, then close 10" in text
    short = Bench(-10, leaving=ExitReason.SIGNAL)
    assert "is still short 10" in stuck_sentence(short.book, short.trade, [], TEN)
    assert "Not sent again" not in stuck_sentence(short.book, short.trade, [], TEN)


def test_what_a_person_is_told_of_a_position_without_its_stop():
    bench = Bench(stop="490")
    text = naked_sentence(bench.book, bench.trade, [], 4)
    assert text.startswith("4 of 10 NSE:ACME of one have had no stop at the broker for 5 s")
    assert "(planned at ₹490.00): no stop and no exit works." in text
    assert "refusal" not in text
    bench.trade.refused = "out of range"
    stop = bench.stop("K1", 10, said=None)
    text = naked_sentence(bench.book, bench.trade, [stop], 10)
    assert "stop K1 (SELL 10) is on its way and not answered" in text
    assert "The broker's last refusal: out of range." in text
    bench.tell("K1", ExecType.TRIGGERED)
    assert stop.purpose is Purpose.STOP
    assert "exit K1" in naked_sentence(bench.book, bench.trade, [stop], 10)
