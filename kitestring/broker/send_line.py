"""The way out to Kite: every call takes its turn here, as the governor allows, exits first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from kitestring.broker.governor import Call, Governor, Ticket
from kitestring.domain.instants import NEVER, SECOND, Instant

_LEAST_WAIT_S: Final = 0.001
_MOST_WAIT_S: Final = 0.25
"""A rehearsal's clock may run faster than the loop's, or stand still: look again this often."""


class SendLine:
    """Drives a governor on the running loop. ``now`` is the clock whose seconds the broker counts."""

    def __init__(self, governor: Governor, now: Callable[[], Instant]) -> None:
        self.governor = governor
        self._now = now
        self._turns: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(
        self, call: Call, *, exits: bool = False, order: str = ""
    ) -> AsyncIterator[Ticket]:
        """Wait for a turn, and hold it until the answer is here. Look at ``refused`` first."""
        ticket = self.governor.ask(call, self._now(), exits=exits, order=order)
        turn = asyncio.get_running_loop().create_future()
        self._turns[ticket.number] = turn
        self._look()
        try:
            await turn
            yield ticket
        finally:
            self._turns.pop(ticket.number, None)
            if not self.governor.leave(ticket) and not ticket.refused:
                self.governor.answered(ticket, self._now())
            self._look()

    def _look(self) -> None:
        """Let go whoever may go now, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ticket in self.governor.released(self._now()):
            turn = self._turns.get(ticket.number)
            if turn is not None and not turn.done():
                turn.set_result(None)
        due = self.governor.next_due_at(self._now())
        if due < NEVER:
            wait_s = min(max((due - self._now()) / SECOND, _LEAST_WAIT_S), _MOST_WAIT_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)
