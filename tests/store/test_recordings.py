"""A recorded day comes in whole or not at all, and what is wrong with it is said by file and line."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest

from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.domain.errors import FeedError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import MINUTE, NEVER, Instant, instant
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import Price, rupees_text
from kitestring.domain.ports import Feed
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.store.recorded_instruments import symbol_in
from kitestring.store.recording_check import Example, FileReport, check
from kitestring.store.recordings import RecordedFeed, open_recording
from kitestring.store.tape import FileTape
from kitestring.store.taped_feed import TapedFeed

DAY = dt.date(2021, 4, 13)
INFY = InstrumentId("NSE:INFY")
TCS = InstrumentId("NSE:TCS")
NIFTY = InstrumentId("NSE:NIFTY 50")
NIFTY_STAND_IN = InstrumentId("NFO:NIFTY-STANDIN")

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ticks_2021-04-13"
with_recorded_day = pytest.mark.skipif(not RECORDED.is_dir(), reason="shared data absent")


def at(clock: str) -> Instant:
    return instant(DAY, dt.time.fromisoformat(clock))


def sessions_of(day: dt.date) -> Mapping[Segment, Session]:
    assert day == DAY
    return {
        segment: Session(
            date=day,
            segment=segment,
            open_at=at("09:15"),
            close_at=at("15:30"),
            entry_cutoff_at=at("15:00"),
            square_off_at=at("15:15"),
            phases=(),
        )
        for segment in Segment
    }


def record(folder: Path, name: str, *lines: str, head: str = "timestamp,ltp,volume") -> None:
    content = "\n".join([head, *lines, ""])
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(content.encode()))
    else:
        (folder / name).write_text(content)


def shown(frames: object) -> list[str]:
    """Frames as lines: when received, then each tick's symbol, clock and price."""
    lines = []
    for frame in frames:  # type: ignore[attr-defined]  # an iterator of frames
        ticks = [
            f"{one.instrument.partition(':')[2]} +{(one.event_at - at('09:15')) // 1_000_000}"
            f" {rupees_text(one.last_px)}"
            for one in frame.ticks
        ]
        lines.append(f"+{(frame.received_at - at('09:15')) // 1_000_000}: {' | '.join(ticks)}")
    return lines


def test_files_become_one_stream_in_the_order_of_arrival(tmp_path: Path):
    record(
        tmp_path,
        "TCS_13_April.csv.gz",
        "2021-04-13 09:15:00,3207.05,131505",
        "2021-04-13 09:15:02,3204.0,138095",
        "2021-04-13 09:15:01,3205,138100",
        "2021-04-13 09:15:03,3206,138200",
    )
    record(
        tmp_path,
        "INFY_13_April.csv",
        "2021-04-13 09:15:00,1432.0,79197",
        "2021-04-13 09:15:00,1432.0,79197",
        "2021-04-13 09:15:02,1427.70,106462",
    )
    feed: Feed = RecordedFeed(tmp_path, sessions_of, engines="equity")
    assert shown(feed.frames()) == [
        "+0: INFY +0 1432.00",
        "+0: INFY +0 1432.00 | TCS +0 3207.05",
        "+2: INFY +2 1427.70 | TCS +2 3204.00",
        "+2: TCS +1 3205.00",
        "+3: TCS +3 3206.00",
    ]
    assert shown(feed.frames(3)) == ["+2: TCS +1 3205.00", "+3: TCS +3 3206.00"]
    assert list(feed.frames(5)) == []
    assert feed.manifest.frames_hint == 5
    assert feed.manifest.date == DAY
    assert feed.history(INFY, 1, 10) == ()


def test_a_row_of_another_date_arrives_with_its_neighbours_and_moves_no_clock(tmp_path: Path):
    record(
        tmp_path,
        "INFY.csv",
        "1970-01-01 05:30:00,1432,0",
        "2021-04-13 09:15:01,1432,10",
        "2031-04-13 09:15:00,1432,11",
        "2021-04-13 09:15:02,1432,12",
    )
    feed = RecordedFeed(tmp_path, sessions_of)
    assert [frame.received_at for frame in feed.frames()] == [
        at("09:15:01"),
        at("09:15:01"),
        at("09:15:01"),
        at("09:15:02"),
    ]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("timestamp,ltp,volume", "2021-04-13 09:15:00.250,1432.05,79197"),
        ("Date,Time,Last Price,Volume", "2021-04-13,09:15:00.250,1432.05,79197"),
        ("volume_traded,price,exchange-timestamp", "79197,1432.05,2021-04-13T09:15:00.25+05:30"),
        ("datetime,last_px,cum_qty,note", "2021-04-13 03:45:00.250Z,1432.0500,79197.0,ok"),
        ('"time","last_price","vol"', '"1618285500250","1432.05","79197"'),
        ("\ufeffdate,ltp,volume\r", "2021-04-13 09:15:00.250,1432.05,79197\r"),
    ],
)
def test_columns_are_recognised_by_the_names_people_give_them(tmp_path: Path, head: str, row: str):
    record(tmp_path, "INFY.csv", row, head=head)
    (frame,) = RecordedFeed(tmp_path, sessions_of).frames()
    assert frame.ticks == (Tick(INFY, at("09:15:00.250"), Price(14_320_500), 79_197),)


