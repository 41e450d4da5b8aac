"""One question at a time to the exits controller: this book, these orders, now what?"""

import pytest
from exit_bench import TEN, Bench

from kitestring.core.exit_goal import (
    CHASE_AFTER,
    NAKED_AFTER,
    SAY_AGAIN_AFTER,
    SLOW_AFTER,
    TRIES_MAX,
)
from kitestring.core.exits import MODIFICATIONS_MAX, WITHDRAW_AFTER
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.instants import NEVER, SECOND
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, ExitReason, OrderIntent, OrdStatus, OrdType, Side
from kitestring.domain.verdicts import CancelOrder, ModifyOrder

LEAVING = ExitReason.SIGNAL


def said(wants):
    """``SELL 10 MARKET``, ``change K1 to 10``, ``cancel K1: flat``."""
    words = []
    for want in wants:
        match want:
            case OrderIntent():
                words.append(f"{want.side} {want.order_qty} {want.ord_type}")
            case ModifyOrder():
                words.append(f"change {want.cl_ord_id} to {want.order_qty or want.price}")
            case CancelOrder():
                words.append(f"cancel {want.cl_ord_id}: {want.reason}")
    return words


# ── protecting ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("net", "stop", "side"), [(10, "490", "SELL"), (-10, "510", "BUY")])
def test_a_position_with_a_stop_in_its_plan_asks_for_exactly_its_size(net, stop, side):
    bench = Bench(net, stop=stop)
    (want,) = bench.wants()
    assert (want.side, want.order_qty, want.ord_type) == (side, 10, OrdType.SL)
    assert want.stop_px == price(stop)


def test_a_stop_that_rests_as_planned_is_left_alone():
    bench = Bench(stop="490")
    bench.stop("K1", 10)
    assert bench.wants() == []
    assert bench.trade.naked_since == 0


@pytest.mark.parametrize(("net", "px", "wanted"), [(12, "490", 12), (10, "489", 10), (7, "490", 7)])
def test_a_stop_of_another_size_or_price_is_changed(net, px, wanted):
    bench = Bench(net, stop="490")
    bench.stop("K1", 10, px)
    (want,) = bench.wants()
    assert (want.cl_ord_id, want.order_qty, want.stop_px) == ("K1", wanted, price("490"))


def test_what_a_stop_has_filled_stays_in_its_quantity():
    bench = Bench(6, stop="490")
    bench.stop("K1", 10, "489", filled=4)
    bench.trade.leaving = None
    bench.orders.table["K1"].triggered_at = None
    (want,) = bench.wants()
    assert want.order_qty == 10


def test_two_stops_are_moved_in_place_and_too_many_changes_are_replaced():
    bench = Bench(stop="490")
    bench.stop("K1", 5, "489")
    bench.stop("K2", 5, "489")
    assert said(bench.wants()) == ["change K2 to 5", "change K1 to 5"]
    for changes, words in ((MODIFICATIONS_MAX - 1, "change"), (MODIFICATIONS_MAX, "cancel")):
        bench = Bench(stop="490")
        bench.stop("K1", 10, "489").modifications = changes
        assert said(bench.wants())[0].startswith(words)


def test_a_stop_that_is_not_answered_is_not_asked_about_again():
    bench = Bench(stop="490")
    bench.stop("K1", 10, "489", said=None)
    assert bench.wants() == []


def test_after_a_refusal_nothing_is_asked_before_its_time():
    bench = Bench(stop="490")
    bench.trade.retry_at = TEN + 1
    assert bench.wants() == []
    assert bench.woken == TEN + 1
    assert len(bench.wants(TEN + 1)) == 1


def test_a_book_without_a_plan_or_a_position_asks_nothing():
    assert Bench().wants() == []
    assert Bench(0, side=Side.BUY).wants() == []
    flat = Bench(0, side=Side.BUY)
    flat.stop("K1", 10)
    flat.stop("K2", 10, said=None)
    assert said(flat.wants()) == ["cancel K1: flat"]
    lost = Bench(stop="490")
    lost.book.trade = None
    lost.stop("K1", 10)
    with pytest.raises(InvariantBroken, match="without an open trade"):
        lost.wants()


