"""What an event loop can do elsewhere and must not do in virtual time, each refused with the reason."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any, NoReturn


class NotInVirtualTime(NotImplementedError):
    """Something was asked for that would bring real time, threads or sockets into the world."""


def refuse(what: str, instead: str) -> NoReturn:
    """Say why not, and what to do instead."""
    raise NotInVirtualTime(
        f"{what} has no place in virtual time: its outcome would depend on the machine.\n"
        f"  → {instead}"
    )


def _outside(what: str) -> NoReturn:
    refuse(what, "connect and listen through create_connection() and create_server()")


class RefusedCalls(AbstractEventLoop):
    """Files, pipes, signals, child programs, datagrams and bare sockets of the operating system."""

    def add_reader(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]  # refused whatever is given
        _outside("add_reader()")

    def remove_reader(self, *_: Any, **__: Any) -> NoReturn:
        _outside("remove_reader()")

    def add_writer(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]  # refused whatever is given
        _outside("add_writer()")

    def remove_writer(self, *_: Any, **__: Any) -> NoReturn:
        _outside("remove_writer()")

    def add_signal_handler(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]  # refused whatever is given
        _outside("add_signal_handler()")

    def remove_signal_handler(self, *_: Any, **__: Any) -> NoReturn:
        _outside("remove_signal_handler()")

    def set_default_executor(self, *_: Any, **__: Any) -> NoReturn:
        _outside("set_default_executor()")

    async def connect_accepted_socket(self, *_: Any, **__: Any) -> NoReturn:
        _outside("connect_accepted_socket()")

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> NoReturn:
        _outside("create_datagram_endpoint()")

    async def create_unix_connection(self, *_: Any, **__: Any) -> NoReturn:
        _outside("create_unix_connection()")

    async def create_unix_server(self, *_: Any, **__: Any) -> NoReturn:
        _outside("create_unix_server()")

    async def connect_read_pipe(self, *_: Any, **__: Any) -> NoReturn:
        _outside("connect_read_pipe()")

    async def connect_write_pipe(self, *_: Any, **__: Any) -> NoReturn:
        _outside("connect_write_pipe()")

    async def sendfile(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sendfile()")

    async def sock_accept(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_accept()")

    async def sock_recv(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_recv()")

    async def sock_recv_into(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_recv_into()")

    async def sock_recvfrom(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_recvfrom()")

    async def sock_recvfrom_into(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_recvfrom_into()")

    async def sock_sendall(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_sendall()")

    async def sock_sendfile(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_sendfile()")

    async def sock_sendto(self, *_: Any, **__: Any) -> NoReturn:
        _outside("sock_sendto()")

    async def start_tls(self, *_: Any, **__: Any) -> NoReturn:
        _outside("start_tls()")

    async def subprocess_exec(self, *_: Any, **__: Any) -> NoReturn:
        _outside("subprocess_exec()")

    async def subprocess_shell(self, *_: Any, **__: Any) -> NoReturn:
        _outside("subprocess_shell()")
