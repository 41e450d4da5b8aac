"""The live feed: frames in order, history that joins them, losses told, and quotes of the day before."""

import asyncio
import datetime as dt
import itertools

import pytest
from feed_stage import DAY, PRICES, START, Notes, in_virtual_time

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import LiveFeed, live_manifest, ticker_settings
from kitestring.broker.kite_history import KiteHistory
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.previous_closes import opening_quotes, previous_closes
from kitestring.broker.secret_text import Secret
from kitestring.broker.tick_inbox import TickInbox
from kitestring.broker.ticker_events import FeedState
from kitestring.domain.errors import FeedError
from kitestring.domain.events import Gap
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.money import Price, price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.instrument_master import instruments_on
from kitestring.store.candle_cache import CandleCache

LISTED = {each.id: each for each in instruments_on(DAY)}
SHOWN = [LISTED[name] for name in PRICES]


def with_a_feed(play, tmp_path, script="", *, shown=SHOWN):
    """Let ``play(stage, feed, notes)`` happen with a live feed of the calm market."""

    async def whole(stage):
        settings = local_settings(stage.served.rest, api_key="kitestring")
        notes = Notes()
        async with KiteHttp(settings) as http:
            client = KiteClient(settings, Secret(stage.token), http)
            feed = LiveFeed(
                live_manifest(DAY, shown, await previous_closes(client, [s.id for s in shown])),
                ticker_settings(settings),
                lambda: Secret(stage.token),
                KiteHistory(client, CandleCache(tmp_path), stage.clock.now, LISTED.values()),
                stage.clock.now,
                on_event=notes.add,
                on_text=notes.add,
                seed=3,
            )
            try:
                return await play(stage, feed, notes)
            finally:
                await feed.close()

    return in_virtual_time(whole, script)


async def first_frames(feed, count):
    frames = []
    async for frame in feed.live_frames():
        frames.append(frame)
        if len(frames) == count:
            return frames
    return frames


def test_a_day_joined_in_the_middle_has_its_history_up_to_its_first_live_minute(tmp_path):
    async def play(stage, feed, notes):
        await asyncio.sleep(200)
        assert feed.status is FeedState.DOWN
        await feed.until_flowing()
        await asyncio.sleep(75)  # it may be loaded late: it still ends where live bars begin
        said = await feed.load_history([("NSE:INFY", 1, 3), ("NSE:SBIN", 5, 10)])
        return feed, notes, said, await first_frames(feed, 90)

    feed, notes, said, frames = with_a_feed(play, tmp_path)
    assert feed.joined_at == START + 3 * MINUTE
    minutes = feed.history("NSE:INFY", 1, 10)
    assert [bar.close_at for bar in minutes] == [START + n * MINUTE for n in (1, 2, 3)]
    assert feed.history("NSE:INFY", 1, 1) == minutes[-1:]
    assert feed.history("NSE:SBIN", 3, 10) == ()
    assert all(bar.close_at <= feed.joined_at for bar in feed.history("NSE:SBIN", 5, 10))
    assert said == ()
    # Live ticks begin where history ends; the part of that minute nobody saw is told.
    live = [tick for frame in frames for tick in frame.ticks if tick.instrument == "NSE:INFY"]
    assert feed.joined_at <= live[0].event_at < feed.joined_at + MINUTE
    (gap,) = notes.gaps
    assert gap.start_at == feed.joined_at < gap.end_at <= live[1].event_at
    received = [frame.received_at for frame in frames]
    assert received == sorted(received)
    assert frames[-1].received_at >= START + 280 * SECOND, "nothing was lost while loading"


def test_a_day_heard_from_before_its_open_has_missed_nothing(tmp_path):
    async def play(stage, feed, notes):
        feed._hours = ((START + 30 * SECOND, START + 60 * MINUTE),)
        await feed.until_flowing()
        return feed.joined_at, notes.gaps

    joined_at, gaps = with_a_feed(play, tmp_path)
    assert joined_at == START + 30 * SECOND
    assert gaps == []


def test_the_manifest_names_day_instruments_and_closes(tmp_path):
    async def play(stage, feed, notes):
        return feed.manifest

    manifest = with_a_feed(play, tmp_path)
    assert manifest.previous_close == {name: price(px) for name, px in PRICES.items()}
    assert (manifest.date, manifest.rewindable) == (DAY, False)
    assert manifest == with_a_feed(play, tmp_path), "a restart is the same day"
    others = live_manifest(DAY, SHOWN[1:], {})
    assert others.digest != manifest.digest


def test_it_cannot_be_played_again(tmp_path):
    async def play(stage, feed, notes):
        with pytest.raises(FeedError, match="no frame 7"):
            feed.frames(7)

    with_a_feed(play, tmp_path)


def test_whoever_closes_it_gets_what_waits_and_no_more(tmp_path):
    async def play(stage, feed, notes):
        await feed.until_flowing()
        await asyncio.sleep(5)
        await feed.close()
        await stage.until(lambda: not stage.feed.connections, within=1)
        waiting = feed.inbox.waiting
        seen = [frame async for frame in feed.live_frames()]
        return waiting, sum(len(frame.ticks) for frame in seen)

    waiting, seen = with_a_feed(play, tmp_path)
    assert waiting == seen > 10


def test_a_ticker_that_breaks_is_raised_to_the_reader(tmp_path):
    async def play(stage, feed, notes):
        def broken(_):
            raise ZeroDivisionError

        feed.start()
        for line in feed.ticker.lines:
            line._ears = line._ears._replace(frame=broken)
        with pytest.raises(ExceptionGroup):
            await first_frames(feed, 1)

    with_a_feed(play, tmp_path)


