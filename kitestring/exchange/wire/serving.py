"""An exchange on a port of this machine: opened, waited for, and closed again.

One port for REST and WebSocket. Only the machine itself can reach it: there is no password here,
and whoever reaches an exchange may trade at it.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from kitestring.domain.errors import ConfigError
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.kite_server import LINE_MAX, SetUp, make_app

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_CLOSING_S: Final = 1.0


class Served:
    """An exchange being served; ``start`` it, ``wait`` for whatever ends it, ``stop`` it."""

    def __init__(
        self,
        exchange: LocalExchange,
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
        self._runner: web.AppRunner | None = None
        self._broken: asyncio.Future[None] | None = None

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
        self._broken = asyncio.get_running_loop().create_future()

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when asked to stop; raise what broke the exchange's day, if that comes first."""
        assert self._broken is not None, "started"
        asyncio.get_running_loop().set_exception_handler(self._heard)
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopping, self._broken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._broken.done():
            self._broken.result()

    async def stop(self) -> None:
        """End the day, close every connection and the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A task of the day that broke ends the serving; anything else is told as usual."""
        error = context.get("exception")
        assert self._broken is not None, "started"
        if "task" in context and isinstance(error, Exception) and not self._broken.done():
            self._broken.set_exception(error)
        else:
            loop.default_exception_handler(context)
