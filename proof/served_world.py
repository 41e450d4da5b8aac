"""The local exchange, served with a random market, in virtual time or on real sockets: for those who look at its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final, TypeVar

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import Answer, KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.kite_wire import WireRequest, cancel_request, modify_request, place_request
from kitestring.broker.secret_text import Secret
from kitestring.domain.ids import InstrumentId, OrderId
from kitestring.domain.money import money, price
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.exchange.wire.serving import Served
from kitestring.sim.day_calendar import DATE, at, opens, timetable
from kitestring.sim.memory_network import Network
from kitestring.sim.random_market import MarketPlan, RandomMarket
from kitestring.sim.virtual_world import live

_T = TypeVar("_T")
PORT: Final = 8010
NAMES: Final = ("NSE:INFY", "NSE:SBIN", "NFO:NIFTY26NOVFUT")
_CLOSES: Final = ("1500.00", "800.00", "25500.00")
TAG: Final = "KXXDKG2EK00000001100"


class ServedWorld:
    """An exchange that is open, a client of it, and what broke in it."""

    def __init__(self, exchange: LocalExchange, clock: ExchangeClock, served: Served) -> None:
        self.exchange, self.clock, self.served = exchange, clock, served
        self.settings = local_settings(served.rest, api_key="kitestring")
        self.token = Secret(exchange.sessions.log_in(clock.now(), "kitestring").access_token)

    @property
    def failures(self) -> list[BaseException]:
        """What the exchange itself did not expect."""
        return self.served.app[FAILURES]

    @property
    def headers(self) -> dict[str, str]:
        """What makes a request ours."""
        return {"Authorization": f"token kitestring:{self.token.reveal()}"}


def in_served_world(play: Callable[[ServedWorld], Awaitable[_T]], seed: int = 1) -> _T:
    """Live ``play(world)`` through in virtual time."""

    async def whole(network: Network) -> _T:
        del network
        return await _served(play, seed, PORT)

    return live(whole, seed=seed)


def in_real_world(play: Callable[[ServedWorld], Awaitable[_T]], seed: int = 1) -> _T:
    """Live ``play(world)`` through on real sockets, as fast as the clock on the wall."""
    return asyncio.run(_served(play, seed, 0))


async def _served(play: Callable[[ServedWorld], Awaitable[_T]], seed: int, port: int) -> _T:
    clock = ExchangeClock(at(1))
    market = RandomMarket(
        MarketPlan(
            seed=seed,
            names=tuple(InstrumentId(name) for name in NAMES),
            closes={n: price(px) for n, px in zip(NAMES, _CLOSES, strict=True)},
            opens_at=opens(),
            ends_at=at(600),
            step_s=1,
            sd_bp=2,
            jump_one_in=0,
            thin=False,
        ),
        DATE,
        timetable(),
    )
    exchange = LocalExchange(
        ExchangeSettings(
            seed=seed,
            account=OpeningChoice(cash=money(20_000_000)),
            switches=Switches(rate_limits=False),
        ),
        market,
        clock,
    )
    stage = RehearsalStage(exchange, clock)
    served = Served(
        exchange,
        port=port,
        middlewares=stage.middlewares,
        set_up=[lambda app, local: add_feed(app, local, clock), stage.set_up],
    )
    await served.start()
    try:
        return await play(ServedWorld(exchange, clock, served))
    finally:
        await served.stop()


@lru_cache(maxsize=1)
def real_answers() -> dict[str, Answer]:
    """Every answer the client reads, as the exchange gives it to an account that has traded."""
    return in_served_world(_recorded)


async def _recorded(world: ServedWorld) -> dict[str, Answer]:
    found: dict[str, Answer] = {}

    async with KiteHttp(world.settings) as http:

        async def ask(name: str, request: WireRequest) -> Answer:
            answer = await http.call(request, within_s=5, headers=world.headers)
            assert isinstance(answer, Answer), answer
            found[name] = answer
            return answer

        client = KiteClient(world.settings, world.token, http)
        fields = {
            "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "10",
            "product": "CNC", "order_type": "MARKET", "market_protection": "-1", "validity": "DAY",
        }  # fmt: skip
        await ask("POST /orders", place_request(fields | {"tag": TAG}))
        limit = fields | {"order_type": "LIMIT", "price": "1400", "product": "MIS"}
        del limit["market_protection"]
        await ask("POST /orders again", place_request(limit | {"tag": TAG[:-1] + "1"}))
        await ask("POST /orders refused", place_request(limit | {"quantity": "0"}))
        await world.clock.wait_until(world.clock.now() + 5_000_000)
        resting = OrderId(str(world.exchange.desk.orders(world.exchange.now())[-1]["order_id"]))
        await ask("PUT /orders", modify_request(resting, "regular", {"price": "1401"}))
        await ask("DELETE /orders", cancel_request(resting, "regular"))
        await world.clock.wait_until(world.clock.now() + 3_000_000)
        token = world.exchange.listing.by_key[InstrumentId(NAMES[0])].token
        for path in (
            "/orders", "/trades", "/portfolio/positions", "/portfolio/holdings", "/user/margins",
            "/user/profile", f"/orders/{resting}", f"/orders/{resting}/trades", "/gtt/triggers",
        ):  # fmt: skip
            await ask(f"GET {path.replace(resting, 'ID')}", WireRequest(method="GET", path=path))
        quoted = tuple(("i", name) for name in NAMES)
        await ask("GET /quote", WireRequest(method="GET", path="/quote", query=quoted))
        await ask(
            "GET candles",
            WireRequest(
                method="GET",
                path=f"/instruments/historical/{token}/minute",
                query=(("from", "2026-11-18 09:15:00"), ("to", "2026-11-18 09:45:00")),
            ),
        )
        found["GET /instruments"] = Answer(
            status=200, content_type="text/csv", body=_some_of(await client.instruments())
        )
    assert world.failures == []
    return found


def _some_of(csv: bytes) -> bytes:
    """The header and some rows of every sort."""
    head, *rows = csv.splitlines(keepends=True)
    return head + b"".join(rows[:: max(len(rows) // 60, 1)])
