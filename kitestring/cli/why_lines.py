"""``kitestring why``: a strategy's day in a dozen lines, or one bar of it with the numbers it saw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from kitestring.cli.answer_text import RULE, labelled, number
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import Instant, ist, ist_clock
from kitestring.domain.money import charge_as_money, show_rupees
from kitestring.domain.signals import Action
from kitestring.domain.verdicts import Approved, Blocked, HaltSession, Reduced
from kitestring.engine.second_hearing import Hearing, Said
from kitestring.engine.why import Idea, Why, said_at
from kitestring.store.run_reader import Recorded

_NEVER_SHOWN = frozenset(
    {"open", "high", "low", "close", "volume", "date", "minute", "position", "session_minutes"}
    | {"bars_today", "incomplete"}
)


def why_lines(day: Why, recorded: Recorded) -> list[str]:
    """The whole day of one strategy."""
    lines = [*_head(day, recorded)]
    lines += labelled("bars", _bars(day))
    if day.ready is not None:
        missed = f"; {day.ready.missed}" if day.ready.missed else ", nothing of the day missed"
        lines += labelled("ready", f"{ist_clock(day.ready.at)} on {day.ready.bars} bars{missed}")
    elif not day.decided:
        lines += labelled("ready", "never")
    if day.off is not None:
        lines += labelled("switched off", f"{ist_clock(day.off.at)} {day.off.error}")
    actions = Counter(signal.action.value for signal in day.signals)
    spoken = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    lines += labelled("signals", f"{len(day.signals)}: {spoken}" if spoken else "none")
    lines += _holds(day)
    lines += _nearest(day)
    lines += _refusals(day)
    for halt in day.halts:
        lines += labelled("halted", f"{ist_clock(halt.at)} {halt.code}: {halt.sentence}")
    lines += labelled("traded", _traded(day))
    step, what = day.blocked_step
    lines.append("")
    lines += labelled("→", f"{step}: {what}" if step else "nothing stood in its way", indent=2)
    if day.unheard:
        lines += ["", *labelled("note", day.unheard, indent=6)]
    return lines


def at_lines(day: Why, recorded: Recorded, at: Instant) -> list[str]:
    """What it said on the bar that closed at or before an instant, and on what numbers."""
    lines = [*_head(day, recorded)]
    hearing = day.hearing
    if hearing is None:
        return [*lines, *labelled("note", f"Not known: {day.unheard}.", indent=6)]
    said = said_at(hearing, at)
    asked = f"{ist(at):%H:%M}"
    if said is None:
        return [*lines, *labelled("", _silent(hearing, at, asked), indent=0)]
    bar = said.bar
    if at - bar.close_at >= bar.close_at - bar.open_at > 0:
        lines += labelled("asked", f"{asked}; the last bar it decided on before that")
    lines += labelled("bar", _bar(said))
    lines += labelled("said", f"{said.action}: {said.reason}")
    if said.place is not None and said.place.condition:
        lines += labelled("because", _place(day, said))
        values = _values(said)
        if values:
            lines += labelled("", values)
    read = " · ".join(
        f"{name} {number(value)}" for name, value in said.inputs.items() if name not in _NEVER_SHOWN
    )
    lines += labelled("read", read or "no indicators")
    held = {1: "long", -1: "short"}.get(said.position, "flat")
    lines += labelled("position", f"{held} when it was asked")
    lines += _became(day, said)
    if day.unheard:
        lines += ["", *labelled("note", day.unheard, indent=6)]
    return lines


def why_answer(day: Why, recorded: Recorded, at: Instant | None) -> dict[str, object]:
    """The same for a machine."""
    step, what = day.blocked_step
    answer: dict[str, object] = {
        "run": recorded.run,
        "running": recorded.running,
        "strategy": day.strategy,
        "bars_before": day.bars_before,
        "bars_today": day.bars_today,
        "decided": day.decided,
        "ready_at": None if day.ready is None else ist(day.ready.at).isoformat(),
        "missed": None if day.ready is None else day.ready.missed,
        "switched_off": None if day.off is None else day.off.error,
        "signals": [
            {
                "at": ist(signal.at).isoformat(),
                "action": signal.action.value,
                "reason": signal.reason,
                "signal_id": signal.signal_id,
            }
            for signal in day.signals
        ],
        "holds": dict(day.holds),
        "nearest_miss": None if day.nearest is None else _said_answer(day.nearest),
        "refusals": [
            {
                "at": ist(refusal.at).isoformat(),
                "side": refusal.side.value,
                "code": refusal.code,
                "sentence": refusal.sentence,
                "signal_id": refusal.signal_id,
            }
            for refusal in day.refusals
        ],
        "rejected_by_exchange": {row.cl_ord_id: row.reason for row in day.rejected},
        "fills": day.fills,
        "trades": len(day.trades),
        "first_blocked_step": {"step": step, "what": what} if step else None,
        "note": day.unheard,
    }
    if at is not None:
        said = said_at(day.hearing, at) if day.hearing is not None else None
        answer["at"] = None if said is None else _said_answer(said)
    return answer


def _said_answer(said: Said) -> dict[str, object]:
    return {
        "bar_close_at": ist(said.bar.close_at).isoformat(),
        "action": said.action.value,
        "reason": said.reason,
        "signal": said.signal,
        "position": said.position,
        "line": said.place.lines[-1] if said.place is not None else None,
        "condition": said.place.condition if said.place is not None else "",
        "inputs": {
            name: None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN
            for name, value in said.inputs.items()
        },
    }


def _head(day: Why, recorded: Recorded) -> list[str]:
    where = f"{recorded.paths.date:%a %d %b %Y} · {recorded.run}"
    row = day.settings
    if row is not None:
        span = f"{row.minutes}m" if row.minutes else "day"
        reads = f"{span} bars of {symbol_of(row.source)}"
        trades = "" if row.source == row.instrument else f", trades {symbol_of(row.instrument)}"
        head = [f"{day.strategy} · {reads}{trades}", where]
    else:
        head = [day.strategy, where]
    if recorded.running:
        head.append(f"The day is running: as recorded up to {ist_clock(recorded.at)}.")
    return [*head, RULE]


def _bars(day: Why) -> str:
    text = f"{day.bars_today} today"
    if day.bars_before:
        text += f", {day.bars_before} from before the open"
    if day.hearing is not None:
        text += f"; it needs {day.hearing.needed}"
    return f"{text}; decided on {day.decided}"


def _holds(day: Why) -> list[str]:
    total = sum(count for _, count in day.holds)
    lines = labelled("held", f"{total} of {day.decided} bars" if total else "never")
    width = len(str(day.holds[0][1])) if day.holds else 0
    for reason, count in day.holds:
        lines += labelled("", f"{count:>{width}} × {reason}")
    return lines


def _nearest(day: Why) -> list[str]:
    said = day.nearest
    if said is None:
        return []
    lines = labelled("nearest miss", f"{ist_clock(said.bar.close_at)[:5]} {said.reason}")
    if said.place is not None and said.place.condition:
        lines += labelled("", _place(day, said))
        values = _values(said)
        if values:
            lines += labelled("", values)
    told = "(the HOLD while flat that was given furthest down the strategy's text: it passed the "
    return lines + labelled("", f"{told}most of its conditions; it says nothing of distance)")


def _place(day: Why, said: Said) -> str:
    place = said.place
    assert place is not None
    return f"{place.condition}  [{Path(day.path).name}:{place.lines[-1]}]"


def _values(said: Said) -> str:
    place = said.place
    assert place is not None
    return " · ".join(f"{name} {number(value)}" for name, value in place.values.items())


def _refusals(day: Why) -> list[str]:
    """Each refusal with its time; the same one again only with its time."""
    lines: list[str] = []
    alike: dict[tuple[str, str, str], list[str]] = {}
    for refusal in day.refusals:
        what = f"{refusal.side} {symbol_of(refusal.instrument)}"
        times = alike.setdefault((what, refusal.code, refusal.sentence), [])
        times.append(ist_clock(refusal.at))
    for place, ((what, code, sentence), times) in enumerate(alike.items()):
        told = f"{times[0]} {what} {code}: {sentence}"
        lines += labelled("refused" if place == 0 else "", told)
        if len(times) > 1:
            lines += labelled("", f"and again at {', '.join(times[1:])}", indent=23)
    for place, row in enumerate(day.rejected):
        told = f"{ist_clock(row.updated_at)} {row.cl_ord_id}: {row.reason}"
        lines += labelled("rejected" if place == 0 else "", told)
    return lines


def _traded(day: Why) -> str:
    entries = sum(len(idea.orders) for idea in day.ideas)
    if not entries:
        return "no order was sent"
    text = f"{_count(entries, 'entry', 'entries')}, {_count(day.fills, 'fill')}, "
    text += _count(len(day.trades), "round trip")
    if day.trades:
        net = sum(
            int(trade.gross) - int(charge_as_money(trade.charges.total)) for trade in day.trades
        )
        text += f", net {show_rupees(type(day.trades[0].gross)(net), signed=True)}"
    return text


def _count(count: int, one: str, more: str = "") -> str:
    return f"{count} {one}" if count == 1 else f"{count} {more or one + 's'}"


def _silent(hearing: Hearing, at: Instant, asked: str) -> str:
    shown = [count for close_at, count in hearing.seen if close_at <= at]
    if not shown:
        return f"By {asked} no bar of its timeframe had closed."
    return (
        f"By {asked} it had decided on no bar: it was shown {shown[-1]} and needs {hearing.needed}."
    )


def _bar(said: Said) -> str:
    bar = said.bar
    text = f"{ist_clock(bar.open_at)[:5]} to {ist_clock(bar.close_at)[:5]} "
    text += " ".join(
        f"{letter} {show_rupees(px).replace('₹', '')}"
        for letter, px in (("O", bar.open), ("H", bar.high), ("L", bar.low), ("C", bar.close))
    )
    if bar.volume:
        text += f" V {bar.volume}"
    return text + (" (ticks are missing)" if bar.incomplete else "")


def _became(day: Why, said: Said) -> list[str]:
    if said.action is Action.HOLD:
        return []
    if not said.signal:
        return labelled("became", "nothing: the house took no entry on this bar (see held, above)")
    for signal in day.signals:
        if signal.bar_close_at == said.bar.close_at and signal.action is Action.EXIT:
            return labelled("became", f"the exit of the position at {ist_clock(signal.at)}")
    ideas = [idea for idea in day.ideas if idea.signal.bar_close_at == said.bar.close_at]
    return [line for idea in ideas for line in _idea(idea)]


def _idea(idea: Idea) -> list[str]:
    lines: list[str] = []
    match idea.verdict:
        case Approved():
            lines += labelled("verdict", f"allowed: {idea.verdict.intent.order_qty}")
        case Reduced():
            cut = f"reduced to {idea.verdict.approved.intent.order_qty}: {idea.verdict.sentence}"
            lines += labelled("verdict", cut)
        case Blocked() | HaltSession():
            lines += labelled("verdict", f"refused, {idea.verdict.code}: {idea.verdict.sentence}")
        case None:
            lines += labelled("verdict", "none: the position had to be closed first")
    for row in idea.orders:
        told = f"{row.cl_ord_id} {row.status}, {row.cum_qty} of {row.order_qty} filled"
        lines += labelled("order", f"{told}; kitestring explain {row.cl_ord_id}")
    return lines
