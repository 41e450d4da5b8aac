"""Our own no: which orders the exchange or Kite would refuse, judged before they are sent.

Written from the circulars and Kite's pages, independently of ``exchange.rules`` (theirs); the two
are checked against the same literal vectors and against each other. A refusal is a value.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price, on_tick_down, on_tick_up, show_rupees
from kitestring.domain.orders import OrderIntent, OrdType, Product, Side, TimeInForce
from kitestring.domain.sessions import PhaseKind
from kitestring.market.order_rule_rows import ioc_accepted, order_types_accepted

SLICES_MAX: Final = 10
"""Kite slices an order above the freeze quantity into at most ten (kite.trade forum 15912)."""
BASIS: Final = 10_000
STOP_TICKS_MIN: Final = 5
"""A protective stop's limit lies at least this many ticks through its trigger."""

_OPTIONS: Final = frozenset({InstrumentKind.CALL, InstrumentKind.PUT})
_BSE: Final = frozenset({"BSE", "BFO"})
_CASH: Final = frozenset({"NSE", "BSE"})

# How far through its trigger a protective stop may trade, by kind, in basis points. NSE checks the
# limit price of a stop against its price protection when the trigger releases it (index futures
# 2 %, stock futures 3 %, options 40 %), so each of these stays well inside; BSE allows 2 % and 20 %.
_STOP_PROTECTION_BP: Final = MappingProxyType(
    {
        InstrumentKind.EQUITY: 100,
        InstrumentKind.FUTURE: 50,
        InstrumentKind.CALL: 1_000,
        InstrumentKind.PUT: 1_000,
    }
)


class Denial(NamedTuple):
    """Why an order must not be sent: a code for machines and one sentence for people."""

    code: str
    sentence: str


def judge(
    intent: OrderIntent,
    instrument: Instrument,
    phase: PhaseKind,
    *,
    band_low: Price | None = None,
    band_high: Price | None = None,
) -> Denial | None:
    """The first rule an order breaks, or ``None``. The band is the day's legal price range, if known."""
    return (
        quantity_denial(intent.order_qty, instrument)
        or freeze_denial(intent.order_qty, instrument)
        or product_denial(intent.product, instrument)
        or kind_denial(intent, instrument)
        or price_denial(intent, instrument, band_low, band_high)
        or phase_denial(intent, phase)
    )


def quantity_denial(order_qty: int, instrument: Instrument) -> Denial | None:
    """Only a tradable instrument, and only whole lots."""
    if not instrument.tradable:
        return Denial("NOT_TRADABLE", f"{instrument.symbol} is an index and cannot be traded.")
    if order_qty <= 0:
        return Denial("LOT", f"{order_qty} {instrument.symbol} is no quantity to trade.")
    if order_qty % instrument.lot_size:
        return Denial(
            "LOT",
            f"{order_qty} {instrument.symbol} is not whole lots of {instrument.lot_size}.",
        )
    return None


def freeze_denial(order_qty: int, instrument: Instrument) -> Denial | None:
    """No more than ten slices of the freeze quantity; one order above it is cut by ``slices``."""
    largest = largest_order(instrument)
    if largest is not None and order_qty > largest:
        return Denial(
            "FREEZE",
            f"{order_qty} {instrument.symbol} needs more than {SLICES_MAX} orders of at most "
            f"{instrument.freeze_qty}; the most is {largest}.",
        )
    return None


def product_denial(product: Product, instrument: Instrument) -> Denial | None:
    """CNC is delivery of shares, NRML carries derivatives; MIS is allowed in both."""
    cash = instrument.exchange in _CASH
    if (product is Product.CNC and not cash) or (product is Product.NRML and cash):
        return Denial("PRODUCT", f"{product} does not exist on {instrument.exchange}.")
    return None


def kind_denial(intent: OrderIntent, instrument: Instrument) -> Denial | None:
    """Each order kind with exactly the prices it needs, protection where it has none of its own.

    MARKET and SL-M without protection are refused through the API since 1 Apr 2026 (forum 15912);
    ``market_protection_bp=None`` asks for the broker's own band and is fine, 0 is not.
    """
    kind = intent.ord_type
    if kind is OrdType.MARKET or kind is OrdType.SL_M:
        protection = intent.market_protection_bp
        if protection is not None and not 0 < protection <= BASIS:
            return Denial(
                "PROTECTION",
                f"a {kind} order needs a market protection above 0 and up to 100 %, not "
                f"{protection / 100:g} %.",
            )
        if intent.price is not None:
            return Denial("PRICE", f"a {kind} order has no limit price.")
    elif intent.price is None:
        return Denial("PRICE", f"a {kind} order needs a limit price.")
    if kind is OrdType.SL or kind is OrdType.SL_M:
        if intent.stop_px is None:
            return Denial("PRICE", f"a {kind} order needs a trigger price.")
        if intent.time_in_force is TimeInForce.IOC:
            return Denial("ORDER_KIND", "a stop order waits and cannot be IOC.")
    elif intent.stop_px is not None:
        return Denial("PRICE", f"a {kind} order has no trigger price.")
    if kind is OrdType.SL_M:
        # Withdrawn for options on 27 Sep 2021 and on BSE in every segment.
        if instrument.kind in _OPTIONS:
            return Denial("ORDER_KIND", "SL-M does not exist for options; use SL with a limit.")
        if instrument.exchange in _BSE:
            return Denial("ORDER_KIND", "SL-M does not exist on BSE; use SL with a limit.")
    return None


