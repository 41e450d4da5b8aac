"""The exchange's market: what ticks, that it hangs together, and that it never depends on who asks."""

import datetime as dt
import hashlib
import os
import subprocess
import sys
from functools import cache
from itertools import islice, pairwise

import msgspec
import numpy as np
import pytest

from kitestring.domain.errors import FeedError
from kitestring.domain.instants import MINUTE, SECOND, instant, ist_clock
from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.ticks import Tick
from kitestring.exchange.default_market import default_market
from kitestring.exchange.market_source import MarketSource, TapeSource
from kitestring.exchange.synthetic_market import SyntheticFeed
from kitestring.exchange.tick_terms import session_of

FRIDAY = dt.date(2026, 11, 20)
MONDAY = dt.date(2026, 11, 23)
"""NIFTY and every stock of NSE expire: the Tuesday is a holiday."""
SEED = 7


def at(hour, minute=0, second=0, day=FRIDAY):
    return instant(day, dt.time(hour, minute, second))


@cache
def default_source():
    return MarketSource(FRIDAY, SEED)


@cache
def morning() -> dict[str, list[Tick]]:
    """Every tick of the default market to half past nine, by instrument."""
    return ticks_until(MarketSource(FRIDAY, SEED), at(9, 30))


def ticks_until(source, until, *, since=0, watch=(), watch_at=None):
    found: dict[str, list[Tick]] = {}
    for frame in source.frames(source.frames_before(since) if since else 0):
        if frame.received_at >= until:
            break
        if watch_at is not None and frame.received_at >= watch_at:
            source.watch(watch)
            watch_at = None
        for tick in frame.ticks:
            found.setdefault(tick.instrument, []).append(tick)
    return found


# ── what ticks ───────────────────────────────────────────────────────────────────────────────


def test_the_default_market_is_one_a_user_knows():
    ticking = default_market(FRIDAY, SEED)
    by_kind = {}
    for one in ticking:
        by_kind.setdefault((one.exchange, one.kind), []).append(one.id)
    assert {"NSE:NIFTY 50", "NSE:NIFTY BANK", "NSE:INDIA VIX"} <= set(
        by_kind["NSE", InstrumentKind.INDEX]
    )
    assert len(by_kind["NSE", InstrumentKind.EQUITY]) == 25
    assert {"NFO:NIFTY26NOVFUT", "NFO:BANKNIFTY26DECFUT"} <= set(
        by_kind["NFO", InstrumentKind.FUTURE]
    )
    assert by_kind["BFO", InstrumentKind.FUTURE] == ["BFO:SENSEX26NOVFUT"]
    assert "MCX:CRUDEOIL26DECFUT" in by_kind["MCX", InstrumentKind.FUTURE]
    assert "CDS:USDINR26NOVFUT" in by_kind["CDS", InstrumentKind.FUTURE]
    calls = [one for one in ticking if one.kind is InstrumentKind.CALL and one.name == "NIFTY"]
    assert {one.expiry for one in calls} == {MONDAY, dt.date(2026, 12, 1)}
    assert len(calls) == 2 * 21
    opens = morning()["NSE:NIFTY 50"][0].last_px
    strikes = sorted({one.strike for one in calls})
    assert strikes[9] < opens < strikes[11]


def test_every_default_instrument_ticks_in_its_hours_and_no_other_does():
    source = default_source()
    assert set(morning()) == {one.id for one in source.manifest.instruments} == set(source.watched)
    assert ist_clock(morning()["MCX:CRUDEOIL26DECFUT"][0].event_at) == "09:00:00"
    assert ist_clock(morning()["NFO:NIFTY26D0123850CE"][0].event_at) == "09:15:00"
    evening = ticks_until(MarketSource(FRIDAY, SEED), at(23, 59), since=at(23, 50))
    assert {one.partition(":")[0] for one in evening} == {"MCX"}
    assert ist_clock(evening["MCX:CRUDEOIL26DECFUT"][-1].event_at) == "23:54:59"


