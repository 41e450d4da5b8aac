"""The official Python ticker, unchanged and in a program of its own, against a served exchange."""

import asyncio
import datetime as dt

import pytest
from ticker_day import until
from ticker_stage import NAMES, on_stage

from kitestring.exchange.wire.feed_routes import FEED


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
