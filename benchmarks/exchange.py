"""What the served exchange costs: ticks to sockets, orders beside them, packets, and a synthetic day.

    python -m benchmarks.exchange                       # all four, one JSON line each
    python -m benchmarks.exchange --only ticks --seconds 20

``ticks`` and ``orders`` run together: the exchange in a program of its own, three connections with
3 000 instruments each in full mode, every instrument ticking once a second, and orders sent one after
the other beside them. The processor time of the exchange is its own; the client's is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from benchmarks.house import DAY, OPEN_AT, Measured, manifest, share
from kitestring.domain.instants import HOUR, SECOND
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import Price, decimal_rupees
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.default_market import default_market
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange, Switches
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.market_source import MarketSource
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_packets import Mode, PacketBatch
from kitestring.exchange.wire.serving import Served

CONNECTIONS: Final = 3
EACH: Final = 3_000
NSE: Final = 1
WARM_S: Final = 2.0


def shares(count: int) -> tuple[Instrument, ...]:
    """Imaginary shares with tokens of the NSE segment."""
    return tuple(
        msgspec.structs.replace(share(number), token=(number + 1) << 8 | NSE)
        for number in range(count)
    )


def every_second(instruments: tuple[Instrument, ...], parts: int) -> Iterator[TickFrame]:
    """All instruments tick once a second, in so many frames spread over it, for ever."""
    chance = np.random.default_rng(7)
    names = [one.id for one in instruments]
    width = len(names)
    walk = np.full(width, 20_000, dtype=np.int64)
    traded = np.zeros(width, dtype=np.int64)
    depth = [500] * width
    bounds = [width * part // parts for part in range(parts + 1)]
    second = 0
    while True:
        walk = np.maximum(walk + chance.integers(-2, 3, width), 2_000)
        traded = traded + chance.integers(0, 200, width)
        last, bid, ask = (((walk + away) * 500).tolist() for away in (0, -1, 1))
        total = traded.tolist()
        at = OPEN_AT + second * SECOND
        for part, (low, high) in enumerate(itertools.pairwise(bounds)):
            event_at = at + SECOND * part // parts
            chosen = slice(low, high)
            ticks = map(
                Tick,
                names[chosen],
                [event_at] * (high - low),
                last[chosen],
                total[chosen],
                bid[chosen],
                depth[chosen],
                ask[chosen],
                depth[chosen],
            )
            yield TickFrame(event_at, tuple(ticks))
        second += 1


def exchange_of(
    instruments: tuple[Instrument, ...], parts: int, clock: ExchangeClock
) -> LocalExchange:
    """An exchange of imaginary shares, without rate limits and with money enough."""
    settings = ExchangeSettings(switches=Switches(rate_limits=False))
    listed = manifest(instruments, 300)
    market = Measured(listed, every_second(instruments, parts))
    return LocalExchange(settings, market, clock)


# ── the exchange's program ───────────────────────────────────────────────────────────────────────


async def serve(parts: int) -> None:
    """Serve until stdin ends; answer every line of stdin with the processor seconds used so far."""
    clock = ExchangeClock(OPEN_AT - SECOND, 1.0)
    exchange = exchange_of(shares(CONNECTIONS * EACH), parts, clock)
    served = Served(exchange, set_up=[lambda app, local: add_feed(app, local, clock)])
    await served.start()
    session = exchange.sessions.log_in(clock.now(), "kitestring")
    print(json.dumps({"port": served.port, "token": session.access_token}), flush=True)
    gc.collect()
    gc.freeze()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(
            json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}),
            flush=True,
        )
    await served.stop()


# ── its clients ──────────────────────────────────────────────────────────────────────────────────


class Counted:
    """What one connection received."""

    def __init__(self) -> None:
        self.messages = 0
        self.packets = 0
        self.bytes = 0

    async def listen(self, socket: ClientWebSocketResponse) -> None:
        """Count until the socket ends."""
        async for message in socket:
            if message.type is WSMsgType.BINARY and len(message.data) > 1:
                self.messages += 1
                self.packets += int.from_bytes(message.data[:2], "big")
                self.bytes += len(message.data)


async def order_times(
    session: ClientSession, rest: str, headers: dict[str, str], seconds: float
) -> list[float]:
    """Limit orders far from the market, one after the other with pauses: how long each took."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    form = {
        "exchange": "NSE",
        "tradingsymbol": "S001",
        "transaction_type": "BUY",
        "quantity": "1",
        "product": "MIS",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": "900",
    }
    while time.perf_counter() < ends:
        began = time.perf_counter()
        async with session.post(f"{rest}/orders/regular", data=form, headers=headers) as answer:
            body = await answer.json()
            taken.append(time.perf_counter() - began)
            assert answer.status == 200, body
        await asyncio.sleep(0.02)
    return taken


