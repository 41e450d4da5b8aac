"""Every rule that can keep a trade from happening: its key, its code, what it means, its value today.

The law: values come from the same ``resolve`` that risk itself uses, and the meaning of a check is
the docstring of the function that asks it. A rule without a key cannot be switched off.
"""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.core.risk_limits import ENTRY_LIMITS, Limits, resolve
from kitestring.core.settings import RiskSettings
from kitestring.domain.instants import MINUTE
from kitestring.domain.money import Money, show_rupees


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. ``key`` is its name under ``risk:`` in the settings; empty where it has none."""

    key: str
    codes: tuple[str, ...]
    """What a refusal by it is called."""
    meaning: str
    value: str
    """Its value today, in rupees or counts; ``off``; empty where it has none."""
    own: str = ""
    """Its key under a strategy in the settings, where each strategy has its own."""


_CODES: Final = MappingProxyType(
    {
        "max_daily_loss_pct": ("DAILY_LOSS",),
        "per_trade_risk_pct": ("TOO_SMALL", "PER_TRADE_RISK"),
        "max_symbol_loss_pct": ("SYMBOL_LOSS",),
        "max_drawdown_pct": ("DRAWDOWN",),
        "max_open_positions": ("OPEN_POSITIONS",),
        "max_working_orders": ("WORKING_ORDERS",),
        "max_gross_exposure_x": ("GROSS_EXPOSURE",),
        "max_net_exposure_x": ("NET_EXPOSURE",),
        "max_symbol_exposure_x": ("SYMBOL_EXPOSURE",),
        "max_orders_per_second": ("ORDERS_PER_SECOND",),
        "max_orders_per_minute": ("ORDERS_PER_MINUTE",),
        "max_orders_per_day": ("ORDERS_PER_DAY",),
        "max_trades_per_strategy": ("TRADES_PER_STRATEGY",),
        "max_trades_per_symbol": ("TRADES_PER_SYMBOL",),
        "loss_streak_max": ("COOLDOWN",),
        "cooldown_minutes": ("COOLDOWN",),
        "refusals_max": ("REFUSED",),
        "reference_age_s_max": ("STALE_REFERENCE",),
        "stale_after_s": ("STALE_DATA",),
        "duplicate_window_s": ("DUPLICATE_ORDER",),
        "spread_pct_max": ("WIDE_SPREAD",),
        "price_jump_pct_max": (),
    }
)
"""The keys of ``RiskSettings``, in their order, with the codes of their refusals."""

_SAID_HERE: Final = MappingProxyType(
    {
        "max_daily_loss_pct": "The day's loss, open positions and charges included: at the limit, on "
        "two marks that agree, the day is halted and everything is closed.",
        "max_drawdown_pct": "The fall from the highest equity seen, across days; halts and closes as "
        "the daily loss does.",
        "per_trade_risk_pct": "What one trade may lose at its stop; it sizes the order, and refuses "
        "one that cannot be made small enough.",
        "max_gross_exposure_x": "All positions and working orders at their worst, added up without "
        "sign; an entry is cut to the room left.",
        "max_net_exposure_x": "The same with sign, long against short; an entry is cut to the room "
        "left.",
        "max_symbol_exposure_x": "The same for one instrument; an entry is cut to the room left.",
        "cooldown_minutes": "How long that pause is; 0 is the rest of the day.",
        "price_jump_pct_max": "A tick further than this from the last price is kept out and counted.",
    }
)
"""Meanings of limits that are no single check of an entry."""

_OWN: Final = (
    ("trade_between", "STRATEGY_WINDOW", "Outside the hours in which the strategy may enter."),
    ("loss_max", "STRATEGY_LOSS", ""),
    ("fresh_signal", "SAME_SIGNAL", ""),
    ("wait_minutes", "REENTRY_WAIT", ""),
    ("max_reentries", "REENTRIES", ""),
)
"""Rules that each strategy may have for itself; an empty meaning is that of the check."""

_WITHOUT_KEY: Final = (
    ("HALTED", "The day was halted; no new position until tomorrow."),
    ("OPERATOR", "The operator halted the day."),
    ("HOUSE_FAULT", "The house failed and was rebuilt from its journal; only exits go out."),
    ("NOT_ARMED", "Live, and not armed or with no session at Kite: only exits run until it is."),
    ("SESSION_CLOSED", "The market takes no orders now, or is not in continuous trading."),
    ("ENTRY_CUTOFF", "It is too late for a new position (sessions: entry_cutoff)."),
    ("EXPIRES_TODAY", "A contract that expires today cannot be carried into tomorrow."),
    ("STRATEGY_WINDOW", "Outside the strategy's own hours (strategies: trade_between)."),
    ("STRATEGY_LOSS", "The strategy lost its own limit today (strategies: loss_max)."),
    ("SAME_SIGNAL", "Taken out, and its signal has not ended since (strategies: fresh_signal)."),
    ("REENTRY_WAIT", "Not so soon after an exit (strategies: wait_minutes)."),
    ("REENTRIES", "Entered again often enough today (strategies: max_reentries)."),
    ("ORDER_UNTRUSTED", ""),
    (
        "BROKER_DIFFERS",
        "The broker's books differ from ours in this contract (docs/decisions/0014).",
    ),
    ("OPPOSITE_BY_HAND", "You hold the other side of it yourself; the broker would net the two."),
    ("CARRIED_FROZEN", "The strategy's own position in it was carried, and is not traded today."),
    ("TOUCHED_BY_HAND", "A person or the broker closed or withdrew ours in it; not again today."),
    ("NEEDS_A_PERSON", ""),
    ("MARKS_UNKNOWN", ""),
    ("STOP_REQUIRED", ""),
    ("BOOK_CONFLICT", ""),
    ("ALREADY_IN", "The strategy's position already stands that way."),
    ("SIGNAL_OLD", "A reversal that waited for the old side to close came too late."),
    ("NO_STOP", "Without a stop an order can be sized only by fixed lots."),
    ("STOP_SIDE", "The stop lies on the wrong side of the price."),
    ("MARGIN", "The cash left does not cover the margin; the order is cut or refused."),
    ("FREEZE", "More than the exchange takes in the orders that are left."),
    ("NOT_TRADABLE", "An index cannot be bought; its future can."),
    ("LOT", "Not whole lots."),
    ("PRODUCT", "The product does not exist on that exchange."),
    ("PROTECTION", "Market protection out of its range."),
    ("PRICE", "A price is missing, superfluous or none."),
    ("ORDER_KIND", "The exchange does not know this kind of order there."),
    ("TICK", "A price off the tick."),
    ("PRICE_BAND", "A price outside the day's band."),
    ("STOP_LIMIT_SIDE", "A stop's limit on the wrong side of its trigger."),
    ("STOP_LIMIT_GAP", "A stop's limit too far from its trigger."),
    ("PHASE", "The exchange takes no such order in this phase of its day."),
)
"""Rules that always hold; an empty meaning is that of the check with this code."""


def rules(settings: RiskSettings, capital: Money) -> list[Rule]:
    """Every rule with its value for these settings: those with a key first, in the order of settings.

    Raises ``ConfigError`` for a limit that cannot be computed.
    """
    limits = resolve(settings, capital)
    values = _values(settings, limits)
    checks = {code: _sentence(check) for code, check in ENTRY_LIMITS}
    found = [
        Rule(
            key=key,
            codes=codes,
            meaning=_SAID_HERE.get(key) or checks[codes[0]],
            value=values[key],
        )
        for key, codes in _CODES.items()
    ]
    found += [
        Rule(key="", codes=(code,), meaning=meaning or checks[code], value="", own=own)
        for own, code, meaning in _OWN
    ]
    found += [
        Rule(key="", codes=(code,), meaning=meaning or checks[code], value="")
        for code, meaning in _WITHOUT_KEY
    ]
    return found


def _sentence(check: object) -> str:
    return " ".join((inspect.getdoc(check) or "").split())


def _values(settings: RiskSettings, limits: Limits) -> dict[str, str]:
    spread = "off" if limits.spread_bp is None else f"{limits.spread_bp / 100:g} % of the price"
    minutes = limits.cooldown // MINUTE
    return {
        "max_daily_loss_pct": _rupees(limits.daily_loss),
        "per_trade_risk_pct": f"{show_rupees(limits.per_trade)} on the whole capital",
        "max_symbol_loss_pct": _rupees(limits.symbol_loss),
        "max_drawdown_pct": _rupees(limits.drawdown),
        "max_open_positions": _count(limits.open_positions),
        "max_working_orders": _count(limits.working_orders),
        "max_gross_exposure_x": _rupees(limits.gross),
        "max_net_exposure_x": _rupees(limits.net),
        "max_symbol_exposure_x": _rupees(limits.symbol_exposure),
        "max_orders_per_second": _budget(limits.orders_per_second, limits.entries_per_second),
        "max_orders_per_minute": _budget(limits.orders_per_minute, limits.entries_per_minute),
        "max_orders_per_day": _budget(limits.orders_per_day, limits.entries_per_day),
        "max_trades_per_strategy": _count(limits.trades_per_strategy),
        "max_trades_per_symbol": _count(limits.trades_per_symbol),
        "loss_streak_max": _count(limits.loss_streak),
        "cooldown_minutes": f"{minutes} min" if minutes else "the rest of the day",
        "refusals_max": _count(limits.refusals),
        "reference_age_s_max": f"{settings.reference_age_s_max:g} s",
        "stale_after_s": f"{settings.stale_after_s:g} s",
        "duplicate_window_s": f"{settings.duplicate_window_s:g} s",
        "spread_pct_max": spread,
        "price_jump_pct_max": f"{settings.price_jump_pct_max * 100:g} %",
    }


def _rupees(amount: Money | None) -> str:
    return "off" if amount is None else show_rupees(amount)


def _count(count: int | None) -> str:
    return "off" if count is None else str(count)


def _budget(whole: int | None, entries: int | None) -> str:
    return "off" if whole is None else f"{whole}, entries {entries}"
