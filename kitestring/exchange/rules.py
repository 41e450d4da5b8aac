"""The exchange's own judgement of an order: what a real account would be refused, and in which words.

Written apart from the house's pre-trade rules on purpose, so that each can be checked against the
other; both read the same dated rows (``market.order_rule_rows``, ``market.bands``). Judging is pure:
it looks at the order, the instrument, the timetable and the last price, and answers with a sentence,
or ``None`` if the order may pass. Margin is judged by the account.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.instants import MINUTE, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, on_tick_down, on_tick_up, rupees_text
from kitestring.domain.orders import OrdType, Product
from kitestring.domain.sessions import PhaseKind, Session
from kitestring.exchange.order_book import UNPROTECTED
from kitestring.market import order_rule_rows
from kitestring.market.bands import limit_price_range, market_protection_bp
from kitestring.market.order_rule_rows import ioc_accepted, order_types_accepted
from kitestring.market.sessions import session as dated_session

_OPTIONS: Final = (InstrumentKind.CALL, InstrumentKind.PUT)
_FUTURES_OR_OPTIONS: Final = (*_OPTIONS, InstrumentKind.FUTURE)
INDEX_NAMES: Final = frozenset(
    {"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
)
AUCTION_PHASES: Final = frozenset(
    {
        PhaseKind.AUCTION_REFERENCE,
        PhaseKind.AUCTION,
        PhaseKind.AUCTION_LIMIT_ONLY,
        PhaseKind.AUCTION_MATCH,
    }
)
PRE_OPEN_PHASES: Final = frozenset(
    {PhaseKind.PRE_OPEN, PhaseKind.PRE_OPEN_LIMIT_ONLY, PhaseKind.BUFFER}
)
_LIMIT_ONLY: Final = frozenset({PhaseKind.PRE_OPEN_LIMIT_ONLY, PhaseKind.AUCTION_LIMIT_ONLY})
_ENOUGH: Final = Price(1 << 50)
NO_PROTECTION: Final = (
    "Market orders without market protection are not allowed via API."
    " Please set market protection or use a Limit order."
)
"""Kite's own sentence, since 1 Apr 2026 (kite.trade forum 15912)."""


class OrderRules(msgspec.Struct, frozen=True, kw_only=True):
    """The order rules in force on one day, ``day``. Defaults: November 2026; see ``rules_of``.

    Limit price protection (LPP) is measured from the average of the last 30 seconds, for which the
    last price stands here. Cash shares that underlie derivatives have no fixed circuit; 10 % either
    side of the last price stands for the exchange's dynamic band, and for the operating range of
    futures without LPP (MCX, currencies, earlier days); 20 % for other shares. In the closing
    auction it is 3 % of the reference price (SEBI HO/47/11/11(3)2025-MRD-POD2/I/2765/2026).
    ``square_off_us``: how long before the end of continuous trading the broker squares off intraday
    positions and takes no fresh ones; ``None`` reads the dated rows.
    """

    day: dt.date = dt.date(2026, 11, 20)
    equity_band_bp: int = 2_000
    dynamic_band_bp: int = 1_000
    auction_band_bp: int = 300
    index_names: frozenset[str] = INDEX_NAMES
    protection_required: bool = True
    stop_market_refused_exchanges: frozenset[str] = frozenset({"BSE", "BFO"})
    stop_market_refused_for_options: bool = True
    ioc_refused_exchanges: frozenset[str] = frozenset({"MCX"})
    tag_length_max: int = 20
    modifications_max: int = 25
    slices_max: int = 10
    square_off_us: Mapping[Segment, Instant] | None = None


@lru_cache(maxsize=8)
def rules_of(day: dt.date) -> OrderRules:
    """The rules of a day as the dated rows have them; raises ``CalendarUnknown`` beyond them."""
    row = order_rule_rows.order_rules(day)
    return OrderRules(
        day=day,
        protection_required=row.market_protection_required,
        stop_market_refused_exchanges=row.stop_market_refused_exchanges,
        stop_market_refused_for_options=row.stop_market_refused_for_options,
        ioc_refused_exchanges=row.ioc_refused_exchanges,
        tag_length_max=row.tag_length_max,
        modifications_max=row.modifications_per_order_max,
        slices_max=row.slices_max,
    )


