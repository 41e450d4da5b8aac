"""A file of somebody's 1-minute bars: what is recognised, what is kept out, what refuses the import."""

import datetime as dt
import gzip
from pathlib import Path

import pytest

from kitestring.domain.bars import Bar
from kitestring.domain.errors import CalendarUnknown, FeedError
from kitestring.domain.instants import instant
from kitestring.domain.money import price
from kitestring.store.bar_check import check_bars
from kitestring.store.bar_library import BarLibrary, read_bar_file

MONDAY, TUESDAY = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "bars"
NIFTY = SHARED / "NIFTY_2024_1min.csv.gz"


def at(day, clock):
    return instant(day, dt.time.fromisoformat(clock))


def written(folder, text, name="ACME.csv"):
    path = folder / name
    path.write_text(text)
    return path


def opens(path):
    library = BarLibrary([path])
    return [
        (frame.bars[0].open_at, frame.bars[0].open)
        for day in library.days
        for frame in library.feed(day).frames()
    ]


TWO = [(at(MONDAY, "09:15"), price("100")), (at(MONDAY, "09:16"), price("101.5"))]


@pytest.mark.parametrize(
    "text",
    [
        "Instrument,Date,Time,Open,High,Low,Close\nACME,20240101,09:15,100,102,99,101\n"
        "ACME,20240101,09:16,101.50,102,99,101\n",
        "date,open,high,low,close,volume\n2024-01-01 09:15:00+05:30,100,102,99,101,7\n"
        "2024-01-01T09:16:00+05:30,101.5,102,99,101,7\n",
        "Datetime,Open,High,Low,Close\n2024-01-01 09:15:00,100,102,99,101\n"
        "2024-01-01 09:16:00,101.5,102,99,101\n",
        "date,time,o,h,l,c,v\n01-01-2024,09:15:00,100,102,99,101,7\n"
        "01/01/2024,09:16:00,101.5,102,99,101,\n",
        "ts,open,high,low,close\n1704080700,100,102,99,101\n1704080760000,101.5,102,99,101\n",
        "timestamp,close,low,high,open\r\n2024-01-01 09:16,101,99,102,101.5\r\n"
        "2024-01-01 09:15,101,99,102,100\r\n",
        '"date","open","high","low","close"\n"2024-01-01 09:15:00","100","102","99","101"\n'
        '"2024-01-01 09:16:00","101.5","102","99","101"\n',
    ],
)
def test_the_usual_layouts_are_recognised(tmp_path, text):
    assert opens(written(tmp_path, text)) == TWO


def test_a_packed_file_is_unpacked(tmp_path):
    path = tmp_path / "ACME_1min.csv.gz"
    path.write_bytes(gzip.compress(b"date,open,high,low,close\n2024-01-01 09:15,100,102,99,101\n"))
    assert opens(path) == TWO[:1]
    assert read_bar_file(path).instrument.id == "NSE:ACME"


def test_bars_stamped_with_their_end_are_moved_back(tmp_path):
    path = written(
        tmp_path,
        "datetime,open,high,low,close\n2024-01-01 09:16,100,102,99,101\n"
        "2024-01-01 15:29,100,102,99,101\n2024-01-01 15:30,100,102,99,101\n",
    )
    report = check_bars(path)
    assert report.file.stamped_at_end
    assert [moment for moment, _ in opens(path)] == [
        at(MONDAY, "09:15"), at(MONDAY, "15:28"), at(MONDAY, "15:29"),
    ]  # fmt: skip


HEAD = "date,time,open,high,low,close\n"
GOOD = "2024-01-01,09:15,100,102,99,101\n2024-01-01,09:16,100,102,99,101\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            "2024-01-01,09:17,100,98,99,101",
            "open 100, high 98, low 99, close 101 cannot all be true",
        ),
        ("2024-01-01,09:17,100,102,101,101", "cannot all be true"),
        ("2024-01-01,09:17,0,102,0,101", "cannot all be true"),
        ("2024-01-01,09:17,1oo,102,99,101", "'1oo' is no price in rupees"),
        ("2024-13-01,09:17,100,102,99,101", "'2024-13-01' is no date such as 2024-01-01"),
        ("2024-01-01,9h17,100,102,99,101", "'9h17' is no time such as 09:15"),
        ("2024-01-01,09:17:30,100,102,99,101", "'09:17:30' is not on a whole minute"),
        ("2024-01-01,09:16,100,102,99,100", "another bar of the same minute stands in line 3"),
        ("2024-01-01,09:17,100,102,99", "5 columns, not 6"),
    ],
)
def test_a_row_that_cannot_be_taken_refuses_the_whole_import(tmp_path, row, why):
    path = written(tmp_path, HEAD + GOOD + row + "\n")
    report = check_bars(path)
    assert not report.playable
    assert [each.line for each in report.refused] == [4]
    assert why in report.refused[0].why
    with pytest.raises(FeedError) as refused:
        BarLibrary([path])
    assert refused.value.what.startswith(f"{path}:4: ")
    assert refused.value.what.endswith("Nothing of the import was taken.")


