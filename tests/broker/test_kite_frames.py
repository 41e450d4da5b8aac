"""Frames as ticks: equal to what the official client reads, exact in price, honest about age, hard to break."""

import datetime as dt
import struct
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker as OfficialTicker

from kitestring.broker import kite_frames
from kitestring.broker.kite_frames import (
    LENGTHS,
    SMALL,
    FrameDamaged,
    FrameReader,
    columns_of,
)
from kitestring.domain.instants import SECOND, instant
from kitestring.domain.money import Price, price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.wire.kite_packets import Mode, PacketBatch

NOW = instant(dt.date(2026, 11, 20), dt.time(10, 0))
STAMP = NOW // SECOND
SEGMENTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)
LAYOUTS = st.sampled_from(LENGTHS)


def framed(*bodies, count=None):
    packets = b"".join(struct.pack(">H", len(body)) + body for body in bodies)
    return struct.pack(">H", len(bodies) if count is None else count) + packets


def full(
    token=408065, last=150_000, stamp=STAMP, volume=7, oi=9, bid=(50, 149_995), ask=(60, 150_005)
):
    """A body of 184 bytes."""
    body = bytearray(184)
    struct.pack_into(">II", body, 0, token, last)
    struct.pack_into(">I", body, 16, volume)
    struct.pack_into(">I", body, 48, oi)
    struct.pack_into(">I", body, 60, stamp)
    struct.pack_into(">II", body, 64, *bid)
    struct.pack_into(">II", body, 124, *ask)
    return bytes(body)


def index(token=256265, last=2_400_000, stamp=STAMP):
    """A body of 32 bytes."""
    return struct.pack(">IIIIIIII", token, last, 0, 0, 0, 0, 0, stamp)


def read(frame, received_at=NOW, **options):
    names = {token: f"X:{token}" for token in tokens_of(frame)}
    reader = FrameReader(names, **options)
    return reader.read(frame, received_at), reader.counts


def tokens_of(frame):
    try:
        return columns_of(frame).token.tolist()
    except FrameDamaged:
        return []


# ── beside the official client ───────────────────────────────────────────────────────────────────


@st.composite
def random_frames(draw):
    """Random bytes in every layout, with tokens of every segment and any stamp."""
    longest = draw(st.sampled_from([3, SMALL, SMALL + 1, 90]))
    lengths = draw(st.lists(LAYOUTS, min_size=1, max_size=longest))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bodies = []
    for place, length in enumerate(lengths):
        body = bytearray(chance.bytes(length))
        struct.pack_into(">I", body, 0, (place + 1) << 8 | SEGMENTS[int(chance.integers(10))])
        at = {32: 28, 184: 60}.get(length)
        if at is not None:
            struct.pack_into(">I", body, at, STAMP - int(chance.integers(100_000)))
        bodies.append(bytes(body))
    return framed(*bodies)


def in_units(rupees):
    """Exactly; only random bytes in CDS are finer than the house's unit, half goes up."""
    return Price(int((Decimal(repr(rupees)) * 10_000).to_integral_value(ROUND_HALF_UP)))


def official(frame):
    """What the official client reads, in the house's words."""
    rows = OfficialTicker._parse_binary(OfficialTicker("key", "token"), frame)
    return [
        (
            f"X:{row['instrument_token']}",
            None if (at := row.get("exchange_timestamp")) is None else int(at.timestamp()) * SECOND,
            in_units(row["last_price"]),
            row.get("volume_traded", 0),
            in_units(row["depth"]["buy"][0]["price"]) if "depth" in row else 0,
            row["depth"]["buy"][0]["quantity"] if "depth" in row else 0,
            in_units(row["depth"]["sell"][0]["price"]) if "depth" in row else 0,
            row["depth"]["sell"][0]["quantity"] if "depth" in row else 0,
            row.get("oi", 0),
        )
        for row in rows
    ]


def ours(frame):
    ticks, _ = read(frame, arrival_stands_in=True)
    return [
        (t.instrument, t.event_at, t.last_px, t.cum_qty, t.bid_px, t.bid_qty, t.ask_px, t.ask_qty, t.oi)
        for t in ticks
    ]  # fmt: skip


def assert_alike(frame):
    expected = [(row[0], NOW if row[1] is None else row[1], *row[2:]) for row in official(frame)]
    assert ours(frame) == expected


@settings(max_examples=150, deadline=None)
@given(random_frames())
def test_every_field_equals_the_official_clients(frame):
    assert_alike(frame)


