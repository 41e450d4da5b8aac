"""Requests gone wrong: forms, queries and texts that the local exchange is sent, bent.

Whoever rehearses must meet Kite's errors, not ours: every request is answered in Kite's words, and
never with 500. A WebSocket that talks nonsense costs itself its connection at the most.
"""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from kitestring.broker.kite_http import FORM
from kitestring.exchange.wire.kite_server import ROUTES
from proof.mutation import STRANGE, Chance, bent_bytes, bent_json
from proof.served_world import NAMES, ServedWorld, in_served_world
from proof.tier import Broken, Outcome, Scale, Tier

A_WORLD: Final = 250
"""Requests of one unit's world: an exchange remembers what it was sent."""
_ORDER: Final = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "10",
    "product": "MIS", "order_type": "LIMIT", "price": "1400", "validity": "DAY", "tag": "x1",
    "trigger_price": "1400", "disclosed_quantity": "0", "market_protection": "-1",
    "iceberg_legs": "2", "iceberg_quantity": "5", "autoslice": "true", "validity_ttl": "1",
    "auction_number": "1",
}  # fmt: skip
_TRIGGER: Final = {
    "type": "single",
    "condition": '{"exchange":"NSE","tradingsymbol":"INFY","trigger_values":[1400.0],"last_price":1500}',
    "orders": '[{"exchange":"NSE","tradingsymbol":"INFY","transaction_type":"SELL","quantity":1,'
    '"order_type":"LIMIT","product":"CNC","price":1399}]',
}
_QUERIES: Final[tuple[dict[str, str], ...]] = (
    {"i": NAMES[0]}, {"from": "2026-11-18 09:15:00", "to": "2026-11-18 09:45:00", "oi": "1"},
    {"api_key": "kitestring", "access_token": "x"}, {"consider_positions": "true", "mode": "compact"},
    {"v": "3", "redirect_params": "a=b"}, {},
)  # fmt: skip
_BASKET: Final = [{
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "variety": "regular",
    "product": "MIS", "order_type": "MARKET", "quantity": 1, "price": 0, "trigger_price": 0,
    "order_id": "1", "average_price": 1500.0,
}]  # fmt: skip
_TEXTS: Final = (
    {"a": "subscribe", "v": [408065, 11173378]}, {"a": "mode", "v": ["full", [408065]]},
    {"a": "unsubscribe", "v": [408065]},
)  # fmt: skip
_SEGMENTS: Final = (
    "regular", "amo", "co", "iceberg", "auction", "1", "261120000000108", "NSE", "408065", "minute", "day",
    "%00", "..", "%F0%9F%92%A9", "9" * 60, "-1", "equity", "commodity", "a b", "INFY",
)  # fmt: skip


