"""Real sockets that break at a byte: orders are placed once and found, the feed flows again.

House and exchange talk through ``FaultProxy``. Each unit breaks one line at one byte: of an order's
request, of its answer, or of a WebSocket in the middle of a frame; by a reset, a close, or silence.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from kitestring.broker.governor import Governor
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.kite_ticker import KiteTicker
from kitestring.broker.ticker_events import FeedState, StateChanged, TickerEvent, TickerSettings
from kitestring.domain.ids import ClOrdId, ClOrdIds, InstrumentId, StrategyId
from kitestring.domain.money import price
from kitestring.domain.orders import (
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrdType,
    Product,
    Purpose,
    Side,
)
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import Approved, PlaceOrder
from kitestring.sim.day_plan import DATE
from kitestring.sim.fault_proxy import Cut, Ends, FaultProxy
from kitestring.sim.link_faults import Towards
from proof.served_world import NAMES, ServedWorld, in_real_world
from proof.tier import Broken, Outcome, Scale, Tier

AT_ONCE: Final = 10
"""Units that live beside each other on one exchange."""
SETTLED_S: Final = 20.0
_TIMEOUT_S: Final = 1.0
_BYTES: Final = 409
"""A prime above the bytes of an order's answer; the seventeenth byte after the last one tried."""
_FRAMES_FROM: Final = 260
"""Bytes of a WebSocket's handshake, and a little."""
_POST: Final = b"POST /orders/"
_MODES: Final = (
    (Towards.CLIENT, Ends.RESET, _POST),
    (Towards.CLIENT, Ends.CLOSE, _POST),
    (Towards.CLIENT, Ends.SILENCE, _POST),
    (Towards.SERVER, Ends.RESET, _POST),
    (Towards.SERVER, Ends.SILENCE, _POST),
    (Towards.CLIENT, Ends.RESET, b"Upgrade: websocket"),
    (Towards.CLIENT, Ends.SILENCE, b"Upgrade: websocket"),
)
_FOUND: Final = (ExecType.NEW, ExecType.TRADE, ExecType.PENDING_NEW)


def cut_of(unit: int) -> Cut:
    """Where and how the line of a unit breaks."""
    towards, ends, after = _MODES[unit % len(_MODES)]
    at_byte = unit // len(_MODES) * 17 % _BYTES
    if after is not _POST:
        at_byte = _FRAMES_FROM // 2 + 3 * at_byte
    return Cut(at_byte=at_byte, ends=ends, towards=towards, after=after)


def live(first: int, count: int) -> Outcome:
    """Break the lines of the units ``first`` … ``first + count - 1``."""
    return in_real_world(lambda world: _lived(world, range(first, first + count)))


async def _lived(world: ServedWorld, units: Sequence[int]) -> Outcome:
    tags = ClOrdIds("lines", DATE)
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    for start in range(0, len(units), AT_ONCE):
        some = units[start : start + AT_ONCE]
        found = await asyncio.gather(*(_unit(world, unit, tags(), counts) for unit in some))
        for unit, story in zip(some, found, strict=True):
            if story:
                again = f"python -m proof --tier broken_lines --unit {unit}"
                told = f"{cut_of(unit)}: {story}"
                broken.append(Broken(seed=unit, story=told, again=again))
    if world.failures:
        story = f"the exchange broke: {world.failures[0]!r}"
        broken.append(Broken(seed=units[0], story=story, again="see above"))
    return Outcome(units=len(units), counts=dict(counts), broken=tuple(broken))


async def _unit(world: ServedWorld, unit: int, tag: ClOrdId, counts: Counter[str]) -> str:
    """One line broken; what is wrong with what came of it."""
    broken = cut_of(unit)
    proxy = FaultProxy(world.served.port, cuts=[broken])
    await proxy.start()
    try:
        counts[f"fault.{broken.ends}"] += 1
        if broken.after is not _POST:
            return await _watch(world, proxy, counts)
        return await _order(world, proxy, tag, counts)
    finally:
        await proxy.close()