async def ticks_and_orders(
    seconds: float, parts: int
) -> tuple[dict[str, object], dict[str, object]]:
    """Start the exchange, listen and order for so long, and say what it cost."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.exchange", "--serve", "--parts", str(parts)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    stdin, stdout = program.stdin, program.stdout

    async def line() -> dict[str, float]:
        answer: dict[str, float] = json.loads(await stdout.readline())
        return answer

    async def used() -> dict[str, float]:
        stdin.write(b"\n")
        return await line()

    opened: dict[str, object] = json.loads(await stdout.readline())
    rest = f"http://127.0.0.1:{opened['port']}"
    keys = f"api_key=kitestring&access_token={opened['token']}"
    headers = {"X-Kite-Version": "3", "Authorization": f"token kitestring:{opened['token']}"}
    counted = [Counted() for _ in range(CONNECTIONS)]
    async with ClientSession() as session:
        listening = []
        for number, count in enumerate(counted):
            socket = await session.ws_connect(f"{rest}/?{keys}", max_msg_size=0)
            first = number * EACH + 1
            tokens = [token << 8 | NSE for token in range(first, first + EACH)]
            await socket.send_json({"a": "mode", "v": ["full", tokens]})
            listening.append(asyncio.create_task(count.listen(socket)))
        await asyncio.sleep(WARM_S)
        before, packets = await used(), sum(count.packets for count in counted)
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        alone, took = await used(), time.perf_counter() - began
        heard = sum(count.packets for count in counted) - packets
        taken = await order_times(session, rest, headers, seconds)
        beside = await used()
        for task in listening:
            task.cancel()
    stdin.close()
    await program.wait()
    share_of_core = (alone["cpu_s"] - before["cpu_s"]) / took
    tick_line: dict[str, object] = {
        "benchmark": "exchange ticks",
        "connections": CONNECTIONS,
        "instruments": CONNECTIONS * EACH,
        "mode": "full",
        "frames_per_s": parts,
        "seconds": round(took, 2),
        "packets_per_s": round(heard / took),
        "server_core_share": round(share_of_core, 3),
        "server_peak_rss_mb": round(beside["rss_mb"], 1),
    }
    order_line: dict[str, object] = {
        "benchmark": "exchange orders beside the ticks",
        "orders": len(taken),
        "p50_ms": round(percentile(taken, 50) * 1e3, 2),
        "p99_ms": round(percentile(taken, 99) * 1e3, 2),
        "server_core_share": round((beside["cpu_s"] - alone["cpu_s"]) / seconds, 3),
    }
    return tick_line, order_line


def percentile(values: Sequence[float], at: int) -> float:
    """The value below which so many per cent of them lie."""
    return sorted(values)[min(len(values) * at // 100, len(values) - 1)]


# ── without a socket ─────────────────────────────────────────────────────────────────────────────


def packing(rounds: int = 200) -> dict[str, object]:
    """How long the board takes for a frame of 3 000 ticks, and how long its packets take."""
    instruments = shares(EACH)
    board = MarketBoard(Listing(DAY, instruments), lambda _: None)
    frames = every_second(instruments, 1)
    modes = np.full(EACH, Mode.FULL, dtype=np.uint8)
    taking, encoding = [], []
    for _ in range(rounds):
        frame = next(frames)
        began = time.perf_counter()
        rows = board.apply(frame)
        applied = time.perf_counter()
        message = PacketBatch(board, rows).message(modes)
        encoding.append(time.perf_counter() - applied)
        taking.append(applied - began)
        assert len(message) == 2 + EACH * 186
    return {
        "benchmark": "exchange packets",
        "instruments": EACH,
        "mode": "full",
        "board_p50_ms": round(percentile(taking, 50) * 1e3, 2),
        "encode_p50_ms": round(percentile(encoding, 50) * 1e3, 2),
        "encode_p99_ms": round(percentile(encoding, 99) * 1e3, 2),
    }


def day(instruments: int = 20) -> dict[str, object]:
    """Make a synthetic day, and show every frame of it to floor, candles, board and desk.

    Every ten seconds an order is sent, at the other side's price, in turn to buy and to sell.
    """
    date = dt.date(2026, 11, 20)
    began, cpu = time.perf_counter(), time.process_time()
    names = [one.id for one in default_market(date, 1)][:instruments]
    feed = MarketSource(date, 1, watching=names)
    clock = ExchangeClock(OPEN_AT - SECOND, "max")
    exchange = LocalExchange(ExchangeSettings(switches=Switches(rate_limits=False)), feed, clock)
    ready = time.perf_counter()
    ticks = frames = orders = told = 0
    for position, frame in enumerate(feed.frames(), 1):
        exchange.observe(position, frame)
        exchange.board.apply(frame)
        told += len(exchange.desk.advance(frame.received_at))
        ticks += len(frame.ticks)
        frames += 1
        chosen = frame.ticks[position // 10 % len(frame.ticks)]
        if position % 10 == 0 and frame.received_at < OPEN_AT + 6 * HOUR:
            orders += place(exchange, frame.received_at, chosen, buy=orders % 4 < 2)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    rows = exchange.desk.orders(feed.manifest.sessions[Segment.FUTURES].close_at)
    return {
        "benchmark": "exchange day",
        "instruments": len(names),
        "ticks": ticks,
        "frames": frames,
        "orders": orders,
        "complete": sum(row["status"] == "COMPLETE" for row in rows),
        "updates": told,
        "ready_s": round(ready - began, 2),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
    }


def place(exchange: LocalExchange, at: int, tick: Tick, *, buy: bool) -> bool:
    """One small order at the other side's price; false where there is nothing to trade with."""
    instrument = exchange.listing.by_key[tick.instrument]
    px = tick.ask_px if buy else tick.bid_px
    if not instrument.tradable or px == Price(0):
        return False
    form = {
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.symbol,
        "transaction_type": "BUY" if buy else "SELL",
        "quantity": str(instrument.lot_size),
        "product": "MIS",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": str(decimal_rupees(px)),
    }
    exchange.desk.place(at, "regular", Form(form))
    return True


def main() -> None:
    """Measure what was asked for and print a JSON line of each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", choices=("ticks", "packets", "day"))
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--parts", type=int, default=3, help="frames a second")
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.parts))
        return
    if chosen.only in {None, "packets"}:
        print(json.dumps(packing()))
    if chosen.only in {None, "day"}:
        print(json.dumps(day()))
    if chosen.only in {None, "ticks"}:
        for line in asyncio.run(ticks_and_orders(chosen.seconds, chosen.parts)):
            print(json.dumps(line))


if __name__ == "__main__":
    main()
