"""Everything the exchange can be told to get wrong, as one table: name, place, parameters, meaning.

What really happens at Kite and other venues, from users' reports and post-mortems; each row can be
asked for in a fault script, over the admin interface or in a test. ``docs/Exchange.md`` prints this
table, and a test holds the two together.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

Value = str | int | float | bool | tuple[str, ...]
"""What a parameter may be."""


class Place(StrEnum):
    """Where a fault happens, and so what counts as an occurrence of it."""

    REQUEST = "request"
    """A REST request that matches the route."""
    UPGRADE = "upgrade"
    """A WebSocket asking to be opened."""
    TICKS = "ticks"
    """A message of ticks on its way to a socket."""
    UPDATE = "update"
    """An order update on its way to a socket."""
    DAY = "day"
    """A moment of the day: the first thing that happens at or after ``from``."""


class Takes(StrEnum):
    """What a parameter is written as."""

    SECONDS = "seconds"
    NUMBER = "number"
    WHOLE = "whole number"
    YES = "true or false"
    WORD = "one of some words"
    TEXT = "text"
    NAMES = "list of names"


class Param(msgspec.Struct, frozen=True):
    """One parameter of a kind of fault."""

    name: str
    takes: Takes
    default: Value
    meaning: str
    words: tuple[str, ...] = ()
    least: float = 0
    most: float = 1_000_000_000


class FaultKind(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can go wrong."""

    name: str
    place: Place
    meaning: str
    params: tuple[Param, ...] = ()
    route: str = "any"
    """Where it happens when the script names no route."""
    lasts: bool = False
    """Whether it goes on for a while (``for``) instead of happening once an occurrence."""

    def param(self, name: str) -> Param:
        """The parameter of that name."""
        return next(param for param in self.params if param.name == name)


def _seconds(default: float, meaning: str, name: str = "seconds") -> Param:
    return Param(name, Takes.SECONDS, default, meaning, most=86_400)


def _reached(*, default: bool) -> Param:
    return Param(
        "reached",
        Takes.YES,
        default,
        "whether the request took effect before the answer went wrong",
    )


def _words(name: str, meaning: str, *words: str) -> Param:
    return Param(name, Takes.WORD, words[0], meaning, words)


def _text(name: str, default: str, meaning: str) -> Param:
    return Param(name, Takes.TEXT, default, meaning)


def _whole(name: str, default: int, meaning: str, least: int = 0, most: int = 10**9) -> Param:
    return Param(name, Takes.WHOLE, default, meaning, least=least, most=most)


_INSTRUMENTS: Final = Param(
    "instruments", Takes.NAMES, (), "`EXCHANGE:SYMBOL` of those concerned; none named: all"
)
_LATER_SOCKETS: Final = Param(
    "reconnect_cures", Takes.YES, True, "whether a socket opened afterwards is well"
)
_STATUS: Final = _whole("status", 502, "the HTTP status", least=400, most=599)