def test_depth_and_open_interest_are_read_where_a_file_has_them(tmp_path: Path):
    record(
        tmp_path,
        "INFY.csv",
        "2021-04-13 09:15:00,1432,100,1431.95,25,1432.05,,7",
        head="timestamp,ltp,volume,bid,bid_qty,ask,ask_qty,oi",
    )
    feed = RecordedFeed(tmp_path, sessions_of)
    (frame,) = feed.frames()
    assert frame.ticks == (
        Tick(
            INFY,
            at("09:15:00"),
            Price(14_320_000),
            100,
            Price(14_319_500),
            25,
            Price(14_320_500),
            0,
            7,
        ),
    )
    (instrument,) = feed.manifest.instruments
    assert (instrument.has_volume, instrument.has_depth) == (True, True)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2021-04-13 09:15:0x,1432,1", "'2021-04-13 09:15:0x' is no time such as"),
        ("2021-04-13 09:15:01,14x2.05,1", "'14x2.05' is no price in rupees"),
        ("2021-04-13 09:15:01,,1", "'' is no price in rupees"),
        ("2021-04-13 09:15:01,nan,1", "'nan' is no price in rupees"),
        ("2021-04-13 09:15:01,1432,-5", "'-5' is no whole quantity"),
        ("2021-04-13 09:15:01,1432,5.5", "'5.5' is no whole quantity"),
        ("2021-04-13 09:15:01,1432", "'2021-04-13 09:15:01,1432' has 2 columns, not 3"),
        ("12345,1432,1", "'12345' is no Unix time"),
    ],
)
def test_a_row_that_cannot_be_read_refuses_the_whole_recording(
    tmp_path: Path, row: str, sentence: str
):
    record(tmp_path, "TCS.csv", "2021-04-13 09:15:00,3207.05,131505")
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:00,1432,1", "", row)
    with pytest.raises(FeedError) as raised:
        RecordedFeed(tmp_path, sessions_of)
    assert f"INFY.csv:4: {sentence}" in raised.value.what
    assert "Nothing of the recording was taken." in raised.value.what
    assert "kitestring tape check" in raised.value.do


@pytest.mark.parametrize(
    ("file_name", "symbol"),
    [
        ("HDFCBANK_13_April.csv.gz", "HDFCBANK"),
        ("Nifty_13_April.csv.gz", "NIFTY"),
        ("Nifty_Bank_13_April.csv.gz", "NIFTY BANK"),
        ("INFY.csv", "INFY"),
        ("INFY_2021-04-13.csv", "INFY"),
        ("INFY_20210413.csv", "INFY"),
        ("infy_ticks_13Apr.csv", "INFY 13APR"),
        ("BAJAJ-AUTO_1st_May_2021.csv", "BAJAJ-AUTO"),
        ("M&M_13_April.csv", "M&M"),
        ("NIFTY_50_13_April.csv", "NIFTY 50"),
        ("3MINDIA_13_April.csv", "3MINDIA"),
        ("NIFTY24JANFUT.csv", "NIFTY24JANFUT"),
    ],
)
def test_the_symbol_is_in_the_name_of_the_file(file_name: str, symbol: str):
    assert symbol_in(file_name) == symbol


def test_index_ticks_stand_in_for_the_future_and_say_so(tmp_path: Path):
    record(tmp_path, "Nifty_13_April.csv", "2021-04-13 09:15:01,14363.7,0")
    record(tmp_path, "INFY_13_April.csv", "2021-04-13 09:15:01,1432,10")
    feed = RecordedFeed(tmp_path, sessions_of, engines="fno", lots={"NIFTY": 75})
    assert shown(feed.frames()) == ["+1: NIFTY 50 +1 14363.70 | NIFTY-STANDIN +1 14363.70"]
    index, future = feed.manifest.instruments
    assert (index.id, index.kind, index.name, index.segment) == (
        NIFTY,
        InstrumentKind.INDEX,
        "NIFTY",
        Segment.INDEX,
    )
    assert (future.id, future.kind, future.name, future.lot_size) == (
        NIFTY_STAND_IN,
        InstrumentKind.FUTURE,
        "NIFTY",
        75,
    )
    assert (future.has_volume, future.has_depth) == (False, False)
    assert feed.manifest.stand_ins == (
        "NFO:NIFTY-STANDIN: NIFTY 50 index ticks stand in for the future: no volume, no depth",
    )


