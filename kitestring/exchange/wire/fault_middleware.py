"""REST faults around the exchange's routes: what strikes is laid around the request like skins.

The first fault of the script is the outermost skin. Inside all of them stands the exchange, which
knows nothing of this: whether it was reached, and what it really did, is its own affair and in the
wire ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from aiohttp import web

from kitestring.domain.instants import Instant
from kitestring.exchange.desk.kite_error import TIMED_OUT, TOO_MANY_REQUESTS
from kitestring.exchange.wire.fault_answers import (
    instruments_damaged,
    shifted,
    without_field,
    without_young_orders,
)
from kitestring.exchange.wire.faults import Fault, FaultState
from kitestring.exchange.wire.frozen_books import FrozenBooks
from kitestring.exchange.wire.raw_answer import (
    JSON,
    Answer,
    Ending,
    RawAnswer,
    html_answer,
    kite_error_answer,
    order_ids_in,
)

Proceed = Callable[[], Awaitable[web.StreamResponse]]
_LOOK_EVERY: Final = 0.05
"""How often a request that is never answered looks whether its sender has gone."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault, the request it strikes, and how to go on with it."""

    fault: Fault
    request: web.Request
    proceed: Proceed


class Reach(Protocol):
    """What a fault can do to the exchange behind the routes."""

    def fill_order(self, order_id: str) -> bool:
        """Let a waiting order trade completely, now."""
        ...

    def orders_refused(self, message: str) -> AbstractContextManager[None]:
        """Orders placed inside are taken and then refused by risk management."""
        ...

    def cut_short(self, order_id: str, part: float) -> None:
        """Let only a part of an order trade; the exchange cancels the rest."""
        ...

    def yesterdays_dump(self, exchange: str) -> bytes:
        """The instrument file of the trading day before."""
        ...


class RestFaults:
    """Carries out what strikes a request."""

    def __init__(self, now: Callable[[], Instant], reach: Reach, frozen: FrozenBooks) -> None:
        self._now = now
        self._reach = reach
        self.frozen = frozen
        self.placed_at: dict[str, Instant] = {}
        """When each order of today was answered with its id."""
        self._skins: Mapping[str, Callable[[Hit], Awaitable[web.StreamResponse]]] = {
            "no_answer": _no_answer,
            "late_answer": _late_answer,
            "late_arrival": _late_arrival,
            "answered_twice": _answered_twice,
            "taken_twice": _taken_twice,
            "slow_drip": _slow_drip,
            "timed_out_400": _timed_out_400,
            "html_error": _html_error,
            "error_answer": _error_answer,
            "too_many_requests": _too_many_requests,
            "maintenance": _maintenance,
            "ip_refused": _ip_refused,
            "wrong_content_type": _wrong_content_type,
            "no_content_type": _no_content_type,
            "truncated": _truncated,
            "field_missing": _field_missing,
            "empty_body": _empty_body,
            "redirect": _redirect,
            "connection_lost": _connection_lost,
            "book_frozen": self._book_frozen,
            "positions_stale": self._book_frozen,
            "order_shown_late": self._order_shown_late,
            "clock_skew": _clock_skew,
            "instruments_wrong": self._instruments_wrong,
            "rms_rejection": self._rms_rejection,
            "partial_then_cancel": self._partial_then_cancel,
            "fill_wins": self._fill_wins,
        }

    def around(self, struck: list[FaultState], request: web.Request, proceed: Proceed) -> Proceed:
        """The request with every fault that strikes it laid around."""
        for state in reversed(struck):
            skin = self._skins.get(state.fault.kind)
            if skin is not None:  # what happens to the day is no skin of a request
                proceed = partial(skin, Hit(state.fault, request, proceed))
        return proceed

    async def _book_frozen(self, hit: Hit) -> web.StreamResponse:
        response = await hit.proceed()
        copy = (
            self.frozen.answer(hit.fault, hit.request.path) if hit.request.method == "GET" else None
        )
        # Whoever may not read gets no copy either.
        return response if copy is None or response.status == 403 else copy.response()

    async def _order_shown_late(self, hit: Hit) -> web.StreamResponse:
        since = self._now() - hit.fault.span("seconds")
        return _changed(
            await hit.proceed(),
            partial(without_young_orders, placed_at=self.placed_at, since=since),
        )

    async def _instruments_wrong(self, hit: Hit) -> web.StreamResponse:
        response = await hit.proceed()
        answer = Answer.of(response)
        if answer is None or answer.status != 200 or not answer.body.startswith(b"instrument_tok"):
            return response
        how = hit.fault.text("how")
        if how == "yesterday":
            body = self._reach.yesterdays_dump(hit.request.match_info.get("exchange", ""))
        else:
            body = instruments_damaged(answer.body, how)
        return answer.with_body(body).response()

    async def _rms_rejection(self, hit: Hit) -> web.StreamResponse:
        with self._reach.orders_refused(hit.fault.text("message")):
            return await hit.proceed()

    async def _partial_then_cancel(self, hit: Hit) -> web.StreamResponse:
        response = await hit.proceed()
        # The order is on its way; nothing has traded yet.
        for order_id in order_ids_in(Answer.of(response)):
            self._reach.cut_short(order_id, hit.fault.number_of("part"))
        return response

    async def _fill_wins(self, hit: Hit) -> web.StreamResponse:
        self._reach.fill_order(hit.request.path.rpartition("/")[2])
        return await hit.proceed()


