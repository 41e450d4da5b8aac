"""The session with Kite: the app's credentials, the day's token, whose account, and until when.

Login is a person's: password and second factor are typed on Kite's own page, which sends back a
request token; that, proved with the app's secret, becomes the day's access token. It dies at 06:00
Indian time the next morning (kite.trade/docs/connect/v3/user), earlier after a master logout.
Secrets come from the environment, or from files that only the user can read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.broker.kite_http import Answer, KiteHttp, NoAnswer
from kitestring.broker.kite_rows import RowStrange, kite_instant
from kitestring.broker.kite_wire import Envelope, WireRequest, read_envelope
from kitestring.broker.secret_files import read_secret_file, write_secret_file
from kitestring.broker.secret_text import Secret
from kitestring.domain.errors import ConfigError, NotLoggedIn
from kitestring.domain.instants import (
    DAY,
    MINUTE,
    Instant,
    instant,
    instant_of,
    ist,
    ist_date,
)
from kitestring.domain.unreadable import UNREADABLE

KEYS_FILE: Final = "kite.env"
TOKENS_FILE: Final = "kite_tokens.env"
LOG_IN: Final = "Log in: python -m scripts.login_kite"
DIES_AT: Final = dt.time(6, 0)
_AHEAD_MAX: Final = 5 * MINUTE
"""How far Kite's clock may be ahead of ours before one of them must be wrong."""
_PLAIN: Final = re.compile(r"[!-~]{1,500}")
_TOKEN: Final = re.compile(r"[0-9A-Za-z_\-]{8,256}")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the app is known by, and what it proves itself with."""

    api_key: str
    api_secret: Secret


class KiteToken(msgspec.Struct, frozen=True, kw_only=True):
    """One login: good for the app it was made for, until 06:00 Indian time."""

    api_key: str
    access_token: Secret
    public_token: Secret
    login_at: Instant
    user_id: str = ""
    user_name: str = ""

    @property
    def dies_at(self) -> Instant:
        """The next 06:00 after the login."""
        return next_death(self.login_at)


def next_death(at: Instant) -> Instant:
    """When a token made at ``at`` dies."""
    today = instant(ist_date(at), DIES_AT)
    return today if at < today else today + DAY


class TokenStore:
    """Where credentials and token are kept: the environment first, then the files of one folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment

    @property
    def path(self) -> Path:
        """The file of the day's token."""
        return self.folder / TOKENS_FILE

    def api_key(self) -> str:
        """The app's key. Raises ``ConfigError`` where there is none."""
        return self._known("KITE_API_KEY")

    def credentials(self) -> Credentials:
        """Key and secret of the app, for a login. Raises ``ConfigError`` where one is missing."""
        return Credentials(
            api_key=self.api_key(), api_secret=Secret(self._known("KITE_API_SECRET"))
        )

    def token(self, now: Instant) -> KiteToken:
        """The token that is good now, for our app. Raises ``NotLoggedIn`` where there is none."""
        api_key = self.api_key()
        kept, where = self._kept()
        access_token = kept.get("KITE_ACCESS_TOKEN", "")
        if not access_token:
            raise NotLoggedIn("Nobody is logged in at Kite.", do=LOG_IN)
        if not _TOKEN.fullmatch(access_token):
            raise NotLoggedIn(f"KITE_ACCESS_TOKEN in {where} is no token of Kite's.", do=LOG_IN)
        minted_for = kept.get("KITE_TOKEN_API_KEY", "")
        if minted_for != api_key:
            named = f"the app {minted_for}" if minted_for else "an app that it does not name"
            raise NotLoggedIn(
                f"The token in {where} was made for {named}, and KITE_API_KEY is {api_key}.",
                do=LOG_IN,
            )
        token = KiteToken(
            api_key=api_key,
            access_token=Secret(access_token),
            public_token=Secret(kept.get("KITE_PUBLIC_TOKEN", "")),
            login_at=_login_at(kept.get("KITE_LOGIN_TS", ""), where),
            user_id=kept.get("KITE_USER_ID", ""),
        )
        if now >= token.dies_at:
            raise NotLoggedIn(
                f"The token of {ist(token.login_at):%a %d %b, %H:%M} died at"
                f" {ist(token.dies_at):%H:%M on %a %d %b} (Indian time), as every one does.",
                do=LOG_IN,
            )
        if token.login_at > now + _AHEAD_MAX:
            raise NotLoggedIn(
                f"The token says it was made at {ist(token.login_at):%H:%M on %a %d %b}, and this"
                f" machine's clock says {ist(now):%H:%M on %a %d %b}: one of them is wrong.",
                do="Set the clock (timedatectl set-ntp true), or log in again.",
            )
        return token

    def keep(self, token: KiteToken) -> None:
        """Keep a token for the day. Raises ``ConfigError`` if the file cannot be written."""
        values = {
            "KITE_ACCESS_TOKEN": token.access_token.reveal(),
            "KITE_PUBLIC_TOKEN": token.public_token.reveal(),
            "KITE_LOGIN_TS": ist(token.login_at).isoformat(),
            "KITE_TOKEN_API_KEY": token.api_key,
            "KITE_USER_ID": token.user_id,
        }
        write_secret_file(self.path, values, "Made by login_kite; dead at 06:00 Indian time.")

    def hidden_by_environment(self) -> bool:
        """Whether a token in the environment stands before the kept one."""
        return bool(self._environment.get("KITE_ACCESS_TOKEN"))

    def _kept(self) -> tuple[Mapping[str, str], str]:
        """All of a token's values, from one place: two halves of two logins would be none."""
        if self.hidden_by_environment():
            return self._environment, "the environment"
        return read_secret_file(self.path), str(self.path)

    def _known(self, name: str) -> str:
        path = self.folder / KEYS_FILE
        value = self._environment.get(name) or read_secret_file(path).get(name, "")
        if not value:
            raise ConfigError(
                f"{name} is not known: neither the environment nor {path} names it.",
                do=f"Take it from your app on developers.kite.trade and write {name}=... into"
                f" {path} (chmod 700 {self.folder}; chmod 600 {path}).",
            )
        if not _PLAIN.fullmatch(value):
            raise ConfigError(
                f"{name} has marks in it that no key has, such as a space.",
                do=f"Copy it again from developers.kite.trade into {path}.",
            )
        return value