def test_the_paper_days_instruments_tick_as_on_the_paper_day():
    paper: dict[str, list[Tick]] = {}
    for frame in SyntheticFeed(FRIDAY, SEED).frames():
        if frame.ticks[0].event_at >= at(9, 30):
            break
        for tick in frame.ticks:
            paper.setdefault(tick.instrument, []).append(tick)
    assert len(paper) == 13
    for name, ticks in paper.items():
        assert morning()[name][: len(ticks)] == ticks


def test_a_day_on_which_currency_rests_ticks_without_it():
    source = MarketSource(dt.date(2026, 8, 26), SEED)
    assert not {one for one in source.watched if one.startswith("CDS")}
    source.watch(["CDS:USDINR26SEPFUT"])
    assert "CDS:USDINR26SEPFUT" not in source.watched
    assert Segment.CURRENCY not in source.manifest.sessions


# ── ticks are well-formed ────────────────────────────────────────────────────────────────────


def test_every_tick_is_one_an_exchange_could_send():
    source = default_source()
    for name, ticks in morning().items():
        one = source.listing.by_key[name]
        session = session_of(one, source._market.book)
        volume, moment = 0, 0
        for tick in ticks:
            assert session.open_at <= tick.event_at < session.close_at
            assert tick.event_at > moment
            assert tick.last_px >= one.tick_size
            assert tick.cum_qty >= volume
            assert tick.cum_qty % one.lot_size == 0
            for px in (tick.last_px, tick.bid_px, tick.ask_px):
                assert px % one.tick_size == 0
            if one.kind is InstrumentKind.INDEX:
                assert (tick.cum_qty, tick.bid_px, tick.ask_px, tick.oi) == (0, 0, 0, 0)
            else:
                assert tick.cum_qty > 0
                assert tick.ask_px > tick.bid_px >= 0
                assert tick.ask_qty % one.lot_size == tick.bid_qty % one.lot_size == 0
                assert bool(tick.bid_qty) == bool(tick.bid_px)
                assert tick.ask_qty > 0
                has_oi = one.kind is not InstrumentKind.EQUITY
                assert bool(tick.oi) == has_oi
            volume, moment = tick.cum_qty, tick.event_at


def test_frames_come_in_order_and_can_be_taken_up_anywhere():
    whole = list(islice(MarketSource(FRIDAY, SEED).frames(), 1_500))
    assert all(one.received_at <= other.received_at for one, other in pairwise(whole))
    assert list(islice(MarketSource(FRIDAY, SEED).frames(after=1_234), 266)) == whole[1_234:]
    source = default_source()
    assert source.frames_before(whole[1_234].ticks[0].event_at) == 1_234


def test_the_manifest_counts_the_days_frames():
    few = MarketSource(FRIDAY, SEED, watching=["NSE:NIFTY 50", "NSE:LT", "BSE:AARDIAGRO"])
    assert sum(1 for _ in few.frames()) == few.manifest.frames_hint


# ── the same whoever asks, and whenever ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "NFO:SBIN26DEC1000CE",
        "NFO:NIFTY26D0824500PE",
        "NFO:INFY26DECFUT",
        "NSE:TRENT",
        "BSE:RELIANCE",
        "BSE:AARDIAGRO",
        "CDS:USDINR26NOV87.5CE",
        "NSE:TCS",
    ],
)
def test_ticks_are_the_same_however_late_they_are_watched(name):
    few = ("NSE:NIFTY 50", "NFO:NIFTY26NOVFUT", "MCX:GOLD26DECFUT")
    early = MarketSource(FRIDAY, SEED, watching=(*few, name))
    late = MarketSource(FRIDAY, SEED, watching=few)
    all_of = ticks_until(early, at(9, 50))[name]
    since = at(9, 41, 7)
    some = ticks_until(late, at(9, 50), watch=[name], watch_at=since)[name]
    assert some
    # Watched after the frame of 09:41:07, it ticks from the next one on.
    assert some == [tick for tick in all_of if tick.event_at > since]
    # And so does whoever asks without watching.
    (asked,) = late.latest([name], at(9, 44, 59))
    assert asked == [tick for tick in all_of if tick.event_at <= at(9, 44, 59)][-1]


