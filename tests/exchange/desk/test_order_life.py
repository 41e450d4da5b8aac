"""An order's life as its history tells it: every name in its order, at its time, with its figures."""

import hashlib

import pytest
from desk_rig import BHEL, BSE_SBIN, CALL, FUTURE, SBIN, Rig

from kitestring.domain.instants import SECOND
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.desk.order_rows import Source
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.fill_models import INSTANT

ACCEPTED = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"]
CHANGED = ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED"]


@pytest.fixture
def rig():
    return Rig().open_market()


def refused(call, *args, **fields):
    with pytest.raises(KiteError) as refusal:
        call(*args, **fields)
    return refusal.value


def test_a_limit_order_rests_is_changed_and_goes_through_the_names_of_the_official_sample(rig):
    order = rig.order(SBIN, quantity=1, price=790)
    assert rig.statuses(order) == ["PUT ORDER REQ RECEIVED"]
    placed_at = rig.now
    rig.wait()
    rig.modify(order, price="790.1")
    rig.wait()
    history = rig.desk.history(rig.now, order)
    assert [row["status"] for row in history] == [*ACCEPTED, "OPEN", *CHANGED, "OPEN"]
    # As in the sample: only the last row has the new price, only MODIFIED a new exchange time.
    assert [row["price"] for row in history] == [790] * 7 + [790.1]
    times = [row["exchange_timestamp"] for row in history]
    assert times[:3] == [None] * 3
    assert times[3] == times[4] == times[5] < times[6] == times[7]
    registered = [row["order_timestamp"] for row in history]
    assert registered[0] == registered[3] < registered[4] == registered[7]
    ids = [row["exchange_order_id"] for row in history]
    assert ids[:3] == [None] * 3
    assert len(set(ids[3:])) == 1
    assert placed_at < rig.now
    rig.check_laws()


def test_a_row_never_says_open_before_the_floor_holds_the_order(rig):
    order = rig.order(SBIN, price=790)
    there = rig.floor.orders[order].last_arrival - rig.now
    assert 20_000 <= there <= 700_000
    start, seen = rig.now, {}
    for moment in range(start, start + 2 * SECOND, 1_000):
        rig.run_to(moment)
        status = rig.row(order)["status"]
        seen.setdefault(status, moment - start)
        if status == "OPEN":
            assert rig.floor.orders[order].live
    assert list(seen) == [*ACCEPTED, "OPEN"]
    assert 0 < seen["VALIDATION PENDING"] < there < seen["OPEN PENDING"] + 1_000 < seen["OPEN"]


def test_a_partial_fill_keeps_open_and_is_pushed_as_an_update(rig):
    rig.tick(SBIN, 800, qty=40)
    order = rig.order(SBIN, quantity=100, price=801)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("OPEN", 40, 60)
    assert row["average_price"] == 800.05
    assert rig.pushed(order) == ["UPDATE"]
    rig.tick(SBIN, "800.50", qty=60)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["filled_quantity"], row["pending_quantity"]) == ("COMPLETE", 100, 0)
    assert row["average_price"] == pytest.approx((40 * 800.05 + 60 * 800.55) / 100)
    assert rig.pushed(order) == ["UPDATE", "COMPLETE"]
    assert [trade["quantity"] for trade in rig.desk.order_trades(rig.now, order)] == [40, 60]
    rig.check_laws()


def test_nothing_is_pushed_when_an_order_is_only_accepted(rig):
    order = rig.order(SBIN, price=790)
    rig.wait()
    assert rig.row(order)["status"] == "OPEN"
    assert rig.pushed(order) == []


def test_a_cancelled_rest_stays_in_pending_too_as_the_samples_have_it(rig):
    rig.tick(SBIN, 800, qty=40)
    order = rig.order(SBIN, quantity=100, price=801)
    rig.wait()
    rig.cancel(order)
    assert rig.row(order)["status"] == "CANCEL PENDING"
    rig.wait()
    row = rig.row(order)
    assert row["status"] == "CANCELLED"
    figures = (row["filled_quantity"], row["pending_quantity"], row["cancelled_quantity"])
    assert figures == (40, 60, 60)
    assert row["order_timestamp"] > row["exchange_timestamp"]
    assert rig.pushed(order) == ["UPDATE", "CANCELLED"]


