"""Every limit of the house in rupees and counts, and the small function that asks each of them.

A limit that is set must be computable: ``resolve`` turns fractions into rupees once, at the start,
and refuses the day otherwise. Each check answers ``None`` (inside the limit) or the sentence a
person reads; its place in ``ENTRY_LIMITS`` is the order in which the checks are asked.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from kitestring.core.risk_state import EntryRequest, RiskState, Standing, entry_key
from kitestring.core.settings import RiskSettings
from kitestring.core.strategy_limits import (
    reentries_left,
    signal_fresh,
    strategy_loss_left,
    waited,
)
from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import DAY, IST_OFFSET, MINUTE, SECOND, Instant, ist_clock
from kitestring.domain.money import Money, Price, share_of, show_rupees

ENTRY_SHARE: Final = (4, 5)
"""Entries may use this much of each order budget; the rest is kept for exits."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The settings of risk as whole rupees, counts and microseconds; ``None`` is off."""

    capital: Money
    per_trade: Money
    per_trade_pct: float
    daily_loss: Money | None
    drawdown: Money | None
    symbol_loss: Money | None
    open_positions: int | None
    working_orders: int | None
    gross: Money | None
    net: Money | None
    symbol_exposure: Money | None
    orders_per_second: int | None
    orders_per_minute: int | None
    orders_per_day: int | None
    entries_per_second: int | None
    """The share of the budget above that entries may use; likewise the next two."""
    entries_per_minute: int | None
    entries_per_day: int | None
    trades_per_strategy: int | None
    trades_per_symbol: int | None
    loss_streak: int | None
    cooldown: int
    refusals: int | None
    reference_age: int
    stale_after: int
    duplicate_window: int
    spread_bp: int | None


def resolve(settings: RiskSettings, capital: Money) -> Limits:
    """Turn the settings into rupees; raises ``ConfigError`` for a limit that cannot be computed."""
    if capital <= Money(0):
        raise ConfigError(
            f"capital is {show_rupees(capital)}, so no limit of risk can be computed.",
            do="set trading.paper_capital to rupees above zero, such as 1000000",
        )
    return Limits(
        capital=capital,
        per_trade=_per_trade(settings, capital),
        per_trade_pct=settings.per_trade_risk_pct,
        daily_loss=_share("max_daily_loss_pct", settings.max_daily_loss_pct, capital),
        drawdown=_share("max_drawdown_pct", settings.max_drawdown_pct, capital),
        symbol_loss=_share("max_symbol_loss_pct", settings.max_symbol_loss_pct, capital),
        open_positions=_count("max_open_positions", settings.max_open_positions),
        working_orders=_count("max_working_orders", settings.max_working_orders),
        gross=_multiple("max_gross_exposure_x", settings.max_gross_exposure_x, capital),
        net=_multiple("max_net_exposure_x", settings.max_net_exposure_x, capital),
        symbol_exposure=_multiple("max_symbol_exposure_x", settings.max_symbol_exposure_x, capital),
        orders_per_second=_count("max_orders_per_second", settings.max_orders_per_second),
        orders_per_minute=_count("max_orders_per_minute", settings.max_orders_per_minute),
        orders_per_day=_count("max_orders_per_day", settings.max_orders_per_day),
        entries_per_second=entry_budget(settings.max_orders_per_second),
        entries_per_minute=entry_budget(settings.max_orders_per_minute),
        entries_per_day=entry_budget(settings.max_orders_per_day),
        trades_per_strategy=_count("max_trades_per_strategy", settings.max_trades_per_strategy),
        trades_per_symbol=_count("max_trades_per_symbol", settings.max_trades_per_symbol),
        loss_streak=_count("loss_streak_max", settings.loss_streak_max),
        cooldown=_minutes("cooldown_minutes", settings.cooldown_minutes),
        refusals=_count("refusals_max", settings.refusals_max),
        reference_age=_seconds("reference_age_s_max", settings.reference_age_s_max),
        stale_after=_seconds("stale_after_s", settings.stale_after_s),
        duplicate_window=_seconds("duplicate_window_s", settings.duplicate_window_s, zero=True),
        spread_bp=_spread("spread_pct_max", settings.spread_pct_max),
    )