def test_before_its_open_an_instrument_has_no_tick_today():
    ids = ["NFO:INFY26DECFUT", "MCX:GOLD26DECFUT", "NSE:TCS"]
    future, gold, share = default_source().latest(ids, at(9, 10))
    assert (future, share) == (None, None)
    assert gold is not None


def test_who_is_not_listed_cannot_be_watched():
    with pytest.raises(FeedError, match="NSE:NOBODY is not listed"):
        default_source().watch(["NSE:NOBODY"])


def test_two_interpreters_make_the_same_market():
    lines = (
        "import datetime as dt, hashlib, itertools, msgspec;"
        "from kitestring.exchange.market_source import MarketSource;"
        "frames = MarketSource(dt.date(2026, 11, 20), 7).frames(900);"
        "packed = msgspec.msgpack.encode(list(itertools.islice(frames, 60)));"
        "print(hashlib.sha256(packed).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", lines],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hashing in ("1", "2")
    }
    here = msgspec.msgpack.encode(list(islice(MarketSource(FRIDAY, SEED).frames(900), 60)))
    assert digests == {hashlib.sha256(here).hexdigest()}
    other = msgspec.msgpack.encode(list(islice(MarketSource(FRIDAY, 8).frames(900), 60)))
    assert other != here


# ── index, futures and chain agree ───────────────────────────────────────────────────────────


def nifty_pairs(expiry):
    """The default market's calls and puts of one expiry, by strike."""
    listing = default_source().listing
    pairs = {}
    for name in morning():
        one = listing.by_key[name]
        if one.name == "NIFTY" and one.expiry == expiry and one.strike is not None:
            pairs.setdefault(int(one.strike), {})[one.kind] = name
    return dict(sorted(pairs.items()))


def quote_at(name, moment):
    return [tick for tick in morning()[name] if tick.event_at <= moment][-1]


def middle(tick):
    return (tick.bid_px + tick.ask_px) / 2


@pytest.mark.parametrize("moment", [at(9, 16), at(9, 22, 30), at(9, 29)])
def test_call_less_put_is_future_less_strike_within_the_spreads(moment):
    future = quote_at("NFO:NIFTY26NOVFUT", moment)
    for strike, pair in nifty_pairs(MONDAY).items():
        call, put = (
            quote_at(pair[kind], moment) for kind in (InstrumentKind.CALL, InstrumentKind.PUT)
        )
        apart = abs(middle(call) - middle(put) - (middle(future) - strike))
        widths = sum(tick.ask_px - tick.bid_px for tick in (call, put, future))
        assert apart <= widths


def test_calls_get_cheaper_and_puts_dearer_with_the_strike():
    for expiry in (MONDAY, dt.date(2026, 12, 1)):
        pairs = nifty_pairs(expiry).values()
        calls = [quote_at(pair[InstrumentKind.CALL], at(9, 29)).bid_px for pair in pairs]
        puts = [quote_at(pair[InstrumentKind.PUT], at(9, 29)).bid_px for pair in pairs]
        assert calls == sorted(calls, reverse=True)
        assert puts == sorted(puts)


def test_futures_stand_near_their_index():
    for future, index in (
        ("NFO:NIFTY26NOVFUT", "NSE:NIFTY 50"),
        ("NFO:BANKNIFTY26NOVFUT", "NSE:NIFTY BANK"),
        ("BFO:SENSEX26NOVFUT", "BSE:SENSEX"),
    ):
        one, other = quote_at(future, at(9, 29)).last_px, quote_at(index, at(9, 29)).last_px
        assert abs(one / other - 1) < 0.003


