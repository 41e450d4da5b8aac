"""``kitestring check``: what a strategy says and earns on one sample day, as its author reads it.

Pure text of a ``SampleDay``: signals with what became of them, the reasons of holding by number,
the trades and their sum after charges. The same strategy always gives the same lines.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.config import TIMEFRAME_MINUTES, Engines
from kitestring.cli.day_settings import contract_of_the_day
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.strategy_loader import StrategyRefused, load_strategy
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import StrategyOff
from kitestring.domain.ids import symbol_of
from kitestring.domain.instants import ist_clock
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import charge_as_money, show_rupees
from kitestring.domain.orders import Side
from kitestring.domain.ports import Manifest
from kitestring.domain.positions import RoundTrip
from kitestring.domain.signals import Action, Signal
from kitestring.domain.verdicts import Blocked
from kitestring.engine.sample_day import SampleDay, sample_day
from kitestring.engine.strategy_files import read_strategy
from kitestring.exchange.instrument_master import instruments_on
from kitestring.market import calendar

Value = int | float | str | bool

_MEND: Final = "Mend the file; docs/Strategies.md says what a strategy may use."


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to check, and on which day."""

    strategy: str
    """A file, or the name of a strategy."""
    on: str
    timeframe: str
    date: dt.date
    seed: int
    params: dict[str, Value] = {}


def checked(question: Question) -> tuple[list[str], bool]:
    """The lines to print, and whether the strategy went through its day without failing.

    Raises ``ConfigError`` for a strategy that is refused, with every line that is, and for an
    instrument, timeframe or parameter that does not exist.
    """
    calendar.known(question.date)
    definition = _definition(question.strategy)
    minutes = TIMEFRAME_MINUTES.get(question.timeframe)
    if not minutes:
        known = ", ".join(name for name, length in TIMEFRAME_MINUTES.items() if length)
        raise ConfigError(f"There are no bars of {question.timeframe} in one day; use {known}.")
    master = instruments_on(question.date)
    traded = _traded(question, master)
    day = sample_day(
        definition,
        traded,
        [each for each in master if each.id in _also_read(definition, question)],
        day=question.date,
        seed=question.seed,
        minutes=minutes,
        params=question.params,
    )
    return lines(definition, traded, question.timeframe, day), not day.status.off


def lines(
    definition: StrategyDefinition, traded: Instrument, timeframe: str, day: SampleDay
) -> list[str]:
    """A sample day as text."""
    return [
        f"{definition.name}: {first_sentence(definition)}",
        f"{traded.symbol} · {timeframe} bars · {day.date:%A %d %B %Y} · {day.feed} · one lot",
        "",
        *_signals(day),
        "",
        *_holds(day),
        "",
        *_trades(day),
    ]


def first_sentence(definition: StrategyDefinition) -> str:
    """The first line of a strategy's docstring."""
    return definition.idea.splitlines()[0].strip()


def _definition(asked: str) -> StrategyDefinition:
    path = Path(asked)
    if path.suffix != ".py" and path.name == asked:
        return read_strategy(asked)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no file {asked}.", do=f"Write one with: kitestring new {path.stem}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The strategy {asked} cannot be read: {error}.") from error
    loaded = load_strategy(path.stem, text, str(path))
    if isinstance(loaded, StrategyRefused):
        raise ConfigError(loaded.sentence, do=_MEND)
    return loaded


def _traded(question: Question, master: tuple[Instrument, ...]) -> Instrument:
    manifest = Manifest(name="", date=question.date, instruments=master, sessions={}, digest="")
    traded = contract_of_the_day(question.on.upper(), manifest, Engines.ALL)
    if traded is None or not traded.tradable:
        names = dict.fromkeys(each.name for each in master if each.tradable)
        raise ConfigError(
            f"The synthetic market does not trade {question.on}.",
            do=f"Use --on with one of {', '.join(names)}.",
        )
    return traded


def _also_read(definition: StrategyDefinition, question: Question) -> set[str]:
    """Other instruments that the indicators read; parameters that do not fit are told later."""
    try:
        params = msgspec.convert(question.params, definition.params_type)
    except msgspec.ValidationError:
        return set()
    specs = definition.indicators(params).values()
    return {str(spec.instrument) for spec in specs if spec.instrument is not None}


def _signals(day: SampleDay) -> list[str]:
    refused = {fact.signal_id: fact for fact in day.facts if isinstance(fact, Blocked)}
    told: list[str] = []
    for fact in day.facts:
        if isinstance(fact, Signal):
            told.append(
                f"{ist_clock(fact.at)[:5]}  {fact.action:<4}  {symbol_of(fact.instrument)} at "
                f"{show_rupees(fact.reference_px)} · {fact.reason}"
            )
            levels = _levels(fact)
            if levels:
                told.append(f"             {levels}")
            no = refused.get(fact.signal_id)
            if no is not None:
                told.append(f"             refused, {no.code}: {no.sentence}")
        elif isinstance(fact, StrategyOff):
            told.append(f"{ist_clock(fact.at)[:5]}  failed and was switched off: {fact.error}")
    if not told:
        ready = day.status.ready_at
        told.append(
            "It never had the history it asks for."
            if ready is None
            else f"No signal; it was ready at {ist_clock(ready)[:5]}."
        )
    return told


def _levels(signal: Signal) -> str:
    if signal.action not in (Action.BUY, Action.SELL):
        return ""
    parts = [
        f"{word} {show_rupees(px)}"
        for word, px in (
            ("stop", signal.stop_px),
            ("target", signal.target_px),
            ("trail", signal.trail_by),
        )
        if px is not None
    ]
    if signal.exit_at is not None:
        parts.append(f"out by {ist_clock(signal.exit_at)[:5]}")
    return ", ".join(parts) or "no stop"


def _holds(day: SampleDay) -> list[str]:
    held = sorted(day.status.holds.items(), key=lambda row: (-row[1], row[0]))
    total = sum(day.status.holds.values())
    return [
        f"held on {total} of {day.status.bars_decided} bars",
        *(f"{count:>5}  {reason}" for reason, count in held),
    ]


def _trades(day: SampleDay) -> list[str]:
    trips = [fact for fact in day.facts if isinstance(fact, RoundTrip)]
    won = 0
    told: list[str] = []
    for trip in trips:
        net = trip.gross - charge_as_money(trip.charges.total)
        won += int(net) > 0
        side = "long" if trip.side is Side.BUY else "short"
        told.append(
            f"{ist_clock(trip.entry_at)[:5]} to {ist_clock(trip.exit_at)[:5]}  {side} {trip.qty} from "
            f"{show_rupees(trip.entry_px)} to {show_rupees(trip.exit_px)}, {trip.exit_reason}: "
            f"{show_rupees(net, signed=True)}"
        )
    told.append(
        f"{len(trips)} trade{'s' * (len(trips) != 1)}, {won} won: gross {show_rupees(day.gross, signed=True)}, charges "
        f"{show_rupees(day.charges)}, net {show_rupees(day.net, signed=True)}"
    )
    return told
