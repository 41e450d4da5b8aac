"""``kitestring morning``: log in, look at everything, arm the day; made for a phone's screen.

What it leaves behind is a token and the record of an arming: the day itself may be started later by
a machine without a keyboard, and finds both.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kitestring.cli.day_request import DayRequest
    from kitestring.engine.live_day import LiveClock
    from kitestring.engine.preflight import Check

PHONE: Final = 40
_PHRASE: Final = re.compile(r"TRADE (?=\d)")
_EPILOG = """\b
Exit codes:
  0    armed: the day may start
  1    a check failed, or nobody logged in
  2    the settings are wrong, or the phrase was not typed: nothing is armed
  4    the day runs already, or the disk does not take the record
  130  stopped with Ctrl-C
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings of the live day; configs/live.yaml if left out.",
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="The folder of the day; artifacts/ if left out.",
)
@click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("secrets"),
    help="Where the app's key and the token are; secrets/ if left out.",
)
@click.option(
    "--engines",
    type=click.Choice(["all", "fno", "equity"]),
    help="As for the day itself.",
)
@click.option("--open/--no-open", "show", default=False, help="Open the login in a browser here.")
def morning(
    *, config: Path | None, artifacts: Path, secrets: Path, engines: str | None, show: bool
) -> None:
    """Log in, look at everything, arm the day: all of a morning, on a phone.

    Paste the address at which the login ends; then read what would be traded, and type the phrase.
    The day that starts later (run_day --mode live) finds itself armed.
    """
    from kitestring.cli.config import DEFAULT_LIVE, Engines, Mode, load_config  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.day_request import DayRequest  # noqa: PLC0415 - as above

    file = load_config(config or DEFAULT_LIVE, Mode.LIVE)
    chosen = file.config.trading.engines if engines is None else Engines(engines)
    request = DayRequest(file=file, engines=chosen, feed="synthetic", artifacts=artifacts)
    arm_the_day(request, click.echo, secrets=secrets, show=show)


def arm_the_day(
    request: DayRequest,
    echo: Callable[[str], object],
    *,
    secrets: Path,
    show: bool = False,
    clock: LiveClock | None = None,
    keyboard: IO[str] | None = None,
) -> None:
    """Login, checks, arming. Raises a ``HouseError`` where the day cannot be armed."""
    import asyncio  # noqa: PLC0415 - --help must be fast
    import os  # noqa: PLC0415 - as above

    from kitestring.broker.kite_session import TokenStore  # noqa: PLC0415 - as above
    from kitestring.cli.doctor_command import clock_ahead_s, looked_at  # noqa: PLC0415 - as above
    from kitestring.cli.kite_day import closed_today  # noqa: PLC0415 - as above
    from kitestring.cli.live_clock import clock_of  # noqa: PLC0415 - as above
    from kitestring.cli.login_flow import run_login  # noqa: PLC0415 - as above
    from kitestring.domain.errors import ConfigError, NotLoggedIn  # noqa: PLC0415 - as above
    from kitestring.domain.instants import ist_text  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import WallClock  # noqa: PLC0415 - as above
    from kitestring.engine.preflight import may_start  # noqa: PLC0415 - as above

    clock = clock or clock_of(request.file.config.kite)
    # In a rehearsal the clock is the exchange's own.
    ahead_s = clock_ahead_s(request.file, clock.now) if isinstance(clock, WallClock) else None
    stdin = keyboard or sys.stdin
    why = closed_today(clock)
    if why:
        say(echo, why)
        return
    store = TokenStore(secrets, os.environ)
    try:
        token = store.token(clock.now())
        say(echo, f"Logged in as {token.user_id}, until {ist_text(token.dies_at)[:16]}.")
    except NotLoggedIn:
        # Addresses must stay in one piece to be tapped.
        run_login(request.file.config.kite, store, echo, stdin=stdin, show=show, now=clock.now)
    checks = looked_at(
        request.file, request.artifacts, clock.now(), secrets=secrets, ahead_s=ahead_s
    )
    for line in check_lines(checks):
        echo(line)
    if not may_start(checks):
        raise ConfigError(
            "What is marked ✗ must be mended first; nothing is armed.",
            do="mend it, then kitestring morning again (the login is kept)",
        )
    asyncio.run(_arm(request, echo, clock, store, stdin))


async def _arm(
    request: DayRequest,
    echo: Callable[[str], object],
    clock: LiveClock,
    store: object,
    stdin: IO[str],
) -> None:
    from kitestring.broker.kite_session import TokenStore  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.live_clock import keeping_time  # noqa: PLC0415 - as above
    from kitestring.cli.live_run import asking, prepared  # noqa: PLC0415 - as above
    from kitestring.engine.arm_ahead import arm_ahead  # noqa: PLC0415 - as above
    from kitestring.engine.arming import armed_sentence  # noqa: PLC0415 - as above

    assert isinstance(store, TokenStore)

    def shown(text: str) -> None:
        say(echo, text)

    async with keeping_time(clock, request.file.config.kite):
        plan, open_link = await prepared(request, shown, clock, store)
        armed = await arm_ahead(plan, open_link, asking(shown, stdin))
    shown(armed_sentence(armed))
    shown("The day may start: python -m scripts.run_day --mode live")


def check_lines(checks: Iterable[Check]) -> list[str]:
    """One line a check, and under one that fails what to type."""
    lines: list[str] = []
    for check in checks:
        mark = {"ok": "✓", "fails": "✗", "not known": "?"}[check.outcome.value]
        if mark == "✓":
            lines.append(textwrap.shorten(f"✓ {check.name}: {check.says}", PHONE, placeholder="…"))
            continue
        lines += textwrap.wrap(f"{mark} {check.name}: {check.says}", PHONE, subsequent_indent="  ")
        if check.do:
            lines += _unbroken(f"  → {check.do}")
    return lines


def say(echo: Callable[[str], object], text: str) -> None:
    """Words broken into a phone's lines."""
    for part in text.splitlines() or [""]:
        for line in _unbroken(part):
            echo(line)


def _unbroken(text: str) -> list[str]:
    """What is to be typed or tapped is never broken within a word, the phrase not between two."""
    lines = textwrap.wrap(
        _PHRASE.sub("TRADE\xa0", text),
        PHONE,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\xa0", " ") for line in lines] or [""]
