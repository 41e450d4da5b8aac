"""The official Python ticker, unchanged and in a program of its own, against a served exchange."""

import asyncio
import contextlib
import datetime as dt
import json
import sys
from pathlib import Path

import msgspec
import pytest
from rehearsal import DAY, ist, market
from ticker_day import until

from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedSettings
from kitestring.exchange.wire.feed_routes import FEED, PUMP, add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served

SCRIPT = Path(__file__).with_name("official_ticker.py")
NAMES = ("NSE:NIFTY 50", "NSE:INFY", "NFO:NIFTY26NOVFUT")


class Ticker:
    """The program with the official ticker: told what to do, and read line by line."""

    def __init__(self, program):
        self._program = program
        self.heard = []

    def tell(self, name, *values):
        self._program.stdin.write(json.dumps([name, *values]).encode() + b"\n")

    async def next(self, what, *, where=lambda *_: True):
        """The next callback of a kind; what else came is kept in ``heard``."""
        while True:
            line = await asyncio.wait_for(self._program.stdout.readline(), 20)
            assert line, "the ticker's program has ended"
            kind, *values = json.loads(line)
            self.heard.append((kind, values))
            if kind == what and where(*values):
                return values


class Stage:
    """A served exchange that stands at 09:20, and the official ticker connected to it."""

    def __init__(self, served, clock, ticker):
        self.served, self.clock, self.ticker = served, clock, ticker
        self.exchange = served.exchange
        self.tokens = {name: self.exchange.listing.by_key[name].token for name in NAMES}

    @property
    def pump(self):
        return self.served.app[PUMP]

    def move(self, *names, by=1):
        """Every named instrument ticks, a few rupees away from where it stands."""
        ticks = []
        for name in names:
            last = self.exchange.floor.markets[name].tick
            away = int(self.exchange.listing.by_key[name].tick_size) * by
            changed = {"last_px": Price(last.last_px + away), "event_at": self.clock.now()}
            if last.cum_qty:
                changed["cum_qty"] = last.cum_qty + 5 * self.exchange.listing.by_key[name].lot_size
            ticks.append(msgspec.structs.replace(last, **changed))
        assert all(isinstance(each, Tick) for each in ticks)
        self.pump.insert(ticks)


@contextlib.asynccontextmanager
async def stage(*, speed=1.0, **feed):
    clock = ExchangeClock(ist("09:20"), speed)
    settings = ExchangeSettings(switches=Switches(rate_limits=False))
    exchange = LocalExchange(settings, market(DAY), clock)
    limits = FeedSettings(**feed)
    served = Served(exchange, set_up=[lambda app, local: add_feed(app, local, clock, limits)])
    await served.start()
    token = exchange.sessions.log_in(clock.now(), "kitestring").access_token
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        SCRIPT,
        f"127.0.0.1:{served.port}",
        "kitestring",
        token,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        ticker = Ticker(program)
        await ticker.next("connect")
        await until(lambda: clock.now() >= ist("09:20"))
        clock.pause()
        await asyncio.sleep(0.05)
        yield Stage(served, clock, ticker)
        assert served.app[FAILURES] == []
    finally:
        program.stdin.close()
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
        await program.wait()
        program._transport.close()
        await served.stop()


def on_stage(main, **options):
    async def play():
        async with stage(**options) as scene:
            await main(scene)

    asyncio.run(asyncio.wait_for(play(), 60))


def as_the_client_shows(quote, mode):
    """A quote of the exchange as the official ticker puts it, where both say the same."""
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
    if mode == "full":
        shown |= {key: quote[key] for key in ("oi", "oi_day_high", "depth") if key in quote}
        moment = dt.datetime.fromisoformat(quote["timestamp"] + "+05:30")
        shown["exchange_timestamp"] = str(dt.datetime.fromtimestamp(moment.timestamp()))  # noqa: DTZ006
    return shown


def check(scene, ticks, mode, names=NAMES):
    assert {each["instrument_token"] for each in ticks} == {scene.tokens[name] for name in names}
    for each in ticks:
        (name,) = [name for name in names if scene.tokens[name] == each["instrument_token"]]
        expected = as_the_client_shows(scene.exchange.board.quote(name), mode)
        assert {key: each.get(key) for key in expected} == expected