def price_denial(
    intent: OrderIntent, instrument: Instrument, band_low: Price | None, band_high: Price | None
) -> Denial | None:
    """Prices above zero, on the tick, inside the band, a stop's limit on the far side of its trigger."""
    for px, what in ((intent.price, "limit"), (intent.stop_px, "trigger")):
        if px is None:
            continue
        if px <= Price(0):
            return Denial("PRICE", f"a {what} price of {show_rupees(px)} is no price.")
        if px % instrument.tick_size:
            return Denial(
                "TICK",
                f"a {what} price of {show_rupees(px)} is off the tick of "
                f"{show_rupees(instrument.tick_size)}.",
            )
        if (band_low is not None and px < band_low) or (band_high is not None and px > band_high):
            low = "—" if band_low is None else show_rupees(band_low)
            high = "—" if band_high is None else show_rupees(band_high)
            return Denial(
                "PRICE_BAND",
                f"a {what} price of {show_rupees(px)} is outside the day's band {low} to {high}.",
            )
    if intent.price is not None and intent.stop_px is not None:
        beyond = int(intent.price) - int(intent.stop_px)
        if beyond * intent.side.sign < 0:
            word = "below" if intent.side is Side.BUY else "above"
            return Denial(
                "STOP_LIMIT_SIDE",
                f"a {intent.side} stop cannot have its limit {show_rupees(intent.price)} {word} "
                f"its trigger {show_rupees(intent.stop_px)}.",
            )
        return _bse_gap_denial(instrument, intent.stop_px, Price(abs(beyond)))
    return None


def _bse_gap_denial(instrument: Instrument, trigger: Price, gap: Price) -> Denial | None:
    """BSE's "stop limit order price range check" (BSE 20260114-28, from 9 Feb 2026).

    Futures 2 % of the trigger (₹200 up to 10,000), options 20 % (₹10 up to 50).
    """
    if instrument.exchange != "BFO":
        return None
    if instrument.kind is InstrumentKind.FUTURE:
        most = int(trigger) // 50 if int(trigger) > 100_000_000 else 2_000_000
    else:
        most = int(trigger) // 5 if int(trigger) > 500_000 else 100_000
    if int(gap) > most:
        return Denial(
            "STOP_LIMIT_GAP",
            f"BSE allows a stop's limit {show_rupees(Price(most))} from its trigger, not "
            f"{show_rupees(gap)}.",
        )
    return None


def phase_denial(intent: OrderIntent, phase: PhaseKind) -> Denial | None:
    """What the exchange takes at this time of day (``market.order_rule_rows``, its phases)."""
    if intent.ord_type not in order_types_accepted(phase):
        return Denial("PHASE", f"the exchange takes no {intent.ord_type} order now: {phase}.")
    if intent.time_in_force is TimeInForce.IOC and not ioc_accepted(phase):
        return Denial("PHASE", f"the exchange takes no IOC order now: {phase}.")
    return None


def largest_order(instrument: Instrument, slices_max: int = SLICES_MAX) -> int | None:
    """The most one intent may ask for in that many slices; ``None`` where there is no freeze."""
    if not instrument.freeze_qty:
        return None
    return slices_max * (instrument.freeze_qty // instrument.lot_size * instrument.lot_size)


def slices(qty: int, freeze: int, lot: int) -> list[int]:
    """Cut a quantity into orders the exchange takes: whole lots, none above the freeze quantity.

    ``freeze`` 0 means no limit. Risk keeps an entry to ten; an exit is cut into as many as it
    needs, for a position carried over a lowered freeze quantity must still get out. Where the
    freeze is below one lot the numbers are wrong and the order stays whole: theirs to judge.
    """
    each = freeze // lot * lot
    if each == 0 or qty <= freeze:
        return [qty]
    full, rest = divmod(qty, each)
    return [each] * full + ([rest] if rest else [])


def stop_order_shape(
    instrument: Instrument, side: Side, stop_px: Price, protection_bp: int | None = None
) -> tuple[OrdType, Price, Price]:
    """The protective stop to rest at the broker: ``(SL, limit price, trigger price)``.

    Always SL, never SL-M, which half the segments refuse. The trigger goes to the tick that fires
    sooner; the limit lies ``protection_bp`` through it (default: cash 1 %, futures 0.5 %, options
    10 %), at least five ticks, and never below one tick. Past the limit a gap leaves it resting:
    the house's own exit must then act.
    """
    tick = instrument.tick_size
    bp = _STOP_PROTECTION_BP[instrument.kind] if protection_bp is None else protection_bp
    assert bp > 0
    if side is Side.SELL:
        trigger = max(on_tick_up(stop_px, tick), tick)
        through = max(int(trigger) * bp // BASIS, STOP_TICKS_MIN * int(tick))
        limit = on_tick_down(Price(int(trigger) - through), tick)
        return OrdType.SL, max(limit, tick), trigger
    trigger = max(on_tick_down(stop_px, tick), tick)
    through = max(int(trigger) * bp // BASIS, STOP_TICKS_MIN * int(tick))
    return OrdType.SL, on_tick_up(Price(int(trigger) + through), tick), trigger
