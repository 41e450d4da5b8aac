"""Flat by T: how long an exit may take, how far it may reach, and what is said if it gets stuck.

An exit is a goal, not an order. Its remainder is priced anew every two seconds from a *fresh* quote,
each time a step further through the market, inside the range the exchange accepts; without a fresh
quote it asks for the market again under wider protection, because a limit from an old tick is a guess.
After a bounded number of tries, or at its deadline, a person is told what is open and what to do, and
the house goes on more slowly: an exit is never given up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple

from kitestring.core.instrument_view import InstrumentView
from kitestring.domain.errors import CalendarUnknown, ConfigError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, SECOND, Instant, ist_clock
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Price, on_tick_down, on_tick_up, show_rupees
from kitestring.domain.orders import ExitReason, Order, OrdStatus, OrdType, Purpose, Side
from kitestring.domain.positions import Book, OpenTrade
from kitestring.domain.sessions import Session
from kitestring.market.bands import limit_price_range
from kitestring.market.contracts import is_index
from kitestring.market.order_rule_rows import square_off

LEAVE_WITHIN: Final = 60 * SECOND
"""A position that is being left for any reason but the end of its session is flat after this."""
BEFORE_THE_BROKER: Final = MINUTE
"""How long before the broker's own square-off, and before the close, the house is flat."""
CHASE_AFTER: Final = 2 * SECOND
"""An exit that rests unfilled this long is priced anew."""
TRIES_MAX: Final = 10
"""Tries in a row without a fill, after which a person is told and the pace is ``SLOW_AFTER``."""
SLOW_AFTER: Final = 15 * SECOND
SAY_AGAIN_AFTER: Final = 60 * SECOND
"""A stuck exit is said again no sooner than this."""
FRESH: Final = 5 * SECOND
"""A quote older than this prices no exit."""
NAKED_AFTER: Final = 5 * SECOND
"""How long a position with a stop in its plan may stand without one at the broker, before it is said."""
THROUGH_BP: Final = (0, 100, 200, 300, 500, 1_000)
"""How far through the opposite quote an exit is priced, step by step; ``OpenTrade.exit_step`` is the
place of the next one and begins at 1. A refusal goes back a step."""
STEP_MAX: Final = len(THROUGH_BP) - 1

_BP: Final = 10_000

Band = tuple[Price, Price]
"""The lowest and the highest price the exchange takes of an instrument today."""


class Terms(NamedTuple):
    """What an exit asks for: a limit, or the market under so much protection (``None``: the broker's)."""

    ord_type: OrdType
    price: Price | None
    protection_bp: int | None


