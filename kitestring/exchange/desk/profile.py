"""Who the account belongs to: the profile, in Kite's three lengths (login, profile, full profile).

Fields: kite.trade/docs/connect/v3/user and the official samples. Nobody real: the person is
whoever the settings of the exchange name.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.domain.instants import Instant, ist
from kitestring.exchange.desk.sessions import OpenSession

Row = dict[str, object]

EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "MF")
PRODUCTS: Final = ("CNC", "NRML", "MIS", "MTF", "CO")
ORDER_TYPES: Final = ("MARKET", "LIMIT", "SL", "SL-M")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The holder of the rehearsal account."""

    user_id: str = "KS0001"
    user_name: str = "Kitestring Rehearsal"
    user_shortname: str = "Rehearsal"
    email: str = "rehearsal@localhost"


def profile(person: Person) -> Row:
    """``GET /user/profile``."""
    return {
        "user_id": person.user_id,
        "user_type": "individual",
        "email": person.email,
        "user_name": person.user_name,
        "user_shortname": person.user_shortname,
        "broker": "ZERODHA",
        "exchanges": EXCHANGES,
        "products": PRODUCTS,
        "order_types": ORDER_TYPES,
        "avatar_url": None,
        "meta": {"demat_consent": "consent"},
    }


def full_profile(person: Person) -> Row:
    """``GET /user/profile/full``: not in the documentation, but in the official Go client."""
    return profile(person) | {
        "twofa_type": "totp",
        "phone": "*0000",
        "bank_accounts": [{"name": "REHEARSAL BANK", "branch": "", "account": "*0000"}],
        "dp_ids": ["1208160000000001"],
        "pan": "*000A",
        "tags": [],
        "password_timestamp": "1970-01-01 00:00:00",
        "twofa_timestamp": "1970-01-01 00:00:00",
        "meta": {"poa": "consent", "silo": "", "account_blocks": []},
    }


def session_row(person: Person, session: OpenSession) -> Row:
    """``POST /session/token``: profile and tokens. ``avatar_url`` is a text here, as in the sample."""
    return profile(person) | {
        "avatar_url": "",
        "api_key": session.app.api_key,
        "access_token": session.access_token,
        "public_token": session.public_token,
        "enctoken": session.enctoken,
        "refresh_token": session.refresh_token,
        "silo": "",
        "login_time": ist_seconds(session.login_at),
    }


def ist_seconds(at: Instant) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in India: how Kite's REST writes a moment."""
    return f"{ist(at):%Y-%m-%d %H:%M:%S}"
