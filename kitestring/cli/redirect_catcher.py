"""A page of this machine that the login comes back to, open only while somebody logs in.

Only the machine itself reaches it, and only an answer to our own question is taken: a stranger's
page could otherwise send the browser here with a token of the stranger's account.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from typing import Final

from aiohttp import web

NONCE: Final = "kitestring"
"""The parameter that Kite echoes (``redirect_params``, kite.trade/docs/connect/v3/user)."""
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{16,128}")
_CLOSING_S: Final = 1.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Kitestring</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:18vh auto;padding:0 1rem}}
</style></head><body><h1>{title}</h1><p>{text}</p></body></html>
"""


class RedirectCatcher:
    """``open`` it, wait for ``caught``, ``close`` it."""

    def __init__(self, port: int, nonce: str) -> None:
        self.port = port
        self._nonce = nonce
        self._runner: web.AppRunner | None = None
        self._token: asyncio.Future[str] | None = None

    async def open(self) -> bool:
        """Listen; false if another program has the port."""
        self._token = asyncio.get_running_loop().create_future()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        except OSError:
            await runner.cleanup()
            return False
        self._runner = runner
        self.port = runner.addresses[0][1]
        return True

    async def caught(self) -> str:
        """The request token, once it comes."""
        assert self._token is not None, "opened"
        return await asyncio.shield(self._token)

    async def close(self) -> None:
        """Stop listening; the page that is being shown is still shown."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        if request.host not in {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}:
            return _page(403, "Not here", "This page is called by another name.")
        query = request.query
        if "request_token" not in query and "status" not in query:
            return _page(404, "Kitestring", "Nothing is here but the end of a login.")
        if not hmac.compare_digest(query.get(NONCE, "").encode(), self._nonce.encode()):
            return _page(
                403,
                "This login was not started here",
                "If it was yours, paste the address of this page into the terminal.",
            )
        token = query.get("request_token", "")
        if query.get("status") != "success" or not _TOKEN.fullmatch(token):
            return _page(
                400, "Not logged in", "Kite says that the login did not succeed. Try it again."
            )
        assert self._token is not None, "opened"
        if not self._token.done():
            self._token.set_result(token)
        return _page(200, "Back to the terminal", "It says the rest. This page can be closed.")


def _page(status: int, title: str, text: str) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=title, text=text),
        content_type="text/html",
        headers=_HEADERS,
    )
