"""Live houses in processes of their own that can be told where to die; start it once, ask it for many.

``python live_to_kill.py`` imports the house, then reads one order per line and forks a child for each:
a real process with its own loop, sockets and files, without half a second of imports. The child trades
a live day at a served exchange; around the production classes it counts named moments, and at the one
it was told it writes down where it is and sends itself SIGKILL. Nothing in the house knows of it.
"""

import asyncio
import datetime as dt
import json
import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import msgspec
from house_day import RELAXED, SCRIPTED, scripted

from kitestring.broker.exchange_time import exchange_time
from kitestring.broker.kite_bridge import KiteBroker
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import TimeOf, local_settings
from kitestring.broker.order_book_merge import OrderBookMerge
from kitestring.broker.secret_text import Secret
from kitestring.core.settings import DaySettings
from kitestring.domain.events import Reports
from kitestring.domain.money import money, price
from kitestring.domain.orders import ExecType, OrdStatus
from kitestring.domain.ports import Manifest
from kitestring.domain.verdicts import CancelOrder, ModifyOrder, PlaceOrder
from kitestring.engine import live_engine
from kitestring.engine.kite_link import open_kite
from kitestring.engine.live_engine import LiveEngine
from kitestring.engine.live_plan import LivePlan
from kitestring.engine.rehearsal_clock import REHEARSED_SILENCE, RehearsalClock
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market.charges import charge_book
from kitestring.market.sessions import sessions_for
from kitestring.store.journal import SqliteJournal

DAY = dt.date(2026, 11, 20)
SCRIPT = "; ".join(
    f"{minute} {'BUY stop=-40' if minute % 4 else 'SELL stop=+40'}; {minute + 1} EXIT"
    for minute in range(2, 360, 2)
)
"""In and out all day, under a stop that rests at the broker."""
HEARD_WITHIN_S = 2.0
SETTLED_WITHIN_S = 15.0


class Life(msgspec.Struct):
    """One start of the house."""

    root: str
    token: str
    folder: str
    wire: str
    close: str
    kill: tuple[str, int] | None = None
    flatten: bool = False
    """Leave with everything closed: the last start of a day."""
    struck_after_s: float | None = None
    """Wall seconds after its birth at which it is killed from outside, wherever it is."""
    frozen_s: float = 0.0
    """It is frozen so long first (SIGSTOP, SIGCONT), and killed only after that."""


class Moments:
    """Counts the named moments of this process and dies at the one it was told."""

    def __init__(self, life):
        self.life, self.counts = life, {}

    def comes(self, name):
        """Whether this passage of the moment is the last one."""
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.life.kill == (name, self.counts[name])

    def now(self, name, **said):
        """A moment has come."""
        if self.comes(name):
            self.die(name, **said)

    def die(self, name, **said):
        """Write down where, wait for the disk, and die without another word."""
        line = {"moment": name, "count": self.counts[name], **said}
        with (Path(self.life.folder) / "deaths.jsonl").open("a", encoding="utf-8") as note:
            note.write(json.dumps(line) + "\n")
            note.flush()
            os.fsync(note.fileno())
        os.kill(os.getpid(), signal.SIGKILL)


def mortal(moments, life):
    """Put moments between the production methods."""
    commit, carry_out, fetch = SqliteJournal.commit, KiteBroker.carry_out, KiteBroker.reports_until
    placed, read, resume = OrderBookMerge.placed, OrderBookMerge.read, KiteBroker.resume
    taken_up = live_engine.taken_up

    def mortal_commit(self, step):
        tags = [fact.cl_ord_id for fact in step.facts if isinstance(fact, PlaceOrder)]
        changes = [
            fact.cl_ord_id for fact in step.facts if isinstance(fact, CancelOrder | ModifyOrder)
        ]
        fills = [
            report.exec_id
            for fact in step.facts
            if isinstance(fact, Reports)
            for report in fact.reports
            if report.exec_type is ExecType.TRADE
        ]
        heard = any(isinstance(fact, Reports) for fact in step.facts)
        for when, there in (("before", None), ("after", self)):
            if there is not None:
                commit(self, step)
            if tags:
                moments.now(f"{when} intent", tags=tags)
            if changes:
                moments.now(f"{when} change intent", tags=changes)
            if heard:
                moments.now(f"{when} report", tags=[])
            if fills:
                moments.now(f"{when} fill", fills=fills)
        return self.count

    def mortal_carry_out(self, command, at):
        moments.now("before carrying out", tags=[command.cl_ord_id])
        carry_out(self, command, at)
        moments.now("after carrying out", tags=[command.cl_ord_id])

    def mortal_fetch(self, until):
        reports = fetch(self, until)
        if reports:
            moments.now("reports fetched")
        return reports

    def mortal_placed(self, order, *answered):
        moments.now("before merge", tags=[order.cl_ord_id])
        placed(self, order, *answered)
        moments.now("after merge", tags=[order.cl_ord_id])

    def mortal_read(self, book):
        if self.unsettled:
            moments.now("before book")
        read(self, book)
        if self.reports:
            moments.now("after book")

    def mortal_taken_up(*given):
        moments.now("before recovery")
        gap = taken_up(*given)
        moments.now("after recovery")
        return gap

    def mortal_resume(self, *given):
        resume(self, *given)
        moments.now("broker resumed")

    def mortal_send(name, real):
        async def send(self, *given, **more):
            tag = given[0]["tag"] if name == "order" else ""
            moments.now(f"before {name} sent", tags=[tag])
            if moments.comes(f"{name} sent"):
                heard_before = heard(life, name)
                task = asyncio.ensure_future(real(self, *given, **more))
                ends_at = time.monotonic() + HEARD_WITHIN_S
                while heard(life, name) == heard_before and time.monotonic() < ends_at:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                # The exchange has it; whether its answer is here already, nobody looked.
                moments.die(f"{name} sent", tags=[tag], answered=task.done())
            outcome = await real(self, *given, **more)
            moments.now(f"{name} answered", tags=[tag])
            return outcome

        return send

    SqliteJournal.commit = mortal_commit
    KiteBroker.carry_out, KiteBroker.reports_until = mortal_carry_out, mortal_fetch
    KiteBroker.resume = mortal_resume
    OrderBookMerge.placed, OrderBookMerge.read = mortal_placed, mortal_read
    live_engine.taken_up = mortal_taken_up
    KiteClient.place = mortal_send("order", KiteClient.place)
    KiteClient.modify = mortal_send("change", KiteClient.modify)
    KiteClient.cancel = mortal_send("cancel", KiteClient.cancel)