def test_each_engine_gets_what_it_trades_and_the_indices_to_read(tmp_path: Path):
    record(tmp_path, "Nifty_13_April.csv", "2021-04-13 09:15:01,14363.7,0")
    record(tmp_path, "INFY_13_April.csv", "2021-04-13 09:15:01,1432,10")
    names = {
        engines: [
            one.id
            for one in RecordedFeed(
                tmp_path, sessions_of, engines=engines, lots={"NIFTY": 75}
            ).manifest.instruments
        ]
        for engines in ("equity", "fno", "all")
    }
    assert names == {
        "equity": [INFY, NIFTY],
        "fno": [NIFTY, NIFTY_STAND_IN],
        "all": [INFY, NIFTY, NIFTY_STAND_IN],
    }


def test_a_future_without_a_known_lot_is_not_guessed(tmp_path: Path):
    record(tmp_path, "Nifty_13_April.csv", "2021-04-13 09:15:01,14363.7,0")
    with pytest.raises(FeedError, match="nothing to trade under --engines fno"):
        RecordedFeed(tmp_path, sessions_of, engines="fno")


def test_the_caller_may_complete_what_a_file_cannot_say(tmp_path: Path):
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:01,1432,10")

    def with_derivatives(one: Instrument, day: dt.date) -> Instrument:
        assert day == DAY
        return Instrument(
            id=one.id,
            exchange=one.exchange,
            symbol=one.symbol,
            token=one.token,
            kind=one.kind,
            segment=Segment.EQUITY_WITH_DERIVATIVES,
            name=one.name,
            lot_size=one.lot_size,
            tick_size=one.tick_size,
        )

    feed = RecordedFeed(tmp_path, sessions_of, refine=with_derivatives)
    assert feed.manifest.instruments[0].segment is Segment.EQUITY_WITH_DERIVATIVES


