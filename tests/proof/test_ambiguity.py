"""Orders whose answer is lost are placed once and found again; a house that errs about them is caught."""

import pytest

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked, NotSent, Unknown
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_names import OrderNames
from proof.ambiguity import ORDERS_A_DAY, TIER, live, plan_of
from proof.tier import Scale


def day(number):
    return live(number * ORDERS_A_DAY + 1, ORDERS_A_DAY)


def test_lost_answers_lose_and_double_nothing():
    outcome = live(1, TIER.size[Scale.TEST])
    assert outcome.broken == ()
    assert outcome.units == TIER.size[Scale.TEST]
    assert (outcome.counts["lost"], outcome.counts["doubled"]) == (0, 0)
    assert outcome.counts["ambiguous"] >= outcome.units / 2


def test_an_answer_with_another_orders_id_is_not_believed():
    """5, 6, 8 and 11 booked strangers' trades; 9 lost a fill that overtook the stop's enlargement."""
    outcome = day(11)
    assert outcome.broken == (), outcome.broken[0].story
    assert outcome.counts["fault.anothers_answer"] > 0
    assert day(9).broken == ()


def test_a_unit_is_the_same_in_any_batch():
    assert plan_of(3) == plan_of(3)
    assert plan_of(3) != plan_of(4)
    part, other = live(41, 3), live(57, 4)
    assert (part.counts, part.units, other.units) == (other.counts, 3, 4)


def caught(number):
    outcome = day(number)
    assert outcome.broken, "the mistake was planted and not found"
    assert f"--unit {number * ORDERS_A_DAY + 1}" in outcome.broken[0].again
    return outcome


def test_a_lost_answer_taken_for_a_refusal_is_caught(monkeypatch):
    place = KiteClient.place

    async def sure(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        return NotSent(why="no good answer") if isinstance(outcome, Unknown) else outcome

    monkeypatch.setattr(KiteClient, "place", sure)
    caught(2)


def test_an_order_sent_again_after_a_lost_answer_is_caught(monkeypatch):
    place = KiteClient.place

    async def twice(self, fields, variety="regular", **more):
        outcome = await place(self, fields, variety, **more)
        if isinstance(outcome, Acked):
            return outcome
        return await place(self, fields, variety, **more)

    monkeypatch.setattr(KiteClient, "place", twice)
    assert caught(2).counts["doubled"] > 0


def test_a_house_that_believes_any_id_it_is_told_is_caught(monkeypatch):
    monkeypatch.setattr(OrderNames, "anothers", lambda *_: False)
    monkeypatch.setattr(OrderNames, "misnamed", lambda *_: ())
    assert caught(11).counts["lost"] > 0


def test_an_order_given_up_too_soon_is_caught(monkeypatch):
    missing = OrderBookMerge._missing

    def hasty(self, order, book):
        order.reads_without += 100
        order.answered_s -= 1000
        missing(self, order, book)

    monkeypatch.setattr(OrderBookMerge, "_missing", hasty)
    assert caught(5).counts["lost"] > 0


@pytest.mark.parametrize("scale", list(Scale))
def test_whole_days_are_asked_for(scale):
    assert TIER.size[scale] % ORDERS_A_DAY == 0
    assert TIER.batch % ORDERS_A_DAY == 0
