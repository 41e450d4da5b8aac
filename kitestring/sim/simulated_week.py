"""One simulated week: a live house with one folder, and an exchange that keeps the account overnight.

Every day is a virtual world of its own; what goes from one to the next is what really does: the
house's folder, and what the exchange's night has made of the account. Sessions, order numbers and
everything in memory are gone each morning.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Price
from kitestring.domain.orders import Product
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.replay_run import replay_run
from kitestring.exchange.ledger import read_entries
from kitestring.exchange.overnight import Night, night_after
from kitestring.exchange.wire.feed_routes import add_feed
from kitestring.exchange.wire.kite_server import FAILURES
from kitestring.exchange.wire.serving import Served
from kitestring.sim.memory_network import Network
from kitestring.sim.own_world import folder_in_memory, unbroken
from kitestring.sim.virtual_world import live
from kitestring.sim.week_day import PORT, DayWorld
from kitestring.sim.week_evidence import DayOfWeek, Run, WeekEvidence
from kitestring.sim.week_house import read
from kitestring.sim.week_market import WeekMarket, first_closes, with_newcomers
from kitestring.sim.week_plan import BASES, ENDS_S, WeekDay, WeekPlan, listed
from kitestring.store.journal import verify
from kitestring.store.paths import list_runs
from kitestring.store.run_reader import read_run

LAST_S: Final = 3600.0
"""A day that has not ended by then never will."""
Change = Callable[[DayWorld], None]


async def _lived(world: DayWorld) -> None:
    """A whole day, from before the login to late in the evening."""
    served = Served(
        world.exchange,
        port=PORT,
        middlewares=[world.witness(), *world.stage.middlewares],
        set_up=[lambda app, local: add_feed(app, local, world.clock), world.stage.set_up],
    )
    await served.start()
    opened_s = asyncio.get_running_loop().time() - world.begins_s
    for line in world.day.lines:
        world.network.strike(line.made(("127.0.0.1", PORT), opened_s))
    tasks = [asyncio.create_task(work, name=name) for name, work in world.people()]
    try:
        await world.until(ENDS_S)
        world.over = True
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await served.stop()
    assert served.app[FAILURES] == [], served.app[FAILURES]


class _Chain:
    """What goes from one day to the next."""

    def __init__(self, plan: WeekPlan, artifacts: Path) -> None:
        self.plan = plan
        self.artifacts = artifacts
        self.night: Night | None = None
        self.closes: Mapping[InstrumentId, Price] = {}
        self.lifts: list[tuple[int, int]] = []
        """HALTs to lift: the day's number, and the second of it."""
        self.foreign: dict[str, int] = {}

    def morning(self, day: WeekDay) -> tuple[dict[str, Instrument], WeekMarket]:
        """The day's list and market."""
        today = listed(self.plan, day)
        if self.night is None:
            self.closes = first_closes(self.plan, BASES, today)
        self.closes = with_newcomers(self.closes, today)
        return today, WeekMarket(self.plan, day, today, self.closes)

    def evening(self, world: DayWorld, market: WeekMarket) -> Night:
        """Settle the day."""
        self.closes = market.settlement()
        self.night = night_after(world.exchange, self.closes)
        return self.night


def simulate_week(
    plan: WeekPlan,
    *,
    engine: type[LiveEngine] = LiveEngine,
    change: Change | None = None,
    replays: bool = False,
) -> WeekEvidence:
    """Live a week through. ``engine`` and ``change`` are for planted mistakes.

    ``replays``: decide every day again from its own record.
    """
    with folder_in_memory() as folder:
        chain = _Chain(plan, folder)
        days = []
        for number, day in enumerate(plan.days):
            try:
                days.append(_day(chain, number, day, engine, change, replays=replays))
            finally:
                gc.collect()  # What a cut-off call has left is swept up after its own day.
        return WeekEvidence(plan=plan, days=days, foreign=chain.foreign)


def _day(
    chain: _Chain,
    number: int,
    day: WeekDay,
    engine: type[LiveEngine],
    change: Change | None,
    *,
    replays: bool,
) -> DayOfWeek:
    plan = chain.plan
    today, market = chain.morning(day)
    worlds: list[DayWorld] = []

    async def whole(network: Network) -> None:
        world = DayWorld(plan, day, network, chain.artifacts, market, chain.night, engine=engine)
        worlds.append(world)
        if chain.night is None:
            _bring_foreign(world, chain)
        world.lift_at = [second for nth, second in chain.lifts if nth == number]
        if change is not None:
            change(world)
        await unbroken(_lived(world))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unclosed connection", ResourceWarning)
        live(whole, seed=plan.seed * 16 + number, latency=plan.latency, last_s=LAST_S)
    (world,) = worlds
    if day.halt is not None and world.halted:
        chain.lifts.append((number + day.halt.days, day.halt.lifted_s))
    exchange = world.exchange
    fired = {
        str(row["order_id"]): f"{row['exchange']}:{row['tradingsymbol']}/{row['product']}"
        for row in world.triggered()
    }
    return DayOfWeek(
        day=day,
        listed=today,
        sent=world.sent,
        ledger=list(read_entries(exchange.ledger.records)),
        rows=exchange.desk.orders(exchange.now()),
        fired=fired,
        runs=_runs(chain.artifacts, day, replays=replays),
        looks=world.looks,
        samples=world.samples,
        deaths=world.deaths,
        strikes=list(world.stage.faults.strikes),
        typed=world.typed,
        starts=world.starts,
        halts=world.halts,
        refused=world.refused,
        loosened=world.loosened,
        night=chain.evening(world, market),
        closes={name: int(px) for name, px in market.settlement().items()},
        sealed=world.sealed,
        events=market.events,
        stopped_at=world.stopped_at,
    )


def _bring_foreign(world: DayWorld, chain: _Chain) -> None:
    """What others hold in the account is there before the house is."""
    for name, count in chain.plan.foreign:
        for each in world.market.shown:
            if each.name == name:
                product = Product.NRML if each.expiry is not None else Product.MIS
                qty = each.lot_size * count * (1 if each.expiry is not None else 10)
                if product is Product.NRML:
                    px = world.market.closes[each.id]
                    world.stage.reach.set_position(each.id, product.value, qty, px)
                    chain.foreign[f"{each.id}/{product.value}"] = qty
                break


def _runs(artifacts: Path, day: WeekDay, *, replays: bool) -> tuple[Run, ...]:
    found = []
    for paths in list_runs(artifacts):
        if paths.mode != "live" or paths.date != day.date or not paths.journal.exists():
            continue
        result = verify(paths.journal)
        recorded = read_run(paths)
        run = Run(
            name=paths.folder.name,
            commits=recorded.commits,
            head=result.head,
            damage=result.damage,
        )
        if replays and recorded.opened is not None:
            difference = replay_run(recorded, read).replayed.difference
            run = msgspec.structs.replace(run, replay=str(difference) if difference else "")
        found.append(run)
    return tuple(found)