def test_the_other_reading_of_a_cancelled_row_is_a_switch():
    rig = Rig(settings=OrderSettings(pending_after_cancel=False)).open_market()
    order = rig.order(SBIN, quantity=10, price=790)
    rig.wait()
    rig.cancel(order)
    rig.wait()
    row = rig.row(order)
    assert (row["pending_quantity"], row["cancelled_quantity"]) == (0, 10)


def test_a_stop_is_armed_triggers_and_fills(rig):
    rig.hold(SBIN, 10)
    order = rig.order(SBIN, "SELL", 10, order_type="SL", price=788, trigger_price=790)
    rig.wait()
    assert rig.row(order)["status"] == "TRIGGER PENDING"
    rig.tick(SBIN, 789)
    rig.wait()
    assert rig.statuses(order) == [*ACCEPTED, "TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert rig.row(order)["trigger_price"] == 790


def test_money_is_refused_by_rms_in_both_voices_and_never_reaches_the_exchange():
    rig = Rig(cash=1_000).open_market()
    order = rig.order(SBIN, quantity=10, price=800)
    rig.wait()
    row = rig.row(order)
    assert rig.statuses(order) == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "REJECTED"]
    assert row["exchange_order_id"] is None
    assert row["exchange_timestamp"] is None
    assert row["status_message"] == (
        "Insufficient funds. Required margin is 8000.00 but available margin is 1000.00."
        " Check the orderbook for open orders."
    )
    assert row["status_message_raw"] == (
        "RMS:Margin Exceeds,Required:8000.00, Available:1000.00 for entity account-AB1234"
        " across exchange across segment across product "
    )
    figures = (row["pending_quantity"], row["cancelled_quantity"], row["filled_quantity"])
    assert figures == (0, 0, 0)
    assert rig.pushed(order) == ["REJECTED"]


def test_the_exchange_refuses_after_the_order_was_sent(rig):
    order = rig.order(CALL, quantity=65, order_type="SL-M", trigger_price=110)
    rig.wait()
    assert rig.statuses(order) == [*ACCEPTED, "REJECTED"]
    assert rig.row(order)["status_message_raw"] == "16052 : Function not available"
    bse = rig.order(BSE_SBIN, order_type="SL-M", trigger_price=810)
    rig.wait()
    assert rig.row(bse)["status"] == "REJECTED"


def test_an_ioc_rest_is_cancelled_by_the_system(rig):
    rig.tick(SBIN, 800, qty=4)
    order = rig.order(SBIN, quantity=10, price=801, validity="IOC")
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 4, 6)
    assert row["status_message_raw"] == "16388 : Unmatched orders cancelled by the system"


def test_a_ttl_order_lives_its_minutes(rig):
    order = rig.order(SBIN, price=790, validity="TTL", validity_ttl=2)
    rig.wait(119)
    assert rig.row(order)["status"] == "OPEN"
    rig.wait(3)
    row = rig.row(order)
    assert (row["status"], row["validity"], row["validity_ttl"]) == ("CANCELLED", "TTL", 2)


def test_a_protected_market_order_becomes_a_limit_with_tags(rig):
    order = rig.order(SBIN, order_type="MARKET", market_protection=2, tag="mine")
    assert rig.row(order)["order_type"] == "MARKET"
    rig.wait()
    row = rig.row(order)
    assert (row["order_type"], row["price"], row["status"]) == ("LIMIT", 816, "COMPLETE")
    assert (row["tag"], row["tags"]) == ("mine", ["mine", "mktp", "mktp:2.00"])
    assert row["market_protection"] == 0


def test_automatic_protection_names_the_band_it_took(rig):
    order = rig.order(BHEL, order_type="MARKET", market_protection=-1)
    rig.wait()
    row = rig.row(order)
    assert (row["tag"], row["tags"], row["price"]) == (None, ["mktp", "mktp:1.00"], 202)


def test_what_the_book_says_of_a_market_order_is_a_switch():
    settings = OrderSettings(market_becomes_limit=False, protection_echoed=True)
    rig = Rig(settings=settings).open_market()
    order = rig.order(SBIN, order_type="MARKET", market_protection=2)
    rig.wait()
    row = rig.row(order)
    assert (row["order_type"], row["price"], row["market_protection"]) == ("MARKET", 0, 2)
    assert "tags" not in row