def live(first: int, count: int) -> Outcome:
    """Send the requests ``first`` … ``first + count - 1`` to exchanges of their own."""
    outcome = Outcome(units=0)
    last = first + count - 1
    for number in range((first - 1) // A_WORLD, (last - 1) // A_WORLD + 1):
        begins, ends = max(first, number * A_WORLD + 1), min(last, (number + 1) * A_WORLD)

        async def play(
            world: ServedWorld, number: int = number, begins: int = begins, ends: int = ends
        ) -> Outcome:
            return await _sent(world, number, begins, ends)

        outcome += in_served_world(play, number + 1)
    return outcome


async def _sent(world: ServedWorld, number: int, begins: int, ends: int) -> Outcome:
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for unit in range(number * A_WORLD + 1, ends + 1):
            chance = Chance(unit, "forms")
            if chance.one_in(20):
                what, story = await _talk(chance, world, session)
            else:
                what, story = await _ask(chance, world, session, counts)
            counts["texts" if what.startswith("ws") else "requests"] += 1
            if world.failures:
                story = f"{type(world.failures[0]).__name__}: {world.failures[0]}"
                world.failures.clear()
            if story and unit >= begins:
                again = f"python -m proof --tier forms --unit {unit}"
                broken.append(Broken(seed=unit, story=f"{what[:400]}: {story}", again=again))
    return Outcome(units=ends - begins + 1, counts=dict(counts), broken=tuple(broken))


async def _ask(
    chance: Chance, world: ServedWorld, session: aiohttp.ClientSession, counts: Counter[str]
) -> tuple[str, str]:
    route = chance.one_of(ROUTES)
    path = "/".join(
        chance.one_of(_SEGMENTS) if part.startswith("{") else part for part in route.path.split("/")
    )
    rows = _bent_fields(chance, dict(chance.one_of(_QUERIES)))
    query = urlencode(rows, errors="surrogatepass")
    body, kind = b"", ""
    if route.method in ("POST", "PUT"):
        if chance.one_in(3):
            body, kind = bent_json(chance, _BASKET), "application/json"
        else:
            fields = dict(_TRIGGER) if "gtt" in path else dict(_ORDER)
            body = urlencode(_bent_fields(chance, fields), errors="surrogatepass").encode()
            kind = FORM
        if chance.one_in(6):
            body = bent_bytes(chance, body, 6)
    headers = {} if chance.one_in(15) else dict(world.headers)
    if kind:
        headers["Content-Type"] = kind
    url = URL(f"{world.served.rest}{quote(path, safe='/%')}?{query}", encoded=True)
    what = f"{route.method} {url.raw_path_qs} {body!r}"
    if len(url.raw_path_qs) > 60_000 or (route.method, path) == ("DELETE", "/session/token"):
        return what, ""
    async with session.request(
        route.method, url, data=body or None, headers=headers, allow_redirects=False
    ) as response:
        answer = await response.read()
        counts[f"status_{response.status}"] += 1
        if response.status >= 500:
            return what, f"HTTP {response.status}: {answer[:200]!r}"
        if response.status >= 400:
            told = msgspec.json.decode(answer)
            if (
                told.get("status") != "error"
                or not told.get("message")
                or not told.get("error_type")
            ):
                return what, f"no error of Kite's: {answer[:200]!r}"
    return what, ""


def _bent_fields(chance: Chance, fields: dict[str, str]) -> list[tuple[str, str]]:
    rows = list(fields.items())
    for _ in range(chance.below(4)):
        if not rows:
            break
        at = chance.below(len(rows))
        name, value = rows[at]
        match chance.below(5):
            case 0:
                del rows[at]
            case 1:
                rows.append((name, str(chance.one_of(STRANGE))[:5_000]))
            case 2:
                bent = bent_bytes(chance, value.encode(), 2).decode("utf-8", "replace")
                rows[at] = (name, bent)
            case 3:
                rows[at] = (name, str(chance.one_of(STRANGE))[:5_000])
            case _:
                rows[at] = (name, chance.one_of(tuple(_ORDER.values())))
    return rows


async def _talk(
    chance: Chance, world: ServedWorld, session: aiohttp.ClientSession
) -> tuple[str, str]:
    """A WebSocket that says strange things; a second one afterwards must be served."""
    url = f"{world.served.rest}/?api_key=kitestring&access_token={world.token.reveal()}"
    said = [bent_json(chance, chance.one_of(_TEXTS)) for _ in range(4)]
    try:
        async with session.ws_connect(url) as socket:
            for each in said:
                if chance.one_in(5):
                    await socket.send_bytes(each[:60_000])
                else:
                    await socket.send_str(each.decode("utf-8", "replace")[:60_000])
    except (aiohttp.ClientError, ConnectionError):
        pass
    async with session.ws_connect(url) as socket:
        message = await socket.receive(timeout=10)
        if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            return f"ws {said!r}", f"the next socket was not served: {message.type!r}"
    return f"ws {said!r}", ""


TIER: Final = Tier(
    name="forms",
    unit="requests",
    claim="The local exchange answers every request in Kite's words, and none with an error of its own.",
    size={Scale.TEST: 500, Scale.PROOF: 5_000, Scale.SOAK: 50_000},
    batch=1_000,
    live=live,
)
