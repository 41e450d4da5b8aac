"""Reads a tape from text and writes a journal as text: what a day was told, and what it made of it.

A tape::

    instruments  NIFTY ACME
    session      close 10:00 square-off 09:30 cutoff 09:25
    fills        market
    strategy     one NIFTY lots 2: 09:17 BUY stop=-50
    ---
    09:15:05 every 10s to 09:16:55  NIFTY 22000.00 [21999.90 x 22000.10]
    09:17:05  NIFTY 22010.00 [22009.90 65 x 65 22010.10]

A quote may carry its quantities; without them a million stands there. Lines with # are for people.
"""

from __future__ import annotations

import re

import msgspec
from house_day import INSTRUMENTS, RELAXED, HouseDay, clock, frame, scripted, sessions, tick
from unruly_broker import UnrulyBroker

from kitestring.domain.bars import Bar
from kitestring.domain.events import (
    MarketDataFault,
    Note,
    Reports,
    RunOpened,
    SessionEnded,
    StrategyOff,
    StrategyReady,
)
from kitestring.domain.instants import SECOND, ist_text
from kitestring.domain.money import charge_as_money, rupees_text
from kitestring.domain.orders import ExecType, ExecutionReport, Purpose
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)
from kitestring.exchange.fill_models import fill_model

_ROW = re.compile(
    r"(?P<at>[\d:.]+)(?: every (?P<step>\d+)s to (?P<until>[\d:]+))?\s+(?P<name>\w+) (?P<px>[\d.]+)"
    r"(?: \[(?P<bid>[\d.]+)(?: (?P<bid_qty>\d+))? x (?:(?P<ask_qty>\d+) )?(?P<ask>[\d.]+)\])?"
)


class RefusesExits(UnrulyBroker):
    """Answers in a fifth of a second or less, fills whole, and refuses the first exits."""

    def __init__(self, lots, refusals):
        super().__init__(lots)
        self.refusals = refusals

    def _place(self, command):
        exit_ = command.intent.purpose is Purpose.EXIT
        self._wild = self._wild._replace(refuses=100 if exit_ and self.refusals else 0)
        self.refusals -= exit_ and self.refusals > 0
        super()._place(command)


def day_of(text: str) -> HouseDay:
    """The day that a tape describes."""
    head, _, body = text.partition("---")
    rows = [line.split(None, 1) for line in head.splitlines() if line.strip() and line[0] != "#"]
    words = {key: value for key, value in rows if key not in ("strategy", "risk")}
    instruments = [INSTRUMENTS[name] for name in words["instruments"].split()]
    times = words["session"].split()
    risk = dict(value.split() for key, value in rows if key == "risk")
    broker = None
    if "refuses-exits" in words:
        lots = {each.id: each.lot_size for each in instruments}
        broker = RefusesExits(lots, int(words["refuses-exits"]))
    return HouseDay(
        [_strategy(value) for key, value in rows if key == "strategy"],
        list(_frames(body)),
        instruments=instruments,
        timetable=sessions(close=times[1], square_off=times[3], cutoff=times[5]),
        risk=msgspec.structs.replace(RELAXED, **{key: float(value) for key, value in risk.items()}),
        fill_model=fill_model(words.get("fills", "market")),
        broker=broker,
    )


def _strategy(text):
    head, _, script = text.partition(": ")
    name, on, _, lots = head.split()
    return scripted(name, INSTRUMENTS[on], script, lots=int(lots))


def _frames(body):
    rows = []
    for line in body.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        row = _ROW.fullmatch(line.strip())
        assert row, line
        at = clock(row["at"])
        until = clock(row["until"]) if row["until"] else at
        while at <= until:
            rows.append((at, row))
            at += int(row["step"] or 1) * SECOND
    for at, row in sorted(rows, key=lambda each: each[0]):
        one = tick(at, INSTRUMENTS[row["name"]], row["px"], bid=row["bid"], ask=row["ask"])
        if row["bid_qty"]:
            one = msgspec.structs.replace(
                one, bid_qty=int(row["bid_qty"]), ask_qty=int(row["ask_qty"])
            )
        yield frame(one)


