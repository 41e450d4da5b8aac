"""Kite's binary market-data frames, read into ticks: no dictionaries, prices as whole numbers.

Layout: kite.trade/docs/connect/v3/websocket; big-endian and unsigned, as all official clients read
it. A frame is a count (2 bytes), then for each packet its length (2 bytes) and its body, whose
length selects the layout. Runs of packets of one length are read as columns; an index among shares,
whose packet is shorter, ends one run and begins another. Small frames are read one by one, because
NumPy costs more than they do.

**When a tick happened** is the exchange's stamp in whole UNIX seconds, never the time of arrival:
Kite shows a new subscriber the last tick it has, however old. A stamp up to a minute ahead of
arrival is a clock that is ahead, and the tick counts as of its arrival; one further ahead, one of
before 2000 (a zero) and none at all (every mode but ``full``) leave the tick's age unknown: it is left
out and counted.

A frame whose framing does not add up costs that frame; a packet of a length nobody knows costs that
packet. Prices are not judged here: that is the core's to do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, SECOND, Instant
from kitestring.domain.money import UNITS_PER_RUPEE, Price
from kitestring.domain.ticks import Tick

LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL = 8, 28, 32, 44, 184
LENGTHS: Final = (LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL)
AHEAD_MAX: Final = MINUTE
"""How far a stamp may run ahead of arrival; the core refuses what is further ahead, too."""
STAMP_MIN: Final = 946_684_800
"""1 January 2000: an earlier stamp is none."""
SMALL: Final = 40
"""Up to so many packets are read one by one."""

_CDS: Final = 3
_FINE: Final = (6, 12)
"""BCD and NCO count in ten-thousandths, the house's own unit."""
_UNITS_PER_HUNDREDTH: Final = UNITS_PER_RUPEE // 100
_CDS_PARTS: Final = 10_000_000 // UNITS_PER_RUPEE

Ints = NDArray[np.int64]

_HEAD: Final = struct.Struct(">H")
_PAIR: Final = struct.Struct(">II")
_WORD: Final = struct.Struct(">I")
_FULL_BODY: Final = struct.Struct(">II8xI28xI8xIII52xII")
"""Token, last price, volume, OI, stamp, best bid and best ask; the rest is skipped."""


def _packet(length: int, **places: int) -> np.dtype[np.void]:
    """A packet behind its length; ``places`` are offsets in its body."""
    return np.dtype(
        {
            "names": ["length", *places],
            "formats": [">u2", *(">u4" for _ in places)],
            "offsets": [0, *(2 + place for place in places.values())],
            "itemsize": 2 + length,
        }
    )


_PACKETS: Final = MappingProxyType(
    {
        LTP: _packet(LTP, token=0, last=4),
        INDEX_QUOTE: _packet(INDEX_QUOTE, token=0, last=4),
        INDEX_FULL: _packet(INDEX_FULL, token=0, last=4, stamp=28),
        QUOTE: _packet(QUOTE, token=0, last=4, volume=16),
        FULL: _packet(
            FULL,
            token=0,
            last=4,
            volume=16,
            oi=48,
            stamp=60,
            bid_qty=64,
            bid_px=68,
            ask_qty=124,
            ask_px=128,
        ),
    }
)
_ROWS: Final = (
    *("last", "bid_px", "ask_px"),
    *("token", "volume", "oi", "stamp", "bid_qty", "ask_qty"),
)
"""What is read, prices first."""
_PRICES: Final = 3
_FIELDS: Final = MappingProxyType(
    {
        length: tuple((_ROWS.index(name), name) for name in layout.names or () if name in _ROWS)
        for length, layout in _PACKETS.items()
    }
)
"""Of each layout, which row takes which field."""


class FrameDamaged(ValueError):
    """A frame whose count and lengths do not add up to its bytes."""


class TickColumns(NamedTuple):
    """The packets of a frame in their order, one entry per packet in each column.

    Prices in units of 1/10 000 rupee, ``stamp`` in UNIX seconds (0 where the layout has none).
    """

    token: Ints
    last_px: Ints
    cum_qty: Ints
    bid_px: Ints
    bid_qty: Ints
    ask_px: Ints
    ask_qty: Ints
    oi: Ints
    stamp: Ints


class FrameCounts(msgspec.Struct):
    """What was read, and what was left out and why; whoever watches the feed reads these."""

    frames: int = 0
    ticks: int = 0
    heartbeats: int = 0
    damaged: int = 0
    """Frames left out whole."""
    odd_packets: int = 0
    """Packets of a length nobody knows."""
    strangers: int = 0
    """Packets of tokens nobody asked for."""
    short_packets: int = 0
    """Packets in a mode that carries no time."""
    undated: int = 0
    """Ticks left out because their age is unknown."""
    ahead: int = 0
    """Ticks left out because their stamp lies more than a minute ahead of their arrival."""
    early: int = 0
    """Ticks whose stamp lies ahead of their arrival by less; counted as of arrival."""


