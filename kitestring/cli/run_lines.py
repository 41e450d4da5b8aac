"""``kitestring days``, ``compare`` and ``journal verify``: runs in lines and columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import starmap

from kitestring.cli.answer_text import RULE, labelled
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import ist, ist_clock
from kitestring.domain.money import (
    UNITS_PER_RUPEE,
    Money,
    average_px,
    decimal_rupees,
    show_rupees,
)
from kitestring.engine.comparison import Comparison, Contrast, Difference, Outcome
from kitestring.engine.run_card import RunFigures
from kitestring.store.journal import VerifyResult
from kitestring.store.paths import RunState

STATES = {
    RunState.SEALED: "finished",
    RunState.INTERRUPTED: "interrupted",
    RunState.RUNNING: "running",
    RunState.DAMAGED: "damaged",
}
_DIFFERENCES_SHOWN = 40
_PAISA = UNITS_PER_RUPEE // 100


def days_lines(runs: Sequence[RunFigures]) -> list[str]:
    """Every run in a line; the newest last."""
    head = ("date", "state", "market", "fills by", "orders", "trades", "net", "run")
    rows = [head, *map(_day, runs)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    right = {4, 5, 6}
    lines = [
        "  ".join(
            cell.rjust(widths[place]) if place in right else cell.ljust(widths[place])
            for place, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
    for run in runs:
        if run.problem:
            lines += labelled("", f"{run.run}: {run.problem}", indent=2)
    return lines


def days_answer(runs: Sequence[RunFigures]) -> list[dict[str, object]]:
    """The same for a machine; amounts are exact decimal rupees."""
    return [
        {
            "run": run.run,
            "date": run.date.isoformat(),
            "mode": run.mode,
            "state": STATES[run.state],
            "feed": run.feed,
            "seed": run.seed,
            "fill_model": run.fill_model,
            "charges_name": run.charges_name,
            "at": ist(run.at).isoformat() if run.at else None,
            "orders": run.orders,
            "fills": run.fills,
            "trades": run.trades,
            "wins": run.wins,
            "refusals": run.refusals,
            "gross": decimal_rupees(run.gross),
            "charges": decimal_rupees(run.charges),
            "slippage": decimal_rupees(run.slippage),
            "net": decimal_rupees(run.net),
            "problem": run.problem,
        }
        for run in runs
    ]


def _day(run: RunFigures) -> tuple[str, ...]:
    state = STATES[run.state]
    if run.state in {RunState.INTERRUPTED, RunState.RUNNING} and run.at:
        state += f" {ist_clock(run.at)[:5]}"
    if run.state is RunState.DAMAGED:
        return (f"{run.date:%d %b %Y}", state, "–", "–", "–", "–", "–", run.run)
    return (
        f"{run.date:%d %b %Y}",
        state,
        run.feed or "–",
        run.fill_model or "–",
        str(run.orders),
        str(run.trades),
        show_rupees(run.net, signed=True),
        run.run,
    )


def compare_lines(found: Comparison) -> list[str]:
    """Two runs side by side, their differing decisions, and where the rupees come from."""
    one, two = found.first, found.second
    lines = [f"1  {one.run} · {_made_of(one)}", f"2  {two.run} · {_made_of(two)}", RULE]
    figures: list[tuple[str, str, str, str]] = [("", "1", "2", "2 − 1")]
    figures += starmap(
        _count_row,
        (
            ("orders", one.orders, two.orders),
            ("fills", one.fills, two.fills),
            ("round trips", one.trades, two.trades),
            ("won", one.wins, two.wins),
            ("refused by risk", one.refusals, two.refusals),
        ),
    )
    figures += starmap(
        _money_row,
        (
            ("gross", one.gross, two.gross),
            ("charges", one.charges, two.charges),
            ("slippage", one.slippage, two.slippage),
            ("net", one.net, two.net),
        ),
    )
    widths = [max(len(row[place]) for row in figures) for place in range(4)]
    lines += [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
        for row in figures
    ]
    lines += [RULE, *_decisions(found)]
    lines += [RULE, *_rupees(found)]
    if found.parting is not None:
        lines += [RULE, "where they part first"]
        lines += textwrap.wrap(
            found.parting.sentence, len(RULE), initial_indent="  ", subsequent_indent="  "
        )
    return lines


def compare_answer(found: Comparison) -> dict[str, object]:
    """The same for a machine."""
    first, second = days_answer((found.first, found.second))
    return {
        "first": first,
        "second": second,
        "parting": None if found.parting is None else found.parting.sentence,
        "same_decisions": found.same,
        "differences": [
            {
                "bar_close_at": ist(one.decided.bar_close_at).isoformat(),
                "strategy": one.decided.strategy,
                "action": one.decided.action,
                "how": one.how.value,
                "first": _outcome_answer(one.first),
                "second": _outcome_answer(one.second),
                "rupees": None if one.rupees is None else decimal_rupees(one.rupees),
            }
            for one in found.differences
        ],
        "rupees_from": [
            {"what": one.what, "rupees": decimal_rupees(one.rupees), "trades": one.trades}
            for one in found.sources
        ],
    }


def verify_lines(result: VerifyResult, *, running: bool) -> list[str]:
    """What verifying a journal found."""
    good = "verifies" if not result.damage else "is DAMAGED"
    lines = [f"The journal {good}.", *labelled("file", result.path, indent=9)]
    lines += labelled("run", result.run_key or "not known", indent=9)
    lines += labelled("commits", f"{result.commits} verified", indent=9)
    lines += labelled("head", result.head or "none", indent=9)
    if result.damage:
        lines += labelled("damage", f"at commit {result.damaged_commit}: {result.damage}", indent=9)
    elif running:
        lines += labelled("day", "running; verified as far as it was written just now", indent=9)
    else:
        lines += labelled("day", "sealed" if result.sealed else "not sealed", indent=9)
    return lines


def _outcome_answer(outcome: Outcome | None) -> dict[str, object] | None:
    if outcome is None:
        return None
    px = decimal_rupees(average_px(outcome.value, outcome.qty)) if outcome.qty else None
    return {"verdict": outcome.verdict, "quantity": outcome.qty, "average_price": px}


def _made_of(run: RunFigures) -> str:
    return f"{run.date:%d %b %Y}, {run.feed}, fills {run.fill_model}, {STATES[run.state]}"


def _count_row(name: str, one: int, two: int) -> tuple[str, str, str, str]:
    return name, str(one), str(two), f"{two - one:+d}" if one != two else "="


def _money_row(name: str, one: Money, two: Money) -> tuple[str, str, str, str]:
    return (
        name,
        show_rupees(one, signed=name in {"gross", "net"}),
        show_rupees(two, signed=name in {"gross", "net"}),
        show_rupees(two - one, signed=True) if one != two else "=",
    )


def _decisions(found: Comparison) -> list[str]:
    lines = [f"{found.same} decisions the same, {len(found.differences)} different"]
    for one in found.differences[:_DIFFERENCES_SHOWN]:
        signal = (one.first or one.second or _nobody()).signal
        head = f"{ist_clock(one.decided.bar_close_at)[:5]} {one.decided.action:<4}"
        told = f"{one.decided.strategy} {symbol_of(signal.instrument)}: {_told(one)}"
        lines += labelled(head, told, indent=11)
    if len(found.differences) > _DIFFERENCES_SHOWN:
        lines.append(f"… and {len(found.differences) - _DIFFERENCES_SHOWN} more (--json has all)")
    return lines


def _told(one: Difference) -> str:
    first, second = one.first, one.second
    if first is None or second is None:
        there = first or second or _nobody()
        px = show_rupees(average_px(there.value, there.qty)) if there.qty else ""
        did = f"{there.qty} at {px}" if px else there.verdict or there.signal.reason
        return f"{one.how} ({did})"
    match one.how:
        case Contrast.VERDICT:
            return f"{first.verdict or 'no verdict'} | {second.verdict or 'no verdict'}"
        case Contrast.QUANTITY:
            return f"{first.qty} | {second.qty} filled"
        case _:
            one_px, two_px = (
                average_px(first.value, first.qty),
                average_px(second.value, second.qty),
            )
            rupees = show_rupees(one.rupees, signed=True) if one.rupees is not None else ""
            return f"{first.qty} at {show_rupees(one_px)} | {show_rupees(two_px)}: {rupees}"


def _nobody() -> Outcome:
    raise AssertionError("a difference is in one run at least")


def _rupees(found: Comparison) -> list[str]:
    whole = found.second.net - found.first.net
    if not found.sources and not whole:
        return ["No rupee of difference."]
    rows = [
        (source.what, source.rupees, source.trades)
        for source in found.sources
        if source.trades or abs(int(source.rupees)) >= _PAISA
    ]
    width = max(len(what) for what, _, _ in (*rows, ("the difference in net", whole, 0)))
    amounts = [show_rupees(rupees, signed=True) for _, rupees, _ in rows]
    total = show_rupees(whole, signed=True)
    wide = max(map(len, (*amounts, total)))
    lines = ["Where it comes from (+: the second run has more)"]
    for (what, _, trades), amount in zip(rows, amounts, strict=True):
        count = f"  {trades} trade{'s' if trades != 1 else ''}" if trades else ""
        lines.append(f"  {what:<{width}}  {amount:>{wide}}{count}")
    return [*lines, f"  {'the difference in net':<{width}}  {total:>{wide}}"]