def test_rows_of_no_use_are_kept_out_and_accounted_for(tmp_path):
    path = written(
        tmp_path,
        HEAD
        + GOOD
        + "2024-01-01,09:16,100,102,99,101\n"  # a repetition
        + "2024-01-01,09:20,100,102,99,101\n"  # after three missing minutes
        + "2024-01-01,16:00,100,102,99,101\n"  # after the close
        + "2024-01-07,10:00,100,102,99,101\n",  # a Sunday
    )
    report = check_bars(path)
    assert report.playable
    assert (report.rows, report.traded) == (6, 3)
    assert [row.line for row in report.repeated] == [4]
    assert [row.line for row in report.outside] == [6]
    assert [(row.line, row.why) for row in report.closed] == [(7, "Sunday 07 January 2024")]
    assert [(row.line, row.why) for row in report.gaps] == [
        (5, "2024-01-01: 3 minutes before it, from 09:17:00")
    ]
    assert len(opens(path)) == 3
    assert f"    {path}:7: Sunday 07 January 2024" in report.lines()


def test_days_the_calendar_holds_closed_are_named_and_left_out(tmp_path):
    path = written(tmp_path, HEAD + GOOD + "2024-01-07,10:00,100,102,99,101\n")
    library = BarLibrary([path])
    assert library.days == (MONDAY,)
    assert "Left out, closed by the calendar: 2024-01-07." in library.notes()


def test_a_day_beyond_the_calendar_is_refused(tmp_path):
    path = written(tmp_path, HEAD + GOOD + "2031-01-07,10:00,100,102,99,101\n")
    with pytest.raises(CalendarUnknown):
        BarLibrary([path])
    assert BarLibrary([path], last=MONDAY).days == (MONDAY,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("open,high,low,close\n1,1,1,1\n", "no column of date"),
        ("date,time,open,high,low\n", "no column of close"),
        (HEAD, "holds not a single bar"),
        (
            "date,open,high,low,close\n2024-01-01 09:15,1,1,1,1\n2024-01-01 09:30,1,1,1,1\n",
            "holds bars of 15 minutes",
        ),
        (
            "symbol,date,time,open,high,low,close\nA,2024-01-01,09:15,1,1,1,1\n"
            "B,2024-01-01,09:16,1,1,1,1\n",
            "holds 2 instruments: A, B",
        ),
    ],
)
def test_what_is_no_file_of_minute_bars_is_refused_in_a_sentence(tmp_path, text, sentence):
    with pytest.raises(FeedError, match=sentence):
        check_bars(written(tmp_path, text))


def test_two_files_share_their_minutes(tmp_path):
    one = written(tmp_path, HEAD + GOOD, "ACME.csv")
    two = written(tmp_path, HEAD + "2024-01-01,09:16,50,51,49,50\n", "BETA.csv")
    frames = list(BarLibrary([one, two]).feed(MONDAY).frames())
    assert [[bar.instrument for bar in frame.bars] for frame in frames] == [
        ["NSE:ACME"], ["NSE:ACME", "NSE:BETA"],
    ]  # fmt: skip
    with pytest.raises(FeedError, match="are both of NSE:ACME"):
        BarLibrary(
            [
                one,
                written(
                    tmp_path, "symbol," + HEAD + "ACME," + GOOD.split(maxsplit=1)[0] + "\n", "x.csv"
                ),
            ]
        )


def test_the_days_before_are_history_and_give_the_previous_close(tmp_path):
    rows = "".join(
        f"2024-01-01,09:{minute},{minute},{minute},{minute},{minute}\n" for minute in range(15, 22)
    )
    path = written(tmp_path, HEAD + rows + "2024-01-02,09:15,30,30,30,30\n")
    feed = BarLibrary([path]).feed(TUESDAY)
    assert feed.manifest.previous_close == {"NSE:ACME": price(21)}
    assert list(feed.history("NSE:ACME", 5, 9)) == [
        Bar("NSE:ACME", 5, at(MONDAY, "09:15"), at(MONDAY, "09:20"), price(15), price(19), price(15), price(19)),
        Bar("NSE:ACME", 5, at(MONDAY, "09:20"), at(MONDAY, "09:25"), price(20), price(21), price(20), price(21)),
    ]  # fmt: skip
    assert feed.history("NSE:ACME", 1, 2)[-1].close == price(21)
    assert feed.history("NSE:ACME", 0, 5)[0].open_at == at(MONDAY, "09:15")


@pytest.mark.skipif(not NIFTY.exists(), reason="shared data absent")
def test_every_bar_of_eight_real_months_is_accounted_for():
    report = check_bars(NIFTY)
    assert report.playable
    assert report.rows == 58_127
    assert (report.traded, len(report.outside)) == (57_960, 167)
    assert (len(report.refused), len(report.repeated), len(report.closed)) == (0, 0, 0)
    assert len(report.days) == 156
    assert (report.days[0], report.days[-1]) == (dt.date(2024, 1, 1), dt.date(2024, 8, 23))
    assert report.specials == (
        dt.date(2024, 1, 20), dt.date(2024, 3, 2), dt.date(2024, 5, 18),
    )  # fmt: skip
    assert report.absent == (
        dt.date(2024, 2, 1), dt.date(2024, 3, 4), dt.date(2024, 4, 5), dt.date(2024, 5, 7),
        dt.date(2024, 7, 10),
    )  # fmt: skip
    library = BarLibrary([NIFTY])
    frames = [frame for day in library.days for frame in library.feed(day).frames()]
    assert len(frames) == 57_960
    assert frames[0].bars[0].open == price("21727.75")
    saturday = list(library.feed(dt.date(2024, 3, 2)).frames())
    assert len(saturday) == 105
    assert saturday[45].bars[0].open_at == at(dt.date(2024, 3, 2), "11:30")
