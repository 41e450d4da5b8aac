"""Twenty minutes of a market that climbs and falls, traded by four strategies: asked about in tests."""

import contextlib
import io

import msgspec
from house_day import (
    ACME,
    BANKNIFTY,
    DAY,
    NIFTY,
    RELAXED,
    FrameFeed,
    TwentyAnOrder,
    clock,
    frame,
    sessions,
    tick,
)

from kitestring.cli.commands import house
from kitestring.cli.run_day import run_command
from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.domain.instants import SECOND
from kitestring.domain.money import money
from kitestring.engine.paper_engine import PaperEngine, PaperPlan
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import NobodyWatches
from kitestring.exchange.fill_models import MARKET

CLIMB = 10
"""Points of NIFTY in a minute, up for six minutes, down for six."""


def path(second):
    """Rupees above the start: up, down, and up again."""
    minute, rest = divmod(second, 60)
    legs = minute % 12
    up = legs if legs < 6 else 12 - legs
    return up * CLIMB + (rest if legs < 6 else -rest) * CLIMB // 60


def frames():
    """One frame every two seconds, from 09:15 to 09:35."""
    made = []
    for second in range(0, 20 * 60, 2):
        at, rise = clock("09:15") + second * SECOND, path(second)
        nifty, bank = 24_000 + rise, 58_000 + 2 * rise
        made.append(
            frame(
                tick(at, NIFTY, f"{nifty}.00", bid=f"{nifty - 1}.90", ask=f"{nifty}.10"),
                tick(at, BANKNIFTY, f"{bank}.00", bid=f"{bank - 1}.80", ask=f"{bank}.20"),
                tick(at, ACME, "500.00", bid="499.95", ask="500.05"),
            )
        )
    return made


def row(name, strategy, on, *, lots=1, **params):
    return StrategySettings(
        name=name,
        strategy=strategy,
        source=on.id,
        instrument=on.id,
        minutes=1,
        params=params,
        lots=lots,
    )


def strategies(slow, trail_atr):
    """One that cannot be sized, one that trades, one with a trailed stop, one that never warms up."""
    return (
        row("unsized", "ema_cross", NIFTY, lots=None, fast=1, slow=3),
        row("cross-NIFTY", "ema_cross", NIFTY, fast=1, slow=slow),
        row(
            "trend-BANKNIFTY",
            "ema_trend",
            BANKNIFTY,
            fast=2,
            slow=4,
            atr_bars=2,
            stop_atr=1.0,
            trail_atr=trail_atr,
            apart_atr=0.3,
            last_entry_before_close=5,
        ),
        row("slow-ACME", "ema_cross", ACME, fast=2, slow=200),
    )


def trade(
    artifacts,
    *,
    key="plainday",
    slow=3,
    trail_atr=1.5,
    stop_after=None,
    hashed=None,
    watcher=None,
    speed=None,
    charge_book=None,
    alerts=(),
):
    """Trade the day into a folder; after ``stop_after`` frames somebody presses Ctrl-C."""
    timetable = sessions(close="09:40", square_off="09:34", cutoff="09:32")
    settings = DaySettings(
        date=DAY,
        capital=money("10000000"),
        run_key=key,
        strategies=strategies(slow, trail_atr),
        risk=RELAXED,
    )
    feed = _Stopping(frames(), timetable, stop_after)
    definitions = {name: read_strategy(name) for name in ("ema_cross", "ema_trend")}
    if hashed is not None:
        definitions["ema_cross"] = msgspec.structs.replace(
            definitions["ema_cross"], source_hash=hashed
        )
    engine = PaperEngine(
        PaperPlan(
            settings=settings,
            feed=feed,
            sessions=timetable,
            notes=(),
            definitions=definitions,
            charge_book=charge_book or TwentyAnOrder(),
            fill_model=MARKET,
            seed=7,
            speed=speed,
            artifacts=artifacts,
            config_hash="",
            alerts=alerts,
        )
    )
    feed.stop = engine.stop
    return engine.run(watcher or NobodyWatches())


class _Stopping(FrameFeed):
    """The frames, and somebody who presses Ctrl-C after some of them."""

    def __init__(self, taken, timetable, stop_after):
        super().__init__(taken, (NIFTY, BANKNIFTY, ACME), timetable)
        self._stop_after = stop_after

    def frames(self, after=0):
        for number, each in enumerate(self._frames, 1):
            if number > after:
                yield each
            if number == self._stop_after:
                self.stop()


def ask(*typed):
    """What the command line answers: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(house, [str(word) for word in typed])
    return code, out.getvalue(), err.getvalue()
