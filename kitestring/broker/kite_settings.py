"""Where Kite is, which app asks, and how long it may take: the addresses are real, sandbox, or ours.

An address is refused unless it is one of Zerodha's own over TLS, or this very machine: whoever can
read a request can trade with its token. The three addresses belong together, so that a rehearsal
never trades on the real ticker, nor the real account on a rehearsal's.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from kitestring.domain.errors import ConfigError


class Place(StrEnum):
    """Whose exchange answers at an address."""

    KITE = "kite"
    SANDBOX = "sandbox"
    """Zerodha's own (2026): LIMIT orders only, other paths (facts: kite.trade/docs, sandbox)."""
    LOCAL = "local"
    """The local exchange of this house, on this machine."""


class AddressFamily(StrEnum):
    """How the machine calls out: orders are taken from registered addresses only, one family each."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class TimeOf(StrEnum):
    """Whose clock says what time it is."""

    MACHINE = "machine"
    EXCHANGE = "exchange"
    """Of a rehearsal's exchange, whose day may be another and pass at any speed."""


class Roots(msgspec.Struct, frozen=True):
    """The three addresses of one place."""

    api: str
    ws: str
    login: str


ROOTS: Final = MappingProxyType(
    {
        Place.KITE: Roots(
            "https://api.kite.trade", "wss://ws.kite.trade", "https://kite.zerodha.com"
        ),
        Place.SANDBOX: Roots(
            "https://sandbox.kite.trade",
            "wss://ws-sandbox.kite.trade",
            "https://sandbox.kite.trade",
        ),
    }
)
_REAL: Final = ROOTS[Place.KITE]
_SECURE: Final = MappingProxyType({"api_root": "https", "ws_root": "wss", "login_root": "https"})
_PLAIN: Final = MappingProxyType({"https": "http", "wss": "ws"})
_HOSTS: Final = MappingProxyType(
    {
        name: MappingProxyType(
            {
                urlsplit(root).hostname: place
                for place, roots in ROOTS.items()
                for root in [getattr(roots, name.removesuffix("_root"))]
            }
        )
        for name in _SECURE
    }
)
"""Which hosts an address may name, and whose they are."""
_SANDBOX_PREFIX: Final = "/oms"
_SANDBOX_BARE: Final = ("/instruments", "/connect")


class KiteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about reaching Kite but the secrets. Raises ``ConfigError`` for a wrong address."""

    api_root: str = _REAL.api
    ws_root: str = _REAL.ws
    login_root: str = _REAL.login
    api_key: str = ""
    """The app's name at Kite; from the environment or ``secrets/kite.env``, with its secret."""
    read_timeout_s: float = 7.0
    """Deadline of a whole read, its last byte included."""
    write_timeout_s: float = 10.0
    """Deadline of a whole order request; what is late is UNKNOWN and looked up by its tag."""
    dump_timeout_s: float = 60.0
    """Deadline of the day's list of instruments, several megabytes."""
    connect_timeout_s: float = 3.0
    body_max_bytes: int = 64 << 20
    address_family: AddressFamily = AddressFamily.ANY
    redirect_port: int = 8765
    """The port of this machine that the app's redirect URL names: ``http://127.0.0.1:8765/``."""
    clock: TimeOf = TimeOf.MACHINE

    def __post_init__(self) -> None:
        places = {name: _place_of(name, getattr(self, name)) for name in _SECURE}
        if len(set(places.values())) > 1:
            named = ", ".join(f"{name} is {_WHOSE[place]}" for name, place in places.items())
            raise ConfigError(
                f"The three Kite addresses belong to different exchanges: {named}.",
                do="Give all three of kite.api_root, kite.ws_root and kite.login_root, or none of"
                " them; for the local exchange api_root alone is enough.",
            )
        if self.clock is TimeOf.EXCHANGE and self.place is not Place.LOCAL:
            raise ConfigError(
                f"kite.clock is exchange, but {self.api_root} is no local exchange: Zerodha's day is"
                " today.",
                do="Leave kite.clock out, or name the local exchange in kite.api_root.",
            )
        for name in ("read", "write", "dump", "connect"):
            seconds = getattr(self, f"{name}_timeout_s")
            if not 0 < seconds <= 300:
                raise ConfigError(
                    f"kite.{name}_timeout_s is {seconds:g}; a call may take up to 300 seconds.",
                    do="Leave it out to use the usual one.",
                )

    @property
    def place(self) -> Place:
        """Whose exchange this is."""
        return _place_of("api_root", self.api_root)

    @property
    def redirect_url(self) -> str:
        """What the app must have registered as its redirect URL, for the browser to come back here."""
        return f"http://127.0.0.1:{self.redirect_port}/"

    def url(self, path: str) -> str:
        """The whole address of a REST path."""
        prefix = ""
        if self.place is Place.SANDBOX and not path.startswith(_SANDBOX_BARE):
            prefix = _SANDBOX_PREFIX
        return f"{self.api_root.rstrip('/')}{prefix}{path}"