def test_the_rest_of_a_protected_market_order_stays_open(rig):
    rig.tick(SBIN, 800, qty=5)
    order = rig.order(SBIN, quantity=20, order_type="MARKET", market_protection=1)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["order_type"], row["filled_quantity"]) == ("OPEN", "LIMIT", 5)


def test_a_limit_made_market_is_filled_behind_its_protection(rig):
    order = rig.order(SBIN, quantity=3, price=790)
    rig.wait()
    rig.modify(order, order_type="MARKET", market_protection=1)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["order_type"], row["price"]) == ("COMPLETE", "LIMIT", 808)
    assert row["tags"] == ["mktp", "mktp:1.00"]
    assert row["modified"] is True


# ── races ────────────────────────────────────────────────────────────────────────────────────


def test_a_second_change_is_refused_while_the_first_is_on_its_way(rig):
    order = rig.order(SBIN, price=790)
    error = refused(rig.modify, order, price=791)
    assert error.message == "Order cannot be modified as it is being processed, try again later."
    assert (error.status, error.error_type) == (400, "OrderException")
    rig.wait()
    rig.modify(order, price=791)
    assert "being processed" in refused(rig.modify, order, price=792).message
    assert "being processed" in refused(rig.cancel, order).message
    rig.wait()
    rig.modify(order, price=792)


def test_what_is_over_does_not_exist_for_a_change(rig):
    order = rig.order(SBIN, order_type="MARKET")
    rig.wait()
    for error in (refused(rig.modify, order, price=791), refused(rig.cancel, order)):
        assert error.message == f"The order for ID ({order}) does not exist."
        assert error.error_type == "OrderException"
    assert "does not exist" in refused(rig.cancel, "151220000000000").message


def test_a_cancel_that_loses_against_a_fill_was_accepted_and_the_order_completes(rig):
    order = rig.order(SBIN, quantity=5, price=799)
    rig.wait()
    rig.cancel(order)  # at least 20 ms on its way; the market is there after 10
    rig.tick(SBIN, 798, wait=0.01)
    rig.wait()
    assert rig.statuses(order)[-2:] == ["CANCEL PENDING", "COMPLETE"]
    assert rig.pushed(order) == ["COMPLETE"]
    rig.check_laws()


def test_a_change_that_loses_against_a_fill_leaves_the_order_complete_as_it_was(rig):
    order = rig.order(SBIN, quantity=5, price=799)
    rig.wait()
    rig.modify(order, price=780)
    rig.tick(SBIN, 798, wait=0.01)
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["price"], row["modified"]) == ("COMPLETE", 799, False)


def test_a_change_the_exchange_refuses_leaves_the_order_resting_with_its_sentence(rig):
    order = rig.order(SBIN, quantity=5, price=790)
    rig.wait()
    rig.modify(order, price="790.01")
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["price"], row["modified"]) == ("OPEN", 790, False)
    assert row["status_message"].startswith("Tick size for this instrument is 0.05")
    assert rig.statuses(order)[-2:] == ["MODIFY PENDING", "OPEN"]
    rig.modify(order, price="790.05")
    rig.wait()
    assert (rig.row(order)["price"], rig.row(order)["status_message"]) == (790.05, None)


def test_twenty_five_modifications_and_no_more(rig):
    order = rig.order(SBIN, price=780)
    for paise in range(25):
        rig.wait()
        rig.modify(order, price=780 + paise * 0.05 + 0.05)
    rig.wait()
    assert rig.row(order)["price"] == 781.25
    error = refused(rig.modify, order, price=790)
    assert error.error_type == "OrderException"
    assert "25" in error.message
    rig.cancel(order)
    rig.wait()
    assert rig.row(order)["status"] == "CANCELLED"


def test_quantity_of_a_change_means_the_whole_order(rig):
    rig.tick(SBIN, 800, qty=40)
    order = rig.order(SBIN, quantity=100, price=801)
    rig.wait()
    rig.modify(order, quantity=50)
    rig.wait()
    row = rig.row(order)
    assert (row["quantity"], row["filled_quantity"], row["pending_quantity"]) == (50, 40, 10)


# ── who sent it, and who hears of it ─────────────────────────────────────────────────────────


