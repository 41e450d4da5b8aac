"""The first and the last record of a day: what it is made of, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kitestring import __version__
from kitestring.core.handover import hand_over
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.events import DayOpening, DaySealed, RunOpened
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Segment
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Manifest
from kitestring.domain.sessions import Session
from kitestring.engine.tally import Tally
from kitestring.exchange.fill_models import FillModel


def opened_on_paper(
    settings: DaySettings,
    *,
    feed: str,
    capital: Money,
    seed: int,
    config_hash: str,
    definitions: Mapping[str, StrategyDefinition],
    fill_model: FillModel,
    charge_book: ChargeBook,
    sessions: Mapping[Segment, Session],
    mode: str = "paper",
    beside: str = "",
) -> RunOpened:
    """The first record of a day on paper; ``settings`` and ``sessions`` in it allow a replay."""
    return RunOpened(
        mode=mode,
        date=str(settings.date),
        feed=feed,
        seed=seed,
        run_key=settings.run_key,
        config_hash=config_hash,
        strategy_hashes={name: each.source_hash for name, each in definitions.items()},
        fill_model=fill_model.name,
        charges=charge_book.name,
        capital=int(capital),
        version=__version__,
        settings=msgspec.msgpack.encode(settings),
        sessions=msgspec.msgpack.encode(dict(sessions)),
        beside=beside,
    )


def sealed(core: TradingCore, tally: Tally) -> DaySealed:
    """The last record of a day that is over, with what the next one opens with."""
    return DaySealed(
        at=core.state.now,
        equity=int(core.equity),
        realised=int(core.portfolio.realised),
        charges=int(core.portfolio.charges_money),
        net=int(core.equity) - int(core.opening_equity),
        orders=tally.orders,
        fills=tally.fills,
        trades=tally.trades,
        carried={
            f"{book.strategy}|{book.instrument}|{book.product}": book.net_qty
            for book in core.portfolio.books.values()
            if book.net_qty
        },
        handover=hand_over(core),
    )


def bands_in(manifest: Manifest) -> dict[InstrumentId, tuple[Price, Price]]:
    """The price bands that a manifest holds; a replay decides with the same."""
    return {InstrumentId(name): band for name, band in manifest.price_bands.items()}


def closes_before(manifest: Manifest) -> dict[InstrumentId, Price]:
    """Yesterday's closing prices, of the instruments that have one."""
    return {
        each.id: manifest.previous_close[each.id]
        for each in manifest.instruments
        if each.id in manifest.previous_close
    }


def carried_positions(
    opening: DayOpening | None,
) -> dict[tuple[InstrumentId, Product], tuple[int, Price]]:
    """What is carried, as the exchange's account keeps it: net quantity and mark."""
    carried: dict[tuple[InstrumentId, Product], tuple[int, Price]] = {}
    for position in opening.positions if opening is not None else ():
        key = (position.instrument.id, position.product)
        net_qty, _ = carried.get(key, (0, position.mark_px))
        carried[key] = (net_qty + position.net_qty, position.mark_px)
    return carried
