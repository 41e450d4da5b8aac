"""The exchange's own judgement of an order: what a real account would be refused, and in which words.

Written apart from the house's pre-trade rules on purpose, so that each can be checked against the
other. Judging is pure: it looks at the order, the instrument, the timetable and the last price,
and answers with a sentence, or ``None`` if the order may pass. Margin is judged by the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, on_tick_down, on_tick_up, price, rupees_text
from kitestring.domain.orders import OrdType, Product
from kitestring.domain.sessions import PhaseKind, Session

Band = tuple[Price | None, int]
"""Below this price (``None``: above all others), this many basis points."""

_OPTIONS: Final = (InstrumentKind.CALL, InstrumentKind.PUT)
INDEX_NAMES: Final = frozenset(
    {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
)


class OrderRules(msgspec.Struct, frozen=True, kw_only=True):
    """The order rules in force on one day. Defaults: November 2026.

    Protection bands: Zerodha's support page on market price protection. Limit price protection
    (LPP): NSE's LPP page; its reference is the average of the last 30 seconds, for which the last
    price stands here. Cash shares that underlie derivatives have no fixed circuit; 10 % either
    side of the last price stands for the exchange's dynamic band, 20 % for other shares.
    ``mis_block_us``: how long before the end of continuous trading no intraday position may be
    opened (Zerodha's own square-off: 15:20 shares, 15:25 derivatives of a 15:40 close).
    """

    protection: tuple[Band, ...] = ((price(100), 200), (price(500), 100), (None, 50))
    option_protection: tuple[Band, ...] = (
        (price(10), 500),
        (price(100), 300),
        (price(500), 200),
        (None, 100),
    )
    option_lpp_bp: int = 4_000
    option_lpp_floor: Price = price(20)
    option_lpp_floor_until: Price = price(50)
    index_future_lpp_bp: int = 200
    index_future_lpp_floor: Price = price(200)
    index_future_lpp_floor_until: Price = price(10_000)
    stock_future_lpp_bp: int = 300
    stock_future_lpp_floor: Price = price("1.50")
    stock_future_lpp_floor_until: Price = price(50)
    equity_band_bp: int = 2_000
    derivative_equity_band_bp: int = 1_000
    index_names: frozenset[str] = INDEX_NAMES
    stop_market_exchanges: frozenset[str] = frozenset({"NSE", "NFO"})
    """Where SL-M exists at all: BSE has withdrawn it."""
    stop_market_options: bool = False
    """NSE refuses SL-M in options since 27 Sep 2021."""
    tag_length_max: int = 20
    modifications_max: int = 25
    slices_max: int = 10
    mis_block_us: Mapping[Segment, Instant] = msgspec.field(
        default_factory=lambda: {
            Segment.EQUITY: 10 * MINUTE,
            Segment.EQUITY_WITH_DERIVATIVES: 3 * MINUTE,
            Segment.FUTURES: 15 * MINUTE,
            Segment.OPTIONS: 15 * MINUTE,
        }
    )


def protection_bp(rules: OrderRules, instrument: Instrument, last_px: Price) -> int:
    """The automatic market protection at a price, in basis points."""
    bands = rules.option_protection if instrument.kind in _OPTIONS else rules.protection
    for below, bp in bands:
        if below is None or last_px < below:
            return bp
    raise AssertionError("the last band has no upper end")


def protected_px(
    rules: OrderRules, instrument: Instrument, last_px: Price, asked_bp: int, *, buy: bool
) -> Price:
    """The limit that a MARKET order becomes: the last price plus or minus its protection.

    ``asked_bp`` 0 takes the automatic band. Rounded to the tick inside the band, but never
    through the last price, and never below one tick.
    """
    bp = asked_bp or protection_bp(rules, instrument, last_px)
    away = Price(int(last_px) * bp // 10_000)
    tick_size = instrument.tick_size
    if buy:
        return max(on_tick_down(last_px + away, tick_size), on_tick_up(last_px, tick_size))
    lowest = min(on_tick_up(last_px - away, tick_size), on_tick_down(last_px, tick_size))
    return max(lowest, tick_size)


def price_range(rules: OrderRules, instrument: Instrument, last_px: Price) -> tuple[Price, Price]:
    """The lowest and highest limit the exchange takes at this last price."""
    kind = instrument.kind
    if kind in _OPTIONS:
        bp, floor = rules.option_lpp_bp, rules.option_lpp_floor
        until = rules.option_lpp_floor_until
    elif kind is InstrumentKind.FUTURE and instrument.name in rules.index_names:
        bp, floor = rules.index_future_lpp_bp, rules.index_future_lpp_floor
        until = rules.index_future_lpp_floor_until
    elif kind is InstrumentKind.FUTURE:
        bp, floor = rules.stock_future_lpp_bp, rules.stock_future_lpp_floor
        until = rules.stock_future_lpp_floor_until
    else:
        with_derivatives = instrument.segment is Segment.EQUITY_WITH_DERIVATIVES
        bp = rules.derivative_equity_band_bp if with_derivatives else rules.equity_band_bp
        floor = until = Price(0)
    away = floor if last_px <= until else Price(int(last_px) * bp // 10_000)
    return max(last_px - away, instrument.tick_size), last_px + away


def outside_range(
    rules: OrderRules, instrument: Instrument, limit_px: Price, last_px: Price
) -> str | None:
    """Kite's words for a limit beyond the price range, which also stand for LPP."""
    low, high = price_range(rules, instrument, last_px)
    if low <= limit_px <= high:
        return None
    return (
        f"Price exceeds circuit limits. {rupees_text(limit_px)} is outside"
        f" {rupees_text(low)} - {rupees_text(high)}."
    )


def closed_to_orders(session: Session | None, at: Instant) -> str | None:
    """Why no order is taken at this moment; only continuous trading is matched here."""
    if session is None:
        return "Markets are closed right now. There is no session for this segment today."
    if session.open_at <= at < session.close_at:
        return None
    phase = session.phase_at(at)
    if phase is PhaseKind.CLOSED:
        return "Markets are closed right now. Your order cannot be placed."
    return f"Orders are not accepted in this phase of the session ({phase.value})."


def judge_instrument(instrument: Instrument | None, session: Session | None) -> str | None:
    """Why nobody can trade this instrument today."""
    if instrument is None:
        return (
            "The instrument you are placing an order for has either expired or does not exist."
            " Please check the trading symbol."
        )
    if not instrument.tradable:
        return f"{instrument.symbol} is an index and cannot be traded."
    if session and instrument.expiry and session.date > instrument.expiry:
        return (
            "The instrument you are placing an order for has either expired or does not exist."
            f" {instrument.symbol} expired on {instrument.expiry}."
        )
    return None


def judge_order(
    rules: OrderRules,
    instrument: Instrument,
    last_px: Price,
    *,
    tag: str,
    buy: bool,
    qty: int,
    ord_type: OrdType,
    product: Product,
    limit_px: Price,
    stop_px: Price,
) -> str | None:
    """Why an order is refused whatever the account holds; ``None`` if it may pass.

    ``last_px`` 0 means nothing traded yet: limits pass unmeasured, market orders are refused.
    """
    if len(tag) > rules.tag_length_max:
        return f"Invalid `tag`. It may have at most {rules.tag_length_max} characters."
    if qty <= 0:
        return "Quantity should be greater than zero."
    if qty % instrument.lot_size:
        return f"Quantity should be in multiples of {instrument.lot_size}. You asked for {qty}."
    if instrument.freeze_qty and qty > instrument.freeze_qty:
        return (
            f"Quantity {qty} is above the freeze quantity of {instrument.freeze_qty}."
            " Place it in smaller orders."
        )
    carried = Product.CNC if instrument.kind is InstrumentKind.EQUITY else Product.NRML
    if product is not Product.MIS and product is not carried:
        return f"Product {product.value} is not available for {instrument.symbol}."
    stops = ord_type is OrdType.SL or ord_type is OrdType.SL_M
    if ord_type is OrdType.SL_M:
        if instrument.exchange not in rules.stop_market_exchanges:
            return (
                f"SL-M orders are not allowed on {instrument.exchange}. Use SL with a limit price."
            )
        if instrument.kind in _OPTIONS and not rules.stop_market_options:
            return "SL-M orders are blocked for options. Use SL with a limit price."
    tick_size = instrument.tick_size
    if stops:
        if stop_px <= Price(0):
            return "Trigger price is required for SL and SL-M orders."
        if stop_px % tick_size:
            return f"Tick size for this instrument is {rupees_text(tick_size)}. Check the trigger price."
    if ord_type is OrdType.LIMIT or ord_type is OrdType.SL:
        if limit_px <= Price(0):
            return "Price is required for LIMIT and SL orders."
        if limit_px % tick_size:
            return f"Tick size for this instrument is {rupees_text(tick_size)}. Check the price."
    if last_px <= Price(0):
        if ord_type is OrdType.MARKET:
            return "Market orders are blocked until the instrument has traded today. Use LIMIT."
        return None
    if stops:
        if buy and stop_px <= last_px:
            return (
                "Trigger price for stoploss buy orders should be higher than the last traded"
                f" price ({rupees_text(last_px)})."
            )
        if not buy and stop_px >= last_px:
            return (
                "Trigger price for stoploss sell orders should be lower than the last traded"
                f" price ({rupees_text(last_px)})."
            )
    if ord_type is OrdType.SL:
        if buy and limit_px < stop_px:
            return "Trigger price for stoploss buy orders cannot be above the limit price."
        if not buy and limit_px > stop_px:
            return "Trigger price for stoploss sell orders cannot be below the limit price."
    if ord_type is OrdType.LIMIT:
        # A limit far through the market is as dangerous as one far away: both are refused.
        return outside_range(rules, instrument, limit_px, last_px)
    return None


def intraday_blocked(
    rules: OrderRules, instrument: Instrument, session: Session, at: Instant
) -> str | None:
    """Why no *fresh* intraday position may be opened at this moment; exits are not asked."""
    before = rules.mis_block_us.get(instrument.segment, 0)
    if at < session.close_at - before:
        return None
    return "Intraday (MIS) orders are blocked after the square-off time. Use NRML or CNC."
