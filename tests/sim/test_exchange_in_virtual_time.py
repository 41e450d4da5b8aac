"""The real exchange's handlers in virtual time: a trading hour with orders and ticker, in an instant."""

import asyncio
import datetime as dt
import json
import time

import pytest
from aiohttp import ClientSession, WSMsgType

from kitestring.domain.instants import SECOND, instant
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served
from kitestring.sim.event_trace import EventTrace, first_difference
from kitestring.sim.link_faults import Blackhole
from kitestring.sim.virtual_world import live

DAY = dt.date(2026, 11, 20)
OPEN = instant(DAY, dt.time(9, 15))
INFY = 408065


class Trader:
    """A client that has logged in, as an adapter of Kite would."""

    def __init__(self, session, served, token, clock):
        self.session = session
        self.served = served
        self.token = token
        self.clock = clock
        self.headers = {"X-Kite-Version": "3", "Authorization": f"token kitestring:{token}"}

    async def ask(self, method, path, **request):
        async with self.session.request(
            method, self.served.rest + path, headers=self.headers, **request
        ) as answer:
            told = await answer.json()
            assert told["status"] == "success", told
            return told["data"]

    async def place(self, **form):
        order = {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": "BUY",
            "order_type": "LIMIT",
            "quantity": 10,
            "product": "MIS",
            "validity": "DAY",
            **form,
        }
        return (await self.ask("POST", "/orders/regular", data=order))["order_id"]

    def ticker(self, **settings):
        where = f"{self.served.ticker}/?api_key=kitestring&access_token={self.token}"
        return self.session.ws_connect(where, **settings)


def at_the_exchange(play, *, seed=1, trace=None):
    """Open an exchange five seconds before the market, and let ``play(trader, network)`` trade."""

    async def whole(network):
        clock = ExchangeClock(OPEN - 5 * SECOND)
        exchange = LocalExchange(ExchangeSettings(seed=seed), SyntheticFeed(DAY, seed), clock)
        served = Served(
            exchange, port=8010, set_up=[lambda app, local: add_feed(app, local, clock)]
        )
        await served.start()
        try:
            token = exchange.sessions.log_in(clock.now(), "kitestring").access_token
            async with ClientSession() as session:
                return await play(Trader(session, served, token, clock), network)
        finally:
            await served.stop()
            assert served.app[FAILURES] == []

    return live(whole, seed=seed, trace=trace)


async def a_trading_hour(trader, network):
    """Subscribe, buy at the market, rest an order, change it, cancel it, and listen for an hour."""
    ends = network.loop.time() + 3600
    seen = {"ticks": 0, "heartbeats": 0, "updates": []}

    async def listen():
        async with trader.ticker() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY]})
            await socket.send_json({"a": "mode", "v": ["full", [INFY]]})
            while (left := ends - network.loop.time()) > 0:
                try:
                    message = await socket.receive(timeout=left)
                except TimeoutError:
                    return
                if message.type is WSMsgType.TEXT:
                    row = json.loads(message.data)["data"]
                    seen["updates"].append((row["order_id"], row["status"]))
                elif len(message.data) == 1:
                    seen["heartbeats"] += 1
                else:
                    assert message.type is WSMsgType.BINARY
                    seen["ticks"] += 1

    async def trade():
        await asyncio.sleep(60)
        bought = await trader.place(order_type="MARKET", market_protection=5)
        await asyncio.sleep(60)
        last = (await trader.ask("GET", "/quote/ltp?i=NSE:INFY"))["NSE:INFY"]["last_price"]
        resting = await trader.place(price=round(last * 0.97), quantity=5)
        await asyncio.sleep(600)
        await trader.ask(
            "PUT", f"/orders/regular/{resting}", data={"price": round(last * 0.96), "quantity": 5}
        )
        await asyncio.sleep(600)
        await trader.ask("DELETE", f"/orders/regular/{resting}")
        await asyncio.sleep(60)
        seen["bought"], seen["resting"] = bought, resting
        history = await trader.ask("GET", f"/orders/{bought}")
        seen["history"] = [row["status"] for row in history]
        seen["orders"] = {
            row["order_id"]: (row["status"], row["filled_quantity"])
            for row in await trader.ask("GET", "/orders")
        }
        positions = await trader.ask("GET", "/portfolio/positions")
        seen["position"] = [
            row["quantity"] for row in positions["day"] if row["tradingsymbol"] == "INFY"
        ]

    await asyncio.gather(listen(), trade())
    seen["clock"] = trader.clock.now()
    return seen


def test_a_trading_hour_with_orders_and_ticker_passes_in_seconds():
    began = time.process_time()
    seen = at_the_exchange(a_trading_hour)
    took = time.process_time() - began
    assert seen["clock"] >= OPEN + 3590 * SECOND
    assert seen["orders"] == {seen["bought"]: ("COMPLETE", 10), seen["resting"]: ("CANCELLED", 0)}
    assert seen["history"][0] == "PUT ORDER REQ RECEIVED"
    assert seen["history"][-1] == "COMPLETE"
    assert seen["position"] == [10]
    assert (seen["bought"], "COMPLETE") in seen["updates"]
    assert (seen["resting"], "CANCELLED") in seen["updates"]
    assert seen["ticks"] > 1500
    assert took < 20


def test_the_same_hour_twice_is_the_same_hour():
    one, other = EventTrace(), EventTrace()
    first = at_the_exchange(a_trading_hour, trace=one)
    second = at_the_exchange(a_trading_hour, trace=other)
    assert first_difference(one, other) is None
    assert first == second


def test_a_ticker_in_a_silent_network_is_missed_by_its_heartbeats_and_comes_back():
    async def play(trader, network):
        loop = network.loop
        async with trader.ticker() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY]})
            await asyncio.sleep(10)
            network.strike(Blackhole(until_s=loop.time() + 120))
            began = loop.time()
            with pytest.raises(TimeoutError):
                while True:
                    await socket.receive(timeout=5)
            noticed = loop.time() - began
        await asyncio.sleep(150)
        async with trader.ticker() as socket:
            await socket.send_json({"a": "subscribe", "v": [INFY]})
            return noticed, (await socket.receive(timeout=5)).type

    noticed, kind = at_the_exchange(play)
    assert 5 <= noticed < 7
    assert kind is WSMsgType.BINARY
