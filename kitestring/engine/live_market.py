"""Which of the broker's instruments a live day watches, and which strategies enter without a stop."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.broker.kite_instruments import KiteInstruments
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind

INDICES: Final = MappingProxyType(
    {
        "NIFTY": InstrumentId("NSE:NIFTY 50"),
        "BANKNIFTY": InstrumentId("NSE:NIFTY BANK"),
        "FINNIFTY": InstrumentId("NSE:NIFTY FIN SERVICE"),
        "MIDCPNIFTY": InstrumentId("NSE:NIFTY MID SELECT"),
    }
)
"""Kite names an index's contracts otherwise than the index (kite.trade/docs, instruments)."""
_FUTURES_WATCHED: Final = 2
"""The nearest contract and the one after it: on expiry day the later one is current."""
_ENTRIES: Final = ("buy", "sell", "Decision")


def watched(listed: KiteInstruments, names: Iterable[str], day: dt.date) -> tuple[Instrument, ...]:
    """The index, the share and the nearest futures of each logical name; a full id is itself."""
    found: dict[InstrumentId, Instrument] = {}

    def take(instrument: Instrument | None) -> None:
        if instrument is not None:
            found[instrument.id] = instrument

    for name in dict.fromkeys(
        each.partition(" ")[0] if ":" not in each else each for each in names
    ):
        if ":" in name:
            take(listed.find(InstrumentId(name)))
            continue
        index = listed.find(INDICES[name]) if name in INDICES else None
        if index is not None:
            take(msgspec.structs.replace(index, name=name))
        share = listed.find(InstrumentId(f"NSE:{name}"))
        if share is not None and share.kind is InstrumentKind.EQUITY:
            take(share)
        chain = listed.chain(name, "NFO")
        if chain is None:
            continue
        expiries = [each for each in chain.expiries_of(InstrumentKind.FUTURE) if each >= day]
        for expiry in expiries[:_FUTURES_WATCHED]:
            take(listed.contract(name, expiry, exchange="NFO"))
    return tuple(found.values())


def listed_futures(
    listed: KiteInstruments, chosen: Iterable[Instrument], day: dt.date
) -> tuple[Instrument, ...]:
    """Every future listed today of the names among ``chosen``: a new contract warms up on the one before."""
    names = {(each.name, each.exchange) for each in chosen if each.kind is InstrumentKind.FUTURE}
    found: list[Instrument] = []
    for name, exchange in sorted(names):
        chain = listed.chain(name, exchange)
        for expiry in chain.expiries_of(InstrumentKind.FUTURE) if chain is not None else ():
            future = listed.contract(name, expiry, exchange=exchange)
            if future is not None and expiry >= day:
                found.append(future)
    return tuple(found)


def enters_without_stop(definition: StrategyDefinition, text: str) -> bool:
    """Whether a strategy's text has an entry that names no stop: ``buy("why")`` without ``stop=``.

    ``stop=None`` names none either. A stop that only turns out to be ``None`` is refused when it is
    said (``stops_demanded``).
    """
    for node in ast.walk(ast.parse(text, definition.path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in _ENTRIES and not any(
            word.arg == "stop" and not _is_none(word.value) for word in node.keywords
        ):
            return True
    return False


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def stops_demanded(settings: DaySettings, exempt: Iterable[str]) -> DaySettings:
    """The settings of a live day: strategies that are not exempt enter with a stop or not at all."""
    allowed = set(exempt)
    rows = tuple(
        msgspec.structs.replace(row, stop_required=row.strategy not in allowed)
        for row in settings.strategies
    )
    return msgspec.structs.replace(settings, strategies=rows)


def without_stop(
    definitions: Mapping[str, StrategyDefinition], exempt: Iterable[str]
) -> tuple[str, ...]:
    """Strategies that enter without a stop although nobody has said that they may."""
    allowed = set(exempt)
    return tuple(
        name
        for name, definition in sorted(definitions.items())
        if name not in allowed and enters_without_stop(definition, _text(definition))
    )


def _text(definition: StrategyDefinition) -> str:
    return Path(definition.path).read_text(encoding="utf-8")