def test_sensex_goes_where_nifty_goes():
    def change(name):
        return morning()[name][-1].last_px / morning()[name][0].last_px - 1

    assert change("BSE:SENSEX") == pytest.approx(change("NSE:NIFTY 50"), abs=0.001)


def test_an_expiring_option_ends_at_what_it_pays():
    source = MarketSource(MONDAY, SEED)
    names = [
        one.id
        for one in source.manifest.instruments
        if one.expiry == MONDAY and one.strike is not None and one.exchange == "NFO"
    ]
    assert len(names) > 60
    close = at(15, 40, day=MONDAY)
    last = source.latest(names, close)
    futures = {name: source._market.book.path(name, MONDAY) for name in ("NIFTY", "BANKNIFTY")}
    for name, tick in zip(names, last, strict=True):
        one = source.listing.by_key[name]
        value = int(
            source._market.book.at(np.array([futures[one.name]]), np.array([15 * 3600 + 2399]))[0]
        )
        pays = (
            value - int(one.strike) if one.kind is InstrumentKind.CALL else int(one.strike) - value
        )
        assert tick.event_at == close - SECOND
        assert abs(int(tick.last_px) - max(pays, 500)) <= 250


# ── the shape of a day ───────────────────────────────────────────────────────────────────────


def test_volume_and_movement_are_loud_early_and_quiet_at_lunch():
    source = default_source()
    bars = source.bars_today("NSE:LT", 15, at(15, 30))
    by_open = {ist_clock(bar.open_at)[:5]: bar for bar in bars}
    first, lunch, last = by_open["09:15"], by_open["12:30"], by_open["15:00"]
    assert first.volume > 2 * lunch.volume
    assert last.volume > 2 * lunch.volume
    ranges = [
        (bar.high - bar.low) / bar.close
        for day in range(5)
        for bar in source.history("NSE:LT", 15, 25 * (day + 1))[-25 * (day + 1) :][:25]
        if ist_clock(bar.open_at)[:5] in ("09:15", "12:30")
    ]
    assert sum(ranges[::2]) > 1.3 * sum(ranges[1::2])


def test_spreads_are_wider_at_the_open():
    ticks = morning()["NFO:NIFTY26D0123850CE"]
    early = [tick.ask_px - tick.bid_px for tick in ticks if tick.event_at < at(9, 16)]
    later = [tick.ask_px - tick.bid_px for tick in ticks if tick.event_at > at(9, 27)]
    assert sum(early) / len(early) > 1.8 * sum(later) / len(later)


def test_far_strikes_trade_less_than_the_money():
    source = default_source()
    ids = ["NFO:NIFTY26D0123850CE", "NFO:NIFTY26D0126000CE"]
    money, far = source.latest(ids, at(15, 0))
    assert money.cum_qty > 20 * far.cum_qty
    assert (far.ask_px - far.bid_px) / far.ask_px > (money.ask_px - money.bid_px) / money.ask_px


# ── the days before ──────────────────────────────────────────────────────────────────────────

ANY = [
    "NSE:LT",
    "NSE:INFY",
    "NSE:NIFTY 50",
    "BSE:SENSEX",
    "NFO:BANKNIFTY26NOV58000PE",
    "MCX:CRUDEOIL26DECFUT",
    "CDS:USDINR26NOVFUT",
    "BSE:AARDIAGRO",
]


@pytest.mark.parametrize("name", ANY)
def test_whatever_is_listed_has_a_history_that_ends_at_its_base_price(name):
    source = default_source()
    days = source.history(name, 0, 5)
    assert len(days) == 5
    assert days[-1].close == source.base_prices([name])[name]
    minutes = source.history(name, 60, 4)
    assert minutes[-1].close == days[-1].close
    for bar in (*days, *minutes):
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.open_at < bar.close_at <= at(0)


