"""The routes of mutual funds."""

from __future__ import annotations

from kitestring.exchange.local_exchange import Dump, LocalExchange, packed
from kitestring.exchange.wire.routes import Call, Route


def _instruments(exchange: LocalExchange, call: Call) -> Dump:
    del call
    return packed(exchange.mutual_funds.csv())


def _holdings(exchange: LocalExchange, call: Call) -> object:
    del call
    return exchange.mutual_funds.holdings()


def _holding(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.holding(call.path["isin"])


def _allotments(exchange: LocalExchange, call: Call) -> object:
    del call
    return exchange.mutual_funds.allotments()


def _orders(exchange: LocalExchange, call: Call) -> object:
    del call
    return exchange.mutual_funds.orders()


def _order(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.order(call.path["order_id"])


def _place(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.place(call.now, call.form)


def _cancel(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.cancel(call.path["order_id"])


def _plans(exchange: LocalExchange, call: Call) -> object:
    del call
    return exchange.mutual_funds.plans()


def _plan(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.plan(call.path["sip_id"])


def _place_plan(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.place_plan(call.now, call.form)


def _modify_plan(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.modify_plan(call.path["sip_id"], call.form)


def _cancel_plan(exchange: LocalExchange, call: Call) -> object:
    return exchange.mutual_funds.cancel_plan(call.path["sip_id"])


ROUTES = (
    Route("GET", "/mf/instruments", _instruments),
    Route("GET", "/mf/holdings", _holdings),
    Route("GET", "/mf/holdings/{isin}", _holding),
    Route("GET", "/mf/allotments", _allotments),
    Route("GET", "/mf/orders", _orders),
    Route("POST", "/mf/orders", _place),
    Route("GET", "/mf/orders/{order_id}", _order),
    Route("DELETE", "/mf/orders/{order_id}", _cancel),
    Route("GET", "/mf/sips", _plans),
    Route("POST", "/mf/sips", _place_plan),
    Route("GET", "/mf/sips/{sip_id}", _plan),
    Route("PUT", "/mf/sips/{sip_id}", _modify_plan),
    Route("DELETE", "/mf/sips/{sip_id}", _cancel_plan),
)
