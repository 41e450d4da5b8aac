"""A read is believed or raises: a failed one is never an empty book."""

import asyncio

import pytest
from kite_rig import client_at, converse, raw, script, scripted

from kitestring.broker.kite_errors import KiteAnswerStrange, KiteReadFailed, ReadFailure
from kitestring.domain.instants import HOUR
from kitestring.domain.money import price

READS = ("orders", "trades", "positions", "holdings", "margins", "profile")


async def each_read(client):
    """The error of every read, by name."""
    errors = {}
    for name in READS:
        with pytest.raises(KiteReadFailed) as caught:
            await getattr(client, name)()
        errors[name] = caught.value
    with pytest.raises(KiteReadFailed) as caught:
        await client.quote(["NSE:INFY"])
    errors["quote"] = caught.value
    with pytest.raises(KiteReadFailed) as caught:
        await client.historical(408065, "minute", 0, HOUR)
    errors["historical"] = caught.value
    with pytest.raises(KiteReadFailed) as caught:
        await client.instruments("NSE")
    errors["instruments"] = caught.value
    return errors


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        (script("no_answer", "reads"), ReadFailure.TIMED_OUT),
        (script("slow_drip", "reads", bytes_per_second=20), ReadFailure.TIMED_OUT),
        (script("html_error", "reads"), ReadFailure.DOWN),
        (script("html_error", "reads", status=429), ReadFailure.THROTTLED),
        (script("error_answer", "reads"), ReadFailure.DOWN),
        (script("too_many_requests", "reads"), ReadFailure.THROTTLED),
        (script("maintenance", "reads"), ReadFailure.DOWN),
        (script("wrong_content_type", "reads"), ReadFailure.STRANGE),
        (script("no_content_type", "reads"), ReadFailure.STRANGE),
        (script("truncated", "reads"), ReadFailure.BROKEN_OFF),
        (script("empty_body", "reads"), ReadFailure.STRANGE),
        (script("redirect", "reads"), ReadFailure.STRANGE),
        (script("connection_lost", "reads"), ReadFailure.BROKEN_OFF),
        (script("connection_lost", "reads", how="close"), ReadFailure.BROKEN_OFF),
    ],
)  # fmt: skip
def test_no_answer_is_no_book(faults, cause):
    async def talk(it):
        found = await each_read(it.client)
        assert {name: error.cause for name, error in found.items()} == dict.fromkeys(found, cause)

    silent = {"read_timeout_s": 0.15, "dump_timeout_s": 0.15}
    converse(talk, faults, **(silent if cause is ReadFailure.TIMED_OUT else {}))


@pytest.mark.parametrize("field", ["data", "data.equity.net", "data.equity.available"])
def test_a_missing_figure_is_no_zero(field):
    async def talk(it):
        with pytest.raises(KiteAnswerStrange):
            await it.client.margins()

    converse(talk, script("field_missing", "GET /user/margins", field=field))


def test_a_dead_token_says_what_to_type():
    async def talk(it):
        it.stage.exchange.sessions.flush()
        with pytest.raises(KiteReadFailed) as caught:
            await it.client.orders()
        assert caught.value.cause is ReadFailure.TOKEN
        assert "python -m scripts.login_kite" in str(caught.value)

    converse(talk)


def test_the_books_of_a_day():
    async def talk(it):
        assert await it.client.orders() == ()
        assert await it.client.trades() == ()
        resting = await it.resting(tag="K1")
        taken = (
            await it.place(order_type="MARKET", price="0", market_protection="-1", tag="K2")
        ).order_id
        await it.stage.until(lambda: it.stage.order(taken)["status"] == "COMPLETE")
        book = {row.order_id: row for row in await it.client.orders()}
        assert book[resting].status == "OPEN"
        assert (book[resting].tag, book[resting].leaves_qty) == ("K1", 10)
        assert book[resting].price == price("1400")
        assert book[taken].status.over
        (trade,) = await it.client.order_trades(taken)
        assert (trade.qty, trade.instrument) == (10, "NSE:INFY")
        assert await it.client.trades() == (trade,)
        states = [row.status for row in await it.client.order_history(taken)]
        assert states[0] == "PUT ORDER REQ RECEIVED"
        assert states[-1] == "COMPLETE"
        positions = await it.client.positions()
        (net,) = positions.net
        assert (net.net_qty, net.product, net.average_px) == (10, "MIS", trade.px)
        assert net.value == -10 * trade.px
        assert positions.day == positions.net
        assert {row.instrument for row in await it.client.holdings()} >= {"NSE:TCS", "NSE:SBIN"}
        funds = (await it.client.margins()).equity
        assert funds.enabled
        assert funds.net > 0
        assert (await it.client.profile()).user_id == "KS0001"

    converse(talk)