def test_a_stop_that_was_triggered_is_an_exit_on_its_way():
    for trailed, reason in ((False, ExitReason.STOP), (True, ExitReason.TRAIL)):
        bench = Bench(stop="490")
        bench.trade.trailed = trailed
        bench.stop("K1", 10)
        bench.tell("K1", ExecType.TRIGGERED)
        assert bench.wants() == []
        assert bench.trade.leaving is reason
        assert said(bench.wants(TEN + CHASE_AFTER)) == ["change K1 to 4949500"]


# ── leaving ─────────────────────────────────────────────────────────────────────────────────────


def test_leaving_asks_for_the_market_for_all_of_it():
    for net, words in ((10, "SELL 10 MARKET"), (-10, "BUY 10 MARKET")):
        bench = Bench(net, leaving=LEAVING)
        assert said(bench.wants()) == [words]
        assert bench.woken == TEN + CHASE_AFTER


def test_the_stop_goes_first_and_the_exit_only_once_it_is_gone():
    bench = Bench(stop="490", leaving=LEAVING)
    bench.stop("K1", 10)
    assert said(bench.wants()) == ["cancel K1: leaving"]
    bench.orders.cancelling(CancelOrder(cl_ord_id="K1", at=TEN, reason=""))
    assert bench.wants() == []
    bench.tell("K1", ExecType.CANCELED)
    assert said(bench.wants()) == ["SELL 10 MARKET"]


def test_what_works_already_is_not_asked_for_again():
    bench = Bench(leaving=LEAVING)
    bench.exit("K1", 4)
    assert said(bench.wants()) == ["SELL 6 MARKET"]
    bench.exit("K2", 6, said=None)
    assert bench.wants() == []


def test_more_than_the_position_is_withdrawn():
    bench = Bench(leaving=LEAVING)
    bench.exit("K1", 7)
    bench.exit("K2", 4)
    bench.exit("K3", 1, said=None)
    assert said(bench.wants()) == [
        "cancel K1: larger than the position",
        "cancel K2: larger than the position",
    ]


def test_an_exit_is_priced_anew_after_two_seconds_and_a_step_further():
    bench = Bench(leaving=LEAVING)
    bench.exit("K1", 10)
    assert bench.wants(TEN + CHASE_AFTER - 1) == []
    assert bench.woken == TEN + CHASE_AFTER
    (want,) = bench.wants(TEN + CHASE_AFTER)
    assert want.price == price("494.95")
    assert (bench.trade.exit_tries, bench.trade.exit_step) == (1, 2)
    assert bench.woken == TEN + 2 * CHASE_AFTER


def test_an_exit_changed_too_often_is_replaced():
    bench = Bench(leaving=LEAVING)
    bench.exit("K1", 10).modifications = MODIFICATIONS_MAX
    assert said(bench.wants(TEN + CHASE_AFTER)) == ["cancel K1: exit is replaced"]
    assert bench.trade.exit_tries == 0


def test_a_stuck_exit_is_said_once_a_minute_and_tried_more_slowly():
    bench = Bench(leaving=LEAVING)
    bench.trade.exit_tries = TRIES_MAX
    bench.exit("K1", 10)
    assert bench.wants(TEN + SLOW_AFTER - 1) == []
    assert bench.notes() == ["exit stuck"]
    assert bench.woken == TEN + SLOW_AFTER
    assert said(bench.wants(TEN + SLOW_AFTER))[0].startswith("change K1")
    assert bench.notes() == []
    bench.wants(TEN + SLOW_AFTER - 1 + SAY_AGAIN_AFTER - 1)
    assert bench.notes() == []
    bench.wants(TEN + SLOW_AFTER - 1 + SAY_AGAIN_AFTER)
    assert bench.notes() == ["exit stuck"]