class FrameReader:
    """Reads frames for one table of instruments; ``counts`` says what became of them.

    ``arrival_stands_in``: a tick without a stamp counts as of its arrival instead of being left out;
    for feeds that are wanted in another mode than ``full``.
    """

    def __init__(
        self, instruments: Mapping[int, InstrumentId], *, arrival_stands_in: bool = False
    ) -> None:
        self.counts = FrameCounts()
        self._instruments = instruments
        self._arrival_stands_in = arrival_stands_in

    def read(self, frame: bytes, received_at: Instant) -> tuple[Tick, ...]:
        """The ticks of a frame; none of a heartbeat. Raises ``FrameDamaged`` and counts it."""
        counts = self.counts
        counts.frames += 1
        if len(frame) < 2:
            counts.heartbeats += 1
            return ()
        (packets,) = _HEAD.unpack_from(frame)
        try:
            if packets <= SMALL:
                ticks = self._one_by_one(frame, packets, received_at)
            else:
                ticks = self._at_once(frame, received_at)
        except FrameDamaged:
            counts.damaged += 1
            raise
        counts.ticks += len(ticks)
        return ticks

    def _one_by_one(self, frame: bytes, packets: int, received_at: Instant) -> tuple[Tick, ...]:
        instruments, size = self._instruments, len(frame)
        ticks: list[Tick] = []
        counted = FrameCounts()
        at = 2
        for _ in range(packets):
            if at + 2 > size:
                raise FrameDamaged(f"{packets} packets were promised, {size} bytes hold fewer")
            (length,) = _HEAD.unpack_from(frame, at)
            end = at + 2 + length
            if end > size:
                raise FrameDamaged(f"a packet of {length} bytes ends after {size - at - 2}")
            at, body = end, at + 2
            if length not in LENGTHS:
                counted.odd_packets += 1
                continue
            if length == FULL:
                token, last, volume, oi, stamp, bid_qty, bid, ask_qty, ask = _FULL_BODY.unpack_from(
                    frame, body
                )
            else:
                token, last = _PAIR.unpack_from(frame, body)
                volume = oi = stamp = bid_qty = bid = ask_qty = ask = 0
                if length == INDEX_FULL:
                    (stamp,) = _WORD.unpack_from(frame, body + 28)
                else:
                    counted.short_packets += 1
                    if length == QUOTE:
                        (volume,) = _WORD.unpack_from(frame, body + 16)
            instrument = instruments.get(token)
            if instrument is None:
                counted.strangers += 1
                continue
            event_at = stamp * SECOND
            if stamp < STAMP_MIN or event_at > received_at:
                dated = self._event_at(stamp, received_at, counted)
                if dated is None:
                    continue
                event_at = dated
            segment = token & 0xFF
            if segment == _CDS:
                last, bid, ask = _of_cds(last), _of_cds(bid), _of_cds(ask)
            elif segment not in _FINE:
                last *= _UNITS_PER_HUNDREDTH
                bid *= _UNITS_PER_HUNDREDTH
                ask *= _UNITS_PER_HUNDREDTH
            ticks.append(
                Tick(
                    instrument,
                    event_at,
                    Price(last),
                    volume,
                    Price(bid),
                    bid_qty,
                    Price(ask),
                    ask_qty,
                    oi,
                )
            )
        if at != size:
            raise FrameDamaged(f"{size - at} bytes follow the last of {packets} packets")
        self._count(counted)
        return tuple(ticks)

    def _event_at(self, stamp: int, received_at: Instant, counted: FrameCounts) -> Instant | None:
        """When it happened by the rule of this module; ``None`` where that cannot be known."""
        event_at = stamp * SECOND
        if event_at > received_at:
            if event_at > received_at + AHEAD_MAX:
                counted.ahead += 1
                return None
            counted.early += 1
            return received_at
        if stamp < STAMP_MIN:
            if self._arrival_stands_in:
                return received_at
            counted.undated += 1
            return None
        return event_at

    def _at_once(self, frame: bytes, received_at: Instant) -> tuple[Tick, ...]:
        counted = FrameCounts()
        columns = columns_of(frame, counted)
        named = list(map(self._instruments.get, columns.token.tolist()))
        event_at = columns.stamp * SECOND
        if len(event_at) and (
            int(columns.stamp.min()) < STAMP_MIN or int(event_at.max()) > received_at
        ):
            early = event_at > received_at
            ahead = event_at > received_at + AHEAD_MAX
            undated = columns.stamp < STAMP_MIN
            known = np.array([each is not None for each in named], dtype=np.bool_)
            counted.ahead = int((ahead & known).sum())
            counted.early = int((early & ~ahead & known).sum())
            event_at = np.where(early, received_at, event_at)
            if self._arrival_stands_in:
                event_at = np.where(undated, received_at, event_at)
                kept = ~ahead
            else:
                counted.undated = int((undated & known).sum())
                kept = ~(ahead | undated)
            if not kept.all():
                columns = TickColumns(*(column[kept] for column in columns))
                event_at = event_at[kept]
                counted.strangers = sum(
                    each is None and not keep
                    for each, keep in zip(named, kept.tolist(), strict=True)
                )
                named = [each for each, keep in zip(named, kept.tolist(), strict=True) if keep]
        ticks = tuple(
            map(
                Tick,
                named,  # strangers, as ``None``, are taken out below
                event_at.tolist(),
                columns.last_px.tolist(),
                columns.cum_qty.tolist(),
                columns.bid_px.tolist(),
                columns.bid_qty.tolist(),
                columns.ask_px.tolist(),
                columns.ask_qty.tolist(),
                columns.oi.tolist(),
            )
        )
        if None in named:
            known_ticks = tuple(tick for tick in ticks if tick.instrument is not None)
            counted.strangers += len(ticks) - len(known_ticks)
            ticks = known_ticks
        self._count(counted)
        return ticks

    def _count(self, counted: FrameCounts) -> None:
        counts = self.counts
        counts.odd_packets += counted.odd_packets
        counts.strangers += counted.strangers
        counts.short_packets += counted.short_packets
        counts.undated += counted.undated
        counts.ahead += counted.ahead
        counts.early += counted.early


