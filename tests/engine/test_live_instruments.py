"""What a live day refuses before anybody arms it: instruments without rules, entries without stops."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from house_day import ACME, NIFTY, scripted

from kitestring.core.settings import DaySettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.instruments import InstrumentKind, Segment
from kitestring.domain.money import money
from kitestring.domain.orders import Product
from kitestring.engine.live_instruments import refuse_unbuilt, unbuilt
from kitestring.engine.live_market import enters_without_stop, stops_demanded
from kitestring.engine.strategy_files import read_strategy
from kitestring.market.charges import charge_book

DAY = dt.date(2026, 11, 20)
CHARGES = charge_book(DAY)


def like(instrument, **changes):
    return msgspec.structs.replace(instrument, **changes)


def settings(*rows):
    return DaySettings(date=DAY, capital=money("100000"), run_key="k", strategies=rows)


@pytest.mark.parametrize("instrument", [NIFTY, ACME, like(ACME, exchange="BSE", id="BSE:ACME")])
def test_shares_and_index_futures_of_nse_may_be_traded(instrument):
    assert unbuilt(instrument, Product.MIS, CHARGES) == ""


REFUSED = [
    (like(NIFTY, kind=InstrumentKind.CALL), "live options"),
    (like(NIFTY, kind=InstrumentKind.PUT, exchange="BFO"), "live options"),
    (like(NIFTY, exchange="BFO"), "order rules on BFO"),
    (like(NIFTY, exchange="MCX", segment=Segment.COMMODITY), "order rules on MCX"),
    (like(NIFTY, exchange="CDS", segment=Segment.CURRENCY), "order rules on CDS"),
    (like(NIFTY, freeze_qty=0), "freeze quantity is not known"),
    (like(NIFTY, kind=InstrumentKind.INDEX), "trade its future"),
    (like(ACME, exchange="XYZ"), "order rules on XYZ"),
    (like(ACME, lot_size=0), "lot or its tick"),
]


@pytest.mark.parametrize(("instrument", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_has_no_rules_yet_is_refused_by_name_before_the_day(instrument, why):
    day = settings(scripted("one", instrument, ""))
    with pytest.raises(ConfigError, match=why) as refused:
        refuse_unbuilt(day, [instrument], CHARGES)
    assert instrument.id in refused.value.what
    assert "Nothing was started" in refused.value.what
    assert refused.value.do


def test_only_what_is_traded_counts_not_what_is_watched():
    index = like(NIFTY, kind=InstrumentKind.INDEX, id="NSE:NIFTY 50")
    refuse_unbuilt(settings(scripted("one", ACME, "")), [ACME, index], CHARGES)


def test_an_instrument_that_is_not_listed_today_is_refused():
    with pytest.raises(ConfigError, match="not in today's list"):
        refuse_unbuilt(settings(scripted("one", ACME, "")), [NIFTY], CHARGES)


def test_a_day_without_charges_for_an_instrument_is_refused():
    class Nothing:
        def covers(self, instrument, product):
            return False

    assert "charges as MIS are not known" in unbuilt(ACME, Product.MIS, Nothing())


@pytest.mark.parametrize(
    ("words", "bare"),
    [
        ('return state, buy("why")', True),
        ('return state, buy("why", stop=None)', True),
        ('return state, sell("why", target=1.0, stop=None)', True),
        ('return state, buy("why", stop=i.close - 5)', False),
        ('return state, hold("why")', False),
    ],
)
def test_a_stop_that_is_none_is_no_stop(words, bare):
    text = f"def decide(params, state, i):\n    {words}\n"
    assert enters_without_stop(read_strategy("ema_trend"), text) is bare


def test_only_strategies_that_are_not_exempt_must_name_a_stop():
    day = settings(scripted("one", ACME, ""), scripted("two", NIFTY, ""))
    assert [row.stop_required for row in day.strategies] == [False, False], "paper asks for none"
    assert [row.stop_required for row in stops_demanded(day, ()).strategies] == [True, True]
    assert [r.stop_required for r in stops_demanded(day, ("scripted",)).strategies] == [False] * 2


def test_the_shipped_strategy_of_the_live_settings_has_a_stop():
    definition = read_strategy("ema_trend")
    assert not enters_without_stop(definition, Path(definition.path).read_text())
