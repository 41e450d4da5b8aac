"""The command that serves a local Kite exchange: ``kitestring exchange``.

0    stopped from outside (SIGTERM)
2    the command or its settings file is wrong, or the port is taken
3    the tape cannot be read
5    no calendar is held for that date, or the market is closed on it
130  stopped with Ctrl-C
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from kitestring.cli.run_day import INTERRUPTED, Day
from kitestring.domain.errors import ConfigError

_EPILOG = """\b
Try it: start it here, and in another terminal
  python -c "from kiteconnect import KiteConnect; k = KiteConnect('kitestring',
             ACCESS_TOKEN, root='http://127.0.0.1:8010'); print(k.ltp('NSE:INFY'))"
ACCESS_TOKEN is among the first lines it prints. No money is real here.

\b
Exit codes:
  0    stopped from outside
  2    the command or its settings file is wrong, or the port is taken
  3    the tape cannot be read
  5    no calendar is held for that date, or the market is closed on it
  130  stopped with Ctrl-C
"""


@click.command(
    "exchange",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8010,
    show_default=True,
    help="For REST and WebSocket; 0 takes any free one.",
)
@click.option(
    "--market",
    type=click.Choice(["synthetic", "tape"]),
    help="Invented prices of a real instrument list, or a recorded day; synthetic if left out.",
)
@click.option(
    "--tape", type=click.Path(path_type=Path), help="The recorded day, for --market tape."
)
@click.option("--seed", type=click.IntRange(min=0), help="Another synthetic market; 1 if left out.")
@click.option(
    "--speed",
    default="1",
    show_default=True,
    metavar="[1|60|max|step]",
    help="Exchange seconds per second; max: as fast as it is heard; step: the next event only "
    "when the last one was acknowledged.",
)
@click.option("--date", type=Day(), help="Trading day; 2026-11-20, or the tape's own.")
@click.option(
    "--at",
    "start",
    metavar="HH:MM[:SS]",
    help="Where the exchange's clock begins, Indian time; just before the open if left out.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file: account, apps, switches of what Kite leaves open.",
)
@click.option("--admin", is_flag=True, help="Serve /admin too: time, prices, faults on request.")
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Fault script: what shall go wrong, where and when (docs/Exchange.md).",
)
@click.option(
    "--wire-ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the record of every request and answer, without secrets.",
)
@click.option("--host", default="127.0.0.1", hidden=True)
def exchange(
    *,
    port: int,
    market: str | None,
    tape: Path | None,
    seed: int | None,
    speed: str,
    date: dt.date | None,
    start: str | None,
    config: Path | None,
    admin: bool,
    faults: Path | None,
    wire_ledger: Path | None,
    host: str,
) -> None:
    """Serve a Kite exchange on this machine, for clients that must not learn on real money.

    It speaks Kite Connect v3: REST and WebSocket on one port, with orders that are matched, margins,
    positions, quotes and candles. Official clients work unchanged; give them its address as `root`.
    It runs until Ctrl-C, and forgets everything then.
    """
    chosen = market or ("synthetic" if tape is None else "tape")
    if chosen == "tape" and tape is None:
        raise click.UsageError("--market tape needs --tape PATH, the recorded day to show.")
    if chosen == "synthetic" and tape is not None:
        raise click.UsageError("--tape goes with --market tape.")
    if chosen == "tape" and seed is not None:
        raise click.UsageError("--seed is of the synthetic market; a tape has none.")
    from kitestring.cli.exchange_settings import ExchangeRequest  # noqa: PLC0415 - --help must be fast
    from kitestring.cli.serve_exchange import serve  # noqa: PLC0415 - as above

    request = ExchangeRequest(
        port=port,
        host=host,
        tape=tape,
        seed=seed,
        speed=speed,
        date=date,
        start=_time(start) if start is not None else None,
        config=config,
        admin=admin,
        faults=faults,
        wire_ledger=wire_ledger,
    )
    if serve(request, click.echo):
        raise SystemExit(INTERRUPTED)


def _time(text: str) -> dt.time:
    try:
        return dt.time.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{text} is no time of day.", do="Write Indian time, such as --at 09:15 or 09:14:55."
        ) from error
