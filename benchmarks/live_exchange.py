"""The exchange's side of ``benchmarks.live``: a market whose last share climbs a step when it is told to.

``python -m benchmarks.live_exchange --instruments 20 --parts 1`` serves until stdin ends. Every line of
stdin is a word in JSON, every line of stdout its answer. What it notes (when a frame was handed to
the socket, when a request arrived) is read from ``time.perf_counter``, which on Linux is the same
clock in every program of a machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from aiohttp import web
from aiohttp.typedefs import Handler

from benchmarks.exchange import every_second, shares
from benchmarks.house import OPEN_AT, Measured, manifest
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.money import Price
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.depth import Ints
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import KiteError
from kitestring.exchange.local_exchange import ExchangeSettings, LocalExchange
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.feed_connection import FeedConnection
from kitestring.exchange.wire.feed_routes import FEED, PUMP, add_feed
from kitestring.exchange.wire.serving import Served

FIRST: Final = 10_000_000
"""₹1 000: where the last share begins."""
STEP: Final = 5_000
"""50 paise: how far it climbs at a word."""
TICK: Final = 500
DEPTH: Final = 100_000
MINUTES: Final = 300
BEGINS_AT: Final = OPEN_AT + 50 * SECOND


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the house's program may say."""

    word: str
    speed: float = 1.0
    instruments: int = 0
    count: int = 0