@pytest.mark.parametrize("mode", ["ltp", "quote", "full"])
def test_ticks_decode_to_what_the_board_shows(mode):
    async def main(scene):
        tokens = list(scene.tokens.values())
        scene.ticker.tell("subscribe", tokens)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "quote")  # the first snapshot, in the mode the client assumes
        scene.ticker.tell("set_mode", mode, tokens)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, mode)
        for by in (1, -2, 5):
            scene.move(*NAMES, by=by)
            (ticks,) = await scene.ticker.next("ticks")
            check(scene, ticks, mode)

    on_stage(main)


def test_modes_are_an_instruments_own_and_unsubscribing_ends_them():
    async def main(scene):
        index, share, future = (scene.tokens[name] for name in NAMES)
        scene.ticker.tell("subscribe", [index, share, future])
        await scene.ticker.next("ticks")
        scene.ticker.tell("set_mode", "full", [future])
        await scene.ticker.next("ticks")
        scene.ticker.tell("set_mode", "ltp", [index])
        await scene.ticker.next("ticks")
        scene.move(*NAMES)
        (ticks,) = await scene.ticker.next("ticks")
        assert {each["instrument_token"]: each["mode"] for each in ticks} == {
            index: "ltp", share: "quote", future: "full",
        }  # fmt: skip
        assert {each["instrument_token"]: each["tradable"] for each in ticks} == {
            index: False, share: True, future: True,
        }  # fmt: skip
        scene.ticker.tell("unsubscribe", [share, index])
        connection = scene.served.app[FEED].connections[0]
        await until(lambda: connection.subscribed == 1)
        scene.move(*NAMES)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "full", NAMES[2:])

    on_stage(main)


def test_the_client_hears_what_becomes_of_its_orders():
    async def main(scene):
        scene.clock.resume()
        px = scene.exchange.board.quote("NSE:INFY")["last_price"]
        order = {
            "variety": "regular", "exchange": "NSE", "tradingsymbol": "INFY", "quantity": 3,
            "transaction_type": "BUY", "product": "MIS", "order_type": "MARKET", "validity": "DAY",
            "market_protection": 2, "tag": "ticker",
        }  # fmt: skip
        scene.ticker.tell("place", order)
        (order_id,) = await scene.ticker.next("placed")
        done = next(
            (values[0] for kind, values in scene.ticker.heard if kind == "order"), None
        ) or (await scene.ticker.next("order"))[0]  # fmt: skip
        while done["status"] != "COMPLETE":
            assert done["order_id"] == order_id
            assert done["status"] in {"UPDATE", "OPEN"}, done
            (done,) = await scene.ticker.next("order")
        assert (done["order_id"], done["tag"], done["filled_quantity"]) == (order_id, "ticker", 3)
        assert abs(done["average_price"] - px) < px * 0.02
        scene.ticker.tell(
            "place", order | {"order_type": "LIMIT", "price": round(px * 0.97), "tag": "rests"}
        )
        (resting,) = await scene.ticker.next("placed")
        await asyncio.sleep(0.5)
        scene.ticker.tell("cancel", resting)
        (gone,) = await scene.ticker.next(
            "order", where=lambda row: row["order_id"] == resting and row["status"] == "CANCELLED"
        )
        assert gone["cancelled_quantity"] == 3

    on_stage(main, speed=5.0)


def test_too_many_instruments_reach_the_client_as_an_error():
    async def main(scene):
        tokens = list(scene.tokens.values())
        scene.ticker.tell("subscribe", tokens)
        (code, reason) = await scene.ticker.next("error")
        assert code == 0
        assert "1 of yours" in reason
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "quote", NAMES[:2])

    on_stage(main, instruments_max=2)


def test_after_the_morning_flush_the_client_is_out_and_stays_out():
    async def main(scene):
        scene.served.exchange.sessions.flush()
        code, reason = await scene.ticker.next("close")
        assert (code, reason) == (1008, "The session has ended.")
        _, reason = await scene.ticker.next("error", where=lambda _, reason: "403" in str(reason))
        assert "403" in reason
        assert scene.served.app[FEED].connections == []

    on_stage(main)


def test_a_lost_connection_is_taken_up_again_with_all_its_modes():
    async def main(scene):
        tokens = list(scene.tokens.values())
        scene.ticker.tell("subscribe", tokens)
        await scene.ticker.next("ticks")
        scene.ticker.tell("set_mode", "full", tokens)
        await scene.ticker.next("ticks")
        scene.served.app[FEED].connections[0].cut()
        await scene.ticker.next("connect")
        await scene.ticker.next("ticks", where=lambda ticks: ticks[0]["mode"] == "full")
        scene.move(*NAMES)
        (ticks,) = await scene.ticker.next("ticks")
        check(scene, ticks, "full")

    on_stage(main)
