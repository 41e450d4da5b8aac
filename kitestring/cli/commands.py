"""All commands of the house under one name: ``kitestring day``, ``kitestring report``, and so on."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import NoReturn

import click

from kitestring import __version__
from kitestring.cli.alert_commands import alerts
from kitestring.cli.answers import ANSWERS
from kitestring.cli.control_commands import CONTROLS
from kitestring.cli.doctor_command import doctor
from kitestring.cli.exchange_command import exchange
from kitestring.cli.guard_command import guard
from kitestring.cli.login_kite import login_kite
from kitestring.cli.morning_command import morning
from kitestring.cli.rehearsal_command import rehearsal
from kitestring.cli.replay_command import replay
from kitestring.cli.run_day import Day, run_command, run_day
from kitestring.cli.simulate_command import simulate
from kitestring.cli.strategy_commands import check, new, strategies
from kitestring.cli.twin_command import twin


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kitestring")
def house() -> None:
    """Kitestring trades an Indian market day on Zerodha Kite: on paper, or live with real money."""


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
@click.option("--from", "first", type=Day(), help="One page for many days, from this one on.")
@click.option("--to", "last", type=Day(), help="The last of the many days.")
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the runs are; artifacts/ if left out.",
)
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
def report(
    run: str | None,
    *,
    day: dt.date | None,
    first: dt.date | None,
    last: dt.date | None,
    artifacts: Path,
    show: bool,
) -> None:
    """Write a day's report again, from the record of its run, and say where it is.

    RUN is the name of a run's folder or the beginning of it; the latest run if left out. With
    --from or --to: one page for the latest finished run of each of those days.
    """
    from kitestring.cli import day_report  # noqa: PLC0415 - --help must be fast

    many = first is not None or last is not None
    if (run is not None) + (day is not None) + many > 1:
        raise click.UsageError("Name a run, a day, or --from and --to: one of the three.")
    if many:
        path = day_report.make_group_report(artifacts, first, last)
    else:
        path = day_report.make_report(day_report.choose(artifacts, run, day))
    click.echo(path)
    if show:
        click.launch(str(path.resolve()))


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
house.add_command(exchange)
house.add_command(rehearsal)
house.add_command(replay)
house.add_command(doctor)
house.add_command(login_kite, "login-kite")
house.add_command(login_kite, "login")
house.add_command(morning)
house.add_command(alerts)
house.add_command(guard)
house.add_command(new)
house.add_command(check)
house.add_command(strategies)
house.add_command(simulate)
house.add_command(twin)
for answer in (*CONTROLS, *ANSWERS):
    house.add_command(answer)


def main() -> NoReturn:
    """The program behind ``python -m kitestring`` and ``kitestring``."""
    sys.exit(run_command(house, None))
