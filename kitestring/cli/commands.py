"""All commands of the house under one name: ``kitestring day``, ``kitestring report``, and so on."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import NoReturn

import click

from kitestring import __version__
from kitestring.cli.answers import ANSWERS
from kitestring.cli.run_day import Day, run_command, run_day
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


@house.command("report")
@click.argument("run", required=False)
@click.option("--day", type=Day(), help="The latest run of this day.")
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the runs are; artifacts/ if left out.",
)
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
def report(run: str | None, *, day: dt.date | None, artifacts: Path, show: bool) -> None:
    """Write a day's report again, from the record of its run, and say where it is.

    RUN is the name of a run's folder or the beginning of it; the latest run if left out.
    """
    from kitestring.cli.day_report import choose, make_report  # noqa: PLC0415 - --help must be fast

    if run is not None and day is not None:
        raise click.UsageError("Name a run or a day, not both.")
    path = make_report(choose(artifacts, run, day))
    click.echo(path)
    if show:
        click.launch(str(path.resolve()))


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
