"""Candles as bars: Indian time, the day's own hours, nothing half-formed, few calls, and kept on disk."""

import asyncio
import datetime as dt
from itertools import pairwise

import pytest
from feed_stage import DAY, START, in_virtual_time

from kitestring.broker.history_pace import HistoryPace
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed, ReadFailure
from kitestring.broker.kite_history import KiteHistory
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_market_rows import Candle
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.domain.bars import DAY_BAR
from kitestring.domain.instants import MINUTE, SECOND, instant, ist_date, ist_text
from kitestring.domain.money import Price
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market.calendar import is_trading_day
from kitestring.store.candle_cache import CandleCache, CandleKey

LISTED = {each.id: each for each in instruments_on(DAY)}
INFY = LISTED["NSE:INFY"]
NIFTY = LISTED["NSE:NIFTY 50"]
FUTURES = sorted(
    (each for each in LISTED.values() if each.name == "NIFTY" and each.kind == "FUT"),
    key=lambda each: each.expiry,
)


class Recorded:
    """A source that has every minute of every trading day's 09:15 to 15:30, and notes its calls."""

    def __init__(self, now, days=10_000, first=None):
        self.now, self.calls, self.first = now, [], first or {}
        self.at = []

    async def historical(self, token, interval, start_at, end_at, *, continuous=False, oi=False):
        self.calls.append(
            (token, interval, ist_text(start_at)[:16], ist_text(end_at)[:16], continuous)
        )
        self.at.append(asyncio.get_running_loop().time())
        width = {"minute": 1, "5minute": 5, "60minute": 60, "day": 0}[interval]
        rows = []
        day = ist_date(start_at)
        while day <= ist_date(end_at):
            if is_trading_day(day) and day >= self.first.get(token, dt.date(2020, 1, 1)):
                open_at = instant(day, dt.time(0, 0) if not width else dt.time(9, 15))
                count = -(-375 // width) if width else 1
                for n in range(count):
                    at = open_at + n * width * MINUTE
                    if start_at <= at <= min(end_at, self.now()):
                        px = Price(1_000_000 + token % 7 * 10_000)
                        rows.append(
                            Candle(opened_at=at, open=px, high=px, low=px, close=px, volume=n)
                        )
            day += dt.timedelta(days=1)
        return tuple(rows)


class Bench:
    """A history at a moment; time passes only by waiting."""

    def __init__(self, tmp_path, at=START + 30 * SECOND, **recorded):
        self.at = at
        self.source = Recorded(lambda: self.at, **recorded)
        self.cache = CandleCache(tmp_path)
        self.history = self.fresh()

    def fresh(self):
        return KiteHistory(self.source, self.cache, lambda: self.at, FUTURES)

    def bars(self, *asked, history=None, **more):
        return asyncio.run((history or self.history).bars(*asked, **more))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


# ── which bars ───────────────────────────────────────────────────────────────────────────────────


def test_bars_of_today_end_before_the_one_that_is_forming(bench):
    got = bench.bars(NIFTY, 1, 60)
    assert len(got.bars) == 60
    assert ist_text(got.bars[-1].close_at)[11:19] == "10:00:00"
    today = [bar for bar in got.bars if ist_date(bar.open_at) == DAY]
    assert ist_text(today[0].open_at)[11:19] == "09:15:00"
    assert len(today) == 45
    before = [bar for bar in got.bars if ist_date(bar.open_at) < DAY]
    assert ist_text(before[-1].close_at)[:19] == "2026-11-19 15:30:00"
    assert got.notes == ()


def test_they_join_live_bars_without_a_hole_or_an_overlap(bench):
    """Live bars begin with the minute in which ticks began to flow."""
    bench.at = START + 34 * SECOND
    joined_at = START
    got = bench.bars(NIFTY, 1, 20, until=joined_at)
    assert got.bars[-1].close_at == joined_at
    assert all(a.close_at == b.open_at for a, b in zip(got.bars, got.bars[1:], strict=False))


def test_longer_bars_are_cut_at_the_close(bench):
    bars = bench.bars(NIFTY, 60, 14, until=instant(DAY, dt.time(9, 0))).bars
    last = [bar for bar in bars if ist_date(bar.open_at) == dt.date(2026, 11, 19)]
    assert [ist_text(bar.open_at)[11:16] for bar in last] == [
        *("09:15", "10:15", "11:15", "12:15", "13:15", "14:15", "15:15"),
    ]
    assert ist_text(last[-1].close_at)[11:16] == "15:30"


def test_day_bars_are_of_past_days_and_cover_their_session(bench):
    bars = bench.bars(NIFTY, DAY_BAR, 30).bars
    assert len(bars) == 30
    assert ist_date(bars[-1].open_at) == dt.date(2026, 11, 19)
    assert ist_text(bars[-1].open_at)[11:16] == "09:15"
    assert ist_text(bars[-1].close_at)[11:16] == "15:30"


def test_what_no_session_has_is_kept_out(bench):
    async def odd(token, interval, start_at, end_at, **_):
        px = Price(10_000)
        times = [
            instant(dt.date(2026, 11, 19), dt.time(9, 7)),
            instant(dt.date(2026, 11, 19), dt.time(9, 15, 30)),
            instant(dt.date(2026, 11, 19), dt.time(9, 16)),
            instant(dt.date(2026, 11, 19), dt.time(15, 30)),
        ]
        return tuple(
            Candle(opened_at=t, open=px, high=px, low=px, close=px, volume=1) for t in times
        )

    bench.source.historical = odd
    bars = bench.bars(NIFTY, 1, 3, until=instant(DAY, dt.time(9, 0))).bars
    assert [ist_text(bar.open_at)[11:16] for bar in bars] == ["09:16"]
    assert bench.history.kept_out >= 3


def test_bars_that_closed_a_moment_ago_are_waited_for(tmp_path):
    """Kite revises a candle for some seconds."""

    async def play(stage):
        source = Recorded(stage.clock.now)
        history = KiteHistory(source, CandleCache(tmp_path), stage.clock.now)
        await asyncio.sleep(3)
        got = await history.bars(NIFTY, 1, 3, until=START)
        return got.bars[-1].close_at, stage.clock.now()

    last, asked_at = in_virtual_time(play)
    assert last == START
    assert START + 10 * SECOND <= asked_at < START + 11 * SECOND


def test_a_failed_read_is_no_empty_history(bench):
    async def broken(*_, **__):
        raise ConnectionError

    bench.source.historical = broken
    with pytest.raises(ConnectionError):
        bench.bars(NIFTY, 1, 10)


# ── a new future ─────────────────────────────────────────────────────────────────────────────────


def test_day_bars_of_a_future_are_the_continuous_series_and_say_so(bench):
    got = bench.bars(FUTURES[0], DAY_BAR, 10)
    assert [call[-1] for call in bench.source.calls] == [True]
    assert "continuous series" in got.notes[0]


def test_minutes_that_a_new_future_lacks_come_from_the_contract_before_it(tmp_path):
    near, new = FUTURES[0], FUTURES[1]
    bench = Bench(tmp_path, first={new.token: dt.date(2026, 11, 19)})
    got = bench.bars(new, 5, 300)
    assert len(got.bars) == 300
    assert {bar.instrument for bar in got.bars} == {new.id}
    own_from = instant(dt.date(2026, 11, 19), dt.time(9, 15))
    assert {bar.close for bar in got.bars if bar.open_at < own_from} == {
        Price(1_000_000 + near.token % 7 * 10_000)
    }
    opens = [bar.open_at for bar in got.bars]
    assert opens == sorted(set(opens))
    lent = sum(at < own_from for at in opens)
    assert f"first {lent} of 300" in got.notes[0]
    assert near.id in got.notes[0]


def test_a_future_with_a_past_of_its_own_borrows_none(bench):
    got = bench.bars(FUTURES[1], 5, 100)
    assert got.notes == ()
    assert {call[0] for call in bench.source.calls} == {FUTURES[1].token}


# ── how it asks ──────────────────────────────────────────────────────────────────────────────────


def test_long_stretches_are_asked_for_within_the_limits(bench):
    bench.bars(NIFTY, 1, 375 * 100, until=instant(DAY, dt.time(9, 0)))
    for _, interval, first, last, _ in bench.source.calls:
        span = dt.date.fromisoformat(last[:10]) - dt.date.fromisoformat(first[:10])
        assert (interval, span.days < 60) == ("minute", True)
    assert len(bench.source.calls) <= 4


def test_three_calls_a_second_and_no_more():
    async def play(stage):
        pace = HistoryPace()
        loop = asyncio.get_running_loop()
        times = []

        async def one():
            await pace.turn()
            times.append(loop.time())

        await asyncio.gather(*(one() for _ in range(10)))
        return times

    times = in_virtual_time(play)
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[3:], strict=False))
    assert times[-1] - times[0] < 3.5


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────