@settings(max_examples=60, deadline=None)
@given(random_frames())
def test_columns_and_packets_one_by_one_agree(frame):
    (count,) = struct.unpack_from(">H", frame)
    names = {token: f"X:{token}" for token in tokens_of(frame)}
    one, other = FrameReader(names), FrameReader(names)
    assert one._one_by_one(frame, count, NOW) == other._at_once(frame, NOW)
    assert one.counts == other.counts


@pytest.mark.parametrize("packets", [5, 60])
@pytest.mark.parametrize("fault", ["divisor of NCO", "another row of depth"])
def test_a_planted_fault_is_seen(packets, fault, monkeypatch):
    frame = framed(
        *(full(token=n << 8 | 12, bid=(n, 3), ask=(n, 9)) for n in range(1, packets + 1))
    )
    assert_alike(frame)
    if fault == "divisor of NCO":  # As in the official JavaScript client.
        monkeypatch.setattr(kite_frames, "_FINE", (6, 6))
    else:
        fields = dict(kite_frames._PACKETS[184].fields)
        fields["ask_px"] = (fields["ask_px"][0], fields["ask_px"][1] + 24)
        moved = np.dtype(
            {
                "names": list(fields),
                "formats": [kind for kind, _ in fields.values()],
                "offsets": [offset for _, offset in fields.values()],
                "itemsize": 186,
            }
        )
        monkeypatch.setattr(kite_frames, "_PACKETS", {**kite_frames._PACKETS, 184: moved})
        monkeypatch.setattr(kite_frames, "_FULL_BODY", struct.Struct(">II8xI28xI8xIII40xII"))
    with pytest.raises(AssertionError):
        assert_alike(frame)


# ── prices ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("segment", "parts", "rupees"),
    [
        (1, 157_370, "1573.70"),
        (9, 2_400_505, "24005.05"),
        (3, 845_025_000, "84.5025"),
        (6, 845_025, "84.5025"),
        (12, 1_234_567, "123.4567"),
        (1, 0, "0"),
        (2, 0xFFFF_FFFF, "42949672.95"),
    ],
)
@pytest.mark.parametrize("packets", [1, 60])
def test_a_price_is_exact_in_every_segment(segment, parts, rupees, packets):
    bodies = [full(token=n << 8 | segment, last=parts) for n in range(1, packets + 1)]
    ticks, _ = read(framed(*bodies))
    assert {tick.last_px for tick in ticks} == {price(rupees)}
    assert len(ticks) == packets


# ── when it happened ─────────────────────────────────────────────────────────────────────────────


def event_times(stamp, *, small, **options):
    bodies = [full(token=n << 8 | 1, stamp=stamp) for n in range(1, 3 if small else 60)]
    bodies += [full(token=1 << 16 | 1)]
    ticks, counts = read(framed(*bodies), **options)
    return {tick.event_at for tick in ticks[:-1]}, counts, len(bodies) - 1


@pytest.mark.parametrize("small", [True, False])
class TestTheAgeOfATick:
    def test_is_by_the_exchanges_stamp(self, small):
        times, *_ = event_times(STAMP - 3, small=small)
        assert times == {NOW - 3 * SECOND}

    def test_an_old_one_stays_old(self, small):
        times, *_ = event_times(STAMP - 86_400, small=small)
        assert times == {NOW - 86_400 * SECOND}

    @pytest.mark.parametrize("stamp", [0, 1, 900_000_000])
    def test_one_without_a_stamp_is_left_out(self, small, stamp):
        times, counts, number = event_times(stamp, small=small)
        assert times == set()
        assert counts.undated == number
        assert counts.ticks == 1

    def test_unless_arrival_may_stand_in(self, small):
        times, counts, _ = event_times(0, small=small, arrival_stands_in=True)
        assert times == {NOW}
        assert counts.undated == 0

    def test_a_clock_a_little_ahead_counts_as_arrival(self, small):
        times, counts, number = event_times(STAMP + 59, small=small)
        assert times == {NOW}
        assert counts.early == number

    def test_one_from_the_future_is_left_out(self, small):
        times, counts, number = event_times(STAMP + 61, small=small)
        assert times == set()
        assert counts.ahead == number


def test_a_mode_without_stamps_is_counted_and_not_believed():
    quote, ltp = full()[:44], full(token=2 << 8 | 1)[:8]
    ticks, counts = read(framed(quote, ltp, full(token=3 << 8 | 1)))
    assert [tick.instrument for tick in ticks] == ["X:769"]
    assert (counts.short_packets, counts.undated) == (2, 2)


