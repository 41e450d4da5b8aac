"""``kitestring status`` and ``rules-of-risk``: how the day stands, in forty columns for a phone."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from kitestring.cli.answer_text import RULE, gauge, labelled
from kitestring.domain.instants import ist, ist_clock
from kitestring.domain.money import money, show_rupees
from kitestring.domain.sessions import Session
from kitestring.engine.risk_rules import Rule
from kitestring.store.event_tail import Refusal
from kitestring.store.paths import RunState
from kitestring.store.state_store import LimitView, OrderView, PositionView, StateView

if TYPE_CHECKING:
    from kitestring.engine.live_standing import LiveStanding

PHONE = 40
_WORST = 3
_ORDERS_SHOWN = 6
_BEHIND = 100
_HOW = {
    RunState.SEALED: "finished",
    RunState.INTERRUPTED: "interrupted",
    RunState.RUNNING: "running",
    RunState.DAMAGED: "journal damaged",
}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything ``status`` shows."""

    state: StateView
    how: RunState | None
    """``None`` where the run's folder is gone."""
    session: Session | None
    refusal: Refusal | None
    age_s: float
    """How old the state file is, by the wall clock."""


def status_lines(status: Status) -> list[str]:
    """The day on a phone: no line is wider than 40 columns."""
    state = status.state
    now = dt.datetime.fromisoformat(state.timestamp)
    how = _HOW[status.how] if status.how is not None else "its folder is gone"
    lines = [f"{state.mode.upper()} {dt.date.fromisoformat(state.date):%a %d %b %Y}"]
    lines += [f"{now:%H:%M:%S} {how}", *_progress(status, now)]
    if state.risk.halted:
        lines += _wrapped(f"HALTED {_clock(state.risk.halted_at)} {state.risk.reason}")
    lines += ["", _pair("net after charges", _rupees(state.net_pnl, signed=True))]
    lines += [
        _pair("  realised", _rupees(state.realised_pnl, signed=True)),
        _pair("  unrealised", _rupees(state.unrealised_pnl, signed=True)),
        _pair("  charges", _rupees(state.charges)),
    ]
    held = [row for row in state.positions if row.quantity]
    lines += ["", f"positions {len(held) or 'none'}"]
    for row in held:
        lines += _position(row)
    lines.append(f"working orders {len(state.open_orders) or 'none'}")
    for order in state.open_orders[:_ORDERS_SHOWN]:
        lines.append(_order(order))
    if len(state.open_orders) > _ORDERS_SHOWN:
        lines.append(f"  and {len(state.open_orders) - _ORDERS_SHOWN} more")
    off = [name for name, view in state.strategies.items() if not view.on]
    waiting = [name for name, view in state.strategies.items() if view.on and not view.ready]
    for label, names in (("off", off), ("warming", waiting)):
        if names:
            lines += _wrapped(f"{label}: {', '.join(names)}")
    lines += ["", "risk used"]
    worst = sorted(state.risk.limits.items(), key=lambda row: -row[1].fraction)[:_WORST]
    lines += [_limit(key, view) for key, view in worst]
    if status.refusal is not None:
        refusal = status.refusal
        lines += ["", f"last refusal {_clock(refusal.ts)} {refusal.symbol}"[:PHONE]]
        lines += [
            f"  {text}" for text in _wrapped(f"{refusal.code}: {refusal.sentence}", PHONE - 2)
        ]
    lines += ["", f"written {_age(status.age_s)} ago"]
    if status.how is RunState.RUNNING and status.age_s > 60:
        lines += _wrapped("The day holds its journal but writes nothing: is it stopped?")
    return lines


def live_lines(live: LiveStanding) -> list[str]:
    """A live day that was asked itself, on a phone."""
    state = live.state
    status = Status(state=state, how=RunState.RUNNING, session=None, refusal=None, age_s=0.0)
    head, clock, *rest = status_lines(status)
    word = "armed" if live.armed else "reduce only"
    if live.armed and (state.risk.halted or live.halt_file):
        word = "halted"
    lines = [head, f"{clock}, {word}", f"feed {live.feed}"]
    if live.guard:
        lines += _wrapped(f"guard: {live.guard}")
    if live.halt_file:
        lines += _wrapped(live.halt_file)
    elif live.entries and not state.risk.halted:
        lines += _wrapped(f"no entries: {live.entries}")
    if live.untrusted and live.untrusted != live.entries:
        lines += _wrapped(f"NOT EXPLAINED: {live.untrusted}")
    if live.waiting > _BEHIND:
        lines += _wrapped(f"{live.waiting} things wait in its inbox: it is behind")
    rest[-1] = "asked just now"
    return lines + rest


