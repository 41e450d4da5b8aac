"""The last refusal of a run, from the end of the log of events: cheap, and there while the day runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

_TAIL: Final = 4 << 20
"""Bytes of the log that are looked at, from its end."""


class Refusal(msgspec.Struct, frozen=True):
    """What risk refused; ``ts`` is Indian time in ISO 8601."""

    ts: str
    code: str
    sentence: str
    strategy: str = ""
    symbol: str = ""


class _Line(msgspec.Struct):
    run: str = ""
    kind: str = ""
    verdict: str = ""
    ts: str | None = None
    code: str | None = None
    sentence: str | None = None
    strategy: str | None = None
    symbol: str | None = None


_decoder: Final = msgspec.json.Decoder(_Line)


def last_refusal(events: Path, run: str) -> Refusal | None:
    """The latest refusal by risk in a run, or ``None``; a line that is no line is passed over."""
    try:
        with events.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        if b'"BLOCK"' not in line and b'"HALT_SESSION"' not in line:
            continue
        try:
            found = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if found.run == run and found.verdict in {"BLOCK", "HALT_SESSION"}:
            return Refusal(
                found.ts or "",
                found.code or "",
                found.sentence or "",
                found.strategy or "",
                found.symbol or "",
            )
    return None