def test_the_market():
    async def talk(it):
        quotes = await it.client.quote(["NSE:INFY", "NSE:NOSUCH", "NSE:INFY"])
        assert set(quotes) == {"NSE:INFY"}
        infy = quotes["NSE:INFY"]
        assert infy.bids[0].px < infy.asks[0].px
        assert infy.lower_circuit < infy.last_px < infy.upper_circuit
        assert await it.client.quote([]) == {}
        now = it.stage.exchange.now()
        candles = await it.client.historical(infy.instrument_token, "minute", now - HOUR, now)
        assert all(c.low <= c.close <= c.high for c in candles)
        assert candles
        assert all(now - HOUR - 60_000_000 <= c.opened_at <= now + 60_000_000 for c in candles)
        csv = await it.client.instruments("NSE")
        assert csv.startswith(b"instrument_token,")
        assert len(await it.client.instruments()) > len(csv)
        with pytest.raises(KiteReadFailed) as caught:
            await it.client.historical(infy.instrument_token, "fortnight", now - HOUR, now)
        assert caught.value.cause is ReadFailure.REFUSED

    converse(talk)


def test_a_session_can_be_ended():
    async def talk(it):
        await it.client.log_out()
        with pytest.raises(KiteReadFailed):
            await it.client.orders()

    converse(talk)


def test_nobody_there_is_no_empty_book():
    async def talk():
        async with client_at("http://127.0.0.1:9") as client:
            return await each_read(client)

    found = asyncio.run(talk())
    assert {error.cause for error in found.values()} == {ReadFailure.UNREACHABLE}


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success","data":null}',
        '{"status":"success"}',
        '{"status":"success","data":{}}',
        '{"status":"success","data":"none"}',
        '{"status":"success","data":[null]}',
        '{"status":"success","data":[],"error_type":"DataException"}',
        '{"status":"error","data":[]}',
        '{"data":[]}',
        "[]",
        "null",
        "",
        '{"status":"success","data":[',
    ],
)
def test_an_empty_list_is_believed_only_as_such(body):
    async def answer(request, writer, number):
        writer.write(raw(body))

    async def talk(client):
        with pytest.raises(KiteReadFailed):
            await client.orders()
        with pytest.raises(KiteReadFailed):
            await client.trades()
        with pytest.raises(KiteReadFailed):
            await client.positions()

    scripted(answer, talk)


def test_a_strange_row_is_loud_and_blinds_to_no_other():
    good = (
        '{"order_id":"1","status":"OPEN","exchange":"NSE","tradingsymbol":"INFY","tag":"K1",'
        '"transaction_type":"BUY","order_type":"LIMIT","product":"MIS","quantity":10,'
        '"filled_quantity":0}'
    )
    bad = good.replace('"1"', '"2"').replace("OPEN", "HALF OPEN").replace("K1", "K2")

    async def answer(request, writer, number):
        writer.write(raw(f'{{"status":"success","data":[{bad},{good}]}}'))

    async def talk(client):
        with pytest.raises(KiteAnswerStrange, match="HALF OPEN") as caught:
            await client.orders()
        return caught.value

    error, _ = scripted(answer, talk)
    assert [row.order_id for row in error.rows] == ["1"]
    assert [(row.order_id, row.tag) for row in error.strange] == [("2", "K2")]


def test_a_quote_nobody_asked_for_is_strange():
    row = '{"instrument_token":1,"last_price":1,"ohlc":{"open":1,"high":1,"low":1,"close":1}}'

    async def answer(request, writer, number):
        writer.write(raw(f'{{"status":"success","data":{{"NSE:B":{row}}}}}'))

    async def talk(client):
        with pytest.raises(KiteAnswerStrange, match="not asked"):
            await client.quote(["NSE:A"])

    scripted(answer, talk)


def test_a_body_without_end_is_cut_off():
    async def answer(request, writer, number):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def talk(client):
        with pytest.raises(KiteReadFailed, match="longer than"):
            await client.instruments("NSE")

    scripted(answer, talk, body_max_bytes=1_000_000, dump_timeout_s=5.0)


def test_symbols_with_odd_marks_arrive_whole():
    async def answer(request, writer, number):
        writer.write(raw('{"status":"success","data":{}}'))

    _, (request,) = scripted(answer, lambda client: client.quote(["NSE:M&M", "NSE:NIFTY 50"]))
    assert request.startswith(b"GET /quote?i=NSE%3AM%26M&i=NSE%3ANIFTY+50 HTTP/1.1")


def test_a_redirect_of_a_read_is_not_followed_with_the_token():
    async def answer(request, writer, number):
        writer.write(raw("", "302 Found", more="Location: /elsewhere\r\n"))

    async def talk(client):
        with pytest.raises(KiteReadFailed, match="redirect"):
            await client.orders()

    _, heard = scripted(answer, talk)
    assert len(heard) == 1
