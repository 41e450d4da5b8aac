"""The command that trades one day, exactly as it is typed.

It checks what was asked before anything is started, refuses what is not built yet in one sentence,
and answers with an exit code that a script can rely on:

    0    the day finished, or there was nothing to trade (--engines none)
    1    something failed; what was traded is in the journal
    2    the command or the settings file is wrong
    3    the market data cannot be read
    4    the journal cannot be written or read, or another day is running here
    5    no calendar is held for that date
    130  interrupted (Ctrl-C): clean, and the same command goes on from there
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import click

from kitestring import __version__
from kitestring.domain.errors import ConfigError, HouseError

if TYPE_CHECKING:
    from kitestring.cli.day_request import DayRequest
    from kitestring.engine.day_rows import DaysResult
    from kitestring.engine.many_days import DaysWatcher
    from kitestring.engine.watching import DayResult, Watcher

INTERRUPTED = 130
_EXIT_CODES = """\b
Exit codes:
  0    the day finished, or nothing was to be traded (--engines none)
  1    something failed; what was traded is in the journal
  2    the command or the settings file is wrong
  3    the market data cannot be read
  4    the journal cannot be kept or read, or another day is running here
  5    no calendar is held for that date
  130  interrupted (Ctrl-C); the same command goes on from there
"""

RunDay = Callable[["DayRequest", "Watcher"], "DayResult"]
RunDays = Callable[["DayRequest", "DaysWatcher"], "DaysResult"]


class RunToday(Protocol):
    """What trades a day that happens now."""

    def __call__(
        self, request: DayRequest, watcher: Watcher, say: Callable[[str], object], *, login: bool
    ) -> DayResult | None:
        """``None`` where there is nothing to trade today."""
        ...


class _Speed(click.ParamType[float]):
    """``max``, or market seconds per second."""

    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Zero stands for ``max``."""
        text = str(value).lower()
        if text == "max":
            return 0.0
        try:
            speed = float(text)
        except ValueError:
            speed = 0.0
        if not 0 < speed < 1e6:
            self.fail(f"{value} is no speed; say 1, 60 or max", param, ctx)
        return speed


class Day(click.ParamType[dt.date]):
    """An ISO date."""

    name = "YYYY-MM-DD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.date:
        """Only a full date is a date."""
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is no date; write it as 2026-11-20", param, ctx)


