"""The questions a person asks of a day, as they are typed; each answers from the record of a run.

Nothing here changes anything. Without ``--run`` or ``--day`` the latest run is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kitestring.domain.errors import ConfigError, HouseError, StoreError
from kitestring.domain.instants import Instant

if TYPE_CHECKING:
    from kitestring.cli.status_lines import Status
    from kitestring.engine.live_standing import LiveStanding
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


@click.command()
@click.argument("order")
@_of_a_run
def explain(
    order: str, *, day: str | None, run: str | None, artifacts: Path, as_json: bool
) -> None:
    """Tell the whole way of ORDER: our tag, the broker's id, a fill's id or a round trip's id.

    Tick, bar, signal, verdict, order, reports, fills, round trip: with times and delays.
    """
    from kitestring.cli.explain_lines import explain_answer, explain_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.order_story import explain as told  # noqa: PLC0415 - as above

    recorded = _recorded(artifacts, run, day)
    explained = told(recorded, order)
    if as_json:
        _say_json(explain_answer(explained, recorded))
    else:
        _say(explain_lines(explained, recorded))


@click.command()
@_artifacts
@_as_json
def days(*, artifacts: Path, as_json: bool) -> None:
    """List every run: date, market, how far it came, orders, trades, net. The newest comes last."""
    from kitestring.cli.run_lines import days_answer, days_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.run_card import figures  # noqa: PLC0415 - as above
    from kitestring.store.run_reader import every_run  # noqa: PLC0415 - as above

    runs = [figures(paths) for paths in every_run(artifacts)]
    if as_json:
        _say_json(days_answer(runs))
    elif runs:
        _say(days_lines(runs))
    else:
        click.echo(f"No runs in {artifacts} yet; python -m scripts.run_day trades a first one.")


@click.command()
@click.argument("first", required=False)
@click.argument("second", required=False)
@_artifacts
@_as_json
def compare(first: str | None, second: str | None, *, artifacts: Path, as_json: bool) -> None:
    """Set two runs side by side: figures, decision by decision, and where the rupees come from.

    FIRST and SECOND are names of runs (kitestring days lists them), or parts that only one has.
    Left out, they are the two latest runs, the older one first.
    """
    from kitestring.cli.run_lines import compare_answer, compare_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.comparison import compare as compared  # noqa: PLC0415 - as above

    if first is None:
        first = _one_before_the_latest(artifacts)
    found = compared(_recorded(artifacts, first, None), _recorded(artifacts, second, None))
    if as_json:
        _say_json(compare_answer(found))
    else:
        _say(compare_lines(found))


@click.command()
@click.argument("run", required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="FILE.csv, with the fills beside it in FILE-fills.csv; or FILE.xlsx, with both.",
)
@click.option("--day", type=_Day(), help="The latest run of this day.")
@_artifacts
def export(run: str | None, *, target: Path, day: str | None, artifacts: Path) -> None:
    """Write the round trips and fills of RUN (the latest, if left out) for a spreadsheet."""
    from kitestring.store.spreadsheet import export_run  # noqa: PLC0415 - --help must be fast

    recorded = _recorded(artifacts, run, day)
    for path, rows, what in export_run(recorded, target):
        click.echo(f"{path}: {rows} {what} of {recorded.run}")


@click.group()
def journal() -> None:
    """The record of a run."""


@journal.command("verify")
@click.argument("run", required=False)
@_artifacts
@_as_json
def journal_verify(run: str | None, *, artifacts: Path, as_json: bool) -> None:
    """Read the whole journal of RUN (the latest, if left out) and say how far it is true.

    RUN is the name of a run, a part of it, or the path of a journal. Exits with 4 on damage.
    """
    from kitestring.cli.run_lines import verify_lines  # noqa: PLC0415 - --help must be fast
    from kitestring.store.run_reader import verify_run  # noqa: PLC0415 - as above

    path = Path(run) if run is not None and Path(run).is_file() else None
    if path is None:
        path = _chosen(artifacts, run, None).journal
    result, running = verify_run(path)
    if as_json:
        _say_json(result)
    else:
        _say(verify_lines(result, running=running))
    if result.damage:
        raise SystemExit(StoreError.exit_code)


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["paper", "live", "twin"]),
    help="Which state; if left out, a live day that runs, or else the latest of the two.",
)
@_artifacts
@_as_json
def status(*, mode: str | None, artifacts: Path, as_json: bool) -> None:
    """Say how the day stands: fits a phone, and works while the day runs.

    A live day that runs is asked itself; anything else is told from its state file, with its age.
    """
    from kitestring.cli.status_lines import live_lines, status_answer, status_lines  # noqa: PLC0415 - --help must be fast

    live, why = _asked_itself(artifacts) if mode != "paper" else (None, "")
    if live is not None:
        if as_json:
            _say_json(live)
        else:
            _say(live_lines(live))
        return
    found = _status(artifacts, mode or _latest_mode(artifacts))
    if as_json:
        _say_json(status_answer(found))
    else:
        _say(status_lines(found) + ([why] if why else []))


@click.command("rules-of-risk")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; configs/paper.yaml if left out.",
)
@_artifacts
@_as_json
def rules_of_risk(*, config: Path | None, artifacts: Path, as_json: bool) -> None:
    """List every limit: key, code, meaning, its value today, and how much of it is used."""
    from kitestring.cli.config import DEFAULT_FILE, load_config  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.status_lines import rules_answer, rules_lines  # noqa: PLC0415 - as above
    from kitestring.engine.risk_rules import rules  # noqa: PLC0415 - as above
    from kitestring.store.state_store import StateStore  # noqa: PLC0415 - as above

    file = load_config(DEFAULT_FILE if config is None else config)
    found = rules(file.config.risk, file.config.trading.capital)
    state = StateStore(_state_file(artifacts, file.config.trading.mode.value)).load()
    used = {} if state is None else state.risk.limits
    if as_json:
        _say_json(rules_answer(found, used))
    else:
        _say(rules_lines(found, used, file.name, "" if state is None else state.run))


ANSWERS = (why, explain, status, rules_of_risk, days, compare, export, journal)
"""Every question there is."""


def _state_file(artifacts: Path, mode: str) -> Path:
    return artifacts / "checkpoints" / f"{mode}_state_latest.json"


def _latest_mode(artifacts: Path) -> str:
    """The mode whose state was written last."""
    written = {
        mode: file.stat().st_mtime
        for mode in ("paper", "live")
        if (file := _state_file(artifacts, mode)).exists()
    }
    return max(written, key=written.__getitem__, default="paper")


def _asked_itself(artifacts: Path) -> tuple[LiveStanding | None, str]:
    """What a live day says of itself; or nothing, and why where one runs but does not answer."""
    if not any((artifacts / "live" / name).exists() for name in ("control.sock", "control.path")):
        return None, ""  # a paper day's status does not wait for the programs of a live one
    from kitestring.cli.control_line import NoAnswer, NoEngine, ask  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.control_words import Asked  # noqa: PLC0415 - as above

    try:
        return ask(artifacts, Asked(word="status")).standing, ""
    except NoEngine:
        return None, ""
    except NoAnswer as silent:
        return None, str(silent)


def _status(artifacts: Path, mode: str) -> Status:
    from kitestring.cli.status_lines import Status  # noqa: PLC0415 - --help must be fast
    from kitestring.engine.clocks import wall_now  # noqa: PLC0415 - as above
    from kitestring.store.event_tail import last_refusal  # noqa: PLC0415 - as above
    from kitestring.store.run_reader import every_run  # noqa: PLC0415 - as above
    from kitestring.store.state_store import StateStore  # noqa: PLC0415 - as above
    from kitestring.store.tape_reader import TapeReader  # noqa: PLC0415 - as above

    path = _state_file(artifacts, mode)
    state = StateStore(path).load()
    if state is None:
        raise ConfigError(
            f"No {mode} day has been traded in {artifacts} yet.",
            do="trade one: python -m scripts.run_day; or name the folder with --artifacts",
        )
    age_s = wall_now() / 1_000_000 - path.stat().st_mtime
    run = next((one for one in every_run(artifacts) if one.folder.name == state.run), None)
    session = None
    if run is not None:
        with suppress(HouseError):  # without its tape the clock is shown, but not the progress
            sessions = TapeReader(run.tape).manifest.sessions.values()
            session = max(sessions, key=lambda one: one.close_at - one.open_at, default=None)
    return Status(
        state=state,
        how=None if run is None else run.state(),
        session=session,
        refusal=None if run is None else last_refusal(run.events, state.run),
        age_s=age_s,
    )


def _chosen(artifacts: Path, run: str | None, day: str | None) -> RunPaths:
    from kitestring.store.run_reader import chosen_run  # noqa: PLC0415 - --help must be fast

    return chosen_run(artifacts, run=run, day=day)


def _recorded(artifacts: Path, run: str | None, day: str | None) -> Recorded:
    from kitestring.store.run_reader import read_run  # noqa: PLC0415 - --help must be fast

    return read_run(_chosen(artifacts, run, day))


def _one_before_the_latest(artifacts: Path) -> str:
    from kitestring.store.run_reader import chosen_run, every_run, newest  # noqa: PLC0415 - --help must be fast

    latest = chosen_run(artifacts)
    others = newest([one for one in every_run(artifacts) if one != latest])
    if not others:
        raise ConfigError(
            f"There is only one run in {artifacts}, and nothing to compare it with.",
            do="trade another: python -m scripts.run_day --seed 2, or with other settings",
        )
    return others[0].folder.name


def _instant(recorded: Recorded, time_of_day: int) -> Instant:
    import datetime as dt  # noqa: PLC0415 - needed here only

    from kitestring.domain.instants import instant  # noqa: PLC0415 - as above

    return instant(recorded.paths.date, dt.time()) + time_of_day


def _say(lines: list[str]) -> None:
    from kitestring.cli.answer_text import say  # noqa: PLC0415 - --help must be fast

    say(lines)


def _say_json(answer: object) -> None:
    import msgspec  # noqa: PLC0415 - --help must be fast

    click.echo(msgspec.json.Encoder(decimal_format="number").encode(answer).decode())
