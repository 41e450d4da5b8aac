"""Instruments, quotes and candles as a client is given them."""

import csv
import gzip
import io
import urllib.parse

import pytest
from rehearsal import DAY, ask, ist, market, rehearsal

from kitestring.exchange.desk.listing import COLUMNS
from kitestring.exchange.desk.sessions import App

INFY = "NSE:INFY"
FUTURE = "NFO:NIFTY26NOVFUT"


@pytest.fixture(scope="module")
def exchange():
    return rehearsal("09:20")


def keys(*names):
    return [("i", name) for name in names]


def test_the_instruments_are_a_csv_and_nothing_more(exchange):
    status, headers, body = ask(exchange, "GET", "/instruments")
    assert status == 200
    assert headers["Content-Type"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert ",".join(rows[0]) == COLUMNS
    assert {row["tradingsymbol"] for row in rows} >= {"INFY", "NIFTY26NOVFUT", "NIFTY 50"}
    _, _, of_nfo = ask(exchange, "GET", "/instruments/NFO")
    assert {row["exchange"] for row in csv.DictReader(io.StringIO(of_nfo.decode()))} == {"NFO"}


def test_the_instruments_come_packed_to_whoever_asks_so(exchange):
    from aiohttp import ClientSession
    from aiohttp.test_utils import TestServer
    from rehearsal import signed

    from kitestring.exchange.wire.kite_server import make_app

    async def fetch(encoding):
        async with (
            TestServer(make_app(exchange)) as server,
            ClientSession(auto_decompress=False) as client,
        ):
            headers = signed(exchange) | {"Accept-Encoding": encoding}
            answer = await client.get(server.make_url("/instruments"), headers=headers)
            return dict(answer.headers), await answer.read()

    import asyncio

    plain_headers, plain = asyncio.run(fetch("identity"))
    headers, packed = asyncio.run(fetch("gzip, deflate"))
    assert "Content-Encoding" not in plain_headers
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "text/csv"
    assert gzip.decompress(packed) == plain


def test_an_unknown_exchange_has_no_instruments(exchange):
    status, _, body = ask(exchange, "GET", "/instruments/NYSE")
    assert (status, body["error_type"]) == (400, "InputException")


def test_a_quote_comes_under_the_key_it_was_asked_by(exchange):
    _, _, body = ask(exchange, "GET", "/quote", params=keys(INFY, "408065", "NSE:NOBODY"))
    assert list(body["data"]) == [INFY, "408065"]
    assert body["data"][INFY] == body["data"]["408065"]
    quote = body["data"][INFY]
    assert quote["instrument_token"] == 408065
    assert len(quote["depth"]["buy"]) == len(quote["depth"]["sell"]) == 5
    assert quote["depth"]["buy"][0]["price"] <= quote["depth"]["sell"][0]["price"]
    low, high = quote["ohlc"]["low"], quote["ohlc"]["high"]
    assert low <= quote["last_price"] <= high
    assert quote["timestamp"].startswith("2026-11-20 09:19:59")


def test_the_three_quotes_agree(exchange):
    pages = [ask(exchange, "GET", path, params=keys(FUTURE))[2]["data"][FUTURE] for path in
             ("/quote", "/quote/ohlc", "/quote/ltp")]  # fmt: skip
    full, ohlc, ltp = pages
    assert ohlc == {name: full[name] for name in ("instrument_token", "last_price", "ohlc")}
    assert ltp == {name: full[name] for name in ("instrument_token", "last_price")}


@pytest.mark.parametrize(
    ("path", "most"), [("/quote", 500), ("/quote/ohlc", 1000), ("/quote/ltp", 1000)]
)
def test_so_many_instruments_and_no_more(exchange, path, most):
    many = [f"NSE:SHARE{n:04d}" for n in range(most)]
    query = urllib.parse.urlencode(keys(*many))
    assert ask(exchange, "GET", f"{path}?{query}")[0] == 200
    query = urllib.parse.urlencode(keys(*many, INFY))
    status, _, body = ask(exchange, "GET", f"{path}?{query}")
    assert (status, body["error_type"]) == (400, "InputException")
    assert str(most) in body["message"]


def test_a_quote_of_nothing_is_refused(exchange):
    status, _, body = ask(exchange, "GET", "/quote/ltp")
    assert (status, body["error_type"]) == (400, "InputException")


def test_the_free_plan_may_not_read_the_market():
    exchange = rehearsal("09:00", apps=(App(api_key="kitestring", api_secret="x", personal=True),))
    for path in ("/quote", "/quote/ohlc", "/quote/ltp", "/instruments/historical/1/day"):
        status, _, body = ask(exchange, "GET", path, params=keys(INFY))
        assert (status, body["error_type"]) == (403, "PermissionException")
        assert body["message"] == "Insufficient permission for that call."
    assert ask(exchange, "GET", "/instruments")[0] == 200


def test_a_trigger_range_lies_below_for_a_buyer_and_above_for_a_seller(exchange):
    _, _, ltp = ask(exchange, "GET", "/quote/ltp", params=keys(INFY))
    last = ltp["data"][INFY]["last_price"]
    _, _, body = ask(exchange, "GET", "/instruments/trigger_range/buy", params=keys(INFY))
    assert body["data"][INFY]["upper"] == last
    assert body["data"][INFY]["lower"] == pytest.approx(last * 0.945, abs=0.0001)
    _, _, body = ask(exchange, "GET", "/instruments/trigger_range/sell", params=keys(INFY))
    assert body["data"][INFY]["lower"] == last
    assert body["data"][INFY]["upper"] == pytest.approx(last * 1.055, abs=0.0001)


def candles(exchange, token, interval, first, last, **query):
    asked = {"from": first, "to": last, "interval": interval} | query
    status, _, body = ask(
        exchange, "GET", f"/instruments/historical/{token}/{interval}", params=asked
    )
    assert status == 200, body
    return body["data"]["candles"]


def test_both_ends_are_included_and_the_forming_minute_too():
    exchange = rehearsal("09:20:30")
    rows = candles(exchange, 408065, "minute", "2026-11-20 09:16:00", "2026-11-20 09:18:00")
    assert [row[0] for row in rows] == [
        "2026-11-20T09:16:00+0530",
        "2026-11-20T09:17:00+0530",
        "2026-11-20T09:18:00+0530",
    ]
    rows = candles(exchange, 408065, "minute", "2026-11-20 09:20:00", "2026-11-20 15:30:00")
    assert [row[0] for row in rows] == ["2026-11-20T09:20:00+0530"]


def test_a_candle_is_made_of_the_ticks_of_its_minute():
    exchange = rehearsal("09:20")
    opens, closes = ist("09:17"), ist("09:18")
    ticks = [
        tick
        for frame in market(DAY).frames()
        if frame.received_at < closes + 2_000_000
        for tick in frame.ticks
        if tick.instrument == INFY
    ]
    inside = [tick for tick in ticks if opens <= tick.event_at < closes]
    before = [tick for tick in ticks if tick.event_at < opens]
    ((_, first, high, low, last, volume),) = candles(
        exchange, 408065, "minute", "2026-11-20 09:17:00", "2026-11-20 09:17:00"
    )
    prices = [tick.last_px / 10_000 for tick in inside]
    assert (first, high, low, last) == (prices[0], max(prices), min(prices), prices[-1])
    assert volume == inside[-1].cum_qty - before[-1].cum_qty


def test_days_before_today_join_today():
    exchange = rehearsal("09:20")
    rows = candles(exchange, 408065, "day", "2026-11-18", "2026-11-20")
    assert [row[0] for row in rows] == [
        "2026-11-18T00:00:00+0530",
        "2026-11-19T00:00:00+0530",
        "2026-11-20T00:00:00+0530",
    ]
    minutes = candles(exchange, 408065, "minute", "2026-11-19 00:00:00", "2026-11-19 23:59:59")
    day = rows[1]
    assert day[1] == minutes[0][1]
    assert day[2] == max(row[2] for row in minutes)
    assert day[3] == min(row[3] for row in minutes)
    assert day[5] == sum(row[5] for row in minutes)


INTERVAL_MINUTES = {
    "minute": 1, "2minute": 2, "3minute": 3, "4minute": 4, "5minute": 5, "10minute": 10,
    "15minute": 15, "30minute": 30, "60minute": 60, "hour": 60, "2hour": 120, "3hour": 180,
    "4hour": 240,
}  # fmt: skip


@pytest.mark.parametrize("interval", INTERVAL_MINUTES)
def test_every_interval_is_anchored_to_the_open_and_adds_up(interval):
    exchange = rehearsal("09:20")
    rows = candles(exchange, 408065, interval, "2026-11-19 09:00:00", "2026-11-19 23:00:00")
    minutes = candles(exchange, 408065, "minute", "2026-11-19 09:00:00", "2026-11-19 23:00:00")
    assert sum(row[5] for row in rows) == sum(row[5] for row in minutes)
    assert rows[0][0] == "2026-11-19T09:15:00+0530"
    assert (rows[0][1], rows[-1][4]) == (minutes[0][1], minutes[-1][4])
    length = INTERVAL_MINUTES[interval]
    for row in rows:
        hour, minute = int(row[0][11:13]), int(row[0][14:16])
        assert (hour * 60 + minute - 555) % length == 0


def test_a_week_begins_on_its_monday():
    exchange = rehearsal("09:20")
    rows = candles(exchange, 408065, "week", "2026-11-09", "2026-11-20")
    assert [row[0][:10] for row in rows] == ["2026-11-09", "2026-11-16"]
    days = candles(exchange, 408065, "day", "2026-11-16", "2026-11-20")
    assert rows[1][5] == sum(row[5] for row in days)


def test_open_interest_is_a_seventh_column_when_asked_for(exchange):
    token = next(i.token for i in market(DAY).manifest.instruments if i.id == FUTURE)
    first, last = "2026-11-20 09:15:00", "2026-11-20 09:20:00"
    assert {len(row) for row in candles(exchange, token, "minute", first, last)} == {6}
    rows = candles(exchange, token, "minute", first, last, oi="1")
    assert {len(row) for row in rows} == {7}
    assert rows[-1][6] > 0


def test_an_empty_stretch_has_no_candles(exchange):
    assert candles(exchange, 408065, "minute", "2026-11-15 09:15:00", "2026-11-15 15:30:00") == []


@pytest.mark.parametrize(
    ("interval", "days"),
    [("minute", 60), ("3minute", 100), ("5minute", 100), ("10minute", 100), ("15minute", 200),
     ("30minute", 200), ("60minute", 400), ("day", 2000)],
)  # fmt: skip
def test_a_call_spans_so_many_days_and_no_more(exchange, interval, days):
    import datetime as dt

    last = dt.datetime(2020, 1, 1, 9, 15)
    for more, expected in ((0, 200), (1, 400)):
        first = last - dt.timedelta(days=days + more)
        status, _, body = ask(
            exchange,
            "GET",
            f"/instruments/historical/408065/{interval}",
            params={"from": str(first), "to": str(last)},
        )
        assert status == expected
    assert body["error_type"] == "InputException"
    assert body["message"] == f"interval exceeds max limit: {days} days"


@pytest.mark.parametrize(
    ("token", "interval", "first", "last"),
    [
        ("1", "minute", "2026-11-20", "2026-11-20"),
        ("INFY", "minute", "2026-11-20", "2026-11-20"),
        ("408065", "7minute", "2026-11-20", "2026-11-20"),
        ("408065", "minute", "yesterday", "2026-11-20"),
        ("408065", "minute", "2026-11-20", "2026-11-31"),
        ("408065", "minute", "2026-11-20 10:00:00", "2026-11-20 09:00:00"),
        ("408065", "minute", "", ""),
    ],
)
def test_a_senseless_request_for_candles_is_an_input_exception(
    exchange, token, interval, first, last
):
    status, _, body = ask(
        exchange,
        "GET",
        f"/instruments/historical/{token}/{interval}",
        params={"from": first, "to": last},
    )
    assert (status, body["error_type"]) == (400, "InputException")
