"""A strategy that reads its decisions from a script: what to say at which minute of the session.

``2 BUY stop=-5 target=+8; 6 EXIT`` buys at the close of the second minute with a stop five rupees
below, and leaves at the sixth. The simulated days draw such scripts; nobody trades on them.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from kitestring.core.strategy import Inputs, StrategyDefinition
from kitestring.domain.signals import Action, Decision, hold

Line = tuple[str, dict[str, str]]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The script."""

    script: str = ""


class Nothing(msgspec.Struct, frozen=True):
    """It remembers nothing."""


_WAIT = hold("the script says nothing")


@lru_cache(maxsize=256)
def _lines(script: str) -> dict[int, Line]:
    lines: dict[int, Line] = {}
    for line in filter(None, (part.strip() for part in script.split(";"))):
        minute, word, *more = line.split()
        named = (each.partition("=") for each in more)
        lines[int(minute)] = (word, {name: level for name, _, level in named})
    return lines


def _level(text: str | None, close: float) -> float | None:
    return None if text is None else close + float(text)


def _decide(
    params: msgspec.Struct, state: msgspec.Struct, i: Inputs
) -> tuple[msgspec.Struct, Decision]:
    assert isinstance(params, Params)
    line = _lines(params.script).get(i.minute)
    if line is None:
        return state, _WAIT
    word, more = line
    if word == "RAISE":
        raise ZeroDivisionError("the script divides by zero")
    return state, Decision(
        Action[word],
        "script",
        stop=_level(more.get("stop"), i.close),
        target=_level(more.get("target"), i.close),
        trail=float(more["trail"]) if "trail" in more else None,
        exit_after_minutes=int(more["for"]) if "for" in more else None,
    )


SCRIPTED = StrategyDefinition(
    name="scripted",
    path=__file__,
    source_hash="0" * 64,
    idea="Says what its script says.",
    params_type=Params,
    state_type=Nothing,
    indicators=lambda params: {},  # noqa: ARG005 - it looks at nothing
    history=lambda params: 0,  # noqa: ARG005 - nor back
    decide=_decide,
)
