"""Everything that can go wrong outside our control, as a small tree.

    HouseError                      every one: what happened · what the house did · what to do next
    ├── ConfigError                 before the day starts; exit code 2
    ├── FeedError                   the market data asked for cannot be read
    ├── InstrumentsRefused          the broker's list of instruments cannot be traded on today
    ├── BrokerError
    │   ├── NotLoggedIn             log in first
    │   ├── BrokerRefused           a definite no: the order does not exist
    │   ├── BrokerUnavailable       a definite not-sent: safe to try again
    │   └── OutcomeUnknown          sent, no answer: never resend; look it up by tag, then decide
    ├── StoreError
    │   ├── JournalDamaged          the record of the day does not verify
    │   ├── DiskFailed              the journal cannot be written: no new risk
    │   └── AnotherDayIsRunning     the artifacts folder belongs to another process
    └── CalendarUnknown             we hold no calendar for that date: closed to us

Risk refusals, broker rejections and discrepancies are values, not exceptions. ``InvariantBroken``
is our own bug; it stays on, and stops the day.
"""

from __future__ import annotations


class HouseError(Exception):
    """What happened, and what to do next; the first line is for a person."""

    exit_code = 1

    def __init__(self, what: str, *, do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.do}" if self.do else self.what


class ConfigError(HouseError):
    """A setting or an argument is wrong."""

    exit_code = 2


class FeedError(HouseError):
    """The market data asked for cannot be read."""

    exit_code = 3


class InstrumentsRefused(HouseError):
    """The broker's list of instruments is not today's, not whole, or contradicts itself."""

    exit_code = 3


class BrokerError(HouseError):
    """The broker could not be asked, or said no."""


class NotLoggedIn(BrokerError):
    """No valid session with the broker."""


class BrokerRefused(BrokerError):
    """A definite no: the order does not exist."""


class BrokerUnavailable(BrokerError):
    """A definite not-sent: safe to try again."""


class OutcomeUnknown(BrokerError):
    """Sent, no answer: never resend; look it up by tag, then decide."""


class StoreError(HouseError):
    """The record of the day cannot be kept or read."""

    exit_code = 4


class JournalDamaged(StoreError):
    """The journal does not verify; trading on it would be guessing."""


class DiskFailed(StoreError):
    """The journal cannot be written; no new risk is taken."""


class AnotherDayIsRunning(StoreError):
    """Another process holds the artifacts folder."""


class CalendarUnknown(HouseError):
    """We hold no calendar for that date, so the market is closed to us."""

    exit_code = 5


class InvariantBroken(AssertionError):
    """The house caught itself in an impossible state: our bug, never the user's mistake."""