def local_settings(root: str, **changes: object) -> KiteSettings:
    """Settings for an exchange that serves everything at one address of this machine."""
    given = {"api_root": root, "ws_root": _as_ws(root), "login_root": root} | changes
    return msgspec.convert(given, KiteSettings)


def roots_from(place: Place, api: str | None, ws: str | None, login: str | None) -> Roots:
    """The addresses a settings file means: what it leaves out follows from what it gives.

    The local exchange serves everything at one address, so there ``api_root`` names all three.
    """
    if place is Place.LOCAL and api is None:
        raise ConfigError(
            "kite.profile is local, but no address is given.",
            do="Add kite.api_root, such as http://127.0.0.1:8010 of `kitestring exchange`.",
        )
    local = api is not None and is_loopback(_split("api_root", api)[0].hostname)
    usual = Roots(api, _as_ws(api), api) if local and api else ROOTS.get(place, _REAL)
    return Roots(api or usual.api, ws or usual.ws, login or usual.login)


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, by its name or number (nothing is looked up)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


_WHOSE: Final = MappingProxyType(
    {
        Place.KITE: "Zerodha's",
        Place.SANDBOX: "Zerodha's sandbox",
        Place.LOCAL: "this machine",
    }
)


def _as_ws(root: str) -> str:
    scheme, colon, rest = root.partition(":")
    return f"{'wss' if scheme == 'https' else 'ws'}{colon}{rest}"


def _place_of(name: str, root: str) -> Place:
    parts, port = _split(name, root)
    secure = _SECURE[name]
    host = parts.hostname or ""
    if is_loopback(host):
        if parts.scheme in (secure, _PLAIN[secure]):
            return Place.LOCAL
        raise ConfigError(
            f"kite.{name} is {_shown(parts)}; it must begin with {_PLAIN[secure]}:// or {secure}://.",
            do=f"Write, for example, kite.{name}: {_PLAIN[secure]}://127.0.0.1:8010",
        )
    place = _HOSTS[name].get(host)
    if place is None:
        raise ConfigError(
            f"kite.{name} names {host or 'no host'}, which is neither Kite's nor this machine;"
            " whoever answers there could trade with your token.",
            do=f"Leave kite.{name} out to use {getattr(_REAL, name.removesuffix('_root'))}, or name"
            " 127.0.0.1.",
        )
    if parts.scheme != secure or port not in (None, 443):
        raise ConfigError(
            f"kite.{name} is {_shown(parts)}; {host} is reached by {secure}:// on its usual port"
            " only, so that nobody on the way can read the token.",
            do=f"Write kite.{name}: {secure}://{host}, or leave it out.",
        )
    return place


def _split(name: str, root: str) -> tuple[SplitResult, int | None]:
    """An address in its parts; nothing but scheme, host and port is allowed in it."""
    try:
        parts = urlsplit(root)
        port = parts.port
    except ValueError as error:
        raise ConfigError(
            f"kite.{name} is no address.", do=f"Write, for example, {_REAL.api}"
        ) from error
    clean = root.isascii() and root.isprintable() and " " not in root and "\\" not in root
    if not clean or "@" in parts.netloc or parts.path.strip("/") or "?" in root or "#" in root:
        # It is not shown: what stands before an @ may be a password.
        raise ConfigError(
            f"kite.{name} must be scheme and host only; it has a path, a user or a query as well.",
            do=f"Write, for example, {_REAL.api}",
        )
    return parts, port


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"
