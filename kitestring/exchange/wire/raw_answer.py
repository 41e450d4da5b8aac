"""An answer as plain bytes, so that it can be damaged, doubled, dripped or cut off on its way out.

aiohttp only ever sends what is correct; what a proxy, a load balancer or a dying server sends is
written here straight to the connection.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from kitestring.domain.unreadable import UNREADABLE

JSON: Final = "application/json"
_RESET_AT_ONCE: Final = struct.pack("ii", 1, 0)
_FRAMING: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})


class Ending(Enum):
    """What becomes of the connection afterwards."""

    STAYS = auto()
    CLOSED = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of an answer that has not left yet."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @staticmethod
    def of(response: web.StreamResponse) -> Answer | None:
        """The answer a handler gave; ``None`` of one that streams and has no body to look at."""
        if not isinstance(response, web.Response):
            return None
        body = b"" if response.body is None else response.body
        if not isinstance(body, bytes | bytearray):
            return None
        body = bytes(body)
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kept = tuple((n, v) for n, v in response.headers.items() if n.lower() not in _FRAMING)
        return Answer(response.status, kept, body)

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        return web.Response(status=self.status, headers=list(self.headers), body=self.body)

    def json(self) -> object:
        """The body as JSON; ``None`` where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except UNREADABLE:
            return None

    def with_json(self, tree: object) -> Answer:
        """The same answer with another body."""
        return Answer(self.status, self.headers, msgspec.json.encode(tree))

    def with_body(self, body: bytes) -> Answer:
        """The same answer with another body."""
        return Answer(self.status, self.headers, body)

    def with_header(self, name: str, value: str) -> Answer:
        """The same answer with one header set; with an empty value, without it."""
        kept = tuple((n, v) for n, v in self.headers if n.lower() != name.lower())
        return Answer(self.status, (*kept, (name, value)) if value else kept, self.body)

    def head(self, length: int) -> bytes:
        """Status line and headers as bytes, promising ``length`` bytes of body."""
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode()


class RawAnswer(web.StreamResponse):
    """Bytes with pauses before them, and then whatever becomes of the connection."""

    def __init__(
        self,
        parts: Iterable[tuple[float, bytes]] = (),
        *,
        ending: Ending = Ending.CLOSED,
        status: int = 0,
        how: str = "",
    ) -> None:
        super().__init__(status=status or 200)
        self.told_status = status
        self.how = how
        self._parts = parts
        self._ending = ending

    @property
    def keep_alive(self) -> bool | None:
        """Whether the next request may come on the same connection."""
        return self._ending is Ending.STAYS

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything, past aiohttp's writer."""
        for pause, part in self._parts:
            if pause:
                await asyncio.sleep(pause)
            transport = request.transport
            if transport is None or transport.is_closing():
                return None
            transport.write(part)
        if request.transport is None:
            return None
        if self._ending is Ending.RESET:
            cut(request.transport)
        elif self._ending is Ending.CLOSED:
            request.transport.close()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing more: everything was written."""


def cut(transport: asyncio.BaseTransport) -> None:
    """End a connection with a TCP reset, where it is a TCP connection; at once in any case."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    else:
        transport.close()


def kite_error_answer(status: int, error_type: str, message: str) -> Answer:
    """An error in Kite's envelope (kite.trade/docs/connect/v3/response-structure)."""
    envelope = {"status": "error", "message": message, "error_type": error_type}
    return Answer(status, (("Content-Type", JSON),), msgspec.json.encode(envelope))


def html_answer(status: int) -> Answer:
    """The page of the servers in front (kite.trade forum, comment 40210)."""
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, (("Content-Type", "text/html"),), page.encode())


def order_ids_in(answer: Answer | None) -> tuple[str, ...]:
    """The order ids an answer to a write names: of the order, or of its slices in either shape."""
    if answer is None or answer.status >= 400:
        return ()
    tree = answer.json()
    rows = tree.get("data") if isinstance(tree, dict) else None
    if isinstance(rows, dict):
        rows = [rows, *(rows.get("children") or ())]
    if not isinstance(rows, list):
        return ()
    ids = [row.get("order_id") for row in rows if isinstance(row, dict)]
    return tuple(dict.fromkeys(each for each in ids if isinstance(each, str)))
