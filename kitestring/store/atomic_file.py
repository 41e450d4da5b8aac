"""Files that other programs read are replaced whole: a reader sees the old one or the new one.

The law: a crash at any byte leaves one of the two, never a mixture, and never an empty file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut (Windows has no such call, nor the need)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(
    path: Path, content: bytes, *, durable: bool = False, private: bool = False
) -> None:
    """Replace a file's content; ``durable`` also waits for the disk. Raises ``OSError``.

    ``private``: nobody but the owner can read it, not even while it is being written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if private:
            temporary.unlink(missing_ok=True)
        mode = 0o600 if private else 0o666
        flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if private else os.O_TRUNC)
        flags |= getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def copy_atomically(source: Path, target: Path) -> None:
    """Replace ``target`` by a real copy of ``source`` (no link: Windows). Raises ``OSError``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
