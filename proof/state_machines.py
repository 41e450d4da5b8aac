"""The parts that keep orders, money and limits, against models too simple to be wrong, step by step.

Hypothesis draws the steps; a run that breaks is shrunk to the shortest there is. A unit is a number of
runs of one machine under one seed; the machines take turns.
"""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from proof.machines import broker_books, call_limits, order_table, positions, takeover
from proof.tier import Broken, Outcome, Scale, Tier

MACHINES: Final[dict[str, type[Any]]] = {
    "order table": order_table.MACHINE,
    "positions": positions.MACHINE,
    "broker books": broker_books.MACHINE,
    "call limits": call_limits.MACHINE,
    "takeover": takeover.MACHINE,
}
RUNS: Final = 25
"""Of one unit: a machine's first run is always its shortest, so that one alone would show nothing."""
STEPS: Final = 60
LONG_STEPS: Final = 100
_LONG_FROM: Final = 101
"""Units beyond a proof's are of a soak, and longer."""


def broken_by(
    machine: type[Any], number: int, runs: int, steps: int, *, shortest: bool = True
) -> str:
    """What a machine's runs under a seed have broken, in a sentence; empty if nothing."""
    seeded: type[Any] = type(machine.__name__, (machine,), {})
    seed(number)(seeded)
    try:
        run_state_machine_as_test(
            seeded,
            settings=settings(
                max_examples=runs,
                stateful_step_count=steps,
                database=None,
                deadline=None,
                verbosity=Verbosity.quiet,
                phases=(Phase.generate, Phase.shrink) if shortest else (Phase.generate,),
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=False,
            ),
        )
    except Exception as error:  # noqa: BLE001 - whatever a run raises is what it found
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} (line {place.lineno}, {place.name})"
    return ""


def live(first: int, count: int) -> Outcome:
    """Run some units."""
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    for number in range(first, first + count):
        name = list(MACHINES)[(number - 1) % len(MACHINES)]
        steps = STEPS if number < _LONG_FROM else LONG_STEPS
        counts[f"runs.{name}"] += RUNS
        told = broken_by(MACHINES[name], number, RUNS, steps)
        if told:
            broken.append(
                Broken(
                    seed=number,
                    story=f"{name}: {told}",
                    again=f"python -m proof --tier state_machines --unit {number}",
                )
            )
    return Outcome(units=count, counts=dict(sorted(counts.items())), broken=tuple(broken))


TIER: Final = Tier(
    name="state_machines",
    unit=f"batches of {RUNS} runs",
    claim=(
        "Order table, positions, the broker's books, call limits and the guard's decisions agree with "
        "plain models after every step, whatever comes in whatever order."
    ),
    size={
        Scale.TEST: len(MACHINES),
        Scale.PROOF: 500 // RUNS * len(MACHINES),
        Scale.SOAK: 20_000 // RUNS * len(MACHINES),
    },
    batch=5,
    live=live,
)
