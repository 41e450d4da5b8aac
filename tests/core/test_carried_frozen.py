"""A carried position that is frozen: shown and counted, and nothing is sent for it, whoever asks."""

from __future__ import annotations

import pytest
from shared_account import SharedAccount

from kitestring.domain.events import OthersTrade
from kitestring.domain.orders import ExitReason, Product, Side
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import PlaceOrder

LEFT = {
    "frozen": "the overnight stop fired",
    "left_to": "The overnight stop fired: order 77.",
    "left_orders": ("77",),
}


def carrying(**said):
    account = SharedAccount("30 EXIT", product=Product.NRML)
    account.net = account.overnight = 10
    return account.carried(10, stop="495.00", **said)


def book_of(account):
    (book,) = [each for each in account.core.portfolio.books.values() if each.frozen]
    return book


def sold_by_the_stop(account, qty, px):
    account.tick(px)
    account.net -= qty
    account.others.append(
        OthersTrade(
            trade_id=f"T{len(account.others)}", order_id="77", instrument=book_of(account).instrument, product="NRML",
            side=Side.SELL, qty=qty, px=account.px, at=account.now,
        )
    )  # fmt: skip
    return account


def test_what_the_overnight_stop_sold_is_booked_as_a_stop_and_nothing_is_sent():
    account = carrying(**LEFT).tick("500.00").look(times=2)
    sold_by_the_stop(account, 4, "494.00").look(times=2)
    assert (account.owned, account.fills) == (6, [("SELL", 4, "T0")])
    sold_by_the_stop(account.restart(), 6, "493.00").look(times=2)
    assert (account.owned, account.fills[1:]) == (0, [("SELL", 6, "T1")])
    (trip,) = account.of(RoundTrip)
    assert trip.exit_reason is ExitReason.STOP
    assert account.of(PlaceOrder) == []
    assert account.notes == ["frozen", "overnight stop", "overnight stop"]
    assert account.core.view.state.banned == {}, "our own stop is nobody's touch"


@pytest.mark.parametrize("shown", [10, 4, 0])
def test_looks_targets_and_stops_send_nothing_for_what_is_frozen(shown):
    account = carrying(frozen="nobody knows", target="505.00").tick("500.00")
    account.net = account.overnight = shown
    account.look(times=3).tick("506.00").tick("490.00").look(times=3)
    assert account.of(PlaceOrder) == []
    assert account.owned == 10
    assert ("frozen" in account.notes[1:]) is (shown < 10), "and what is missing is named"


def test_what_expires_is_left_unless_an_overnight_stop_may_be_doing_that():
    account = carrying(frozen="nobody knows").tick("500.00")
    account.core.desk.leave(book_of(account), ExitReason.EXPIRY)
    assert len(account.look().of(PlaceOrder)) == 1

    account = carrying(**LEFT).tick("500.00")
    account.core.desk.leave(book_of(account), ExitReason.EXPIRY)
    assert account.look().of(PlaceOrder) == []
    assert account.notes == ["frozen", "unprotected position"]


def test_a_person_may_flatten_what_the_broker_confirms_but_not_beside_an_overnight_stop():
    account = carrying(frozen="nobody knows").tick("500.00")
    account.net = account.overnight = 4
    account.look(times=2).resolve("flatten").tick()
    assert [each.intent.order_qty for each in account.of(PlaceOrder)] == [4]
    assert (account.owned, account.net) == (0, 0)

    account = carrying(**LEFT).tick("500.00")
    account.net = account.overnight = 4
    account.look(times=2).resolve("flatten").tick()
    assert account.of(PlaceOrder) == []
    assert account.owned == 10
    account.resolve("release")
    assert (account.owned, account.of(PlaceOrder)) == (0, [])
