"""The official JavaScript ticker, unchanged and run by Node: what it decodes, hears, and sits out."""

import asyncio
import datetime as dt
import os
import re
import subprocess
import threading

import pytest
from javascript_client import NODE, ROOT, command, environment, needs_node, node_modules
from rehearsal import serving
from ticker_day import until
from ticker_stage import NAMES, on_stage, stage

from kitestring.exchange.wire.feed_routes import FEED

pytestmark = needs_node

SILENCE_S = 12.0  # the client calls five silent seconds the end, and looks every five


def running(main, **options):
    on_stage(main, command=command("ticker.cjs"), environment=environment(), **options)


def as_the_client_shows(quote, mode):
    """A quote of the exchange as the client puts it, where both say the same."""
    shown = {
        "instrument_token": quote["instrument_token"],
        "last_price": quote["last_price"],
        "mode": mode,
    }
    if mode == "ltp":
        return shown
    shown["ohlc"] = quote["ohlc"]
    renamed = {
        "last_quantity": "last_traded_quantity",
        "volume": "volume_traded",
        "buy_quantity": "total_buy_quantity",
        "sell_quantity": "total_sell_quantity",
    }
    shown |= {theirs: quote[ours] for ours, theirs in renamed.items() if ours in quote}
    if "average_price" in quote:  # packets carry paise
        shown["average_traded_price"] = pytest.approx(quote["average_price"], abs=0.0051)
    if mode == "full":
        keys = ("oi", "oi_day_high", "oi_day_low", "depth")
        shown |= {key: quote[key] for key in keys if key in quote}
        for ours, theirs in (("timestamp", "exchange_timestamp"), ("last_trade_time",) * 2):
            if ours in quote:
                moment = dt.datetime.fromisoformat(quote[ours] + "+05:30")
                utc = moment.astimezone(dt.UTC)
                shown[theirs] = utc.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return shown


def check(scene, ticks, mode, names=NAMES):
    assert {each["instrument_token"] for each in ticks} == {scene.tokens[name] for name in names}
    for each in ticks:
        (name,) = [name for name in names if scene.tokens[name] == each["instrument_token"]]
        expected = as_the_client_shows(scene.exchange.board.quote(name), mode)
        assert {key: each.get(key) for key in expected} == expected
        assert each["tradable"] is (name != "NSE:NIFTY 50")


@pytest.mark.parametrize("mode", ["ltp", "quote", "full"])
def test_ticks_of_shares_futures_and_indices_decode_to_what_the_board_shows(mode):
    async def main(scene):
        tokens = list(scene.tokens.values())
        scene.ticker.tell("subscribe", tokens)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "quote")  # the first snapshot, in the mode Kite gives unasked
        scene.ticker.tell("set_mode", mode, tokens)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, mode)
        for by in (1, -2, 5):
            scene.move(*NAMES, by=by)
            (ticks,) = await scene.ticker.next("ticks")
            check(scene, ticks, mode)

    running(main)


def test_modes_are_an_instruments_own_and_unsubscribing_ends_them():
    async def main(scene):
        index, share, future = (scene.tokens[name] for name in NAMES)
        scene.ticker.tell("subscribe", [index, share, future])
        await scene.ticker.next("ticks")
        scene.ticker.tell("set_mode", "full", [future])
        await scene.ticker.next("ticks")
        scene.ticker.tell("set_mode", "ltp", [share])
        await scene.ticker.next("ticks")
        scene.move(*NAMES)
        (ticks,) = await scene.ticker.next("ticks")
        modes = {each["instrument_token"]: each["mode"] for each in ticks}
        assert modes == {index: "quote", share: "ltp", future: "full"}
        scene.ticker.tell("unsubscribe", [future])
        connection = scene.served.app[FEED].connections[0]
        await until(lambda: connection.subscribed == 2)
        scene.move(*NAMES)
        (ticks,) = await scene.ticker.next("ticks")
        assert {each["instrument_token"] for each in ticks} == {index, share}

    running(main)