def test_a_postback_is_signed_with_the_apps_secret(rig):
    order = rig.order(SBIN, order_type="MARKET")
    rig.wait()
    update = rig.updates[-1]
    row = update.row
    signed = f"{order}{row['order_timestamp']}secret"
    assert row["checksum"] == hashlib.sha256(signed.encode()).hexdigest()
    assert (row["user_id"], row["app_id"], row["unfilled_quantity"]) == ("AB1234", 1234, 0)
    assert update.to_postback
    assert {"tags", "modified", "validity_ttl"}.isdisjoint(row)


def test_an_order_from_the_phone_is_heard_on_the_socket_but_not_by_postback(rig):
    order = rig.order(SBIN, order_type="MARKET", market_protection=None, source=Source.PHONE)
    rig.wait()
    assert [each.to_postback for each in rig.updates if each.order_id == order] == [False]
    row = rig.row(order)
    assert (row["placed_by"], row["guid"], row["tag"]) == ("AB1234", None, None)


def test_the_risk_desk_squares_off_in_its_own_name(rig):
    rig.hold(FUTURE, 65)
    order = rig.order(
        FUTURE, "SELL", 65, order_type="MARKET", market_protection=None, source=Source.RMS
    )
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["placed_by"], row["account_id"]) == ("COMPLETE", "RMS", "AB1234")


def test_rms_can_be_told_to_refuse(rig):
    rig.desk.refuse_next("Blocked by the risk desk.", "RMS:Blocked for test")
    first, second = rig.order(SBIN, price=790), rig.order(SBIN, price=790)
    rig.wait()
    assert rig.statuses(first) == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "REJECTED"]
    assert rig.row(first)["status_message_raw"] == "RMS:Blocked for test"
    assert rig.pushed(first) == ["REJECTED"]
    assert rig.row(second)["status"] == "OPEN"
    assert first not in rig.floor.closed


def test_the_exchange_can_take_a_part_filled_order_away(rig):
    rig.tick(SBIN, 800, qty=40)
    order = rig.order(SBIN, quantity=100, price=801)
    rig.wait()
    rig.desk.withdraw(rig.now, order, "Cancelled by the exchange.", "17080 : test")
    rig.wait()
    row = rig.row(order)
    assert (row["status"], row["filled_quantity"], row["cancelled_quantity"]) == (
        "CANCELLED",
        40,
        60,
    )
    assert row["status_message"] == "Cancelled by the exchange."
    assert "CANCEL PENDING" not in rig.statuses(order)


def test_an_order_that_came_past_the_desk_is_shown_as_the_risk_desks(rig):
    rig.hold(FUTURE, 65)
    known = rig.desk.orders(rig.now)
    rig.floor.place(
        at=rig.now,
        tag="SQUAREOFF-1",
        instrument=FUTURE.id,
        side="SELL",
        qty=65,
        ord_type="MARKET",
        product="NRML",
        validity="DAY",
        price=0,
        trigger_price=0,
        protection_bp=0,
    )
    rig.wait()
    (row,) = [row for row in rig.desk.orders(rig.now) if row not in known]
    assert (row["placed_by"], row["status"], row["filled_quantity"]) == ("RMS", "COMPLETE", 65)
    rig.check_laws()


def test_under_the_instant_model_everything_has_happened_at_once():
    rig = Rig(model=INSTANT).open_market()
    order = rig.order(SBIN, quantity=2, price=800)
    assert rig.statuses(order) == [*ACCEPTED, "OPEN", "COMPLETE"]


def test_the_desk_names_the_moment_it_wants_to_be_asked_again(rig):
    order = rig.order(SBIN, order_type="MARKET")
    heard = []
    while rig.desk.next_due_at < rig.now + SECOND:
        due = rig.desk.next_due_at
        assert due > rig.now
        heard += rig.desk.advance(due)
    assert [each.row["status"] for each in heard] == ["COMPLETE"]
    assert rig.desk.advance(rig.now + SECOND) == []
    assert rig.statuses(order)[-1] == "COMPLETE"


def test_reading_the_book_swallows_no_update(rig):
    order = rig.order(SBIN, order_type="MARKET")
    later = rig.now + SECOND
    assert rig.desk.orders(later)[-1]["status"] == "COMPLETE"
    assert rig.desk.next_due_at <= later
    assert [each.order_id for each in rig.desk.advance(later)] == [order]
