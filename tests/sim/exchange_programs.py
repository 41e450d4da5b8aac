"""A client that trades a while at the real exchange, in virtual time."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

from aiohttp import ClientSession, WSMsgType

from kitestring.domain.instants import SECOND, instant
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served
from kitestring.sim.event_trace import EventTrace
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


async def a_trading_hour(trader, network, minutes=60):
    """Subscribe, buy at the market, rest an order, change it, cancel it, and listen for an hour."""
    ends = network.loop.time() + minutes * 60
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
        await asyncio.sleep(minutes * 10)
        await trader.ask(
            "PUT", f"/orders/regular/{resting}", data={"price": round(last * 0.96), "quantity": 5}
        )
        await asyncio.sleep(minutes * 10)
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


async def ten_minutes(trader, network):
    """The same, sooner over."""
    return await a_trading_hour(trader, network, minutes=10)


if __name__ == "__main__":
    TRACE = EventTrace()
    at_the_exchange(ten_minutes, trace=TRACE)
    print(TRACE.count, TRACE.digest())
