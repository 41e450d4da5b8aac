"""From the settings file and the day's market to the settings the core trades on.

Logical names become the contracts of the day here, once. What the feed does not carry is left out
and said; what no feed could carry, or a limit that cannot be computed, stops the start.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import get_args

import msgspec

from kitestring.cli.config import ConfigFile, Engines, SegmentWord, StrategyConfig
from kitestring.core.settings import DaySettings, StrategySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant, instant, ist_clock
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.market.logical_names import current_future, share

Resolver = Callable[[str, Manifest, Engines], Instrument | None]
"""A logical name (``NIFTY``, ``NIFTY index``) to the day's instrument, or ``None``: not in the feed."""
ReadStrategy = Callable[[str], StrategyDefinition]
"""A strategy's name to the strategy; raises ``ConfigError`` if there is none or it is refused."""

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
    strategies: dict[str, StrategyDefinition]
    """The strategies of the day, read and checked, by file name."""
    notes: tuple[str, ...] = ()


def day_settings(
    file: ConfigFile,
    manifest: Manifest,
    *,
    engines: Engines,
    identity: Iterable[str],
    read_strategy: ReadStrategy,
    resolver: Resolver | None = None,
    bar_grace_ms: int = 0,
    carried: Mapping[StrategyId, InstrumentId] = MappingProxyType({}),
) -> SettledDay:
    """Everything the core needs to know of the day. Raises ``ConfigError`` if it cannot be known.

    ``identity`` names what makes the run besides day, market, settings and strategies: its mode,
    seed and charges. All of them together are the run's key: the same day asked for twice is one
    run, and any difference makes another. ``carried`` names the contracts in which strategies hold
    positions from the day before: a name rolls to its next contract, a position keeps its own until
    it is closed, and so does the strategy that holds it.
    """
    resolver = resolver or contract_of_the_day
    definitions: dict[str, StrategyDefinition] = {}
    notes: list[str] = []
    missing: list[str] = []
    strategies: list[StrategySettings] = []
    for number, entry in enumerate(file.config.strategies):
        if entry.strategy not in definitions:
            definitions[entry.strategy] = _read(file, number, entry, read_strategy)
        _check_params(file, number, entry, definitions[entry.strategy].params_type)
        for name in entry.instruments:
            if resolver(name, manifest, Engines.ALL) is None:
                missing.append(name)
                continue
            traded = resolver(name, manifest, engines)
            held = carried.get(StrategyId(f"{entry.name}-{name}"))
            if traded is not None and held is not None and held != traded.id:
                traded = _still_held(held, traded, manifest)
            if traded is not None and traded.kind in _KINDS[engines]:
                source = _source(file, number, traded, manifest, resolver)
                _check_product(file, number, entry, traded)
                strategies.append(_one(entry, name, traded, source))
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
        capital=file.config.trading.capital,
        run_key=_run_key(
            file.config.digest,
            manifest.date.isoformat(),
            manifest.digest,
            engines,
            *identity,
            *(f"{name}={definitions[name].source_hash}" for name in sorted(definitions)),
        ),
        strategies=tuple(strategies),
        risk=file.config.risk,
        bar_grace_ms=bar_grace_ms,
    )
    sessions = day_sessions(file, manifest)
    return SettledDay(
        settings=settings, sessions=sessions, strategies=definitions, notes=tuple(notes)
    )


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


def contract_of_the_day(name: str, manifest: Manifest, engines: Engines) -> Instrument | None:
    """What a name means among the instruments of one feed, under ``--engines``.

    ``RELIANCE`` is the share (its future under ``fno``); ``NIFTY``, which has no share, its current
    future; ``NIFTY index``, ``RELIANCE future``, ``RELIANCE share`` say it outright. A full id
    (``NFO:NIFTY26NOVFUT``) names itself.
    """
    for instrument in manifest.instruments:
        if name == instrument.id:
            return instrument
    logical, _, word = name.partition(" ")
    if word.lower() == "index":
        return _index(logical, manifest)
    found = None
    if engines is not Engines.FNO and word.lower() in {"", "share"}:
        found = share(logical, manifest.instruments)
    if found is None and engines is not Engines.EQUITY and word.lower() in {"", "future"}:
        found = current_future(logical, manifest.instruments, manifest.date)
    return found


def _index(logical: str, manifest: Manifest) -> Instrument | None:
    for instrument in manifest.instruments:
        if instrument.kind is InstrumentKind.INDEX and logical in {
            instrument.name,
            instrument.symbol,
        }:
            return instrument
    return None


def _read(
    file: ConfigFile, number: int, entry: StrategyConfig, read_strategy: ReadStrategy
) -> StrategyDefinition:
    try:
        return read_strategy(entry.strategy)
    except ConfigError as error:
        where = file.where("strategies", number, "strategy")
        raise ConfigError(f"{where}: {error.what}", do=error.do) from error


def _still_held(held: InstrumentId, current: Instrument, manifest: Manifest) -> Instrument:
    """The older contract of the same name that is still held and still listed, or the current one."""
    for instrument in manifest.instruments:
        if (
            instrument.id == held
            and instrument.kind is current.kind
            and instrument.name == current.name
        ):
            return instrument
    return current


def _source(
    file: ConfigFile, number: int, traded: Instrument, manifest: Manifest, resolver: Resolver
) -> Instrument:
    name = file.config.strategies[number].signal_from
    if name is None:
        return traded
    source = resolver(name, manifest, Engines.ALL)
    if source is None:
        raise ConfigError(
            f"{file.where('strategies', number, 'signal_from')}: {manifest.name} carries no {name}.",
            do=f"The feed carries {_names(manifest)}; or leave signal_from out.",
        )
    return source


def _one(
    entry: StrategyConfig, name: str, traded: Instrument, source: Instrument
) -> StrategySettings:
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
        loss_max=entry.loss_max,
        fresh_signal=entry.fresh_signal,
        max_reentries=entry.max_reentries,
        wait_minutes=entry.wait_minutes,
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
    try:
        msgspec.convert(entry.params, params_type)
    except msgspec.ValidationError as error:
        where = file.where("strategies", number, "params")
        raise ConfigError(f"{where}: {entry.strategy} does not take this: {error}.") from error


def _run_key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _moment(session: Session, time: dt.time | None, otherwise: Instant) -> Instant:
    return otherwise if time is None else instant(session.date, time)


def _names(manifest: Manifest) -> str:
    return ", ".join(
        dict.fromkeys(instrument.name for instrument in manifest.instruments if instrument.tradable)
    )
