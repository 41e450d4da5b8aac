"""From the settings file and the day's market to the settings the core trades on.

Logical names become the contracts of the day here, once. What the feed does not carry is left out
and said; what no feed could carry, or a limit that cannot be computed, stops the start.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable
from typing import get_args

import msgspec

from kitestring.cli.config import ConfigFile, Engines, SegmentWord, StrategyConfig
from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import Instant, instant, ist_clock
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session

Resolver = Callable[[str, Manifest], Instrument | None]
"""A logical name (``NIFTY``, ``NIFTY index``) to the day's instrument, or ``None``: not in the feed."""
ParamsType = Callable[[str], type[msgspec.Struct]]
"""A strategy's name to the type of its parameters; raises ``ConfigError`` for no such strategy."""

_KINDS = {
    Engines.NONE: (),
    Engines.ALL: (InstrumentKind.EQUITY, InstrumentKind.FUTURE),
    Engines.FNO: (InstrumentKind.FUTURE,),
    Engines.EQUITY: (InstrumentKind.EQUITY,),
    Engines.OPTIONS: (InstrumentKind.CALL, InstrumentKind.PUT),
}
_SEGMENTS = {
    SegmentWord.EQUITY: (Segment.EQUITY, Segment.EQUITY_WITH_DERIVATIVES),
    SegmentWord.FUTURES: (Segment.FUTURES,),
    SegmentWord.OPTIONS: (Segment.OPTIONS,),
}


