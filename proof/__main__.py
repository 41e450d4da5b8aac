"""``python -m proof``: tries everything Kitestring promises, and counts what broke."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proof.batches import BatchFile
    from proof.tier import Scale, Tier

FOLDER = Path("artifacts") / "proof"
_HELP = """Try everything Kitestring promises, and count what broke.

    \b
    python -m proof                      a proof: all tiers, under 45 minutes
    python -m proof --scale soak         a soak: hours; Ctrl-C and start it again as you like
    python -m proof --list               which tiers there are, and what each claims
    python -m proof --tier days          one tier only
    python -m proof --tier days --unit 7 one unit in this program, with its story

A tier is a claim and numbered units that could refute it; the same number is the same unit on every
machine. Units are lived in batches by as many programs as there are cores, each with a hash seed of its
own. Every finished batch is a line in artifacts/proof/SCALE.jsonl; after Ctrl-C, a kill or a power cut
the same command goes on where it stopped. Lines of other code (see proof/tree.py) are not counted.

A program that dies or hangs is a broken promise, too. What broke is told, and kept with its story in
artifacts/proof/broken/. Exits with 0 where everything was lived and nothing broke, with 1 where
something broke, with 130 after Ctrl-C.
"""


@click.command(help=_HELP)
@click.option(
    "--scale",
    type=click.Choice(["test", "proof", "soak"]),
    default="proof",
    show_default=True,
    help="How much of it.",
)
@click.option("--tier", "names", multiple=True, help="Only this tier (may be given again).")
@click.option("--unit", type=click.IntRange(min=1), help="Only this unit of the one tier, told.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="How many programs; as many as cores by default."
)
@click.option("--list", "listed", is_flag=True, help="Say which tiers there are, and end.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Where finished batches are kept.",
)
@click.option(
    "--fresh", is_flag=True, help="Begin anew; the old lines are kept under another name."
)
@click.option(
    "--write-page/--no-write-page",
    default=None,
    help="Write docs/proof.json and docs/Proof.md after a whole proof or soak [default: not in CI].",
)
@click.option("--page", is_flag=True, help="Only write docs/Proof.md again from docs/proof.json.")
@click.option(
    "--docs", type=click.Path(path_type=Path, file_okay=False), help="Where the two files are."
)
@click.option("--limit", type=float, help="Seconds after which a batch hangs, for every tier.")
@click.option("--tiers", "module", default="proof.tiers", hidden=True)
def proof(
    *,
    scale: str,
    names: tuple[str, ...],
    unit: int | None,
    workers: int | None,
    listed: bool,
    folder: Path,
    fresh: bool,
    write_page: bool | None,
    page: bool,
    docs: Path | None,
    limit: float | None,
    module: str,
) -> None:
    """See the help text."""
    from proof.page import write_page as write  # noqa: PLC0415 - --help must be fast
    from proof.tier import Scale  # noqa: PLC0415
    from proof.tree import ROOT  # noqa: PLC0415
    from proof.worker import tiers_of  # noqa: PLC0415

    docs = docs or ROOT / "docs"
    if page:
        write(docs)
        return
    every = tiers_of(module)
    unknown = sorted(set(names) - {tier.name for tier in every})
    if unknown:
        known = ", ".join(tier.name for tier in every)
        raise click.UsageError(f"There is no tier {unknown[0]!r}. There are: {known}.")
    chosen = [tier for tier in every if not names or tier.name in names]
    if listed:
        for tier in chosen:
            sizes = ", ".join(f"{tier.size[each]} in a {each}" for each in Scale)
            click.echo(f"{tier.name}: {tier.claim}\n    {tier.unit}: {sizes}")
        return
    if unit is not None:
        if len(chosen) != 1:
            raise click.UsageError("--unit needs one --tier.")
        sys.exit(_live_one(chosen[0], unit))
    code = _run(
        every,
        chosen,
        Scale(scale),
        folder=folder,
        fresh=fresh,
        workers=workers or os.cpu_count() or 1,
        limit=limit,
        module=module,
        docs=docs if (write_page if write_page is not None else not os.environ.get("CI")) else None,
    )
    sys.exit(code)


def _live_one(tier: Tier, unit: int) -> int:
    """Live a unit here and tell it."""
    from proof.batches import honest  # noqa: PLC0415

    outcome = honest(tier.name, unit, 1, tier.live(unit, 1))
    for broken in outcome.broken:
        click.echo(broken.story)
    if outcome.broken:
        return 1
    counts = ", ".join(f"{name} {count}" for name, count in sorted(outcome.counts.items()))
    click.echo(f"{tier.name}, unit {unit}: nothing broke. {counts}".rstrip())
    return 0


def _run(
    every: tuple[Tier, ...],
    chosen: list[Tier],
    scale: Scale,
    *,
    folder: Path,
    fresh: bool,
    workers: int,
    limit: float | None,
    module: str,
    docs: Path | None,
) -> int:
    """Live what waits, and say what came of it."""
    from kitestring.domain.errors import AnotherDayIsRunning  # noqa: PLC0415
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415
    from kitestring.store.instance_lock import InstanceLock  # noqa: PLC0415
    from proof.batches import BatchFile  # noqa: PLC0415
    from proof.tree import tree_hash  # noqa: PLC0415

    try:
        with InstanceLock(folder, started_at=wall_now(), name=str(scale)):
            file = BatchFile(folder / f"{scale}.jsonl", tree_hash())
            if fresh and (aside := file.set_aside()):
                click.echo(f"The old lines are in {aside}.")
            if file.others:
                click.echo(f"{file.others} batches of other code are not counted.")
            if file.batches:
                click.echo(f"{len(file.batches)} batches of this code are lived already.")
            _live(chosen, scale, file, folder=folder, workers=workers, limit=limit, module=module)
            return _tell(every, chosen, scale, file, docs)
    except AnotherDayIsRunning:
        click.echo(f"Another {scale} is under way in {folder}; this one did not start.", err=True)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("\nStopped. The same command goes on where it stopped.", err=True)
        return 130


def _live(
    chosen: list[Tier],
    scale: Scale,
    file: BatchFile,
    *,
    folder: Path,
    workers: int,
    limit: float | None,
    module: str,
) -> None:
    """Have everything lived that waits."""
    from rich.console import Console  # noqa: PLC0415

    from kitestring.engine.clocks import wall_seconds  # noqa: PLC0415
    from proof.progress import Display  # noqa: PLC0415
    from proof.runner import Runner  # noqa: PLC0415
    from proof.tree import commit_of  # noqa: PLC0415

    display = Display(
        chosen,
        scale,
        file,
        workers=workers,
        seconds=wall_seconds,
        console=Console(stderr=True),
        folder=folder / "broken",
    )
    runner = Runner(
        chosen,
        scale,
        file,
        display,
        commit=commit_of(),
        workers=workers,
        seconds=wall_seconds,
        module=module,
        limit_s=limit,
    )

    async def lived() -> None:
        task = asyncio.current_task()
        assert task is not None
        if sys.platform != "win32":
            for each in (signal.SIGTERM, signal.SIGHUP):  # asked to end; its terminal was closed
                asyncio.get_running_loop().add_signal_handler(each, task.cancel)
        await runner.run()

    with display:
        asyncio.run(lived())


def _tell(
    every: tuple[Tier, ...], chosen: list[Tier], scale: Scale, file: BatchFile, docs: Path | None
) -> int:
    """Print the table, write the page where the run is whole, and judge."""
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415
    from proof.page import table, write_page  # noqa: PLC0415
    from proof.summary import run_of, write_proof  # noqa: PLC0415
    from proof.tier import Scale  # noqa: PLC0415
    from proof.tree import commit_of  # noqa: PLC0415

    now, commit = wall_now(), commit_of()
    click.echo(table(run_of(chosen, scale, file, now=now, commit=commit)))
    run = run_of(every, scale, file, now=now, commit=commit)
    if docs is not None and scale is not Scale.TEST:
        if run.whole:
            write_proof(docs / "proof.json", run)
            write_page(docs)
            click.echo(f"Written: {docs / 'proof.json'} and {docs / 'Proof.md'}.")
        else:
            click.echo("Not every tier is lived; docs/Proof.md stays as it is.")
    broken = sum(each.violations for each in run.tiers if each.name in {t.name for t in chosen})
    return 1 if broken else 0


if __name__ == "__main__":
    proof(prog_name="python -m proof")
