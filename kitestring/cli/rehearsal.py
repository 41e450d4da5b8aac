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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.rehearsal_script import EXCHANGE, FAULTS, live_settings
from kitestring.cli.served_exchange import DayState, ServedExchange, environment
from kitestring.cli.typed_day import TypedDay
from kitestring.core.risk_engine import NOT_ARMED
from kitestring.domain.errors import HouseError
from kitestring.domain.events import Fact
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.verdicts import HaltSession
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
_BUSY_TURN_S: Final = 0.1
"""A look that takes longer tells of a machine with other work: the day is played more slowly."""
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
    halted: str
    """Why entries were halted at the end; empty if they were not."""
    folder: Path

    @property
    def holds(self) -> bool:
        """Whether a person may go on to real money, as far as a rehearsal can tell."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Everything that stands against it."""
        said = [f"{each.fault}: {each.sentence}" for each in self.verdict.findings]
        figures = self.verdict.figures
        if self.exit_code not in (0, 130):
            said.append(f"the live day ended with exit code {self.exit_code}")
        if not self.plug_pulled:
            said.append("no position was ever open to pull the plug on")
        if self.halted:
            said.append(f"the day ended halted: {self.halted}")
        if not figures.fills:
            said.append("nothing was traded, so there is nothing to judge")
        if figures.intents_seen < figures.orders:
            said.append(
                f"of {figures.orders} orders only {figures.intents_seen} were seen on disk before"
                " they took effect"
            )
        return tuple(said)


def log_in(exchange: ServedExchange, folder: Path) -> None:
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
        self._exchange = ServedExchange(
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
        wire, whole = read_lines(exchange.wire), not self._until
        return Rehearsed(
            verdict=judge(facts, before=before, after=after, wire=wire, flat=whole, sealed=whole),
            exit_code=code,
            plug_pulled=self._plug,
            struck=+struck,
            halted=_halted(folder / "artifacts") if whole else _halted_by_itself(facts),
            folder=folder,
        )

    # ── the day ──────────────────────────────────────────────────────────────────────────────

    def _trade(self, before: Books) -> int:
        engine = self._start()
        try:
            carried = {each.key: each.quantity for each in before.positions}
            self._exchange.pass_at(self._speed)
            sent, careful_until, shown_at = 0, 0.0, 0.0
            turn_s, turned_at = _LOOK_S, time.monotonic()
            speed, left = self._speed, False
            stuck_at = time.monotonic() + _STUCK_S
            while engine.ended is None:
                here = time.monotonic()
                turn_s, turned_at = 0.9 * turn_s + 0.1 * (here - turned_at), here
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
                wanted = self._pace(state, owned, careful=here < careful_until, turn_s=turn_s)
                if wanted != speed:
                    speed = wanted
                    self._exchange.pass_at(speed)
                time.sleep(_LOOK_S)
            assert engine.ended is not None
            return engine.ended
        finally:
            engine.close()

    def _start(self) -> TypedDay:
        typed = ["--config", SETTINGS, "--engines", "fno"]
        engine = TypedDay(self._folder, typed)
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
        self, engine: TypedDay, state: DayState, owned: Mapping[str, int]
    ) -> TypedDay:
        engine.pull_the_plug()
        engine.close()
        self._exchange.pass_at(_RESTARTING)
        self._plug = state.clock
        self._say(f"{state.clock}  🔌 kill -9, with {_open(owned)} open; the same command again")
        return self._start()

    def _pace(
        self, state: DayState, owned: Mapping[str, int], *, careful: bool, turn_s: float
    ) -> float:
        closing = bool(owned) and state.clock >= _SQUARE_OFF_FROM
        if careful or closing or turn_s > 2 * _BUSY_TURN_S:
            return min(self._speed, CAREFUL)
        return self._speed / 2 if turn_s > _BUSY_TURN_S else self._speed


def _halted(artifacts: Path) -> str:
    """What the state file says of a halt."""
    shown = (artifacts / "checkpoints" / "live_state_latest.json").read_bytes()
    risk = msgspec.json.decode(shown, type=_State).risk
    return (risk.reason or "no reason is given") if risk.halted else ""


def _halted_by_itself(facts: Iterable[Fact]) -> str:
    """A day that was stopped is disarmed at its end; that is no halt."""
    halts = [fact for fact in facts if isinstance(fact, HaltSession) and fact.code != NOT_ARMED]
    return halts[-1].sentence if halts else ""


class _Risk(msgspec.Struct):
    halted: bool
    reason: str | None = None


class _State(msgspec.Struct):
    risk: _Risk


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
    figures = rehearsed.verdict.figures
    struck = ", ".join(f"{kind} ×{times}" for kind, times in sorted(rehearsed.struck.items()))
    lines = [
        f"faults          {struck or 'none'}",
        f"plug            {'pulled at ' + rehearsed.plug_pulled if rehearsed.plug_pulled else 'never pulled'}",
        f"orders          {figures.orders} at the exchange, {figures.refused} refused there",
        f"on disk         {figures.intents_seen} requests for an order, each looked up as it came in",
        f"fills           {figures.fills}, turnover {show_rupees(Money(figures.turnover))}",
        f"record          {rehearsed.folder}",
    ]
    lines += [f"✗ {each}" for each in rehearsed.objections]
    if rehearsed.holds:
        end = "" if before_end else ", flat at the end"
        lines.append(
            "✓ by the exchange's own books: every order once, on disk before it left, filled for"
            f" the same money to the paisa{end}; what is not the house's is untouched"
        )
    return lines
