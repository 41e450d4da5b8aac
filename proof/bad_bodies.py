"""Answers gone wrong: every body the client reads, bent, and what the house makes of it.

A read is believed or refused with a sentence; it never breaks and never becomes an empty book. A
write is acknowledged only by an answer that says so, names an order, and is whole. The rows that are
believed go on into the order book's merge and the day's list of instruments, which must bear them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import msgspec

from kitestring.broker.broker_books import Books, snapshot_of
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteAnswerStrange, KiteReadFailed
from kitestring.broker.kite_http import Answer, KiteHttp, NoAnswer
from kitestring.broker.kite_instruments import instruments_from
from kitestring.broker.kite_outcomes import Acked, Rejected, SendOutcome
from kitestring.broker.kite_rows import OrderRow, TradeRow
from kitestring.broker.kite_session import Credentials, open_session
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.kite_wire import WireRequest
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.order_doubts import BookRead
from kitestring.broker.secret_text import Secret
from kitestring.domain.errors import HouseError
from kitestring.domain.ids import ClOrdId, InstrumentId, OrderId, StrategyId
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price
from kitestring.domain.orders import ExecType, OrderIntent, OrdType, Product, Purpose, Side
from kitestring.domain.verdicts import Approved, PlaceOrder
from kitestring.sim.day_plan import DATE, at
from proof.mutation import Chance, Hangs, bent_bytes, bent_json, in_time
from proof.served_world import NAMES, TAG, real_answers
from proof.tier import Broken, Outcome, Scale, Tier

_CANDLES: Final = (
    b'{"status":"success","data":{"candles":[["2026-11-18T09:15:00+0530",1704.5,1705,1699.25,'
    b'1702.8,2499,0],["2026-11-18T09:16:00+0530",1702,1702,1698.15,1698.15,1271,0]]}}'
)
_TRIGGERS: Final = (
    b'{"status":"success","data":[{"id":112127,"user_id":"KS0001","type":"single","status":"active",'
    b'"condition":{"exchange":"NSE","tradingsymbol":"INFY","trigger_values":[702.0],'
    b'"last_price":798,"instrument_token":408065},"orders":[{"exchange":"NSE","tradingsymbol":"INFY",'
    b'"product":"CNC","order_type":"LIMIT","transaction_type":"SELL","quantity":1,"price":702.5,'
    b'"result":null}],"meta":{}}]}'
)
_SESSION: Final = (
    b'{"status":"success","data":{"user_id":"KS0001","user_name":"A","api_key":"kitestring",'
    b'"access_token":"abcdefgh12345678","public_token":"","login_time":"2026-11-20 08:00:00"}}'
)
"""As kite.trade/docs/connect/v3 shows them."""
_TYPES: Final = ("application/json",) * 9 + ("text/html", "text/csv", "", "application/xml")
_STATUSES: Final = (200,) * 14 + (201, 204, 302, 400, 403, 404, 428, 429, 500, 502, 599)


class CannedHttp(KiteHttp):
    """Answers what it was told to."""

    def __init__(self) -> None:
        self.settings = local_settings("http://127.0.0.1:1", api_key="kitestring")
        self._secrets = []
        self.answer: Answer | NoAnswer = NoAnswer(left=False, why="nothing")

    async def call(
        self,
        request: WireRequest,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        body_max: int = 0,
    ) -> Answer | NoAnswer:
        """The same answer to everything."""
        del request, within_s, headers, body_max
        return self.answer


class World:
    """A client, and what becomes of what it believes."""

    def __init__(self) -> None:
        self.http = CannedHttp()
        self.rows: tuple[OrderRow, ...] = ()
        real = {name: answer.body for name, answer in real_answers().items()}
        place = [real["POST /orders"], real["POST /orders refused"], real["DELETE /orders"]]
        self.calls: tuple[
            tuple[str, list[bytes], Callable[[KiteClient], Awaitable[object]]], ...
        ] = (
            ("place", place, lambda client: client.place({})),
            ("modify", place, lambda client: client.modify(OrderId("1"), "regular", {})),
            ("cancel", place, lambda client: client.cancel(OrderId("1"), "regular")),
            ("gtt placed", [b'{"status":"success","data":{"trigger_id":123}}'], _delete_gtt),
            ("orders", [real["GET /orders"]], lambda client: client.orders()),
            ("orders", [real["GET /orders"]], lambda client: client.orders()),
            ("history", [real["GET /orders/ID"]], lambda c: c.order_history(OrderId("1"))),
            ("trades", [real["GET /trades"]], lambda client: client.trades()),
            ("positions", [real["GET /portfolio/positions"]], lambda client: client.positions()),
            ("holdings", [real["GET /portfolio/holdings"]], lambda client: client.holdings()),
            ("margins", [real["GET /user/margins"]], lambda client: client.margins()),
            ("profile", [real["GET /user/profile"]], lambda client: client.profile()),
            ("quote", [real["GET /quote"]], lambda c: c.quote(map(InstrumentId, NAMES))),
            ("gtts", [_TRIGGERS], lambda client: client.gtts()),
            ("candles", [_CANDLES], lambda c: c.historical(1, "minute", at(0), at(60))),
            ("session", [_SESSION], self._session),
            ("instruments", [real["GET /instruments"]], self._instruments),
        )

    async def _session(self, client: KiteClient) -> object:
        del client
        who = Credentials(api_key="kitestring", api_secret=Secret("a-secret-of-the-app"))
        return await open_session(self.http, who, "request-token")

    async def _instruments(self, client: KiteClient) -> object:
        del client
        assert isinstance(self.http.answer, Answer)
        found = instruments_from(self.http.answer.body, DATE)
        for name in found:
            listed = found.find(name)
            if listed is not None and listed.kind is not InstrumentKind.INDEX:
                assert listed.lot_size >= 1, listed
                assert int(listed.tick_size) > 0, listed
        return found


async def _delete_gtt(client: KiteClient) -> object:
    return await client.delete_gtt(123)


def live(first: int, count: int) -> Outcome:
    """Let the client read the bodies ``first`` … ``first + count - 1``."""
    return asyncio.run(_read(World(), first, count))


async def _read(world: World, first: int, count: int) -> Outcome:
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    for unit in range(first, first + count):
        chance = Chance(unit, "bodies")
        name, good, ask = chance.one_of(world.calls)
        answer = _bent(chance, chance.one_of(good), name)
        world.http.answer = answer
        client = KiteClient(world.http.settings, Secret("a-token-of-the-day"), world.http)
        story = ""
        try:
            with in_time():
                read = await ask(client)
                counts["believed"] += 1
                story = _wrong(name, answer, read) or _borne(name, read)
        except KiteAnswerStrange as strange:
            counts["strange"] += 1
            story = _place_and_sentence(strange) or _borne(name, strange.rows)
        except HouseError as error:
            counts["refused"] += 1
            story = _place_and_sentence(error)
        except (Exception, Hangs) as error:  # noqa: BLE001 - that is what is looked for
            story = f"{type(error).__name__}: {error}"
        if story:
            again = f"python -m proof --tier bodies --unit {unit}"
            story = f"{name}, {answer.status} {answer.content_type}, {answer.body[:300]!r}: {story}"
            broken.append(Broken(seed=unit, story=story, again=again))
    return Outcome(units=count, counts=dict(counts), broken=tuple(broken))


def _bent(chance: Chance, good: bytes, name: str) -> Answer:
    status, kind = chance.one_of(_STATUSES), chance.one_of(_TYPES)
    if name == "instruments" or chance.one_in(4):
        body = bent_bytes(chance, good, 6)
    else:
        body = bent_json(chance, msgspec.json.decode(good))
    return Answer(status=status, content_type=kind, body=body)


def _place_and_sentence(error: HouseError) -> str:
    """An error of the house says where and what, on one line, and not for ever."""
    if not error.what.strip() or len(error.what) > 3_000:
        return f"{type(error).__name__} says nothing readable: {error.what[:100]!r}"
    if isinstance(error, KiteReadFailed) and error.path not in error.what:
        return f"it names no place: {error.what}"
    if any(ord(mark) < 32 and mark != "\n" for mark in error.what):
        return f"it shows control marks: {error.what!r}"
    return ""


def _wrong(name: str, answer: Answer, read: object) -> str:
    """A judge of our own: what may be believed of an answer at all."""
    if name == "instruments":
        return ""
    try:
        tree = json.loads(answer.body, parse_int=str)
        honest = isinstance(tree, dict) and answer.content_type == "application/json"
    except (ValueError, RecursionError):
        tree, honest = {}, False
    if isinstance(read, Acked | Rejected) or name in ("place", "modify", "cancel"):
        return _wrong_write(name, answer, cast("SendOutcome", read), tree if honest else {})
    if name == "gtt placed":
        return ""
    if not honest or answer.status != 200 or tree.get("status") != "success":
        return "it was believed"
    return ""


def _wrong_write(
    name: str, answer: Answer, outcome: SendOutcome, tree: Mapping[str, object]
) -> str:
    match outcome:
        case Acked():
            told = tree.get("data")
            named = isinstance(told, dict) and told.get("order_id") == outcome.order_id
            if not named or answer.status != 200 or tree.get("status") != "success":
                return f"taken for an acknowledgement of {outcome.order_id}"
            if name != "place" and outcome.order_id != "1":
                return f"an answer about {outcome.order_id} taken for one about 1"
        case Rejected():
            if tree.get("status") != "error" or answer.status < 400 or answer.status >= 500:
                return f"taken for a refusal: {outcome.message}"
            if "timed out" in str(tree.get("message")).lower():
                return "a time-out taken for a refusal"
        case _:
            pass
    return ""


def _borne(name: str, read: object) -> str:
    """Rows that are believed must be bearable for whoever takes them."""
    if not isinstance(read, tuple) or name not in ("orders", "trades", "history"):
        return ""
    merge = OrderBookMerge()
    order = merge.place(_COMMAND, 0.0)
    merge.placing(order, 0.0)
    merge.placed(order, Acked(order_id=OrderId("261120000000108")), at(2), 0.1)
    rows = tuple(row for row in read if isinstance(row, OrderRow))
    trades = tuple(row for row in read if isinstance(row, TradeRow))
    for s in (1.0, 2.0):
        merge.wants_trades(rows)
        merge.read(
            BookRead(orders=rows, trades=trades or None, began_s=s, ended_s=s + 0.1, at=at(3))
        )
    merge.sendable()
    books = Books(rows, trades, (), at(3))
    snapshot_of(books, merge, at(4), distrust="", failed="")
    for report in merge.reports:
        if report.exec_type is ExecType.TRADE and (
            report.last_qty <= 0 or int(report.last_px) <= 0 or report.cum_qty > order.qty
        ):
            return f"a trade that is none was told: {report}"
    return ""


_COMMAND: Final = PlaceOrder(
    cl_ord_id=ClOrdId(TAG),
    approved=Approved(
        intent=OrderIntent(
            strategy=StrategyId("s"),
            instrument=InstrumentId("NSE:INFY"),
            side=Side.BUY,
            order_qty=10,
            ord_type=OrdType.MARKET,
            product=Product.CNC,
            purpose=Purpose.ENTRY,
            reason="proof",
            decision_px=price("1500"),
            decided_at=at(1),
        ),
        at=at(1),
    ),
)

TIER: Final = Tier(
    name="bodies",
    unit="answers",
    claim="No answer of the broker's, however damaged, breaks the house, empties a book, or passes for"
    " an acknowledgement that it is not.",
    size={Scale.TEST: 1_500, Scale.PROOF: 20_000, Scale.SOAK: 200_000},
    batch=5_000,
    live=live,
)