@click.command(
    "run-day",
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; configs/paper.yaml if left out.",
)
@click.option(
    "--mode",
    type=click.Choice(["paper", "live"]),
    help="Paper unless the settings file says otherwise.",
)
@click.option(
    "--engines",
    type=click.Choice(["none", "all", "fno", "equity", "options"]),
    help="Which of the configured instruments trade: none only checks the settings.",
)
@click.option("--login", is_flag=True, help="Log in to Kite first; paper needs no login.")
@click.option(
    "--no-guard", is_flag=True, help="Live: keep no guard beside it, because one runs elsewhere."
)
@click.option(
    "--feed",
    type=click.Choice(["synthetic", "tape", "bars", "kite"]),
    help="Market; synthetic if left out, kite is today's own ticks.",
)
@click.option(
    "--tape",
    type=click.Path(path_type=Path),
    help="Folder or file with a recorded day, for --feed tape.",
)
@click.option(
    "--bars",
    type=click.Path(path_type=Path),
    multiple=True,
    help="File of 1-minute bars, for --feed bars; once for each instrument.",
)
@click.option("--from", "first", type=Day(), help="First day of the bars; all if left out.")
@click.option("--to", "last", type=Day(), help="Last day of the bars.")
@click.option(
    "--days",
    type=click.IntRange(1, 250),
    help="Trading days of the synthetic market, one after the other; 1 if left out.",
)
@click.option("--date", type=Day(), help="Trading day; the feed's own if left out.")
@click.option(
    "--speed",
    type=_Speed(),
    default="max",
    metavar="[1|60|max]",
    help="Market seconds per second; max if left out.",
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("artifacts"),
    help="Where journal, checkpoints and CSV files go; artifacts/ if left out.",
)
@click.option(
    "--paper-twin", is_flag=True, help="With --mode live: the same day on paper beside it."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the synthetic market.")
@click.option(
    "--fresh", is_flag=True, help="Begin a new run even if this one exists; deletes nothing."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON summary, and nothing else, on stdout."
)
@click.option(
    "--charges-as-of",
    type=Day(),
    help="Use the charge rates of this date, for a day older than the rates we hold.",
)
@click.version_option(__version__, prog_name="kitestring")
@click.pass_context
def run_day(
    context: click.Context,
    *,
    config: Path | None,
    mode: str | None,
    engines: str | None,
    login: bool,
    no_guard: bool,
    feed: str | None,
    tape: Path | None,
    bars: tuple[Path, ...],
    first: dt.date | None,
    last: dt.date | None,
    days: int | None,
    date: dt.date | None,
    speed: float,
    artifacts: Path,
    paper_twin: bool,
    seed: int | None,
    fresh: bool,
    as_json: bool,
    charges_as_of: dt.date | None,
) -> None:
    """Trade one day of the Indian market, on paper unless told otherwise.

    Without options: a synthetic NSE day with configs/paper.yaml. The same command again goes on
    with an interrupted day, or shows the report of a finished one. With --days, or with bars, many
    days are traded one after the other, and cash, positions and strategies go on overnight.
    """
    from kitestring.cli.config import DEFAULT_FILE, DEFAULT_LIVE, Engines, Mode, load_config  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.day_request import DayRequest  # noqa: PLC0415 - as above

    if engines == "options":
        raise ConfigError(_NO_OPTIONS)
    asked = None if mode is None else Mode(mode)
    file = None
    if asked is not Mode.PAPER:
        chosen = DEFAULT_LIVE if asked is Mode.LIVE and config is None else config
        file = load_config(DEFAULT_FILE if chosen is None else chosen, asked)
        if file.config.trading.mode is Mode.LIVE:
            _refuse_live(feed, tape, bars, first or last, days, date)
    if feed is None:
        feed = "bars" if bars else "synthetic" if tape is None else "tape"
    if feed == "tape" and tape is None:
        raise click.UsageError("--feed tape needs --tape PATH, the recorded day to trade.")
    if feed != "tape" and tape is not None:
        raise click.UsageError("--tape goes with --feed tape.")
    if feed == "tape" and seed is not None:
        raise click.UsageError("--seed is of the synthetic market; a tape has none.")
    if feed == "kite" and (date is not None or days is not None or speed or seed is not None):
        raise click.UsageError(
            "--feed kite is today's market as it comes: leave --date, --days, --speed and --seed out."
        )
    _refuse_days(feed, bars=bool(bars), between=first or last, days=days, date=date)
    if first is not None and last is not None and first > last:
        raise click.UsageError(f"--from {first} lies after --to {last}.")

    if file is None:
        file = load_config(DEFAULT_FILE if config is None else config, asked)
    trading = file.config.trading
    live = trading.mode is Mode.LIVE
    if paper_twin and not live:
        raise click.UsageError("--paper-twin goes with --mode live: paper needs no twin.")
    chosen_engines = trading.engines if engines is None else Engines(engines)
    if chosen_engines is Engines.OPTIONS:
        raise ConfigError(f"{file.where('trading', 'engines')} asks for options. {_NO_OPTIONS}")
    if login and not live and feed != "kite":
        click.echo("Paper needs no login; going on without one.", err=True)
    if chosen_engines is Engines.NONE:
        _say_in_order(file.name, len(file.config.strategies), as_json=as_json)
        return
    request = DayRequest(
        file=file,
        engines=chosen_engines,
        feed=feed,
        tape=tape,
        date=date,
        speed=speed or None,
        artifacts=artifacts,
        seed=file.config.paper.seed if seed is None else seed,
        fresh=fresh,
        charges_as_of=charges_as_of,
        bars=bars,
        first=first,
        last=last,
        days=days or 1,
        guarded=not no_guard,
        paper_twin=paper_twin,
    )
    if live:
        from kitestring.cli.live_run import run_live_day  # noqa: PLC0415 - --help must be fast

        _trade_now(run_live_day, request, login=login, as_json=as_json)
        return
    if feed == "kite":
        from kitestring.cli.paper_kite import run_paper_on_kite  # noqa: PLC0415 - as above

        _trade_now(run_paper_on_kite, request, login=login, as_json=as_json)
        return
    if request.many:
        _trade_many(request, context.obj, as_json=as_json)
        return
    _trade(request, _day_of(context), as_json=as_json)


def _refuse_days(
    feed: str, *, bars: bool, between: dt.date | None, days: int | None, date: dt.date | None
) -> None:
    """Options of one market that were typed with another."""
    if feed == "bars":
        if not bars:
            raise click.UsageError("--feed bars needs --bars FILE, your 1-minute bars.")
        if date is not None or days is not None:
            raise click.UsageError("Bars know their days: choose among them with --from and --to.")
        return
    if bars:
        raise click.UsageError("--bars goes with --feed bars.")
    if between is not None:
        raise click.UsageError("--from and --to go with --feed bars; say --date and --days.")
    if feed == "tape" and days is not None:
        raise click.UsageError("--days is of the synthetic market; a tape holds one day.")


def _refuse_live(
    feed: str | None,
    tape: Path | None,
    bars: tuple[Path, ...],
    between: dt.date | None,
    days: int | None,
    date: dt.date | None,
) -> None:
    """A live day is today's, on the broker's own ticks."""
    if feed is not None or tape is not None or bars or between or days is not None or date:
        raise click.UsageError(
            "Live trades today on Kite's own ticks: leave --feed, --tape, --bars, --from, --to, "
            "--days and --date out, or say --mode paper."
        )


def _trade_now(run: RunToday, request: DayRequest, *, login: bool, as_json: bool) -> None:
    from kitestring.cli.console import console_for  # noqa: PLC0415 - --help must be fast

    console = console_for(sys.stderr if as_json else sys.stdout, sys.stdin)
    try:
        result = run(request, console, console.line, login=login)
    finally:
        console.close()
    if result is None:
        return
    if as_json:
        import msgspec  # noqa: PLC0415 - --help must be fast

        click.echo(msgspec.json.Encoder(decimal_format="number").encode(result.summary()))
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


_NO_OPTIONS = "Options are not built yet: say --engines fno for futures, equity for shares, or all."


def _day_of(context: click.Context) -> RunDay:
    """What trades the day: injected by a test, the real assembly otherwise."""
    if context.obj is not None:
        run: RunDay = context.obj
        return run
    from kitestring.cli.paper_day import run_paper_day  # noqa: PLC0415 - --help must be fast

    return run_paper_day


def _say_in_order(name: str, strategies: int, *, as_json: bool) -> None:
    sentence = f"{name} is in order ({strategies} strategies); with --engines none nothing trades."
    click.echo(sentence, err=as_json)
    if as_json:
        import msgspec  # noqa: PLC0415 - --help must be fast

        click.echo(msgspec.json.encode({"config": name, "engines": "none", "traded": False}))


def _trade(request: DayRequest, run: RunDay, *, as_json: bool) -> None:
    from kitestring.cli.console import console_for  # noqa: PLC0415 - --help must be fast

    console = console_for(sys.stderr if as_json else sys.stdout, sys.stdin)
    try:
        result = run(request, console)
    finally:
        console.close()
    if as_json:
        import msgspec  # noqa: PLC0415 - --help must be fast

        click.echo(msgspec.json.Encoder(decimal_format="number").encode(result.summary()))
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


def _trade_many(request: DayRequest, run: RunDays | None, *, as_json: bool) -> None:
    from kitestring.cli.days_console import days_console_for  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.paper_days import run_paper_days  # noqa: PLC0415 - as above

    console = days_console_for(sys.stderr if as_json else sys.stdout)
    try:
        result = (run or run_paper_days)(request, console)
    finally:
        console.close()
    if as_json:
        import msgspec  # noqa: PLC0415 - --help must be fast

        click.echo(msgspec.json.Encoder(decimal_format="number").encode(result.summary()))
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


def run_command(
    command: click.Command, arguments: Sequence[str] | None, run: RunDay | None = None
) -> int:
    """Run a command of the house and return its exit code; every failure is said in one sentence."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a terminal that cannot show ₹ shows ? and goes on
            reconfigure(errors="replace")
    try:
        answer = command.main(
            args=None if arguments is None else list(arguments), standalone_mode=False, obj=run
        )
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. The same command goes on from here.", err=True)
        return INTERRUPTED
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        return _reader_left()
    except HouseError as failed:
        click.echo(str(failed), err=True)
        return failed.exit_code
    return answer if isinstance(answer, int) else 0


def _reader_left() -> int:
    """Whoever read our output is gone (``| head``): say nothing more, not even at exit."""
    import os  # noqa: PLC0415 - needed here only

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def main() -> NoReturn:
    """The program behind ``python -m scripts.run_day``."""
    sys.exit(run_command(run_day, None))
