"""A long day of real programs: engine, guard and exchange, three thousand instruments, and nothing grows.

Time runs ten times faster than the wall's, so that eight hours take less than one. Strategies go in
and out all day. Memory and open files of all three programs are read from ``/proc``; the way of every
exit order, from the frame at the exchange's socket to the request at its door, is timed with the one
clock that all programs of a machine share. The first fifth is a warm-up; the second is compared with
the last.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import statistics
import tempfile
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.exchange import shares
from benchmarks.house import DAY
from benchmarks.live import CLIMBERS
from benchmarks.live_house import Exchange, House, climbers, exchange_program
from kitestring.broker.kite_session import KiteToken, TokenStore
from kitestring.broker.secret_text import Secret
from kitestring.domain.instants import MINUTE, instant
from kitestring.engine.guarding import Guarding, guard_command
from kitestring.store.halt_file import HaltFile
from proof.tier import Broken, Outcome, Scale, Tier
from proof.watched_programs import files_with, open_doors, open_modes, told_to_all

SPEED: Final = 10.0
EVERY_S: Final = 5
"""Market seconds between two ticks of an instrument: 6 000 ticks a second of ours."""
INSTRUMENTS: Final = 3_000
SESSION_MINUTES: Final = 560
SAMPLES: Final = 60
SETTLES: Final = 10
"""Market minutes: in fewer, what grows and what only begins cannot be told apart."""
WARM: Final = 5
"""Commits with exits before anything is measured: connections are open by then …"""
WARM_WITHIN_S: Final = 120.0
"""… and no longer than this."""
GROWTH: Final = 1.05
"""How much more memory a program may hold at the end: five per cent …"""
SLACK_MB: Final = 4.0
"""… and so much for what a day writes down of its orders."""
FILES_MORE: Final = 2
"""A connection may be under way."""
SLOWER: Final = 4.0
"""How much slower the median order may be at the end, on a machine that does other things too."""
SHARE_MS: Final = 20.0
"""Below this a ratio says nothing."""
PUBLIC: Final = "public0123456789"
CONFIG: Final = """\
trading:
  mode: live
  live_capital: 9 lakh
  logical_universe: [INFY]
kite: {{profile: local, api_root: "{root}", clock: exchange}}
strategies:
  - {{strategy: ema_trend, instruments: [INFY], timeframe: 1m}}
