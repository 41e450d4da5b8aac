"""The command that logs a person in to Kite for the day: ``python -m scripts.login_kite``.

0    logged in; the token is kept
1    Kite refused, or nobody logged in
2    the command, the settings or the app's key and secret are wrong
130  stopped with Ctrl-C
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from kitestring import __version__
from kitestring.cli.run_day import run_command

_EPILOG = """\b
Once: write the key and secret of your app (developers.kite.trade) into secrets/kite.env
  KITE_API_KEY=...
  KITE_API_SECRET=...
close it (chmod 700 secrets; chmod 600 secrets/kite.env), and register http://127.0.0.1:8765/ as
the app's redirect URL.

\b
Over SSH, from a phone: say --no-open, open the address it prints on the phone, log in, and paste
the whole address of the page that then cannot be reached.

\b
Exit codes:
  0    logged in; the token is kept
  1    Kite refused, or nobody logged in
  2    the command, the settings or the app's key and secret are wrong
  130  stopped with Ctrl-C
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--no-open", is_flag=True, help="Print the login's address, and open no browser.")
@click.option(
    "--request-token",
    metavar="TOKEN",
    help="The request token, or the whole address it came back in; - reads it from standard input.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file with the addresses of Kite; configs/paper.yaml if left out.",
)
@click.option(
    "--secrets",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("secrets"),
    show_default=True,
    help="The folder of the app's key and secret, where the token is kept as well.",
)
@click.version_option(__version__, prog_name="kitestring")
def login_kite(
    *, no_open: bool, request_token: str | None, config: Path | None, folder: Path
) -> None:
    """Log in to Kite for today, and keep the token until 06:00 tomorrow.

    Password and second factor are typed on Kite's own page, never here.
    """
    import os  # noqa: PLC0415 - --help must be fast

    from kitestring.broker.kite_session import TokenStore  # noqa: PLC0415 - as above
    from kitestring.cli.config import DEFAULT_FILE, load_config  # noqa: PLC0415 - as above
    from kitestring.cli.login_flow import run_login  # noqa: PLC0415 - as above

    settings = load_config(DEFAULT_FILE if config is None else config).config.kite
    run_login(
        settings,
        TokenStore(folder, os.environ),
        click.echo,
        stdin=sys.stdin,
        show=not no_open,
        given=request_token,
    )


def main() -> NoReturn:
    """The program behind ``python -m scripts.login_kite``."""
    sys.exit(run_command(login_kite, None))
