"""A synthetic day: the same to the byte for a seed, and plausible where it is looked at."""

import datetime as dt
import hashlib
import os
import subprocess
import sys
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitestring.domain.errors import CalendarUnknown, FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, instant, ist_clock
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.exchange.synthetic_paths import BP, MARKET, DayKind, factor_path, level, story
from kitestring.market import calendar

DAY = dt.date(2026, 11, 20)
"""A Friday under the timetable of August–December 2026; NIFTY expires on the Monday after."""


def listed(exchange, symbol, kind, segment, *, name, lot, tick, expiry=None):
    return Instrument(
        id=InstrumentId(f"{exchange}:{symbol}"),
        exchange=exchange,
        symbol=symbol,
        token=1,
        kind=kind,
        segment=segment,
        name=name,
        lot_size=lot,
        tick_size=price(tick),
        expiry=expiry,
    )


INDEX = listed(
    "NSE", "NIFTY 50", InstrumentKind.INDEX, Segment.INDEX, name="NIFTY", lot=1, tick="0.05"
)
FUTURE = listed(
    "NFO",
    "NIFTY26NOVFUT",
    InstrumentKind.FUTURE,
    Segment.FUTURES,
    name="NIFTY",
    lot=65,
    tick="0.10",
    expiry=dt.date(2026, 11, 23),
)
SHARE = listed(
    "NSE",
    "RELIANCE",
    InstrumentKind.EQUITY,
    Segment.EQUITY_WITH_DERIVATIVES,
    name="RELIANCE",
    lot=1,
    tick="0.10",
)
THREE = (INDEX, FUTURE, SHARE)


@cache
def day_frames(seed: int, kind: str = "auto", day: dt.date = DAY) -> tuple[TickFrame, ...]:
    return tuple(SyntheticFeed(day, seed, kind=kind).frames())


@cache
def ticks_of(seed: int, kind: str = "auto", day: dt.date = DAY) -> dict[str, list[Tick]]:
    ticks: dict[str, list[Tick]] = {}
    for frame in day_frames(seed, kind, day):
        for tick in frame.ticks:
            ticks.setdefault(tick.instrument, []).append(tick)
    return ticks


def digest_of(feed: SyntheticFeed, frames: int) -> str:
    digest = hashlib.sha256()
    for number, frame in enumerate(feed.frames()):
        if number == frames:
            break
        digest.update(msgspec.json.encode(frame))
    return digest.hexdigest()


def test_the_first_seconds_of_seed_7_are_these():
    rows = []
    for frame in SyntheticFeed(DAY, 7, THREE).frames():
        if len(rows) == 9:
            break
        rows.extend(
            f"{ist_clock(t.event_at)} {t.instrument} {t.last_px} {t.cum_qty} "
            f"{t.bid_qty}@{t.bid_px} {t.ask_qty}@{t.ask_px} {t.oi}"
            for t in frame.ticks
        )
    assert rows == [
        "09:15:00 NSE:NIFTY 50 238506500 0 0@0 0@0 0",
        "09:15:00 NFO:NIFTY26NOVFUT 238688000 390 65@238688000 65@238696000 17007770",
        "09:15:00 NSE:RELIANCE 13740000 835 664@13738000 1061@13741000 0",
        "09:15:01 NSE:NIFTY 50 238495000 0 0@0 0@0 0",
        "09:15:01 NFO:NIFTY26NOVFUT 238685000 8190 130@238674000 390@238687000 17007770",
        "09:15:01 NSE:RELIANCE 13739000 948 883@13739000 221@13741000 0",
        "09:15:02 NSE:NIFTY 50 238505000 0 0@0 0@0 0",
        "09:15:02 NFO:NIFTY26NOVFUT 238690000 8515 325@238690000 780@238697000 17007770",
        "09:15:02 NSE:RELIANCE 13741000 1157 483@13739000 2757@13741000 0",
    ]


def test_two_thousand_frames_of_seed_7_are_pinned_to_the_byte():
    assert (
        digest_of(SyntheticFeed(DAY, 7, THREE), 2000)
        == "ee014bbceaeecb059eef48d848c17fb6b11518d46ed76f939cd84396b83dec78"
    )


def test_another_process_with_another_hash_seed_makes_the_same_day():
    program = (
        "import datetime as dt, hashlib, msgspec\n"
        "from kitestring.exchange.synthetic_market import SyntheticFeed\n"
        "digest = hashlib.sha256()\n"
        "for frame in SyntheticFeed(dt.date(2026, 11, 20), 11).frames():\n"
        "    digest.update(msgspec.json.encode(frame))\n"
        "print(digest.hexdigest())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4242")
    ]
    assert made[0] == made[1]
    assert made[0].strip() == digest_of(SyntheticFeed(DAY, 11), 10**9)


def test_another_seed_is_another_day():
    assert day_frames(1)[0] != day_frames(2)[0]
    first, second = SyntheticFeed(DAY, 1).manifest, SyntheticFeed(DAY, 2).manifest
    assert first.digest != second.digest
    assert first.previous_close != second.previous_close


