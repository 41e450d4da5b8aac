"""A live day in a process of its own, at a served exchange whose time runs faster than the wall's.

``python guarded_house.py ORDERS.json``: the production engine, link and guard; only the clock (the
exchange's) and what the strategy says are the test's.
"""

import asyncio
import datetime as dt
import json
import sys
import urllib.request
from pathlib import Path

import msgspec
from house_day import RELAXED, SCRIPTED, scripted
from live_stage import DAY

from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings
from kitestring.domain.instants import SECOND, instant_of
from kitestring.domain.money import money, price
from kitestring.domain.ports import Manifest
from kitestring.engine.clocks import wall_now
from kitestring.engine.guarding import Guarding, guard_command
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for


class FastClock:
    """The exchange's time: it stands until a file says when it went on, and runs at its speed from then."""

    def __init__(self, root, speed, go):
        self.speed, self.go, self.began = speed, go, None
        with urllib.request.urlopen(root + "/admin/state", timeout=5) as answer:
            text = json.load(answer)["data"]["time"]
        zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
        self.market = instant_of(dt.datetime.fromisoformat(text).replace(tzinfo=zone))

    def now(self):
        if self.began is None and self.go.exists() and (text := self.go.read_text()):
            self.began = int(text)
        passed = 0 if self.began is None else wall_now() - self.began
        return self.market + passed * self.speed

    async def wait_until(self, at):
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 - no event tells that time has passed
            await asyncio.sleep(min(left / SECOND / self.speed, 0.1))


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


async def main(orders, token):
    plan, clock = plan_of(orders), FastClock(orders["root"], orders["speed"], Path(orders["go"]))
    settings = local_settings(orders["root"], api_key="kitestring", write_timeout_s=2.0)
    ahead_s = (clock.now() - wall_now()) / SECOND
    guarding = Guarding(
        plan.artifacts, guard_command(*orders["guard"], "--ahead", f"{ahead_s:.3f}")
    )

    def link(ears):
        return open_kite(
            ears, settings=settings, token=lambda: token, manifest=plan.manifest, clock=clock,
            cache=plan.artifacts / "candles",
        )  # fmt: skip

    async def ask(lines, phrase):
        return phrase

    engine = LiveEngine(plan, link, ask, beside=(guarding,), unguarded=guarding.unguarded)
    await engine.start(NobodyWatches())


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(main(given, Secret(Path(given["token"]).read_text())))
