"""What the house believes of the broker's books, through a trading day in a shared account."""

from __future__ import annotations

import pytest
from house_day import ACME
from shared_account import SharedAccount

from kitestring.domain.events import Discrepancy, Note, OperatorCommand, OperatorWord
from kitestring.domain.orders import ExecType, OrdStatus, Product, Side
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import PlaceOrder

BUY, SELL = Side.BUY, Side.SELL


def long_ten(*scripts, **more):
    """Ten ACME bought at 500, their stop at 495 resting."""
    account = SharedAccount(*scripts, **more).until("09:18:10")
    assert (account.owned, account.net, account.stops) == (10, 10, [10])
    return account


def test_a_position_closed_from_the_phone_is_booked_from_its_own_trade_and_not_entered_again():
    account = long_ten("2 BUY stop=-5; 10 BUY stop=-5")
    account.tick("503.00").by_hand(SELL, 10).look()
    assert account.owned == 10, "one look decides nothing"
    account.look()
    assert (account.owned, account.net, account.stops) == (0, 0, [])
    assert account.fills[-1] == ("SELL", 10, "T1")
    (trip,) = account.of(RoundTrip)
    assert (trip.exit_reason.value, int(trip.exit_px)) == ("by hand", 5_030_000)
    assert account.notes == ["closed by others"]
    account.until("09:27:00").look(times=3)
    assert account.blocked == ["TOUCHED_BY_HAND"]
    assert account.net == 0
    assert account.fills[2:] == [], "nothing is booked twice"


def test_part_of_it_sold_by_hand_leaves_the_rest_under_a_stop_of_its_size():
    account = long_ten().by_hand(SELL, 4).look(times=2)
    assert (account.owned, account.stops) == (6, [6])
    account.tick("494.00")
    assert (account.owned, account.net) == (0, 0)
    assert account.reasons == ["stop"]


def test_the_brokers_square_off_is_booked_under_its_own_name():
    account = long_ten().by_hand(SELL, 10, rms=True).look(times=2)
    assert (account.owned, account.reasons) == (0, ["broker's risk desk"])


def test_what_the_owner_holds_beside_us_is_never_ours():
    account = long_ten()
    account.by_hand(BUY, 25).look(times=3).by_hand(SELL, 25).look(times=3)
    assert (account.owned, account.stops, account.notes) == (10, [10], [])
    account.by_hand(BUY, 25).tick("505.00").by_hand(SELL, 30).look(times=2)
    assert account.owned == 5, "of the 30 sold 25 were the owner's own"
    assert account.fills[-1] == ("SELL", 5, "T4")


def test_one_sale_after_the_other_is_booked_each_from_its_own_trade():
    account = long_ten().by_hand(SELL, 4).look(times=2).by_hand(SELL, 3).look(times=2)
    assert (account.owned, account.stops) == (3, [3])
    assert account.fills[1:] == [("SELL", 4, "T1"), ("SELL", 3, "T2")]
    assert "frozen" not in account.notes


def test_the_owners_own_sale_does_not_explain_what_vanished_beside_it():
    account = long_ten().by_hand(BUY, 10).look(times=2).by_hand(SELL, 10)
    account.net -= 10
    account.look(times=2)
    assert (account.owned, account.stops, account.notes) == (10, [], ["frozen"])
    assert len(account.fills) == 1


def test_two_owners_of_one_contract_lose_in_the_days_order():
    account = SharedAccount("2 BUY stop=-5", "2 BUY stop=-5").until("09:18:10")
    account.by_hand(SELL, 14).look(times=2)
    books = account.core.portfolio.books
    assert (books["one"].net_qty, books["two"].net_qty) == (0, 6)
    assert [each[1:] for each in account.fills[2:]] == [(10, "T1"), (4, "T1/2")]


