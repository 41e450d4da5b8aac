"""All commands of the house under one name: ``kitestring day``, ``kitestring tape check PATH``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from kitestring import __version__
from kitestring.cli.answers import ANSWERS
from kitestring.cli.run_day import run_command, run_day
from kitestring.cli.strategy_commands import check, new, strategies


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kitestring")
def house() -> None:
    """Kitestring trades an Indian market day on Zerodha Kite, on paper."""


@house.group()
def tape() -> None:
    """Recorded days."""


@tape.command("check")
@click.argument("path", type=click.Path(path_type=Path))
def tape_check(path: Path) -> None:
    """Say what is in a recording, and what is wrong with it by file and line. Changes nothing.

    Exits with 3 if the recording cannot be played as it is.
    """
    from kitestring.cli.tape_check import check_lines  # noqa: PLC0415 - --help must be fast

    lines, playable = check_lines(path)
    for line in lines:
        click.echo(line)
    if not playable:
        sys.exit(3)


@house.group()
def bars() -> None:
    """Files of 1-minute bars."""


@bars.command("check")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def bars_check(files: tuple[Path, ...]) -> None:
    """Say what files of bars hold, and what is wrong with them by line. Changes nothing.

    Exits with 3 if one of them cannot be traded as it is.
    """
    from kitestring.store.bar_check import check_bars  # noqa: PLC0415 - --help must be fast

    playable = True
    for path in files:
        report = check_bars(path)
        playable = playable and report.playable
        for line in report.lines():
            click.echo(line)
    if not playable:
        sys.exit(3)


house.add_command(run_day, "run-day")
house.add_command(run_day, "day")
house.add_command(new)
house.add_command(check)
house.add_command(strategies)
for answer in ANSWERS:
    house.add_command(answer)


def main() -> NoReturn:
    """The program behind ``python -m kitestring`` and ``kitestring``."""
    sys.exit(run_command(house, None))
