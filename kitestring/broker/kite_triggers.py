"""The account's triggers at Kite, asked for in turn with everything else that is asked of it."""

from __future__ import annotations

from collections.abc import Callable

from kitestring.broker.governor import Call
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_gtt import GttRow, GttTerms
from kitestring.broker.send_line import SendLine
from kitestring.domain.money import Price


class KiteTriggers:
    """Reads, makes and deletes GTTs. Kite counts them with the other calls, not as orders."""

    def __init__(
        self, client: KiteClient, line: SendLine, *, fenced: Callable[[], str] = lambda: ""
    ) -> None:
        """``fenced`` is asked before every write: a reason means that somebody else sends now."""
        self._client = client
        self._line = line
        self._fenced = fenced

    async def rows(self) -> tuple[GttRow, ...]:
        """All of them. Raises ``KiteReadFailed``; a failed read is never an empty list."""
        async with self._line.turn(Call.READ):
            return await self._client.gtts()

    async def place(self, terms: GttTerms, last_px: Price) -> int | str:
        """Make one, once: its number, or why it is not known to stand."""
        async with self._line.turn(Call.READ):
            if why := self._fenced():
                return f"not sent: {why}"
            return await self._client.place_gtt(terms, last_px)

    async def delete(self, trigger_id: int) -> int | str:
        """Take one back, once: its number, or why it is not known to be gone."""
        async with self._line.turn(Call.READ):
            if why := self._fenced():
                return f"not sent: {why}"
            return await self._client.delete_gtt(trigger_id)