async def _instead(hit: Hit, answer: Answer) -> web.StreamResponse:
    """Another answer, whether or not the request took effect."""
    if hit.fault.yes("reached"):
        await hit.proceed()
    return answer.response()


# ── at the wrong time, or never ──────────────────────────────────────────────────────────


async def _no_answer(hit: Hit) -> web.StreamResponse:
    if hit.fault.yes("reached"):
        await hit.proceed()
    left = hit.fault.number_of("close_after")
    while left > 0 and hit.request.transport is not None and not hit.request.transport.is_closing():
        await asyncio.sleep(min(left, _LOOK_EVERY))
        left -= _LOOK_EVERY
    return RawAnswer(how="never answered")


async def _late_answer(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    await asyncio.sleep(hit.fault.number_of("seconds"))
    return response


async def _late_arrival(hit: Hit) -> web.StreamResponse:
    await asyncio.sleep(hit.fault.number_of("seconds"))
    return await hit.proceed()


async def _answered_twice(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    answer = Answer.of(response)
    if answer is None:
        return response
    whole = answer.head(len(answer.body)) + answer.body
    again = (hit.fault.number_of("seconds"), whole)
    return RawAnswer([(0, whole), again], ending=Ending.STAYS, status=answer.status, how="twice")


async def _taken_twice(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    await hit.proceed()
    return response


async def _slow_drip(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    answer = Answer.of(response)
    if answer is None:
        return response
    chunk = hit.fault.whole("chunk")
    pause = chunk / hit.fault.number_of("bytes_per_second")
    return RawAnswer(
        _drops(answer, chunk, pause), ending=Ending.STAYS, status=answer.status, how="dripping"
    )


# ── the wrong thing ──────────────────────────────────────────────────────────────────────


async def _timed_out_400(hit: Hit) -> web.StreamResponse:
    answer = kite_error_answer(400, hit.fault.text("error_type"), TIMED_OUT)
    return await _instead(hit, answer)


async def _html_error(hit: Hit) -> web.StreamResponse:
    return await _instead(hit, html_answer(hit.fault.whole("status")))


async def _error_answer(hit: Hit) -> web.StreamResponse:
    status, kind = hit.fault.whole("status"), hit.fault.text("error_type")
    answer = kite_error_answer(status, kind, hit.fault.text("message"))
    return await _instead(hit, answer)


async def _too_many_requests(_hit: Hit) -> web.StreamResponse:
    return kite_error_answer(429, "NetworkException", TOO_MANY_REQUESTS).response()


async def _maintenance(hit: Hit) -> web.StreamResponse:
    if hit.fault.text("body") == "html":
        return html_answer(503).response()
    sentence = "The service is down for maintenance. Please try again later."
    return kite_error_answer(503, "NetworkException", sentence).response()


async def _ip_refused(hit: Hit) -> web.StreamResponse:
    sentence = (
        f"IP ({hit.fault.text('ip')}) is not allowed to place orders for this app."
        " Update allowed IPs on the Kite developer console."
    )
    return kite_error_answer(403, "PermissionException", sentence).response()


async def _redirect(hit: Hit) -> web.StreamResponse:
    where = (("Location", str(hit.request.rel_url)), ("Content-Type", "text/html"))
    return await _instead(hit, Answer(hit.fault.whole("status"), where, b""))


async def _connection_lost(hit: Hit) -> web.StreamResponse:
    if hit.fault.yes("reached"):
        await hit.proceed()
    how = hit.fault.text("how")
    ending = Ending.RESET if how == "reset" else Ending.CLOSED
    return RawAnswer(ending=ending, how=f"connection {how}")


# ── damaged ──────────────────────────────────────────────────────────────────────────────


async def _wrong_content_type(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    response.headers["Content-Type"] = hit.fault.text("content_type")
    return response


async def _no_content_type(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    answer = Answer.of(response)
    if answer is None:
        return response
    bare = answer.with_header("Content-Type", "")
    whole = bare.head(len(bare.body)) + bare.body
    return RawAnswer([(0, whole)], ending=Ending.STAYS, status=bare.status)


async def _truncated(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    answer = Answer.of(response)
    if answer is None:
        return response
    kept = answer.body[: int(len(answer.body) * hit.fault.number_of("keep"))]
    if hit.fault.text("length") == "cut":
        return answer.with_body(kept).response()
    sent = answer.head(len(answer.body)) + kept
    return RawAnswer([(0, sent)], status=answer.status, how="cut off")


async def _field_missing(hit: Hit) -> web.StreamResponse:
    return _changed(await hit.proceed(), partial(without_field, path=hit.fault.text("field")))


async def _empty_body(hit: Hit) -> web.StreamResponse:
    return await _instead(hit, Answer(200, (("Content-Type", JSON),), b""))


# ── books that lie ───────────────────────────────────────────────────────────────────────


async def _clock_skew(hit: Hit) -> web.StreamResponse:
    response = await hit.proceed()
    if hit.request.path.startswith("/instruments"):
        return response  # a candle's time is its name, not a clock's reading
    return _changed(response, partial(shifted, by=hit.fault.span("seconds")))


def _changed(
    response: web.StreamResponse, change: Callable[[Answer], Answer]
) -> web.StreamResponse:
    answer = Answer.of(response)
    return response if answer is None else change(answer).response()


def _drops(answer: Answer, chunk: int, pause: float) -> Iterator[tuple[float, bytes]]:
    yield 0, answer.head(len(answer.body))
    for start in range(0, len(answer.body), chunk):
        yield pause, answer.body[start : start + chunk]
