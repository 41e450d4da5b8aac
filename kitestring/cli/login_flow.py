"""A login from its address to the kept token: browser or phone, redirect or paste, then whose and until when.

Nothing here knows a password or a second factor, and nothing asks for one. What a person pastes is
not shown again.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
import webbrowser
from collections.abc import Callable
from os import environ
from typing import IO, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_errors import KiteReadFailed
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_session import KiteToken, TokenStore, next_death, open_session
from kitestring.broker.kite_settings import KiteSettings, Place
from kitestring.cli.pasted_lines import PastedLines
from kitestring.cli.redirect_catcher import NONCE, RedirectCatcher
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.instants import Instant, ist, ist_date
from kitestring.engine.clocks import wall_now

Say = Callable[[str], object]

_BARE: Final = re.compile(r"[0-9A-Za-z]{16,128}")
_CODE: Final = re.compile(r"\d{4,8}")
_WHERE: Final = {
    Place.KITE: "Kite",
    Place.SANDBOX: "Zerodha's sandbox (no money is real there)",
    Place.LOCAL: "the local exchange (no money is real there)",
}


class NoToken(Exception):
    """What was pasted holds no request token; the text says so to the person, without the paste."""


def run_login(
    settings: KiteSettings,
    store: TokenStore,
    say: Say,
    *,
    stdin: IO[str],
    show: bool,
    given: str | None = None,
    now: Callable[[], Instant] = wall_now,
) -> KiteToken:
    """Log in, keep the token, say whose it is and until when. Raises ``NotLoggedIn`` or ``ConfigError``."""
    lines = PastedLines(stdin)
    try:
        return asyncio.run(
            log_in(settings, store, say, lines=lines, show=show, given=given, now=now)
        )
    finally:
        lines.close()  # what is typed next is for whoever asks next


async def log_in(
    settings: KiteSettings,
    store: TokenStore,
    say: Say,
    *,
    lines: PastedLines,
    show: bool,
    given: str | None = None,
    now: Callable[[], Instant] = wall_now,
) -> KiteToken:
    """As ``run_login``, inside a running loop."""
    credentials = store.credentials()
    settings = msgspec.structs.replace(settings, api_key=credentials.api_key)
    if settings.place is not Place.LOCAL and _dies_today(now()):  # it has a clock of its own
        say(_EARLY.format(ist(now())))
    if given is None:
        request_token = await _asked(settings, say, lines, show=show)
    else:
        request_token = await _handed_over(given, lines)
    async with KiteHttp(settings) as http:
        token = await open_session(http, credentials, request_token)
        untried = await _try(KiteClient(settings, token.access_token, http), token)
    store.keep(token)
    _tell(token, settings, store, say)
    if untried:
        say(f"⚠️  The token could not be tried: {untried}")
    return token


async def _try(client: KiteClient, token: KiteToken) -> str:
    """Ask once with the new token; why it could not be asked, or nothing. Raises ``NotLoggedIn``."""
    try:
        profile = await client.profile()
    except KiteReadFailed as failed:
        return failed.why
    if profile.user_id != token.user_id:
        raise NotLoggedIn(
            f"The login was for {token.user_id}, and {profile.user_id} answers to its token; it is"
            " not kept.",
            do="Log out of Kite everywhere, and log in again.",
        )
    return ""


def request_token_in(text: str) -> str:
    """The request token of a pasted address, or pasted by itself. Raises ``NoToken``."""
    pasted = text.strip().strip("<>\"'")
    if "request_token" in pasted or "status=" in pasted or "://" in pasted:
        query = pasted.partition("?")[2].partition("#")[0]
        return _token_of(dict(parse_qsl(query)))
    if _BARE.fullmatch(pasted):
        return pasted
    if _CODE.fullmatch(pasted):
        raise NoToken(
            "That looks like a PIN or a second factor. Type it on Kite's page, never here; what"
            " belongs here is the address the browser ends at."
        )
    raise NoToken(
        "That holds no request token. Paste the whole address the browser ends at; it begins with"
        " your app's redirect URL and contains request_token=."
    )


def _token_of(query: dict[str, str]) -> str:
    if query.get("status", "success") != "success":
        raise NoToken("Kite says that this login did not succeed. Open the address again.")
    token = query.get("request_token", "")
    if not _BARE.fullmatch(token):
        raise NoToken(
            "That address holds no request token; it must be the one the browser ends at, after"
            " the login, and all of it."
        )
    return token


_EARLY: Final = (
    "⚠️  It is {:%H:%M} in India: a token made now dies at 06:00 already. Log in after that."
)


def _dies_today(at: Instant) -> bool:
    """Whether a token made at an instant dies before that day's market opens."""
    return ist_date(next_death(at)) == ist_date(at)


