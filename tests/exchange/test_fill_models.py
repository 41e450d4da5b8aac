import pytest

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import MINUTE
from kitestring.domain.instruments import InstrumentKind
from kitestring.domain.money import price
from kitestring.exchange.fill_models import (
    INSTANT,
    MARKET,
    fill_model,
    spread_quote,
    way_back_us,
    way_there_us,
)


def test_models_are_known_by_name():
    assert fill_model("instant") is INSTANT
    assert fill_model("market") is MARKET
    with pytest.raises(ConfigError, match="'magic'"):
        fill_model("magic")


def test_every_model_says_what_it_assumes():
    assert INSTANT.sentence == "instant: every order fills at once at the price it asked for"
    assert "25 % of the traded volume" in MARKET.sentence
    assert "queues behind what is visible at its price" in MARKET.sentence


def test_latency_is_the_same_on_every_machine():
    assert [way_there_us(7, tag, "place") for tag in ("A", "B", "C")] == [207_929, 45_798, 127_786]
    assert [way_back_us(7, tag) for tag in ("A", "B", "C")] == [36_947, 36_207, 26_349]


def test_half_the_orders_travel_120_ms_and_one_in_a_hundred_600():
    times = sorted(way_there_us(1, f"T{each}", "place") for each in range(20_000))
    assert 118_000 < times[10_000] < 122_000
    assert 580_000 < times[19_800] < 620_000
    assert times[0] >= 20_000
    assert times[-1] <= 677_500


@pytest.mark.parametrize(
    "case",
    [
        (InstrumentKind.FUTURE, "24000", "0.10", 60, "24002.40", "23997.60"),
        (InstrumentKind.FUTURE, "24000", "0.10", 4, "24007.20", "23992.80"),
        (InstrumentKind.FUTURE, "24000", "0.10", 5, "24002.40", "23997.60"),
        (InstrumentKind.EQUITY, "100", "0.05", 60, "100.05", "99.95"),  # one tick at least
        (InstrumentKind.EQUITY, "1000.10", "0.10", 60, "1000.40", "999.80"),
        (InstrumentKind.CALL, "100", "0.05", 60, "100.20", "99.80"),
    ],
)
def test_the_stated_spread_by_kind(case):
    kind, last, tick, after, asks, bids = case
    minutes = after * MINUTE
    px, size = price(last), price(tick)
    assert spread_quote(MARKET, kind, px, size, minutes, buy=True) == price(asks)
    assert spread_quote(MARKET, kind, px, size, minutes, buy=False) == price(bids)
