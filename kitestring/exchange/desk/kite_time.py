"""Moments as Kite writes them: naive Indian time, to the second."""

from __future__ import annotations

from functools import lru_cache

from kitestring.domain.instants import DAY, IST_OFFSET, Instant, ist_clock, ist_date


@lru_cache(maxsize=16)
def _day_text(day_number: int) -> str:
    return ist_date(day_number * DAY - IST_OFFSET).isoformat()


def kite_time(at: Instant) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in India."""
    return f"{_day_text((at + IST_OFFSET) // DAY)} {ist_clock(at)}"


def kite_time_or_none(at: Instant) -> str | None:
    """As ``kite_time``; ``None`` where nothing has happened yet (0)."""
    return kite_time(at) if at else None
