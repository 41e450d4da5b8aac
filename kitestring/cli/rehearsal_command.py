"""The command that rehearses a live day: ``kitestring rehearsal``.

0    the exchange's books agree with the journal in everything
1    they do not, or the day could not be played
2    the command is wrong
130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import click

from kitestring.domain.errors import ConfigError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--speed", type=click.FloatRange(1, 600), default=300.0, show_default=True,
              help="Exchange seconds per second; it slows down by itself around orders.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Another market.")
@click.option(
    "--until", metavar="HH:MM", default="", help="Stop then, with Ctrl-C, not at the close."
)
@click.option("--faults", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Another fault script (docs/Exchange.md).")  # fmt: skip
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False),
              help="Where everything is kept; a temporary folder if left out.")  # fmt: skip
def rehearsal(
    *, speed: float, seed: int, until: str, faults: Path | None, folder: Path | None
) -> None:
    """Rehearse a whole live day on this machine: no account, no money, and everything goes wrong.

    Its own exchange, login, arming, a day at speed with faults on the way and one pulled plug; then a
    verdict from the exchange's books. The live day runs as you will run it, at another address.
    """
    from kitestring.cli.rehearsal import Rehearsal, verdict_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.rehearsal_script import FAULTS  # noqa: PLC0415 - as above

    if until:
        try:
            until = f"{dt.time.fromisoformat(until):%H:%M}"
        except ValueError as error:
            raise ConfigError(f"{until} is no time of day.", do="write --until 10:00") from error
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="kitestring-rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty.", do="name a new folder with --folder")
    played = Rehearsal(
        folder.resolve(),
        click.echo,
        speed=speed,
        seed=seed,
        until=until,
        faults=FAULTS if faults is None else faults.read_text(encoding="utf-8"),
    ).play()
    for line in verdict_lines(played, bool(until)):
        click.echo(line)
    if not played.holds:
        raise SystemExit(1)
