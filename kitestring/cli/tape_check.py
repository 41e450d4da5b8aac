"""``kitestring tape check``: what a recording holds and what is wrong with it, before it is traded."""

from __future__ import annotations

from pathlib import Path

from kitestring.domain.errors import FeedError
from kitestring.market.sessions import sessions_for
from kitestring.store.recording_check import check


def check_lines(path: Path) -> tuple[list[str], bool]:
    """The report as a person reads it, and whether the recording can be played.

    Raises ``FeedError`` if there is nothing to read at ``path``.
    """
    if not path.exists():
        raise FeedError(
            f"There is nothing at {path}.", do="Give a folder with one CSV file per instrument."
        )
    report = check(path, sessions_for)
    return report.lines(), report.playable
