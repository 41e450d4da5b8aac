"""Takes a live day up again from its journal: what is restored, and what the broker must be told of it.

Nothing is decided again and nothing is sent again. The broker hears every order the journal holds and
looks for those of which it does not know what became.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kitestring.core.trading_core import TradingCore
from kitestring.domain.errors import JournalDamaged
from kitestring.domain.events import Gap
from kitestring.domain.instants import Instant
from kitestring.domain.ports import Manifest
from kitestring.domain.verdicts import CancelOrder, Command, ModifyOrder, PlaceOrder
from kitestring.engine.recovery import Story, restore, still_unanswered
from kitestring.store.journal import SqliteJournal
from kitestring.store.owned_file import OwnedFile
from kitestring.store.paths import RunPaths
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader

NOT_RUNNING: Final = "the house was not running"
"""The reason of a gap between two lives of the house."""


def taken_up(
    core: TradingCore, journal: SqliteJournal, story: Story, paths: RunPaths, now: Instant
) -> Gap | None:
    """Restore the house; the time in which nobody looked comes back as a gap."""
    if story.last is None:
        return None
    reader = TapeReader(paths.tape)
    whole = min(story.last.tape_offset, reader.end())
    reached = restore(core, journal, story, reader.records(whole))
    start_at = min(reached or story.last.at, story.last.at)
    return Gap(start_at=start_at, end_at=max(now, start_at), reason=NOT_RUNNING)


def refuse_shortened(journal: SqliteJournal, artifacts: Path, paths: RunPaths) -> None:
    """Raise ``JournalDamaged`` where the journal ends before what the house has shown already.

    SQLite takes a damaged page in its log for the log's end: commits that were on disk are then gone
    without a word. What is owned is written down after each commit, so it can never be ahead.
    """
    shown = OwnedFile(artifacts).read()
    if shown is None or shown.run != paths.folder.name or shown.commit <= journal.count:
        return
    raise JournalDamaged(
        f"The journal {journal.path} ends at commit {journal.count}, but the house had come to commit "
        f"{shown.commit}: its last commits are lost, and orders in them would not be known.",
        do="restore the journal with its -wal file from a copy; or see orders and positions at the "
        "broker, close what is the house's, and start with --fresh",
    )


def opened_tape(paths: RunPaths, story: Story, manifest: Manifest) -> FileTape:
    """The day's tape, to be written on where the journal ends."""
    if story.last is None:
        # Killed before its first commit: what the tape holds was never part of the day.
        paths.tape.unlink(missing_ok=True)
        return FileTape.begin(paths.tape, manifest, durable=True)
    end = TapeReader(paths.tape).end()
    if end < story.last.tape_offset:
        return FileTape.reopen(paths.tape, end)
    return FileTape.resume(paths.tape, story.last.tape_offset, story.last.tape_hash)


def waiting_changes(core: TradingCore, story: Story) -> list[ModifyOrder | CancelOrder]:
    """Changes and cancellations that were committed and may never have been answered."""
    return [
        unanswered.command
        for unanswered in still_unanswered(core, story)
        if isinstance(unanswered.command, ModifyOrder | CancelOrder)
    ]


def sent_today(journal: SqliteJournal) -> list[Command]:
    """Everything that was committed to be sent today, in order."""
    return [
        fact
        for _, commit in journal.commits()
        for fact in commit.facts
        if isinstance(fact, PlaceOrder | ModifyOrder | CancelOrder)
    ]
