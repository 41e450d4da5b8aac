"""``kitestring twin``: a live day's paper twin, made from the day's record, or beside the day itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from kitestring.domain.ports import Commit
    from kitestring.store.instance_lock import InstanceLock
    from kitestring.store.paths import RunPaths

_NICE: Final = 10
"""Beside a live day the twin takes the time that nobody else wants."""
_LOCK_WITHIN_S: Final = 10.0
"""A twin whose live day was killed and started again may need a moment to see it."""


@click.command()
@click.argument("run", required=False)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the runs are; artifacts/ if left out.",
)
@click.option(
    "--fill-model",
    type=click.Choice(["market", "instant"]),
    default="market",
    help="How paper fills; market if left out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of paper's delays.")
@click.option("--follow", is_flag=True, hidden=True, help="Hear of the live day on stdin.")
def twin(run: str | None, *, artifacts: Path, fill_model: str, seed: int, follow: bool) -> None:
    """Trade RUN's ticks once more on paper, with its settings, to see what its real fills cost.

    RUN is a finished live run (or a part of its name); the latest if left out. What a day with
    --paper-twin does beside itself, this does afterwards, to the same end.
    """
    from kitestring.cli.answer_text import say  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.day_report import write_report  # noqa: PLC0415 - as above
    from kitestring.domain.money import show_rupees  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above
    from kitestring.engine.paper_twin import PaperTwin, words_of  # noqa: PLC0415 - as above
    from kitestring.exchange.fill_models import fill_model as model_of  # noqa: PLC0415 - as above
    from kitestring.store.instance_lock import InstanceLock  # noqa: PLC0415 - as above

    live = _live_run(artifacts, run)
    lock = InstanceLock(artifacts, started_at=wall_now(), name="twin")
    if follow:
        with suppress(OSError):
            os.nice(_NICE)
        _wait_for(lock)
    else:
        lock.acquire()
    try:
        words = _heard(sys.stdin.buffer) if follow else words_of(_record_of(live))
        with PaperTwin(live, model_of(fill_model), seed=seed) as made:
            for word in words:
                made.hear(word)
    finally:
        lock.release()
    if follow:
        return
    if made.already_finished:
        say([f"{made.paths.folder.name} is finished already."])
    elif made.result is not None:
        net = show_rupees(made.result.net, signed=True)
        say([f"{made.paths.folder.name}: {made.result.trades} trades, net {net} after charges."])
    write_report(live)
    say([f"Side by side with the live day: {live.latest_folder / live.report.name}"])


def twin_beside(artifacts: Path, fill_model: str, seed: int, live: RunPaths) -> Sequence[str]:
    """The command that starts the twin of a live day that runs."""
    return (
        *(sys.executable, "-m", "kitestring", "twin", live.folder.name, "--follow"),
        *("--artifacts", str(artifacts), "--fill-model", fill_model, "--seed", str(seed)),
    )


def _live_run(artifacts: Path, name: str | None) -> RunPaths:
    from kitestring.domain.errors import ConfigError  # noqa: PLC0415 - --help must be fast
    from kitestring.store.paths import list_runs  # noqa: PLC0415 - as above
    from kitestring.store.run_reader import newest  # noqa: PLC0415 - as above

    runs = [each for each in list_runs(artifacts) if each.mode == "live"]
    exact = [each for each in runs if each.folder.name == name]
    found = exact or [each for each in runs if name is None or name in each.folder.name]
    if not found or (name is not None and len(found) > 1):
        raise ConfigError(
            f"{name or 'A live run'} is not (or not the only such) live run in {artifacts}.",
            do=f"name one of: {', '.join(each.folder.name for each in runs[-6:]) or '(none yet)'}",
        )
    return newest(found)[0]


def _record_of(live: RunPaths) -> Iterable[tuple[int, Commit]]:
    from kitestring.domain.errors import ConfigError  # noqa: PLC0415 - --help must be fast
    from kitestring.store.run_reader import read_run  # noqa: PLC0415 - as above

    recorded = read_run(live)
    if recorded.sealed is None:
        raise ConfigError(
            f"{live.folder.name} is not finished, so its twin cannot be.",
            do="let the live day come to its end first",
        )
    return recorded.commits


def _wait_for(lock: InstanceLock) -> None:
    from kitestring.domain.errors import AnotherDayIsRunning  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.clocks import wall_seconds  # noqa: PLC0415 - as above

    given_up_at = wall_seconds() + _LOCK_WITHIN_S
    while True:
        try:
            lock.acquire()
        except AnotherDayIsRunning:
            if wall_seconds() >= given_up_at:
                raise
            time.sleep(0.1)
        else:
            return


def _heard(pipe: IO[bytes]) -> Iterator[bytes]:
    """Words until the live day closes the line, or dies."""
    from kitestring.engine.twin_line import LENGTH  # noqa: PLC0415 - --help must be fast

    while True:
        head = pipe.read(LENGTH)
        if len(head) < LENGTH:
            return
        word = pipe.read(length := int.from_bytes(head, "big"))
        if len(word) < length:
            return
        yield word