def test_a_hand_made_short_from_before_us_explains_nothing_of_ours():
    account = SharedAccount().by_hand(SELL, 4).until("09:18:10")
    assert (account.owned, account.net) == (10, 6)
    account.look(times=3)
    assert (account.owned, account.stops) == (10, [6])
    assert account.notes == ["frozen"]


def test_a_fill_of_ours_that_is_told_late_is_waited_for():
    account = long_ten(late=True).tick("494.00")
    assert (account.owned, account.net) == (10, 0)
    account.look(times=3)
    assert (account.owned, account.notes, account.fills[1:]) == (10, [], [])
    account.tell_what_was_held_back().look()
    assert (account.owned, account.reasons, account.net) == (0, ["stop"], 0)
    assert account.notes == ["explained"]


def test_an_exit_is_not_cut_by_a_fill_that_the_look_had_counted_already():
    """Both own ten; the first one's stop has filled and is not told yet when the other must leave."""
    account = SharedAccount("2 BUY stop=-1", "2 BUY stop=-9; 4 EXIT").until("09:18:10")
    account.late = True
    account.tick("498.50").look(times=2)
    account.late = False
    assert (account.owned, account.net) == (20, 10)
    account.until("09:20:01")
    assert (account.owned, account.net) == (10, 0), "the other is out, without waiting"
    account.tell_what_was_held_back()
    assert (account.owned, account.net) == (0, 0)


def test_a_fill_that_is_told_late_takes_nothing_from_what_is_confirmed():
    account = SharedAccount("2 BUY stop=-1", "2 BUY stop=-9; 4 EXIT").until("09:18:10")
    account.late = True
    account.tick("498.50").look(times=2)
    account.late = False
    account.tell_what_was_held_back().until("09:20:01")
    assert (account.owned, account.net) == (0, 0)


def test_an_exit_on_its_way_is_never_larger_than_what_the_booking_leaves_its_book():
    """Fourteen of both were sold by hand: ten of the first book, as they will be booked."""
    account = SharedAccount("2 BUY stop=-5; 4 EXIT", "2 BUY stop=-9").until("09:18:56")
    account.by_hand(SELL, 14).look()
    account.until("09:19:03")
    assert account.exits == [], "what the first book has left after the booking is nothing"
    account.look()
    assert (account.owned, account.net) == (6, 6)
    assert account.core.portfolio.books["two"].net_qty == 6
    assert account.stops == [6]


# ── nothing explains it ──────────────────────────────────────────────────────────────────────


def test_what_nothing_explains_freezes_the_contract_and_cuts_its_stop_to_what_is_there():
    account = long_ten("2 BUY stop=-5; 8 BUY stop=-5", "20 BUY stop=-5")
    account.net = 4
    account.look()
    assert account.stops == [10]
    account.look()
    assert (account.owned, account.stops, account.notes) == (10, [4], ["frozen"])
    assert [(row.ours, row.theirs) for row in account.of(Discrepancy)] == [("10", "4")]
    account.look(times=5)
    assert len(account.of(Discrepancy)) == 1, "said once"
    account.until("09:36:00")
    assert "BROKER_DIFFERS" in account.blocked
    account.tick("494.00")
    assert account.net == 0
    assert account.owned == 6, "what is not explained stays on our books until somebody says so"
    account.look(times=3).until("10:25:00")
    assert account.net == 0, "no exit beyond what the broker confirms, square-off included"


def test_a_frozen_contract_whose_books_agree_twice_is_free_again():
    account = long_ten()
    account.net = 4
    account.look(times=2)
    account.net = 10
    account.look()
    assert account.core.view.state.frozen
    account.look()
    assert not account.core.view.state.frozen
    assert (account.stops, account.notes) == ([10], ["frozen", "explained"])


def test_only_the_contract_that_differs_is_shut():
    account = long_ten()
    account.net = 4
    account.look(times=2)
    assert account.core.state.untrusted == ""
    assert account.core.view.shut(ACME.id)
    assert not account.core.view.shut("NSE:OTHER")


