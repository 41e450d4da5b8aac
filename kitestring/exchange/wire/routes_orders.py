"""The routes of orders and trades, of what fires later (GTT) and of what only rings (alerts)."""

from __future__ import annotations

from typing import Final

from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.rate_limits import CallClass
from kitestring.exchange.wire.routes import Call, Route

_LEGS_MAX: Final = 50


def _orders(exchange: LocalExchange, call: Call) -> object:
    return exchange.desk.orders(call.now)


def _history(exchange: LocalExchange, call: Call) -> object:
    return exchange.desk.history(call.now, call.path["order_id"])


def _trades(exchange: LocalExchange, call: Call) -> object:
    return exchange.desk.trades(call.now)


def _order_trades(exchange: LocalExchange, call: Call) -> object:
    return exchange.desk.order_trades(call.now, call.path["order_id"])


def _place(exchange: LocalExchange, call: Call) -> object:
    return exchange.place(call.now, call.path["variety"], call.form)


def _weight(call: Call) -> int:
    """Each leg of an iceberg order counts toward the day's limit."""
    if call.path["variety"] != "iceberg":
        return 1
    try:
        return call.form.whole("iceberg_legs", 1, at_least=1, at_most=_LEGS_MAX)
    except KiteError:
        return 1  # the desk will refuse it in its own words


def _modify(exchange: LocalExchange, call: Call) -> object:
    return exchange.desk.modify(call.now, call.path["variety"], call.path["order_id"], call.form)


def _cancel(exchange: LocalExchange, call: Call) -> object:
    parent = call.form.text("parent_order_id", "")
    return exchange.desk.cancel(call.now, call.path["variety"], call.path["order_id"], parent)


def _gtts(exchange: LocalExchange, call: Call) -> object:
    return exchange.gtt.triggers(call.now)


def _gtt(exchange: LocalExchange, call: Call) -> object:
    return exchange.gtt.trigger(call.path["trigger_id"])


def _place_gtt(exchange: LocalExchange, call: Call) -> object:
    answer: object = exchange.gtt.place(call.now, call.form)
    exchange.watch_waiting()
    return answer


def _modify_gtt(exchange: LocalExchange, call: Call) -> object:
    answer: object = exchange.gtt.modify(call.now, call.path["trigger_id"], call.form)
    exchange.watch_waiting()
    return answer


def _delete_gtt(exchange: LocalExchange, call: Call) -> object:
    return exchange.gtt.delete(call.now, call.path["trigger_id"])


def _alerts(exchange: LocalExchange, call: Call) -> object:
    return exchange.alerts.alerts(call.query)


def _alert(exchange: LocalExchange, call: Call) -> object:
    return exchange.alerts.alert(call.path["uuid"])


def _alert_history(exchange: LocalExchange, call: Call) -> object:
    return exchange.alerts.history(call.path["uuid"])


def _create_alert(exchange: LocalExchange, call: Call) -> object:
    answer: object = exchange.alerts.create(call.now, call.form)
    exchange.watch_waiting()
    return answer


def _modify_alert(exchange: LocalExchange, call: Call) -> object:
    answer: object = exchange.alerts.modify(call.now, call.path["uuid"], call.form)
    exchange.watch_waiting()
    return answer


def _delete_alerts(exchange: LocalExchange, call: Call) -> object:
    exchange.alerts.delete(call.now, call.query.many("uuid"))
    return None


ROUTES = (
    Route("GET", "/orders", _orders),
    Route("GET", "/trades", _trades),
    Route("GET", "/orders/{order_id}", _history),
    Route("GET", "/orders/{order_id}/trades", _order_trades),
    Route("POST", "/orders/{variety}", _place, CallClass.ORDER, ordering=True, weight=_weight),
    Route("PUT", "/orders/{variety}/{order_id}", _modify, ordering=True),
    Route("DELETE", "/orders/{variety}/{order_id}", _cancel, ordering=True),
    Route("GET", "/gtt/triggers", _gtts),
    Route("POST", "/gtt/triggers", _place_gtt),
    Route("GET", "/gtt/triggers/{trigger_id}", _gtt),
    Route("PUT", "/gtt/triggers/{trigger_id}", _modify_gtt),
    Route("DELETE", "/gtt/triggers/{trigger_id}", _delete_gtt),
    Route("GET", "/alerts", _alerts),
    Route("POST", "/alerts", _create_alert),
    Route("DELETE", "/alerts", _delete_alerts),
    Route("GET", "/alerts/{uuid}", _alert),
    Route("PUT", "/alerts/{uuid}", _modify_alert),
    Route("GET", "/alerts/{uuid}/history", _alert_history),
)