def test_which_other_instruments_are_asked_for_changes_no_tick():
    alone = [frame.ticks[0] for frame in SyntheticFeed(DAY, 1, (FUTURE,)).frames()]
    master = SyntheticFeed(DAY, 1).manifest
    real = next(i for i in master.instruments if i.symbol == "NIFTY26NOVFUT")
    assert (real.lot_size, real.tick_size) == (65, price("0.10"))
    assert alone == ticks_of(1)["NFO:NIFTY26NOVFUT"]


def test_the_manifest_says_what_this_is():
    manifest = SyntheticFeed(DAY, 3).manifest
    assert manifest.name == "synthetic (seed 3)"
    assert manifest.date == DAY
    assert manifest.frames_hint == len(day_frames(3))
    assert manifest.rewindable
    assert set(manifest.previous_close) == {i.id for i in manifest.instruments}
    assert any("not a recording" in note for note in manifest.notes)
    assert ist_clock(manifest.sessions[Segment.FUTURES].close_at) == "15:40:00"


def test_the_name_tells_a_chosen_kind_of_day():
    assert SyntheticFeed(DAY, 3, kind="range").manifest.name == "synthetic (seed 3, range)"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_price_is_on_its_tick(seed):
    ticks = ticks_of(seed)
    for instrument in SyntheticFeed(DAY, seed).manifest.instruments:
        for tick in ticks[instrument.id]:
            assert tick.last_px > 0
            assert tick.last_px % instrument.tick_size == 0
            assert tick.bid_px % instrument.tick_size == 0
            assert tick.ask_px % instrument.tick_size == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bid_lies_below_ask_and_trades_lie_near_them(seed):
    for ticks in ticks_of(seed).values():
        for tick in ticks:
            if tick.ask_px:
                assert 0 < tick.bid_px < tick.ask_px
                assert tick.bid_qty > 0
                assert tick.ask_qty > 0
                # A last price older than the quotes may lie a little outside them: 5 bp at most.
                small = tick.last_px * 6 // 10_000
                assert tick.bid_px - small <= tick.last_px <= tick.ask_px + small


def test_indices_have_no_volume_and_no_depth():
    for tick in ticks_of(1)["NSE:NIFTY 50"]:
        assert (tick.cum_qty, tick.bid_px, tick.bid_qty, tick.ask_px, tick.ask_qty, tick.oi) == (
            0,
            0,
            0,
            0,
            0,
            0,
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_volume_never_falls_and_futures_trade_whole_lots(seed):
    for instrument in SyntheticFeed(DAY, seed).manifest.instruments:
        before = 0
        for tick in ticks_of(seed)[instrument.id]:
            assert tick.cum_qty >= before
            assert tick.cum_qty % instrument.lot_size == 0
            assert tick.oi % instrument.lot_size == 0
            before = tick.cum_qty


def test_a_tick_comes_only_when_something_changed():
    for ticks in ticks_of(1).values():
        for before, after in pairwise(ticks):
            assert msgspec.structs.replace(before, event_at=after.event_at) != after


def test_about_one_tick_a_second_and_no_silence_of_a_minute():
    for name, ticks in ticks_of(1).items():
        at = np.array([tick.event_at for tick in ticks]) // SECOND
        per_second = len(at) / (at[-1] - at[0])
        assert (0.5 if "DECFUT" in name else 0.85) < per_second <= 1.0
        assert np.diff(at).max() < 60
        assert np.diff(at).min() == 1


def test_every_segment_keeps_its_hours():
    first = {name: ist_clock(ticks[0].event_at) for name, ticks in ticks_of(1).items()}
    last = {name: ist_clock(ticks[-1].event_at)[:5] for name, ticks in ticks_of(1).items()}
    assert set(first.values()) == {"09:15:00"}
    assert last["NFO:NIFTY26NOVFUT"] == "15:39"
    assert last["NSE:RELIANCE"] == "15:14"


def test_arrival_follows_the_event_and_never_goes_back():
    before = 0
    for frame in day_frames(1):
        assert len({tick.event_at for tick in frame.ticks}) == 1
        assert 40_000 <= frame.received_at - frame.ticks[0].event_at < 400_000
        assert frame.received_at > before
        before = frame.received_at


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_future_stays_near_its_index(seed):
    for name, index in (("NIFTY26NOVFUT", "NIFTY 50"), ("BANKNIFTY26DECFUT", "NIFTY BANK")):
        spot = {tick.event_at: tick.last_px for tick in ticks_of(seed)[f"NSE:{index}"]}
        apart = [
            (tick.last_px - spot[tick.event_at]) / spot[tick.event_at] * 10_000
            for tick in ticks_of(seed)[f"NFO:{name}"]
            if tick.event_at in spot
        ]
        # Carry of 6.3 % a year: 5 bp over 3 days, 67 bp over 39; and at most 15 bp of disagreement.
        carry = 5 if "NOV" in name else 67
        assert len(apart) > 10_000
        assert max(abs(a - carry) for a in apart) < 15


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_the_open_is_wilder_than_midday(seed):
    index = ticks_of(seed)["NFO:NIFTY26NOVFUT"]
    open_at, noon = instant(DAY, dt.time(9, 15)), instant(DAY, dt.time(12, 15))

    def swing(since: int) -> float:
        px = [t.last_px / 10_000 for t in index if since <= t.event_at < since + 900 * SECOND]
        return float(np.abs(np.diff(px)).mean())

    assert swing(open_at) > 1.3 * swing(noon)


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_day_moves_as_much_as_days_do(seed):
    for name, low, high in (("NFO:NIFTY26NOVFUT", 0.3, 3.0), ("NSE:RELIANCE", 0.5, 4.5)):
        feed = SyntheticFeed(DAY, seed)
        (bar,) = SyntheticFeed(dt.date(2026, 11, 23), seed).history(InstrumentId(name), 0, 1)
        assert low < (bar.high - bar.low) / bar.open * 100 < high
        assert abs(bar.open / feed.manifest.previous_close[name] - 1) < 0.03


def test_shares_move_with_the_market():
    def minutes(name: str) -> dict[int, int]:
        return {t.event_at // (60 * SECOND): t.last_px for t in ticks_of(1)[name]}

    market, bank = minutes("NSE:NIFTY 50"), minutes("NSE:HDFCBANK")
    both = sorted(set(market) & set(bank))
    moves = [np.diff([float(px[m]) for m in both]) for px in (market, bank)]
    assert 0.3 < np.corrcoef(*moves)[0, 1] < 0.95


def test_a_trend_day_ends_where_it_says():
    up, down = ticks_of(1, "trend-up"), ticks_of(1, "trend-down")
    name = "NFO:NIFTY26NOVFUT"
    assert up[name][-1].last_px > up[name][0].last_px * 1.005
    assert down[name][-1].last_px < down[name][0].last_px * 0.995


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.integers(0, 25_000), st.sampled_from([0, 1, 255, 256, 257, 23_098, 23_099])))
def test_starting_later_gives_the_rest_of_the_same_day(after):
    whole = day_frames(1)
    rest = SyntheticFeed(DAY, 1).frames(after)
    expected = whole[after : after + 600]
    assert [frame for frame, _ in zip(rest, expected, strict=False)] == list(expected)
    if after >= len(whole):
        assert next(rest, None) is None


