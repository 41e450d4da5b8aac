"""A live day's plan as the command line makes it, for one day of a simulated week.

The list of instruments is fetched from the exchange and kept, names are rolled, what the day before
left is read from its folder and laid beside that list: the house's own parts, in the command's order.
Only the hours are the simulation's, because its days are short.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from kitestring.broker.instruments_of_day import instruments_of_day
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_feed import live_manifest
from kitestring.broker.kite_settings import KiteSettings
from kitestring.broker.previous_closes import opening_quotes
from kitestring.broker.reads_only import ReadsOnly
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import DayOpening
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument
from kitestring.engine.carried import listed_today
from kitestring.engine.day_before import day_before, opening_of
from kitestring.engine.live_instruments import refuse_unbuilt
from kitestring.engine.live_market import listed_futures, stops_demanded, watched
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.settings_today import settings_today
from kitestring.market.charges import charge_book
from kitestring.market.logical_names import current_future, share
from kitestring.sim.scripted_strategy import SCRIPTED
from kitestring.sim.week_plan import FUTURES, WeekDay, WeekPlan, WeekRow, hours
from kitestring.store.instrument_dumps import InstrumentDumps

_NAME: Final = SCRIPTED.name
_GRACE_MS: Final = 1500


def read(name: str) -> StrategyDefinition:
    """The week's only strategy."""
    assert name == _NAME, name
    return SCRIPTED


async def planned(
    plan: WeekPlan,
    day: WeekDay,
    risk: RiskSettings,
    artifacts: Path,
    settings: KiteSettings,
    token: Secret,
    now: Instant,
) -> tuple[LivePlan, tuple[Instrument, ...]]:
    """The day's plan, and all futures listed. Raises what the command line would show a person."""
    date = day.date
    before = day_before(artifacts, date, read)
    opening: DayOpening | None = None
    said: list[str] = []
    if before is not None:
        opening, said = opening_of(before, plan.capital, date)
    names: list[str] = list(plan.markets)
    if opening is not None:
        names += [position.instrument.id for position in opening.positions]
    async with ReadsOnly(settings) as http:
        client = KiteClient(settings, token, http)
        dumps = InstrumentDumps(artifacts / "instruments")
        listed = await instruments_of_day(dumps, client.instruments, now)
        chosen = watched(listed, names, date)
        if opening is not None:
            opening = listed_today(opening, {each.id: each for each in chosen})
        quoted = await opening_quotes(client, [each.id for each in chosen])
    manifest = live_manifest(date, chosen, quoted.closes, price_bands=quoted.bands)
    held = opening.positions if opening is not None else ()
    used = {each.segment for each in (*chosen, *(row.instrument for row in held))}
    sessions = {segment: each for segment, each in hours(date).items() if segment in used}
    manifest = msgspec.structs.replace(manifest, sessions=sessions)
    carried = {row.strategy: row.instrument.id for row in held if not row.frozen}
    left_out = {name for past in plan.days if past.date <= date for name in past.without}
    rows = [row for row in plan.rows if row.name not in left_out]
    if not rows:
        raise ConfigError("Nothing to trade.", do="name a strategy")
    config_hash = hashlib.sha256(f"{risk} {sorted(left_out)}".encode()).hexdigest()
    wanted = DaySettings(
        date=date,
        capital=plan.capital,
        run_key=hashlib.sha256(f"{config_hash} {date} {manifest.digest}".encode()).hexdigest(),
        strategies=tuple(_traded(plan, day, rows, chosen, carried)),
        risk=risk,
        bar_grace_ms=_GRACE_MS,
    )
    book = charge_book(date)
    refuse_unbuilt(wanted, manifest.instruments, book)
    definitions = {_NAME: SCRIPTED}
    allowed = settings_today(artifacts, stops_demanded(wanted, [_NAME]), sessions, definitions)
    live = LivePlan(
        settings=allowed.settings,
        manifest=manifest,
        sessions=allowed.sessions,
        definitions=definitions,
        charge_book=book,
        artifacts=artifacts,
        config_hash=config_hash,
        live_capital=plan.capital,
        opening=opening,
        said=tuple(said),
        overnight=before.overnight if before is not None else (),
        stopping=plan.stopping,
        tightened=allowed.tightened,
    )
    return live, listed_futures(listed, chosen, date)


def _traded(
    plan: WeekPlan,
    day: WeekDay,
    rows: Iterable[WeekRow],
    chosen: tuple[Instrument, ...],
    carried: dict[StrategyId, InstrumentId],
) -> Iterable[StrategySettings]:
    """The strategies on the contracts of the day; who holds an older contract keeps to that."""
    scripts = dict(zip((row.name for row in plan.rows), day.scripts, strict=True))
    by_id = {each.id: each for each in chosen}
    for row in rows:
        traded = share(row.market, chosen)
        if row.market in FUTURES:
            traded = current_future(row.market, chosen, day.date)
        kept = by_id.get(carried.get(row.name, InstrumentId("")))
        if traded is not None and kept is not None and kept.name == traded.name:
            traded = kept
        if traded is None:
            raise ConfigError(f"{row.market} is not in today's list.", do="wait for it")
        yield StrategySettings(
            name=row.name,
            strategy=_NAME,
            source=traded.id,
            instrument=traded.id,
            minutes=1,
            params={"script": scripts[row.name]},
            product=row.product,
            lots=row.lots,
        )
