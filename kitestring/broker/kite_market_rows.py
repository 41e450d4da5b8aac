"""Kite's quotes and candles as the house reads them; prices exact, candles stamped at their open."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise

import msgspec

from kitestring.broker.kite_rows import RowStrange, kite_instant, px_of, read_as, shown, whole
from kitestring.domain.instants import Instant, instant_of
from kitestring.domain.money import Price


class Level(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One level of the book."""

    px: Price
    qty: int
    orders: int


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as ``/quote`` shows it. An index has no volume and no book.

    Circuit limits of 0 are not known. ``previous_close`` is the session's before.
    """

    instrument_token: int
    last_px: Price
    at: Instant | None
    last_trade_at: Instant | None
    volume: int
    average_px: Price
    oi: int
    open_px: Price
    high_px: Price
    low_px: Price
    previous_close: Price
    lower_circuit: Price
    upper_circuit: Price
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Candle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One bar of ``/instruments/historical``; the last one may still be forming."""

    opened_at: Instant
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int
    oi: int = 0


class _Level(msgspec.Struct):
    price: Decimal
    quantity: Decimal
    orders: Decimal = Decimal(0)


class _Depth(msgspec.Struct):
    buy: list[_Level] = []
    sell: list[_Level] = []


class _Ohlc(msgspec.Struct):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class _Quote(msgspec.Struct, kw_only=True):
    instrument_token: int
    last_price: Decimal
    ohlc: _Ohlc
    timestamp: str | None = None
    last_trade_time: str | None = None
    volume: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    oi: Decimal = Decimal(0)
    lower_circuit_limit: Decimal = Decimal(0)
    upper_circuit_limit: Decimal = Decimal(0)
    depth: _Depth | None = None


class _Candle(msgspec.Struct, array_like=True):
    stamp: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    oi: Decimal = Decimal(0)


class _Candles(msgspec.Struct):
    candles: list[_Candle]


_quotes = msgspec.json.Decoder(dict[str, _Quote])
_candles = msgspec.json.Decoder(_Candles)


def quotes(raw: bytes) -> dict[str, Quote]:
    """``/quote``, by the name it was asked for; what Kite knows nothing of is absent."""
    return {name: _quote(row) for name, row in read_as(raw, _quotes).items()}


def candles(raw: bytes) -> tuple[Candle, ...]:
    """``/instruments/historical``, oldest first. Raises ``RowStrange``, also where time goes back."""
    rows = tuple(_candle(row) for row in read_as(raw, _candles).candles)
    for before, after in pairwise(rows):
        if after.opened_at <= before.opened_at:
            raise RowStrange("the candles are not in order of time")
    return rows


def _quote(row: _Quote) -> Quote:
    depth = row.depth or _Depth()
    return Quote(
        instrument_token=row.instrument_token,
        last_px=px_of(row.last_price, "last_price"),
        at=kite_instant(row.timestamp, "timestamp"),
        last_trade_at=kite_instant(row.last_trade_time, "last_trade_time"),
        volume=whole(row.volume, "volume"),
        average_px=px_of(row.average_price, "average_price"),
        oi=whole(row.oi, "oi"),
        open_px=px_of(row.ohlc.open, "open"),
        high_px=px_of(row.ohlc.high, "high"),
        low_px=px_of(row.ohlc.low, "low"),
        previous_close=px_of(row.ohlc.close, "close"),
        lower_circuit=px_of(row.lower_circuit_limit, "lower_circuit_limit"),
        upper_circuit=px_of(row.upper_circuit_limit, "upper_circuit_limit"),
        bids=tuple(_level(each) for each in depth.buy),
        asks=tuple(_level(each) for each in depth.sell),
    )


def _level(row: _Level) -> Level:
    return Level(
        px=px_of(row.price, "depth price"),
        qty=whole(row.quantity, "depth quantity"),
        orders=whole(row.orders, "depth orders"),
    )


def _candle(row: _Candle) -> Candle:
    opened, high, low, closed = (
        px_of(each, "a candle's price") for each in (row.open, row.high, row.low, row.close)
    )
    if not low <= min(opened, closed) <= max(opened, closed) <= high:
        raise RowStrange(f"the candle of {shown(row.stamp)} has its high or low on the wrong side")
    return Candle(
        opened_at=_stamp(row.stamp),
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=whole(row.volume, "volume"),
        oi=whole(row.oi, "oi"),
    )


def _stamp(text: str) -> Instant:
    """``2017-12-15T09:15:00+0530``; the offset is read, not assumed."""
    try:
        return instant_of(dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z"))
    except ValueError:
        raise RowStrange(f"a candle's time is {shown(text)}") from None
