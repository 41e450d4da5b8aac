"""Kite's REST for the house: reads that are believed or raise, writes that are sent once.

A read answers with typed rows or raises ``KiteReadFailed``; a book that could not be read is never
an empty book. A write answers with one of four outcomes and is never repeated here, whatever came
back: who does not know whether an order exists must look, not ask again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from kitestring.broker import kite_market_rows, kite_rows
from kitestring.broker.kite_errors import (
    KiteAnswerStrange,
    KiteReadFailed,
    ReadFailure,
    StrangeRow,
)
from kitestring.broker.kite_gtt import (
    GttRow,
    GttTerms,
    acked_trigger_id,
    delete_gtt,
    gtt_row,
    place_gtt,
)
from kitestring.broker.kite_http import Answer, KiteHttp, NoAnswer
from kitestring.broker.kite_market_rows import Candle, Quote
from kitestring.broker.kite_outcomes import (
    Acked,
    NotSent,
    Rejected,
    SendOutcome,
    Unknown,
    definite_refusal,
)
from kitestring.broker.kite_rows import (
    HoldingRow,
    Margins,
    OrderRow,
    Positions,
    Profile,
    RowStrange,
    TradeRow,
)
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.kite_wire import (
    REGULAR,
    Envelope,
    WireRequest,
    acked_order_id,
    cancel_request,
    id_in_path,
    modify_request,
    place_request,
    read_envelope,
    read_request,
    word_in_path,
)
from kitestring.broker.secret_text import Secret
from kitestring.broker.session_health import SessionHealth
from kitestring.domain.ids import InstrumentId, OrderId
from kitestring.domain.instants import Instant, ist
from kitestring.domain.money import Price
from kitestring.domain.unreadable import UNREADABLE

JOURNAL_HEADER: Final = "X-Kitestring-Journal"
"""What our own exchange is told of our journal, so that it can judge "intent before send"."""
QUOTES_MAX: Final = 500
"""Instruments in one ``/quote`` (kite.trade/docs/connect/v3/market-quotes)."""
_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_KNOWN_TYPES: Final = frozenset({_JSON, _CSV, "text/html", "text/plain", "application/xml"})
_Row = TypeVar("_Row")


class KiteClient:
    """The calls of one session. ``http`` is shared and is closed by whoever opened it.

    A call that is cancelled from outside has an unknown outcome, like one that timed out.
    """

    __slots__ = ("_headers", "_http", "_placed", "health", "settings")

    def __init__(self, settings: KiteSettings, token: Secret, http: KiteHttp) -> None:
        self.settings = settings
        self.health = SessionHealth()
        self._http = http
        self._placed: set[OrderId] = set()
        """Ids given to our new orders: the same one again is an old answer, not a new order."""
        self.use_token(token)

    def use_token(self, token: Secret) -> None:
        """Go on with another session of the same app, after a new login."""
        self._http.keep_secret(token.reveal())
        authorisation = f"token {self.settings.api_key}:{token.reveal()}"
        self._headers = {"Authorization": authorisation}

    def __repr__(self) -> str:
        return f"KiteClient({self.settings.api_root})"

    # ── writes ──────────────────────────────────────────────────────────────────────────────────

    async def place(
        self, fields: Mapping[str, str], variety: str = REGULAR, *, journal: str = ""
    ) -> SendOutcome:
        """Send a new order (``kite_wire.place_fields``), once."""
        return await self._send(place_request(fields, variety), journal=journal)

    async def modify(
        self, order_id: OrderId, variety: str, fields: Mapping[str, str], *, journal: str = ""
    ) -> SendOutcome:
        """Ask for a change (``kite_wire.modify_fields``), once. ``Acked`` is not yet changed."""
        request = modify_request(order_id, variety, fields)
        return await self._send(request, of=order_id, journal=journal)

    async def cancel(
        self, order_id: OrderId, variety: str, *, parent_order_id: str = "", journal: str = ""
    ) -> SendOutcome:
        """Ask for an order's withdrawal, once. ``Acked`` is not yet cancelled: it may still fill."""
        request = cancel_request(order_id, variety, parent_order_id)
        return await self._send(request, of=order_id, journal=journal)

    async def _send(
        self, request: WireRequest, *, of: OrderId | None = None, journal: str = ""
    ) -> SendOutcome:
        session = headers = self._headers
        if journal:
            headers = headers | {JOURNAL_HEADER: journal}
        answer = await self._http.call(
            request, within_s=self.settings.write_timeout_s, headers=headers
        )
        outcome = self._outcome(answer, of)
        if session is self._headers:  # else there was a login meanwhile: old news
            self.health.sent(outcome)
        return outcome

    async def place_gtt(self, terms: GttTerms, last_px: Price) -> int | str:
        """Make a trigger, once: its number, or why it is not known to stand. Then look at ``gtts``."""
        return await self._write_gtt(place_gtt(terms, last_px))

    async def delete_gtt(self, trigger_id: int) -> int | str:
        """Take a trigger back, once: its number, or why it is not known to be gone."""
        return await self._write_gtt(delete_gtt(trigger_id))

    async def _write_gtt(self, request: WireRequest) -> int | str:
        answer = await self._http.call(
            request, within_s=self.settings.write_timeout_s, headers=self._headers
        )
        if isinstance(answer, NoAnswer):
            return answer.why
        envelope = _enveloped(answer)
        if envelope is None:
            return _no_envelope(answer)
        trigger_id = acked_trigger_id(envelope) if answer.status == 200 else None
        if trigger_id is not None:
            return trigger_id
        said = f"{envelope.error_type or ''}: {envelope.message or 'no number'}"
        return self._http.clean(f"HTTP {answer.status} {said}")

    def _outcome(self, answer: Answer | NoAnswer, of: OrderId | None) -> SendOutcome:
        """What an answer proves. ``of``: the order a change was asked of."""
        if isinstance(answer, NoAnswer):
            return Unknown(why=answer.why) if answer.left else NotSent(why=answer.why)
        status, envelope = answer.status, _enveloped(answer)
        if envelope is None:
            return Unknown(why=_no_envelope(answer))
        if status == 200:
            order_id = acked_order_id(envelope)
            if order_id is None or of not in (None, order_id):
                return Unknown(why="HTTP 200 without the order's id")
            if of is None:
                if order_id in self._placed:
                    return Unknown(why=f"HTTP 200 with the id of an earlier order, {order_id}")
                self._placed.add(order_id)
            return Acked(order_id=order_id)
        error_type, message = envelope.error_type or "", envelope.message or ""
        refusal = None
        if envelope.status == "error":
            refusal = definite_refusal(status, error_type, message)
        if refusal is None:
            return Unknown(why=self._http.clean(f"HTTP {status} {error_type}: {message}"))
        return Rejected(
            error_type=error_type,
            message=self._http.clean(message),
            refusal=refusal,
            status=status,
        )

    # ── reads ───────────────────────────────────────────────────────────────────────────────────

    async def orders(self) -> tuple[OrderRow, ...]:
        """The order book of the account today, every app's and the phone's, in no certain order."""
        return await self._rows("/orders", kite_rows.order_row)

    async def order_history(self, order_id: OrderId) -> tuple[OrderRow, ...]:
        """Every state of one order so far."""
        return await self._rows(f"/orders/{id_in_path(order_id)}", kite_rows.order_row)

    async def trades(self) -> tuple[TradeRow, ...]:
        """The trades of the account today."""
        return await self._rows("/trades", kite_rows.trade_row)

    async def order_trades(self, order_id: OrderId) -> tuple[TradeRow, ...]:
        """The trades of one order."""
        return await self._rows(f"/orders/{id_in_path(order_id)}/trades", kite_rows.trade_row)

    async def gtts(self) -> tuple[GttRow, ...]:
        """The account's triggers: those that wait, and those of the last seven days."""
        return await self._rows("/gtt/triggers", gtt_row)

    async def positions(self) -> Positions:
        """Positions, net and of today."""
        path = "/portfolio/positions"
        both = self._believed(path, await self._read(path), _read_both)
        return Positions(
            net=self._each(path, both.net, kite_rows.position_row),
            day=self._each(path, both.day, kite_rows.position_row),
        )

    async def holdings(self) -> tuple[HoldingRow, ...]:
        """Shares in the demat account."""
        return await self._rows("/portfolio/holdings", kite_rows.holding_row)

    async def margins(self) -> Margins:
        """The account's money, by segment."""
        path = "/user/margins"
        return self._believed(path, await self._read(path), kite_rows.margins)

    async def profile(self) -> Profile:
        """Whose account it is."""
        path = "/user/profile"
        return self._believed(path, await self._read(path), kite_rows.profile)

    async def quote(self, instruments: Iterable[InstrumentId]) -> dict[InstrumentId, Quote]:
        """Quotes by instrument; one that Kite knows nothing of is absent, so look before you take."""
        asked = tuple(dict.fromkeys(instruments))
        if not asked:
            return {}
        assert len(asked) <= QUOTES_MAX, "whoever asks for more asks more than once"
        path = "/quote"
        raw = await self._read(path, *(("i", name) for name in asked))
        found = self._believed(path, raw, kite_market_rows.quotes)
        unasked = sorted(set(found) - set(asked))
        if unasked:
            why = self._http.clean(f"it quotes {unasked[0]!r}, which was not asked for.")
            raise KiteAnswerStrange(path, why)
        return {name: found[name] for name in asked if name in found}

    async def historical(
        self,
        token: int,
        interval: str,
        start_at: Instant,
        end_at: Instant,
        *,
        continuous: bool = False,
        oi: bool = False,
    ) -> tuple[Candle, ...]:
        """Candles that open from ``start_at`` to ``end_at``, both included; asked in Indian time."""
        path = f"/instruments/historical/{int(token)}/{word_in_path(interval)}"
        raw = await self._read(
            path,
            ("from", _kite_time(start_at)),
            ("to", _kite_time(end_at)),
            ("continuous", "1" if continuous else "0"),
            ("oi", "1" if oi else "0"),
        )
        return self._believed(path, raw, kite_market_rows.candles)

    async def instruments(self, exchange: str = "") -> bytes:
        """The day's list of instruments as CSV, of one exchange or of all."""
        path = f"/instruments/{word_in_path(exchange)}" if exchange else "/instruments"
        answer = await self._answered(path, read_request(path), self.settings.dump_timeout_s)
        if answer.content_type != _CSV:
            raise self._failed(path, answer)
        if not answer.body.strip():
            raise KiteReadFailed(path, ReadFailure.STRANGE, "the list is empty", status=200)
        return answer.body

    async def log_out(self) -> None:
        """End the session at Kite; every holder of its token is out."""
        token = self._headers["Authorization"].rpartition(":")[2]
        query = (("api_key", self.settings.api_key), ("access_token", token))
        request = WireRequest(method="DELETE", path="/session/token", query=query)
        await self._answered("/session/token", request, self.settings.read_timeout_s)

    async def _rows(self, path: str, row_of: Callable[[bytes], _Row]) -> tuple[_Row, ...]:
        return self._each(path, self._believed(path, await self._read(path), _read_list), row_of)

    async def _read(self, path: str, *query: tuple[str, str]) -> bytes:
        """The ``data`` of an answer, as JSON text."""
        request = read_request(path, *query)
        session = self._headers
        answer = await self._answered(path, request, self.settings.read_timeout_s)
        envelope = _enveloped(answer)
        if envelope is None or not envelope.succeeded:
            raise self._failed(path, answer)
        if session is self._headers:
            self.health.answered()
        return bytes(envelope.data)  # type: ignore[arg-type]  # a success has data

    async def _answered(self, path: str, request: WireRequest, within_s: float) -> Answer:
        """An answer with status 200; anything else raises."""
        session = self._headers
        answer = await self._http.call(request, within_s=within_s, headers=session)
        if isinstance(answer, NoAnswer):
            cause = ReadFailure.BROKEN_OFF
            if answer.timed_out:
                cause = ReadFailure.TIMED_OUT
            elif not answer.left:
                cause = ReadFailure.UNREACHABLE
            raise KiteReadFailed(path, cause, f"{answer.why}.", status=answer.status)
        if answer.status != 200:
            failed = self._failed(path, answer)
            if failed.cause is ReadFailure.TOKEN and session is self._headers:
                self.health.refused(failed.why.rstrip("."))
            raise failed
        return answer

    def _believed(self, path: str, raw: bytes, reader: Callable[[bytes], _Row]) -> _Row:
        try:
            return reader(raw)
        except RowStrange as strange:
            why = self._http.clean(str(strange))
        raise KiteAnswerStrange(path, f"{why}.")

    def _each(
        self, path: str, raws: list[msgspec.Raw], row_of: Callable[[bytes], _Row]
    ) -> tuple[_Row, ...]:
        """Every row, or ``KiteAnswerStrange`` with those that can be read."""
        rows: list[_Row] = []
        strange: list[StrangeRow] = []
        for raw in raws:
            try:
                rows.append(row_of(bytes(raw)))
            except RowStrange as error:
                strange.append(self._strange(bytes(raw), str(error)))
        if strange:
            more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
            why = f"a row cannot be read: {strange[0].why}{more}."
            raise KiteAnswerStrange(path, why, rows=tuple(rows), strange=tuple(strange))
        return tuple(rows)

    def _strange(self, raw: bytes, why: str) -> StrangeRow:
        """As much of a strange row as says whose it is."""
        try:
            row = msgspec.json.decode(raw)
        except UNREADABLE:
            row = {}
        named = row if isinstance(row, dict) else {}
        order_id, tag = named.get("order_id"), named.get("tag")
        return StrangeRow(
            order_id=self._http.clean(order_id) if isinstance(order_id, str) else "",
            tag=self._http.clean(tag) if isinstance(tag, str) else "",
            why=self._http.clean(why),
        )

    def _failed(self, path: str, answer: Answer) -> KiteReadFailed:
        """Why an answer is none, from its status, type and text."""
        status, envelope = answer.status, _enveloped(answer)
        if envelope is None:
            cause = ReadFailure.STRANGE
            if status == 429:
                cause = ReadFailure.THROTTLED
            elif status >= 500:
                cause = ReadFailure.DOWN
            return KiteReadFailed(path, cause, f"{_no_envelope(answer)}.", status=status)
        error_type = self._http.clean(envelope.error_type or "")
        if status == 200:
            why = f"HTTP 200 without what was asked for ({error_type or 'no data'})."
            return KiteAnswerStrange(path, why)
        why = self._http.clean(f"HTTP {status} {error_type}: {envelope.message or 'no message'}")
        return KiteReadFailed(
            path, _cause(status, error_type), why, status=status, error_type=error_type
        )


