"""Logging in as Kite does it: request token, checksum, access token, and the end of all tokens at 06:00.

Sources: kite.trade/docs/connect/v3/user (login flow, checksum, life to 06:00). How long a request
token lives is not published ("a few minutes"); five here. Whether a second login of the day ends
the first session is not known either: ``second_login_ends_first`` decides. Tokens are made of the
exchange's seed and a count, never drawn, so that a day served again hands out the same ones.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from kitestring.domain.instants import DAY, MINUTE, Instant, instant, ist_date
from kitestring.exchange.desk.kite_error import KiteError, permission_error, token_error

REQUEST_TOKEN_LIFE: Final = 5 * MINUTE
FLUSH_AT: Final = dt.time(6, 0)
"""Indian time at which every token of the day before is dead."""
_BAD_REQUEST: Final = "Token is invalid or has expired."
_UNKNOWN_SCHEME: Final = "Unknown authorization scheme"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class App(msgspec.Struct, frozen=True, kw_only=True):
    """One app of the developer console.

    ``personal``: the free plan, which may not read quotes, candles or ticks. ``refreshable``: a
    platform approved for refresh tokens; individuals have none.
    """

    api_key: str
    api_secret: str
    name: str = "Rehearsal"
    app_id: int = 1001
    redirect_url: str = ""
    personal: bool = False
    refreshable: bool = False


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """One login: what ``POST /session/token`` hands over, and how long it is good for."""

    app: App
    access_token: str
    public_token: str
    enctoken: str
    refresh_token: str
    login_at: Instant
    dies_at: Instant


def next_flush(at: Instant) -> Instant:
    """The next 06:00 IST after an instant: when a token made now dies."""
    today = instant(ist_date(at), FLUSH_AT)
    return today if at < today else today + DAY


def checksum(api_key: str, token: str, api_secret: str) -> str:
    """What a client proves its secret with: SHA-256 of the three, joined."""
    return hashlib.sha256(f"{api_key}{token}{api_secret}".encode()).hexdigest()


class Sessions:
    """The tokens of one account, of all its apps."""

    def __init__(
        self, seed: int, apps: Iterable[App], *, second_login_ends_first: bool = False
    ) -> None:
        self.apps = {app.api_key: app for app in apps}
        self.second_login_ends_first = second_login_ends_first
        self._seed = seed
        self._made = 0
        self._requests: dict[str, tuple[App, Instant]] = {}
        self._open: dict[tuple[str, str], OpenSession] = {}
        self._headers: dict[str, OpenSession] = {}
        """The ``Authorization`` headers that are good now: what every call is looked up by."""

    def request_token(self, now: Instant, api_key: str) -> str:
        """What the login page hands to the redirect address: good once, and for five minutes."""
        app = self._app(api_key)
        token = self._token("request", 32)
        self._requests[token] = (app, now + REQUEST_TOKEN_LIFE)
        return token

    def open(self, now: Instant, api_key: str, request_token: str, proof: str) -> OpenSession:
        """Trade a request token for a session; it is used up even by a wrong checksum."""
        asked = self._requests.pop(request_token, None)
        app = self.apps.get(api_key)
        if app is None or asked is None or asked[0] is not app or now >= asked[1]:
            raise token_error(_BAD_REQUEST)
        if not _same(proof, checksum(api_key, request_token, app.api_secret)):
            raise token_error("Invalid `checksum`.")
        return self.log_in(now, api_key)

    def log_in(self, now: Instant, api_key: str) -> OpenSession:
        """Open a session at once: the ready one an exchange is started with, and every proved one."""
        app = self._app(api_key)
        if self.second_login_ends_first:
            for session in [each for each in self._open.values() if each.app is app]:
                self._end(session)
        session = OpenSession(
            app=app,
            access_token=self._token("access", 32),
            public_token=self._token("public", 32),
            enctoken=self._token("enc", 86),
            refresh_token=self._token("refresh", 32) if app.refreshable else "",
            login_at=now,
            dies_at=next_flush(now),
        )
        self._open[api_key, session.access_token] = session
        self._headers[f"token {api_key}:{session.access_token}"] = session
        return session

    def refresh(self, now: Instant, api_key: str, refresh_token: str, proof: str) -> OpenSession:
        """A new access token for a refresh token, which is used up."""
        app = self.apps.get(api_key)
        session = self._refreshable(api_key, refresh_token)
        if app is None or session is None:
            raise token_error("Invalid `refresh_token`.")
        if not _same(proof, checksum(api_key, refresh_token, app.api_secret)):
            raise token_error("Invalid `checksum`.")
        self._end(session)
        return self.log_in(now, api_key)

    def log_out(self, api_key: str, access_token: str) -> None:
        """End a session; a token that is dead or unknown is refused."""
        session = self._open.get((api_key, access_token))
        if session is None:
            raise token_error()
        self._end(session)

    def forget_refresh_token(self, api_key: str, refresh_token: str) -> None:
        """End the session that a refresh token belongs to."""
        session = self._refreshable(api_key, refresh_token)
        if session is None:
            raise token_error("Invalid `refresh_token`.")
        self._end(session)

    def flush(self) -> None:
        """End every session and forget every request token, as a flush of the morning does."""
        self._requests.clear()
        self._open.clear()
        self._headers.clear()

    def secrets(self) -> Iterator[str]:
        """Everything that must stand in no record: what opens a session, and what it is proved with."""
        yield from self._requests
        for app in self.apps.values():
            yield app.api_secret
        for session in self._open.values():
            yield from (session.access_token, session.public_token, session.enctoken)
            yield session.refresh_token

    def authorise(self, now: Instant, header: str) -> OpenSession:
        """Whose call this is by its ``Authorization`` header, or the refusal a dead token gets."""
        session = self._headers.get(header)
        if session is None:
            raise _why_not(header)
        if now >= session.dies_at:
            self._end(session)
            raise token_error()
        return session

    def find(self, now: Instant, api_key: str, access_token: str) -> OpenSession | None:
        """The live session of a key and token, as a WebSocket address names them."""
        session = self._open.get((api_key, access_token))
        return session if session is not None and now < session.dies_at else None

    def _app(self, api_key: str) -> App:
        app = self.apps.get(api_key)
        if app is None:
            raise token_error("Invalid `api_key`.")
        return app

    def _refreshable(self, api_key: str, refresh_token: str) -> OpenSession | None:
        for session in self._open.values():
            mine = bool(refresh_token) and session.app.api_key == api_key
            if mine and _same(refresh_token, session.refresh_token):
                return session
        return None

    def _end(self, session: OpenSession) -> None:
        api_key, access_token = session.app.api_key, session.access_token
        self._open.pop((api_key, access_token), None)
        self._headers.pop(f"token {api_key}:{access_token}", None)

    def _token(self, what: str, length: int) -> str:
        self._made += 1
        named = f"{self._seed}\x1f{what}\x1f{self._made}"
        number = int.from_bytes(hashlib.sha512(named.encode()).digest(), "big")
        letters = []
        for _ in range(length):
            number, letter = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[letter])
        return "".join(letters)


def for_market_reading(session: OpenSession) -> None:
    """Quotes and candles are not in the free plan (kite.trade forum, comment 52663)."""
    if session.app.personal:
        raise permission_error()


def _why_not(header: str) -> KiteError:
    scheme = header.split(" ", 1)[0]
    return token_error(_UNKNOWN_SCHEME) if header and scheme != "token" else token_error()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
