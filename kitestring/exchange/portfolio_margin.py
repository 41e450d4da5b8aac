"""The margin of everything held and working in one underlying, scanned together.

The question is what it would cost to be rid of it all in the worst of the moves, and with the
worst of our working orders filled. In each move every contract is looked at with all its buy
orders filled, with all its sell orders filled and with neither, and the dearest is taken: so an
order that does not trade yet never lowers a margin, and orders that cannot hurt each other are not
added up. (Orders of one contract and side count together, at their average price.) The answer is
the dearest move, or none at all.

* Long options cost what was paid, or is bid for them, and are worth in each move what they are
  worth: a hedge counts from its fill on, its premium from the bid on.
* Short options cost what it takes to buy them back in that move. What was received for them
  counts against that, but never more than they are worth at the references.
* Exposure is on every future and every short option, hedged or not.
* Hedges across expiries pay the calendar charge. What expires today is scanned alone: no benefit
  (SEBI circular of 1 Oct 2024, in force since 10 Feb 2025; single stocks since 2026).
* Short options that expire today cost their extra margin.

Open profit and loss of futures is not counted, as nowhere in the account.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money
from kitestring.exchange.margin import (
    BP,
    NOTHING,
    Leg,
    MarginRates,
    Requirement,
    UnderlyingRates,
    linear_requirement,
)
from kitestring.exchange.risk_array import (
    COVER_PCT,
    SCENARIOS,
    THIRDS,
    ReferencePrices,
    RiskArray,
    is_derivative,
    risk_array,
)

UnderlyingKey = tuple[str, str]
_FUTURE_SHARES: Final = tuple(
    thirds * cover for thirds, cover in zip(THIRDS, COVER_PCT, strict=True)
)
"""A future's move in each scenario, in 1/300 of the scan range."""


class _State(NamedTuple):
    """A leg with its orders of one side filled."""

    losses: tuple[int, ...]
    """What it costs to be rid of it: with nothing happening, then in each scenario."""
    exposure: int
    premium: int
    additional: int
    delta: int
    """Of the underlying's value."""


class RiskBook:
    """The margin model on one day: rates, references and the risk arrays made so far."""

    __slots__ = ("_arrays", "day", "rates", "references")

    def __init__(
        self,
        rates: MarginRates | None = None,
        day: dt.date | None = None,
        references: ReferencePrices | None = None,
    ) -> None:
        self.rates = rates or MarginRates()
        self.day = day
        """``None`` where nobody says what day it is: nothing expires today."""
        self.references = references or ReferencePrices()
        self._arrays: dict[InstrumentId, RiskArray] = {}

    def refer(self, references: ReferencePrices) -> None:
        """Reckon from other prices from now on, as the clearing corporations' later files do."""
        self.references = references
        self._arrays.clear()

    def array_of(self, instrument: Instrument) -> RiskArray:
        """A contract's risk array; made once."""
        array = self._arrays.get(instrument.id)
        if array is None:
            array = self._arrays[instrument.id] = risk_array(
                instrument, self.rates.of(instrument), self.day, self.references
            )
        return array

    def requirement(self, legs: Iterable[Leg]) -> Requirement:
        """What any legs tie up, each underlying scanned on its own."""
        total = NOTHING
        grouped: dict[UnderlyingKey, list[Leg]] = {}
        for leg in legs:
            key = underlying_key(leg.instrument)
            if key is None:
                total = total.plus(linear_requirement(self.rates, leg))
            else:
                grouped.setdefault(key, []).append(leg)
        for group in grouped.values():
            total = total.plus(self.of_underlying(group))
        return total

    def of_underlying(self, legs: Sequence[Leg]) -> Requirement:
        """What the legs of one underlying tie up together."""
        if not needs_scan(legs):
            return linear_requirement(self.rates, legs[0]) if legs else NOTHING
        rates = self.rates.of(legs[0].instrument)
        day = self.day
        today = [leg for leg in legs if day is not None and leg.instrument.expiry == day]
        if not today:
            return self._scan(legs, rates, expiring=False)
        later = [leg for leg in legs if leg.instrument.expiry != day]
        expiring = self._scan(today, rates, expiring=True)
        return expiring.plus(self._scan(later, rates, expiring=False)) if later else expiring

    def _scan(self, legs: Sequence[Leg], rates: UnderlyingRates, *, expiring: bool) -> Requirement:
        filled = [self._states(leg, rates, expiring=expiring) for leg in legs]
        dearest = (
            states[0].losses
            if len(states) == 1
            else tuple(map(max, zip(*(state.losses for state in states), strict=True)))
            for states in filled
        )
        totals = [sum(losses) for losses in zip(*dearest, strict=True)]
        if len({leg.instrument.expiry for leg in legs}) > 1:
            open_ended = [states for states in filled if len(states) > 1]
            charges: dict[tuple[int, ...], int] = {}
            for scenario in range(SCENARIOS + 1):
                deltas = tuple(state.delta for state in _taken(open_ended, scenario))
                charge = charges.get(deltas)
                if charge is None:
                    taken = _taken(filled, scenario)
                    charge = charges[deltas] = _calendar_charge(legs, taken, rates.calendar_bp)
                totals[scenario] += charge
        total = max(totals)
        taken = _taken(filled, totals.index(total))
        exposure = sum(state.exposure for state in taken)
        premium = sum(state.premium for state in taken)
        additional = sum(state.additional for state in taken)
        return Requirement(
            span=Money(max(total, 0) - exposure - premium - additional),
            exposure=Money(exposure),
            premium=Money(premium),
            additional=Money(additional),
        )

    def _states(self, leg: Leg, rates: UnderlyingRates, *, expiring: bool) -> tuple[_State, ...]:
        low, high = leg.net_qty - leg.working_sell, leg.net_qty + leg.working_buy
        if leg.instrument.kind is InstrumentKind.FUTURE:
            quantities = (low, high) if high != low else (low,)
            return tuple(_future_state(_signed_value(leg, qty), rates) for qty in quantities)
        array = self.array_of(leg.instrument)
        opening = max(high, 0) - max(leg.net_qty, 0)
        bid = int(leg.buy_value) * opening // leg.working_buy if opening else 0
        bought = int(leg.open_cost) + int(leg.buy_value) - bid
        sold = int(leg.open_cost) - int(leg.sell_value)
        reached = [(low, sold)]
        if high != low:
            reached.append((high, bought))
        if leg.working_buy and leg.working_sell:
            reached.append((leg.net_qty, int(leg.open_cost)))
        return tuple(
            _option_state(leg.instrument, array, rates, qty, paid, bid, expiring=expiring)
            for qty, paid in reached
        )


