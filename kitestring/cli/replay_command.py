"""``kitestring replay DAY``: a recorded day is decided again, and the first difference is named."""

from __future__ import annotations

import re
from pathlib import Path

import click


@click.command()
@click.argument("day", required=False)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where the runs are; artifacts/ if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def replay(day: str | None, *, artifacts: Path, as_json: bool) -> None:
    """Decide DAY again from its record, bit for bit, and name the first thing that differs.

    DAY is a date, or the name of a run or a part of it; the latest run if left out. Nothing is sent
    and nothing is changed. Exits with 1 where the replay and the journal part.
    """
    from kitestring.cli.answer_text import say  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.replay_run import replay_run, sentence_of  # noqa: PLC0415 - as above
    from kitestring.store.run_reader import chosen_run, read_run  # noqa: PLC0415 - as above

    is_date = day is not None and re.fullmatch(r"\d{4}-\d\d-\d\d", day) is not None
    paths = chosen_run(artifacts, run=None if is_date else day, day=day if is_date else None)
    done = replay_run(read_run(paths))
    if as_json:
        import msgspec  # noqa: PLC0415 - needed here only

        click.echo(msgspec.json.encode(done).decode())
    else:
        say(sentence_of(done, paths.folder))
    if done.replayed.difference is not None:
        raise SystemExit(1)