def test_a_goal_is_set_once_and_missed_at_its_deadline():
    bench = Bench(leaving=LEAVING)
    bench.exit("K1", 10, said=None)
    bench.wants()
    assert bench.trade.exit_by == TEN + 60 * SECOND
    bench.wants(TEN + 60 * SECOND - 1)
    assert bench.notes() == []
    bench.wants(TEN + 60 * SECOND)
    assert bench.notes() == ["exit stuck"]
    assert bench.trade.exit_by == TEN + 60 * SECOND


def test_an_entry_that_rests_is_withdrawn_but_not_faster_than_once_a_second():
    bench = Bench(leaving=LEAVING)
    bench.entry("K1", 5, Side.BUY)
    assert said(bench.wants(TEN + WITHDRAW_AFTER - 1)) == ["SELL 10 MARKET"]
    assert bench.woken == TEN + WITHDRAW_AFTER
    assert said(bench.wants(TEN + WITHDRAW_AFTER))[0] == "cancel K1: leaving"
    bench.orders.table["K1"].status = OrdStatus.PENDING_CANCEL
    assert said(bench.wants(TEN + WITHDRAW_AFTER)) == ["SELL 10 MARKET"]


# ── turning round ───────────────────────────────────────────────────────────────────────────────


def test_a_reversal_under_way_is_left_alone_until_it_stalls_half_way():
    bench = Bench()
    bench.entry("K1", 20)
    assert bench.wants(TEN + 60 * SECOND) == []
    bench = Bench(6)
    bench.entry("K1", 20, filled=4)
    assert bench.wants(TEN + CHASE_AFTER - 1) == []
    assert bench.woken == TEN + CHASE_AFTER
    assert said(bench.wants(TEN + CHASE_AFTER)) == ["cancel K1: stalled"]


def test_a_reversal_is_withdrawn_where_the_position_must_be_left():
    bench = Bench(leaving=LEAVING)
    bench.entry("K1", 20)
    assert bench.wants(TEN + WITHDRAW_AFTER - 1) == []
    assert said(bench.wants(TEN + WITHDRAW_AFTER)) == ["cancel K1: leaving"]
    asked = Bench(leaving=LEAVING)
    asked.entry("K1", 20, said=None)
    asked.entry("K2", 20)
    assert said(asked.wants(TEN + WITHDRAW_AFTER)) == ["cancel K2: leaving"]


def test_an_order_from_the_other_side_is_withdrawn_where_it_rests():
    bench = Bench(-10, stop="510")
    bench.stop("K1", 10)
    bench.stop("K2", 10, said=None)
    assert said(bench.wants()) == ["cancel K1: wrong side"]


# ── cover ───────────────────────────────────────────────────────────────────────────────────────


def uncovered(bench):
    """Whether a person is told after five seconds, and that it is said once."""
    bench.trade.retry_at = NEVER
    bench.wants()
    bench.wants(TEN + NAKED_AFTER - 1)
    assert bench.notes() == []
    bench.wants(TEN + NAKED_AFTER)
    told = bench.notes()
    bench.wants(TEN + 2 * NAKED_AFTER)
    assert "unprotected position" not in bench.notes()
    return told == ["unprotected position"]


def test_what_covers_a_position_is_what_rests_for_all_of_it():
    assert uncovered(Bench(stop="490"))
    whole = Bench(stop="490")
    whole.stop("K1", 10)
    assert not uncovered(whole)
    part = Bench(stop="490")
    part.stop("K1", 9)
    assert uncovered(part)
    unanswered = Bench(stop="490")
    unanswered.stop("K1", 10, said=None)
    assert uncovered(unanswered)
    turning = Bench(stop="490")
    turning.entry("K1", 20)
    assert not uncovered(turning)
    half = Bench(stop="490")
    half.entry("K1", 9)
    assert uncovered(half)
    growing = Bench(stop="490")
    growing.entry("K1", 20, Side.BUY)
    assert uncovered(growing)


def test_cover_that_comes_back_ends_the_episode():
    bench = Bench(stop="490")
    bench.trade.retry_at = NEVER
    bench.wants()
    assert (bench.trade.naked_since, bench.woken) == (TEN, TEN + NAKED_AFTER)
    bench.stop("K1", 10)
    bench.wants(TEN + 1)
    assert (bench.trade.naked_since, bench.trade.naked_told) == (0, False)