def entry_budget(limit: int | None) -> int | None:
    """The part of an order budget that entries may use: four fifths, at least one order."""
    return None if limit is None else max(1, limit * ENTRY_SHARE[0] // ENTRY_SHARE[1])


def _refuse(key: str, shown: object, wanted: str, *, may_be_off: bool = True) -> ConfigError:
    off = ", or null to switch this limit off" if may_be_off else ""
    return ConfigError(
        f"risk.{key} is {shown}, so this limit cannot be computed; the day does not start.",
        do=f"set risk.{key} to {wanted}{off}",
    )


def _share(key: str, fraction: float | None, capital: Money) -> Money | None:
    if fraction is None:
        return None
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise _refuse(key, fraction, "a fraction of capital such as 0.02 for 2 %")
    amount = share_of(capital, fraction)
    if not amount:
        raise _refuse(key, f"{fraction} of {show_rupees(capital)}, nothing", "a larger fraction")
    return amount


def _per_trade(settings: RiskSettings, capital: Money) -> Money:
    fraction = settings.per_trade_risk_pct
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise _refuse(
            "per_trade_risk_pct",
            fraction,
            "a fraction of capital such as 0.0025 for 0.25 %",
            may_be_off=False,
        )
    amount = share_of(capital, fraction)
    if not amount:
        raise _refuse(
            "per_trade_risk_pct",
            f"{fraction} of {show_rupees(capital)}, nothing",
            "a larger fraction",
            may_be_off=False,
        )
    return amount


def _multiple(key: str, times: float | None, capital: Money) -> Money | None:
    if times is None:
        return None
    if not (math.isfinite(times) and times > 0):
        raise _refuse(key, times, "a multiple of capital such as 8.0")
    amount = share_of(capital, times)
    if not amount:
        raise _refuse(key, f"{times} × {show_rupees(capital)}, nothing", "a larger multiple")
    return amount


def _count(key: str, count: int | None) -> int | None:
    if count is not None and count < 1:
        raise _refuse(key, count, "a whole number from 1 up")
    return count


def _minutes(key: str, minutes: int) -> int:
    if minutes < 0:
        raise _refuse(key, minutes, "whole minutes, 0 for the rest of the day", may_be_off=False)
    return minutes * MINUTE


def _seconds(key: str, seconds: float, *, zero: bool = False) -> int:
    if not (math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0))):
        raise _refuse(key, seconds, "seconds such as 5.0", may_be_off=False)
    return round(seconds * SECOND)


def _spread(key: str, fraction: float | None) -> int | None:
    if fraction is None:
        return None
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise _refuse(key, fraction, "a fraction of the price such as 0.05 for 5 %")
    return int(share_of(Money(10_000), fraction))


# --- the checks, each one limit; asked in the order of ENTRY_LIMITS ---

Check = Callable[[EntryRequest, Standing, Limits, RiskState], str | None]


def orders_explained(
    _request: EntryRequest, standing: Standing, _limits: Limits, _state: RiskState
) -> str | None:
    """No entry while something the broker said of our orders is unexplained."""
    if not standing.orders_untrusted:
        return None
    return f"entries wait until this is explained: {standing.orders_untrusted}"


def nobody_is_called(
    _request: EntryRequest, standing: Standing, _limits: Limits, _state: RiskState
) -> str | None:
    """No entry while a position does not get out or lacks its stop: that is for a person first."""
    if not standing.needs_a_person:
        return None
    return f"nothing new is risked before this is in order: {standing.needs_a_person}."


