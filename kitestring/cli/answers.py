"""The questions a person asks of a day, as they are typed; each answers from the record of a run.

Nothing here changes anything. Without ``--run`` or ``--day`` the latest run is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kitestring.domain.instants import Instant

if TYPE_CHECKING:
    from kitestring.store.paths import RunPaths
    from kitestring.store.run_reader import Recorded

C = TypeVar("C", bound=Callable[..., object])


class _TimeOfDay(click.ParamType[int]):
    """A time of the Indian day; becomes microseconds since midnight."""

    name = "HH:MM"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """``10:35`` or ``10:35:20``."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d\d?):(\d\d)(?::(\d\d))?", str(value))
        if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
            self.fail(f"{value} is no time of day; write it as 10:35", param, ctx)
        return (int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)) * 1_000_000


class _Day(click.ParamType[str]):
    """An ISO date, kept as text: it is compared with the dates of runs."""

    name = "YYYY-MM-DD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Only a full date is a date."""
        text = str(value)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text) is None:
            self.fail(f"{text} is no date; write it as 2026-11-20", param, ctx)
        return text


_artifacts = click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the runs are; artifacts/ if left out.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")


def _of_a_run(command: C) -> C:
    """The options that say which run is meant."""
    for option in (
        click.option("--day", type=_Day(), help="The latest run of this day."),
        click.option("--run", help="Name of the run, or a part of it that only one has."),
        _artifacts,
        _as_json,
    ):
        command = option(command)
    return command


@click.command()
@click.argument("strategy")
@click.option("--at", "time_of_day", type=_TimeOfDay(), help="What it said at this time, and why.")
@_of_a_run
def why(
    strategy: str,
    time_of_day: int | None,
    *,
    day: str | None,
    run: str | None,
    artifacts: Path,
    as_json: bool,
) -> None:
    """Say why STRATEGY did not trade, or where each of its signals ended.

    With --at: what it said on the bar that closed at or before that time, and on which numbers.
    """
    from kitestring.cli.why_lines import at_lines, why_answer, why_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.why import why as told  # noqa: PLC0415 - as above

    recorded = _recorded(artifacts, run, day)
    answer = told(recorded, strategy)
    at = None if time_of_day is None else _instant(recorded, time_of_day)
    if as_json:
        _say_json(why_answer(answer, recorded, at))
    else:
        _say(
            why_lines(answer, recorded) if at is None else at_lines(answer, recorded, at),
        )


ANSWERS = (why,)
"""Every question there is."""


def _chosen(artifacts: Path, run: str | None, day: str | None) -> RunPaths:
    from kitestring.store.run_reader import chosen_run  # noqa: PLC0415 - --help must be fast

    return chosen_run(artifacts, run=run, day=day)


def _recorded(artifacts: Path, run: str | None, day: str | None) -> Recorded:
    from kitestring.store.run_reader import read_run  # noqa: PLC0415 - --help must be fast

    return read_run(_chosen(artifacts, run, day))


def _instant(recorded: Recorded, time_of_day: int) -> Instant:
    import datetime as dt  # noqa: PLC0415 - needed here only

    from kitestring.domain.instants import instant  # noqa: PLC0415 - as above

    return instant(recorded.paths.date, dt.time()) + time_of_day


def _say(lines: list[str]) -> None:
    from kitestring.cli.answer_text import say  # noqa: PLC0415 - --help must be fast

    say(lines)


def _say_json(answer: object) -> None:
    import msgspec  # noqa: PLC0415 - --help must be fast

    click.echo(msgspec.json.Encoder(decimal_format="number").encode(answer))