def test_the_whole_tail_is_the_same():
    assert tuple(SyntheticFeed(DAY, 1).frames(5_001)) == day_frames(1)[5_001:]


def test_a_muhurat_hour_is_an_hour_of_ticks():
    day = dt.date(2024, 11, 1)
    ticks = ticks_of(1, day=day)
    for of_one in ticks.values():
        assert ist_clock(of_one[0].event_at) == "18:00:00"
        assert ist_clock(of_one[-1].event_at)[:5] == "18:59"


def test_a_session_in_two_parts_is_silent_in_between():
    day = dt.date(2024, 3, 2)
    for ticks in ticks_of(1, day=day).values():
        clocks = [ist_clock(tick.event_at)[:5] for tick in ticks]
        assert clocks[0] == "09:15"
        assert clocks[-1] == "12:29"
        assert not [clock for clock in clocks if "10:00" <= clock < "11:30"]


def test_a_holiday_has_no_synthetic_day():
    with pytest.raises(CalendarUnknown):
        SyntheticFeed(dt.date(2026, 11, 24), 1).manifest  # noqa: B018 - reading it makes the day


def test_an_unknown_kind_of_day_is_refused_by_name():
    with pytest.raises(FeedError, match="no synthetic day of kind 'calm'"):
        SyntheticFeed(DAY, 1, kind="calm")


def test_an_instrument_without_a_model_is_refused_by_name():
    stranger = listed(
        "NSE", "ITC", InstrumentKind.EQUITY, Segment.EQUITY, name="ITC", lot=1, tick="0.05"
    )
    with pytest.raises(FeedError, match="no ITC"):
        next(SyntheticFeed(DAY, 1, (stranger,)).frames())


def test_any_ten_trading_days_hold_a_crash_and_several_other_kinds_of_day():
    for seed in range(1, 20):
        for first in (dt.date(2026, 8, 3), dt.date(2026, 8, 6), dt.date(2026, 8, 11)):
            day, kinds = first, []
            while len(kinds) < 10:
                kinds.append(story(seed, day))
                day = calendar.next_trading_day(day)
            assert kinds.count(DayKind.CRASH) == 1
            assert len(set(kinds)) >= 4


def test_a_crash_day_falls_four_per_cent_and_the_fortnight_takes_it_back():
    crash = dt.date(2026, 8, 7)
    assert story(1, crash) is DayKind.CRASH
    at_once = factor_path(1, MARKET, crash, 22_500)
    fallen = int(at_once[-1]) - level(1, MARKET, crash - dt.timedelta(days=1))
    assert -550 * BP < fallen < -250 * BP
    assert int(at_once.min()) < int(at_once[0]) - 250 * BP
