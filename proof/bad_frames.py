"""Market data gone wrong: bent frames and texts of the ticker, up to the door of a strategy.

Real frames of the exchange, honest and bent in turns, go through the production line, into a trading
core, and bars come out at a strategy. Nothing may break, nothing may hang, and no price may reach the
strategy that nobody could believe: none is zero, and none leaps without a second tick that agrees.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import struct
from collections import Counter
from typing import Final

import msgspec
import numpy as np

from kitestring.broker.kite_frames import FrameReader
from kitestring.broker.kite_texts import OrderHint, TickerText
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.secret_text import Secret
from kitestring.broker.ticker_events import FeedState, TickerEvent, TickerSettings
from kitestring.broker.ticker_line import Ears, TickerLine
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import Inputs, StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import HouseError
from kitestring.domain.events import Gap, TimerFired
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import SECOND, Instant, instant
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import UNITS_PER_RUPEE, Price, money
from kitestring.domain.signals import Decision, hold
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.margin import StatedMargins
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.wire.kite_packets import Mode, PacketBatch
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from proof.mutation import Chance, Hangs, bent_bytes, bent_json, in_time
from proof.tier import Broken, Outcome, Scale, Tier

A_WORLD: Final = 500
"""Frames of one unit's world: what is believed depends on what came before."""
_DAY: Final = dt.date(2026, 11, 20)
_OPENS: Final = instant(_DAY, dt.time(9, 15))
_NAMES: Final = ("NSE:INFY", "NSE:SBIN", "NSE:NIFTY 50", "NFO:NIFTY26NOVFUT", "NSE:TCS")
_START: Final = (1500, 800, 25_400, 25_500, 3200)
_LISTED: Final = {each.id: each for each in instruments_on(_DAY)}
_JUMP: Final = RiskSettings().price_jump_pct_max
_WORDS: Final = (
    0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 1_000_000, 4_294_967, 946_684_799, 100,
)  # fmt: skip
_UPDATE: Final = {
    "type": "order",
    "data": {
        "order_id": "261120000000001", "status": "UPDATE", "tag": "", "exchange": "NSE",
        "tradingsymbol": "INFY", "transaction_type": "BUY", "order_type": "LIMIT", "product": "MIS",
        "quantity": 10, "filled_quantity": 3, "pending_quantity": 7, "price": 1500.05,
        "average_price": 1500.0, "order_timestamp": "2026-11-20 09:16:01", "guid": "1X", "meta": {},
    },
}  # fmt: skip
_SAID: Final = ({"type": "error", "data": "Session expired"}, {"type": "message", "data": "hello"})


class _Params(msgspec.Struct, frozen=True):
    """None."""


class _State(msgspec.Struct, frozen=True):
    """None."""


