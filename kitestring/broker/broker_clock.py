"""How far the broker's clock is from ours, by the ``Date`` of a few cheap answers.

A ``Date`` has whole seconds; several answers, asked at different parts of a second, leave a quarter
of one between what can still be true. No session is needed, and none is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from kitestring.broker.kite_http import Answer, KiteHttp
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.kite_wire import read_request
from kitestring.domain.instants import SECOND, Instant, instant_of

ASKED: Final = 4
PAUSE_S: Final = 0.27
"""Four of these meet every part of a second."""
WITHIN_S: Final = 4.0


async def broker_ahead_s(settings: KiteSettings, now: Callable[[], Instant]) -> float | None:
    """Seconds the broker's clock is ahead of ours (negative: behind); ``None`` where none was heard."""
    least, most = None, None
    async with KiteHttp(settings) as http:
        for number in range(ASKED):
            if number:
                await asyncio.sleep(PAUSE_S)
            before = now()
            answer = await http.call(read_request("/"), within_s=WITHIN_S)
            after = now()
            said = _stamped(answer.date) if isinstance(answer, Answer) else None
            if said is None:
                if number == 0:
                    return None
                continue
            # It was stamped between ``before`` and ``after``, somewhere in its second.
            least = max(said - after, said - after if least is None else least)
            most = min(said + SECOND - before, said + SECOND - before if most is None else most)
    if least is None or most is None:
        return None
    return (least + most) / 2 / SECOND


def _stamped(date: str) -> Instant | None:
    """``Fri, 20 Nov 2026 04:30:00 GMT``."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return instant_of(moment) if moment.tzinfo is not None else None
