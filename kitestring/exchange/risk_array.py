"""What one unit of a contract is worth in each of the sixteen moves that margin is scanned over.

Fourteen moves: the underlying by none, a third, two thirds and all of its range, up and down, each
with volatility up and down; and two extreme ones, twice the range without a change of volatility,
of which 35 % count (SPAN as the clearing corporations use it). Options are repriced with Black's
formula on the underlying's reference price, at the volatility that the contract's own reference
price implies. References are prices of the evening before, like the first risk file of a day;
``Account.refer`` takes later ones.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Price
from kitestring.exchange.margin import BP, UnderlyingRates

THIRDS: Final = (0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6)
"""The moves, in thirds of the scan range."""
VOLATILITY: Final = (1, -1) * 7 + (0, 0)
COVER_PCT: Final = (100,) * 14 + (35, 35)
"""How much of what a move does is counted."""
SCENARIOS: Final = len(THIRDS)

_PAISA: Final = 100
_YEAR_DAYS: Final = 365.0
_LAST_DAY_DAYS: Final = 0.5
"""An option that expires today is worth half a day of time."""
_UNKNOWN_DAYS: Final = 30.0
"""Where the day or the expiry is not known."""
_VOLATILITY_MIN, _VOLATILITY_MAX = 0.01, 3.0
_HALVINGS: Final = 40
_DERIVATIVES: Final = (InstrumentKind.FUTURE, InstrumentKind.CALL, InstrumentKind.PUT)
_STOCK_EXCHANGES: Final = frozenset({"NFO", "BFO"})


class RiskArray(NamedTuple):
    """Per unit of quantity and multiplier, in whole paise."""

    worth: tuple[int, ...]
    """An option's price in each scenario; a future has none."""
    now: int
    """An option's price at the references."""
    underlying: int
    """The reference price of what it stands for; 0 for a future, whose own price counts."""
    delta_bp: int
    """How much of the underlying one unit stands for."""


FUTURE_ARRAY: Final = RiskArray((), 0, 0, BP)


class ReferencePrices:
    """The prices margins are reckoned from, by contract and by underlying."""

    __slots__ = ("_contracts", "_near", "_spot")

    def __init__(
        self,
        instruments: Iterable[Instrument] = (),
        prices: Mapping[InstrumentId, Price] | None = None,
    ) -> None:
        self._contracts: Mapping[InstrumentId, Price] = prices or {}
        self._spot: dict[str, Price] = {}
        self._near: dict[tuple[str, str], tuple[dt.date, Price]] = {}
        for instrument in instruments:
            px = self._contracts.get(instrument.id)
            if not px:
                continue
            if instrument.kind is InstrumentKind.INDEX:
                self._spot[instrument.name] = px
            elif instrument.kind is InstrumentKind.EQUITY:
                # Dumps give a share the company's name; derivatives name the share's symbol.
                self._spot.setdefault(instrument.name, px)
                self._spot.setdefault(instrument.symbol, px)
            elif instrument.kind is InstrumentKind.FUTURE and instrument.expiry is not None:
                key = (instrument.exchange, instrument.name)
                self._near[key] = min(
                    self._near.get(key, (dt.date.max, px)), (instrument.expiry, px), key=_first
                )

    def of_contract(self, instrument: Instrument) -> Price:
        """The contract's own price; 0 if it is not known."""
        return self._contracts.get(instrument.id, Price(0))

    def of_underlying(self, instrument: Instrument) -> Price:
        """The price of what an option is on; its strike where nothing else is known.

        That counts the option as if it were at the money, where a short one is dearest.
        """
        spot = None
        if instrument.exchange in _STOCK_EXCHANGES:
            spot = self._spot.get(instrument.name)
        if spot is None:
            near = self._near.get((instrument.exchange, instrument.name))
            spot = near[1] if near is not None else None
        return spot or instrument.strike or Price(0)


def _first(row: tuple[dt.date, Price]) -> dt.date:
    return row[0]


def is_derivative(instrument: Instrument) -> bool:
    """Whether a contract is margined together with others of its underlying."""
    return instrument.kind in _DERIVATIVES


def risk_array(
    instrument: Instrument, rates: UnderlyingRates, day: dt.date | None, references: ReferencePrices
) -> RiskArray:
    """The array of one contract on one day."""
    if instrument.kind is InstrumentKind.FUTURE:
        return FUTURE_ARRAY
    underlying = float(references.of_underlying(instrument))
    strike = float(instrument.strike or underlying)
    call = instrument.kind is InstrumentKind.CALL
    years = _years_left(instrument.expiry, day)
    volatility = implied_volatility(
        float(references.of_contract(instrument)),
        underlying,
        strike,
        years,
        call=call,
        otherwise=rates.usual_volatility_bp / BP,
    )
    step, span = rates.volatility_scan_bp / BP, rates.scan_bp / BP
    now = _option_px(underlying, strike, volatility, years, call=call)
    worth: list[int] = []
    for thirds, turn, cover in zip(THIRDS, VOLATILITY, COVER_PCT, strict=True):
        moved = underlying * (1 + span * thirds / 3)
        then = _option_px(
            moved, strike, max(volatility + turn * step, _VOLATILITY_MIN), years, call=call
        )
        worth.append(_whole_paise(now + (then - now) * cover / 100))
    return RiskArray(
        tuple(worth),
        _whole_paise(now),
        int(underlying),
        round(_delta(underlying, strike, volatility, years, call=call) * BP),
    )


def _years_left(expiry: dt.date | None, day: dt.date | None) -> float:
    if expiry is None or day is None:
        return _UNKNOWN_DAYS / _YEAR_DAYS
    return max(float((expiry - day).days), _LAST_DAY_DAYS) / _YEAR_DAYS


def implied_volatility(
    px: float, forward: float, strike: float, years: float, *, call: bool, otherwise: float
) -> float:
    """The volatility at which an option is worth its price; ``otherwise`` where none is."""
    low, high = _VOLATILITY_MIN, _VOLATILITY_MAX
    if not (
        _option_px(forward, strike, low, years, call=call)
        < px
        < _option_px(forward, strike, high, years, call=call)
    ):
        return otherwise
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _option_px(forward, strike, middle, years, call=call) < px:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _option_px(
    forward: float, strike: float, volatility: float, years: float, *, call: bool
) -> float:
    """Black's price of a European option, without interest."""
    if forward <= 0 or strike <= 0:
        return max(forward - strike if call else strike - forward, 0.0)
    deviation = volatility * math.sqrt(years)
    first = math.log(forward / strike) / deviation + deviation / 2
    second = first - deviation
    if call:
        return forward * _normal(first) - strike * _normal(second)
    return strike * _normal(-second) - forward * _normal(-first)


def _delta(forward: float, strike: float, volatility: float, years: float, *, call: bool) -> float:
    if forward <= 0 or strike <= 0:
        return 0.0
    deviation = volatility * math.sqrt(years)
    first = math.log(forward / strike) / deviation + deviation / 2
    return _normal(first) if call else _normal(first) - 1


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _whole_paise(units: float) -> int:
    """Rounded so far that the last bits of a machine's logarithm do not show."""
    return max(round(units / _PAISA), 0) * _PAISA
