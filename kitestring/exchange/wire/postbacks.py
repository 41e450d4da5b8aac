"""Postbacks: what becomes of an app's orders, sent to the app's own address while it is logged out, too.

Raw JSON by POST, signed with SHA-256 of order id, order timestamp and API secret
(kite.trade/docs/connect/v3/postbacks); the desk has signed the rows already. Nothing is documented about a
second try: there is none here, failures are counted. Only addresses of this machine are served.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from kitestring.domain.errors import ConfigError
from kitestring.exchange.wire.pump import Happening

_TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Postbacks:
    """Sends updates of an app's own orders to one address, one after the other; a listener of the pump."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
            raise ConfigError(
                f"{url!r} is no postback address of this machine",
                do="give one like http://127.0.0.1:8020/postback",
            )
        self.url = url
        self.delivered = 0
        self.failed = 0
        """Updates that the address did not take with a status below 300."""
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()

    async def announce(self, happening: Happening) -> None:
        """Queue what concerns the app."""
        for update in happening.updates:
            if update.to_postback:
                self._waiting.put_nowait(msgspec.json.encode(update.row))

    async def taken(self) -> None:
        """Nobody waits for postbacks."""

    async def run(self) -> None:
        """Send until cancelled."""
        async with ClientSession(timeout=ClientTimeout(total=_TIMEOUT_S)) as session:
            while True:
                body = await self._waiting.get()
                if await self._post(session, body):
                    self.delivered += 1
                else:
                    self.failed += 1

    async def _post(self, session: ClientSession, body: bytes) -> bool:
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(
                self.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status < 300
        except (ClientError, TimeoutError, OSError):
            return False
