"""``kitestring simulate``: days that never were, with everything going wrong, judged by the exchange."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option("--seed", type=click.IntRange(min=0), help="Only this day, told whole if it breaks.")
@click.option("--days", type=click.IntRange(min=1), default=50, show_default=True, help="How many.")
@click.option(
    "--from", "first", type=click.IntRange(min=0), default=1, show_default=True, help="First seed."
)
@click.option(
    "--done",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the seeds that are done; with it a run goes on where it was stopped.",
)
@click.option(
    "--without",
    "left_out",
    multiple=True,
    help="With --seed: leave this out of the day, as a broken day's story names it.",
)
@click.option("--week", type=click.IntRange(min=0), help="Only this week, told whole if it breaks.")
@click.option("--weeks", type=click.IntRange(min=1), help="So many weeks instead of days.")
def simulate(
    *,
    week: int | None,
    weeks: int | None,
    seed: int | None,
    days: int,
    first: int,
    done: Path | None,
    left_out: tuple[str, ...],
) -> None:
    """Simulate trading days: the live house at the local exchange in virtual time, faults and crashes.

    With --weeks or --week whole weeks: positions carried over nights, holidays and expiries.

    Every day is judged by the exchange's own ledger. Exits with 1 if a promise was broken; the same
    seed is always the same day. Ctrl-C stops between two days.
    """
    if week is not None or weeks is not None:
        _weeks([week] if week is not None else list(range(first, first + (weeks or 1))))
        return
    from kitestring.cli.simulated_days import DayFile, lived  # noqa: PLC0415 - --help must be fast

    if left_out and seed is None:
        raise click.UsageError("--without goes with --seed: every day has other parts.")
    seeds = [seed] if seed is not None else list(range(first, first + days))
    file = DayFile(done) if done is not None else None
    waiting = [each for each in seeds if file is None or not file.holds(each)]
    if len(waiting) < len(seeds):
        click.echo(f"{len(seeds) - len(waiting)} of {len(seeds)} days are done already.")
    bad = 0
    try:
        with click.progressbar(
            waiting,
            label="days",
            file=sys.stderr,
            hidden=seed is not None or not sys.stderr.isatty(),
        ) as bar:
            for each in bar:
                day = lived(each, left_out) if left_out else lived(each)
                bad += day.broken > 0
                if day.broken or seed is not None:
                    click.echo("\n".join(day.lines))
                if file is not None:
                    file.add(day)
    except KeyboardInterrupt:
        where = f" Go on with: --done {done}" if done is not None else ""
        click.echo(f"\nStopped between two days.{where}", err=True)
        sys.exit(130)
    if seed is None:
        click.echo(f"{len(waiting)} days: {bad} broke a promise.")
    if bad:
        sys.exit(1)


def _weeks(seeds: list[int]) -> None:
    from kitestring.cli.simulated_weeks import lived_week  # noqa: PLC0415 - --help must be fast

    bad = 0
    for seed in seeds:
        week = lived_week(seed)
        bad += week.broken > 0
        if week.broken or len(seeds) == 1:
            click.echo("\n".join(week.lines))
    if len(seeds) > 1:
        click.echo(f"{len(seeds)} weeks: {bad} broke a promise.")
    if bad:
        sys.exit(1)
