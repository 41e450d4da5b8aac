"""Order tags: twenty characters, never twice, recognisable as ours."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.ids import ClOrdIds, exchange_of, instrument_id, is_ours, symbol_of

DAY = dt.date(2026, 11, 23)


def test_a_tag_is_what_kite_accepts():
    tag = ClOrdIds("paper-2026-11-23", DAY)()
    assert len(tag) == 20
    assert tag.isalnum()
    assert tag[0] == "K"


def test_a_restarted_run_goes_on_counting():
    whole = ClOrdIds("run", DAY)
    first = [whole() for _ in range(5)]
    restarted = ClOrdIds("run", DAY, issued=3)
    assert [restarted(), restarted()] == first[3:]


def test_runs_and_days_do_not_share_tags():
    tags = {ClOrdIds(run, day)() for run in ("a", "b") for day in (DAY, DAY + dt.timedelta(days=1))}
    assert len(tags) == 4


@given(st.integers(0, 19), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_mistyped_tag_is_not_ours(place, letter):
    tag = ClOrdIds("run", DAY, issued=41)()
    mistyped = tag[:place] + letter + tag[place + 1 :]
    assert is_ours(mistyped) == (mistyped == tag)


def test_instruments_are_named_as_kite_names_them():
    name = instrument_id("NFO", "NIFTY26NOVFUT")
    assert name == "NFO:NIFTY26NOVFUT"
    assert (exchange_of(name), symbol_of(name)) == ("NFO", "NIFTY26NOVFUT")
