"""How often a client may ask: Kite's limits on the exchange's own seconds, minutes and days."""

import datetime as dt

import pytest
from rehearsal import ask, asking, ist, rehearsal, signed

from kitestring.domain.instants import MINUTE, SECOND
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.wire.rate_limits import CallClass, RateLimits
from kitestring.market.order_rule_rows import order_rules

NOON = ist("12:00")
DAY_RULES = order_rules(dt.date(2026, 11, 20))


def taken(limits, at, kind, *, times=10_000, api_key="app", orders=1):
    """How many calls of one moment are let through."""
    for count in range(times):
        try:
            limits.take(at, kind, api_key, orders=orders)
        except KiteError as refusal:
            if (refusal.status, refusal.error_type) != (429, "NetworkException"):
                raise
            return count
    return times


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (CallClass.QUOTE, 1),
        (CallClass.HISTORICAL, 3),
        (CallClass.ORDER, 10),
        (CallClass.OTHER, 10),
    ],
)
def test_a_second_holds_so_many_calls(kind, most):
    limits = RateLimits(DAY_RULES)
    assert taken(limits, NOON, kind) == most
    assert taken(limits, NOON + SECOND - 1, kind) == 0
    assert taken(limits, NOON + SECOND, kind) == most


def test_the_second_is_the_clocks_own_not_one_since_the_last_call():
    limits = RateLimits(DAY_RULES)
    assert taken(limits, NOON + SECOND - 1, CallClass.ORDER) == 10
    assert taken(limits, NOON + SECOND, CallClass.ORDER) == 10


def test_classes_and_apps_do_not_share_but_orders_are_the_accounts():
    limits = RateLimits(DAY_RULES)
    assert taken(limits, NOON, CallClass.OTHER) == 10
    assert taken(limits, NOON, CallClass.QUOTE) == 1
    assert taken(limits, NOON, CallClass.OTHER, api_key="second") == 10
    assert taken(limits, NOON, CallClass.ORDER) == 10
    assert taken(limits, NOON, CallClass.ORDER, api_key="second") == 0


def test_a_minute_holds_400_orders_and_a_day_5000():
    limits = RateLimits(DAY_RULES)
    seconds = (NOON + n * SECOND for n in range(60))
    assert sum(taken(limits, at, CallClass.ORDER) for at in seconds) == 400
    for minute in range(1, 12):
        for n in range(60):
            taken(limits, NOON + minute * MINUTE + n * SECOND, CallClass.ORDER)
    assert limits.orders_today == 4_800
    last = [taken(limits, NOON + 20 * MINUTE + n * SECOND, CallClass.ORDER) for n in range(60)]
    assert sum(last) == 200
    with pytest.raises(KiteError, match="Maximum allowed order requests exceeded"):
        limits.take(NOON + 30 * MINUTE, CallClass.ORDER, "app")


def test_the_legs_of_an_iceberg_count_one_each_toward_the_day():
    limits = RateLimits(DAY_RULES)
    limits.take(NOON, CallClass.ORDER, "app", orders=50)
    assert limits.orders_today == 50
    assert taken(limits, NOON, CallClass.ORDER) == 9


def test_switched_off_nothing_is_counted():
    assert taken(RateLimits(DAY_RULES, on=False), NOON, CallClass.QUOTE, times=50) == 50


def test_a_client_that_asks_too_fast_is_told_429():
    exchange = rehearsal("09:20", rate_limits=True)
    mine = signed(exchange)

    async def twice(client):
        answers = []
        for _ in range(2):
            answer = await client.get("/quote/ltp", params={"i": "NSE:INFY"}, headers=mine)
            answers.append((answer.status, await answer.json()))
        exchange.clock.at += SECOND
        answer = await client.get("/quote/ltp", params={"i": "NSE:INFY"}, headers=mine)
        return [*answers, (answer.status, None)]

    (first, _), (second, refusal), (third, _) = asking(exchange, twice)
    assert (first, second, third) == (200, 429, 200)
    assert refusal["error_type"] == "NetworkException"
    assert refusal["message"] == "Too many requests"


def test_the_wire_counts_orders_and_legs():
    exchange = rehearsal("09:20", rate_limits=True)
    form = {"exchange": "NSE", "tradingsymbol": "NOBODY", "iceberg_legs": "7"}
    mine = signed(exchange)

    async def order(client):
        from kitestring.exchange.wire.kite_server import LIMITS

        counts = []
        for path in ("/orders/regular", "/orders/iceberg"):
            answer = await client.post(path, data=form, headers=mine)
            assert answer.status == 400  # what is refused later counts all the same
            counts.append(client.app[LIMITS].orders_today)
        answers = [await client.post("/orders/regular", data=form, headers=mine) for _ in range(9)]
        return counts, [answer.status for answer in answers]

    counts, statuses = asking(exchange, order)
    assert counts == [1, 8]
    assert statuses == [400] * 8 + [429]


def test_logging_in_is_never_too_often():
    exchange = rehearsal("09:20", rate_limits=True)
    for _ in range(15):
        assert ask(exchange, "GET", "/connect/login", headers={}, params={"api_key": "kitestring"})[0] == 200  # fmt: skip
