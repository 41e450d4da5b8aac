"""Five levels behind every tick: one book, whoever looks at it."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kitestring.domain.ids import instrument_id
from kitestring.domain.instants import MINUTE, SECOND
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, price
from kitestring.domain.ticks import Tick
from kitestring.exchange.depth import depth_columns, visible_depth

FUTURE = Instrument(
    id=instrument_id("NFO", "NIFTY26NOVFUT"),
    exchange="NFO",
    symbol="NIFTY26NOVFUT",
    token=9_115_394,
    kind=InstrumentKind.FUTURE,
    segment=Segment.FUTURES,
    name="NIFTY",
    lot_size=65,
    tick_size=price("0.10"),
)
MORNING = 1_763_610_300 * SECOND


def tick(bid="24668.00", ask="24668.40", bid_qty=130, ask_qty=195, at=MORNING):
    return Tick(FUTURE.id, at, price(bid), 0, price(bid), bid_qty, price(ask), ask_qty)


def test_the_best_level_is_the_ticks_own():
    depth = visible_depth(FUTURE, tick())
    assert (depth.bids[0].px, depth.bids[0].qty) == (price("24668.00"), 130)
    assert (depth.asks[0].px, depth.asks[0].qty) == (price("24668.40"), 195)


def test_a_level_behind_the_best_does_not_flicker():
    seen = visible_depth(FUTURE, tick())
    later = visible_depth(FUTURE, tick(at=MORNING + SECOND))
    assert later == seen
    assert [level.qty % FUTURE.lot_size for level in seen.asks] == [0] * 5


def test_a_side_nobody_quotes_is_empty():
    depth = visible_depth(FUTURE, tick(ask="0"))
    assert depth.asks == ()
    assert len(depth.bids) == 5


def test_bids_end_above_zero():
    depth = visible_depth(FUTURE, tick(bid="0.20", ask="0.30"))
    assert all(level.px > Price(0) for level in depth.bids)
    assert len(depth.bids) <= 2


ticks = st.builds(
    lambda bid, gap, bid_qty, ask_qty, second: Tick(
        FUTURE.id,
        MORNING + second * SECOND,
        Price(bid),
        0,
        Price(bid),
        bid_qty,
        Price(bid + gap) if gap else Price(0),
        ask_qty,
    ),
    st.integers(0, 300_000).map(lambda n: n * 1_000),
    st.integers(0, 50).map(lambda n: n * 1_000),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
    st.integers(0, 22_000),
)


@given(ticks)
def test_levels_lead_away_from_the_middle_on_the_tick_and_never_empty(seen):
    depth = visible_depth(FUTURE, seen)
    for levels, away in ((depth.bids, -1), (depth.asks, 1)):
        for nearer, further in pairwise(levels):
            assert (int(further.px) - int(nearer.px)) * away in {1_000, 2_000}
            assert further.qty >= FUTURE.lot_size
            assert further.qty % FUTURE.lot_size == 0
        assert all(1 <= level.orders <= 40 for level in levels)


@given(st.lists(ticks, min_size=1, max_size=8))
def test_many_at_once_are_the_same_numbers(seen):
    def column(of):
        return np.array([of(each) for each in seen], dtype=np.int64)

    columns = depth_columns(
        token=column(lambda _: FUTURE.token),
        lot_size=column(lambda _: FUTURE.lot_size),
        tick_size=column(lambda _: FUTURE.tick_size),
        event_at=column(lambda each: each.event_at),
        bid_px=column(lambda each: each.bid_px),
        bid_qty=column(lambda each: each.bid_qty),
        ask_px=column(lambda each: each.ask_px),
        ask_qty=column(lambda each: each.ask_qty),
    )
    for row, each in enumerate(seen):
        depth = visible_depth(FUTURE, each)
        for first, levels in ((0, depth.bids), (5, depth.asks)):
            wanted = [tuple(level) for level in levels] + [(0, 0, 0)] * (5 - len(levels))
            got = zip(
                columns.px[row, first : first + 5].tolist(),
                columns.qty[row, first : first + 5].tolist(),
                columns.orders[row, first : first + 5].tolist(),
                strict=True,
            )
            assert list(got) == wanted


def test_quantities_change_with_the_minute():
    first = [visible_depth(FUTURE, tick(at=MORNING + n * MINUTE)).asks[1].qty for n in range(8)]
    assert len(set(first)) > 1
