"""Tiers that cost nothing, for the tests of the runner: what a unit does is named by its number.

A file ``lived`` in the folder of ``MADE_UP`` gets a line for each unit.
"""

import os
import signal
import time
from pathlib import Path

from proof.tier import Broken, Outcome, Scale, Tier


def note(line):
    with (Path(os.environ["MADE_UP"]) / "lived").open("a") as file:
        file.write(line + "\n")


def good(first, count):
    for unit in range(first, first + count):
        note(f"good {unit}")
    print("a tier may print what it likes")
    return Outcome(units=count, counts={"orders": count, "fault.no_answer": 2},
                   spread={"naked_ms": dict.fromkeys(range(first, first + count), 1)})  # fmt: skip


def slow(first, count):
    time.sleep(0.2)
    return good(first, count)


def bad(first, count):
    broken = tuple(
        Broken(seed=unit, story=f"Unit {unit} lost an order.", again="again")
        for unit in range(first, first + count)
        if unit == 3
    )
    return Outcome(units=count, counts={"lost": len(broken)}, broken=broken)


def dies(first, count):
    if first <= 2 < first + count:
        os.write(2, b"my last words\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return good(first, count)


def hangs(first, count):
    if first <= 2 < first + count:
        time.sleep(600)
    return good(first, count)


def raises(first, count):
    raise ValueError("this tier is wrong")


def liar(first, count):
    return Outcome(units=count - 1, counts={"doubled": 1})


def beside(first, count):
    """Notes whether anybody else runs at the same time."""
    busy = Path(os.environ["MADE_UP"]) / "busy"
    if busy.exists():
        note("not alone")
    busy.touch()
    time.sleep(0.1)
    busy.unlink()
    return good(first, count)


def of(name, live, units=4, batch=2, **more):
    size = {Scale.TEST: 1, Scale.PROOF: units, Scale.SOAK: 10 * units}
    return Tier(name=name, unit="units", claim=f"{name} is {name}.", size=size, batch=batch,
                live=live, **more)  # fmt: skip


EVERY = {
    "good": of("good", good),
    "slow": of("slow", slow, units=8, batch=1),
    "bad": of("bad", bad),
    "dies": of("dies", dies),
    "hangs": of("hangs", hangs),
    "raises": of("raises", raises, units=1),
    "liar": of("liar", liar, units=2),
    "beside": of("beside", beside, batch=1, alone=True),
}
TIERS = tuple(EVERY[name] for name in os.environ.get("MADE_UP_TIERS", "good").split())
