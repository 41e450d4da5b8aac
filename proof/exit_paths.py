"""Getting out, ten thousand times: gaps, ranges, thin books, refusals, lost answers, people and the close.

Each path is one or two positions and everything that can stand between them and flat. At its end
each is flat at the exchange, or a person was told by name why not.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from kitestring.domain.instants import SECOND, ist_clock
from kitestring.domain.orders import OrdStatus, Product
from proof.exit_day import ExitPath
from proof.exit_plan import ExitPlan, plan_path
from proof.tier import Broken, Outcome, Scale, Tier

NAMED: Final = ("exit stuck", "not flat", "frozen", "unprotected position")
"""The codes under which a person is told that a position is still open."""
RECOVERED_WITHIN: Final = 150 * SECOND
"""Once nothing goes wrong any more, a position that is being left is out by then: the longest wait
after refusals is a minute, the slow pace a quarter of one, and both may come after each other."""


def judge(path: ExitPath, left: Counter[str]) -> list[str]:
    """Every promise this path broke, in a trader's words."""
    told = [*path.watch.broken, *path.broken]
    core, at, plan = path.core, path.now, path.plan
    ours = sum(book.net_qty for book in core.portfolio.books.values())
    frozen = bool(core.view.state.frozen)
    if (
        path.post.quiet
        and not frozen
        and (abs(path.watch.account) < abs(ours) or path.watch.account * ours < 0)
    ):
        told.append(f"the house believes in {ours:+}, the exchange holds {path.watch.account:+}")
    for name, book in core.portfolio.books.items():
        if not book.net_qty:
            continue
        trade = book.trade
        assert trade is not None
        over = plan.product is Product.MIS and at >= plan.session.square_off_at
        if trade.leaving is None and not over:
            left["left.under its stop" if trade.stop_px is not None else "left.as planned"] += 1
            continue
        since = path.leaving.get(name, 0)
        reasons = [
            note
            for note in path.notes
            if note.kind in NAMED and note.at >= since and plan.instrument.id in note.sentence
        ]
        if not reasons:
            told.append(f"{name} holds {book.net_qty:+} ({trade.leaving}) and nobody was told why")
            continue
        left[f"left.{reasons[-1].kind}"] += 1
        unknown = any(
            order.status is OrdStatus.UNKNOWN or order.status is OrdStatus.PENDING_NEW
            for order in core.orders.working(name)
        )
        began = max(plan.calm_at, since)
        tradable = min(at, plan.session.close_at) - began >= RECOVERED_WITHIN
        spent = path.post.governor.orders_today >= path.post.governor.limits.per_day
        refuses = plan.freeze_qty != plan.instrument.freeze_qty
        if tradable and not (unknown or frozen or spent or refuses):
            told.append(
                f"{name} still holds {book.net_qty:+} at {ist_clock(at)}, although nothing has gone "
                f"wrong since {ist_clock(began)}: {reasons[-1].sentence}"
            )
    return told


def story(plan: ExitPlan, told: list[str]) -> str:
    """What the path was, and what broke on it."""
    first = (
        f"{plan.instrument.symbol} {plan.product}, {plan.lots} lot(s), {' | '.join(plan.scripts)}; "
        f"calm from {ist_clock(plan.calm_at)}"
    )
    return f"{first}. {'; '.join(told[:3])}"


def live(first: int, count: int) -> Outcome:
    """Live some paths."""
    counts: Counter[str] = Counter()
    spread: dict[str, Counter[int]] = {
        name: Counter() for name in ("naked_ms", "bare_ms", "out_ms", "exit_wait_ms")
    }
    broken: list[Broken] = []
    for number in range(first, first + count):
        path = ExitPath(plan_path(number)).live()
        counts.update(path.post.counts)
        told = judge(path, counts)
        if told:
            broken.append(Broken(seed=number, story=story(path.plan, told), again=again(number)))
        spread["naked_ms"].update(path.watch.naked_ms)
        spread["bare_ms"].update(path.watch.bare_ms)
        spread["out_ms"].update(path.out_ms)
        spread["exit_wait_ms"].update(path.post.exit_waits_ms)
        counts.update(f"said.{note.kind}" for note in path.notes if note.kind in NAMED)
    return Outcome(
        units=count,
        counts=dict(sorted(counts.items())),
        spread={name: dict(sorted(values.items())) for name, values in spread.items()},
        broken=tuple(broken),
    )


def again(number: int) -> str:
    """The command that lives a path again."""
    return f"python -m proof --tier exit_paths --unit {number}"


TIER: Final = Tier(
    name="exit_paths",
    unit="paths",
    claim=(
        "Every position is flat by its deadline or a person is told by name why not; exits never "
        "exceed or flip it, and no limit, HALT or spent budget of entries blocks one."
    ),
    size={Scale.TEST: 150, Scale.PROOF: 10_000, Scale.SOAK: 200_000},
    batch=400,
    live=live,
)