async def _order(world: ServedWorld, proxy: FaultProxy, tag: ClOrdId, counts: Counter[str]) -> str:
    settings = msgspec.structs.replace(
        local_settings(f"http://127.0.0.1:{proxy.port}", api_key="kitestring"),
        read_timeout_s=_TIMEOUT_S,
        write_timeout_s=_TIMEOUT_S,
        connect_timeout_s=_TIMEOUT_S,
    )
    told: list[ExecutionReport] = []

    def rows() -> list[dict[str, object]]:
        book = world.exchange.desk.orders(world.exchange.now())
        return [row for row in book if row["tag"] == tag]

    async with KiteHttp(settings) as http:
        client = KiteClient(settings, world.token, http)
        broker = KiteBroker(client, now=world.clock.now, governor=Governor())
        broker.start()
        command = _command(world, tag)
        broker.carry_out(command, world.clock.now())
        looked = 0
        end_s = asyncio.get_running_loop().time() + SETTLED_S
        while asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(0.05)
            told += [report for _, report in broker.reports_until(world.clock.now())]
            if any(report.exec_type is ExecType.NEW for report in told):
                break
            if broker.merge.orders[tag].reads_without >= 3 and not rows():
                looked = 1
                break
        await broker.close()
        told += [report for _, report in broker.reports_until(world.clock.now())]
    counts["orders"] += 1
    kinds = [report.exec_type for report in told]
    taken = len(rows())
    counts["doubled"] += taken > 1
    counts["unknown"] += ExecType.UNKNOWN in kinds
    if taken > 1:
        return f"the exchange has {taken} orders of {tag}"
    if taken and ExecType.NEW not in kinds:
        counts["lost"] += 1
        return f"{tag} is at the exchange and was not found: {kinds}"
    if taken and ExecType.REJECTED in kinds:
        counts["lost"] += 1
        return f"{tag} is at the exchange and was given up: {kinds}"
    if not taken and any(kind in (ExecType.NEW, ExecType.TRADE) for kind in kinds):
        return f"{tag} never was, and was told as {kinds}"
    if not taken and not looked and ExecType.REJECTED not in kinds:
        return f"{tag} never was, and nobody looked: {kinds}"
    return ""


def _command(world: ServedWorld, tag: ClOrdId) -> PlaceOrder:
    now = world.clock.now()
    intent = OrderIntent(
        strategy=StrategyId("one"),
        instrument=InstrumentId(NAMES[0]),
        side=Side.BUY,
        order_qty=1,
        ord_type=OrdType.LIMIT,
        product=Product.MIS,
        purpose=Purpose.ENTRY,
        reason="proof",
        decision_px=price("1500.00"),
        decided_at=now,
        price=price("1400.00"),
    )
    return PlaceOrder(cl_ord_id=tag, approved=Approved(intent=intent, at=now))


async def _watch(world: ServedWorld, proxy: FaultProxy, counts: Counter[str]) -> str:
    """A feed whose line breaks: it is found out, and flows again on another."""
    states: list[FeedState] = []
    frames: list[TickFrame] = []

    def hear(event: TickerEvent) -> None:
        if isinstance(event, StateChanged):
            states.append(event.state)

    listing = world.exchange.listing.by_key
    shown = {listing[InstrumentId(name)].token: InstrumentId(name) for name in NAMES}
    ticker = KiteTicker(
        TickerSettings(
            ws_root=f"ws://127.0.0.1:{proxy.port}",
            api_key="kitestring",
            connect_timeout_s=3.0,
            silent_s=2.5,
            ticks_silent_s=5.0,
            backoff_first_s=0.05,
        ),
        shown,
        lambda: world.token,
        now=world.clock.now,
        on_frame=frames.append,
        on_event=hear,
        on_text=lambda _: None,
    )
    running = asyncio.create_task(ticker.run())
    try:
        end_s = asyncio.get_running_loop().time() + SETTLED_S
        while asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(0.05)
            if _flows_again(proxy, states):
                break
        counts["feeds"] += 1
        if proxy.cuts:
            return f"the line never came to its byte: {states}"
        if not _flows_again(proxy, states):
            return f"the feed does not flow again: {states}"
        if ticker.lines[0].reader.counts.damaged:
            return "half a frame was read as a frame"
        return ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _flows_again(proxy: FaultProxy, states: Sequence[FeedState]) -> bool:
    """On another connection, which brings ticks. One cut in its handshake is dialled again at once."""
    again = proxy.lines[1:]
    if not again or proxy.cuts or states[-1] is not FeedState.FLOWING:
        return False
    return again[-1].passed[Towards.CLIENT] > _FRAMES_FROM


TIER: Final = Tier(
    name="broken_lines",
    unit="cuts",
    claim="A line that breaks at any byte costs no order: each is placed at most once and found, and the"
    " feed flows again.",
    size={Scale.TEST: 7, Scale.PROOF: 154, Scale.SOAK: 2_002},
    batch=21,
    live=live,
    alone=True,
)
