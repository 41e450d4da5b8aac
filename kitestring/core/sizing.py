"""How much to trade: what the stop would cost, cut to what every rupee limit still has room for.

The rupees at risk in one unit are the distance from the decision price to the stop plus one spread
of the quote, for the slippage of getting out; without a quote, the distance alone. Quantities are
whole lots, rounded down: the quantity times the distance never exceeds the risk of one trade.
A fixed number of lots is cut to the same limit when the trade has a stop; without one it is bound
by the exposure limits only.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.core.order_rules import SLICES_MAX, largest_order
from kitestring.core.risk_limits import Limits, sent_since
from kitestring.core.risk_state import EntryRequest, RiskState, Standing
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import Money, Price, show_rupees
from kitestring.domain.orders import Side

BUY: Final = Side.BUY
"""A member of an enum is looked up slowly in Python 3.11; a name of the module is not."""
NOTHING: Final = Price(0)
NO_RUPEES: Final = Money(0)


class Size(msgspec.Struct, frozen=True, gc=False):
    """``lots`` to open of the ``asked`` ones; ``code`` and ``sentence`` say what cut it, if anything."""

    lots: int
    asked: int
    code: str = ""
    sentence: str = ""


def wanted(request: EntryRequest, budget: Money) -> Size:
    """The lots a trade should have by its own risk, before the account is looked at."""
    fixed, stop_px, instrument = request.settings.lots, request.stop_px, request.instrument
    if stop_px is None:
        if fixed is None:
            return Size(
                0,
                0,
                "NO_STOP",
                f"{request.settings.name} gave no stop, so {instrument.symbol} cannot be sized; "
                f"give the signal a stop, or the strategy fixed lots.",
            )
        return Size(fixed, fixed)
    bid_px, ask_px = request.bid_px, request.ask_px
    buying = request.side is BUY
    distance = request.decision_px - stop_px if buying else stop_px - request.decision_px
    if distance <= NOTHING:
        where = "below" if buying else "above"
        return Size(
            0,
            0,
            "STOP_SIDE",
            f"the stop {show_rupees(stop_px)} of a {request.side} must lie {where} the price "
            f"{show_rupees(request.decision_px)}.",
        )
    if bid_px and ask_px > bid_px:
        distance = distance + (ask_px - bid_px)
    lot_risk = distance * (instrument.lot_size * instrument.multiplier)
    fits = int(budget) // int(lot_risk)
    if fits == 0:
        return Size(
            0,
            fixed or 0,
            "TOO_SMALL",
            f"one lot risks {_rupees(lot_risk)}, your limit is {_rupees(budget)}",
        )
    if fixed is None:
        return Size(fits, fits)
    if fixed <= fits:
        return Size(fixed, fixed)
    return Size(
        fits,
        fixed,
        "PER_TRADE_RISK",
        f"{fixed} lots would risk {_rupees(lot_risk * fixed)}, your limit is {_rupees(budget)}; "
        f"{fits} fit.",
    )


def fitted(
    size: Size, request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> Size:
    """Cut a wanted size to the room left by exposure, margin and freeze; 0 lots is a refusal.

    What the order closes first gives its room back: both happen in one order, the closing first.
    """
    instrument, closes = request.instrument, request.closes_qty
    lots = size.lots
    unit = request.decision_px * instrument.multiplier
    lot_value = need = unit * instrument.lot_size
    asked_value = lot_value * lots
    relief = unit * closes if closes else NO_RUPEES
    gross, net, symbol = limits.gross, limits.net, limits.symbol_exposure
    code, why, used, most = "", "", NO_RUPEES, NO_RUPEES
    if gross is not None:
        held = max(standing.gross - relief, NO_RUPEES) if closes else standing.gross
        if held + asked_value > gross:
            lots = _room(gross - held, lot_value, lots)
            code, why, used, most = "GROSS_EXPOSURE", "gross exposure", held, gross
    if net is not None:
        held = relief + standing.net if request.side is BUY else relief - standing.net
        if held + lot_value * lots > net:
            lots = _room(net - held, lot_value, lots)
            code, why, used, most = "NET_EXPOSURE", "net exposure", held, net
    if symbol is not None:
        held = standing.symbol_worst
        if closes:
            held = max(held - relief, NO_RUPEES)
        if held + lot_value * lots > symbol:
            lots = _room(symbol - held, lot_value, lots)
            code, why = "SYMBOL_EXPOSURE", f"exposure in {instrument.symbol}"
            used, most = held, symbol
    cash, margin = standing.available_cash, standing.margin_per_unit
    if cash is not None and margin is not None and margin * (instrument.lot_size * lots) > cash:
        need, most = margin * instrument.lot_size, cash
        lots = _room(cash, need, lots)
        code = "MARGIN"
    if code:
        asked = f"{size.lots} lots of {instrument.symbol} need {_rupees(need * size.lots)}"
        room = (
            f"of margin, {_rupees(most)} is there"
            if code == "MARGIN"
            else f"on top of {_rupees(used)} {why}, the limit is {_rupees(most)}"
        )
        size = Size(lots, size.asked, code, f"{asked} {room}; {lots or 'none'} fit.")
    freeze = instrument.freeze_qty
    if freeze and closes + lots * instrument.lot_size > freeze:
        return _frozen(size, request, standing, limits, state)
    return size


def _room(left: Money, each: Money, lots: int) -> int:
    """How many of the lots fit into the rupees left."""
    return max(0, min(lots, int(left) // int(each)))


def _frozen(
    size: Size, request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> Size:
    """Cut to as many slices of the freeze quantity as the order budgets have left, ten at most."""
    instrument = request.instrument
    order_qty = request.closes_qty + size.lots * instrument.lot_size
    slices_max = SLICES_MAX
    recent = state.recent_orders
    if limits.entries_per_second is not None:
        sent = sent_since(recent, standing.at - SECOND)
        slices_max = min(slices_max, limits.entries_per_second - sent)
    if limits.entries_per_minute is not None:
        sent = sent_since(recent, standing.at - MINUTE)
        slices_max = min(slices_max, limits.entries_per_minute - sent)
    if limits.entries_per_day is not None:
        slices_max = min(slices_max, limits.entries_per_day - state.orders_today)
    largest = largest_order(instrument, max(0, slices_max))
    assert largest is not None
    if order_qty <= largest:
        return size
    lots = max(0, (largest - request.closes_qty) // instrument.lot_size)
    return Size(
        lots,
        size.asked,
        "FREEZE",
        f"{order_qty} {instrument.symbol} is more than {slices_max} orders of at most "
        f"{instrument.freeze_qty}; {lots or 'no'} lots fit.",
    )


def _rupees(amount: Money) -> str:
    """Rupees without paise where there are none."""
    return show_rupees(amount).removesuffix(".00")