def test_yesterdays_last_tick_is_todays_base_price():
    yesterday = MarketSource(dt.date(2026, 11, 19), SEED)
    names = ["NSE:LT", "NFO:SBIN26DEC1000CE", "MCX:GOLD26DECFUT", "NSE:TCS"]
    last = yesterday.latest(names, instant(dt.date(2026, 11, 19), dt.time(23, 59)))
    assert {tick.instrument: tick.last_px for tick in last} == default_source().base_prices(names)


def test_todays_bars_are_made_of_todays_ticks():
    source = MarketSource(FRIDAY, SEED, watching=["NSE:TRENT", "NSE:NIFTY 50"])
    ticks = ticks_until(source, at(9, 31))["NSE:TRENT"]
    bars = source.bars_today("NSE:TRENT", 5, at(9, 27))
    assert [ist_clock(bar.open_at) for bar in bars] == ["09:15:00", "09:20:00", "09:25:00"]
    for bar in bars:
        inside = [t for t in ticks if bar.open_at <= t.event_at < min(bar.close_at, at(9, 27, 1))]
        prices = [tick.last_px for tick in inside]
        assert (bar.open, bar.high, bar.low, bar.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )
        assert bar.close_at - bar.open_at == 5 * MINUTE


def test_open_interest_of_candles():
    source = default_source()
    moments = [at(9, 20), at(14, 0), instant(dt.date(2026, 11, 19), dt.time(15, 0))]
    found = source.open_interest("NFO:LT26NOVFUT", moments)
    assert all(lots > 0 for lots in found)
    (tick,) = source.latest(["NFO:LT26NOVFUT"], at(14, 0))
    assert tick.oi == found[1]
    assert source.open_interest("NSE:LT", moments) == [0, 0, 0]


# ── a tape ───────────────────────────────────────────────────────────────────────────────────


def test_a_tape_ticks_what_is_on_it_and_nothing_else():
    feed = SyntheticFeed(FRIDAY, SEED)
    tape = TapeSource(feed, default_source().listing)
    tape.watch(["NSE:LT"])
    first = next(iter(tape.frames()))
    assert first == next(iter(feed.frames()))
    assert tape.base_prices(["NSE:INFY", "NSE:LT"]) == {
        "NSE:INFY": feed.manifest.previous_close["NSE:INFY"]
    }
    assert len(TapeSource(feed).listing) == 13


def test_on_expiry_day_of_december_index_options_stop_before_those_of_shares():
    """From 7 Dec 2026 expiring index contracts end at 15:30, expiring stock contracts at 15:45."""
    day = dt.date(2026, 12, 29)
    source = MarketSource(day, SEED, watching=())
    ids = ["NFO:NIFTY26DEC24000CE", "NFO:LT26DEC4000CE", "NFO:NIFTY27JAN24000CE"]
    ends = [ist_clock(tick.event_at) for tick in source.latest(ids, at(15, 50, day=day))]
    assert ends[:2] == ["15:29:59", "15:44:59"]
    assert ends[2] > "15:44"


def test_how_a_day_went_until_somebody_asked():
    source = MarketSource(FRIDAY, SEED, watching=["NSE:TRENT", "NSE:NIFTY 50", "NSE:INFY"])
    ticks = ticks_until(source, at(9, 45))
    ids = ["NSE:TRENT", "NSE:INFY", "NFO:LT26NOVFUT"]
    found = source.day_so_far(ids, at(9, 40))
    for name in ("NSE:TRENT", "NSE:INFY"):
        prices = [tick.last_px for tick in ticks[name] if tick.event_at <= at(9, 40)]
        assert found[name].open == prices[0]
        assert min(prices) <= found[name].low <= prices[-1] <= found[name].high <= max(prices)
        wide = max(prices) - min(prices)
        assert found[name].high - found[name].low > 0.6 * wide
    assert found["NSE:INFY"].high == max(
        t.last_px for t in ticks["NSE:INFY"] if t.event_at <= at(9, 40)
    )
    assert source.day_so_far(ids, at(9, 0)) == {}
