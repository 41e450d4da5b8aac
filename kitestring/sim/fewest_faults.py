"""Of everything that went wrong on a day, what made it break a promise: tried by leaving out the rest.

Each kind of fault, each fault of the line, each plug, the halt, the person's hands are left out one
after the other; what the day breaks its promise without did not matter. What is left is the story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from kitestring.sim.day_plan import DayPlan
from kitestring.sim.evidence import Evidence
from kitestring.sim.invariants import broken
from kitestring.sim.promises import Broken
from kitestring.sim.simulated_day import WorldBroke, simulate

_CHANGE: Final = msgspec.structs.replace


class Fewest(msgspec.Struct, frozen=True, kw_only=True):
    """The day with the fewest faults that still breaks the same promise."""

    day: Evidence
    found: list[Broken]
    without: tuple[str, ...]
    """What was left out, by name: ``kitestring simulate --seed N --without NAME``."""


def parts(plan: DayPlan) -> list[str]:
    """Everything that may be left out of a day, by name."""
    names = [f"fault:{kind}" for kind in dict.fromkeys(fault.kind for fault in plan.faults)]
    names += [f"line:{kind}" for kind in dict.fromkeys(line.kind for line in plan.lines)]
    names += [f"crash:{number}" for number, _ in enumerate(plan.crashes, 1)]
    given = {"halt": plan.halt, "meddling": plan.meddling, "hand": plan.hand}
    names += [name for name, value in given.items() if value]
    market = plan.market
    return names + (["quiet market"] if market.silences or market.locks else [])


def without(plan: DayPlan, names: Iterable[str]) -> DayPlan:
    """The same day with some parts left out; raises ``KeyError`` for a part it does not have."""
    gone = set(names)
    unknown = gone - set(parts(plan))
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    market = plan.market
    if "quiet market" in gone:
        market = _CHANGE(market, silences=(), locks=())
    return _CHANGE(
        plan,
        market=market,
        faults=tuple(each for each in plan.faults if f"fault:{each.kind}" not in gone),
        lines=tuple(each for each in plan.lines if f"line:{each.kind}" not in gone),
        crashes=tuple(
            each for number, each in enumerate(plan.crashes, 1) if f"crash:{number}" not in gone
        ),
        halt=None if "halt" in gone else plan.halt,
        meddling=() if "meddling" in gone else plan.meddling,
        hand=() if "hand" in gone else plan.hand,
    )


def fewest(
    plan: DayPlan, found: Sequence[Broken], live: Callable[[DayPlan], Evidence] = simulate
) -> Fewest:
    """Leave out what does not matter to the first promise that ``plan`` broke."""
    wanted = found[0].promise.split()[0]
    gone: list[str] = []
    best = None
    for name in parts(plan):
        less = without(plan, [*gone, name])
        try:
            day = live(less)
        except WorldBroke:
            continue
        still = broken(day)
        if any(each.promise.split()[0] == wanted for each in still):
            gone.append(name)
            best = Fewest(day=day, found=still, without=tuple(gone))
    return best or Fewest(day=live(plan), found=list(found), without=())
