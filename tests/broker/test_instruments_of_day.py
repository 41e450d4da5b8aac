"""The morning's list: fetched after 08:30, compared with yesterday's, kept, read again after a crash."""

import asyncio
import datetime as dt

import pytest

from kitestring.broker.instruments_of_day import check_counts, instruments_of_day
from kitestring.domain.errors import BrokerUnavailable, DiskFailed, InstrumentsRefused, StoreError
from kitestring.domain.instants import instant
from kitestring.store.instrument_dumps import InstrumentDumps

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
MONDAY, TUESDAY = dt.date(2026, 11, 23), dt.date(2026, 11, 24)
MORNING = dt.time(8, 45)


def dump(shares=10, futures=10, bonds=0):
    rows = [HEADER]
    rows += [f"{n * 256 + 1},{n},S{n},S{n},0,,0,0.05,1,EQ,NSE,NSE" for n in range(1, shares + 1)]
    rows += [
        f"{n * 256 + 2},{n},S{n}26DECFUT,S{n},0,2026-12-29,0,0.05,50,FUT,NFO-FUT,NFO"
        for n in range(1, futures + 1)
    ]
    rows += [f"{n * 256 + 4},{n},B{n},B{n},0,,0,0.05,1,EQ,BSE,BSE" for n in range(1, bonds + 1)]
    return "\n".join(rows).encode()


class Kite:
    """Answers with one list and counts how often it was asked."""

    def __init__(self, content):
        self.content = content
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        return self.content


def ask(dumps, kite, day=MONDAY, at=MORNING):
    return asyncio.run(instruments_of_day(dumps, kite, instant(day, at)))


@pytest.fixture
def dumps(tmp_path):
    return InstrumentDumps(tmp_path / "instruments")


def test_a_list_is_fetched_once_a_day(dumps):
    kite = Kite(dump())
    first = ask(dumps, kite)
    again = ask(dumps, kite, at=dt.time(14, 0))
    assert kite.asked == 1
    assert list(first) == list(again)
    ask(dumps, kite, day=TUESDAY)
    assert kite.asked == 2


def test_before_half_past_eight_there_is_no_list_of_today(dumps):
    kite = Kite(dump())
    ask(dumps, kite, day=MONDAY)
    with pytest.raises(InstrumentsRefused, match=r"It is 08:29:59, and .* not ready before 08:30"):
        ask(dumps, kite, day=TUESDAY, at=dt.time(8, 29, 59))
    assert kite.asked == 1
    ask(dumps, kite, day=TUESDAY, at=dt.time(8, 30))


def test_a_list_kept_too_early_is_fetched_again(dumps):
    dumps.keep(
        dump(), day=MONDAY, fetched_at=instant(MONDAY, dt.time(7, 0)), counts={"NSE": 10, "NFO": 10}
    )
    kite = Kite(dump())
    ask(dumps, kite)
    assert kite.asked == 1


def test_yesterdays_list_is_never_todays(dumps):
    ask(dumps, Kite(dump()), day=MONDAY)

    async def unreachable():
        raise BrokerUnavailable("Kite does not answer.")

    with pytest.raises(BrokerUnavailable):
        ask(dumps, unreachable, day=TUESDAY)


def test_a_list_of_another_day_renamed_to_today_is_not_believed(dumps):
    ask(dumps, Kite(dump()), day=MONDAY)
    dumps.path_of(MONDAY).rename(dumps.path_of(TUESDAY))
    with pytest.raises(StoreError, match="damaged or of another day"):
        dumps.read(TUESDAY)
    kite = Kite(dump())
    ask(dumps, kite, day=TUESDAY)
    assert kite.asked == 1


@pytest.mark.parametrize("place", [0, 30, -1, -40])
def test_one_changed_byte_is_noticed_and_the_list_fetched_again(dumps, place):
    ask(dumps, Kite(dump()))
    content = bytearray(dumps.path_of(MONDAY).read_bytes())
    content[place] ^= 1
    dumps.path_of(MONDAY).write_bytes(content)
    with pytest.raises(StoreError, match="delete it"):
        dumps.read(MONDAY)
    kite = Kite(dump())
    assert len(ask(dumps, kite)) == 20
    assert kite.asked == 1
    assert dumps.read(MONDAY).content == dump()


@pytest.mark.parametrize(
    ("said", "instead"), [(b'"NFO":10', b'"NFO":11'), (b'"fetched_at":1', b'"fetched_at":2')]
)
def test_a_first_line_that_was_edited_is_noticed(dumps, said, instead):
    ask(dumps, Kite(dump()))
    content = dumps.path_of(MONDAY).read_bytes()
    assert content.count(said) == 1
    dumps.path_of(MONDAY).write_bytes(content.replace(said, instead))
    with pytest.raises(StoreError, match="damaged or of another day"):
        dumps.read(MONDAY)


def test_a_day_is_compared_with_days_before_it_only(dumps):
    ask(dumps, Kite(dump()), day=TUESDAY)
    assert dumps.counts_before(MONDAY) is None
    assert dumps.counts_before(TUESDAY) is None
    assert dumps.counts_before(dt.date(2026, 11, 25)) == (TUESDAY, {"NFO": 10, "NSE": 10})


def test_half_a_file_is_noticed(dumps):
    ask(dumps, Kite(dump()))
    content = dumps.path_of(MONDAY).read_bytes()
    dumps.path_of(MONDAY).write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        dumps.read(MONDAY)


def test_a_list_that_lost_an_exchange_is_refused_and_not_kept(dumps):
    ask(dumps, Kite(dump(bonds=3)), day=MONDAY)
    with pytest.raises(InstrumentsRefused, match="BSE has 0 rows, 3 on 2026-11-23"):
        ask(dumps, Kite(dump()), day=TUESDAY)
    assert dumps.read(TUESDAY) is None


def test_a_list_that_lost_a_large_part_is_refused(dumps):
    ask(dumps, Kite(dump(futures=100)), day=MONDAY)
    with pytest.raises(InstrumentsRefused, match="NFO has 69 rows, 100 on 2026-11-23"):
        ask(dumps, Kite(dump(futures=69)), day=TUESDAY)
    assert len(ask(dumps, Kite(dump(futures=70)), day=TUESDAY)) == 80


def test_the_comparison_reaches_back_over_a_holiday_and_over_damage(dumps):
    ask(dumps, Kite(dump(futures=100)), day=MONDAY)
    ask(dumps, Kite(dump(futures=90)), day=TUESDAY)
    dumps.path_of(TUESDAY).write_bytes(b"scribble")
    assert dumps.counts_before(dt.date(2026, 11, 27)) == (MONDAY, {"NFO": 100, "NSE": 10})


def test_the_first_list_ever_must_hold_what_is_always_listed(dumps):
    with pytest.raises(InstrumentsRefused, match="no rows of NFO"):
        ask(dumps, Kite(dump(futures=0)))
    check_counts({"NSE": 1, "NFO": 1}, None)


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "instruments").write_text("a file where the folder should be")
    with pytest.raises(DiskFailed, match="cannot be kept"):
        InstrumentDumps(tmp_path / "instruments").keep(
            b"x", day=MONDAY, fetched_at=0, counts={"NSE": 1}
        )