def journal_of(day: HouseDay) -> str:
    """The journal as people read it; a time stands where it changes."""
    teller = _Teller()
    lines = []
    before = ""
    for _, commit in day.journal.commits():
        for fact in commit.facts:
            for at, kind, text in teller.tell(fact, commit.at):
                shown = ist_text(at)[11:]
                lines.append(f"{shown if shown != before else '':12} {kind:<7} {text}".rstrip())
                before = shown
    return "\n".join(lines) + "\n"


class _Teller:
    def __init__(self):
        self.numbers = {}
        self.net = {}

    def tell(self, fact, at):
        match fact:
            case Bar():
                px = " ".join(map(rupees_text, (fact.open, fact.high, fact.low, fact.close)))
                # Bars wait for the next commit; they are shown at their close.
                yield fact.close_at, "bar", f"{_name(fact)} {fact.minutes}m {px}"
            case Signal():
                levels = _prices(stop=fact.stop_px, target=fact.target_px, trail=fact.trail_by)
                yield at, "signal", f"{fact.strategy} {fact.action}{levels}"
            case Approved():
                yield at, "risk", f"approved {_intent(fact.intent)}"
            case Reduced():
                yield at, "risk", f"reduced to {_intent(fact.approved.intent)} ({fact.code})"
            case Blocked():
                yield at, "risk", f"blocked {fact.strategy} {fact.side}: {fact.code}"
            case HaltSession():
                yield at, "halt", f"{fact.code}, {fact.policy}"
            case PlaceOrder():
                self.numbers[fact.cl_ord_id] = len(self.numbers) + 1
                yield at, "order", f"{self._no(fact)} {_intent(fact.intent)} ({fact.intent.reason})"
            case ModifyOrder():
                kind = f" {fact.ord_type}" if fact.ord_type else ""
                levels = _prices(limit=fact.price, trigger=fact.stop_px)
                qty = f" {fact.order_qty}" if fact.order_qty else ""
                yield at, "modify", f"{self._no(fact)}{qty}{kind}{levels}"
            case CancelOrder():
                yield at, "cancel", f"{self._no(fact)} ({fact.reason})"
            case Reports():
                for report in fact.reports:
                    yield fact.received_at, "report", f"{self._no(report)} {_said(report)}"
            case Fill():
                net = self.net[fact.strategy] = (
                    self.net.get(fact.strategy, 0) + fact.qty * fact.side.sign
                )
                side = "FLAT" if not net else f"{'LONG' if net > 0 else 'SHORT'} {abs(net)}"
                yield at, "book", f"{fact.strategy} {side}"
            case RoundTrip():
                yield at, "trade", f"{fact.strategy} {fact.side} {fact.qty} {_outcome(fact)}"
            case StrategyOff():
                yield at, "off", f"{fact.strategy}: {fact.error.partition(' (line')[0]}"
            case Note():
                if fact.kind != "opened":
                    yield at, "note", fact.sentence
            case MarketDataFault():
                yield at, "data", fact.sentence
            case RunOpened() | StrategyReady() | SessionEnded():
                pass
            case _:
                yield at, "other", repr(fact)

    def _no(self, fact):
        return f"#{self.numbers[fact.cl_ord_id]}"


def _outcome(trip):
    entry, left, gross = map(rupees_text, (trip.entry_px, trip.exit_px, trip.gross))
    charges = rupees_text(charge_as_money(trip.charges.total))
    return f"{entry} to {left}, {trip.exit_reason}: gross {gross}, charges {charges}"


def _name(fact):
    return next(name for name, each in INSTRUMENTS.items() if each.id == fact.instrument)


def _prices(**levels):
    return "".join(f" {name} {rupees_text(px)}" for name, px in levels.items() if px is not None)


def _intent(intent):
    levels = _prices(limit=intent.price, trigger=intent.stop_px)
    closes = f" closing {intent.closes_qty}" if intent.closes_qty else ""
    return (
        f"{intent.purpose} {intent.side} {intent.order_qty} {_name(intent)} "
        f"{intent.ord_type}{levels}{closes}"
    )


def _said(report: ExecutionReport) -> str:
    if report.exec_type is ExecType.TRADE:
        return f"TRADE {report.last_qty} @ {rupees_text(report.last_px)}"
    return f"{report.exec_type} {report.text}".strip()
