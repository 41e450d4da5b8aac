"""Rehearses a live day from login to square-off: own exchange, faults on the way, one pulled plug.

Everything runs as it will on a real day: the same commands in processes of their own, orders over
sockets, a phrase typed at a keyboard. Only the exchange's address is another. What became of it is
judged by the exchange's books, not by what the house says of itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.engine_process import EngineProcess
from kitestring.cli.exchange_process import DayState, ExchangeProcess, environment
from kitestring.cli.rehearsal_script import EXCHANGE, FAULTS, live_settings
from kitestring.domain.errors import HouseError
from kitestring.domain.money import Money, show_rupees
from kitestring.exchange.wire.wire_ledger import read_lines
from kitestring.sim.verdict import Books, Verdict, judge
from kitestring.store.run_reader import chosen_run, read_run

QUICK: Final = 300.0
"""Exchange seconds a second: a day in a little more than a minute."""
CAREFUL: Final = 60.0
"""While an order has just been sent, and around the square-off: answers take real seconds."""
_RESTARTING: Final = 5.0
_CAREFUL_FOR_S: Final = 0.3
_SQUARE_OFF_FROM: Final = "15:10:00"
_PLUG_FROM: Final = "09:35:00"
_SHOWN_EVERY_S: Final = 5.0
_LOOK_S: Final = 0.05
_STUCK_S: Final = 600.0
_LEAVES_WITHIN_S: Final = 60.0
SETTINGS: Final = "rehearsal.yaml"

Say = Callable[[str], object]


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal came to."""

    verdict: Verdict
    exit_code: int
    """Of the live day's last process."""
    plug_pulled: str
    """When, by the exchange's clock; empty if it never was."""
    struck: Mapping[str, int]
    folder: Path

    @property
    def holds(self) -> bool:
        """Whether a person may go on to real money, as far as a rehearsal can tell."""
        return self.verdict.holds and self.exit_code in (0, 130) and bool(self.plug_pulled)


