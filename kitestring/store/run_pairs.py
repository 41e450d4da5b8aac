"""Live days and the paper days traded on the same ticks, in pairs: what real fills cost, over days.

A live run's partner is its twin; where it has none, a paper run of the same day on the same feed.
Only days that are over in both are a pair.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

from kitestring.domain.errors import StoreError
from kitestring.domain.events import RunOpened
from kitestring.domain.money import Money
from kitestring.store.journal import read_commits, sealed_by
from kitestring.store.paths import RunPaths, list_runs
from kitestring.store.run_reader import newest


class RunPair(NamedTuple):
    """One day, live and on paper; both results are after charges."""

    live: RunPaths
    paper: RunPaths
    live_net: Money
    paper_net: Money

    @property
    def date(self) -> dt.date:
        """The day."""
        return self.live.date


def pairs(artifacts: Path, *, until: dt.date | None = None) -> list[RunPair]:
    """Every pair there is, one a day (of several live runs the latest), in order of days."""
    runs = [run for run in list_runs(artifacts) if until is None or run.date <= until]
    found: dict[dt.date, RunPair] = {}
    for live in reversed(newest([run for run in runs if run.mode == "live"])):
        pair = _paired(live, [run for run in runs if run.date == live.date])
        if pair is not None:
            found[live.date] = pair
    return [found[day] for day in sorted(found)]


def pair_of(live: RunPaths) -> RunPair | None:
    """The pair of one live run, if its day is over and there is a partner."""
    return _paired(live, [run for run in list_runs(live.artifacts) if run.date == live.date])


def _paired(live: RunPaths, same_day: list[RunPaths]) -> RunPair | None:
    net, opened = _sealed_net(live), _opened(live)
    if net is None or opened is None:
        return None
    others = newest([run for run in same_day if run.mode != "live"])
    for wanted in ("twin", "paper"):
        for paper in others:
            if paper.mode != wanted:
                continue
            theirs = _opened(paper)
            if theirs is None or theirs.feed != opened.feed:
                continue
            if wanted == "twin" and theirs.beside != live.folder.name:
                continue
            paper_net = _sealed_net(paper)
            if paper_net is not None:
                return RunPair(live, paper, net, paper_net)
    return None


def _opened(run: RunPaths) -> RunOpened | None:
    """A run's first record; ``None`` where it cannot be read."""
    try:
        first = next(iter(read_commits(run.journal)), None)
    except StoreError:
        return None
    facts = () if first is None else first[1].facts
    return next((fact for fact in facts if isinstance(fact, RunOpened)), None)


def _sealed_net(run: RunPaths) -> Money | None:
    """What a finished run made; ``None`` for one that is not, or cannot be read."""
    try:
        found = sealed_by(run.journal) if run.journal.exists() else None
    except StoreError:
        return None
    return None if found is None else Money(found[0].net)