# ── frames that are not what they should be ──────────────────────────────────────────────────────


@pytest.mark.parametrize("shares", [2, 70])
def test_an_index_among_shares_breaks_no_stride(shares):
    bodies = [full(token=n << 8 | 1) for n in range(1, shares + 1)]
    bodies[1:1] = [index()]
    bodies += [index(token=265 << 8 | 9), index(token=5 << 8 | 9), full(token=77 << 16 | 2)]
    ticks, _ = read(framed(*bodies))
    assert [tick.instrument for tick in ticks] == [
        f"X:{struct.unpack_from('>I', body)[0]}" for body in bodies
    ]
    assert ticks[1] == (kite_frames.Tick("X:256265", NOW, price("24000")))


def test_a_heartbeat_is_no_tick():
    ticks, counts = read(b"\x00")
    assert ticks == ()
    assert (counts.heartbeats, counts.damaged) == (1, 0)


@pytest.mark.parametrize("packets", [1, 3, 60])
class TestDamage:
    def frame(self, packets, **options):
        return framed(*(full(token=n << 8 | 1) for n in range(1, packets + 1)), **options)

    def damaged(self, frame):
        reader = FrameReader({n << 8 | 1: f"X:{n}" for n in range(1, 61)})
        with pytest.raises(FrameDamaged):
            reader.read(frame, NOW)
        assert reader.counts.damaged == 1
        assert reader.counts.ticks == 0
        whole = reader.read(self.frame(3), NOW)
        assert len(whole) == 3

    def test_cut_at_every_byte(self, packets):
        frame = self.frame(packets)
        for size in [2, 3, 4, 11, *range(len(frame) - 190, len(frame))]:
            if size >= 2:
                self.damaged(frame[:size])

    def test_more_promised_than_there_is(self, packets):
        self.damaged(self.frame(packets, count=packets + 1))

    def test_less_promised_than_there_is(self, packets):
        self.damaged(self.frame(packets, count=packets - 1))

    def test_a_packet_of_unknown_length_costs_itself_alone(self, packets):
        bodies = [full(token=n << 8 | 1) for n in range(1, packets + 1)]
        bodies[packets // 2 : packets // 2] = [bytes(13)]
        ticks, counts = read(framed(*bodies))
        assert len(ticks) == packets
        assert (counts.odd_packets, counts.damaged) == (1, 0)

    def test_a_token_nobody_asked_for_is_left_out(self, packets):
        frame = self.frame(packets)
        reader = FrameReader({n << 8 | 1: f"X:{n}" for n in range(2, 61)})
        ticks = reader.read(frame, NOW)
        assert [tick.instrument for tick in ticks] == [f"X:{n}" for n in range(2, packets + 1)]
        assert reader.counts.strangers == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3))
def test_no_bytes_at_all_raise_anything_else(noise, count):
    reader = FrameReader({})
    for frame in (noise, struct.pack(">H", count) + noise, struct.pack(">H", 300) + noise * 4):
        try:
            reader.read(frame, NOW)
        except FrameDamaged:
            pass


# ── beside the exchange's own packing ────────────────────────────────────────────────────────────


def test_what_the_local_exchange_packs_is_what_is_read():
    """Shares and an index, in full mode, from a tick through the exchange's board and back."""
    day = dt.date(2026, 11, 20)
    listed = {each.id: each for each in instruments_on(day)}
    shown = [listed[name] for name in ("NSE:INFY", "NSE:NIFTY 50", "NSE:SBIN", "NFO:NIFTY26NOVFUT")]
    ticks = tuple(
        Tick(each.id, NOW, price(px), volume, bid, 50 if bid else 0, ask, 75 if ask else 0, oi)
        for each, px, volume, bid, ask, oi in (
            (shown[0], "1500.10", 1000, price("1500.05"), price("1500.10"), 0),
            (shown[1], "24005.05", 0, 0, 0, 0),
            (shown[2], "800", 5, price("799.95"), price("800.05"), 0),
            (shown[3], "24050.5", 77, price("24050"), price("24051"), 1_234_500),
        )
    )
    board = MarketBoard(Listing(day, listed.values()), lambda _: None)
    rows = board.apply(TickFrame(NOW, ticks))
    frame = PacketBatch(board, rows).message(np.full(len(rows), Mode.FULL, dtype=np.uint8))
    reader = FrameReader({each.token: each.id for each in shown})
    seen = {tick.instrument: tick for tick in reader.read(frame, NOW)}
    assert seen == {tick.instrument: tick for tick in ticks}