def test_a_manifest_in_the_folder_overrides_names_and_hours(tmp_path: Path):
    record(tmp_path, "a.csv", "2021-04-13 18:20:00,101.5,1")
    (tmp_path / "tape.toml").write_text(
        """
        [session]
        open = 18:15:00
        close = 19:15:00
        square_off = 19:05:00
        [files."a.csv"]
        symbol = "GOLDBEES"
        exchange = "BSE"
        lot = 5
        tick = "0.01"
        previous_close = "100.40"
        """
    )
    manifest = RecordedFeed(tmp_path, sessions_of).manifest
    (instrument,) = manifest.instruments
    assert (instrument.id, instrument.lot_size, instrument.tick_size) == ("BSE:GOLDBEES", 5, 100)
    assert manifest.previous_close == {"BSE:GOLDBEES": 1_004_000}
    hours = manifest.sessions[Segment.EQUITY]
    assert (hours.open_at, hours.close_at) == (at("18:15"), at("19:15"))
    assert (hours.entry_cutoff_at, hours.square_off_at) == (at("19:05"), at("19:05"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('[files."a.csv"]\nsymbl = "X"', "symbl"),
        ('[files."b.csv"]\nsymbol = "X"', "speaks of b.csv, which is not there"),
        ('[files."a.csv"]\ntick = "five"', "is not a price"),
        ("[files", "tape.toml"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, content: str, sentence: str):
    record(tmp_path, "a.csv", "2021-04-13 09:20:00,101.5,1")
    (tmp_path / "tape.toml").write_text(content)
    with pytest.raises(FeedError, match=sentence):
        RecordedFeed(tmp_path, sessions_of)


def test_what_is_no_recording_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(FeedError, match="There is no recording"):
        RecordedFeed(tmp_path / "nowhere", sessions_of)
    with pytest.raises(FeedError, match="holds no recording"):
        RecordedFeed(tmp_path, sessions_of)
    record(tmp_path, "INFY.csv", head="timestamp,open,high,low,close")
    with pytest.raises(FeedError, match=r"INFY.csv:1: no column of a last price among timestamp"):
        RecordedFeed(tmp_path, sessions_of)
    record(tmp_path, "INFY.csv")
    with pytest.raises(FeedError, match="not a single tick"):
        RecordedFeed(tmp_path, sessions_of)
    record(tmp_path, "INFY.csv.gz", "2021-04-13 09:15:01,1432,10")
    packed = (tmp_path / "INFY.csv.gz").read_bytes()
    (tmp_path / "INFY.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(FeedError, match="cannot be read"):
        RecordedFeed(tmp_path, sessions_of)


def test_two_days_in_a_folder_are_refused(tmp_path: Path):
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:01,1432,10")
    record(tmp_path, "TCS.csv", "2021-04-15 09:15:01,3200,10")
    with pytest.raises(FeedError, match=r"INFY.csv is of 2021-04-13, TCS.csv of 2021-04-15"):
        RecordedFeed(tmp_path, sessions_of)


def test_two_files_of_one_instrument_are_refused(tmp_path: Path):
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:01,1432,10")
    record(tmp_path, "INFY_13_April.csv", "2021-04-13 09:15:01,1432,10")
    with pytest.raises(FeedError, match="both of NSE:INFY"):
        RecordedFeed(tmp_path, sessions_of)


def test_the_digest_names_the_content_and_what_is_traded_of_it(tmp_path: Path):
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:01,1432,10")
    first = RecordedFeed(tmp_path, sessions_of).manifest.digest
    assert RecordedFeed(tmp_path, sessions_of).manifest.digest == first
    assert RecordedFeed(tmp_path, sessions_of, engines="equity").manifest.digest != first
    record(tmp_path, "INFY.csv", "2021-04-13 09:15:01,1432,11")
    assert RecordedFeed(tmp_path, sessions_of).manifest.digest != first


def test_the_check_says_what_is_wrong_by_file_and_line(tmp_path: Path):
    record(
        tmp_path,
        "INFY_13_April.csv",
        "2021-04-13 09:14:59,1432,9",
        "2021-04-13 09:15:00,1432,10",
        "2021-04-13 09:15:00,1432,10",
        "2021-04-13 09:15:02,1433,20",
        "2021-04-13 09:15:01,1432,15",
        "2021-04-13 09:15:03,0,21",
        "2021-04-13 09:15:04,14.33,22",
        "2021-04-13 09:15:05,1434,18",
        "2021-04-13 09:15:0,1434,18",
        head="timestamp,ltp,volume",
    )
    report = check(tmp_path, sessions_of)
    (file,) = report.files
    assert (file.instrument, file.rows, file.accepted) == ("NSE:INFY", 9, 3)
    assert file.columns == {"timestamp": "timestamp", "last_px": "ltp", "cum_qty": "volume"}
    assert {finding.fault: finding.examples for finding in file.findings} == {
        "out_of_hours": (Example(2, "2021-04-13 09:14:59.000 1432.00 9"),),
        "duplicate": (Example(4, "2021-04-13 09:15:00.000 1432.00 10"),),
        "late": (Example(6, "2021-04-13 09:15:01.000 1432.00 15"),),
        "zero": (Example(7, "2021-04-13 09:15:03.000 0.00 21"),),
        "absurd": (Example(8, "2021-04-13 09:15:04.000 14.33 22"),),
        "falling_volume": (Example(9, "2021-04-13 09:15:05.000 1434.00 18 after 20"),),
        "unreadable": (Example(10, "'2021-04-13 09:15:0' is no time such as 2021-04-13 09:15:00"),),
    }
    assert not report.playable
    assert "INFY_13_April.csv:6: 2021-04-13 09:15:01.000 1432.00 15" in "\n".join(report.lines())


def test_our_own_tape_is_a_recording_too(tmp_path: Path):
    folder = tmp_path / "csv"
    folder.mkdir()
    record(folder, "INFY.csv", "2021-04-13 09:15:01,1432,10", "2021-04-13 09:16:02,1433,20")
    recorded = RecordedFeed(folder, sessions_of)
    frames = list(recorded.frames())
    tape = FileTape.begin(tmp_path / "tape.bin", recorded.manifest)
    tape.append_frame(1, frames[0])
    tape.append_timer(2, at("09:16"))
    tape.append_frame(3, frames[1])
    tape.close()
    feed = open_recording(tmp_path, sessions_of)
    assert isinstance(feed, TapedFeed)
    assert list(feed.frames()) == frames
    assert list(feed.frames(1)) == frames[1:]
    assert feed.manifest.instruments == recorded.manifest.instruments
    assert feed.manifest.frames_hint == 2
    report = check(tmp_path, sessions_of)
    assert report.playable
    assert report.notes == ("A tape of this house: 2 ticks, 0 recorded bars, 1 timers.",)
    content = (tmp_path / "tape.bin").read_bytes()
    (tmp_path / "tape.bin").write_bytes(content[:-1])
    assert list(open_recording(tmp_path, sessions_of).frames()) == []
    assert "cut off" in open_recording(tmp_path, sessions_of).manifest.notes[-1]
    (tmp_path / "tape.bin").write_bytes(b"KITETAPE" + content[9:])
    with pytest.raises(FeedError, match=r"tape\.bin"):
        open_recording(tmp_path, sessions_of)
    assert not check(tmp_path, sessions_of).playable


# ------------------------------------------------------------------------- the real recorded day

# Counted by a separate awk script over the files: rows, then duplicates of the last good row, late,
# outside 09:15:00 to 15:30:00, falling volume, accepted.
COUNTED = {
    "HDFCBANK_13_April.csv.gz": (22460, 834, 95, 204, 267, 21327),
    "ICICIBANK_13_April.csv.gz": (22400, 680, 104, 176, 274, 21440),
    "INFY_13_April.csv.gz": (22640, 512, 96, 419, 332, 21613),
    "Nifty_13_April.csv.gz": (32140, 1, 0, 10496, 0, 21643),
    "Nifty_Bank_13_April.csv.gz": (30500, 1, 0, 9463, 0, 21036),
    "RELIANCE_13_April.csv.gz": (22320, 941, 97, 182, 175, 21100),
    "SBIN_13_April.csv.gz": (22500, 524, 113, 365, 241, 21498),
    "TATAMOTORS_13_April.csv.gz": (22590, 299, 103, 437, 323, 21751),
    "TCS_13_April.csv.gz": (22520, 486, 122, 403, 316, 21509),
}
# The same script's first, highest, lowest and last good price, and growth of volume.
DAY_BARS = {
    "NSE:HDFCBANK": (13_678_500, 14_064_000, 13_617_000, 14_010_000, 9_231_952),
    "NSE:INFY": (14_320_000, 14_348_000, 13_752_500, 14_040_000, 14_774_550),
    "NSE:NIFTY 50": (143_637_000, 145_279_000, 142_771_000, 145_250_000, 0),
    "NSE:TATAMOTORS": (2_872_000, 3_045_000, 2_807_000, 3_020_000, 116_665_790),
}


def counts(file: FileReport) -> tuple[int, ...]:
    faults = ("duplicate", "late", "out_of_hours", "falling_volume")
    return (file.rows, *(file.count(fault) for fault in faults), file.accepted)


@with_recorded_day
def test_the_recorded_day_has_exactly_the_faults_counted_by_other_means():
    report = check(RECORDED, sessions_of)
    assert {file.file: counts(file) for file in report.files} == COUNTED
    assert report.playable
    assert report.date == "2021-04-13"
    assert all(file.count("absurd") == file.count("zero") == 0 for file in report.files)


@with_recorded_day
def test_the_recorded_day_makes_the_day_bars_counted_by_other_means():
    feed = RecordedFeed(RECORDED, sessions_of, engines="fno", lots={"NIFTY": 75, "BANKNIFTY": 25})
    assert [one.id for one in feed.manifest.instruments if one.tradable] == [
        "NFO:NIFTY-STANDIN",
        "NFO:BANKNIFTY-STANDIN",
    ]
    feed = RecordedFeed(RECORDED, sessions_of, engines="equity")
    instruments = feed.manifest.instruments
    market = MarketDataEngine(
        instruments,
        feed.manifest.sessions,
        timeframes={one.id: frozenset({1, 0}) for one in instruments},
        bar_grace=0,
        price_jump_pct_max=0.10,
        stale_after=MINUTE,
        previous_close={},
    )
    days, minutes, received_at = {}, 0, 0
    for frame in feed.frames():
        assert isinstance(frame, TickFrame)
        assert frame.received_at >= received_at
        received_at = frame.received_at
        while market.next_due_at <= received_at:
            for bar in market.close_due(market.next_due_at):
                if bar.minutes == 0:
                    days[bar.instrument] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
                else:
                    minutes += 1
        market.accept_frame(frame)
    assert market.next_due_at == NEVER
    assert {name: days[name] for name in DAY_BARS} == DAY_BARS
    assert minutes == 9 * 375
    seen = {
        view.instrument.symbol: (view.duplicate, view.late, view.out_of_hours, view.accepted)
        for view in market.views.values()
    }
    assert seen["HDFCBANK"] == (834, 95, 204, 21327)
    assert seen["NIFTY BANK"] == (1, 0, 9463, 21036)
