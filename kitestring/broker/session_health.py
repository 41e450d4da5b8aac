"""What Kite's answers say of the session: alive, dead, or alive and refused orders from this address.

Written by the client with every answer, read before every entry leaves: nobody has to ask Kite again
to know that an entry would be refused.
"""

from __future__ import annotations

from kitestring.broker.kite_outcomes import Acked, Refusal, Rejected, SendOutcome


class SessionHealth:
    """One session's; a new login begins it anew."""

    __slots__ = ("address", "dead", "ticker_refused")

    def __init__(self) -> None:
        self.dead = ""
        """Why the session is dead; empty while it lives."""
        self.address = ""
        """Kite's sentence when it refused an order for the address it came from; empty if it takes them."""
        self.ticker_refused = False
        """Whether the ticker was refused for its token and waits to be let in again."""

    @property
    def entries_stopped(self) -> str:
        """Why no entry leaves; empty where it may."""
        if self.dead:
            return f"the session with Kite is dead ({self.dead})"
        return f"Kite refuses orders from this address ({self.address})" if self.address else ""

    def answered(self) -> None:
        """A call that needs a session was answered."""
        self.dead = ""

    def refused(self, why: str) -> None:
        """A call was refused for its token."""
        self.dead = why

    def sent(self, outcome: SendOutcome) -> None:
        """What came of an order request."""
        if isinstance(outcome, Acked):
            self.dead = self.address = ""
        elif isinstance(outcome, Rejected):
            if outcome.refusal is Refusal.TOKEN:
                self.dead = outcome.message
            elif outcome.refusal is Refusal.ADDRESS:
                self.address = outcome.message