def protection_bp(rules: OrderRules, instrument: Instrument, last_px: Price) -> int:
    """The automatic market protection at a price, in basis points."""
    on_index = instrument.name in rules.index_names
    return market_protection_bp(instrument.kind, last_px, rules.day, on_index=on_index)


def protected_px(
    rules: OrderRules, instrument: Instrument, last_px: Price, asked_bp: int, *, buy: bool
) -> Price:
    """The limit that a MARKET order becomes: the last price plus or minus its protection.

    ``asked_bp`` 0 takes the automatic band; ``UNPROTECTED`` (before 1 Apr 2026) reaches as far as
    the exchange takes limits at all. Rounded to the tick inside the band, but never through the
    last price, and never below one tick.
    """
    if asked_bp == UNPROTECTED:
        low, high = price_range(rules, instrument, last_px)
        tick_size = instrument.tick_size
        return on_tick_down(high, tick_size) if buy else on_tick_up(low, tick_size)
    bp = asked_bp or protection_bp(rules, instrument, last_px)
    away = Price(int(last_px) * bp // 10_000)
    tick_size = instrument.tick_size
    if buy:
        return max(on_tick_down(last_px + away, tick_size), on_tick_up(last_px, tick_size))
    lowest = min(on_tick_up(last_px - away, tick_size), on_tick_down(last_px, tick_size))
    return max(lowest, tick_size)


def price_range(rules: OrderRules, instrument: Instrument, last_px: Price) -> tuple[Price, Price]:
    """The lowest and highest limit the exchange takes at this last price."""
    kind, tick_size = instrument.kind, instrument.tick_size
    if kind in _FUTURES_OR_OPTIONS:
        on_index = instrument.name in rules.index_names
        found = limit_price_range(instrument.exchange, kind, last_px, rules.day, on_index=on_index)
        if found is not None:
            return max(found[0], tick_size), found[1]
        if kind in _OPTIONS:
            return tick_size, _ENOUGH
        bp = rules.dynamic_band_bp
    elif instrument.segment is Segment.EQUITY_WITH_DERIVATIVES:
        bp = rules.dynamic_band_bp
    else:
        bp = rules.equity_band_bp
    return band_around(last_px, bp, tick_size)


def band_around(px: Price, bp: int, tick_size: Price) -> tuple[Price, Price]:
    """So many basis points either side of a price, not below one tick."""
    away = Price(int(px) * bp // 10_000)
    return max(px - away, tick_size), px + away


def outside_range(
    rules: OrderRules, instrument: Instrument, limit_px: Price, last_px: Price
) -> str | None:
    """Kite's words for a limit beyond the price range, which also stand for LPP."""
    return outside(price_range(rules, instrument, last_px), limit_px)


def outside(band: tuple[Price, Price], limit_px: Price) -> str | None:
    """Kite's words for a limit that lies outside a band."""
    low, high = band
    if low <= limit_px <= high:
        return None
    return (
        f"Price exceeds circuit limits. {rupees_text(limit_px)} is outside"
        f" {rupees_text(low)} - {rupees_text(high)}."
    )


def closes_at(rules: OrderRules, instrument: Instrument, session: Session) -> Instant:
    """When an instrument stops trading continuously: with its segment, or before it.

    Since 7 Dec 2026 index contracts stop at 15:30 on the day they expire
    (SEBI HO/47/11/11(3)2025-MRD-POD2/I/23843/2026).
    """
    index_contract = instrument.kind in _FUTURES_OR_OPTIONS and instrument.name in rules.index_names
    if not index_contract or instrument.expiry != session.date:
        return session.close_at
    try:
        ends = dated_session(session.date, instrument.segment, expires_today=True).close_at
    except CalendarUnknown:
        return session.close_at
    return min(session.close_at, ends) if ends > session.open_at else session.close_at


def phase_of(session: Session, at: Instant, close_at: Instant | None = None) -> PhaseKind:
    """The phase an instrument is in; ``close_at`` where it stops earlier than its segment."""
    if session.open_at <= at < (session.close_at if close_at is None else close_at):
        return PhaseKind.CONTINUOUS
    found = session.phase_at(at)
    return PhaseKind.CLOSED if found is PhaseKind.CONTINUOUS else found


def closed_to_orders(
    session: Session | None,
    at: Instant,
    ord_type: OrdType = OrdType.LIMIT,
    *,
    ioc: bool = False,
    disclosed: bool = False,
    close_at: Instant | None = None,
) -> str | None:
    """Why no such order is taken at this moment (``market.order_rule_rows``, its phases)."""
    if session is None:
        return "Markets are closed right now. There is no session for this segment today."
    phase = phase_of(session, at, close_at)
    if phase is PhaseKind.CLOSED:
        return "Markets are closed right now. Your order cannot be placed."
    accepted = order_types_accepted(phase)
    if not accepted:
        return f"Orders are not accepted in this phase of the session ({phase.value})."
    if ord_type not in accepted:
        return f"{ord_type.value} orders are not accepted in this phase of the session ({phase.value})."
    if ioc and not ioc_accepted(phase):
        return f"IOC orders are not accepted in this phase of the session ({phase.value})."
    if disclosed and phase is not PhaseKind.CONTINUOUS:
        return f"Disclosed quantity is not accepted in this phase of the session ({phase.value})."
    return None


def frozen(
    session: Session | None, at: Instant, ord_type: OrdType, close_at: Instant | None = None
) -> str | None:
    """Why a standing order can neither be changed nor withdrawn at this moment.

    Where only limits are entered, market orders stand as they are (NSE/CMTR/74466, 74969); where
    nothing is entered, nothing is changed.
    """
    if session is None:
        return None
    phase = phase_of(session, at, close_at)
    if phase is PhaseKind.CLOSED or phase is PhaseKind.CONTINUOUS:
        return None
    if not order_types_accepted(phase) or (phase in _LIMIT_ONLY and ord_type is OrdType.MARKET):
        return f"Orders cannot be changed in this phase of the session ({phase.value})."
    return None


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
    protection: int = 0,
    ioc: bool = False,
    disclosed_qty: int = 0,
    band: tuple[Price, Price] | None = None,
) -> str | None:
    """Why an order is refused whatever the account holds; ``None`` if it may pass.

    ``last_px`` 0 means nothing traded yet: limits pass unmeasured, market orders are refused.
    ``protection`` is ``UNPROTECTED`` where the client asked for none. ``band`` replaces the ordinary
    price range (in an auction).
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
    if disclosed_qty:
        # Cash segment only; at least a tenth of the order (NSE; Kite's order documentation).
        if instrument.kind is not InstrumentKind.EQUITY:
            return "Disclosed quantity is allowed for equity only."
        if not qty <= disclosed_qty * 10 <= qty * 10:
            return "Disclosed quantity should be at least 10 % of the quantity and not above it."
    if ioc and instrument.exchange in rules.ioc_refused_exchanges:
        return f"IOC orders are not allowed on {instrument.exchange}."
    carried = Product.CNC if instrument.kind is InstrumentKind.EQUITY else Product.NRML
    if product is not Product.MIS and product is not carried:
        return f"Product {product.value} is not available for {instrument.symbol}."
    stops = ord_type is OrdType.SL or ord_type is OrdType.SL_M
    if ord_type is OrdType.SL_M:
        if instrument.exchange in rules.stop_market_refused_exchanges:
            return (
                f"SL-M orders are not allowed on {instrument.exchange}. Use SL with a limit price."
            )
        if instrument.kind in _OPTIONS and rules.stop_market_refused_for_options:
            return "SL-M orders are blocked for options. Use SL with a limit price."
    market = ord_type is OrdType.MARKET or ord_type is OrdType.SL_M
    if market and protection == UNPROTECTED and rules.protection_required:
        return NO_PROTECTION
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
        if band is not None:
            return outside(band, limit_px)
        return outside_range(rules, instrument, limit_px, last_px)
    return None


def square_off_at(rules: OrderRules, session: Session) -> Instant:
    """When the broker squares off this segment's intraday positions, and takes no fresh ones."""
    chosen = rules.square_off_us
    if chosen is not None:
        return session.close_at - chosen.get(session.segment, 0)
    minutes = order_rule_rows.square_off(rules.day, session.segment).before_close_minutes
    return session.close_at - minutes * MINUTE


def intraday_blocked(rules: OrderRules, session: Session, at: Instant) -> str | None:
    """Why no *fresh* intraday position may be opened at this moment; exits are not asked."""
    if at < square_off_at(rules, session):
        return None
    return "Intraday (MIS) orders are blocked after the square-off time. Use NRML or CNC."
