"""Postbacks as the app's own server receives them: signed, in order, and not tried twice."""

import asyncio
import hashlib

import numpy as np
import pytest
from aiohttp import web
from ticker_day import OPEN_AT, Update, until

from kitestring.domain.errors import ConfigError
from kitestring.exchange.wire.postbacks import Postbacks
from kitestring.exchange.wire.pump import Happening


def happening(*updates):
    return Happening(1, OPEN_AT, np.zeros(0, dtype=np.int64), updates)


def receiving(answers, main):
    """A loopback server that answers with given statuses, and what it received."""
    received = []

    async def take(request):
        received.append((request.headers["Content-Type"], await request.json()))
        return web.Response(status=answers.pop(0), headers={"Location": "/elsewhere"})

    async def elsewhere(_):
        return web.Response()

    async def play():
        app = web.Application()
        app.router.add_post("/postback", take)
        app.router.add_get("/elsewhere", elsewhere)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        postbacks = Postbacks(f"http://127.0.0.1:{runner.addresses[0][1]}/postback")
        running = asyncio.create_task(postbacks.run())
        try:
            await main(postbacks)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await runner.cleanup()
        return received, postbacks

    return asyncio.run(asyncio.wait_for(play(), 20))


async def settled(postbacks, count):
    await until(lambda: postbacks.delivered + postbacks.failed == count)


def test_updates_of_the_apps_own_orders_arrive_in_order_and_as_they_are():
    async def main(postbacks):
        await postbacks.announce(happening(Update({"n": 1}), Update({"n": 2}, to_postback=False)))
        await postbacks.announce(happening(Update({"n": 3, "tag": None, "meta": {}})))
        await settled(postbacks, 2)

    received, postbacks = receiving([200, 200], main)
    assert received == [
        ("application/json", {"n": 1}),
        ("application/json", {"n": 3, "tag": None, "meta": {}}),
    ]
    assert (postbacks.delivered, postbacks.failed) == (2, 0)


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_taken_is_counted_and_not_sent_again(status):
    async def main(postbacks):
        await postbacks.announce(happening(Update({"n": 1}), Update({"n": 2})))
        await settled(postbacks, 2)
        await asyncio.sleep(0.1)

    received, postbacks = receiving([status, 200], main)
    assert [row["n"] for _, row in received] == [1, 2]
    assert (postbacks.delivered, postbacks.failed) == (1, 1)


def test_an_address_where_nobody_listens_only_counts():
    async def main():
        postbacks = Postbacks("http://127.0.0.1:9/postback")
        running = asyncio.create_task(postbacks.run())
        await postbacks.announce(happening(Update({"n": 1})))
        await asyncio.wait_for(settled(postbacks, 1), 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return postbacks.failed

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/p", "http://example.com/p", "http://10.0.0.1/p", "ftp://localhost", ""],
)
def test_only_this_machine_gets_postbacks(url):
    with pytest.raises(ConfigError, match="no postback address"):
        Postbacks(url)


def test_the_desk_signs_what_is_posted():
    """SHA-256 of order id, order timestamp and API secret, as the postback documentation has it."""
    from rehearsal import ist, rehearsal

    from kitestring.exchange.desk.form import Form

    exchange = rehearsal("09:20")
    now = ist("09:20")
    order = {
        "exchange": "NSE", "tradingsymbol": "INFY", "quantity": "1", "transaction_type": "BUY",
        "product": "MIS", "order_type": "MARKET", "validity": "DAY", "market_protection": "-1",
    }  # fmt: skip
    exchange.desk.place(now, "regular", Form(order))
    (update, *_) = exchange.desk.advance(now + 5_000_000)
    row = update.row
    signed = f"{row['order_id']}{row['order_timestamp']}kitestring-secret"
    assert update.to_postback
    assert row["checksum"] == hashlib.sha256(signed.encode()).hexdigest()
