"""A live day in a process of its own, at a served exchange whose time runs faster than the wall's.

``python guarded_house.py ORDERS.json``: the production engine, link, clock and guard; only what the
strategy says is the test's.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import msgspec
from house_day import RELAXED, SCRIPTED, scripted
from live_stage import DAY

from kitestring.broker.kite_settings import TimeOf, local_settings
from kitestring.broker.secret_text import Secret
from kitestring.cli.live_clock import clock_of, keeping_time
from kitestring.core.settings import DaySettings
from kitestring.domain.money import money, price
from kitestring.domain.ports import Manifest
from kitestring.engine.guarding import Guarding, guard_command
from kitestring.engine.halt_watch import HaltWatch
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for

WRITE_TIMEOUT_S = 1.0


def plan_of(orders):
    listed = {each.id: each for each in instruments_on(DAY)}
    infy = listed["NSE:INFY"]
    sessions = sessions_for(DAY)
    return LivePlan(
        settings=DaySettings(
            date=DAY, capital=money("200000"), run_key="guarded",
            strategies=(scripted("one", infy, orders["script"], lots=10),),
            risk=msgspec.structs.replace(RELAXED, max_daily_loss_pct=0.5), bar_grace_ms=1500,
        ),
        manifest=Manifest(
            name="Kite, served", date=DAY, instruments=(infy,),
            sessions={infy.segment: sessions[infy.segment]}, digest="live", rewindable=False,
            previous_close={infy.id: price("1500")},
        ),
        sessions={infy.segment: sessions[infy.segment]},
        definitions={"scripted": SCRIPTED}, charge_book=charge_book(DAY),
        artifacts=Path(orders["artifacts"]), config_hash="c" * 64, live_capital=money("200000"),
    )  # fmt: skip


async def main(orders, token, settings, clock):
    plan = plan_of(orders)
    guarding = Guarding(plan.artifacts, guard_command(*orders["guard"]))

    def link(ears):
        return open_kite(
            ears, settings=settings, token=lambda: token, manifest=plan.manifest, clock=clock,
            cache=plan.artifacts / "candles",
        )  # fmt: skip

    async def ask(lines, phrase):
        return phrase

    beside = (guarding, HaltWatch(plan.artifacts))
    engine = LiveEngine(plan, link, ask, beside=beside, unguarded=guarding.unguarded)
    async with keeping_time(clock, settings):
        await engine.start(NobodyWatches())


if __name__ == "__main__":
    wanted = Path(sys.argv[1])
    while not wanted.exists():
        time.sleep(0.02)
    given = json.loads(wanted.read_text())
    kite = msgspec.structs.replace(
        local_settings(given["root"], api_key="kitestring", write_timeout_s=WRITE_TIMEOUT_S),
        clock=TimeOf.EXCHANGE,
    )
    asyncio.run(main(given, Secret(Path(given["token"]).read_text()), kite, clock_of(kite)))