def status_answer(status: Status) -> dict[str, object]:
    """The state file itself, with what ``status`` adds to it."""
    return {
        "how": None if status.how is None else _HOW[status.how],
        "age_s": round(status.age_s, 1),
        "last_refusal": status.refusal,
        "state": status.state,
    }


def rules_lines(
    rules: Sequence[Rule], used: Mapping[str, LimitView], source: str, run: str
) -> list[str]:
    """Every rule of risk, with how much of it is used in the run shown."""
    lines = [f"The rules of risk · {source}"]
    lines.append(f"used: as of run {run}" if run else "used: no day was traded here yet")
    lines.append(RULE)
    for rule in rules:
        if not rule.key:
            continue
        view = used.get(rule.key)
        gauged = ""
        if view is not None and rule.value != "off":
            gauged = _used(view)
        codes = ", ".join(rule.codes) or "ticks kept out"
        lines.append(f"{rule.key:<24} {rule.value}")
        lines.append(f"    {codes}")
        if gauged:
            lines.append(f"    {gauged}")
        lines += labelled("", rule.meaning, indent=4)
    lines += [RULE, "Each strategy's own, where its settings give it", ""]
    for rule in rules:
        if rule.own:
            lines += labelled(f"{rule.own:<17} {rule.codes[0]}", rule.meaning, indent=36)
            for key, view in used.items():
                if key.endswith(f".{rule.own}"):
                    lines.append(f"    {key}")
                    lines.append(f"    {_used(view)}")
    lines += [RULE, "Always asked; these have no key and cannot be switched off", ""]
    for rule in rules:
        if not rule.key and not rule.own:
            lines += labelled(rule.codes[0], rule.meaning, indent=18)
    return lines


def _used(view: LimitView) -> str:
    return f"{gauge(view.fraction)} {view.fraction:>4.0%} {view.used} of {view.limit}"


def rules_answer(rules: Sequence[Rule], used: Mapping[str, LimitView]) -> list[dict[str, object]]:
    """The same for a machine."""
    return [
        {
            "key": rule.key or (f"strategies[].{rule.own}" if rule.own else None),
            "codes": rule.codes,
            "meaning": rule.meaning,
            "value": rule.value,
            "used": used.get(rule.key),
        }
        for rule in rules
    ]


def _progress(status: Status, now: dt.datetime) -> list[str]:
    session = status.session
    if session is None:
        return []
    begin, end = ist(session.open_at), ist(session.close_at)
    part = min(1.0, max(0.0, (now - begin) / (end - begin)))
    shown = f"{ist_clock(session.open_at)[:5]} {gauge(part, 20)} {ist_clock(session.close_at)[:5]}"
    return [f"{shown} {part:>4.0%}"]


def _position(row: PositionView) -> list[str]:
    stop = f"stop {_rupees(row.stop_price)}" if row.stop_price is not None else "NO STOP"
    return [
        _pair(f"  {row.symbol}", f"{row.quantity:+d}"),
        _pair(f"    {stop}", _rupees(row.unrealised_pnl, signed=True)),
    ]


def _order(order: OrderView) -> str:
    px = order.trigger_price if order.trigger_price is not None else order.price
    left = order.quantity - order.filled_quantity
    what = f"  {order.order_type} {order.side} {left} {order.symbol}"
    return _pair(what, _rupees(px) if px is not None else "")


def _limit(key: str, view: LimitView) -> str:
    name = key.removeprefix("max_").removesuffix("_pct").removesuffix("_x").replace("_", " ")
    return f"  {name[:20]:<20} {gauge(view.fraction)} {view.fraction:>4.0%}"


def _pair(left: str, right: str) -> str:
    """A label and a figure at the two ends of a phone's line; the label gives way."""
    room = PHONE - len(right) - 1
    return f"{left[:room]:<{room}} {right}".rstrip()


def _wrapped(text: str, width: int = PHONE) -> list[str]:
    return textwrap.wrap(text, width)


def _rupees(amount: Decimal, *, signed: bool = False) -> str:
    return show_rupees(money(amount.quantize(Decimal("0.0001"))), signed=signed)


def _clock(text: str | None) -> str:
    """``11:24:00`` of an Indian time in ISO 8601 or as the state file writes it."""
    return text[11:19] if text is not None else ""


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 48 * 3600 else f"{whole // 86_400} days"
