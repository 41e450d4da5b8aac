"""Faults of the day itself, carried out when their moment or their request comes."""

from __future__ import annotations

from typing import Protocol

from kitestring.domain.instants import Instant
from kitestring.exchange.wire.faults import Fault, Faults


class DayReach(Protocol):
    """What can be done to the day."""

    def flush_tokens(self) -> None:
        """End every session."""
        ...

    def square_off(self, now: Instant, instruments: tuple[str, ...]) -> list[str]:
        """Close intraday positions, as risk management does; the ids of its orders."""
        ...

    def jump(
        self, now: Instant, instruments: tuple[str, ...], percent: float, lasts: Instant
    ) -> None:
        """Let instruments jump for a while."""
        ...


class DayFaults:
    """Carries out what happens to the day."""

    def __init__(self, faults: Faults, reach: DayReach) -> None:
        self._faults = faults
        self._reach = reach

    def look(self, now: Instant) -> None:
        """Carry out what is due by now."""
        for state in self._faults.due(now):
            self.carry_out(state.fault, now)

    def carry_out(self, fault: Fault, now: Instant) -> None:
        """Let it happen."""
        match fault.kind:
            case "token_flush":
                self._reach.flush_tokens()
            case "rms_square_off":
                self._reach.square_off(now, fault.names("instruments"))
            case "price_jump":
                names, percent = fault.names("instruments"), fault.number_of("percent")
                self._reach.jump(now, names, percent, fault.span("seconds"))
            case _:
                raise AssertionError(fault.kind)
