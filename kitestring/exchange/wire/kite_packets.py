"""Ticker packets as Kite packs them: 8, 28, 32, 44 or 184 bytes each, many instruments to a message.

Layouts, lengths and framing: kite.trade/docs/connect/v3/websocket; big-endian and unsigned, as all
official clients read them. A message is the number of packets (2 bytes), then for each its length
(2 bytes) and its body. Prices are whole numbers of a segment's smallest part: hundredths, but ten
millionths in CDS and ten thousandths in BCD and NCO (the official Python client 5.2.2).

Every shorter body is the beginning of the longer one, so each instrument of a frame is packed once
and cut to the mode that a connection asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from kitestring.domain.money import UNITS_PER_RUPEE
from kitestring.exchange.depth import DepthColumns, Ints
from kitestring.exchange.market_board import MarketBoard, PacketColumns

CDS: Final = 3
BCD: Final = 6
INDICES: Final = 9
NCO: Final = 12
_HUNDREDTH: Final = UNITS_PER_RUPEE // 100

Modes = npt.NDArray[np.uint8]
Bytes = npt.NDArray[np.uint8]


class Mode(IntEnum):
    """How much of an instrument a connection wants to hear."""

    OFF = 0
    LTP = 1
    QUOTE = 2
    FULL = 3


LENGTHS: Final = {Mode.LTP: 8, Mode.QUOTE: 44, Mode.FULL: 184}
INDEX_LENGTHS: Final = {Mode.LTP: 8, Mode.QUOTE: 28, Mode.FULL: 32}

_LEVEL: Final = np.dtype([("qty", ">u4"), ("px", ">u4"), ("orders", ">u2"), ("pad", ">u2")])
_FULL: Final = np.dtype(
    [
        ("token", ">u4"),
        ("last_px", ">u4"),
        ("last_qty", ">u4"),
        ("average_px", ">u4"),
        ("volume", ">u4"),
        ("buy_qty", ">u4"),
        ("sell_qty", ">u4"),
        ("open", ">u4"),
        ("high", ">u4"),
        ("low", ">u4"),
        ("close", ">u4"),
        ("traded_at", ">u4"),
        ("oi", ">u4"),
        ("oi_high", ">u4"),
        ("oi_low", ">u4"),
        ("event_at", ">u4"),
        ("depth", _LEVEL, (10,)),
    ]
)
_INDEX: Final = np.dtype(
    [
        ("token", ">u4"),
        ("last_px", ">u4"),
        ("high", ">u4"),
        ("low", ">u4"),
        ("open", ">u4"),
        ("close", ">u4"),
        ("change", ">u4"),
        ("event_at", ">u4"),
    ]
)
_PRICES: Final = frozenset({"last_px", "average_px", "open", "high", "low", "close"})


def divisor(token: int) -> int:
    """What a packet's prices are divided by to give rupees."""
    match token & 0xFF:
        case 3:
            return 10_000_000
        case 6 | 12:
            return 10_000
        case _:
            return 100