"""


class Sample(NamedTuple):
    """What one program held at one moment."""

    rss_mb: float
    files: int


def sample(pid: int) -> Sample:
    """Read ``/proc`` of a program. Raises ``OSError`` once it is gone."""
    place = Path("/proc") / str(pid)
    pages = int((place / "statm").read_text(encoding="ascii").split()[1])
    rss_mb = pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    return Sample(rss_mb, sum(1 for _ in (place / "fd").iterdir()))


def grown(name: str, samples: Sequence[Sample]) -> list[str]:
    """Why this program does not stay as it is; nothing where it does."""
    fifth = len(samples) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    said = []
    before, after = (statistics.median(each.rss_mb for each in part) for part in (early, late))
    if after > before * GROWTH + SLACK_MB:
        said.append(f"The {name} grew from {before:.0f} to {after:.0f} MB.")
    files, more = max(each.files for each in early), min(each.files for each in late)
    if more > files + FILES_MORE:
        said.append(f"The {name} had {files} files open, and {more} in the end.")
    return said


def slower(ways_ms: Sequence[float]) -> list[str]:
    """Whether orders leave later in the end than in the beginning."""
    fifth = len(ways_ms) // 5
    if not fifth:
        return ["Fewer than five orders left all day: nothing was measured."]
    early = statistics.median(ways_ms[fifth : 2 * fifth])
    late = statistics.median(ways_ms[-fifth:])
    if late > max(SHARE_MS, early * SLOWER):
        return [f"Half of the orders took {early:.1f} ms early on, and {late:.1f} ms in the end."]
    return []


def ways_ms(left: Sequence[tuple[float, float]], arrived: Sequence[float]) -> list[float]:
    """From a frame in the inbox to an order at the door.

    ``left``: of every commit that sent orders, when its frame came and when they could leave. Several
    orders may leave in one commit, so each that arrived belongs to the last commit before it.
    """
    leaving = [at for _, at in left]
    return [
        (there - left[bisect_right(leaving, there) - 1][0]) * 1e3
        for there in arrived
        if leaving and there >= leaving[0]
    ]


def settings_of_a_guard(exchange: Exchange, folder: Path) -> Guarding:
    """A guard as ``kitestring run --mode live`` starts it, with a login of its own kept beside."""
    config, secrets = folder / "live.yaml", folder / "secrets"
    config.write_text(CONFIG.format(root=exchange.root), encoding="utf-8")
    secrets.mkdir(mode=0o700)
    key = secrets / "kite.env"
    key.touch(mode=0o600)
    key.write_text("KITE_API_KEY=kitestring\n", encoding="utf-8")
    TokenStore(secrets, {"KITE_API_KEY": "kitestring"}).keep(
        KiteToken(
            api_key="kitestring",
            access_token=exchange.token,
            public_token=Secret(PUBLIC),
            user_id="KS0001",
            login_at=instant(DAY, dt.time(9)),
        )
    )
    arguments = ["--config", str(config), "--artifacts", str(folder), "--secrets", str(secrets)]
    return Guarding(folder, guard_command(*arguments))


class LongDay:
    """One such day, and what was seen of it."""

    def __init__(self, minutes: int, instruments: int, speed: float) -> None:
        self._minutes = minutes
        self.wall_s = minutes * 60 / speed
        self._instruments = instruments
        self._speed = speed
        self.samples: dict[str, list[Sample]] = {"engine": [], "exchange": [], "guard": []}
        self.ways_ms: list[float] = []
        self.found: list[str] = []
        self.orders = self.ticks = 0

    async def live(self, folder: Path) -> None:
        """From the first frame to a stop that leaves everything as it is."""
        last = shares(self._instruments)[-1]
        room = {"every": EVERY_S, "minutes": SESSION_MINUTES}
        async with exchange_program(self._instruments, 1, **room) as exchange:
            guarding = settings_of_a_guard(exchange, folder)
            house = House(
                exchange,
                self._instruments,
                climbers(last, CLIMBERS),
                folder,
                minutes=SESSION_MINUTES,
                guarding=guarding,
            )
            async with house.trading():
                await exchange.say("speed", speed=self._speed)
                assert exchange.program is not None
                pids = {"engine": os.getpid(), "exchange": exchange.program.pid}
                await self._pass(house, guarding, pids)
                await self._judge(house, folder)
            if not await guarding.ended(30.0):
                self.found.append("The guard went on after the day had ended.")

    async def _pass(self, house: House, guarding: Guarding, pids: dict[str, int]) -> None:
        await house.until(lambda: not guarding.unguarded(), 60.0, "waiting for the guard")
        pids = pids | {"guard": guarding.pid}
        marks, climbs_until = house.marks, time.perf_counter() + WARM_WITHIN_S
        while len(marks.out) < WARM:
            assert time.perf_counter() < climbs_until, "a strategy goes out within a minute or two"
            await house.exchange.say("climb", instruments=1)
            await asyncio.sleep(0.2)
        marks.out.clear()
        began, ticks = time.perf_counter(), house.day.ticks
        ends, next_sample = began + self.wall_s, began
        facts = 0
        while (now := time.perf_counter()) < ends:
            if now >= next_sample:
                next_sample += self.wall_s / SAMPLES
                for name, pid in pids.items():
                    self.samples[name].append(sample(pid))
            await house.exchange.say("climb", instruments=1)
            await asyncio.sleep(min(2.0, max(0.2, self.wall_s / 300)))
            self.found += house.faults
            facts += len(marks.told)
            # The stopwatch must not be what grows.
            for kept in (marks.told, marks.shown, marks.frames):
                kept.clear()
        canaries = (house.exchange.token.reveal(), PUBLIC)
        for pid in pids.values():
            self.found += told_to_all(pid, canaries) + open_doors(pid)
        self.found += open_modes(house.artifacts / "secrets")
        self.ticks = house.day.ticks - ticks
        if guarding.pid != pids["guard"] or guarding.unguarded():
            self.found.append("The guard did not live all day.")
        assert facts, "something was written down"

    async def _judge(self, house: House, folder: Path) -> None:
        await house.until(lambda: not house.working, 30.0, "waiting for the last order")
        noted = await house.exchange.say("noted")
        assert isinstance(noted, dict)
        self.ways_ms = ways_ms([(out[0], out[-1]) for out in house.marks.out], noted["arrived"])
        there = await house.exchange.say("orders")
        assert isinstance(there, list)
        self.orders = len(there)
        told = {str(row["tag"]): row for row in there}
        if len(told) != len(there):
            self.found.append("Two orders bear one tag.")
        ours = {str(order.cl_ord_id): order for order in house.orders_written()}
        for tag, row in told.items():
            mine = ours.get(tag)
            if mine is None or mine.cum_qty != int(str(row["filled_quantity"])):
                self.found.append(f"The journal knows order {tag} otherwise than the exchange.")
        canaries = (house.exchange.token.reveal(), PUBLIC)
        self.found += files_with(folder, canaries, but=folder / "secrets")
        if HaltFile(folder).stands:
            self.found.append("A HALT stands that nobody ordered.")
        if self._minutes >= SETTLES:
            for name, samples in self.samples.items():
                self.found += grown(name, samples)
            self.found += slower(self.ways_ms)


def live_for(minutes: int, instruments: int = INSTRUMENTS, speed: float = SPEED) -> LongDay:
    """Live so many minutes of the market."""
    day = LongDay(minutes, instruments, speed)
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(day.live(Path(place)))
    return day


def live(first: int, count: int) -> Outcome:
    """See ``Tier``: the minutes are lived in one piece."""
    day = live_for(count)
    story = " ".join(day.found)
    counts = {"orders": day.orders, "ticks": day.ticks}
    for name, samples in day.samples.items():
        counts[f"rss_mb.{name}"] = round(samples[-1].rss_mb)
        counts[f"files.{name}"] = samples[-1].files
    spread: dict[int, int] = {}
    for way in day.ways_ms:
        spread[round(way)] = spread.get(round(way), 0) + 1
    return Outcome(
        units=count,
        counts=counts,
        spread={"frame_to_door_ms": spread},
        broken=(Broken(seed=first, story=story, again=AGAIN),) if story else (),
    )


AGAIN: Final = "python -m proof --tier long_day"

TIER: Final = Tier(
    name="long_day",
    unit="market minutes",
    claim=(
        "Engine, guard and exchange trade a long day without growing, slowing down, or showing a"
        " secret or a door to anybody."
    ),
    size={Scale.TEST: 3, Scale.PROOF: 20, Scale.SOAK: 8 * 60},
    batch=8 * 60,
    live=live,
    alone=True,
    limit_s=4_000.0,
)
assert SESSION_MINUTES * MINUTE > 8 * 60 * MINUTE
