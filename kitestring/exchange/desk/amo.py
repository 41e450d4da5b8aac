"""After-market orders: when Kite takes them, and when it sends them on.

Windows and releases: support.zerodha.com, after-market orders, as kept before the closing auction
came (shares 16:00 to 08:58, equity derivatives 15:45 to 09:10, currency 17:00 to 08:59, commodities
after the close to 08:58; released with the pre-open, or at the opening where the pre-open does not
take their kind). Whether the windows moved in August 2026 is not known.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from kitestring.domain.instants import NEVER, Instant, ist
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.orders import OrdType
from kitestring.domain.sessions import Session
from kitestring.exchange.desk.order_ticket import OrderTicket

_WINDOWS: Final = {
    "NSE": (dt.time(16, 0), dt.time(8, 58)),
    "BSE": (dt.time(16, 0), dt.time(8, 58)),
    "NFO": (dt.time(15, 45), dt.time(9, 10)),
    "BFO": (dt.time(15, 45), dt.time(9, 10)),
    "CDS": (dt.time(17, 0), dt.time(8, 59)),
    "BCD": (dt.time(17, 0), dt.time(8, 59)),
    "MCX": (dt.time(23, 55), dt.time(8, 58)),
    "NCO": (dt.time(23, 55), dt.time(8, 58)),
}


def amo_window(exchange: str) -> tuple[dt.time, dt.time]:
    """From when in the evening until when in the morning an exchange's AMOs are taken."""
    return _WINDOWS[exchange]


def in_window(exchange: str, now: Instant) -> bool:
    """Whether an AMO may be placed at this moment."""
    evening, morning = _WINDOWS[exchange]
    clock = ist(now).time()
    return clock >= evening or clock < morning


def released_at(ticket: OrderTicket, session: Session | None, now: Instant) -> Instant:
    """When the order goes to the exchange; ``NEVER`` if its session of this day is behind it."""
    if session is None:
        return NEVER
    at = session.open_at
    plain = (
        ticket.instrument.kind is InstrumentKind.EQUITY
        and ticket.order_type in (OrdType.MARKET, OrdType.LIMIT)
        and ticket.validity == "DAY"
        and not ticket.disclosed
    )
    if plain and session.phases:
        at = session.phases[0].start_at
    if at > now:
        return at
    # Taken between the pre-open and the opening: it goes with the opening.
    return session.open_at if session.open_at > now else NEVER