def heard(life, name):
    """How many requests of this kind the exchange has written down."""
    method = {"order": b'"method":"POST","path":"/orders/', "cancel": b'"method":"DELETE"',
              "change": b'"method":"PUT"'}[name]  # fmt: skip
    return Path(life.wire).read_bytes().count(method)


def plan_of(life):
    """One share, one script, everything else as the house has it."""
    (infy,) = (each for each in instruments_on(DAY) if each.id == "NSE:INFY")
    sessions = {infy.segment: sessions_for(DAY)[infy.segment]}
    manifest = Manifest(
        name="Kite, rehearsed", date=DAY, instruments=(infy,), sessions=sessions,
        digest="kill", rewindable=False, previous_close={infy.id: price(life.close)},
    )  # fmt: skip
    risk = msgspec.structs.replace(
        RELAXED, max_daily_loss_pct=0.9, reference_age_s_max=600, stale_after_s=3600,
        max_orders_per_day=None, max_orders_per_minute=None, max_orders_per_second=None,
    )  # fmt: skip
    return LivePlan(
        settings=DaySettings(
            date=DAY, capital=money("2000000"), run_key="killedlive", risk=risk,
            strategies=(scripted("one", infy, SCRIPT, lots=10),), bar_grace_ms=1500,
        ),
        manifest=manifest, sessions=sessions, definitions={"scripted": SCRIPTED},
        charge_book=charge_book(DAY), artifacts=Path(life.folder) / "artifacts",
        config_hash="c" * 64, live_capital=money("2000000"), silent_after=REHEARSED_SILENCE,
    )  # fmt: skip


async def live(life):
    """One start of the house, to its end or to its death."""
    settings = msgspec.structs.replace(
        local_settings(life.root, api_key="kitestring", write_timeout_s=2.0, read_timeout_s=2.0),
        clock=TimeOf.EXCHANGE,
    )
    plan, clock = plan_of(life), RehearsalClock()

    async def types_it(lines, phrase):
        del lines
        return phrase

    async with KiteHttp(settings) as http:
        ask = partial(exchange_time, http)
        await clock.look(ask)
        engine = LiveEngine(
            plan,
            lambda ears: open_kite(
                ears, settings=settings, token=lambda: Secret(life.token),
                manifest=plan.manifest, clock=clock, cache=plan.artifacts / "candles",
            ),
            types_it,
        )  # fmt: skip
        async with clock.following(ask):
            day = asyncio.ensure_future(engine.start(NobodyWatches()))
            if life.flatten:
                ends_at = time.monotonic() + SETTLED_WITHIN_S
                while not day.done() and unsettled(engine) and time.monotonic() < ends_at:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                engine.stop(flatten=True)
            return await day


def unsettled(engine):
    """Whether the house does not yet know what became of what was sent before it died."""
    day = engine._day
    return day is None or any(
        order.status in (OrdStatus.UNKNOWN, OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL)
        for order in day.core.orders.all_working()
    )


def struck(child, life):
    """Its exit status; killed from outside if it still lived by then."""
    time.sleep(life.struck_after_s)
    if life.frozen_s:
        os.kill(child, signal.SIGSTOP)
        time.sleep(life.frozen_s)
        os.kill(child, signal.SIGCONT)
        time.sleep(life.struck_after_s)
    os.kill(child, signal.SIGKILL)  # Nobody has waited for it yet: the number is still its own.
    return os.waitpid(child, 0)[1]


def forked(life):
    """A child that lives this life; its exit status."""
    child = os.fork()
    if child:
        return struck(child, life) if life.struck_after_s is not None else os.waitpid(child, 0)[1]
    code = 1
    try:
        log = os.open(f"{life.folder}/house.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.alarm(80)  # nothing in here takes so long
        mortal(Moments(life), life)
        asyncio.run(live(life))
        code = 0
    except BaseException:  # noqa: BLE001 - told in the log, whatever it is
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(forked(msgspec.json.decode(line.encode(), type=Life)), flush=True)