class _Both(msgspec.Struct):
    net: list[msgspec.Raw]
    day: list[msgspec.Raw]


_list = msgspec.json.Decoder(list[msgspec.Raw])
_both = msgspec.json.Decoder(_Both)


def _read_list(raw: bytes) -> list[msgspec.Raw]:
    return kite_rows.read_as(raw, _list)


def _read_both(raw: bytes) -> _Both:
    return kite_rows.read_as(raw, _both)


def _enveloped(answer: Answer) -> Envelope | None:
    """The envelope, if the answer says that it is JSON and is."""
    return read_envelope(answer.body) if answer.content_type == _JSON else None


def _no_envelope(answer: Answer) -> str:
    what = answer.content_type if answer.content_type in _KNOWN_TYPES else "no known content type"
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}, a redirect, which is never followed"
    if answer.content_type == _JSON:
        return f"HTTP {answer.status} with JSON that cannot be read ({len(answer.body):,} bytes)"
    return f"HTTP {answer.status} with {what} instead of JSON"


def _cause(status: int, error_type: str) -> ReadFailure:
    if status == 403:
        return ReadFailure.TOKEN if error_type == "TokenException" else ReadFailure.PERMISSION
    if status == 429:
        return ReadFailure.THROTTLED
    if status >= 500:
        return ReadFailure.DOWN
    return ReadFailure.REFUSED if 400 <= status < 500 else ReadFailure.STRANGE


def _kite_time(at: Instant) -> str:
    return f"{dt.datetime.isoformat(ist(at).replace(tzinfo=None, microsecond=0), ' ')}"