def _taken(filled: Sequence[tuple[_State, ...]], scenario: int) -> list[_State]:
    """The dearest state of each leg in one scenario."""
    return [max(states, key=lambda state: state.losses[scenario]) for states in filled]


def needs_scan(legs: Sequence[Leg]) -> bool:
    """Whether a lone future's simple rule will not do."""
    return len(legs) > 1 or any(leg.instrument.kind is not InstrumentKind.FUTURE for leg in legs)


def underlying_key(instrument: Instrument) -> UnderlyingKey | None:
    """What a contract is scanned with; ``None`` for shares."""
    return (instrument.exchange, instrument.name) if is_derivative(instrument) else None


def _signed_value(leg: Leg, qty: int) -> int:
    """The value of a future with its net quantity turned into ``qty`` by its own orders."""
    net = leg.net_qty
    cost, buys, sells = int(leg.open_cost), int(leg.buy_value), int(leg.sell_value)
    if qty == net:
        return cost
    if qty > net:
        if net >= 0:
            return cost + buys
        return buys * qty // leg.working_buy if qty > 0 else cost * qty // net
    if net <= 0:
        return cost - sells
    return -(sells * -qty // leg.working_sell) if qty < 0 else cost * qty // net


def _future_state(value: int, rates: UnderlyingRates) -> _State:
    exposure = -(-abs(value) * rates.exposure_bp // BP)
    moves = (-(value * rates.scan_bp * share // (300 * BP)) for share in _FUTURE_SHARES)
    return _State((exposure, *(exposure + lost for lost in moves)), exposure, 0, 0, value)


def _option_state(
    instrument: Instrument,
    array: RiskArray,
    rates: UnderlyingRates,
    qty: int,
    paid: int,
    bid: int,
    *,
    expiring: bool,
) -> _State:
    units = qty * instrument.multiplier
    exposure = additional = 0
    if units < 0:
        short_value = -units * array.underlying
        exposure = -(-short_value * rates.exposure_bp // BP)
        if expiring:
            additional = -(-short_value * rates.expiry_day_bp // BP)
        paid = max(paid, units * array.now)
    premium = paid + bid
    fixed = exposure + additional + premium
    return _State(
        (fixed, *(fixed - units * worth for worth in array.worth)),
        exposure,
        premium,
        additional,
        units * array.underlying * array.delta_bp // BP,
    )


def _calendar_charge(legs: Sequence[Leg], taken: Sequence[_State], calendar_bp: int) -> int:
    """The smaller of what stands long and short, expiry by expiry, pays the charge."""
    by_expiry: dict[dt.date | None, int] = {}
    for leg, state in zip(legs, taken, strict=True):
        expiry = leg.instrument.expiry
        by_expiry[expiry] = by_expiry.get(expiry, 0) + state.delta
    long = sum(max(delta, 0) for delta in by_expiry.values())
    short = sum(max(-delta, 0) for delta in by_expiry.values())
    return -(-min(long, short) * calendar_bp // BP)
