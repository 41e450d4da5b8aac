"""What a house that runs must not show: secrets in files or command lines, doors to the network, open modes.

Everything is read from outside, as a stranger with an account on the machine would: the files below the
artifacts, and ``/proc`` of the programs.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_LISTENS: Final = "0A"
"""The kernel's number of a listening socket."""
_LOOPBACK: Final = ("127.", "::1")


def files_with(folder: Path, canaries: Sequence[str], *, but: Path) -> list[str]:
    """Every file below a folder that holds one of these texts, outside the folder meant for them."""
    wanted = [canary.encode() for canary in canaries]
    assert all(len(each) >= 8 for each in wanted), "a short text is found anywhere"
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_relative_to(but):
            content = path.read_bytes()
            found += [
                f"{path.relative_to(folder)} holds a secret." for each in wanted if each in content
            ]
    return found


def told_to_all(pid: int, canaries: Sequence[str]) -> list[str]:
    """A secret in a command line or a title can be read by everybody on the machine."""
    place = Path("/proc") / str(pid)
    shown = (place / "cmdline").read_bytes() + (place / "comm").read_bytes()
    return [f"Program {pid} shows a secret." for each in canaries if each.encode() in shown]


def doors(pid: int) -> Iterator[str]:
    """The addresses at which a program listens."""
    place = Path("/proc") / str(pid)
    sockets = set()
    for each in (place / "fd").iterdir():
        try:
            target = str(each.readlink())
        except OSError:  # It was closed meanwhile.
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = (place / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # A machine without IPv6.
            continue
        for line in lines:
            row = line.split()
            if row[3] == _LISTENS and row[9] in sockets:
                yield _address(row[1].partition(":")[0], family)


def _address(text: str, family: socket.AddressFamily) -> str:
    """The kernel writes words of four bytes, the last byte first."""
    raw = bytes.fromhex(text)
    words = (raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return socket.inet_ntop(family, b"".join(words))


def open_doors(pid: int) -> list[str]:
    """Doors that somebody on another machine could knock at."""
    return [
        f"Program {pid} listens at {each}." for each in doors(pid) if not each.startswith(_LOOPBACK)
    ]


def open_modes(secrets: Path) -> list[str]:
    """Secrets that somebody else on this machine could read."""
    return [
        f"{path.name} has mode {stat.S_IMODE(path.stat().st_mode):o}."
        for path in (secrets, *sorted(secrets.rglob("*")))
        if path.stat().st_mode & 0o077
    ]