def _of_cds(parts: int) -> int:
    """Ten-millionths as ten-thousandths, half up; every price on CDS's tick of 0.0025 is exact."""
    return (parts + _CDS_PARTS // 2) // _CDS_PARTS


# ── columns ──────────────────────────────────────────────────────────────────────────────────


def columns_of(frame: bytes, counted: FrameCounts | None = None) -> TickColumns:
    """The packets of a frame as columns. Raises ``FrameDamaged``; odd packets are left out."""
    size = len(frame)
    if size < 2:
        raise FrameDamaged(f"a frame of {size} bytes has no packets")
    (promised,) = _HEAD.unpack_from(frame)
    # Gathered first and widened together: one pass over memory that lies together is what is fast.
    packed = np.zeros((len(_ROWS), promised), dtype=">u4")
    at, left, place = 2, promised, 0
    while left:
        if at + 2 > size:
            raise FrameDamaged(f"{promised} packets were promised, {size} bytes hold fewer")
        (length,) = _HEAD.unpack_from(frame, at)
        if at + 2 + length > size:
            raise FrameDamaged(f"a packet of {length} bytes ends after {size - at - 2}")
        layout = _PACKETS.get(length)
        if layout is None:
            if counted is not None:
                counted.odd_packets += 1
            at += 2 + length
            left -= 1
            continue
        run = _run(frame, at, length, layout, left)
        packets = len(run)
        for row, name in _FIELDS[length]:
            packed[row, place : place + packets] = run[name]
        if counted is not None and length not in (FULL, INDEX_FULL):
            counted.short_packets += packets
        place += packets
        at += packets * (2 + length)
        left -= packets
    if at != size:
        raise FrameDamaged(f"{size - at} bytes follow the last of {promised} packets")
    return _widened(packed[:, :place])


def _run(
    frame: bytes, at: int, length: int, layout: np.dtype[np.void], left: int
) -> NDArray[np.void]:
    """The packets of the same length from here on.

    Looked for in growing steps, so that a frame of many short runs is not searched to its end for
    each of them.
    """
    most = min(left, (len(frame) - at) // (2 + length))
    seen, step = 1, 32
    while seen < most:
        upto = min(most, seen + step)
        other = (
            np.frombuffer(frame, layout, upto - seen, at + seen * (2 + length))["length"] != length
        )
        first = int(other.argmax())
        if other[first]:
            seen += first
            break
        seen, step = upto, step * 64
    return np.frombuffer(frame, layout, seen, at)


def _widened(packed: NDArray[np.uint32]) -> TickColumns:
    """The rows as 64-bit numbers, prices in the house's units."""
    wide: Ints = packed.astype(np.int64)
    prices = wide[:_PRICES]
    last_px, bid_px, ask_px, token, volume, oi, stamp, bid_qty, ask_qty = wide
    segment = packed[_ROWS.index("token")].view(np.uint8)[3::4]  # the low byte of a token
    cds = segment == _CDS
    fine = (segment == _FINE[0]) | (segment == _FINE[1])
    if cds.any() or fine.any():
        prices[:] = np.where(
            cds,
            (prices + _CDS_PARTS // 2) // _CDS_PARTS,
            np.where(fine, prices, prices * _UNITS_PER_HUNDREDTH),
        )
    else:
        prices *= _UNITS_PER_HUNDREDTH
    return TickColumns(
        token=token,
        last_px=last_px,
        cum_qty=volume,
        bid_px=bid_px,
        bid_qty=bid_qty,
        ask_px=ask_px,
        ask_qty=ask_qty,
        oi=oi,
        stamp=stamp,
    )