async def _handed_over(given: str, lines: PastedLines) -> str:
    """The token of ``--request-token``."""
    if given == "-":
        given = await lines.next() or ""
    try:
        return request_token_in(given)
    except NoToken as none:
        raise ConfigError(str(none), do="Log in: python -m scripts.login_kite") from None


async def _asked(settings: KiteSettings, say: Say, lines: PastedLines, *, show: bool) -> str:
    """Send the person to the login, and wait for what comes back, over either way."""
    nonce = secrets.token_hex(8)
    address = login_address(settings, nonce)
    say(f"Log in to {_WHERE[settings.place]} here:\n\n  {address}\n")
    catcher = RedirectCatcher(settings.redirect_port, nonce)
    try:
        listening = await catcher.open()
        if listening:
            say(
                f"The browser comes back by itself if your app's redirect URL is"
                f" {settings.redirect_url} and it runs on this machine."
            )
        else:
            say(
                f"Port {settings.redirect_port} is taken by another program (kite.redirect_port"
                " names another), so the browser cannot come back by itself."
            )
        say(
            "From anywhere else: paste the whole address the browser ends at (that page may not"
            " open), and press Enter."
        )
        if show and _has_screen():
            await asyncio.to_thread(webbrowser.open, address)
        return await _first_of(catcher if listening else None, lines, say)
    finally:
        await catcher.close()


def login_address(settings: KiteSettings, nonce: str) -> str:
    """Where the person logs in. The nonce comes back with the answer and proves that we asked."""
    query = urlencode(
        {"v": 3, "api_key": settings.api_key, "redirect_params": urlencode({NONCE: nonce})}
    )
    return f"{settings.login_root.rstrip('/')}/connect/login?{query}"


async def _first_of(catcher: RedirectCatcher | None, lines: PastedLines, say: Say) -> str:
    caught = None if catcher is None else asyncio.ensure_future(catcher.caught())
    pasted: asyncio.Future[str | None] | None = asyncio.ensure_future(lines.next())
    try:
        while True:
            waiting = [future for future in (caught, pasted) if future is not None]
            if not waiting:
                raise NotLoggedIn(
                    "Nobody logged in: nothing was pasted, and the browser cannot come back here.",
                    do="Start again: python -m scripts.login_kite",
                )
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if caught is not None and caught.done():
                return caught.result()
            assert pasted is not None, "one of the two is done"
            line = pasted.result()
            pasted = None if line is None else asyncio.ensure_future(lines.next())
            if line is None or not line.strip():
                continue
            try:
                return request_token_in(line)
            except NoToken as none:
                say(str(none))
    finally:
        for future in (caught, pasted):
            if future is not None:
                future.cancel()


def _has_screen() -> bool:
    """Whether a browser has somewhere to open; without, one may take over the terminal itself."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _tell(token: KiteToken, settings: KiteSettings, store: TokenStore, say: Say) -> None:
    name = f" ({token.user_name})" if token.user_name else ""
    until = ist(token.dies_at)
    say(
        f"Logged in to {_WHERE[settings.place]} as {token.user_id}{name}, until"
        f" {until:%H:%M on %a %d %b %Y} Indian time. The token is kept in {store.path}."
    )
    if _dies_today(token.login_at):
        say(_EARLY.format(ist(token.login_at)))
    if store.hidden_by_environment():
        say(
            "⚠️  KITE_ACCESS_TOKEN is set in the environment and stands before the kept token:"
            " unset KITE_ACCESS_TOKEN"
        )
