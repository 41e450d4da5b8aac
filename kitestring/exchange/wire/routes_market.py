"""The routes of the market: instruments, quotes, candles, trigger ranges."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.local_exchange import EXCHANGES, Dump, LocalExchange
from kitestring.exchange.wire.rate_limits import CallClass
from kitestring.exchange.wire.routes import Call, Route

QUOTES_MAX: Final = 500
PRICES_MAX: Final = 1_000


def _keys(call: Call, at_most: int) -> list[str]:
    keys = call.query.many("i")
    if not keys:
        raise input_error("Missing or empty field `i`.")
    if len(keys) > at_most:
        raise input_error(f"Too many instruments: the maximum is {at_most}.")
    return keys


def _quote(exchange: LocalExchange, call: Call) -> object:
    return exchange.quotes.quote(_keys(call, QUOTES_MAX))


def _ohlc(exchange: LocalExchange, call: Call) -> object:
    return exchange.quotes.ohlc(_keys(call, PRICES_MAX))


def _ltp(exchange: LocalExchange, call: Call) -> object:
    return exchange.quotes.ltp(_keys(call, PRICES_MAX))


def _trigger_range(exchange: LocalExchange, call: Call) -> object:
    side = call.path["transaction_type"].upper()
    if side not in {"BUY", "SELL"}:
        raise input_error("Invalid `transaction_type`.")
    return exchange.quotes.trigger_range(_keys(call, PRICES_MAX), buy=side == "BUY")


def _historical(exchange: LocalExchange, call: Call) -> Generator[None, None, object]:
    query = call.query
    asked = exchange.candles.read(
        call.path["token"],
        call.path["interval"],
        query.text("from"),
        query.text("to"),
        continuous=query.flag("continuous"),
        oi=query.flag("oi"),
    )
    candles = yield from exchange.candles.candles(call.now, asked)
    return {"candles": candles}


def _instruments(exchange: LocalExchange, call: Call) -> Generator[None, None, Dump]:
    del call
    return exchange.dump_in_steps("")


def _instruments_of(exchange: LocalExchange, call: Call) -> Generator[None, None, Dump]:
    name = call.path["exchange"]
    if name not in EXCHANGES:
        raise input_error("Invalid exchange.")
    return exchange.dump_in_steps(name)


_QUOTE = CallClass.QUOTE
ROUTES = (
    Route("GET", "/quote", _quote, _QUOTE, reads_market=True),
    Route("GET", "/quote/ohlc", _ohlc, _QUOTE, reads_market=True),
    Route("GET", "/quote/ltp", _ltp, _QUOTE, reads_market=True),
    Route("GET", "/instruments", _instruments),
    Route("GET", "/instruments/{exchange}", _instruments_of),
    Route("GET", "/instruments/trigger_range/{transaction_type}", _trigger_range),
    Route("GET", "/instruments/historical/{token}/{interval}", _historical, CallClass.HISTORICAL, reads_market=True),
)  # fmt: skip