@pytest.mark.parametrize(
    ("how", "owned", "net", "adjusted", "notes"),
    [
        ("adopt", 4, 4, [("one", -6, 502.0)], ["resolved"]),
        ("release", 0, 4, [("one", -10, 502.0)], ["resolved"]),
        ("flatten", 0, 0, [("one", -6, 502.0)], ["resolved"]),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_person_ends_it_and_the_difference_is_an_adjustment_and_no_fill(
    how, owned, net, adjusted, notes, restarted
):
    account = long_ten().tick("502.00")
    account.net = 4
    account.look(times=2)
    if restarted:
        account.restart()
    before = len(account.fills)
    account.resolve(how)
    assert (account.owned, account.net, account.adjusted) == (owned, net, adjusted)
    assert account.notes[1:] == notes
    assert account.stops == ([4] if how == "adopt" else [])
    assert len(account.fills) - before == (1 if how == "flatten" else 0)
    account.look(times=3)
    assert not account.core.view.state.frozen
    assert account.core.view.shut(ACME.id) is (how != "adopt")
    portfolio = account.core.portfolio
    assert int(portfolio.realised) + int(account.core.unrealised()) == 20 * 10_000


def test_adopting_what_the_broker_has_turned_round_is_said_to_be_without_a_stop():
    account = long_ten()
    account.net = -3
    account.look(times=2)
    assert account.stops == []
    account.resolve("adopt")
    assert (account.owned, account.notes) == (-3, ["frozen", "resolved", "unprotected position"])
    account.step(OperatorCommand(at=account.now, word=OperatorWord.FLATTEN))
    assert (account.owned, account.net) == (0, 0)


def test_flattening_what_the_broker_has_turned_round_sends_nothing():
    account = long_ten()
    account.net = -3
    account.look(times=2)
    sent = len(account.of(PlaceOrder))
    account.resolve("flatten")
    assert (account.owned, account.net, len(account.of(PlaceOrder))) == (0, -3, sent)


def test_resolving_what_is_not_frozen_says_so_and_changes_nothing():
    account = long_ten()
    account.resolve("flatten").resolve("release", instrument="NSE:NOBODY")
    assert (account.owned, account.stops, account.notes) == (10, [10], ["resolve", "resolve"])


# ── books that cannot be believed ────────────────────────────────────────────────────────────


def test_books_that_cannot_be_believed_stop_entries_and_nothing_else():
    account = long_ten("2 BUY stop=-5", "6 BUY stop=-5")
    account.net = 0
    account.look(trusted=False, times=5)
    assert (account.owned, account.stops) == (10, [10]), (
        "a book that is not believed proves nothing"
    )
    account.net = 10
    account.until("09:22:00")
    assert account.blocked == ["ORDER_UNTRUSTED"]
    account.tick("494.00")
    assert (account.owned, account.net) == (0, 0)
    account.look()
    assert account.notes == ["explained"]


def test_only_release_needs_no_books_that_can_be_believed():
    account = long_ten()
    account.net = 4
    account.look(times=2).look(trusted=False)
    account.resolve("adopt").resolve("flatten")
    assert (account.owned, account.net, account.notes[1:]) == (10, 4, ["resolve", "resolve"])
    account.resolve("release")
    assert (account.owned, account.net, account.notes[-1]) == (0, 4, "resolved")


def test_an_unbelieved_look_between_two_neither_confirms_nor_denies():
    account = long_ten()
    account.net = 4
    account.look().look(trusted=False)
    assert account.notes == []
    account.look()
    assert account.notes == ["frozen"]


def test_the_same_read_told_twice_is_one_look():
    account = long_ten()
    account.net = 4
    account.look()
    again = account.of(type(account.facts[-1]))[-1]
    account.step(again)
    assert account.notes == []


# ── orders of ours touched by hand ───────────────────────────────────────────────────────────


def test_a_stop_cancelled_by_hand_is_sent_again_once_and_the_second_time_is_meant():
    account = long_ten("2 BUY stop=-5; 5 BUY stop=-5; 20 EXIT; 22 BUY stop=-5")
    account.cancel_by_hand()
    assert account.stops == [10]
    assert account.notes == ["cancelled by hand", "exit refused"]
    account.restart().tick().cancel_by_hand()
    assert account.stops == []
    assert account.notes[2:] == ["unprotected position"]
    account.until("09:34:00")
    assert (account.owned, account.stops) == (10, [])
    account.until("09:38:30")
    assert (account.owned, account.net) == (0, 0), "its own exits go on"
    assert account.blocked[-1] == "TOUCHED_BY_HAND"


def test_a_stop_withdrawn_by_the_broker_is_no_wish_of_a_person():
    account = long_ten()
    for _ in range(4):
        account.cancel_by_hand(text="17070: withdrawn by the exchange").until_stopped()
    assert account.stops == [10]
    assert "cancelled by hand" not in account.notes
    assert not account.core.view.shut(ACME.id)


def test_whoever_touches_an_order_of_ours_makes_us_look():
    account = long_ten().look()
    assert not account.core.wants_snapshot
    account.cancel_by_hand(text="RMS: withdrawn")
    assert account.core.wants_snapshot
    account.look()
    assert not account.core.wants_snapshot


def test_everything_is_remembered_across_a_restart():
    account = long_ten().by_hand(SELL, 4).look(times=2).restart()
    account.look(times=3)
    assert (account.owned, account.stops) == (6, [6])
    assert account.core.view.shut(ACME.id)
    assert [note.kind for note in account.of(Note)] == ["closed by others"]


def test_a_trade_in_another_product_of_the_same_share_is_not_ours():
    account = long_ten().by_hand(SELL, 10, product=Product.CNC.value)
    account.net += 10
    account.look(times=3)
    assert (account.owned, account.stops, account.notes) == (10, [10], [])


def test_an_exit_cut_down_is_sent_whole_once_the_books_agree():
    account = long_ten("2 BUY stop=-5; 6 EXIT")
    account.net = 4
    account.look(times=2)
    account.until("09:22:10")
    assert (account.owned, account.net) == (6, 0)
    account.net = 6
    account.look(times=2).until("09:22:20")
    assert (account.owned, account.net) == (0, 0)


def test_shares_for_delivery_bought_yesterday_lie_in_the_demat_account():
    account = SharedAccount("30 EXIT", product=Product.CNC).carried(10)
    account.look(times=3)
    assert (account.owned, account.notes) == (10, [])
    account.by_hand(SELL, 4, product="CNC").look(times=2)
    assert (account.owned, account.notes) == (6, ["closed by others"])
    account.until("09:47:00")
    assert (account.owned, account.exits[-1][0]) == (0, -6)


def test_an_order_without_an_answer_makes_us_look():
    account = long_ten().look()
    stop = next(order for order in account.orders.values() if order.status == "NEW")
    account._tell(stop, ExecType.PENDING_NEW)
    assert not account.core.wants_snapshot
    account.core.orders.table[stop.tag].status = OrdStatus.PENDING_CANCEL
    account._tell(stop, ExecType.UNKNOWN)
    assert account.core.wants_snapshot


def test_nothing_is_entered_against_a_position_that_the_owner_made_by_hand():
    """Net of both, the broker would show less than ours, and our exit would look too large."""
    account = SharedAccount("2 SELL stop=+5; 6 BUY stop=-5").by_hand(BUY, 3).look(times=2)
    account.until("09:19:00").look()
    assert (account.owned, account.blocked) == (0, ["OPPOSITE_BY_HAND"])
    account.until("09:23:00").look(times=2)
    assert (account.owned, account.net) == (10, 13), "the same way is no conflict"