def test_past_days_are_asked_for_once(bench):
    before = instant(DAY, dt.time(9, 0))
    first = bench.bars(NIFTY, 1, 1000, until=before)
    calls = len(bench.source.calls)
    again = bench.bars(NIFTY, 1, 1000, until=before, history=bench.fresh())
    assert again == first
    assert len(bench.source.calls) == calls
    bench.at = instant(dt.date(2026, 11, 23), dt.time(9, 0))
    bench.bars(NIFTY, 1, 1000, history=bench.fresh())
    assert [call[2:4] for call in bench.source.calls[calls:]] == [
        ("2026-11-20 00:00", "2026-11-20 23:59")
    ], "only what has come since"


def test_a_shares_past_is_asked_for_again_the_next_day(bench):
    """A split changes it."""
    bench.bars(INFY, 1, 375, until=instant(DAY, dt.time(9, 0)))
    calls = len(bench.source.calls)
    bench.bars(INFY, 1, 375, until=instant(DAY, dt.time(9, 0)), history=bench.fresh())
    assert len(bench.source.calls) == calls
    bench.at = instant(dt.date(2026, 11, 23), dt.time(9, 0))
    bench.bars(INFY, 1, 375, history=bench.fresh())
    assert [call[2] for call in bench.source.calls[calls:]] == ["2026-11-19 00:00"]


