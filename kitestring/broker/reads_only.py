"""A line to Kite that can only ask: what places, changes or cancels anything cannot be sent over it.

This is the whole of what a day on paper opens to Zerodha's REST. An order that reached it by a
mistake of ours would end as a failure here, before the first byte.
"""

from __future__ import annotations

from collections.abc import Mapping

from kitestring.broker.kite_http import Answer, KiteHttp, NoAnswer
from kitestring.broker.kite_wire import WireRequest
from kitestring.domain.errors import InvariantBroken


class ReadsOnly(KiteHttp):
    """``KiteHttp`` for reads."""

    async def call(
        self,
        request: WireRequest,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        body_max: int = 0,
    ) -> Answer | NoAnswer:
        """As ``KiteHttp.call``; a request that writes is our own mistake, and raises."""
        if request.writes:
            raise InvariantBroken(
                f"A day on paper was about to send {request.method} {request.path} to the broker;"
                " nothing was sent."
            )
        return await super().call(request, within_s=within_s, headers=headers, body_max=body_max)
