"""A Kite client in front of the served local exchange, or of a few lines of socket that misbehave."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_http import KiteHttp
from kitestring.broker.kite_settings import local_settings
from kitestring.broker.secret_text import Secret

sys.path.append(str(Path(__file__).resolve().parent.parent / "exchange" / "wire"))
from stage_rig import order, play

PLACE = "POST /orders/regular"
__all__ = ["PLACE", "Talk", "client_at", "converse", "order", "script", "scripted", "served"]


def script(kind, route=PLACE, **more):
    """One fault, as a fault script has it."""
    lines = [f"  - kind: {kind}", f"    route: {route}"]
    lines += [f"    {name}: {value}" for name, value in more.items()]
    return "faults:\n" + "\n".join(lines)


@asynccontextmanager
async def client_at(url, token="a-token-of-the-day", **changes):
    """A client of a server of this machine."""
    changes = {"read_timeout_s": 5.0, "write_timeout_s": 5.0} | changes
    settings = msgspec.structs.replace(local_settings(url), api_key="kitestring", **changes)
    async with KiteHttp(settings) as http:
        yield KiteClient(settings, Secret(token), http)


class Talk:
    """A client, and the exchange's own books to judge it by."""

    def __init__(self, client, stage):
        self.client, self.stage = client, stage

    def requests(self, method="POST"):
        """What the wire ledger holds of order requests."""
        return self.stage.ledger.conversations(method, "/orders/")

    def sent_once(self, method="POST"):
        """The one request there was; judged by the exchange, not by the client."""
        (only,) = self.requests(method)
        return only

    async def place(self, **fields):
        return await self.client.place(order(**fields))

    async def resting(self, **fields):
        """An order that rests in the book, and its id."""
        order_id = (await self.place(**fields)).order_id
        await self.stage.until(lambda: self.stage.order(order_id)["status"] == "OPEN")
        return order_id


def converse(conversation, faults="", **changes):
    """Let a client and the exchange talk, with faults on the way."""

    async def hold(stage):
        async with client_at(stage.url, stage.token, **changes) as client:
            return await conversation(Talk(client, stage))

    return play(hold, faults)


@asynccontextmanager
async def served(answer, **options):
    """A server that hands each request (its bytes) and the connection to ``answer``."""
    heard = []

    async def connected(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                request = head + (await reader.readexactly(length) if length else b"")
                heard.append(request)
                await answer(request, writer, len(heard))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the end of a test cancels those that are still open
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()


def scripted(answer, conversation, **changes):
    """Let a client talk to such a server; returns what the conversation returns and what was heard."""

    async def hold():
        async with served(answer) as (url, heard), client_at(url, **changes) as client:
            return await conversation(client), heard

    return asyncio.run(hold())


def raw(body, status="200 OK", content_type="application/json", more=""):
    """An HTTP answer as bytes."""
    body = body.encode() if isinstance(body, str) else body
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status}\r\n{kind}Content-Length: {len(body)}\r\n{more}\r\n".encode() + body