class Door:
    """The strategies' door: what was heard of each instrument, and what then reached a strategy."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.bars = 0
        self._sane: dict[InstrumentId, set[float]] = {}
        """Prices, in rupees, that a strategy may be shown."""
        self._believed: dict[InstrumentId, int] = {}
        self._last: dict[InstrumentId, Tick] = {}

    def close_of_yesterday(self, name: InstrumentId, px: Price) -> None:
        """What the first tick is measured by."""
        self._believed[name] = int(px)

    def hear(self, frame: TickFrame) -> None:
        """A frame that the line has let through, judged by a rule of our own."""
        for tick in frame.ticks:
            px, name = int(tick.last_px), tick.instrument
            if px <= 0:
                continue
            before = self._last.get(name)
            agreed = before is not None and before != tick and _near(int(before.last_px), px)
            if _near(self._believed[name], px) or agreed:
                self._believed[name] = px
                self._sane.setdefault(name, set()).add(px / UNITS_PER_RUPEE)
            self._last[name] = tick

    def show(self, name: InstrumentId, i: Inputs) -> None:
        """A bar at the door."""
        self.bars += 1
        prices = (i.open, i.high, i.low, i.close)
        sane = self._sane.get(name, set())
        if not all(math.isfinite(px) and px > 0 for px in prices) or not i.volume >= 0:
            self.broken.append(f"a bar of {name} with prices {prices} and volume {i.volume}")
        elif any(px not in sane for px in prices):
            wild = next(px for px in prices if px not in sane)
            self.broken.append(f"{name} was shown at {wild:g}, which no two ticks agree on")
        elif not i.low <= min(i.open, i.close) <= max(i.open, i.close) <= i.high:
            self.broken.append(f"a bar of {name} whose sides are crossed: {prices}")


def _near(reference: int, px: int) -> bool:
    return abs(px - reference) <= _JUMP * reference


class World:
    """Half a thousand messages of a ticker, one after the other."""

    def __init__(self, number: int) -> None:
        self.chance = Chance(number, "frames")
        self.shown: list[Instrument] = [_LISTED[InstrumentId(name)] for name in _NAMES]
        self.door = Door()
        self.now: Instant = _OPENS + SECOND
        self.counts: Counter[str] = Counter()
        self._px = [
            px * UNITS_PER_RUPEE // int(each.tick_size) * int(each.tick_size)
            for px, each in zip(_START, self.shown, strict=True)
        ]
        self._volume = 1_000
        self._board = MarketBoard(Listing(_DAY, _LISTED.values()), lambda _: None)
        closes = {each.id: Price(px) for each, px in zip(self.shown, self._px, strict=True)}
        for name, px in closes.items():
            self.door.close_of_yesterday(name, px)
        self.core = self._core_of(closes)
        self.merge = OrderBookMerge()
        self.line = TickerLine(
            1,
            [each.token for each in self.shown],
            FrameReader({each.token: each.id for each in self.shown}),
            TickerSettings(ws_root="ws://127.0.0.1:1", api_key="none"),
            lambda: Secret("none"),
            Ears(self._frame, self._text, self._event),
            lambda: self.now,
            expects_ticks=lambda _: True,
            seed=number,
        )
        self._kept: list[bytes] = []

    def _core_of(self, closes: dict[InstrumentId, Price]) -> TradingCore:
        sessions = sessions_for(_DAY)
        rows = tuple(
            StrategySettings(
                name=StrategyId(f"s{place}"),
                strategy=f"spy{place}",
                source=each.id,
                instrument=self.shown[3].id if each.kind is InstrumentKind.INDEX else each.id,
                minutes=1,
                params={},
                lots=1,
            )
            for place, each in enumerate(self.shown)
        )
        return TradingCore(
            DaySettings(
                date=_DAY,
                capital=money("10000000"),
                run_key="frames",
                strategies=rows,
                bar_grace_ms=0,
            ),
            instruments=self.shown,
            sessions={each.segment: sessions[each.segment] for each in self.shown},
            definitions={row.strategy: self._spy(row.strategy, row.source) for row in rows},
            charge_book=charge_book(_DAY),
            margins=StatedMargins(),
            previous_close=closes,
        )

    def _spy(self, name: str, instrument: InstrumentId) -> StrategyDefinition:
        wait = hold("it only looks")

        def decide(
            params: msgspec.Struct, state: msgspec.Struct, i: Inputs
        ) -> tuple[msgspec.Struct, Decision]:
            del params
            self.door.show(instrument, i)
            return state, wait

        return StrategyDefinition(
            name=name,
            path=__file__,
            source_hash="0" * 64,
            idea="Looks at every bar.",
            params_type=_Params,
            state_type=_State,
            indicators=lambda params: {},  # noqa: ARG005
            history=lambda params: 0,  # noqa: ARG005
            decide=decide,
        )

    # ── ears ─────────────────────────────────────────────────────────────────────────────────

    def _frame(self, frame: TickFrame) -> None:
        self.counts["frames_with_ticks"] += 1
        while self.core.next_due_at <= frame.received_at:
            self.core.step(TimerFired(self.core.next_due_at))
        self.door.hear(frame)
        self.core.step(frame)

    def _text(self, text: TickerText) -> None:
        self.counts["texts"] += 1
        if isinstance(text, OrderHint):
            self.merge.hint(text.row, 1.0)

    def _event(self, event: TickerEvent) -> None:
        if isinstance(event, Gap):
            self.core.step(event)

    # ── messages ─────────────────────────────────────────────────────────────────────────────

    def message(self) -> bytes | str:
        """The next: honest, bent, or noise."""
        chance = self.chance
        self.now += (200 + chance.below(2_000)) * 1000
        if chance.one_in(8):
            said: object = _UPDATE if chance.below(3) else chance.one_of(_SAID)
            return bent_json(chance, said).decode("utf-8", "replace")
        honest = self._honest()
        self._kept = [*self._kept[-20:], honest]
        if chance.one_in(3):
            return honest
        if chance.one_in(12):
            return chance.some_bytes(400)
        if chance.one_in(12):
            return chance.one_of(self._kept)  # an old one once more
        return self._wild(honest) if chance.one_in(2) else bent_bytes(chance, honest)

    def _honest(self) -> bytes:
        ticks = []
        for place, each in enumerate(self.shown):
            if self.chance.one_in(3):
                continue
            size = int(each.tick_size) or 500
            self._px[place] += size * (self.chance.below(7) - 3)
            self._volume += 1 + self.chance.below(90)
            px, below, above = (Price(self._px[place] + step) for step in (0, -size, size))
            at = self.now // SECOND * SECOND
            if each.kind is not InstrumentKind.INDEX:
                ticks.append(Tick(each.id, at, px, self._volume, below, 50, above, 60))
            else:
                ticks.append(Tick(each.id, at, px, 0))
        if not ticks:
            return b"\x00"
        rows = self._board.apply(TickFrame(self.now, tuple(ticks)))
        modes = np.full(
            len(rows), self.chance.one_of((Mode.FULL, Mode.FULL, Mode.FULL, Mode.QUOTE, Mode.LTP))
        )
        return PacketBatch(self._board, rows).message(modes.astype(np.uint8))

    def _wild(self, honest: bytes) -> bytes:
        """One field of one packet as a number nobody means: the framing stays whole."""
        bent = bytearray(honest)
        places, at = [], 2
        while at + 2 <= len(bent):
            (length,) = struct.unpack_from(">H", bent, at)
            places.append((at + 2, length))
            at += 2 + length
        if not places:
            return honest
        for _ in range(1 + self.chance.below(3)):
            body, length = self.chance.one_of(places)
            field = 4 * self.chance.below(max(length // 4, 1))
            word = self.chance.one_of(_WORDS)
            if self.chance.one_in(2):
                (old,) = struct.unpack_from(">I", bent, body + field)
                word = (
                    old * self.chance.one_of((0, 2, 3, 10, 100)) // self.chance.one_of((1, 7, 11))
                )
            struct.pack_into(">I", bent, body + field, word & 0xFFFFFFFF)
        return bytes(bent)


def live(first: int, count: int) -> Outcome:
    """Live the worlds of the frames ``first`` … ``first + count - 1``."""
    outcome = Outcome(units=0)
    last = first + count - 1
    for number in range((first - 1) // A_WORLD, (last - 1) // A_WORLD + 1):
        begins, ends = max(first, number * A_WORLD + 1), min(last, (number + 1) * A_WORLD)
        outcome += asyncio.run(_world(number, begins, ends))
    return outcome


async def _world(number: int, begins: int, ends: int) -> Outcome:
    world = World(number)
    world.line.state = FeedState.FLOWING
    broken: list[Broken] = []
    for unit in range(number * A_WORLD + 1, ends + 1):
        message = world.message()
        try:
            with in_time():
                if isinstance(message, str):
                    world.line._take_text(message)  # noqa: SLF001 - what a socket would call
                else:
                    world.line._take_frame(message)  # noqa: SLF001
        except HouseError as error:
            story = f"A frame ended the feed: {error.what}"
        except (Exception, Hangs) as error:  # noqa: BLE001 - that is what is looked for
            story = f"{type(error).__name__}: {error} at {message[:120]!r}"
        else:
            story = "; ".join(world.door.broken)
            world.door.broken.clear()
        if story and unit >= begins:
            again = f"python -m proof --tier frames --unit {unit}"
            broken.append(Broken(seed=unit, story=story, again=again))
        if story:
            break
    counts = world.counts + Counter(
        bars=world.door.bars,
        damaged=world.line.reader.counts.damaged,
        ticks=world.line.reader.counts.ticks,
        texts_unreadable=world.line.counts.unreadable_texts,
    )
    return Outcome(units=ends - begins + 1, counts=dict(counts), broken=tuple(broken))


TIER: Final = Tier(
    name="frames",
    unit="frames",
    claim="No message of the ticker stops the house, and no price that nobody could believe reaches a"
    " strategy.",
    size={Scale.TEST: 2_000, Scale.PROOF: 100_000, Scale.SOAK: 1_000_000},
    batch=5_000,
    live=live,
)