def log_in(exchange: ExchangeProcess, folder: Path) -> None:
    """Log in as on any morning; the one click of the login page is made here."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "scripts.login_kite", "--no-open", "--request-token", "-",
         "--config", SETTINGS],
        input=exchange.redirect() + "\n", capture_output=True, text=True, check=False,
        cwd=folder, env=environment(),
    )  # fmt: skip
    if done.returncode:
        raise HouseError(f"The login failed: {done.stderr.strip()}", do=f"look into {folder}")


class Rehearsal:
    """One day; ``folder`` takes everything it leaves."""

    def __init__(
        self,
        folder: Path,
        say: Say,
        *,
        speed: float = QUICK,
        seed: int = 1,
        until: str = "",
        faults: str = FAULTS,
    ) -> None:
        self._folder = folder
        self._say = say
        self._speed = speed
        self._until = f"{until}:00" if until else ""
        self._plug = ""
        self._exchange = ExchangeProcess(
            folder / "exchange", settings=EXCHANGE, faults=faults, seed=seed
        )

    def play(self) -> Rehearsed:
        """From login to verdict. Raises ``HouseError`` where the day cannot be played at all."""
        folder = self._folder
        with self._exchange as exchange:
            (folder / SETTINGS).write_text(live_settings(exchange.rest), encoding="utf-8")
            self._say(f"Exchange at {exchange.rest}; everything is kept in {folder}.")
            before = exchange.books()
            log_in(exchange, folder)
            self._say("Logged in.")
            code = self._trade(before)
            after = exchange.books()
            struck: Counter[str] = Counter()
            for row in exchange.faults():
                struck[str(row["kind"])] += int(str(row["strikes"]))
        facts = list(read_run(chosen_run(folder / "artifacts")).facts())
        wire = read_lines(exchange.wire)
        return Rehearsed(
            verdict=judge(facts, before=before, after=after, wire=wire, ended=not self._until),
            exit_code=code,
            plug_pulled=self._plug,
            struck=+struck,
            folder=folder,
        )

    # ── the day ──────────────────────────────────────────────────────────────────────────────

    def _trade(self, before: Books) -> int:
        engine = self._start()
        try:
            carried = {each.key: each.quantity for each in before.positions}
            self._exchange.pass_at(self._speed)
            sent, careful_until, shown_at = 0, 0.0, 0.0
            speed, left = self._speed, False
            stuck_at = time.monotonic() + _STUCK_S
            while engine.ended is None:
                here = time.monotonic()
                if here > stuck_at:
                    raise HouseError("The day does not end.", do=f"read {engine.output}")
                state = self._exchange.state()
                owned = {
                    name: net - carried.get(name, 0)
                    for name, net in state.positions.items()
                    if net != carried.get(name, 0)
                }
                if here - shown_at > _SHOWN_EVERY_S:
                    shown_at = here
                    self._say(_progress(state, owned))
                if state.orders != sent:
                    sent, careful_until = state.orders, here + _CAREFUL_FOR_S
                if self._until and state.clock >= self._until and not left:
                    left = True
                    self._say(f"{state.clock}  stopped as asked, with Ctrl-C")
                    os.kill(engine.pid, signal.SIGINT)
                    engine.wait(_LEAVES_WITHIN_S)
                    break
                if not self._plug and self._pulls_now(state, owned):
                    engine = self._without_power(engine, state, owned)
                    self._exchange.pass_at(speed)
                    continue
                wanted = self._pace(state, owned, careful=here < careful_until)
                if wanted != speed:
                    speed = wanted
                    self._exchange.pass_at(speed)
                time.sleep(_LOOK_S)
            assert engine.ended is not None
            return engine.ended
        finally:
            engine.close()

    def _start(self) -> EngineProcess:
        typed = ["--config", SETTINGS, "--engines", "fno"]
        engine = EngineProcess(self._folder, typed)
        try:
            phrase = engine.until_trading()
        except BaseException:
            engine.close()
            raise
        self._say(f"Armed: typed “{phrase}”." if phrase else "Going on, armed as before.")
        return engine

    def _pulls_now(self, state: DayState, owned: Mapping[str, int]) -> bool:
        """A position of ours is open under a stop; in a short day, any moment near its end."""
        if self._until and state.clock >= _minus_ten(self._until):
            return True
        return state.clock >= _PLUG_FROM and bool(owned) and state.working_orders > 0

    def _without_power(
        self, engine: EngineProcess, state: DayState, owned: Mapping[str, int]
    ) -> EngineProcess:
        engine.pull_the_plug()
        engine.close()
        self._exchange.pass_at(_RESTARTING)
        self._plug = state.clock
        self._say(f"{state.clock}  🔌 kill -9, with {_open(owned)} open; the same command again")
        return self._start()

    def _pace(self, state: DayState, owned: Mapping[str, int], *, careful: bool) -> float:
        closing = bool(owned) and state.clock >= _SQUARE_OFF_FROM
        return min(self._speed, CAREFUL) if careful or closing else self._speed


def _progress(state: DayState, owned: Mapping[str, int]) -> str:
    return (
        f"{state.clock}  {state.orders} orders, {state.working_orders} working ·"
        f" {_open(owned)} open · {state.strikes} faults so far"
    )


def _open(owned: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{name.partition(':')[2]} {net:+d}" for name, net in owned.items()) or "nothing"
    )


def _minus_ten(clock: str) -> str:
    minutes = int(clock[:2]) * 60 + int(clock[3:5]) - 10
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def verdict_lines(rehearsed: Rehearsed, before_end: bool) -> list[str]:
    """The verdict for a person: what was looked at, and what was found."""
    figures, verdict = rehearsed.verdict.figures, rehearsed.verdict
    struck = ", ".join(f"{kind} ×{times}" for kind, times in sorted(rehearsed.struck.items()))
    lines = [
        f"faults          {struck or 'none'}",
        f"plug            {'pulled at ' + rehearsed.plug_pulled if rehearsed.plug_pulled else 'never pulled'}",
        f"orders          {figures.orders}, {figures.intents_seen} found on disk as they came in, {figures.refused} refused",
        f"fills           {figures.fills}, turnover {show_rupees(Money(figures.turnover))}",
        f"record          {rehearsed.folder}",
    ]
    lines += [f"✗ {each.fault}: {each.sentence}" for each in verdict.findings]
    if rehearsed.exit_code not in (0, 130):
        lines.append(f"✗ the live day ended with exit code {rehearsed.exit_code}")
    if not rehearsed.plug_pulled:
        lines.append("✗ no position was ever open to pull the plug on")
    if rehearsed.holds:
        end = "" if before_end else ", flat at the end"
        lines.append(
            "✓ by the exchange's own books: every order once, on disk before it left, filled for"
            f" the same money to the paisa{end}; what is not the house's is untouched"
        )
    return lines
