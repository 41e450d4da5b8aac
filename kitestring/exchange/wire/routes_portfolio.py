"""The routes of positions and holdings, and of the calculators of margin and charges."""

from __future__ import annotations

from kitestring.exchange.desk.kite_error import input_error
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.routes import Call, Route


def _positions(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.positions(call.now)


def _convert(exchange: LocalExchange, call: Call) -> object:
    exchange.portfolio.convert(call.now, call.form)
    return True


def _holdings(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.holdings(call.now)


def _summary(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.holdings_summary(call.now)


def _compact(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.holdings_compact(call.now)


def _auctions(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.auctions(call.now)


def _authorise(exchange: LocalExchange, call: Call) -> object:
    return exchange.portfolio.authorise(call.now, call.form)


def _order_margins(exchange: LocalExchange, call: Call) -> object:
    return exchange.calculators.order_margins(call.now, call.items(), compact=_compactly(call))


def _basket_margins(exchange: LocalExchange, call: Call) -> object:
    return exchange.calculators.basket_margins(
        call.now,
        call.items(),
        consider_positions=call.query.flag("consider_positions", default=True),
        compact=_compactly(call),
    )


def _contract_note(exchange: LocalExchange, call: Call) -> object:
    return exchange.calculators.contract_note(call.now, call.items())


def _compactly(call: Call) -> bool:
    mode = call.query.text("mode", "")
    if mode not in {"", "compact"}:
        raise input_error("Invalid `mode`.")
    return mode == "compact"


ROUTES = (
    Route("GET", "/portfolio/positions", _positions),
    Route("PUT", "/portfolio/positions", _convert),
    Route("GET", "/portfolio/holdings", _holdings),
    Route("GET", "/portfolio/holdings/summary", _summary),
    Route("GET", "/portfolio/holdings/compact", _compact),
    Route("GET", "/portfolio/holdings/auctions", _auctions),
    Route("POST", "/portfolio/holdings/authorise", _authorise),
    Route("POST", "/margins/orders", _order_margins),
    Route("POST", "/margins/basket", _basket_margins),
    Route("POST", "/charges/orders", _contract_note),
)