# ── trailing ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("net", "stop", "close", "moved", "after"),
    [
        (10, "490", "505", True, "495"),
        (10, "490", "500", False, "490"),
        (10, "490", "499", False, "490"),
        (10, "490", "500.07", True, "490.05"),
        (10, None, "500", True, "490"),
        (-10, "510", "495", True, "505"),
        (-10, "510", "500", False, "510"),
        (-10, "510", "501", False, "510"),
        (-10, "510", "499.93", True, "509.95"),
        (10, None, "9", False, None),
    ],
)
def test_a_trailed_stop_follows_the_best_close_and_never_goes_back(net, stop, close, moved, after):
    bench = Bench(net, stop=stop, trail="10")
    assert bench.exits.trail(bench.book, price(close)) is moved
    assert bench.trade.stop_px == (price(after) if after else None)
    assert bench.trade.trailed is (moved and stop is not None)


def test_nothing_is_trailed_without_a_distance_or_while_leaving():
    assert Bench(stop="490").exits.trail(Bench(stop="490").book, price("600")) is False
    leaving = Bench(stop="490", trail="10", leaving=LEAVING)
    assert leaving.exits.trail(leaving.book, price("600")) is False
    assert leaving.trade.best_close is None
    back = Bench(stop="490", trail="10")
    assert back.exits.trail(back.book, price("510"))
    assert not back.exits.trail(back.book, price("505"))
    assert back.trade.best_close == price("510")


# ── refusals ────────────────────────────────────────────────────────────────────────────────────


def test_refused_exits_wait_ever_longer_and_reach_less_far():
    bench = Bench(leaving=LEAVING)
    order = bench.exit("K1", 10)
    order.text = "out of range"
    bench.trade.exit_step = 4
    waits = []
    for _ in range(8):
        sentence = bench.exits.rejected(bench.book, order, TEN)
        waits.append((bench.trade.retry_at - TEN) // SECOND)
        assert f"trying again in {waits[-1]} s" in sentence
        assert "out of range" in sentence
    assert waits == [1, 3, 7, 15, 31, 60, 60, 60]
    assert (bench.trade.exit_tries, bench.trade.exit_step) == (8, 0)
    assert bench.trade.refused == "out of range"
    bench.exits.answered(bench.book, traded=False)
    assert (bench.trade.exit_rejections, bench.trade.refused, bench.trade.exit_tries) == (0, "", 8)
    bench.exits.answered(bench.book, traded=True)
    assert (bench.trade.exit_tries, bench.trade.exit_step) == (0, 1)


def test_a_refused_stop_is_a_reason_to_leave_at_once():
    bench = Bench(stop="490")
    order = bench.stop("K1", 10)
    assert "closing at the market" in bench.exits.rejected(bench.book, order, TEN)
    assert (bench.trade.leaving, bench.trade.retry_at) == (ExitReason.STOP, TEN)


def test_an_order_that_stays_as_it_was_or_is_withdrawn_is_asked_about_later_each_time():
    bench = Bench(stop="490")
    order = bench.stop("K1", 10)
    order.text = "by the exchange"
    waits = []
    for _ in range(3):
        bench.exits.unchanged(bench.book, order, TEN)
        waits.append((bench.trade.retry_at - TEN) // SECOND)
    assert waits == [0, 1, 3]
    bench.trade.exit_rejections = 0
    assert bench.exits.withdrawn(bench.book, order, TEN).endswith("sending it again now.")
    assert bench.exits.withdrawn(bench.book, order, TEN).endswith("sending it again in 1 s.")
    exit_order = bench.exit("K2", 10)
    assert "The exit of one was withdrawn" in bench.exits.withdrawn(bench.book, exit_order, TEN)
    bench.book.trade = None
    assert bench.exits.withdrawn(bench.book, order, TEN) == ""
    assert bench.exits.rejected(bench.book, order, TEN) == ""
    bench.exits.unchanged(bench.book, order, TEN)
    bench.exits.answered(bench.book, traded=True)
