"""The commands for those who write strategies: ``new``, ``check`` and ``strategies``."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Final

import click

from kitestring.domain.errors import ConfigError

SAMPLE_DATE: Final = "2026-11-20"


@click.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Write my/NAME.py: a strategy that runs as it stands, with comments that explain it."""
    from kitestring.cli.strategy_template import write_strategy  # noqa: PLC0415 - --help must be fast

    path = write_strategy(name)
    click.echo(f"{path} is written. See what it does on a sample day with")
    click.echo(f"    python -m kitestring check {name}")
    click.echo("and trade it by these lines under `strategies:` of your settings file:")
    click.echo(f"  - strategy: {name}\n    instruments: [NIFTY]\n    timeframe: 5m\n    lots: 1")


@click.command("check", context_settings={"max_content_width": 100})
@click.argument("strategy", metavar="FILE|NAME")
@click.option("--on", default="NIFTY", show_default=True, help="What it trades.")
@click.option("--timeframe", default="5m", show_default=True, help="Bars it decides on.")
@click.option("--date", default=SAMPLE_DATE, show_default=True, help="The synthetic day.")
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Another market."
)
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="One parameter; again for more."
)
def check(
    *, strategy: str, on: str, timeframe: str, date: str, seed: int, params: tuple[str, ...]
) -> None:
    """Run a strategy on a synthetic day in memory: its signals, its reasons to hold, its trades.

    Refuses one that looks ahead, at a clock, at files or at dice, and names the line (exits with 2).
    Exits with 1 if the strategy fails during the day.
    """
    from kitestring.cli.strategy_check import Question, checked  # noqa: PLC0415 - --help must be fast

    try:
        day = dt.date.fromisoformat(date)
    except ValueError as error:
        raise ConfigError(f"{date} is no date; write it as {SAMPLE_DATE}.") from error
    told, went_well = checked(
        Question(
            strategy=strategy,
            on=on,
            timeframe=timeframe.lower(),
            date=day,
            seed=seed,
            params=dict(_param(text) for text in params),
        )
    )
    for line in told:
        click.echo(line)
    if not went_well:
        sys.exit(1)


@click.command("strategies")
def strategies() -> None:
    """List every strategy, yours first, with what it is about and its parameters."""
    from kitestring.cli.strategy_list import strategy_lines  # noqa: PLC0415 - --help must be fast

    for line in strategy_lines():
        click.echo(line)


def _param(text: str) -> tuple[str, int | float | str | bool]:
    name, equals, written = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    if written in {"true", "false"}:
        return name, written == "true"
    for kind in (int, float):
        try:
            return name, kind(written)
        except ValueError:
            continue
    return name, written
