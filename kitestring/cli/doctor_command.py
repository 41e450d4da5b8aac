"""``kitestring doctor``: everything a day needs is looked at, and what is missing is said with its cure."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kitestring.cli.config import ConfigFile
    from kitestring.domain.instants import Instant
    from kitestring.engine.preflight import Check

SECRETS: Final = Path("secrets")
_NOBODY: Final = (
    ("IPv4", socket.AF_INET, "192.0.2.1"),
    ("IPv6", socket.AF_INET6, "2001:db8::1"),
)
"""Addresses of documentation, which belong to nobody; nothing is sent to them."""
_MARKS: Final = {"ok": "✓", "fails": "✗", "not known": "?"}


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; configs/paper.yaml if left out.",
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the day will be kept; artifacts/ if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON list.")
def doctor(*, config: Path | None, artifacts: Path, as_json: bool) -> None:
    """Say whether this machine and these settings can trade today; what fails comes with its cure.

    ✓ is in order, ✗ must be mended, ? could not be found out. Exits with 1 where something fails.
    """
    from kitestring.cli.answer_text import say  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.config import DEFAULT_FILE, Mode, load_config  # noqa: PLC0415 - as above
    from kitestring.cli.live_clock import clock_of  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import WallClock, wall_now  # noqa: PLC0415 - as above
    from kitestring.engine.preflight import may_start  # noqa: PLC0415 - as above

    file = load_config(DEFAULT_FILE if config is None else config)
    live = file.config.trading.mode is Mode.LIVE
    clock = clock_of(file.config.kite) if live else WallClock()
    ahead_s = clock_ahead_s(file, wall_now) if isinstance(clock, WallClock) else None
    checks = looked_at(file, artifacts, clock.now(), ahead_s=ahead_s)
    if as_json:
        import msgspec  # noqa: PLC0415 - needed here only

        click.echo(msgspec.json.encode(checks).decode())
    else:
        say(doctor_lines(checks))
    if not may_start(checks):
        raise SystemExit(1)


def looked_at(
    file: ConfigFile,
    artifacts: Path,
    now: Instant,
    *,
    source: Callable[[socket.AddressFamily, str], str | None] | None = None,
    secrets: Path = SECRETS,
    environment: Mapping[str, str] | None = None,
    ahead_s: float | None = None,
) -> list[Check]:
    """Every check that suits the settings: paper needs no login, no list and no address."""
    import os  # noqa: PLC0415 - needed here only

    from kitestring.broker.kite_session import TokenStore  # noqa: PLC0415 - --help must be fast
    from kitestring.broker.kite_settings import TimeOf  # noqa: PLC0415 - as above
    from kitestring.cli.config import Mode  # noqa: PLC0415 - as above
    from kitestring.domain.instants import ist_date  # noqa: PLC0415 - as above
    from kitestring.engine import preflight  # noqa: PLC0415 - as above
    from kitestring.store.instrument_dumps import InstrumentDumps  # noqa: PLC0415 - as above

    environment = os.environ if environment is None else environment
    trading = file.config.trading
    live = trading.mode is Mode.LIVE
    rehearsed = live and file.config.kite.clock is TimeOf.EXCHANGE
    capital = trading.live_capital if live else trading.paper_capital
    key = "trading.live_capital" if live else "trading.paper_capital"
    checks = [
        preflight.check_python(),
        preflight.check_clock(now, ahead_s, rehearsed=rehearsed),
        preflight.check_calendar(ist_date(now)),
        preflight.check_modes((secrets, *sorted(secrets.glob("*.env")))),
        preflight.check_disk(artifacts),
        preflight.check_commits(artifacts),
        preflight.check_descriptors(),
        preflight.check_limits(file.config.risk, capital, key),
    ]
    if live:
        asked = source or source_address
        checks += [
            preflight.check_drill(artifacts),
            preflight.check_token(TokenStore(secrets, environment), now),
            preflight.check_instruments(InstrumentDumps(artifacts / "instruments"), now),
            preflight.check_addresses(
                {name: asked(family, nobody) for name, family, nobody in _NOBODY}
            ),
        ]
    return checks


def clock_ahead_s(file: ConfigFile, now: Callable[[], Instant]) -> float | None:
    """How far the broker's clock is ahead of ours; paper asks nobody."""
    import asyncio  # noqa: PLC0415 - needed here only

    from kitestring.broker.broker_clock import broker_ahead_s  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.config import Mode  # noqa: PLC0415 - as above

    if file.config.trading.mode is not Mode.LIVE:
        return None
    return asyncio.run(broker_ahead_s(file.config.kite, now))


def source_address(family: socket.AddressFamily, towards: str) -> str | None:
    """The address this machine would call out from; nothing is sent to find it out."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((towards, 443))
            return str(asked.getsockname()[0])
    except OSError:
        return None


def doctor_lines(checks: list[Check]) -> list[str]:
    """The checks for a person: a mark, what was found, and under it what to type."""
    lines: list[str] = []
    for check in checks:
        lines.append(f"{_MARKS[check.outcome]} {check.name}: {check.says}")
        if check.do:
            lines.append(f"    → {check.do}")
    return lines
