"""What becomes of the house's orders and positions when a live day is stopped before its end."""

from __future__ import annotations

from enum import StrEnum


class Stopping(StrEnum):
    """The policy of the settings file (``trading.stopping``), shown at arming."""

    LEAVE_PROTECTED = "leave_protected"
    FLATTEN = "flatten"
    HANDOVER = "handover"

    @property
    def sentence(self) -> str:
        """For the person who arms the day."""
        return _SENTENCES[self]


_SENTENCES = {
    Stopping.LEAVE_PROTECTED: "entries that rest are withdrawn, stops stay at the broker",
    Stopping.FLATTEN: "everything the house owns is closed first",
    Stopping.HANDOVER: "nothing is touched: orders and positions are yours",
}
