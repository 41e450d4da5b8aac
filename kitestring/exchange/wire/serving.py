"""An exchange on a port of this machine: the application, the day's pump behind it, and their end.

One port for REST and WebSocket. Only the machine itself can reach it: there is no password here,
and whoever reaches an exchange may trade at it.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from kitestring.domain.errors import ConfigError
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.kite_server import LINE_MAX, SetUp, make_app

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_CLOSING_S: Final = 1.0


class Day(Protocol):
    """What drives the day: the pump."""

    async def run(self) -> None:
        """Drive it until cancelled."""
        ...

    def stir(self) -> None:
        """Something is due earlier than before."""
        ...


class Served:
    """An exchange being served; ``start`` it, ``wait`` for whatever ends it, ``stop`` it."""

    def __init__(
        self,
        exchange: LocalExchange,
        day: Day,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        middlewares: Sequence[Middleware] = (),
        set_up: Iterable[SetUp] = (),
    ) -> None:
        if host not in LOOPBACK:
            raise ConfigError(
                f"The exchange is served to this machine only, not on {host}.",
                do="Leave --host out: it asks for no password, and anybody in your network could"
                " trade your rehearsal account.",
            )
        self.exchange = exchange
        self.app = make_app(exchange, middlewares=middlewares, set_up=set_up)
        self.port = port
        self._host = host
        self._day = day
        self._runner: web.AppRunner | None = None
        self._driving: asyncio.Task[None] | None = None

    @property
    def rest(self) -> str:
        """The address for REST."""
        return f"http://{self._shown_host}:{self.port}"

    @property
    def ticker(self) -> str:
        """The address for the WebSocket."""
        return f"ws://{self._shown_host}:{self.port}"

    @property
    def _shown_host(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host

    async def start(self) -> None:
        """Open the port and let the day begin. ``ConfigError`` if the port is taken."""
        runner = web.AppRunner(
            self.app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_CLOSING_S,
            max_line_size=LINE_MAX,
            max_field_size=LINE_MAX,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self.port)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"Port {self.port} is taken: another program is served there.",
                    do=f"Choose another with --port, such as {self.port + 1}, or stop the other.",
                ) from error
            raise ConfigError(
                f"Port {self.port} cannot be opened: {error.strerror or error}.",
                do="Choose another with --port; numbers below 1024 need special rights.",
            ) from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        self.exchange.on_stir.append(self._day.stir)
        self._driving = asyncio.create_task(self._day.run())

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when asked to stop; raise what ended the day's market, if that comes first."""
        assert self._driving is not None, "started"
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopping, self._driving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._driving.done():
            self._driving.result()

    async def stop(self) -> None:
        """End the day, close every connection and the port."""
        if self._driving is not None:
            self._driving.cancel()
            await asyncio.gather(self._driving, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
