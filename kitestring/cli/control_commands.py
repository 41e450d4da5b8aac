"""A live day from a second terminal: ``kitestring halt``, ``flatten``, ``reconcile``, ``resolve``.

0    the day has done it (or HALT is on disk: for halt no day runs, for flatten the guard acts on it)
1    the day runs and has not confirmed it, or no day runs that could do it
2    the command is wrong
4    HALT could not be written
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kitestring.engine.control_words import Answered, Asked

_EPILOG = """\b
Exit codes:
  0    done, and the day has confirmed it
  1    no live day runs here, or it did not do it: the sentence says why
  2    the command is wrong
  4    HALT could not be written to disk
"""
_artifacts = click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="The folder of the day; artifacts/ if left out.",
)
_reason = click.option("--reason", default="", help="Why; it stands in the journal.")


@click.command(epilog=_EPILOG)
@_reason
@click.option("--lift", is_flag=True, help="Take the HALT file away again.")
@_artifacts
def halt(*, reason: str, lift: bool, artifacts: Path) -> None:
    """Enter nothing any more: stops and exits go on.

    Writes the file artifacts/live/HALT first, so that it holds even if the engine hangs, and over
    every restart; then waits until the running day says that entries are blocked.

    --lift takes the file away. It arms nothing: a day that was halted stays halted, and the next
    one is armed again by a person (kitestring morning).
    """
    import time  # noqa: PLC0415 - --help must be fast

    from kitestring.cli.control_line import NoAnswer, NoEngine, ask  # noqa: PLC0415 - as above
    from kitestring.engine.arming import ArmingFile  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above
    from kitestring.engine.control_words import Asked  # noqa: PLC0415 - as above
    from kitestring.store.halt_file import HaltedBy, HaltFile  # noqa: PLC0415 - as above

    halts = HaltFile(artifacts)
    if lift:
        lifted = halts.lift()
        if lifted is None:
            click.echo(f"No HALT stands in {artifacts}.")
            return
        click.echo(
            f"Lifted: {lifted.sentence}\nNothing is armed by that: a day that was halted stays "
            "halted until its end; the next start asks for the phrase (kitestring morning)."
        )
        return
    began = time.monotonic()
    standing = halts.write(HaltedBy.OPERATOR, reason or "said at a second terminal", wall_now())
    written_ms = (time.monotonic() - began) * 1000
    # An arming of this morning must not survive a halt.
    ArmingFile(artifacts).clear()
    try:
        answer = ask(artifacts, Asked(word="halt", reason=reason))
    except NoEngine as none:
        click.echo(f"{standing.sentence}\n{none.what} Whatever starts there enters nothing until")
        click.echo("  kitestring halt --lift")
        return
    except NoAnswer:
        click.echo(
            f"HALT is on disk ({written_ms:.0f} ms): the engine looks there before every entry it "
            "sends. But it has not confirmed it.",
            err=True,
        )
        raise
    took_ms = (time.monotonic() - began) * 1000
    _say(answer)
    click.echo(f"Confirmed {took_ms:.0f} ms after the command. HALT stands; see --lift.")


@click.command(epilog=_EPILOG)
@_reason
@_artifacts
def flatten(*, reason: str, artifacts: Path) -> None:
    """Close everything the house owns, and enter nothing any more today.

    Only what the house itself opened is closed, never more than the broker confirms. The day goes
    on until all is flat: kitestring status shows it.

    Where the day has died or does not answer, the wish is written into the file artifacts/live/HALT:
    its guard then takes over and closes all. That HALT stands until kitestring halt --lift.
    """
    from kitestring.cli.control_line import NoAnswer, NoEngine, ask  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.control_words import Asked  # noqa: PLC0415 - as above
    from kitestring.store.owned_file import OwnedFile  # noqa: PLC0415 - as above

    try:
        answer = ask(artifacts, Asked(word="flatten", reason=reason))
    except NoEngine:
        owned = OwnedFile(artifacts).read()
        if owned is None or owned.ended:
            raise  # No day of this folder is under way, so no guard is, either.
        _left_to_the_guard(artifacts, reason, "The live day has died")
    except NoAnswer:
        _left_to_the_guard(artifacts, reason, "The live day does not answer")
    else:
        _say(answer)


def _left_to_the_guard(artifacts: Path, reason: str, what: str) -> None:
    """Write the wish down for the guard, and say whether one is there to read it."""
    from kitestring.domain.errors import HouseError  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.arming import ArmingFile  # noqa: PLC0415 - as above
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above
    from kitestring.engine.guard_story import guard_lives  # noqa: PLC0415 - as above
    from kitestring.store.halt_file import HaltedBy, HaltFile  # noqa: PLC0415 - as above

    why = reason or "flatten, said at a second terminal"
    halt = HaltFile(artifacts).write(HaltedBy.OPERATOR, why, wall_now(), flatten=True)
    ArmingFile(artifacts).clear()
    written = f"{what}. HALT is on disk and asks to flatten; {halt.sentence}"
    if not guard_lives(artifacts):
        raise HouseError(
            f"{written} But no guard lives here: NOBODY closes what is open.",
            do="close it at the broker now; or start the day again, which then closes all",
        )
    click.echo(
        f"{written}\nThe guard is there: within half a minute it ends the engine, withdraws our orders "
        "and closes what we own.\nSee artifacts/live/guard.log, and your positions at the broker."
    )


@click.command(epilog=_EPILOG)
@_artifacts
def reconcile(*, artifacts: Path) -> None:
    """Read the broker's books now and compare them with the house's own.

    Exits with 1 where they could not be read or do not agree.
    """
    from kitestring.engine.control_words import Asked  # noqa: PLC0415 - --help must be fast

    _ask(artifacts, Asked(word="reconcile"))


@click.command(epilog=_EPILOG)
@click.argument("symbol")
@click.argument("resolution", type=click.Choice(["adopt", "release", "flatten"]))
@_reason
@_artifacts
def resolve(symbol: str, resolution: str, *, reason: str, artifacts: Path) -> None:
    """Decide about a position in SYMBOL that the house cannot explain.

    adopt: the broker's net is ours now. release: it is not ours any more, the house forgets it.
    flatten: close what the broker confirms. SYMBOL is a contract's name, with or without exchange.
    """
    from kitestring.engine.control_words import Asked  # noqa: PLC0415 - --help must be fast

    _ask(
        artifacts,
        Asked(word="resolve", symbol=symbol, resolution=resolution, reason=reason),
    )


def _ask(artifacts: Path, asked: Asked) -> None:
    from kitestring.cli.control_line import ask  # noqa: PLC0415 - --help must be fast

    _say(ask(artifacts, asked))


def _say(answer: Answered) -> None:
    click.echo(answer.says, err=not answer.ok)
    if answer.do:
        click.echo(f"  → {answer.do}", err=True)
    if not answer.ok:
        raise SystemExit(1)


CONTROLS = (halt, flatten, reconcile, resolve)
