"""A live day in a process of its own, at a keyboard of its own: the command as a person types it.

What is typed goes in through a pseudo-terminal, so that the program cannot tell it from a person;
what it says goes into a file that is read as it grows.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kitestring.cli.served_exchange import environment
from kitestring.domain.errors import HouseError

_PHRASE: Final = re.compile(r"To let it trade, type exactly:\s+(.+)")
_STARTED: Final = "real orders, real money"
LIVE_DAY: Final = ("-m", "scripts.run_day", "--mode", "live")


class TypedDay:
    """One run of the command in ``folder``; ``program`` is what Python is given before its options."""

    def __init__(
        self, folder: Path, typed: Sequence[str], *, program: Sequence[str] = LIVE_DAY
    ) -> None:
        self.folder = folder
        self.output = folder / "engine.log"
        self._from = self.output.stat().st_size if self.output.exists() else 0
        self._answered = 0
        keyboard, terminal = os.openpty()
        try:
            with self.output.open("ab") as out:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    [sys.executable, *program, *typed],
                    stdin=terminal, stdout=out, stderr=subprocess.STDOUT,
                    cwd=folder, env=environment(), start_new_session=True,
                )  # fmt: skip
        finally:
            os.close(terminal)
        self._keyboard = keyboard

    @property
    def pid(self) -> int:
        """The process, for whoever pulls the plug."""
        return self._process.pid

    @property
    def said(self) -> str:
        """Everything this run has said so far."""
        return self.output.read_bytes()[self._from :].decode(errors="replace")

    @property
    def ended(self) -> int | None:
        """Its exit code; ``None`` while it runs."""
        return self._process.poll()

    def answer(self) -> str:
        """If it asks for the phrase, type it; what was typed, or nothing."""
        found = _PHRASE.search(self.said)
        if found is None or self._answered:
            return ""
        self._answered = 1
        os.write(self._keyboard, found[1].strip().encode() + b"\n")
        return found[1].strip()

    def until_trading(self, within_s: float = 60.0) -> str:
        """Type the phrase when it is asked for, and return it once the day has begun.

        Raises ``HouseError`` with the last lines if the day ends before it begins.
        """
        typed = ""
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            typed = self.answer() or typed
            said = self.said
            if _STARTED in said:
                return typed
            if self.ended is not None:
                break
            time.sleep(0.02)
        raise HouseError(
            f"The live day did not begin. Its last words: {self.said.strip()[-1500:]}",
            do=f"read {self.output}",
        )

    def pull_the_plug(self) -> None:
        """``kill -9``: no goodbye."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wait(self, within_s: float) -> int:
        """Its exit code. Raises ``HouseError`` where it goes on for longer."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise HouseError(
                f"The live day still runs after {within_s:g} s.", do=f"read {self.output}"
            ) from None

    def close(self) -> None:
        """End it, if it still runs, and take the keyboard away."""
        if self.ended is None:
            self.pull_the_plug()
        os.close(self._keyboard)
