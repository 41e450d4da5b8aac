"""Where public sources on Kite's orders disagree or are silent: one switch per doubt.

Defaults are what most reports say; each field names what speaks for the other side.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec


class OrderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order desk's switches.

    ``order_id_digits``: 15 (``YYMMDD`` and nine digits), 19 (as samples since August 2025), or both
    by turns. ``autoslice_shape``: B is the official clients' and samples' ``{order_id, children}``,
    A the documentation page's flat list. ``market_becomes_limit``: the book shows a protected MARKET
    order as the LIMIT it became (kite.trade forum, comment 52940). ``protection_echoed``: whether
    ``market_protection`` is repeated; users see 0. ``pending_after_cancel``: cancelled rows keep their
    ``pending_quantity`` (samples). ``modified_told``: whether ``modified`` turns true (the sample
    history stays false). ``rms_id``: who has placed what the broker's risk desk sends.
    ``auction_opens``, ``auction_closes``: the exchange's buy-in session, in which no counterparty is
    modelled. ``gtt_distance_bp``: least distance of a trigger from the last price; undocumented.
    """

    order_id_digits: Literal[15, 19, "both"] = 15
    autoslice_shape: Literal["A", "B"] = "B"
    market_becomes_limit: bool = True
    protection_echoed: bool = False
    pending_after_cancel: bool = True
    modified_told: bool = True
    rms_id: str = "RMS"
    auction_opens: dt.time = dt.time(14, 0)
    auction_closes: dt.time = dt.time(14, 45)
    gtt_distance_bp: int = 0
    gtt_active_max: int = 500
    alerts_max: int = 500