def test_today_is_never_kept(bench):
    bench.bars(NIFTY, 1, 30)
    bench.bars(NIFTY, 1, 30, history=bench.fresh())
    assert sum(call[2].startswith("2026-11-20") for call in bench.source.calls) == 2


def test_day_bars_are_asked_for_once_a_day(bench):
    first = bench.bars(NIFTY, DAY_BAR, 200)
    assert bench.bars(NIFTY, DAY_BAR, 50, history=bench.fresh()).bars == first.bars[-50:]
    assert len(bench.source.calls) == 1
    bench.bars(NIFTY, DAY_BAR, 300, history=bench.fresh())
    assert len(bench.source.calls) == 2


KEY = CandleKey(
    instrument=NIFTY.id, token=NIFTY.token, interval="minute", day=dt.date(2026, 11, 19)
)
ROWS = [(START, 1, 2, 1, 2, 5), (START + MINUTE, 2, 2, 2, 2, 0)]


def test_a_kept_file_is_read_back(tmp_path):
    cache = CandleCache(tmp_path)
    cache.keep(KEY, ROWS, DAY)
    assert cache.read(KEY) == ROWS
    assert cache.read(KEY, fetched_on=DAY + dt.timedelta(days=1)) is None


def test_a_damaged_file_is_as_good_as_absent(tmp_path):
    cache = CandleCache(tmp_path)
    cache.keep(KEY, ROWS, DAY)
    path = cache.path_of(KEY)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache.read(KEY) is None, place
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert cache.read(KEY) is None, size


def test_a_token_given_to_another_contract_finds_nothing(tmp_path):
    cache = CandleCache(tmp_path)
    cache.keep(KEY, ROWS, DAY)
    other = CandleKey(instrument="NFO:OTHER", token=KEY.token, interval="minute", day=KEY.day)
    assert cache.path_of(other) == cache.path_of(KEY)
    assert cache.read(other) is None


# ── at the exchange ──────────────────────────────────────────────────────────────────────────────


def test_the_exchanges_candles_of_a_day_become_its_bars(tmp_path):
    """Through the client and the wire; the calm market has ticked for four minutes."""

    async def play(stage):
        await asyncio.sleep(275)
        settings = local_settings(stage.served.rest, api_key="kitestring")
        async with KiteHttp(settings) as http:
            client = KiteClient(settings, Secret(stage.token), http)
            history = KiteHistory(client, CandleCache(tmp_path), stage.clock.now)
            return await history.bars(INFY, 1, 4, until=START + 4 * MINUTE)

    got = in_virtual_time(play)
    assert [bar.close_at for bar in got.bars] == [START + n * MINUTE for n in (1, 2, 3, 4)]
    assert {bar.volume for bar in got.bars[1:]} == {60}
    assert [(int(b.high) - int(b.low)) // int(INFY.tick_size) for b in got.bars] == [1] * 4


class Throttled(Recorded):
    """An account whose other house asks, too: so many calls are one too many."""

    def __init__(self, now, refused):
        super().__init__(now)
        self.refused = refused

    async def historical(self, token, interval, start_at, end_at, **terms):
        rows = await super().historical(token, interval, start_at, end_at, **terms)
        if self.refused:
            self.refused -= 1
            raise KiteReadFailed(
                "/instruments/historical", ReadFailure.THROTTLED, "Too many requests"
            )
        return rows


@pytest.mark.parametrize("refused", [0, 2, 5])
def test_throttled_candles_are_asked_for_again(tmp_path, refused):
    async def play(stage):
        source = Throttled(stage.clock.now, refused)
        history = KiteHistory(source, CandleCache(tmp_path), stage.clock.now, LISTED.values())
        loaded = await history.bars(INFY, 5, 20)
        return loaded.bars, source

    bars, source = in_virtual_time(play)
    assert len(bars) == 20
    pauses = [after - before for before, after in pairwise(source.at)][:refused]
    assert pauses == sorted(pauses), "each time it waits longer"
    assert all(pause >= 1.0 for pause in pauses)


def test_candles_throttled_for_good_are_no_candles(tmp_path):
    async def play(stage):
        source = Throttled(stage.clock.now, 100)
        history = KiteHistory(source, CandleCache(tmp_path), stage.clock.now, LISTED.values())
        with pytest.raises(KiteReadFailed, match="Too many requests"):
            await history.bars(INFY, 5, 20)
        return len(source.at)

    assert in_virtual_time(play) == 6