def test_after_a_dead_token_it_goes_on_with_the_next_login(tmp_path):
    async def play(stage, feed, notes):
        await feed.until_flowing()
        await asyncio.sleep(5)
        stage.exchange.sessions.flush()
        await stage.until(lambda: feed.status is FeedState.DOWN)
        await asyncio.sleep(150)
        stage.token = stage.exchange.sessions.log_in(stage.clock.now(), "kitestring").access_token
        feed.resume()
        await stage.until(lambda: feed.status is FeedState.FLOWING)
        joined_at = feed.joined_at
        return joined_at, notes

    joined_at, notes = with_a_feed(play, tmp_path)
    assert joined_at == START, "the join is the day's first"
    gaps = [gap for gap in notes.gaps if "ticker" in gap.reason]
    assert len(gaps) == 3
    assert gaps[-1].end_at - gaps[0].start_at >= 145 * SECOND


def test_no_ticks_are_expected_outside_the_hours_of_what_is_watched(tmp_path):
    async def play(stage, feed, notes):
        def clock(text):
            time = dt.time.fromisoformat(text)
            return START + (time.hour - 10) * 60 * MINUTE + time.minute * MINUTE

        return [feed.is_open(clock(text)) for text in ("09:14", "09:15", "15:14", "15:29", "15:41")]

    shares = [each for each in SHOWN if each.segment == "EQUITY_FNO"]
    assert with_a_feed(play, tmp_path, shown=shares) == [False, True, True, False, False]


def test_a_rehearsal_at_speed_gives_ticks_more_of_its_time_to_arrive():
    settings = local_settings("http://127.0.0.1:8010", api_key="k")
    assert ticker_settings(settings).ws_root == "ws://127.0.0.1:8010"
    assert ticker_settings(settings).fresh_s == 5
    assert ticker_settings(settings, speed=60).fresh_s == 300
    assert ticker_settings(settings, speed=0.1).fresh_s == 5


# ── the inbox ────────────────────────────────────────────────────────────────────────────────────


def frame(second, *names):
    at = START + second * SECOND
    return TickFrame(at, tuple(Tick(name, at, Price(second + 1)) for name in names))


def drained(inbox):
    async def drain():
        inbox.close()
        frames = []
        while (one := await inbox.take()) is not None:
            frames.append(one)
        return frames

    return asyncio.run(drain())


def test_frames_come_out_as_they_went_in():
    gaps = []
    inbox = TickInbox(gaps.append, 100)
    sent = [frame(n, "A", "B") for n in range(20)]
    for one in sent:
        inbox.put(one)
    assert drained(inbox) == sent
    assert (gaps, inbox.folded, inbox.waiting, inbox.most) == ([], 0, 0, 40)


def test_too_many_are_folded_to_the_newest_of_each_and_told():
    gaps = []
    inbox = TickInbox(gaps.append, 40)
    for n in range(100):
        inbox.put(frame(n, "A", "B") if n else frame(n, "A", "B", "QUIET"))
        assert inbox.waiting <= 40
    frames = drained(inbox)
    ticks = [tick for one in frames for tick in one.ticks]
    assert inbox.folded == 201 - len(ticks) > 100
    assert inbox.waiting == 0
    assert sum(tick.instrument == "QUIET" for tick in ticks) == 1, "nobody's latest price is lost"
    for name in ("A", "B"):
        times = [tick.event_at for tick in ticks if tick.instrument == name]
        assert times == sorted(set(times))
        assert times[-1] == START + 99 * SECOND
    received = [one.received_at for one in frames]
    assert received == sorted(received)
    for one in frames:
        assert [t.event_at for t in one.ticks] == sorted(t.event_at for t in one.ticks)
    assert all(isinstance(gap, Gap) and gap.end_at > gap.start_at for gap in gaps)
    assert gaps[0].start_at == START


# ── quotes ───────────────────────────────────────────────────────────────────────────────────────


def test_closes_are_asked_for_five_hundred_at_a_time_one_call_a_second():
    async def play(stage):
        asked = []

        class Source:
            async def quote(self, instruments):
                asked.append((len(instruments), asyncio.get_running_loop().time()))
                return {}

        closes = await previous_closes(Source(), [f"NSE:S{n}" for n in range(1_100)])
        return closes, asked

    closes, asked = in_virtual_time(play)
    assert closes == {}
    assert [count for count, _ in asked] == [500, 500, 100]
    assert all(b[1] - a[1] > 1 for a, b in itertools.pairwise(asked))


def test_the_days_circuit_limits_come_from_the_same_quotes_and_stand_in_the_manifest(tmp_path):
    async def play(stage):
        settings = local_settings(stage.served.rest, api_key="kitestring")
        async with KiteHttp(settings) as http:
            client = KiteClient(settings, Secret(stage.token), http)
            return await opening_quotes(client, [each.id for each in SHOWN])

    quoted = in_virtual_time(play)
    assert quoted.closes == {name: price(px) for name, px in PRICES.items()}
    for name, (low, high) in quoted.bands.items():
        assert 0 < low < price(PRICES[name]) < high
    assert set(quoted.bands) == set(PRICES)
    manifest = live_manifest(DAY, SHOWN, quoted.closes, price_bands=quoted.bands)
    assert manifest.price_bands == quoted.bands
    # The identity of the day does not hang on them: they move, and the day stays the same.
    assert manifest.digest == live_manifest(DAY, SHOWN, quoted.closes).digest
