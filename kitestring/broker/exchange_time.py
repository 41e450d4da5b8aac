"""Asks a local exchange what time it is there; Zerodha's own has no such route and needs none."""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_http import Answer, KiteHttp
from kitestring.broker.kite_wire import WireRequest
from kitestring.domain.instants import Instant
from kitestring.domain.unreadable import UNREADABLE

_CLOCK: Final = WireRequest(method="GET", path="/admin/time")
_WITHIN_S: Final = 2.0


class ExchangeTime(msgspec.Struct, frozen=True):
    """What the exchange says of its clock. ``speed`` 0: its time moves by events alone."""

    at: Instant
    speed: float
    paused: bool = False


class _Face(msgspec.Struct):
    at: Instant
    speed: float | str
    paused: bool


class _Told(msgspec.Struct):
    data: _Face


_told = msgspec.json.Decoder(_Told)


async def exchange_time(http: KiteHttp) -> ExchangeTime:
    """What time it is at the exchange. Raises ``KiteReadFailed``."""
    answer = await http.call(_CLOCK, within_s=_WITHIN_S)
    if not isinstance(answer, Answer):
        raise KiteReadFailed(_CLOCK.path, ReadFailure.UNREACHABLE, answer.why)
    if answer.status != 200:
        why = f"HTTP {answer.status}; is it a `kitestring exchange` with --admin?"
        raise KiteReadFailed(_CLOCK.path, ReadFailure.REFUSED, why, status=answer.status)
    try:
        face = _told.decode(answer.body).data
    except UNREADABLE as error:
        raise KiteReadFailed(_CLOCK.path, ReadFailure.STRANGE, str(error)) from error
    speed = 0.0 if isinstance(face.speed, str) else face.speed
    return ExchangeTime(at=face.at, speed=speed, paused=face.paused)
