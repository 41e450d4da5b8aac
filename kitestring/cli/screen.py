"""The panel of a running day: clock, positions, orders, P&L after charges, risk, signals, fills.

Pure layout: literal views in, one ``rich`` panel out. No line is wider than the terminal and the
panel is never higher than it: on a small one the least urgent rows are left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
from rich.box import ROUNDED
from rich.panel import Panel
from rich.text import Text

from kitestring.cli.answer_text import gauge
from kitestring.domain.ids import InstrumentId, symbol_of
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, show_rupees
from kitestring.domain.orders import Purpose
from kitestring.engine.watching import DaySnapshot
from kitestring.store.state_store import OrderView, PositionView, StateView

if TYPE_CHECKING:
    from kitestring.engine.live_standing import LiveStanding

_FRAME: Final = 4
"""Columns of the panel's own border and padding."""
_WIDE: Final = 84
_MIDDLE: Final = 55
_RISK_SHOWN: Final = 3
_ROWS_SHOWN: Final = 6
_ORDERS_SHOWN: Final = 4
_LABEL: Final = 14


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the panel shows; ``None`` and empty where nothing is known yet."""

    title: str
    at: Instant
    snapshot: DaySnapshot
    view: StateView | None = None
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    pace: str = ""
    """How fast the day goes, in words: ``60×``, ``max``, ``paused``."""
    keys: bool = False
    """Whether keys are heard."""
    live: LiveStanding | None = None
    """Of a day with real orders: armed or not, feed, guard; its ``state`` is the ``view``."""
    asks: str = ""
    """What a key of a live day waits to be pressed again for."""
    last_signal: str = ""
    last_refusal: str = ""
    last_fills: tuple[str, ...] = ()
    """Newest last."""


_Row = tuple[int, Text]
"""How urgent a line is (0 stays longest), and the line."""


def panel(picture: Picture, width: int, height: int) -> Panel:
    """The day on a terminal of ``width`` columns and ``height`` rows."""
    inner = max(8, width - _FRAME)
    rows = list(_rows(picture, inner))
    room = max(3, height - 3)  # the border, and one line for the cursor
    while len(rows) > room:
        least = max(urgency for urgency, _ in rows)
        last = max(place for place, row in enumerate(rows) if row[0] == least)
        del rows[last]
    for _, text in rows:
        text.truncate(inner, overflow="ellipsis")
    return Panel(
        Text("\n").join(text for _, text in rows),
        title=Text(_shortened(picture.title, inner - 2)),
        title_align="left",
        box=ROUNDED,
        border_style="red" if picture.view is not None and picture.view.risk.halted else "dim",
        padding=(0, 1),
        width=width,
    )


def _rows(picture: Picture, inner: int) -> Iterable[_Row]:
    yield 0, _clock(picture, inner)
    view = picture.view
    if picture.live is not None:
        yield from _standing(picture.live, inner)
    yield from _result(picture, inner)
    if view is not None:
        if picture.live is None:
            yield from _halt(view, inner)
        yield 2, _parts(view, inner)
        yield from _positions(view, inner)
        yield from _orders(view, inner)
        yield from _strategies(view, inner)
        yield from _risk(view, inner)
        if picture.last_signal:
            yield from _told("last signal", picture.last_signal, inner, urgency=3)
        if picture.last_refusal:
            yield from _told("last refusal", picture.last_refusal, inner, urgency=2)
        for number, fill in enumerate(reversed(picture.last_fills)):
            if inner >= _MIDDLE:
                yield 4 + number, _labelled("" if number else "last fills", fill)
            else:
                yield 4 + number, Text(fill)
    yield 0, _footer(picture, inner)


def _clock(picture: Picture, inner: int) -> Text:
    text = Text(ist_clock(picture.at), style="bold")
    begin, end = picture.opens_at, picture.closes_at
    if begin is None or end is None or end <= begin:
        return text
    part = min(1.0, max(0.0, (picture.at - begin) / (end - begin)))
    # Clock, opening, close and per cent take 28 columns.
    bar = gauge(part, min(40, max(4, inner - 28)))
    return text.append(f"  {ist_clock(begin)[:5]} {bar} {ist_clock(end)[:5]} {part:>4.0%}", "none")


def _result(picture: Picture, inner: int) -> Iterable[_Row]:
    """``net +₹3,210.55 · 2 open, 1 working, 7 trades``."""
    day = picture.snapshot
    counts = f"{day.open_positions} open, {day.working_orders} working, {day.trades} trades"
    net = show_rupees(day.net, signed=True)
    text = Text.assemble("net ", (net, f"bold {_tone(day.net)}"))
    if inner < _MIDDLE:
        yield 0, text
        yield 0, Text(counts)
    else:
        yield 0, text.append(f" · {counts}")


def _halt(view: StateView, inner: int) -> Iterable[_Row]:
    if view.risk.halted:
        for number, line in enumerate(_wrapped(f"HALTED: {view.risk.reason}", inner, 3)):
            yield number, Text(line, style="bold red")


def _standing(live: LiveStanding, inner: int) -> Iterable[_Row]:
    """``🔴 ARMED · feed flowing``, and what keeps it from entering."""
    halted = live.state.risk.halted or bool(live.halt_file)
    if not live.armed:
        word, tone = "REDUCE ONLY", "bold yellow"
    elif halted:
        word, tone = "HALTED", "bold red"
    elif live.untrusted:
        word, tone = "WAITING", "bold yellow"
    else:
        word, tone = "ARMED", "bold green"
    flowing = live.feed == "flowing"
    text = Text.assemble((word, tone), " · feed ", (live.feed, "" if flowing else "bold red"))
    if live.guard:
        text.append(f" · guard {live.guard}")
    yield 0, text
    if live.entries:
        for number, line in enumerate(_wrapped(live.entries, inner, 3)):
            yield number, Text(line, style=tone)
    if live.untrusted and live.untrusted != live.entries:
        yield 1, Text(_shortened(f"not explained: {live.untrusted}", inner), style="bold yellow")
    held = {f"{row.exchange}:{row.symbol}" for row in live.state.positions if row.quantity}
    prices = sorted(live.state.last_prices.items(), key=lambda row: row[0] not in held)
    if prices:
        shown = "  ".join(f"{symbol_of(InstrumentId(name))} {_rupees(px)}" for name, px in prices)
        yield 4, _labelled("prices", shown) if inner >= _MIDDLE else Text(shown)


def _parts(view: StateView, inner: int) -> Text:
    realised = _rupees(view.realised_pnl, signed=True)
    unrealised = _rupees(view.unrealised_pnl, signed=True)
    charges = _rupees(view.charges)
    if inner < _MIDDLE:
        text = f"open {unrealised} · charges {charges}"
    elif inner < _WIDE:
        text = f"realised {realised} · open {unrealised} · charges {charges}"
    else:
        text = f"after charges of {charges} · realised {realised} · unrealised {unrealised}"
    return Text(text, style="dim")


def _positions(view: StateView, inner: int) -> Iterable[_Row]:
    held = [row for row in view.positions if row.quantity]
    if not held:
        yield 5, _heading("positions", "none")
        return
    if inner >= _WIDE:
        columns = _wide("positions", "", "qty", "average", "last", "stop")
        yield 4, Text(f"{columns}{'unrealised':>15}", style="dim")
    elif inner >= _MIDDLE:
        columns = _middle("positions", "", "qty", "stop")
        yield 4, Text(f"{columns}{'unrealised':>13}", style="dim")
    else:
        yield 4, _heading("positions", str(len(held)))
    for row in held[:_ROWS_SHOWN]:
        yield from _position(row, inner)
    if len(held) > _ROWS_SHOWN:
        yield 4, Text(f"  and {len(held) - _ROWS_SHOWN} more", style="dim")


def _position(row: PositionView, inner: int) -> Iterable[_Row]:
    side = "LONG" if row.quantity > 0 else "SHORT"
    quantity, unrealised = str(abs(row.quantity)), _rupees(row.unrealised_pnl, signed=True)
    last, stop = _rupees(row.last_price), _rupees(row.stop_price)
    if row.stop_price is None:
        stop = "NO STOP"
    tone = _tone(row.unrealised_pnl)
    if inner >= _WIDE:
        line = _wide(row.symbol, side, quantity, _rupees(row.average_price), last, stop)
        yield 1, Text.assemble(line, (f"{unrealised:>15}", tone))
    elif inner >= _MIDDLE:
        line = _middle(row.symbol, side, quantity, stop)
        yield 1, Text.assemble(line, (f"{unrealised:>13}", tone))
    else:
        name = f"{_shortened(row.symbol, 13)} {side[0]}{quantity}"
        yield 1, Text.assemble(name, (unrealised.rjust(max(1, inner - len(name))), tone))
        stop = stop if row.stop_price is None else f"stop {stop}"
        yield 2, Text(f"  {last} {stop}", style="dim")


def _wide(symbol: str, side: str, qty: str, average: str, last: str, stop: str) -> str:
    name = _shortened(symbol, 17)
    return f"{name:<18}{side:<6}{qty:>6}{average:>13}{last:>13}{stop:>13}"


def _middle(symbol: str, side: str, qty: str, stop: str) -> str:
    return f"{_shortened(symbol, 17):<18}{side:<6}{qty:>5}{stop:>13}"


def _orders(view: StateView, inner: int) -> Iterable[_Row]:
    orders = view.open_orders
    if not orders:
        yield 5, _heading("working", "none")
        return
    if inner < _MIDDLE:
        yield 4, _heading("working", str(len(orders)))
    # Positions show their stops: what may open or close something else comes first.
    told = sorted(orders, key=lambda order: order.purpose == Purpose.STOP.value)
    for number, order in enumerate(told[:_ORDERS_SHOWN]):
        text = _order(order, inner)
        urgency = 5 if order.purpose == Purpose.STOP.value else 2
        label = "" if number else "working"
        yield urgency, _labelled(label, text) if inner >= _MIDDLE else Text(f"  {text}")
    if len(orders) > _ORDERS_SHOWN:
        more = f"and {len(orders) - _ORDERS_SHOWN} more"
        yield 5, _labelled("", more) if inner >= _MIDDLE else Text(f"  {more}", style="dim")


def _order(order: OrderView, inner: int) -> str:
    at = order.trigger_price if order.trigger_price is not None else order.price
    px = "" if at is None else f" {_rupees(at)}"
    left = order.quantity - order.filled_quantity
    symbol = order.symbol
    if inner < _MIDDLE:  # the price matters more than the end of a name
        rest = f"  {order.side} {left}  {order.order_type}{px}"
        symbol = _shortened(symbol, max(4, inner - len(rest)))
    text = f"{order.side} {left} {symbol} {order.order_type}{px}"
    return text if inner < _WIDE else f"{text} · {order.purpose} · {order.strategy}"


def _strategies(view: StateView, inner: int) -> Iterable[_Row]:
    off = [name for name, row in view.strategies.items() if not row.on]
    ready = [name for name, row in view.strategies.items() if row.on and row.ready]
    warming = [name for name, row in view.strategies.items() if row.on and not row.ready]
    for label, names, urgency in (("off", off, 1), ("warming", warming, 3), ("ready", ready, 4)):
        if not names:
            continue
        count = f"{len(names)} of {len(view.strategies)}"
        text = f"{count}: {', '.join(names)}" if inner >= _MIDDLE else count
        yield urgency, _labelled(label, text, "red" if label == "off" else "")


def _risk(view: StateView, inner: int) -> Iterable[_Row]:
    worst = sorted(view.risk.limits.items(), key=lambda row: (-row[1].fraction, row[0]))
    for number, (key, limit) in enumerate(worst[:_RISK_SHOWN]):
        share = limit.fraction
        tone = "red" if share >= 0.8 else "yellow" if share >= 0.5 else "green"
        bar, name = gauge(share), key
        if inner < _MIDDLE:
            name = _shortened(key, max(4, inner - 16))
            yield 3 + number, Text.assemble((bar, tone), f" {share:>4.0%} {name}")
            continue
        line = _labelled("" if number else "risk used", "")
        line.append(bar, tone)
        yield 3 + number, line.append(f" {share:>4.0%} {name}: {limit.used} of {limit.limit}")


def _told(label: str, sentence: str, inner: int, *, urgency: int) -> Iterable[_Row]:
    """A sentence that may take two lines: its end matters as much as its beginning."""
    if inner < _MIDDLE:
        yield urgency, Text(label, style="dim")
        for line in _wrapped(sentence, inner - 2, 3):
            yield urgency, Text(f"  {line}")
        return
    for number, line in enumerate(_wrapped(sentence, inner - _LABEL, 2)):
        yield urgency, _labelled("" if number else label, line)


def _live_footer(picture: Picture, inner: int) -> Text:
    if picture.asks:
        return Text(picture.asks, style="bold reverse red")
    if picture.pace:
        return Text("stopping; what is open stays protected", style="bold")
    if not picture.keys:
        return Text("no keys here; Ctrl-C stops, kitestring halt halts", style="dim")
    keys = "h halt  f flatten  q stop, protected as it stands"
    return Text(keys if inner >= len(keys) else "h halt  f flatten  q stop", style="dim")


def _footer(picture: Picture, inner: int) -> Text:
    if picture.live is not None:
        return _live_footer(picture, inner)
    pace = (picture.pace, "bold reverse" if picture.pace.startswith("paused") else "bold")
    if not picture.keys:
        said = "" if not picture.pace else " · no keys here; Ctrl-C stops"
        return Text.assemble(pace, (said, "dim"))
    if inner >= 68:
        keys = " · + faster  - slower  m max  1 real time  space pause  q stop"
    elif inner >= 44:
        keys = " · + - m(ax) 1× space(pause) q(uit)"
    else:
        keys = " · + - m 1 space q"
    return Text.assemble(pace, (keys, "dim"))


def _heading(label: str, text: str) -> Text:
    return Text(f"{label:<{_LABEL}}{text}", style="dim")


def _labelled(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), (text, style))


def _wrapped(text: str, width: int, lines: int) -> list[str]:
    return textwrap.wrap(text, max(8, width), max_lines=lines, placeholder=" …")


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def _rupees(amount: Decimal | None, *, signed: bool = False) -> str:
    return "" if amount is None else show_rupees(Money(round(amount * 10_000)), signed=signed)


def _tone(amount: Decimal | Money) -> str:
    units = int(amount * 10_000) if isinstance(amount, Decimal) else int(amount)
    return "green" if units > 0 else "red" if units < 0 else "none"
