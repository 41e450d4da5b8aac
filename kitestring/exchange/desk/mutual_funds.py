"""The mutual-fund books of the rehearsal account: small, invented, and only as deep as a read needs.

Shapes: the official samples of ``/mf``. Kite has switched placing off on its side
(kite.trade/docs/connect/v3/mutual-funds) while clients still offer it: it is refused here too,
unless ``placing`` is on; then orders and instalment plans are booked and can be withdrawn, and no
fund house ever answers them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final

from kitestring.domain.instants import Instant
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import general_error, input_error, permission_error
from kitestring.exchange.desk.profile import ist_seconds
from kitestring.market import calendar

Row = dict[str, object]

COLUMNS: Final = (
    "tradingsymbol,amc,name,purchase_allowed,redemption_allowed,minimum_purchase_amount,"
    "purchase_amount_multiplier,minimum_additional_purchase_amount,minimum_redemption_quantity,"
    "redemption_quantity_multiplier,dividend_type,scheme_type,plan,settlement_type,last_price,"
    "last_price_date"
)
_FUNDS: Final = (
    ("INF0KSL01011", "Rehearsal Index Fund - Direct Plan", "growth", "equity", 48.2153),
    ("INF0KSL01029", "Rehearsal Liquid Fund - Direct Plan", "idcw", "debt", 1_104.7731),
    ("INF0KSL01037", "Rehearsal Balanced Fund - Direct Plan", "growth", "balanced", 92.418),
)
_HELD: Final = ((0, "7001001234", 41.87, 512.406), (1, "7001005678", 1_080.25, 12.5))
_NAMES: Final = {symbol: name for symbol, name, _, _, _ in _FUNDS}
_PRICES: Final = {symbol: px for symbol, _, _, _, px in _FUNDS}
_FREQUENCIES: Final = ("weekly", "monthly", "quarterly")
_NO_PLACING: Final = "Mutual fund orders can no longer be placed through the API."


class MutualFunds:
    """Holdings, orders and instalment plans in funds."""

    def __init__(self, day: dt.date, user_id: str, *, placing: bool = False) -> None:
        self._day = day
        self._user_id = user_id
        self._placing = placing
        self._made = 0
        before = calendar.previous_trading_day(day)
        self._nav_date = before.isoformat()
        self._orders = [
            self._order(
                "INF0KSL01011", "BUY", 5_000.0, 0.0, f"{before} 10:14:07", status="COMPLETE"
            )
        ]
        self._plans = [
            self._plan("INF0KSL01011", 5_000.0, "monthly", -1, 5, f"{before} 09:40:12", tag="index")
        ]

    def csv(self) -> bytes:
        """``GET /mf/instruments``."""
        rows = [
            f"{symbol},RehearsalMutualFund_MF,{name},1,1,1000.0,1.0,500.0,0.001,0.001,{paid},{kind},"
            f"direct,T2,{px},{self._nav_date}"
            for symbol, name, paid, kind, px in _FUNDS
        ]
        return ("\n".join((COLUMNS, *rows)) + "\n").encode()

    def holdings(self) -> list[Row]:
        """``GET /mf/holdings``. ``pnl`` is 0 there, as in the sample."""
        return [
            {
                "folio": folio,
                "fund": _FUNDS[nth][1],
                "tradingsymbol": _FUNDS[nth][0],
                "average_price": average,
                "last_price": _FUNDS[nth][4],
                "last_price_date": self._nav_date,
                "pledged_quantity": 0,
                "pnl": 0,
                "quantity": quantity,
            }
            for nth, folio, average, quantity in _HELD
        ]

    def holding(self, symbol: str) -> list[Row]:
        """``GET /mf/holdings/{isin}``: the purchases a holding is made of."""
        return [order for order in self._orders if order["tradingsymbol"] == symbol]

    def allotments(self) -> list[str]:
        """``GET /mf/allotments``: the funds held."""
        return [_FUNDS[nth][0] for nth, _, _, _ in _HELD]

    def orders(self) -> list[Row]:
        """``GET /mf/orders``, the latest first."""
        return self._orders[::-1]

    def order(self, order_id: str) -> Row:
        """``GET /mf/orders/{order_id}``."""
        return _one(self._orders, "order_id", order_id)

    def plans(self) -> list[Row]:
        """``GET /mf/sips``."""
        return self._plans

    def plan(self, sip_id: str) -> Row:
        """``GET /mf/sips/{sip_id}``."""
        return _one(self._plans, "sip_id", sip_id)

    def place(self, now: Instant, form: Form) -> Row:
        """``POST /mf/orders``."""
        self._allow_placing()
        symbol, side = _fund(form), form.choice("transaction_type", ("BUY", "SELL"))
        amount = float(form.number("amount")) if side == "BUY" else 0.0
        quantity = float(form.number("quantity")) if side == "SELL" else 0.0
        tag = form.text("tag", "", at_most=20)
        order = self._order(symbol, side, amount, quantity, ist_seconds(now), tag=tag)
        self._orders.append(order)
        return {"order_id": order["order_id"]}

    def cancel(self, order_id: str) -> Row:
        """``DELETE /mf/orders/{order_id}``."""
        self._allow_placing()
        order = self.order(order_id)
        if order["status"] != "OPEN":
            raise general_error("The order can no longer be cancelled.", 400)
        order["status"] = "CANCELLED"
        return {"order_id": order_id}

    def place_plan(self, now: Instant, form: Form) -> Row:
        """``POST /mf/sips``."""
        self._allow_placing()
        plan = self._plan(
            _fund(form),
            float(form.number("amount")),
            form.choice("frequency", _FREQUENCIES),
            form.whole("instalments", at_least=-1),
            form.whole("instalment_day", 0, at_most=28),
            ist_seconds(now),
            tag=form.text("tag", "", at_most=20),
        )
        self._plans.append(plan)
        return {"sip_id": plan["sip_id"]}

    def modify_plan(self, sip_id: str, form: Form) -> Row:
        """``PUT /mf/sips/{sip_id}``."""
        self._allow_placing()
        plan = self.plan(sip_id)
        if "amount" in form:
            plan["instalment_amount"] = float(form.number("amount"))
        if "status" in form:
            plan["status"] = form.choice("status", ("active", "paused")).upper()
        if "frequency" in form:
            plan["frequency"] = form.choice("frequency", _FREQUENCIES)
        if "instalments" in form:
            plan["instalments"] = form.whole("instalments", at_least=-1)
        if "instalment_day" in form:
            plan["instalment_day"] = form.whole("instalment_day", at_most=28)
        return {"sip_id": sip_id}

    def cancel_plan(self, sip_id: str) -> Row:
        """``DELETE /mf/sips/{sip_id}``."""
        self._allow_placing()
        self._plans.remove(self.plan(sip_id))
        return {"sip_id": sip_id}

    def _allow_placing(self) -> None:
        if not self._placing:
            raise permission_error(_NO_PLACING)

    def _name(self, what: str) -> str:
        self._made += 1
        return hashlib.sha256(f"{what} {self._made} {self._day}".encode()).hexdigest()

    def _order(
        self,
        symbol: str,
        side: str,
        amount: float,
        quantity: float,
        at: str,
        *,
        status: str = "OPEN",
        tag: str = "",
    ) -> Row:
        named = self._name("order")
        done = status == "COMPLETE"
        px = _PRICES[symbol]
        return {
            "order_id": f"{named[:8]}-{named[8:12]}-4{named[13:16]}-8{named[17:20]}-{named[20:32]}",
            "exchange_order_id": str(int(named[32:40], 16)) if done else None,
            "tradingsymbol": symbol,
            "fund": _NAMES[symbol],
            "status": status,
            "status_message": "",
            "folio": _HELD[0][1] if done else None,
            "order_timestamp": at,
            "exchange_timestamp": at[:10] if done else None,
            "settlement_id": at[:10].replace("-", "")[2:] if done else None,
            "transaction_type": side,
            "purchase_type": "ADDITIONAL" if done else "FRESH",
            "variety": "regular",
            "amount": amount,
            "quantity": round(amount / px, 3) if done else quantity,
            "average_price": px if done else 0.0,
            "last_price": px,
            "last_price_date": self._nav_date,
            "placed_by": self._user_id,
            "tag": tag or None,
        }

    def _plan(
        self,
        symbol: str,
        amount: float,
        frequency: str,
        instalments: int,
        instalment_day: int,
        at: str,
        *,
        tag: str = "",
    ) -> Row:
        following = dt.date.fromisoformat(at[:10]) + dt.timedelta(days=30)
        return {
            "sip_id": str(int(self._name("plan")[:12], 16)).zfill(15),
            "sip_reg_num": None,
            "tradingsymbol": symbol,
            "fund": _NAMES[symbol],
            "status": "ACTIVE",
            "created": at,
            "dividend_type": next(paid for name, _, paid, _, _ in _FUNDS if name == symbol),
            "transaction_type": "BUY",
            "frequency": frequency,
            "instalment_amount": amount,
            "instalments": instalments,
            "pending_instalments": instalments,
            "completed_instalments": 0,
            "instalment_day": instalment_day,
            "last_instalment": at,
            "next_instalment": following.isoformat(),
            "step_up": {},
            "trigger_price": 0,
            "sip_type": "sip",
            "fund_source": "pool",
            "tag": tag or None,
        }


def _one(rows: list[Row], key: str, wanted: str) -> Row:
    for row in rows:
        if row[key] == wanted:
            return row
    raise general_error(f"There is no such `{key}`.", 404)


def _fund(form: Form) -> str:
    symbol = form.text("tradingsymbol")
    if symbol not in _NAMES:
        raise input_error("Invalid `tradingsymbol`.")
    return symbol