class Stairs:
    """The market: everybody wanders, the last share stands until it climbs. And the stopwatch."""

    def __init__(self, instruments: int, parts: int, every: int = 1) -> None:
        self.listed = shares(instruments)
        self._every = every
        self.last = self.listed[-1].id
        self.level = FIRST
        self.latest: dict[InstrumentId, Tick] = {}
        self.board_row = -1
        self.climbing = False
        """A step was shown and has not left yet."""
        self.frames_handed: list[float] = []
        """Every message of ticks."""
        self.handed: list[float] = []
        self.arrived: list[float] = []
        """Sell orders."""
        self._parts = parts
        self._asked: list[TickFrame] = []

    def frames(self) -> Iterator[TickFrame]:
        """The day, from shortly before the second minute; of so many seconds only the first."""
        for frame in every_second(self.listed, self._parts):
            second = (frame.received_at - OPEN_AT) // SECOND
            if frame.received_at >= BEGINS_AT and second % self._every == 0:
                yield frame

    def climb(self, ticks: int, now: int) -> tuple[Tick, ...]:
        """So many instruments say again what they said, and the last of them one step more."""
        self.level += STEP
        others = [one.id for one in self.listed[len(self.listed) - ticks : -1]]
        said = [msgspec.structs.replace(self.latest[one], event_at=now) for one in others]
        return (*said, self._stair(now))

    def retouch(self, frame: TickFrame) -> TickFrame:
        """Every frame as it is shown: the last share stands where it stands now."""
        if self._asked and frame.ticks is self._asked[0].ticks:
            self._asked.pop(0)
            self.climbing = True  # Until it left: a market that is behind tells several at once.
        ticks = frame.ticks
        if ticks[-1].instrument == self.last:
            ticks = (*ticks[:-1], self._stair(ticks[-1].event_at))
        self.latest.update((tick.instrument, tick) for tick in ticks)
        return TickFrame(frame.received_at, ticks)

    def expect(self, ticks: tuple[Tick, ...]) -> None:
        """These will be inserted."""
        self._asked.append(TickFrame(0, ticks))

    def _stair(self, at: int) -> Tick:
        before = self.latest.get(self.last)
        traded = 10_000 if before is None else before.cum_qty + 10
        px = self.level
        bid, ask = Price(px - TICK), Price(px + TICK)
        return Tick(self.last, at, Price(px), traded, bid, DEPTH, ask, DEPTH)

    # ── what the wire asks: see ``Interference`` ─────────────────────────────────────────────

    def refusal(self, request: web.Request) -> KiteError | None:
        """Nobody is refused."""
        del request
        return None

    def ticks(self, connection: FeedConnection, rows: Ints, message: bytes) -> Iterable[bytes]:
        """Note when the frame of a step leaves; it is handed to the socket right after."""
        del connection
        at = time.perf_counter()
        self.frames_handed.append(at)
        if self.climbing and int(self.board_row) in rows:
            self.climbing = False
            self.handed.append(at)
        return (message,)

    def update(self, connection: FeedConnection, text: str) -> Iterable[str]:
        """As it is."""
        del connection
        return (text,)

    def heartbeat(self, connection: FeedConnection) -> bool:
        """Always."""
        del connection
        return True

    def hears(self, connection: FeedConnection) -> bool:
        """Always."""
        del connection
        return True

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note when the request of a sell order is here."""
        at = time.perf_counter()
        if request.method == "POST" and request.path.startswith("/orders/"):
            form = await request.post()
            if form.get("transaction_type") == "SELL" and form.get("order_type") != "SL":
                self.arrived.append(at)
        return await handler(request)


class Program:
    """Serves one day and obeys its stdin."""

    def __init__(
        self, instruments: int, parts: int, *, every: int = 1, minutes: int = MINUTES
    ) -> None:
        self.stairs = Stairs(instruments, parts, every)
        self.clock = ExchangeClock(BEGINS_AT - SECOND)
        market = Measured(manifest(self.stairs.listed, minutes), self.stairs.frames())
        self.exchange = LocalExchange(ExchangeSettings(), market, self.clock)
        self.served = Served(
            self.exchange,
            middlewares=(self.stairs.note,),
            set_up=[lambda app, local: add_feed(app, local, self.clock), self._set_up],
        )

    def _set_up(self, app: web.Application, exchange: LocalExchange) -> None:
        del exchange
        app[PUMP].retouch = self.stairs.retouch
        app[FEED].interference = self.stairs
        app.router.add_get("/admin/time", self._clock_face)

    async def _clock_face(self, request: web.Request) -> web.Response:
        """For a guard, which has a program and a clock of its own."""
        del request
        face = {"at": self.clock.now(), "speed": self.clock.speed, "paused": self.clock.paused}
        return web.json_response({"data": face})

    async def serve(self) -> None:
        """Until stdin ends."""
        await self.served.start()
        token = self.exchange.sessions.log_in(self.clock.now(), "kitestring").access_token
        opened = {"port": self.served.port, "token": token, **self._time()}
        print(json.dumps(opened), flush=True)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        decode = msgspec.json.Decoder(Word).decode
        while line := await reader.readline():
            print(json.dumps(self._answer(decode(line)), default=str), flush=True)
        await self.served.stop()

    def _answer(self, asked: Word) -> object:
        now = self.clock.now()
        match asked.word:
            case "speed":
                self.clock.set_speed(asked.speed)
                return self._time()
            case "climb":
                row = self.exchange.board.row_of(self.stairs.last)
                assert row is not None, "somebody watches it"
                self.stairs.board_row = row
                ticks = self.stairs.climb(asked.instruments, now)
                self.stairs.expect(ticks)
                self.served.app[PUMP].insert(ticks)
                return {"level": self.stairs.level}
            case "noted":
                stairs = self.stairs
                return {
                    "handed": stairs.handed,
                    "arrived": stairs.arrived,
                    "frames": stairs.frames_handed,
                }
            case "orders":
                return [dict(row) for row in self.exchange.desk.orders(now)]
            case "held":
                positions = self.exchange.floor.account.positions
                return {key[0]: each.net_qty for key, each in positions.items() if each.net_qty}
            case "foreign":
                return self._foreign(asked.count, now)
            case word:
                raise ValueError(f"There is no word {word!r}.")

    def _time(self) -> dict[str, float]:
        speed = self.clock.speed
        assert isinstance(speed, float | int)
        return {"at": self.clock.aim(), "perf": time.perf_counter(), "speed": speed}

    def _foreign(self, count: int, now: int) -> dict[str, int]:
        """Orders that somebody placed by hand, far below the market."""
        for number in range(count):
            one = self.stairs.listed[number % len(self.stairs.listed)]
            form = {
                "exchange": one.exchange,
                "tradingsymbol": one.symbol,
                "transaction_type": "BUY",
                "quantity": "1",
                "product": "MIS",
                "order_type": "LIMIT",
                "validity": "DAY",
                "price": "950",
            }
            self.exchange.desk.place(now, "regular", Form(form))
        return {"orders": count}


def percentile(values: Sequence[float], at: int) -> float:
    """The value below which so many per cent of them lie."""
    return float(np.percentile(values, at, method="higher"))


def main() -> None:
    """Serve."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--instruments", type=int, required=True)
    arguments.add_argument("--parts", type=int, default=1)
    arguments.add_argument("--every", type=int, default=1, help="market seconds between two ticks")
    arguments.add_argument("--minutes", type=int, default=MINUTES, help="of the session")
    chosen = arguments.parse_args()
    program = Program(chosen.instruments, chosen.parts, every=chosen.every, minutes=chosen.minutes)
    asyncio.run(program.serve())


if __name__ == "__main__":
    main()