KINDS: Final = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            # ── answers that never come, or come at the wrong time ──
            FaultKind(
                name="no_answer",
                place=Place.REQUEST,
                meaning="The request is taken and never answered; the client times out",
                params=(
                    _reached(default=True),
                    _seconds(600, "the connection is closed after so long", "close_after"),
                ),
            ),
            FaultKind(
                name="late_answer",
                place=Place.REQUEST,
                meaning="The request takes effect at once, its answer comes late",
                params=(_seconds(8, "real seconds of delay"),),
            ),
            FaultKind(
                name="late_arrival",
                place=Place.REQUEST,
                meaning="The request lies about before it takes effect, whether or not the client"
                " still waits: an order is live after its sender has given up",
                params=(_seconds(8, "real seconds before it takes effect"),),
            ),
            FaultKind(
                name="answered_twice",
                place=Place.REQUEST,
                meaning="The same answer is sent a second time, unasked, on the same connection",
                params=(_seconds(0, "real seconds between the two"),),
            ),
            FaultKind(
                name="taken_twice",
                place=Place.REQUEST,
                meaning="Something on the way repeats the request: it takes effect twice and is"
                " answered once",
                route="POST /orders/*",
            ),
            FaultKind(
                name="slow_drip",
                place=Place.REQUEST,
                meaning="The answer's body trickles in, so that no single read times out",
                params=(
                    Param("bytes_per_second", Takes.NUMBER, 5.0, "how fast", least=0.01),
                    _whole("chunk", 1, "bytes at a time", least=1),
                ),
            ),
            # ── answers that say the wrong thing ──
            FaultKind(
                name="timed_out_400",
                place=Place.REQUEST,
                meaning="`400 Order request timed out…` for an order that is live",
                params=(
                    _reached(default=True),
                    _text("error_type", "OrderException", "Kite's error type"),
                ),
                route="POST /orders/*",
            ),
            FaultKind(
                name="html_error",
                place=Place.REQUEST,
                meaning="A 5xx of the servers in front, as an HTML page",
                params=(_STATUS, _reached(default=False)),
            ),
            FaultKind(
                name="error_answer",
                place=Place.REQUEST,
                meaning="An error in Kite's envelope, of any status, type (an unknown one too) and"
                " text",
                params=(
                    _whole("status", 500, "the HTTP status", least=400, most=599),
                    _text("error_type", "GeneralException", "Kite's error type, or one of yours"),
                    _text("message", "Something went wrong.", "its text"),
                    _reached(default=False),
                ),
            ),
            FaultKind(
                name="too_many_requests",
                place=Place.REQUEST,
                meaning="`429 Too many requests`, below every limit",
            ),
            FaultKind(
                name="maintenance",
                place=Place.REQUEST,
                meaning="503 while it lasts; nothing takes effect",
                params=(_words("body", "how it is said", "json", "html"),),
                lasts=True,
            ),
            FaultKind(
                name="ip_refused",
                place=Place.REQUEST,
                meaning="Orders from this address are refused, reads go on: the static-IP rule",
                params=(_text("ip", "203.0.113.7", "the address that the message names"),),
                route="writes",
                lasts=True,
            ),
            # ── answers that are damaged ──
            FaultKind(
                name="wrong_content_type",
                place=Place.REQUEST,
                meaning="The right body under a wrong content type",
                params=(_text("content_type", "text/html", "what is said instead"),),
            ),
            FaultKind(
                name="no_content_type",
                place=Place.REQUEST,
                meaning="The right body without any content type",
            ),
            FaultKind(
                name="truncated",
                place=Place.REQUEST,
                meaning="The body ends too early",
                params=(
                    Param("keep", Takes.NUMBER, 0.5, "the part that is sent, from 0 to 1", most=1),
                    _words(
                        "length",
                        "whether the header promises the whole body or what comes",
                        "whole",
                        "cut",
                    ),
                ),
            ),
            FaultKind(
                name="field_missing",
                place=Place.REQUEST,
                meaning="A field is left out of the answer",
                params=(_text("field", "data", "which: `data`, `data.order_id`, `data.*.status`"),),
            ),
            FaultKind(
                name="empty_body",
                place=Place.REQUEST,
                meaning="200, JSON, no bytes",
                params=(_reached(default=True),),
            ),
            FaultKind(
                name="redirect",
                place=Place.REQUEST,
                meaning="A redirect to the same address; a client that follows it sends the write"
                " again, or turns it into a read",
                params=(
                    _whole("status", 307, "301, 302, 303, 307 or 308", least=301, most=308),
                    _reached(default=False),
                ),
                route="writes",
            ),
            FaultKind(
                name="connection_lost",
                place=Place.REQUEST,
                meaning="The connection ends instead of an answer",
                params=(
                    _reached(default=True),
                    _words("how", "a TCP reset, or an orderly close", "reset", "close"),
                ),
            ),
            # ── books that lie ──
            FaultKind(
                name="book_frozen",
                place=Place.REQUEST,
                meaning="Orders and trades are answered as they were when it began, while orders"
                " go on working",
                params=(
                    Param(
                        "books",
                        Takes.NAMES,
                        ("orders", "trades"),
                        "which: `orders`, `trades`, `positions`, `holdings`, `margins`",
                    ),
                ),
                route="reads",
                lasts=True,
            ),
            FaultKind(
                name="positions_stale",
                place=Place.REQUEST,
                meaning="Positions are answered as they were when it began",
                route="GET /portfolio/positions",
                lasts=True,
            ),
            FaultKind(
                name="order_shown_late",
                place=Place.REQUEST,
                meaning="A new order is missing from the order book for a while",
                params=(_seconds(8, "exchange seconds after it was placed"),),
                route="GET /orders",
            ),
            FaultKind(
                name="clock_skew",
                place=Place.REQUEST,
                meaning="Every time the exchange tells is wrong by so much: answers, order"
                " updates, packets",
                params=(
                    Param(
                        "seconds",
                        Takes.NUMBER,
                        90.0,
                        "how far ahead; below zero: behind",
                        least=-86_400,
                        most=86_400,
                    ),
                ),
                lasts=True,
            ),
            FaultKind(
                name="instruments_wrong",
                place=Place.REQUEST,
                meaning="The instrument file is not today's, or not whole",
                params=(
                    _words(
                        "how",
                        "`yesterday`: the file of the trading day before; `changed`: other tokens"
                        " and doubled lots; `cut`: half of it; `headless`: no line of names;"
                        " `empty`: the line of names alone",
                        "yesterday",
                        "changed",
                        "cut",
                        "headless",
                        "empty",
                    ),
                ),
                route="GET /instruments*",
            ),
            # ── what the broker does to orders and account ──
            FaultKind(
                name="rms_rejection",
                place=Place.REQUEST,
                meaning="The order is taken, answered with its id, and then REJECTED by risk"
                " management",
                params=(
                    _text(
                        "message",
                        "RMS: Rule: Check circuit limit including square off order exceeds",
                        "the text of the rejection",
                    ),
                ),
                route="POST /orders/*",
            ),
            FaultKind(
                name="partial_then_cancel",
                place=Place.REQUEST,
                meaning="The order trades a part and the exchange cancels the rest",
                params=(Param("part", Takes.NUMBER, 0.5, "the part that trades", least=0, most=1),),
                route="POST /orders/*",
            ),
            FaultKind(
                name="fill_wins",
                place=Place.REQUEST,
                meaning="The order trades completely just before the change or cancel arrives",
                route="changes",
            ),
            FaultKind(
                name="rms_square_off",
                place=Place.DAY,
                meaning="Risk management closes intraday positions at the market",
                params=(_INSTRUMENTS,),
            ),
            FaultKind(
                name="token_flush",
                place=Place.DAY,
                meaning="Every session ends, as by a master logout",
            ),
            FaultKind(
                name="price_jump",
                place=Place.DAY,
                meaning="The market itself jumps: floor, books and ticks agree on it",
                params=(
                    _INSTRUMENTS,
                    Param("percent", Takes.NUMBER, 5.0, "how far", least=-99, most=10_000),
                    _seconds(60, "exchange seconds until it is back"),
                ),
            ),
            # ── the socket ──
            FaultKind(
                name="upgrade_refused",
                place=Place.UPGRADE,
                meaning="The WebSocket is refused",
                params=(_whole("status", 403, "the HTTP status", least=400, most=599),),
                route="ws",
            ),
            FaultKind(
                name="socket_closed",
                place=Place.TICKS,
                meaning="The socket closes",
                params=(_words("how", "a TCP reset, or a close with 1001", "reset", "close"),),
                route="ws",
            ),
            FaultKind(
                name="ticks_silent",
                place=Place.TICKS,
                meaning="Nothing comes any more, and the socket stays open",
                params=(
                    Param("heartbeats", Takes.YES, False, "whether heartbeats still come"),
                    Param("updates", Takes.YES, False, "whether order updates still come"),
                    _LATER_SOCKETS,
                ),
                route="ws",
                lasts=True,
            ),
            FaultKind(
                name="half_open",
                place=Place.TICKS,
                meaning="Nothing comes, nothing is heard, pings go unanswered; the connection"
                " stands",
                params=(_LATER_SOCKETS,),
                route="ws",
                lasts=True,
            ),
            FaultKind(
                name="instrument_frozen",
                place=Place.TICKS,
                meaning="Some instruments stop ticking while the others go on",
                params=(_INSTRUMENTS,),
                route="ws",
                lasts=True,
            ),
            FaultKind(
                name="malformed_frame",
                place=Place.TICKS,
                meaning="A binary message that cannot be what it says",
                params=(
                    _words(
                        "how",
                        "one packet more than there is, a message cut inside a packet, a packet of"
                        " a length nobody knows, or three bytes only",
                        "wrong_count",
                        "cut",
                        "unknown_length",
                        "stub",
                    ),
                ),
                route="ws",
            ),
            FaultKind(
                name="stale_ticks",
                place=Place.TICKS,
                meaning="Ticks of a while ago come again, their times going back",
                params=(
                    _seconds(30, "how old, in exchange seconds", "age"),
                    _words("how", "before the new ones, or in their place", "extra", "instead"),
                ),
                route="ws",
            ),
            FaultKind(
                name="absurd_price",
                place=Place.TICKS,
                meaning="Last prices on the wire are nonsense; the market is not",
                params=(
                    _words("how", "zero, all bits set, or a hundred times", "zero", "huge", "x100"),
                    _INSTRUMENTS,
                ),
                route="ws",
            ),
            FaultKind(
                name="update_lost",
                place=Place.UPDATE,
                meaning="An order update never comes",
                route="ws",
            ),
            FaultKind(
                name="update_doubled",
                place=Place.UPDATE,
                meaning="An order update comes twice",
                params=(_seconds(0, "exchange seconds between the two"),),
                route="ws",
            ),
            FaultKind(
                name="update_late",
                place=Place.UPDATE,
                meaning="An order update comes late, after younger ones too",
                params=(_seconds(5, "exchange seconds"),),
                route="ws",
            ),
            FaultKind(
                name="update_swapped",
                place=Place.UPDATE,
                meaning="An order update comes after the one that follows it",
                params=(_seconds(5, "exchange seconds it waits for a follower at most"),),
                route="ws",
            ),
            FaultKind(
                name="update_cut",
                place=Place.UPDATE,
                meaning="An order update comes as half a JSON text",
                route="ws",
            ),
        )
    }
)
"""Every kind by name."""
