"""The person of a simulated day, at the phone: own trades, and now and then a hand on what is ours.

Nothing of it passes the house or its session. What is ours is closed, or some of it, or its stop is
withdrawn, wherever something is open at that moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from kitestring.domain.ids import InstrumentId
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.rehearsal_stage import RehearsalStage
from kitestring.sim.day_plan import DayPlan


class PersonsHand:
    """Carries out what the plan has the person do. ``until`` waits for a second of the day."""

    def __init__(
        self,
        plan: DayPlan,
        exchange: LocalExchange,
        stage: RehearsalStage,
        until: Callable[[float], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._exchange = exchange
        self._stage = stage
        self._until = until

    async def trade(self) -> None:
        """The person's own orders."""
        for trade in sorted(self._plan.hand, key=lambda each: each.at_s):
            await self._until(trade.at_s)
            self._send(trade.instrument, trade.side, trade.qty, at_market=trade.at_market)

    async def meddle(self) -> None:
        """The person's hand on what is ours."""
        for each in sorted(self._plan.meddling, key=lambda each: each.at_s):
            await self._until(each.at_s)
            if each.what == "cancels the stop":
                self._cancel_a_stop()
            else:
                self._close(some=each.what == "closes some")

    def _close(self, *, some: bool) -> None:
        positions = self._exchange.floor.account.positions
        held = {
            name: each.net_qty for (name, product), each in positions.items() if product == "MIS"
        }
        for instrument in self._plan.instruments:
            net = held.get(instrument.id, 0)
            lots, rest = divmod(abs(net), instrument.lot_size)
            lots = (lots + 1) // 2 if some else lots
            if not lots or rest:
                continue
            qty = min(lots * instrument.lot_size, instrument.freeze_qty or abs(net))
            self._send(instrument.id, "SELL" if net > 0 else "BUY", qty, at_market=True)
            return

    def _cancel_a_stop(self) -> None:
        now = self._exchange.now()
        for row in self._exchange.desk.orders(now):
            if row.get("tag") and row["status"] == "TRIGGER PENDING":
                with suppress(KiteError):
                    self._exchange.desk.cancel(now, "regular", str(row["order_id"]))
                    self._exchange.stirred()
                return

    def _send(self, instrument: InstrumentId, side: str, qty: int, *, at_market: bool) -> None:
        where, _, symbol = instrument.partition(":")
        fields = {
            "exchange": where,
            "tradingsymbol": symbol,
            "transaction_type": side,
            "quantity": str(qty),
            "product": "MIS",
            "validity": "DAY",
        }
        if at_market:
            fields |= {"order_type": "MARKET", "market_protection": "-1"}
        else:
            px = int(self._plan.market.closes[instrument]) // 10_000
            away = -20 if side == "BUY" else 20
            fields |= {"order_type": "LIMIT", "price": str(px + away)}
        with suppress(KiteError):
            self._stage.reach.order_from_phone(self._exchange.now(), "regular", fields)
