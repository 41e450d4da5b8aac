"""One call to Kite over HTTP: a deadline for all of it, no second try, no redirect, no proxy.

Whether a byte of the request can have left is watched where it happens: the moment a connection is
handed to it. Before that, a failure is a proof; after that, it is only a silence. The HTTP library
would repeat a PUT or DELETE by itself on a connection that had just been closed; a second connection
for the same request is therefore refused.

No exception of the library gets out of here: they carry addresses and headers, and those carry tokens.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from kitestring import __version__
from kitestring.broker.kite_settings import AddressFamily, KiteSettings
from kitestring.broker.kite_wire import WireRequest
from kitestring.broker.secret_text import HIDDEN

FORM: Final = "application/x-www-form-urlencoded"

_FAMILIES: Final = {
    AddressFamily.ANY: socket.AF_UNSPEC,
    AddressFamily.IPV4: socket.AF_INET,
    AddressFamily.IPV6: socket.AF_INET6,
}
_SECRET_MIN: Final = 6
_HEADER_MAX: Final = 16_384
_IDLE_S: Final = 20.0
_DNS_S: Final = 60
_TEXT_MAX: Final = 300
_LOOKED_AT_MAX: Final = 4_000
"""Of a longer text nothing more is shown, so nothing more is looked at."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, of whatever kind."""

    status: int
    content_type: str
    body: bytes
    date: str = ""
    """When it was made, by the server's clock, as it says so itself."""


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """None, or only a part. ``left``: whether the request may have left this machine."""

    left: bool
    why: str
    timed_out: bool = False
    status: int = 0
    """Where an answer began, and was not whole."""


class _Sending:
    """What is known of a request under way; the library's trace writes it."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected = False


class _SecondConnection(Exception):
    """The library would send the same request again."""


class _CleanConnector(aiohttp.TCPConnector):
    """A pool that hands out no connection on which something came unasked.

    The library would take it for the answer to the next request: an order's id for another order.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, [])) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                for trace in traces:
                    await trace.send_connection_reuseconn()
                return connection
            connection.close()
        return None


class KiteHttp:
    """The pool of connections to one Kite; an async context manager. Shared by all that call it."""

    def __init__(self, settings: KiteSettings) -> None:
        self.settings = settings
        self._secrets: list[str] = []
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.on_connection_reuseconn.append(_connected)
        self.session = aiohttp.ClientSession(
            connector=_CleanConnector(
                family=_FAMILIES[settings.address_family],
                ttl_dns_cache=_DNS_S,
                keepalive_timeout=_IDLE_S,
                limit=32,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"X-Kite-Version": "3", "User-Agent": f"Kitestring/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
            trust_env=False,
            trace_configs=[trace],
            raise_for_status=False,
            max_line_size=_HEADER_MAX,
            max_field_size=_HEADER_MAX,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is called afterwards is not sent."""
        await self.session.close()

    def keep_secret(self, *texts: str) -> None:
        """Never let these out in a message, whoever said them."""
        self._secrets += [text for text in texts if len(text) >= _SECRET_MIN]

    def clean(self, text: str) -> str:
        """A text of somebody else's for people: one line, no secrets, no control marks, not long."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = text[:_LOOKED_AT_MAX]
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"

    async def call(
        self,
        request: WireRequest,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        body_max: int = 0,
    ) -> Answer | NoAnswer:
        """Send it once, and read all of the answer before the deadline. Raises nothing but a cancel.

        Whoever cancels this call knows as little of the request as after a time-out.
        """
        if self.session.closed:
            return NoAnswer(left=False, why="the connections were already closed")
        sending = _Sending()
        most = body_max or self.settings.body_max_bytes
        status = 0
        try:
            async with (
                asyncio.timeout(within_s),
                self.session.request(
                    request.method,
                    self._address(request),
                    data=request.body if request.form else None,
                    headers={**(headers or {}), **({"Content-Type": FORM} if request.form else {})},
                    allow_redirects=False,
                    trace_request_ctx=sending,
                ) as response,
            ):
                status = response.status
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > most:
                        response.close()
                        return NoAnswer(
                            left=True,
                            why=f"the answer is longer than {most:,} bytes",
                            status=status,
                        )
                return Answer(
                    status=status,
                    content_type=_media_type(response.headers.getall("Content-Type", ())),
                    body=bytes(body),
                    date=response.headers.get("Date", ""),
                )
        except TimeoutError:
            why = f"no whole answer within {within_s:g} s"
            if not sending.connected:
                why = f"no connection within {min(within_s, self.settings.connect_timeout_s):g} s"
            return NoAnswer(left=sending.connected, why=why, timed_out=True, status=status)
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError, _SecondConnection) as error:
            # ValueError: a header nobody can read. Whatever else there is, it may have left.
            return NoAnswer(left=sending.connected, why=_reason(error), status=status)

    def _address(self, request: WireRequest) -> URL:
        query = f"?{request.query_text}" if request.query else ""
        return URL(self.settings.url(request.path) + query, encoded=True)

    def __repr__(self) -> str:
        return f"KiteHttp({self.settings.api_root})"


async def _connected(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: object
) -> None:
    """The library has a connection for a request and is about to write on it."""
    del session, params
    sending = context.trace_request_ctx
    if isinstance(sending, _Sending):
        if sending.connected:
            raise _SecondConnection
        sending.connected = True


def _media_type(values: Iterable[str]) -> str:
    """``application/json`` of ``Application/JSON; charset=utf-8``; empty where none was said."""
    first = next(iter(values), "")
    return first.partition(";")[0].strip().lower()


def _reason(error: Exception) -> str:
    """What went wrong, in words that can carry no address and no token."""
    match error:
        case _SecondConnection():
            return "the connection was closed as the request was sent"
        case aiohttp.ClientConnectorCertificateError() | ssl.CertificateError():
            return "the certificate of the server is not valid for this address"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "no secure connection could be made (TLS)"
        case aiohttp.ClientConnectorDNSError():
            return "the name of the server could not be looked up"
        case aiohttp.ClientConnectorError():
            return f"no connection: {_in_words(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer broke off before its end"
        case aiohttp.ClientResponseError():
            return "the answer was no HTTP that can be read"
        case aiohttp.ClientOSError() | OSError():
            return f"the connection broke: {_in_words(error)}"
        case _:
            return f"the call failed ({type(error).__name__})"


def _in_words(error: OSError) -> str:
    """The system's own words for an error number; the library's have addresses in them."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
