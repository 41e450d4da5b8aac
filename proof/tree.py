"""Which code was tried: one hash over everything a proof depends on, and the commit it came from.

The hash covers, in the order of their paths, name and bytes of: every ``.py``, ``.toml``, ``.css``,
``.js`` and ``.yaml`` file beneath ``kitestring/`` and ``proof/``; every ``.py`` file beneath ``tests/``
that is not itself a test (``test_*.py``), because tiers use such rigs; and the dev lock file. It is
taken from the files as they lie there, not from git, so that a change nobody committed counts.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_KINDS: Final = frozenset({".py", ".toml", ".css", ".js", ".yaml"})


def files_of(root: Path) -> Iterator[Path]:
    """What the hash covers, in order."""
    for name in ("kitestring", "proof"):
        yield from sorted(path for path in (root / name).rglob("*") if path.suffix in _KINDS)
    rigs = (root / "tests").rglob("*.py")
    yield from sorted(path for path in rigs if not path.name.startswith("test_"))
    lock = root / "requirements" / "dev.lock"
    if lock.exists():
        yield lock


def tree_hash(root: Path = ROOT) -> str:
    """The same 16 digits wherever the same code lies."""
    whole = hashlib.sha256()
    for path in files_of(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return whole.hexdigest()[:16]


def commit_of(root: Path = ROOT) -> str:
    """The commit, ``-changed`` behind it where files differ from it; "no commit" in an unpacked archive."""

    def git(*words: str) -> str | None:
        try:
            asked = subprocess.run(  # noqa: S603 - our own words
                ["git", "-C", str(root), *words],  # noqa: S607 - whichever git the reader has
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return None
        return asked.stdout.strip() if asked.returncode == 0 else None

    head = git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "no commit"
    shown = ("kitestring", "proof", "tests", "requirements")
    return head + ("-changed" if git("status", "--porcelain", "--", *shown) else "")
