"""``kitestring report``: finds the run that was meant, and has its page written."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from kitestring.domain.errors import AnotherDayIsRunning, ConfigError, StoreError
from kitestring.store.paths import RunPaths, RunState, list_runs


def choose(artifacts: Path, name: str | None, day: dt.date | None) -> RunPaths:
    """The run of that name (or the only one that begins so), or the latest one, of a day or at all.

    Raises ``ConfigError`` naming what there is.
    """
    runs = [run for run in list_runs(artifacts) if run.journal.exists()]
    if not runs:
        raise ConfigError(
            f"There is no run in {artifacts}.", do="trade a day first: python -m kitestring day"
        )
    if name is not None:
        wanted = Path(name).name
        found = [run for run in runs if run.folder.name == wanted]
        found = found or [run for run in runs if run.folder.name.startswith(wanted)]
        if len(found) != 1:
            names = ", ".join(run.folder.name for run in (found or runs)[-8:])
            what = "is no run here" if not found else "begins several runs"
            raise ConfigError(f"{name} {what}.", do=f"name one of: {names}")
        return found[0]
    of_day = [run for run in runs if day is None or run.date == day]
    if not of_day:
        days = ", ".join(sorted({str(run.date) for run in runs})[-8:])
        raise ConfigError(f"There is no run of {day} in {artifacts}.", do=f"there are: {days}")
    traded = [run for run in of_day if run.mode != "twin"]
    return max(traded or of_day, key=_written)


def find(artifacts: Path, name: str) -> RunPaths:
    """The run whose folder has this name."""
    return next(run for run in list_runs(artifacts) if run.folder.name == name)


def make_report(run: RunPaths) -> Path:
    """Write a run's report and return where it is shown. Raises a ``StoreError``."""
    # Loaded after the day is over: the running day has no use for it.
    from kitestring.report.day_report import write_day_report  # noqa: PLC0415

    if run.state() is RunState.RUNNING:
        raise AnotherDayIsRunning(
            f"{run.folder.name} is still running; its report is written when it ends.",
            do="kitestring status shows how it stands, and disturbs nothing",
        )
    return write_day_report(run)


def make_group_report(
    artifacts: Path, first: dt.date | None, last: dt.date | None, target: Path | None = None
) -> Path:
    """One page for the latest finished run of every day between two dates, both included.

    Written to ``target``, or to the folder of those days under ``journal/`` if left out.
    Raises ``ConfigError`` where there is none, and a ``StoreError`` where one cannot be read.
    """
    from kitestring.report.group_report import write_group_report  # noqa: PLC0415 - as for one day

    latest: dict[dt.date, RunPaths] = {}
    for run in list_runs(artifacts):
        if (first and run.date < first) or (last and run.date > last):
            continue
        if run.mode != "twin" and run.state() is RunState.SEALED:
            known = latest.get(run.date)
            if known is None or _written(known) < _written(run):
                latest[run.date] = run
    if not latest:
        raise ConfigError(
            f"There is no finished run between these dates in {artifacts}.",
            do="trade a day first: python -m kitestring day",
        )
    days = sorted(latest)
    if target is None:
        target = artifacts / "journal" / f"{days[0]}_to_{days[-1]}" / "report.html"
    return write_group_report([latest[day] for day in days], target)


def _written(run: RunPaths) -> int:
    return run.journal.stat().st_mtime_ns


def write_days_report(group: Path) -> None:
    """Write the one report of a chain of days that has just ended, into the chain's folder."""
    try:
        make_group_report(group, None, None, group / "report.html")
    except StoreError as failed:
        click.echo(f"The report was not written. {failed}", err=True)


def write_report(run: RunPaths) -> None:
    """Write the report of a day that has just ended; a failure is said and costs nothing else."""
    try:
        make_report(run)
    except StoreError as failed:
        click.echo(f"The report was not written. {failed}", err=True)
