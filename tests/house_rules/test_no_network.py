"""No test may reach beyond this machine."""

import asyncio
import socket

import pytest


def test_an_outside_address_is_refused():
    with socket.socket() as line, pytest.raises(BaseException, match="tried to reach") as caught:
        line.connect(("192.0.2.1", 80))
    assert type(caught.value).__name__ == "NetworkForbidden"


def test_an_outside_name_is_not_even_looked_up():
    with pytest.raises(BaseException, match="tried to reach"):
        socket.getaddrinfo("example.invalid", 443)


def test_an_outside_datagram_is_refused():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line,
        pytest.raises(BaseException, match="tried to reach"),
    ):
        line.sendto(b"x", ("192.0.2.1", 53))


def test_this_machine_may_be_reached():
    async def talk() -> bytes:
        async def answer(_reader, writer):
            writer.write(b"open")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
        return said

    assert asyncio.run(talk()) == b"open"