def checksum(api_key: str, request_token: str, api_secret: Secret) -> str:
    """What proves that the app knows its secret: SHA-256 of the three, joined."""
    return hashlib.sha256(f"{api_key}{request_token}{api_secret.reveal()}".encode()).hexdigest()


class _SessionRow(msgspec.Struct):
    user_id: str
    access_token: str
    login_time: str
    api_key: str
    public_token: str = ""
    user_name: str = ""


_session_row = msgspec.json.Decoder(_SessionRow)


async def open_session(http: KiteHttp, credentials: Credentials, request_token: str) -> KiteToken:
    """Trade a request token for the day's token, once. Raises ``NotLoggedIn``.

    Whatever goes wrong, the request token may be used up, and it is not sent a second time.
    """
    secret = credentials.api_secret
    proof = checksum(credentials.api_key, request_token, secret)
    http.keep_secret(secret.reveal(), request_token, proof)
    request = WireRequest(
        method="POST",
        path="/session/token",
        form=(
            ("api_key", credentials.api_key),
            ("request_token", request_token),
            ("checksum", proof),
        ),
    )
    answer = await http.call(request, within_s=http.settings.write_timeout_s)
    if isinstance(answer, NoAnswer):
        raise NotLoggedIn(
            f"Kite did not answer the login: {answer.why}.",
            do="Start the login again: a request token is good only once.",
        )
    envelope = read_envelope(answer.body) if answer.content_type == "application/json" else None
    if envelope is None or answer.status != 200 or not envelope.succeeded:
        raise _refused(http, answer, envelope)
    token = _token_in(envelope, credentials.api_key)
    if token is None:
        raise NotLoggedIn(
            "Kite's answer to the login is none that we can read.", do="Start the login again."
        )
    http.keep_secret(token.access_token.reveal(), token.public_token.reveal())
    return token


def _token_in(envelope: Envelope, api_key: str) -> KiteToken | None:
    assert isinstance(envelope.data, msgspec.Raw), "a success has data"
    try:
        row = _session_row.decode(envelope.data)
        login_at = kite_instant(row.login_time, "login_time")
    except (*UNREADABLE, RowStrange):
        return None
    plain = _TOKEN.fullmatch(row.access_token) and _PLAIN.fullmatch(row.user_id)
    if not plain or login_at is None or row.api_key != api_key:
        return None
    return KiteToken(
        api_key=api_key,
        access_token=Secret(row.access_token),
        public_token=Secret(row.public_token if _TOKEN.fullmatch(row.public_token) else ""),
        login_at=login_at,
        user_id=row.user_id,
        user_name="".join(c for c in row.user_name if c.isprintable())[:100],
    )


def _refused(http: KiteHttp, answer: Answer, envelope: Envelope | None) -> NotLoggedIn:
    message = http.clean((envelope and envelope.message) or f"HTTP {answer.status}")
    do = "Start the login again: a request token is good once, and for a few minutes."
    if "checksum" in message.lower():
        do = (
            "KITE_API_SECRET does not belong to KITE_API_KEY: copy both from developers.kite.trade."
        )
    elif "api_key" in message.lower():
        do = "KITE_API_KEY is not an app of this Kite: copy it from developers.kite.trade."
    return NotLoggedIn(f"Kite refused the login: {message.rstrip('.')}.", do=do)


def _login_at(text: str, where: str) -> Instant:
    """``2026-11-22T09:01:12+05:30``, or without the offset, which then is India's."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise NotLoggedIn(
            f"KITE_LOGIN_TS in {where} does not say when the login was, so nobody knows whether the"
            " token is still good.",
            do=LOG_IN,
        ) from None
    if moment.tzinfo is None:
        return instant(moment.date(), moment.time())
    return instant_of(moment)