class SettledDay(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one day, with what the report must say about them."""

    settings: DaySettings
    sessions: dict[Segment, Session]
    """The feed's sessions with our own cut-offs."""
    notes: tuple[str, ...] = ()


def day_settings(
    file: ConfigFile,
    manifest: Manifest,
    resolver: Resolver,
    *,
    engines: Engines,
    run_key: str,
    bar_grace_ms: int = 0,
    params_type: ParamsType | None = None,
) -> SettledDay:
    """Everything the core needs to know of the day. Raises ``ConfigError`` if it cannot be known."""
    notes: list[str] = []
    missing: list[str] = []
    strategies: list[StrategySettings] = []
    for number, entry in enumerate(file.config.strategies):
        if params_type is not None:
            _check_params(file, number, entry, params_type(entry.strategy))
        for name in entry.instruments:
            traded = resolver(name, manifest)
            if traded is None:
                missing.append(name)
                continue
            if traded.kind not in _KINDS[engines]:
                continue
            strategies.append(_one(file, number, name, traded, manifest, resolver))
    if missing:
        absent = ", ".join(dict.fromkeys(missing))
        notes.append(f"not in this feed, so not traded: {absent}")
    if not strategies:
        raise ConfigError(
            f"{file.name}: nothing to trade: {manifest.name} carries none of the configured "
            f"instruments that --engines {engines} trades.",
            do=f"The feed carries {_names(manifest)}; name those under trading.logical_universe, "
            "or choose other --engines.",
        )
    settings = DaySettings(
        date=manifest.date,
        capital=file.config.trading.paper_capital,
        run_key=run_key,
        strategies=tuple(strategies),
        risk=file.config.risk,
        bar_grace_ms=bar_grace_ms,
    )
    sessions = day_sessions(file, manifest)
    return SettledDay(settings=settings, sessions=sessions, notes=tuple(notes))


def day_sessions(file: ConfigFile, manifest: Manifest) -> dict[Segment, Session]:
    """The feed's sessions with the cut-offs of the settings file. Raises ``ConfigError``."""
    sessions = dict(manifest.sessions)
    for word, wish in file.config.sessions.items():
        for segment in _SEGMENTS[word]:
            session = sessions.get(segment)
            if session is None:
                continue
            cutoff_at = _moment(session, wish.entry_cutoff, session.entry_cutoff_at)
            square_off_at = _moment(session, wish.square_off, session.square_off_at)
            if wish.entry_cutoff is None:
                cutoff_at = min(cutoff_at, square_off_at)
            if not session.open_at < cutoff_at <= square_off_at <= session.close_at:
                raise ConfigError(
                    f"{file.where('sessions', word)}: entries until {ist_clock(cutoff_at)} and "
                    f"square-off at {ist_clock(square_off_at)} do not fit the session of "
                    f"{segment} on {manifest.date}, {ist_clock(session.open_at)} to "
                    f"{ist_clock(session.close_at)}.",
                    do="Entries must end no later than the square-off, both inside the session.",
                )
            sessions[segment] = msgspec.structs.replace(
                session, entry_cutoff_at=cutoff_at, square_off_at=square_off_at
            )
    return sessions


def contract_of_the_day(name: str, manifest: Manifest) -> Instrument | None:
    """The plain resolver: what a name means among the instruments of one feed.

    ``RELIANCE`` is the share; ``NIFTY``, which has no share, its nearest future that has not
    expired; ``NIFTY index``, ``NIFTY future``, ``RELIANCE share`` say it outright. A full id
    (``NFO:NIFTY26NOVFUT``) or symbol names itself.
    """
    for instrument in manifest.instruments:
        if name in {instrument.id, instrument.symbol} and name != instrument.name:
            return instrument
    logical, _, word = name.partition(" ")
    kinds = {
        "": (InstrumentKind.EQUITY, InstrumentKind.FUTURE),
        "index": (InstrumentKind.INDEX,),
        "future": (InstrumentKind.FUTURE,),
        "share": (InstrumentKind.EQUITY,),
    }.get(word.lower(), ())
    for kind in kinds:
        found = [
            instrument
            for instrument in manifest.instruments
            if instrument.kind is kind
            and instrument.name == logical
            and (instrument.expiry is None or instrument.expiry >= manifest.date)
        ]
        if found:
            return min(found, key=lambda instrument: instrument.expiry or dt.date.max)
    return None


def _one(
    file: ConfigFile,
    number: int,
    name: str,
    traded: Instrument,
    manifest: Manifest,
    resolver: Resolver,
) -> StrategySettings:
    entry = file.config.strategies[number]
    source: Instrument | None = traded
    if entry.signal_from is not None:
        source = resolver(entry.signal_from, manifest)
        if source is None:
            raise ConfigError(
                f"{file.where('strategies', number, 'signal_from')}: {manifest.name} carries no "
                f"{entry.signal_from}.",
                do=f"The feed carries {_names(manifest)}; or leave signal_from out.",
            )
    assert source is not None
    _check_product(file, number, entry, traded)
    return StrategySettings(
        name=StrategyId(f"{entry.name}-{name}"),
        strategy=entry.strategy,
        source=source.id,
        instrument=traded.id,
        minutes=entry.minutes,
        params=entry.params,
        product=entry.product,
        capital=entry.capital,
        lots=entry.lots,
        entry_from=entry.entry_from,
        entry_until=entry.entry_until,
    )


def _check_product(
    file: ConfigFile, number: int, entry: StrategyConfig, traded: Instrument
) -> None:
    share = traded.kind is InstrumentKind.EQUITY
    wrong = Product.NRML if share else Product.CNC
    if entry.product is wrong:
        right = Product.CNC if share else Product.NRML
        raise ConfigError(
            f"{file.where('strategies', number, 'product')}: {traded.symbol} cannot be held as "
            f"{wrong}; carried {'shares are' if share else 'futures are'} {right}.",
            do=f"Write product: MIS for intraday, or {right} to carry it overnight.",
        )


def _check_params(
    file: ConfigFile, number: int, entry: StrategyConfig, params_type: type[msgspec.Struct]
) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(params_type)}
    for key, value in entry.params.items():
        where = file.where("strategies", number, "params", key)
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(fields) or 'none'}"
            raise ConfigError(f"{where}: {entry.strategy} has no parameter {key}; {hint}")
        try:
            msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError as error:
            kinds = get_args(fields[key].type) or (fields[key].type,)
            wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            raise ConfigError(
                f"{where}: {entry.strategy}'s {key} must be {wanted}; it is {value}."
            ) from error


def _moment(session: Session, time: dt.time | None, otherwise: Instant) -> Instant:
    return otherwise if time is None else instant(session.date, time)


def _names(manifest: Manifest) -> str:
    return ", ".join(
        dict.fromkeys(instrument.name for instrument in manifest.instruments if instrument.tradable)
    )