def test_the_client_hears_what_becomes_of_its_orders():
    async def main(scene):
        scene.clock.resume()
        order = {
            "variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "quantity": 3,
            "transaction_type": "BUY", "product": "MIS", "order_type": "MARKET", "validity": "DAY",
            "market_protection": -1,
        }  # fmt: skip
        scene.ticker.tell("place", order)
        (row,) = await scene.ticker.next("order", where=lambda row: row["status"] == "COMPLETE")
        own = scene.exchange.desk.orders(scene.exchange.now())[-1]
        assert row["order_id"] == own["order_id"]
        assert (row["filled_quantity"], row["tradingsymbol"]) == (3, "INFY")
        assert row["average_price"] == own["average_price"]
        scene.ticker.tell("validate", row, "kitestring-secret")
        assert await scene.ticker.next("validated") == [True]
        scene.ticker.tell("validate", row, "another secret")
        assert await scene.ticker.next("validated") == [False]

    running(main, speed=20.0)


def test_heartbeats_alone_hold_the_connection_and_without_them_it_is_given_up():
    """Twelve seconds without a tick, twice at once; of one, the heartbeats are left out."""

    async def listen(seconds, **feed):
        async with stage(command=command("ticker.cjs"), environment=environment(), **feed) as scene:
            heard = []
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        await scene.ticker.next("none of them", where=heard.append)
            except TimeoutError:
                return [kind for kind, _ in scene.ticker.heard]

    async def both():
        return await asyncio.gather(listen(SILENCE_S), listen(SILENCE_S, heartbeat_s=60.0))

    calm, silent = asyncio.run(asyncio.wait_for(both(), 60))
    assert calm[0] == "connect"
    assert set(calm[1:]) == {"heartbeat"}
    assert len(calm) >= SILENCE_S / 2
    assert silent[:3] == ["connect", "disconnect", "reconnect"]
    assert "heartbeat" not in silent


def test_a_lost_connection_is_taken_up_again():
    async def main(scene):
        for connection in scene.served.app[FEED].connections.copy():
            connection.cut()
        await scene.ticker.next("disconnect")
        assert await scene.ticker.next("reconnect") == [1, 1]
        await scene.ticker.next("connect")
        scene.ticker.tell("subscribe", [scene.tokens["NSE:INFY"]])
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "quote", ["NSE:INFY"])

    running(main)


def test_after_the_morning_flush_the_client_tries_and_then_ends_its_program():
    async def main(scene):
        scene.served.exchange.sessions.flush()
        assert await scene.ticker.next("close") == [1008, "The session has ended."]
        (reason,) = await scene.ticker.next("error")
        assert "403" in reason
        await scene.ticker.next("noreconnect")
        assert await scene.ticker.ended() == 1

    running(main)


def test_the_javascript_of_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "Exchange.md").read_text(encoding="utf-8")
    texts = re.findall(r"^```javascript\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert texts
    (tmp_path / "node_modules").symlink_to(node_modules(), target_is_directory=True)
    with serving() as served:
        session = served.exchange.sessions.log_in(served.exchange.now(), "kitestring")
        for number, text in enumerate(texts):
            script = tmp_path / f"page{number}.mjs"
            script.write_text(
                text.replace("http://127.0.0.1:8010", served.rest)
                .replace("ws://127.0.0.1:8010", served.ticker)
                .replace("ACCESS_TOKEN", session.access_token)
            )
            program = subprocess.Popen(
                [NODE, script],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment()},
            )
            deadline = threading.Timer(30, program.kill)
            deadline.start()
            try:
                said = program.stdout.readline()
                while "}\n" not in said[-4:] or said.count("{") != said.count("}"):
                    said += (line := program.stdout.readline())
                    assert line, said
                assert re.search(r"'NSE:INFY': \{[^}]*last_price: [\d.]+", said)
                assert float(program.stdout.readline()) > 1000
            finally:
                deadline.cancel()
                program.kill()
                program.wait()
                program.stdout.close()
