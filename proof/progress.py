"""Shows how far a proof has come: a bar for each tier on a terminal, at most a line a minute elsewhere.

The time left is a guess from the batches lived so far; of a tier that has not begun, it is what its
batches are meant to take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from proof.batches import Batch, BatchFile
from proof.tier import Scale, Tier

_A_BATCH_S: Final = 10.0
"""What a batch is meant to take."""
LINE_EVERY_S: Final = 60.0
STORIES: Final = 10
"""So many stories are told on the way; the rest lie in the folder."""


class _Way:
    """One tier's way so far."""

    def __init__(self, tier: Tier, size: int, file: BatchFile) -> None:
        self.tier = tier
        self.size = size
        self.done = self.lived = self.broken = 0
        self.seconds = 0.0
        for batch in file.of(tier):
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """One more batch."""
        self.done += len(batch.units())
        self.lived += batch.count
        self.broken += len(batch.outcome.broken)
        self.seconds += batch.seconds

    @property
    def left_s(self) -> float:
        """Of one core."""
        each = self.seconds / self.lived if self.lived else _A_BATCH_S / self.tier.batch
        return max(self.size - self.done, 0) * each


def duration(seconds: float) -> str:
    """``2 h 05 min``, ``7 min``, ``40 s``."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


class Display:
    """The runner's watcher for people, and the keeper of stories."""

    def __init__(
        self,
        tiers: Sequence[Tier],
        scale: Scale,
        file: BatchFile,
        *,
        workers: int,
        seconds: Callable[[], float],
        console: Console,
        folder: Path,
    ) -> None:
        self._ways = {tier.name: _Way(tier, tier.size[scale], file) for tier in tiers}
        self._workers = workers
        self._seconds = seconds
        self._console = console
        self._folder = folder
        self._told = 0
        self._said_at = seconds()
        self._began = seconds()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
                TextColumn("{task.fields[broken]}"),
                TextColumn("{task.fields[left]}"),
                console=console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            for name, way in self._ways.items():
                self._tasks[name] = self._bars.add_task(
                    name, total=way.size, unit=way.tier.unit, broken="", left=""
                )
                self._show(name)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def told(self, batch: Batch) -> None:
        """See ``Watcher``."""
        self._ways[batch.tier].add(batch)
        for broken in batch.outcome.broken:
            text = (
                f"{broken.story}\nSee it again: {broken.again} (PYTHONHASHSEED={batch.hash_seed})\n"
            )
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{batch.tier}-{broken.seed}.txt").write_text(text, encoding="utf-8")
            self._told += 1
            if self._told <= STORIES:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            if self._told == STORIES:
                self._console.print(f"Further stories only in {self._folder}.", markup=False)
        if self._bars is not None:
            self._show(batch.tier)
        elif self._seconds() - self._said_at >= LINE_EVERY_S:
            self._said_at = self._seconds()
            self._console.print(self.line(), markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """Everything in a line."""
        ways = ", ".join(
            f"{name} {way.done}/{way.size}" + (f" ({way.broken} broken)" if way.broken else "")
            for name, way in self._ways.items()
            if way.done
        )
        lived = duration(self._seconds() - self._began)
        return f"after {lived}: {ways}; about {duration(self.left_s)} left"

    @property
    def left_s(self) -> float:
        """A guess, of the clock on the wall."""
        ways = self._ways.values()
        alone = sum(way.left_s for way in ways if way.tier.alone)
        return alone + sum(way.left_s for way in ways if not way.tier.alone) / self._workers

    def _show(self, name: str) -> None:
        assert self._bars is not None
        way = self._ways[name]
        lanes = 1 if way.tier.alone else self._workers
        self._bars.update(
            self._tasks[name],
            completed=way.done,
            broken=f"[red]{way.broken} broken[/red]" if way.broken else "[green]0 broken[/green]",
            left=f"{duration(way.left_s / lanes)} left" if way.done < way.size else "",
        )
