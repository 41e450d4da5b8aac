"""What the house must remember of the broker's books across a restart: doubts, frozen positions, bans."""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.domain.ids import ClOrdId, InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, Price

CELL: Final = "core/view"


class Frozen(msgspec.Struct, array_like=True, kw_only=True):
    """A position on which the books do not agree and that nothing explains."""

    key: str
    instrument: InstrumentId
    at: Instant
    ours: int
    theirs: int
    last_px: Price
    """The broker's own last price of it, or its average; 0 where it shows none."""
    sentence: str
    agreed: bool = False
    """The latest look agreed; a second one ends it."""


class ViewState(msgspec.Struct, kw_only=True, array_like=True):
    """One day's memory of what the broker's books said."""

    read_at: Instant = 0
    """When the books of the last trusted look were read; 0 where the broker does not say."""
    seen: dict[str, InstrumentId] = msgspec.field(default_factory=dict)
    """The differences of the last trusted look, by name."""
    told: list[str] = msgspec.field(default_factory=list)
    """Those of them that stood in two looks and were said."""
    confirmed: dict[str, int] = msgspec.field(default_factory=dict)
    """By position: the broker's net where it is less than ours, less what we have exited since."""
    counted: dict[ClOrdId, int] = msgspec.field(default_factory=dict)
    """Of orders of ours: how much the last trusted look counts as filled, where we know of less."""
    frozen: dict[str, Frozen] = msgspec.field(default_factory=dict)
    banned: dict[InstrumentId, str] = msgspec.field(default_factory=dict)
    """Contracts in which nothing is entered again today, and why."""
    booked: dict[str, int] = msgspec.field(default_factory=dict)
    """How much of which trade of others was booked as ours."""
    values: dict[str, Money] = msgspec.field(default_factory=dict)
    """The same in rupees by their order: its charges grow with it."""
    carried: dict[str, int] = msgspec.field(default_factory=dict)
    """What of each position was brought from yesterday."""
    stops_cancelled: list[str] = msgspec.field(default_factory=list)
    """Positions whose stop was cancelled by hand once, by owner and entry."""
    curious: bool = False
    """Somebody touched an order of ours: the books should be read soon."""
    foreign: dict[str, int] = msgspec.field(default_factory=dict)
    """By position: what of the account's net is not ours, where that is anything."""
    left_to: dict[StrategyId, str] = msgspec.field(default_factory=dict)
    """Books that something at the broker may close, which is ours and carries no tag; what it is."""
    overnight: dict[str, StrategyId] = msgspec.field(default_factory=dict)
    """Orders that overnight stops of ours sent, and whose book they close."""
