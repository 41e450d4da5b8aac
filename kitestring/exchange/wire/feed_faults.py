"""Faults of the ticker socket: what leaves is dropped, doubled, delayed, damaged, or never leaves at all.

Every open socket has one ``SocketFaults``; whoever sends asks it what really goes out, and whether
it still hears anything. Delays are of exchange time.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

from kitestring.domain.instants import SECOND, Instant
from kitestring.exchange.wire.fault_answers import shift_times
from kitestring.exchange.wire.fault_kinds import Place
from kitestring.exchange.wire.faults import Fault, Faults, FaultState

Payload = bytes | str
WHERE: Final = "WS /"
_REMEMBERED: Final = 5_000
_UNKNOWN_LENGTH: Final = 13
_TIMES: Final = {184: (44, 60), 32: (28,)}
"""Where a packet of some length holds times, in UNIX seconds."""


class Message(StrEnum):
    """What leaves a socket."""

    TICKS = "ticks"
    HEARTBEAT = "heartbeat"
    UPDATE = "update"


class Ending(StrEnum):
    """How the socket is to end, when a fault says so."""

    RESET = "reset"
    CLOSE = "close"


Outgoing = list[tuple[Instant, Payload]]
"""Delay in exchange microseconds and what to send then, in order."""


class SocketFaults:
    """What goes wrong with one open socket."""

    def __init__(
        self, faults: Faults, opened_at: Instant, token_of: Callable[[str], int | None]
    ) -> None:
        self.ending: Ending | None = None
        """Set when a fault wants the socket closed; whoever sends has to close it then."""
        self._faults = faults
        self._opened_at = opened_at
        self._token_of = token_of
        self._sent: deque[tuple[Instant, bytes]] = deque(maxlen=_REMEMBERED)
        self._held: list[tuple[Instant, Payload]] = []

    def deaf(self, now: Instant) -> bool:
        """Whether nothing that comes in is heard: not even pings and closes are answered."""
        return any(self._concerned(state) for state in self._faults.on("half_open", now))

    def outgoing(self, message: Message, payload: Payload, now: Instant) -> Outgoing:
        """What really leaves instead of ``payload``."""
        out = self._struck(message, payload, now)
        overdue = [held for until, held in self._held if until <= now]
        if overdue and not self._quiet(Message.UPDATE, now):
            self._held = [each for each in self._held if each[0] > now]
            out += [(0, held) for held in overdue]
        return out

    def _struck(self, message: Message, payload: Payload, now: Instant) -> Outgoing:
        states: list[FaultState] = []
        if message is not Message.HEARTBEAT:
            place = Place.TICKS if message is Message.TICKS else Place.UPDATE
            states = self._faults.strike(place, WHERE, now)
        if self._quiet(message, now):
            return []
        if isinstance(payload, str):
            return self._update(payload, [state.fault for state in states], now)
        if message is Message.HEARTBEAT:
            return [(0, payload)]
        return self._ticks(payload, [state.fault for state in states], now)

    def _quiet(self, message: Message, now: Instant) -> bool:
        if self.deaf(now):
            return True
        return any(
            self._concerned(state)
            and not (message is Message.HEARTBEAT and state.fault.yes("heartbeats"))
            and not (message is Message.UPDATE and state.fault.yes("updates"))
            for state in self._faults.on("ticks_silent", now)
        )

    def _concerned(self, state: FaultState) -> bool:
        began_at = state.began_at
        assert began_at is not None
        return not state.fault.yes("reconnect_cures") or self._opened_at <= began_at

    def _skew(self, now: Instant) -> Instant:
        return sum(state.fault.span("seconds") for state in self._faults.on("clock_skew", now))

    # ── ticks ────────────────────────────────────────────────────────────────────────────────

    def _ticks(self, payload: bytes, struck: list[Fault], now: Instant) -> Outgoing:
        skew = self._skew(now) // SECOND
        if skew:
            payload = join(moved(packet, skew) for packet in packets(payload))
        out: list[Payload] = [payload]
        for fault in struck:
            match fault.kind:
                case "socket_closed":
                    self.ending = Ending(fault.text("how"))
                    return []
                case "instrument_frozen":
                    tokens = self._tokens(fault)
                    kept = [p for p in packets(payload) if not _concerns(tokens, p)]
                    out = [join(kept)] if kept else []
                case "absurd_price":
                    tokens, how = self._tokens(fault), fault.text("how")
                    out = [
                        join(
                            absurd(packet, how) if _concerns(tokens, packet) else packet
                            for packet in packets(payload)
                        )
                    ]
                case "malformed_frame":
                    out = [malformed(payload, fault.text("how"))]
                case "stale_ticks":
                    old = self._old(now - fault.span("age"))
                    if old is not None:
                        out = [old] if fault.text("how") == "instead" else [old, payload]
                case _:
                    pass
        if self._faults.asked("stale_ticks"):
            self._sent.append((now, payload))
        return [(0, each) for each in out]

    def _tokens(self, fault: Fault) -> frozenset[int]:
        named = (self._token_of(name) for name in fault.names("instruments"))
        return frozenset(token for token in named if token is not None)

    def _old(self, at: Instant) -> bytes | None:
        old = None
        for sent_at, payload in self._sent:
            if sent_at > at and old is not None:
                break
            old = payload
        return old

    # ── order updates ────────────────────────────────────────────────────────────────────────

    def _update(self, payload: str, struck: list[Fault], now: Instant) -> Outgoing:
        skew = self._skew(now)
        if skew:
            payload = msgspec.json.encode(shift_times(msgspec.json.decode(payload), skew)).decode()
        out: Outgoing = [(0, payload)]
        held, self._held = self._held, []
        for fault in struck:
            match fault.kind:
                case "update_lost":
                    out = []
                case "update_doubled":
                    out = [*out, *((delay + fault.span("seconds"), p) for delay, p in out)]
                case "update_late":
                    out = [(delay + fault.span("seconds"), p) for delay, p in out]
                case "update_cut":
                    out = [(delay, p[: len(p) // 2]) for delay, p in out]
                case "update_swapped":
                    self._held += [(now + fault.span("seconds"), p) for _, p in out]
                    out = []
                case _:
                    pass
        return [*out, *((0, each) for _, each in held)]


def packets(message: bytes) -> Iterator[bytes]:
    """The packets of a binary message (kite.trade/docs/connect/v3/websocket)."""
    (count,) = struct.unpack_from(">H", message)
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">H", message, at)
        yield message[at + 2 : at + 2 + length]
        at += 2 + length


def join(parts: Iterator[bytes] | list[bytes]) -> bytes:
    """One binary message of packets."""
    listed = list(parts)
    return struct.pack(">H", len(listed)) + b"".join(
        struct.pack(">H", len(packet)) + packet for packet in listed
    )


def moved(packet: bytes, seconds: int) -> bytes:
    """A packet whose times are off by so many seconds."""
    changed = bytearray(packet)
    for at in _TIMES.get(len(packet), ()):
        (then,) = struct.unpack_from(">I", packet, at)
        if then:
            struct.pack_into(">I", changed, at, (then + seconds) & 0xFFFF_FFFF)
    return bytes(changed)


def absurd(packet: bytes, how: str) -> bytes:
    """A packet whose last price is nonsense."""
    (last,) = struct.unpack_from(">I", packet, 4)
    price = {"zero": 0, "huge": 0xFFFF_FFFF, "x100": min(last * 100, 0xFFFF_FFFF)}[how]
    return packet[:4] + struct.pack(">I", price) + packet[8:]


def malformed(message: bytes, how: str) -> bytes:
    """A binary message that cannot be what it says."""
    (count,) = struct.unpack_from(">H", message)
    more = struct.pack(">H", count + 1) + message[2:]
    match how:
        case "wrong_count":
            return more
        case "cut":
            return message[:-3]
        case "unknown_length":
            return more + struct.pack(">H", _UNKNOWN_LENGTH) + bytes(_UNKNOWN_LENGTH)
        case _:
            return message[:3]


def _concerns(tokens: frozenset[int], packet: bytes) -> bool:
    return not tokens or struct.unpack_from(">I", packet)[0] in tokens