def _packed_px(px: Ints, segment: Ints) -> Ints:
    """Prices in the segments' own parts; to the nearest hundredth where those are the parts."""
    packed = (px + _HUNDREDTH // 2) // _HUNDREDTH
    fine = (segment == BCD) | (segment == NCO)
    if fine.any():
        packed = np.where(fine, px, packed)
    finest = segment == CDS
    if finest.any():
        packed = np.where(finest, px * (divisor(CDS) // UNITS_PER_RUPEE), packed)
    return packed


def full_bodies(columns: PacketColumns, depth: DepthColumns | None) -> Bytes:
    """Bodies of 184 bytes of instruments that are no index, one a row; zeros where depth is ``None``.

    A quantity above 32 bits wraps, as it would in Kite's own packets.
    """
    segment = columns.token & 0xFF
    bodies = np.zeros(len(columns.token), dtype=_FULL)
    for name, column in zip(PacketColumns._fields, columns, strict=True):
        bodies[name] = _packed_px(column, segment) if name in _PRICES else column
    if depth is not None:
        levels = bodies["depth"]
        levels["qty"] = depth.qty
        levels["px"] = _packed_px(depth.px, segment[:, np.newaxis])
        levels["orders"] = depth.orders
    return bodies.view(np.uint8).reshape(len(bodies), _FULL.itemsize)


def index_bodies(columns: PacketColumns) -> Bytes:
    """Bodies of 32 bytes of indices, one a row.

    No client reads the change, and nobody documents its scale or sign: it is last price less
    close in hundredths, modulo 2^32.
    """
    segment = columns.token & 0xFF
    bodies = np.zeros(len(columns.token), dtype=_INDEX)
    for name in ("token", "last_px", "high", "low", "open", "close", "event_at"):
        column = getattr(columns, name)
        bodies[name] = _packed_px(column, segment) if name in _PRICES else column
    change = _packed_px(columns.last_px, segment) - _packed_px(columns.close, segment)
    bodies["change"] = change & 0xFFFF_FFFF
    return bodies.view(np.uint8).reshape(len(bodies), _INDEX.itemsize)


class _Sort:
    """The instruments of a batch that share a layout: packed once, cut to each mode once."""

    def __init__(self, bodies: Bytes, lengths: dict[Mode, int]) -> None:
        self._bodies = bodies
        self._lengths = lengths
        self._framed: dict[Mode, Bytes] = {}

    def framed(self, mode: Mode) -> Bytes:
        """Length and body of every packet in one mode, one a row."""
        framed = self._framed.get(mode)
        if framed is None:
            length = self._lengths[mode]
            framed = np.empty((len(self._bodies), 2 + length), dtype=np.uint8)
            framed[:, 0] = length >> 8
            framed[:, 1] = length & 0xFF
            framed[:, 2:] = self._bodies[:, :length]
            self._framed[mode] = framed
        return framed


class PacketBatch:
    """Some rows of the board, packed once for every connection that wants any of them.

    ``most`` is the fullest mode that anybody wants: depth is reckoned for ``FULL`` only.
    """

    def __init__(self, board: MarketBoard, rows: Ints, most: Mode = Mode.FULL) -> None:
        self.rows = rows
        self.most = most
        columns = board.columns(rows)
        index = (columns.token & 0xFF) == INDICES
        self._sorts: list[tuple[Ints | None, _Sort]] = []
        if not index.any():
            depth = board.depth(rows) if most is Mode.FULL else None
            self._sorts.append((None, _Sort(full_bodies(columns, depth), LENGTHS)))
            return
        (places,) = np.nonzero(index)
        some = PacketColumns(*(column[places] for column in columns))
        self._sorts.append((places, _Sort(index_bodies(some), INDEX_LENGTHS)))
        (places,) = np.nonzero(~index)
        if len(places):
            some = PacketColumns(*(column[places] for column in columns))
            depth = board.depth(rows[places]) if most is Mode.FULL else None
            self._sorts.append((places, _Sort(full_bodies(some, depth), LENGTHS)))

    def message(self, modes: Modes) -> bytes:
        """The message for a connection that wants each row in the mode given; empty if none."""
        return message_of([(self, modes)])

    def packed(self, modes: Modes) -> tuple[int, list[bytes]]:
        """How many packets those are, and their bytes."""
        count = 0
        parts: list[bytes] = []
        for places, sort in self._sorts:
            wanted = modes if places is None else modes[places]
            for mode in (Mode.LTP, Mode.QUOTE, Mode.FULL):
                (chosen,) = np.nonzero(wanted == mode)
                if not len(chosen):
                    continue
                framed = sort.framed(mode)
                count += len(chosen)
                parts.append((framed if len(chosen) == len(framed) else framed[chosen]).tobytes())
        return count, parts


def message_of(batches: Iterable[tuple[PacketBatch, Modes]]) -> bytes:
    """One message of several batches, each in the modes given; empty if nothing is wanted."""
    total, parts = 0, [b""]
    for batch, modes in batches:
        count, some = batch.packed(modes)
        total += count
        parts += some
    parts[0] = total.to_bytes(2, "big")
    return b"".join(parts) if total else b""


# ── reading packets back ─────────────────────────────────────────────────────────────────────────


def split(message: bytes) -> Iterator[bytes]:
    """The bodies of a message; raises ``ValueError`` where it is cut short or too long."""
    (count,) = struct.unpack_from(">H", message)
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">H", message, at)
        body = message[at + 2 : at + 2 + length]
        if len(body) != length:
            raise ValueError(f"a packet of {length} bytes ends after {len(body)}")
        yield body
        at += 2 + length
    if at != len(message):
        raise ValueError(f"{len(message) - at} bytes follow the last of {count} packets")


def decode(body: bytes) -> dict[str, object]:
    """One packet in words, for diagnosis: prices in rupees, moments in epoch seconds.

    Raises ``ValueError`` for a length that no packet has.
    """
    token: int = struct.unpack_from(">I", body)[0]
    index = token & 0xFF == INDICES
    parts = divisor(token)
    lengths = INDEX_LENGTHS if index else LENGTHS
    mode = next((mode for mode, length in lengths.items() if length == len(body)), None)
    if mode is None:
        raise ValueError(f"no packet of instrument {token} has {len(body)} bytes")
    layout = _INDEX if index else _FULL
    (row,) = np.frombuffer(body.ljust(layout.itemsize, b"\0"), dtype=layout)
    words: dict[str, object] = {
        "mode": mode.name.lower(),
        "tradable": not index,
        "instrument_token": token,
        "last_price": int(row["last_px"]) / parts,
    }
    if mode is Mode.LTP:
        return words
    prices = {name: int(row[name]) / parts for name in ("open", "high", "low", "close")}
    if not index:
        for word, name in (
            ("last_quantity", "last_qty"),
            ("volume", "volume"),
            ("buy_quantity", "buy_qty"),
            ("sell_quantity", "sell_qty"),
        ):
            words[word] = int(row[name])
        words["average_price"] = int(row["average_px"]) / parts
    words["ohlc"] = prices
    if mode is Mode.FULL:
        words["timestamp"] = int(row["event_at"])
        if not index:
            words["last_trade_time"] = int(row["traded_at"])
            words["oi"] = int(row["oi"])
            words["oi_day_high"], words["oi_day_low"] = int(row["oi_high"]), int(row["oi_low"])
            levels = [
                {
                    "price": int(level["px"]) / parts,
                    "quantity": int(level["qty"]),
                    "orders": int(level["orders"]),
                }
                for level in row["depth"]
            ]
            words["depth"] = {"buy": levels[:5], "sell": levels[5:]}
    return words
