"""Gets positions out and keeps them protected: stops, targets, trails, time stops, square-off.

A controller, not a script: after anything that concerns a book, ``settle`` compares what works at
the broker with what the plan wants and answers with the difference. So it does not matter whether
a fill was partial, a cancel came late or the process died in between: the next look mends it.

* A position with a stop has stop orders resting at the broker for exactly its size.
* A position being left has no resting stops and market exits for exactly its size.
* A flat book has nothing working.
* While a stop-and-reverse entry works, nothing else closes the position beside it.

A position being left has a deadline, and its exits are priced anew until it is flat
(``exit_goal``); what does not get out, or stands without its stop, is said to a person.

An exit is never larger than the owned net less the exits already working, so that it can neither
flip a position nor open one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kitestring.core.exit_goal import (
    CHASE_AFTER,
    NAKED_AFTER,
    SAY_AGAIN_AFTER,
    SLOW_AFTER,
    STEP_MAX,
    ExitGoals,
    naked_sentence,
    stuck,
    stuck_sentence,
)
from kitestring.core.instrument_view import InstrumentView
from kitestring.core.order_manager import OrderManager
from kitestring.core.order_rules import slices, stop_order_shape
from kitestring.domain.errors import InvariantBroken
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import NEVER, SECOND, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price, on_tick_down, on_tick_up
from kitestring.domain.orders import (
    ExitReason,
    Order,
    OrderIntent,
    OrdStatus,
    OrdType,
    Purpose,
    Side,
)
from kitestring.domain.positions import Book, OpenTrade
from kitestring.domain.verdicts import CancelOrder, ModifyOrder

Want = OrderIntent | ModifyOrder | CancelOrder

WITHDRAW_AFTER: Final = SECOND
"""An entry is withdrawn this long after the broker last said something of it."""
MODIFICATIONS_MAX: Final = 20
"""Kite takes 25 changes of one order (facts: kite_api); before that the order is replaced."""
RETRY_SECONDS_MAX: Final = 60

_RESTING: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_AT_BROKER: Final = (*_RESTING, OrdStatus.PENDING_REPLACE, OrdStatus.PENDING_CANCEL)
"""Orders that rest there as far as the broker has said; one that is not answered covers nothing."""
_ENTRY: Final = Purpose.ENTRY  # A member of an enum takes 80 ns to find, a name of the module 10.


class Exits:
    """Compares working exits with the plan of each book and says what to send."""

    __slots__ = ("_goals", "_instruments", "_orders", "notes", "wake_at")

    def __init__(
        self,
        orders: OrderManager,
        instruments: Mapping[InstrumentId, Instrument],
        goals: ExitGoals,
    ) -> None:
        self._orders = orders
        self._instruments = instruments
        self._goals = goals
        self.notes: list[tuple[str, str]] = []
        """Kind and sentence of what a person has to know; whoever calls ``settle`` takes them."""
        self.wake_at: Instant = NEVER
        """When ``settle`` wants to look again although nothing has happened."""

    def settle(self, book: Book, view: InstrumentView, at: Instant) -> list[Want]:
        """What to send so that the broker's working orders match the book's plan."""
        trade = book.trade
        by_id = self._orders.by_strategy.get(book.strategy)
        if not by_id and (
            book.net_qty == 0
            or (trade is not None and trade.leaving is None and trade.stop_px is None)
        ):
            return []  # Nothing works and nothing is to be protected: what most looks find.
        exits: list[Order] = []
        entries: list[Order] = []
        for order in by_id.values() if by_id else ():
            (entries if order.purpose is _ENTRY else exits).append(order)
        if book.net_qty == 0:
            return [_cancel(order, at, "flat") for order in exits if order.status in _RESTING]
        if trade is None:
            raise InvariantBroken(f"{book.strategy} holds {book.net_qty} without an open trade")
        wants = self._compare(book, trade, (entries, exits), view, at)
        if trade.leaving is not None:
            self._look_at_goal(book, trade, (entries, exits), at)
        if trade.stop_px is not None:
            self._look_at_cover(book, trade, (entries, exits), at)
        return wants

    def _compare(
        self,
        book: Book,
        trade: OpenTrade,
        working_orders: tuple[list[Order], list[Order]],
        view: InstrumentView,
        at: Instant,
    ) -> list[Want]:
        entries, exits = working_orders
        closing = Side.SELL if book.net_qty > 0 else Side.BUY
        astray = [order for order in exits if order.side is not closing]
        if astray:
            # Left from the other side of a reversal: filled now, it would grow the position.
            return [
                _cancel(order, at, "wrong side") for order in astray if order.status in _RESTING
            ]
        if entries:
            turning = [order for order in entries if order.side is closing]
            if turning:
                return self._turn(trade, turning, at)
        if trade.leaving is None:
            released = [order for order in exits if order.triggered_at is not None]
            if not released:
                return self._protect(book, trade, exits, at)
            trade.leaving = ExitReason.TRAIL if trade.trailed else ExitReason.STOP
        return self._leave(book, trade, working_orders, view, at)

    def _look_at_goal(
        self,
        book: Book,
        trade: OpenTrade,
        working_orders: tuple[list[Order], list[Order]],
        at: Instant,
    ) -> None:
        """Set the deadline of a position that is being left; say it where it does not get out."""
        entries, exits = working_orders
        if not trade.exit_by:
            assert trade.leaving is not None
            trade.exit_by = self._goals.deadline(book.instrument, trade.leaving, at)
        if not stuck(trade, at):
            self._wake(trade.exit_by)
            return
        if not trade.stuck_told_at or at - trade.stuck_told_at >= SAY_AGAIN_AFTER:
            trade.stuck_told_at = at
            turning = [order for order in entries if order.side is not trade.side]
            self.notes.append(("exit stuck", stuck_sentence(book, trade, [*exits, *turning], at)))
        self._wake(trade.stuck_told_at + SAY_AGAIN_AFTER)

    def _look_at_cover(
        self,
        book: Book,
        trade: OpenTrade,
        working_orders: tuple[list[Order], list[Order]],
        at: Instant,
    ) -> None:
        """Where the plan has a stop, all of the position rests under one, or under a working exit."""
        entries, exits = working_orders
        bare = abs(book.net_qty)
        for order in exits:
            if order.status in _AT_BROKER:
                bare -= order.order_qty - order.cum_qty  # What is asked for is not there yet.
        if bare > 0 and entries:
            bare -= sum(
                order.order_qty - order.cum_qty
                for order in entries
                if order.side is not trade.side and order.status in _AT_BROKER
            )
        if bare <= 0:
            trade.naked_since, trade.naked_told = 0, False
        elif not trade.naked_since:
            trade.naked_since = at
            self._wake(at + NAKED_AFTER)
        elif trade.naked_told:
            pass  # Once an episode; an exit that is stuck is said by itself.
        elif at >= trade.naked_since + NAKED_AFTER:
            trade.naked_told = True
            self.notes.append(("unprotected position", naked_sentence(book, trade, exits, bare)))
        else:
            self._wake(trade.naked_since + NAKED_AFTER)

    def _turn(self, trade: OpenTrade, turning: list[Order], at: Instant) -> list[Want]:
        """A stop-and-reverse is under way: an exit beside it would close the position twice.

        It is withdrawn when the position must be left, or when it stalls half-way; what is then
        still owned is left at the market.
        """
        wants: list[Want] = []
        for order in turning:
            if order.status not in _RESTING:
                continue
            if trade.leaving is None:
                if not order.cum_qty:
                    continue
                if at - order.updated_at < CHASE_AFTER:
                    self._wake(order.updated_at + CHASE_AFTER)
                else:
                    wants.append(_cancel(order, at, "stalled"))
            else:
                wants.extend(self._withdraw(order, at))
        return wants

    def _withdraw(self, entry: Order, at: Instant) -> list[Want]:
        """Withdraw an entry, but not faster than once a second where the broker will not."""
        again_at = entry.updated_at + WITHDRAW_AFTER
        if at >= again_at:
            return [_cancel(entry, at, "leaving")]
        self._wake(again_at)
        return []

    def trail(self, book: Book, close: Price) -> bool:
        """Move the stop behind a new best close; ``True`` if it moved. Stops never move back."""
        trade = book.trade
        if trade is None or trade.trail_by is None or trade.leaving is not None:
            return False
        long = trade.side is Side.BUY
        best = trade.best_close
        if best is None or (close > best if long else close < best):
            trade.best_close = best = close
        tick = self._instruments[book.instrument].tick_size
        level = best - trade.trail_by if long else best + trade.trail_by
        level = on_tick_down(level, tick) if long else on_tick_up(level, tick)
        if int(level) <= 0:
            return False
        stop = trade.stop_px
        if stop is not None and (level <= stop if long else level >= stop):
            return False
        trade.stop_px = level
        trade.trailed = stop is not None
        return True

    def rejected(self, book: Book, order: Order, at: Instant) -> str:
        """An exit or a stop was refused by the broker: note it, and say it in a sentence."""
        trade = book.trade
        if trade is None:
            return ""
        wait_s = self._refused(trade, order, at, trade.exit_rejections + 1)
        if order.purpose is Purpose.STOP and trade.leaving is None:
            # Without its stop the position stands naked: better out at the market than hoping.
            trade.leaving = ExitReason.STOP
            trade.retry_at = at
            return f"The stop of {book.strategy} was refused ({order.text}); closing at the market."
        return (
            f"An exit of {book.strategy} was refused ({order.text}); "
            f"trying again in {wait_s} s, attempt {trade.exit_rejections + 1}."
        )

    def unchanged(self, book: Book, order: Order, at: Instant) -> None:
        """The broker would not change or withdraw an order: not at once again, and ever more slowly."""
        trade = book.trade
        if trade is not None:
            self._refused(trade, order, at, trade.exit_rejections)

    def withdrawn(self, book: Book, order: Order, at: Instant) -> str:
        """The broker withdrew an exit or a stop by itself: send it again, and ever more slowly."""
        trade = book.trade
        if trade is None:
            return ""
        wait_s = self._refused(trade, order, at, trade.exit_rejections)
        what = "stop" if order.purpose is Purpose.STOP else "exit"
        when = f"in {wait_s} s" if wait_s else "now"
        return (
            f"The {what} of {book.strategy} was withdrawn ({order.text}); sending it again {when}."
        )

    def answered(self, book: Book, *, traded: bool) -> None:
        """An exit traded or was changed as asked: the broker takes our orders again."""
        trade = book.trade
        if trade is not None:
            trade.exit_rejections = 0
            trade.refused = ""
            if traded:
                trade.exit_tries, trade.exit_step = 0, 1

    def _refused(self, trade: OpenTrade, order: Order, at: Instant, doublings: int) -> int:
        trade.exit_rejections += 1
        trade.refused = order.text
        if trade.leaving is not None:
            # What was refused may have reached too far: the next try is one step nearer.
            trade.exit_tries += 1
            trade.exit_step = max(trade.exit_step - 2, 0)
        wait_s = min((1 << min(doublings, 6)) - 1, RETRY_SECONDS_MAX)
        trade.retry_at = at + wait_s * SECOND
        return wait_s

    def _protect(self, book: Book, trade: OpenTrade, stops: list[Order], at: Instant) -> list[Want]:
        if trade.stop_px is None:
            return []
        owned = abs(book.net_qty)
        if at < trade.retry_at:
            self._wake(trade.retry_at)
            return []
        if not stops:
            return [*self._stop_orders(book, trade, trade.stop_px, owned, at)]
        if any(order.status not in _RESTING for order in stops):
            return []  # One question at a time: the answer brings us back here.
        resting = sum(order.leaves_qty for order in stops)
        if resting == owned and all(order.stop_px == trade.stop_px for order in stops):
            return []
        return self._reshaped(book, trade, trade.stop_px, stops, at)

    def _reshaped(
        self, book: Book, trade: OpenTrade, at_px: Price, stops: list[Order], at: Instant
    ) -> list[Want]:
        """Bring resting stops to the plan by changing them: withdrawn first, they would leave it bare."""
        instrument, owned = self._instruments[book.instrument], abs(book.net_qty)
        excess = sum(order.leaves_qty for order in stops) - owned
        wants: list[Want] = []
        for order in reversed(stops):  # The newest gives way first.
            size, filled = order.leaves_qty, order.cum_qty
            # What the exchange counts is the whole order, with what of it has filled.
            most = max(slices(owned + filled, instrument.freeze_qty, instrument.lot_size))
            kept = min(max(size - excess, 0), max(most - filled, 0))
            if kept > size and order.modifications >= MODIFICATIONS_MAX:
                kept = size
            if kept == size and order.stop_px == at_px:
                continue
            if not kept or order.modifications >= MODIFICATIONS_MAX:
                # It counts until it is gone; only then is what is missing sent anew.
                wants.append(_cancel(order, at, "stop is replaced"))
                excess -= 0 if kept else size
                continue
            excess += kept - size
            _, limit_px, stop_px = stop_order_shape(instrument, order.side, at_px)
            wants.append(
                ModifyOrder(
                    cl_ord_id=order.cl_ord_id,
                    at=at,
                    order_qty=filled + kept,
                    price=limit_px,
                    stop_px=stop_px,
                )
            )
        if excess < 0:
            wants.extend(self._stop_orders(book, trade, at_px, -excess, at))
        return wants

    def _stop_orders(
        self, book: Book, trade: OpenTrade, stop_px: Price, qty: int, at: Instant
    ) -> list[OrderIntent]:
        instrument = self._instruments[book.instrument]
        side = trade.side.opposite
        ord_type, limit_px, trigger_px = stop_order_shape(instrument, side, stop_px)
        return [
            OrderIntent(
                strategy=book.strategy,
                instrument=book.instrument,
                side=side,
                order_qty=part,
                ord_type=ord_type,
                product=book.product,
                purpose=Purpose.STOP,
                reason="protective stop",
                decision_px=trigger_px,
                decided_at=at,
                price=limit_px,
                stop_px=trigger_px,
                signal_id=trade.signal_id,
            )
            for part in slices(qty, instrument.freeze_qty, instrument.lot_size)
        ]

    def _leave(
        self,
        book: Book,
        trade: OpenTrade,
        working_orders: tuple[list[Order], list[Order]],
        view: InstrumentView,
        at: Instant,
    ) -> list[Want]:
        if at < trade.retry_at:
            self._wake(trade.retry_at)
            return []
        entries, exits = working_orders
        wants: list[Want] = []
        for order in entries:
            if order.status in _RESTING:
                wants.extend(self._withdraw(order, at))
        # A stop that was triggered is an exit on its way: chased like one, not withdrawn.
        stops = [
            order for order in exits if order.purpose is Purpose.STOP and order.triggered_at is None
        ]
        if stops:
            # Stops first, exits only once they are gone: together they would be twice the position.
            wants.extend(_cancel(stop, at, "leaving") for stop in stops if stop.status in _RESTING)
            return wants
        owned = abs(book.net_qty)
        working = sum(order.leaves_qty for order in exits)
        if working > owned:
            wants.extend(
                _cancel(order, at, "larger than the position")
                for order in exits
                if order.status in _RESTING
            )
            return wants
        pace = SLOW_AFTER if stuck(trade, at) else CHASE_AFTER
        chased = False
        for order in exits:
            if order.status not in _RESTING:
                continue
            if at - order.updated_at < pace:
                self._wake(order.updated_at + pace)
            elif order.modifications < MODIFICATIONS_MAX:
                chased = True
                wants.append(self._chase(trade, order, view, at))
            else:
                wants.append(_cancel(order, at, "exit is replaced"))
        if chased:
            trade.exit_tries += 1
            trade.exit_step = min(trade.exit_step + 1, STEP_MAX)
        missing = owned - working
        if missing:
            wants.extend(self._market_exits(book, trade, missing, view, at))
            self._wake(at + CHASE_AFTER)
        return wants

    def _market_exits(
        self, book: Book, trade: OpenTrade, qty: int, view: InstrumentView, at: Instant
    ) -> list[OrderIntent]:
        if trade.leaving is None:
            raise InvariantBroken(f"{book.strategy} leaves without a reason")
        instrument = self._instruments[book.instrument]
        protection_bp = self._goals.protection(view, trade.exit_step)
        return [
            OrderIntent(
                strategy=book.strategy,
                instrument=book.instrument,
                side=Side.SELL if book.net_qty > 0 else Side.BUY,
                order_qty=part,
                ord_type=OrdType.MARKET,
                product=book.product,
                purpose=Purpose.EXIT,
                reason=trade.leaving.value,
                decision_px=view.last_px,
                decided_at=at,
                market_protection_bp=protection_bp,
                signal_id=trade.signal_id,
            )
            for part in slices(qty, instrument.freeze_qty, instrument.lot_size)
        ]

    def _chase(
        self, trade: OpenTrade, order: Order, view: InstrumentView, at: Instant
    ) -> ModifyOrder:
        self._wake(at + CHASE_AFTER)
        terms = self._goals.terms(order.side, view, trade.exit_step, at)
        return ModifyOrder(
            cl_ord_id=order.cl_ord_id,
            at=at,
            ord_type=terms.ord_type,
            price=terms.price,
            market_protection_bp=terms.protection_bp,
        )

    def _wake(self, at: Instant) -> None:
        self.wake_at = min(self.wake_at, at)


def _cancel(order: Order, at: Instant, reason: str) -> CancelOrder:
    return CancelOrder(cl_ord_id=order.cl_ord_id, at=at, reason=reason)