class ExitGoals:
    """Deadlines and prices of exits on one day; no state but what an ``OpenTrade`` keeps."""

    __slots__ = ("_bands", "_broker_at", "_day", "_instruments", "_sessions")

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        sessions: Mapping[Segment, Session],
        day: dt.date,
        bands: Mapping[InstrumentId, Band],
    ) -> None:
        self._instruments = instruments
        self._sessions = sessions
        self._day = day
        self._bands = bands
        self._broker_at = {
            segment: session.close_at - _broker_before(day, segment)
            for segment, session in sessions.items()
        }

    def deadline(self, instrument: InstrumentId, reason: ExitReason, at: Instant) -> Instant:
        """Flat by when, for a position that is left from ``at`` on."""
        soon = at + LEAVE_WITHIN
        if reason is not ExitReason.SQUARE_OFF and reason is not ExitReason.EXPIRY:
            return soon
        segment = self._instruments[instrument].segment
        last = self._sessions[segment].close_at - BEFORE_THE_BROKER
        by = min(self._broker_at[segment] - BEFORE_THE_BROKER, last)
        return by if by >= soon else max(min(soon, last), at + CHASE_AFTER)

    def terms(self, side: Side, view: InstrumentView, step: int, at: Instant) -> Terms:
        """How an exit is priced now, at its ``step``."""
        through = THROUGH_BP[min(step, STEP_MAX)]
        if at - view.last_at > FRESH or view.stale:
            return Terms(OrdType.MARKET, None, self.protection(view, step))
        last, instrument = view.last_px, view.instrument
        near = (view.bid_px if side is Side.SELL else view.ask_px) or last
        reach = int(near) * through // _BP
        bands = (self._range(instrument, last), self._bands.get(instrument.id))
        tick = instrument.tick_size
        if side is Side.SELL:
            limit_px = on_tick_down(Price(int(near) - reach), tick)
            for band in bands:
                # An edge the market has left behind is no edge any more: bands move in the day.
                if band is not None and limit_px < band[0] <= near:
                    limit_px = on_tick_up(band[0], tick)
            return Terms(OrdType.LIMIT, max(limit_px, tick), None)
        limit_px = on_tick_up(Price(int(near) + reach), tick)
        for band in bands:
            if band is not None and limit_px > band[1] >= near:
                limit_px = on_tick_down(band[1], tick)
        return Terms(OrdType.LIMIT, limit_px, None)

    def protection(self, view: InstrumentView, step: int) -> int | None:
        """Market protection of a step, no wider than the exchange's price protection would take.

        Steps 0 and 1 leave it to the broker, whose own band is the narrowest.
        """
        if step <= 1:
            return None
        wanted = THROUGH_BP[min(step, STEP_MAX)]
        last = view.last_px
        band = self._range(view.instrument, last)
        if band is None or not last:
            return wanted
        return max(min(wanted, int(last - band[0]) * _BP // int(last)), 1)

    def _range(self, instrument: Instrument, last: Price) -> Band | None:
        """The exchange's limit-price protection around the last price, where a rule is known."""
        if not last:
            return None
        try:
            return limit_price_range(
                instrument.exchange,
                instrument.kind,
                last,
                self._day,
                on_index=is_index(instrument.name),
            )
        except CalendarUnknown:
            return None  # Beyond the rows nothing is known, and an exit goes out all the same.


def _broker_before(day: dt.date, segment: Segment) -> Instant:
    try:
        return square_off(day, segment.value).before_close_minutes * MINUTE
    except (CalendarUnknown, ConfigError):
        return 0


def stuck(trade: OpenTrade, at: Instant) -> bool:
    """The goal is missed, or tries enough were made: a person has to know, and the pace is slow."""
    return trade.exit_tries >= TRIES_MAX or bool(trade.exit_by and at >= trade.exit_by)


def stuck_sentence(book: Book, trade: OpenTrade, exits: list[Order], at: Instant) -> str:
    """What is open, which order works, why it does not get out, and what a person should do."""
    symbol = book.instrument
    owned = abs(book.net_qty)
    side = "long" if book.net_qty > 0 else "short"
    left = f"{book.strategy} is still {side} {owned} {symbol} ({trade.leaving})"
    goal = f"the goal is flat by {ist_clock(trade.exit_by)}"
    if trade.exit_tries >= TRIES_MAX:
        goal = f"{trade.exit_tries} tries brought no fill, {goal}"
    works = "; ".join(_works(order) for order in exits) or "no exit works now"
    why = f" The broker's last refusal: {trade.refused}." if trade.refused else ""
    wait = f" Not sent again before {ist_clock(trade.retry_at)}." if trade.retry_at > at else ""
    first = "cancel that order there first, then " if exits else ""
    return (
        f"{left}: {goal}. {works}.{why}{wait} The house goes on trying every "
        f"{SLOW_AFTER // SECOND} s. Look at {symbol} in Kite; to get out by hand, {first}close "
        f"{owned} there: the house books what it finds."
    )


def naked_sentence(book: Book, trade: OpenTrade, exits: list[Order], bare: int) -> str:
    """Why a position that should have a stop at the broker has none."""
    assert trade.stop_px is not None
    held = f"{bare} of {abs(book.net_qty)} {book.instrument} of {book.strategy}"
    doing = "; ".join(_works(order) for order in exits) or "no stop and no exit works"
    why = f" The broker's last refusal: {trade.refused}." if trade.refused else ""
    return (
        f"{held} have had no stop at the broker for {NAKED_AFTER // SECOND} s (planned at "
        f"{show_rupees(trade.stop_px)}): {doing}.{why} The house goes on trying; in Kite you can "
        "place a stop or close the position by hand."
    )


_DOES: Final = {
    OrdStatus.PENDING_NEW: "is on its way and not answered",
    OrdStatus.UNKNOWN: "was sent and not answered; it is looked up, never sent again",
    OrdStatus.PENDING_REPLACE: "is being changed",
    OrdStatus.PENDING_CANCEL: "is being withdrawn, which is not answered",
}


def _works(order: Order) -> str:
    what = "stop" if order.purpose is Purpose.STOP and order.triggered_at is None else "exit"
    at_px = f" at {show_rupees(order.price)}" if order.price else ""
    does = _DOES.get(order.status, "rests unfilled")
    named = order.order_id or order.cl_ord_id
    return f"{what} {named} ({order.side} {order.leaves_qty}{at_px}) {does}"