def broker_willing(
    request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """Entries that the broker refuses again and again are not sent on: it may bar the whole account."""
    most, at = limits.refusals, standing.at
    if most is None:
        return None
    recent = sent_since(state.refused_at, at - MINUTE)
    if recent >= most:
        return (
            f"the broker refused {recent} entries within a minute; "
            "none is sent before a minute has passed."
        )
    name = request.settings.name
    tally = state.strategies.get(name)
    if tally is None or at >= tally.refused_until:
        return None
    until = f"until {ist_clock(tally.refused_until)}" if limits.cooldown else "for today"
    return f"the broker refused {most} entries of {name} in a row; it pauses {until}."


def marks_known(
    _request: EntryRequest, standing: Standing, _limits: Limits, _state: RiskState
) -> str | None:
    """An open position without a fresh sane mark means no new exposure, never "P&L 0"."""
    if standing.marks_fresh:
        return None
    return f"no new position while an open one has no fresh price: {standing.marks_why}"


def strategy_awake(
    request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """A strategy that lost several times in a row cools down."""
    tally = state.strategies.get(request.settings.name)
    if tally is None or standing.at >= tally.cooldown_until:
        return None
    until = f"until {ist_clock(tally.cooldown_until)}" if limits.cooldown else "for today"
    lost = "a trade" if limits.loss_streak == 1 else f"{limits.loss_streak} trades in a row"
    return f"{request.settings.name} lost {lost} and pauses {until}."


def data_alive(
    request: EntryRequest, standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """The traded instrument ticks."""
    age = standing.at - request.reference_at
    if age <= limits.stale_after:
        return None
    return (
        f"{request.instrument.symbol} has not ticked for {age // SECOND} s; its data is stale "
        f"after {limits.stale_after // SECOND} s."
    )


def reference_fresh(
    request: EntryRequest, standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """An entry needs a price of the traded instrument that is above zero and no older than this."""
    if request.decision_px <= Price(0):
        return f"{request.instrument.symbol} has no price to decide on."
    age = standing.at - request.reference_at
    if age <= limits.reference_age:
        return None
    return (
        f"the last price of {request.instrument.symbol} is {age / SECOND:.1f} s old, the limit is "
        f"{limits.reference_age / SECOND:g} s."
    )


def spread_sane(
    request: EntryRequest, _standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """A quote crossed or absurdly wide is no market to enter; no quote at all is not judged."""
    bid, ask, most = request.bid_px, request.ask_px, limits.spread_bp
    if not bid or not ask or most is None:
        return None
    if ask < bid:
        return (
            f"the quote of {request.instrument.symbol} is crossed: bid "
            f"{show_rupees(request.bid_px)}, ask {show_rupees(request.ask_px)}."
        )
    if (ask - bid) * 20_000 <= (bid + ask) * most:
        return None
    return (
        f"the quote of {request.instrument.symbol} is {show_rupees(request.bid_px)} to "
        f"{show_rupees(request.ask_px)}, wider than {most / 100:g} % of the price."
    )


def not_a_duplicate(
    request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """One signal makes one order; a strategy has one entry at a time in an instrument."""
    name, symbol = request.settings.name, request.instrument.symbol
    if standing.own_working:
        return f"{name} already has an entry waiting in {symbol}."
    last = state.last_entries.get(entry_key(name, request.instrument.id, request.side))
    if last is None:
        return None
    if last.signal_id == request.signal.signal_id:
        return f"signal {last.signal_id} of {name} was already traded in {symbol}."
    age = standing.at - last.at
    if age >= limits.duplicate_window:
        return None
    return (
        f"{name} sent the same {request.side} of {symbol} {age / SECOND:.2f} s ago; the least "
        f"distance is {limits.duplicate_window / SECOND:g} s."
    )


def stop_named(
    request: EntryRequest, _standing: Standing, _limits: Limits, _state: RiskState
) -> str | None:
    """Live, an entry names the stop that will protect it, unless its strategy is exempt."""
    if request.stop_px is not None or not request.settings.stop_required:
        return None
    return (
        f"{request.settings.name} wants to enter {request.instrument.symbol} without a stop; live, "
        "a position must be protected from its first second."
    )


def books_agree(
    request: EntryRequest, standing: Standing, _limits: Limits, _state: RiskState
) -> str | None:
    """All books hold the same sign in an instrument, so that our own orders never cross."""
    if not standing.book_sign or standing.book_sign == request.side.sign:
        return None
    held = "long" if standing.book_sign > 0 else "short"
    return (
        f"another strategy is {held} {request.instrument.symbol}; a {request.side} by "
        f"{request.settings.name} would work against it."
    )


def symbol_loss_left(
    request: EntryRequest, standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """An instrument that lost too much today is left alone."""
    most = limits.symbol_loss
    if most is None or -standing.symbol_pnl < most:
        return None
    return (
        f"{request.instrument.symbol} lost {show_rupees(-standing.symbol_pnl)} today, the limit "
        f"is {show_rupees(most)}."
    )


def positions_left(
    request: EntryRequest, standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """Not too many positions at once; a reversal replaces the one it closes."""
    most = limits.open_positions
    held = standing.open_positions - (1 if request.closes_qty else 0)
    if most is None or held < most:
        return None
    return f"{standing.open_positions} positions are open, the limit is {most}."


def working_left(
    _request: EntryRequest, standing: Standing, limits: Limits, _state: RiskState
) -> str | None:
    """Not too many orders waiting at the broker."""
    most = limits.working_orders
    if most is None or standing.working_orders < most:
        return None
    return f"{standing.working_orders} orders are waiting at the broker, the limit is {most}."


def strategy_trades_left(
    request: EntryRequest, _standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """A strategy has so many entries a day."""
    tally = state.strategies.get(request.settings.name)
    most = limits.trades_per_strategy
    if tally is None or most is None or tally.entries < most:
        return None
    return f"{request.settings.name} entered {tally.entries} trades today, the limit is {most}."


def symbol_trades_left(
    request: EntryRequest, _standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """An instrument is entered so many times a day, by all strategies together."""
    most = limits.trades_per_symbol
    entered = state.symbol_entries.get(request.instrument.id, 0)
    if most is None or entered < most:
        return None
    return f"{request.instrument.symbol} was entered {entered} times today, the limit is {most}."


def sent_since(recent: list[Instant], after: Instant) -> int:
    """How many of the recent orders went out later than ``after``."""
    return len(recent) - bisect_right(recent, after)


def second_left(
    _request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """Orders of the last second, counting those of exits."""
    most, recent = limits.entries_per_second, state.recent_orders
    if most is None or not recent:
        return None
    after = standing.at - SECOND
    if recent[-1] <= after:
        return None
    sent = sent_since(recent, after)
    if sent < most:
        return None
    return _budget_sentence(sent, "in the last second", most, limits.orders_per_second)


def minute_left(
    _request: EntryRequest, standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """Orders of the last minute, counting those of exits."""
    most, recent = limits.entries_per_minute, state.recent_orders
    if most is None or len(recent) < most:
        return None
    sent = sent_since(recent, standing.at - MINUTE)
    if sent < most:
        return None
    return _budget_sentence(sent, "in the last minute", most, limits.orders_per_minute)


def day_left(
    _request: EntryRequest, _standing: Standing, limits: Limits, state: RiskState
) -> str | None:
    """Orders of the day, counting those of exits."""
    most = limits.entries_per_day
    if most is None or state.orders_today < most:
        return None
    return _budget_sentence(state.orders_today, "today", most, limits.orders_per_day)


def _budget_sentence(sent: int, when: str, most: int, whole: int | None) -> str:
    return (
        f"{sent} orders went out {when}; entries may use {most} of the {whole} allowed, the rest "
        f"is kept for exits."
    )


class EntryLimit(NamedTuple):
    """One limit of entries: its code, and the check that answers a sentence when it is broken."""

    code: str
    check: Check


ENTRY_LIMITS: Final = (
    EntryLimit("ORDER_UNTRUSTED", orders_explained),
    EntryLimit("NEEDS_A_PERSON", nobody_is_called),
    EntryLimit("REFUSED", broker_willing),
    EntryLimit("MARKS_UNKNOWN", marks_known),
    EntryLimit("STALE_DATA", data_alive),
    EntryLimit("STALE_REFERENCE", reference_fresh),
    EntryLimit("WIDE_SPREAD", spread_sane),
    EntryLimit("DUPLICATE_ORDER", not_a_duplicate),
    EntryLimit("STOP_REQUIRED", stop_named),
    EntryLimit("BOOK_CONFLICT", books_agree),
    EntryLimit("SYMBOL_LOSS", symbol_loss_left),
    EntryLimit("OPEN_POSITIONS", positions_left),
    EntryLimit("WORKING_ORDERS", working_left),
    EntryLimit("STRATEGY_LOSS", strategy_loss_left),
    EntryLimit("COOLDOWN", strategy_awake),
    EntryLimit("SAME_SIGNAL", signal_fresh),
    EntryLimit("REENTRY_WAIT", waited),
    EntryLimit("REENTRIES", reentries_left),
    EntryLimit("TRADES_PER_STRATEGY", strategy_trades_left),
    EntryLimit("TRADES_PER_SYMBOL", symbol_trades_left),
    EntryLimit("ORDERS_PER_SECOND", second_left),
    EntryLimit("ORDERS_PER_MINUTE", minute_left),
    EntryLimit("ORDERS_PER_DAY", day_left),
)
"""Asked in this order after the halt, the loss limits, the session and the strategy's window."""


def time_of_day(at: Instant) -> int:
    """Microseconds since midnight in India."""
    return (at + IST_OFFSET) % DAY
