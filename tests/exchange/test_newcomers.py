"""Who begins to watch an instrument at ten sees the day of whoever has watched it since the open."""

import datetime as dt

import pytest

from kitestring.domain.instants import instant
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.market_source import MarketSource
from kitestring.exchange.newcomers import Newcomers

DAY = dt.date(2026, 11, 20)
TEN = instant(DAY, dt.time(10, 0))


def board_of(source):
    return MarketBoard(source.listing, lambda _: None)


@pytest.fixture(scope="module")
def source():
    return MarketSource(DAY, 1, watching=())


@pytest.fixture(
    scope="module", params=["NSE:WIPRO", "NSE:INFY", "NFO:NIFTY26NOVFUT", "NFO:NIFTY26NOV24500CE"]
)
def both(request, source):
    """The early watcher's quote at ten, and the late one's: at once, and when there was time."""
    name = request.param
    if name not in source.listing.by_key:
        name = next(key for key in source.listing.by_key if key.startswith(name[:12]))
    early = MarketSource(DAY, 1, watching=())
    watched = board_of(early)
    Newcomers(early, watched, lambda: instant(DAY, dt.time(9))).watch([name])
    for frame in early.frames():
        if frame.ticks[0].event_at > TEN:
            break
        watched.apply(frame)
    late = board_of(source)
    newcomers = Newcomers(source, late, lambda: TEN)
    newcomers.watch([name])
    at_once = late.quote(name)
    assert newcomers.waiting == 1
    newcomers.fill_in_next()
    assert newcomers.waiting == 0
    return watched.quote(name), at_once, late.quote(name)


def test_at_once_there_are_price_volume_book_and_yesterdays_close(both):
    early, at_once, _ = both
    for key in ("last_price", "volume", "depth", "oi", "timestamp", "net_change"):
        assert at_once[key] == early[key], key
    assert at_once["ohlc"]["close"] == early["ohlc"]["close"] > 0


def test_the_morning_has_the_same_open_high_and_low(both):
    early, _, filled = both
    assert filled["ohlc"] == early["ohlc"]
    assert filled["ohlc"]["low"] < filled["ohlc"]["high"]


def test_the_average_price_is_that_of_the_minutes(both):
    early, _, filled = both
    assert filled["average_price"] == pytest.approx(early["average_price"], rel=2e-2)
    assert filled["ohlc"]["low"] <= filled["average_price"] <= filled["ohlc"]["high"]


def test_before_the_open_there_is_the_close_and_nothing_to_remember(source):
    made = board_of(source)
    newcomers = Newcomers(source, made, lambda: instant(DAY, dt.time(9)))
    newcomers.watch(["NSE:ITC"])
    assert newcomers.waiting == 0
    quote = made.quote("NSE:ITC")
    assert quote["last_price"] == quote["ohlc"]["close"] > 0
    assert quote["volume"] == 0


def test_what_ticks_already_keeps_its_own_day(source):
    made = board_of(source)
    newcomers = Newcomers(source, made, lambda: TEN)
    newcomers.watch(["NSE:SBIN"])
    newcomers.fill_in_next()
    before = made.quote("NSE:SBIN")
    newcomers.watch(["NSE:SBIN"])
    assert newcomers.waiting == 0
    assert made.quote("NSE:SBIN") == before


def test_a_market_that_shows_everything_is_asked_for_nothing():
    class Tape:
        pass

    made = MarketBoard(MarketSource(DAY, 1, watching=()).listing, lambda _: None)
    newcomers = Newcomers(Tape(), made, lambda: TEN)
    newcomers.watch(["NSE:INFY"])
    newcomers.fill_in_next()
    assert made.quote("NSE:INFY") is None
