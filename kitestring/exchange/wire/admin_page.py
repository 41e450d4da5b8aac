"""The page at ``/admin/``: how the day stands and which faults are asked for, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from kitestring.domain.instants import ist_clock
from kitestring.exchange.wire.faults import Strike

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8884;vertical-align:top}"
    "th{font-weight:600}h2{margin:1.2rem 0 .2rem;font-size:1.05rem}code{font-size:.95em}"
)


def admin_page(
    state: Mapping[str, object], faults: Sequence[Mapping[str, object]], strikes: Iterable[Strike]
) -> str:
    """The page; it shows a moment, and is loaded again to show the next."""
    day = "".join(_row(name.replace("_", " "), _text(value)) for name, value in state.items())
    listed = "".join(
        _row(
            row["number"], row["kind"], row["route"], row["when"], _text(row["params"]),
            f"{row['strikes']} of {row['occurrences']}{' (on)' if row['on'] else ''}",
        )
        for row in faults
    )  # fmt: skip
    told = "".join(
        _row(ist_clock(strike.at), strike.number, strike.kind, strike.where)
        for strike in reversed(list(strikes))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Kitestring exchange</title><style>{_STYLE}</style></head><body>"
        f"<h1>Kitestring exchange · {escape(str(state['time']))}</h1>"
        f"<h2>The day</h2><table>{day}</table>"
        "<h2>Faults asked for</h2><table><tr><th>no</th><th>kind</th><th>route</th><th>when</th>"
        f"<th>parameters</th><th>struck</th></tr>{listed or _row('none')}</table>"
        "<h2>Faults that happened, latest first</h2><table><tr><th>time</th><th>no</th>"
        f"<th>kind</th><th>at</th></tr>{told or _row('none')}</table>"
        "<p>Ask for more with <code>POST /admin/faults</code>; see docs/Exchange.md.</p>"
        "</body></html>"
    )


def _row(*cells: object) -> str:
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
