"""How much to trade: what the stop would cost, cut to what every rupee limit still has room for.

The rupees at risk in one unit are the distance from the decision price to the stop plus one spread
of the quote, for the slippage of getting out; without a quote, the distance alone. Quantities are
whole lots, rounded down: the quantity times the distance never exceeds the risk of one trade.
A fixed number of lots is cut to the same limit when the trade has a stop; without one it is bound
by the exposure limits only.
"""

from __future__ import annotations

from typing import NamedTuple

from kitestring.core.order_rules import SLICES_MAX, largest_order
from kitestring.core.risk_limits import Limits, sent_since
from kitestring.core.risk_state import EntryRequest, RiskState, Standing
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.orders import Side


class Size(NamedTuple):
    """``lots`` to open of the ``asked`` ones; ``code`` and ``sentence`` say what cut it, if anything."""

    lots: int
    asked: int
    code: str = ""
    sentence: str = ""


def wanted(request: EntryRequest, budget: Money) -> Size:
    """The lots a trade should have by its own risk, before the account is looked at."""
    fixed = request.settings.lots
    stop_px = request.stop_px
    if stop_px is None:
        if fixed is None:
            return Size(
                0,
                0,
                "NO_STOP",
                f"{request.settings.name} gave no stop, so {request.instrument.symbol} cannot be "
                f"sized; give the signal a stop, or the strategy fixed lots.",
            )
        return Size(fixed, fixed)
    distance = (int(request.decision_px) - int(stop_px)) * request.side.sign
    if distance <= 0:
        where = "below" if request.side is Side.BUY else "above"
        return Size(
            0,
            0,
            "STOP_SIDE",
            f"the stop {show_rupees(stop_px)} of a {request.side} must lie {where} the price "
            f"{show_rupees(request.decision_px)}.",
        )
    if request.bid_px and request.ask_px > request.bid_px:
        distance += int(request.ask_px) - int(request.bid_px)
    instrument = request.instrument
    lot_risk = distance * instrument.lot_size * instrument.multiplier
    fits = int(budget) // lot_risk
    if fits == 0:
        return Size(
            0,
            fixed or 0,
            "TOO_SMALL",
            f"one lot risks {_rupees(Money(lot_risk))}, your limit is {_rupees(budget)}",
        )
    if fixed is None:
        return Size(fits, fits)
    if fixed <= fits:
        return Size(fixed, fixed)
    return Size(
        fits,
        fixed,
        "PER_TRADE_RISK",
        f"{fixed} lots would risk {_rupees(Money(lot_risk * fixed))}, your limit is "
        f"{_rupees(budget)}; {fits} fit.",
    )


def fitted(
    size: Size, request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> Size:
    """Cut a wanted size to the room left by exposure, margin and freeze; 0 lots is a refusal."""
    instrument = request.instrument
    lots = size.lots
    lot_value = int(request.decision_px) * instrument.lot_size * instrument.multiplier
    relief = int(request.decision_px) * request.closes_qty * instrument.multiplier
    code = why = ""
    used = most = Money(0)
    if limits.gross is not None:
        held = max(0, int(standing.gross) - relief)
        if held + lots * lot_value > int(limits.gross):
            lots = max(0, (int(limits.gross) - held) // lot_value)
            code, why, used, most = "GROSS_EXPOSURE", "gross exposure", Money(held), limits.gross
    if limits.net is not None:
        held = int(standing.net) * request.side.sign + relief
        if held + lots * lot_value > int(limits.net):
            lots = max(0, (int(limits.net) - held) // lot_value)
            code, why, used, most = "NET_EXPOSURE", "net exposure", Money(held), limits.net
    if limits.symbol_exposure is not None:
        held = max(0, int(standing.symbol_worst) - relief)
        if held + lots * lot_value > int(limits.symbol_exposure):
            lots = max(0, (int(limits.symbol_exposure) - held) // lot_value)
            code, why, used = "SYMBOL_EXPOSURE", f"exposure in {instrument.symbol}", Money(held)
            most = limits.symbol_exposure
    cash, margin = standing.available_cash, standing.margin_per_unit
    if cash is not None and margin is not None:
        lot_margin = int(margin) * instrument.lot_size
        if lots * lot_margin > int(cash):
            lots = max(0, int(cash) // lot_margin)
            code, lot_value, most = "MARGIN", lot_margin, cash
    if code:
        asked = (
            f"{size.lots} lots of {instrument.symbol} need {_rupees(Money(size.lots * lot_value))}"
        )
        room = (
            f"margin, available is {_rupees(most)}"
            if code == "MARGIN"
            else f"on top of {_rupees(used)} {why}, the limit is {_rupees(most)}"
        )
        size = Size(lots, size.asked, code, f"{asked} {room}; {lots or 'none'} fit.")
    if instrument.freeze_qty and lots:
        return _frozen(size, request, standing, limits, state)
    return size


def _frozen(
    size: Size, request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> Size:
    """Cut to as many slices of the freeze quantity as the order budgets have left, ten at most."""
    instrument = request.instrument
    order_qty = request.closes_qty + size.lots * instrument.lot_size
    if order_qty <= instrument.freeze_qty:
        return size
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
