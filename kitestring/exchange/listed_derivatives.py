"""Every future and option an exchange lists on a day, with the names and numbers Kite gives them.

Expiries, lots, ticks and freeze quantities come from the dated rows of ``market``; a name whose rows
do not reach the day is not listed. Strikes lie around a plausible level that no day moves, so that a
contract keeps its name and its token for all its life. Lots of stock contracts and the contracts of
MCX and currencies have no rows: they are of usual size, and unconfirmed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final, NamedTuple

from kitestring.domain.errors import CalendarUnknown
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind, Segment
from kitestring.domain.money import UNITS_PER_RUPEE, Price, decimal_rupees, price
from kitestring.exchange.instrument_master import symbol_on
from kitestring.exchange.listed_names import (
    COMMODITIES,
    CURRENCIES,
    INDICES,
    CommodityName,
    ShareName,
    known_shares,
)
from kitestring.market import bands, contracts, freeze
from kitestring.market.calendar import LAST_DAY
from kitestring.market.segment_calendar import is_listed, is_open

NFO, CDS, BFO, BCD, MCX = 2, 3, 5, 6, 7
"""Kite's segment numbers: the low byte of an instrument token."""
_EXCHANGES: Final = {NFO: "NFO", CDS: "CDS", BFO: "BFO", BCD: "BCD", MCX: "MCX"}
_CHAINS: Final = (
    ("NIFTY", 50, 100),
    ("BANKNIFTY", 100, 120),
    ("FINNIFTY", 50, 60),
    ("MIDCPNIFTY", 25, 60),
    ("NIFTYNXT50", 100, 60),
    ("SENSEX", 100, 200),
    ("BANKEX", 100, 120),
)
"""Index, distance of strikes in rupees, strikes on either side."""
_LONG_STEP: Final = {"NIFTY": 1500, "SENSEX": 1000}
"""Long-dated contracts: NSE/FAOP/71819 (31 Dec 2025), BSE (29 Jun 2026): five in, five out."""
_WEEKLIES: Final = 5
_STOCK_STEPS: Final = ((50, "1"), (250, "2.50"), (500, "5"), (1_000, "10"), (2_500, "20"))
_STOCK_STRIKES: Final = 20
_STOCK_CONTRACT_RUPEES: Final = 650_000
_FUTURES_FROM: Final = 46_000
_OPTIONS_FROM: Final = 1 << 16


class _Chain(NamedTuple):
    """One underlying on one exchange, and what all its contracts share."""

    place: int
    """Its number on the exchange, from which tokens are made."""
    market: int
    name: str
    segment: tuple[Segment, Segment]
    lot: int
    multiplier: int
    freeze: int
    future_tick: Price
    option_tick: Price


def derivatives_on(day: dt.date, listed: frozenset[InstrumentId]) -> Iterator[Instrument]:
    """All futures and options of a day, without those in ``listed``, exchange by exchange."""
    yield from _indices(day, listed)
    shares = [share for share in known_shares() if share.derivatives]
    yield from _stocks(NFO, "NFO", day, shares, months=3)
    yield from _stocks(BFO, "BFO", day, shares, months=2)
    if is_listed(day, Segment.CURRENCY):
        for market in (CDS, BCD):
            for place, pair in enumerate(CURRENCIES):
                yield from _currency(market, place, pair, day)
    if is_listed(day, Segment.COMMODITY):
        for place, commodity in enumerate(COMMODITIES):
            yield from _commodity(place, commodity, day)


def _indices(day: dt.date, listed: frozenset[InstrumentId]) -> Iterator[Instrument]:
    levels = {index.name: price(index.level) for index in INDICES}
    for place, (name, step, side) in enumerate(_CHAINS):
        level, market = levels[name], BFO if name in ("SENSEX", "BANKEX") else NFO
        try:
            lot = contracts.lot_size(name, day)
            months = _months(_EXCHANGES[market], day, 12)
        except CalendarUnknown:
            continue
        kinds = (InstrumentKind.FUTURE, InstrumentKind.CALL)
        ticks = [bands.tick_size_for(kind, level, day, on_index=True) for kind in kinds]
        chain = _Chain(
            *(place, market, name, (Segment.FUTURES, Segment.OPTIONS), lot, 1),
            *(_freeze(name, day), ticks[0], ticks[1]),
        )
        for future in (_future(chain, expiry) for expiry in months[:3]):
            if future.id not in listed:
                yield future
        weeklies = contracts.listed_weekly_expiries(name, day, _WEEKLIES)
        for expiry in weeklies:
            if expiry not in months:
                yield from _options(chain, expiry, price(step), level, side, monthly=False)
        for expiry in months[:3]:
            yield from _options(chain, expiry, price(step), level, side, monthly=True)
        if name in _LONG_STEP:
            quarters = [expiry for expiry in months[3:] if expiry.month % 3 == 0]
            for expiry in (*quarters, *_half_years(_EXCHANGES[market], months[-1])):
                yield from _options(
                    chain, expiry, price(_LONG_STEP[name]), level, 5, monthly=True, far=True
                )


def _stocks(
    market: int, exchange: str, day: dt.date, shares: list[ShareName], *, months: int
) -> Iterator[Instrument]:
    try:
        expiries = _months(exchange, day, months)
    except CalendarUnknown:
        return
    for place, share in enumerate(shares, len(_CHAINS) + 2):
        level = share.level
        lot = max(_STOCK_CONTRACT_RUPEES * UNITS_PER_RUPEE // int(level) // 25, 1) * 25
        if int(level) >= 20_000 * UNITS_PER_RUPEE:
            lot = 15
        kinds = (InstrumentKind.FUTURE, InstrumentKind.CALL)
        ticks = [bands.tick_size_for(kind, level, day) for kind in kinds]
        name = "TATAMOTORS" if share.symbol == "TMPV" else share.symbol
        chain = _Chain(
            *(place, market, name, (Segment.FUTURES, Segment.OPTIONS), lot, 1),
            *(0, ticks[0], ticks[1]),
        )
        step, symbol = _stock_step(level), symbol_on(share.symbol, day)
        for far, expiry in enumerate(expiries):
            yield _future(chain, expiry, symbol)
            distance = Price(int(step) * (2 if far == 2 else 1))
            side = _STOCK_STRIKES if far < 2 else _STOCK_STRIKES * 3 // 4
            yield from _options(chain, expiry, distance, level, side, monthly=True, symbol=symbol)


def _currency(market: int, place: int, pair: CommodityName, day: dt.date) -> Iterator[Instrument]:
    """Currency contracts: futures of twelve months, options of the next ones.

    They end two working days before the month's last one; USDINR has weekly options on Fridays.
    """
    tick = price(pair.tick)
    chain = _Chain(
        *(place, market, pair.name, (Segment.CURRENCY, Segment.CURRENCY), 1, pair.multiplier),
        *(0, tick, tick),
    )
    ends: list[dt.date] = []
    month = day.year * 12 + day.month - 1
    while len(ends) < 12:
        following = dt.date((month + 1) // 12, (month + 1) % 12 + 1, 1)
        end = following
        for _ in range(3):
            end = _working_day_before(end, Segment.CURRENCY)
        if end >= day:
            ends.append(end)
        month += 1
    for end in ends:
        yield _future(chain, end)
    level, step = price(pair.level), price(pair.step)
    busy = pair.name == "USDINR"
    for end in ends[: 6 if busy else 3]:
        yield from _options(chain, end, step, level, 40 if busy else 30, monthly=True)
    if busy:
        friday = day + dt.timedelta(days=(4 - day.weekday()) % 7)
        for week in range(4):
            end = friday + dt.timedelta(days=7 * week)
            if not _works(end, Segment.CURRENCY):
                end = _working_day_before(end, Segment.CURRENCY)
            if day <= end and all(abs((end - other).days) > 3 for other in ends):
                yield from _options(chain, end, step, level, 40, monthly=False)


def _commodity(place: int, commodity: CommodityName, day: dt.date) -> Iterator[Instrument]:
    """MCX contracts: three or more futures, and options that end a few days before their future."""
    tick = price(commodity.tick)
    chain = _Chain(
        *(place, MCX, commodity.name, (Segment.COMMODITY, Segment.COMMODITY), 1),
        *(commodity.multiplier, 0, tick, price("0.50") if int(tick) >= UNITS_PER_RUPEE else tick),
    )
    found = 0
    month = day.year * 12 + day.month - 1
    while found < (6 if commodity.name.startswith("CRUDE") else 4):
        year, number = month // 12, month % 12 + 1
        month += 1
        if number not in commodity.months:
            continue
        following = dt.date(year + number // 12, number % 12 + 1, 1)
        last = min(following - dt.timedelta(days=1), _nominal(year, number, commodity.expiry_day))
        end = last if _works(last, Segment.COMMODITY) else _before(last)
        if end < day:
            continue
        found += 1
        yield _future(chain, end)
        options_end = _before(_before(end))
        if commodity.step and found <= 3 and options_end >= day:
            step, level = price(commodity.step), price(commodity.level)
            yield from _options(chain, options_end, step, level, 40, monthly=True, contract=end)


def _future(chain: _Chain, expiry: dt.date, symbol: str = "") -> Instrument:
    exchange = _EXCHANGES[chain.market]
    symbol = contracts.future_symbol(symbol or chain.name, expiry)
    place = chain.place * 16 + (expiry.year * 12 + expiry.month) % 16
    return Instrument(
        id=InstrumentId(f"{exchange}:{symbol}"),
        exchange=exchange,
        symbol=symbol,
        token=(_FUTURES_FROM + place) << 8 | chain.market,
        kind=InstrumentKind.FUTURE,
        segment=chain.segment[0],
        name=chain.name,
        lot_size=chain.lot,
        tick_size=chain.future_tick,
        freeze_qty=chain.freeze,
        multiplier=chain.multiplier,
        expiry=expiry,
    )


def _options(
    chain: _Chain,
    expiry: dt.date,
    step: Price,
    level: Price,
    side: int,
    *,
    monthly: bool,
    symbol: str = "",
    far: bool = False,
    contract: dt.date | None = None,
) -> Iterator[Instrument]:
    """Calls and puts of one expiry around a level, from the lowest strike up.

    ``contract`` is the expiry of the future they end in, where they carry its month.
    Tokens: 8 bits name the underlying, 5 the expiry, 9 the strike, 1 the side: below 2³¹ with the
    segment's byte, because a client of 32-bit numbers must read them too.
    """
    exchange = _EXCHANGES[chain.market]
    named = contract or expiry
    stem = contracts.option_stem(symbol or chain.name, named, monthly=monthly)
    months = named.year * 12 + named.month
    slot = months % 16 if monthly else 16 + expiry.toordinal() // 7 % 16
    place = chain.place
    if far:
        place, slot = 248 + chain.place, months // 3 % 32
    stem_token = _OPTIONS_FROM + (place << 15) + (slot << 10)
    distance = int(step)
    middle = int(level) // distance
    for number in range(max(middle - side, 1), middle + side + 1):
        strike = number * distance
        words = _strike_words(strike)
        token = stem_token + (number % 512 << 1)
        for kind, extra in ((InstrumentKind.CALL, 0), (InstrumentKind.PUT, 1)):
            word = "PE" if extra else "CE"
            yield Instrument(
                id=InstrumentId(f"{exchange}:{stem}{words}{word}"),
                exchange=exchange,
                symbol=f"{stem}{words}{word}",
                token=(token + extra) << 8 | chain.market,
                kind=kind,
                segment=chain.segment[1],
                name=chain.name,
                lot_size=chain.lot,
                tick_size=chain.option_tick,
                freeze_qty=chain.freeze,
                multiplier=chain.multiplier,
                expiry=expiry,
                strike=Price(strike),
            )


def _strike_words(strike: int) -> str:
    whole, rest = divmod(strike, UNITS_PER_RUPEE)
    return f"{decimal_rupees(Price(strike)).normalize():f}" if rest else str(whole)


def _freeze(name: str, day: dt.date) -> int:
    try:
        return freeze.freeze_qty(name, day)
    except CalendarUnknown:
        return 0


def _stock_step(level: Price) -> Price:
    rupees = int(level) // UNITS_PER_RUPEE
    for below, step in _STOCK_STEPS:
        if rupees < below:
            return price(step)
    return price(50 if rupees < 5_000 else 100 if rupees < 10_000 else 500)


def _months(exchange: str, day: dt.date, count: int) -> list[dt.date]:
    """The next monthly expiries from a day on."""
    found: list[dt.date] = []
    month = day.year * 12 + day.month - 1
    while len(found) < count:
        expiry = contracts.listed_monthly_expiry(exchange, month // 12, month % 12 + 1)
        if expiry >= day:
            found.append(expiry)
        month += 1
    return found


def _half_years(exchange: str, after: dt.date) -> list[dt.date]:
    """June and December of the years that follow, to about five years out."""
    found = []
    for year in range(after.year, after.year + 4):
        for month in (6, 12):
            expiry = contracts.listed_monthly_expiry(exchange, year, month)
            if expiry > after:
                found.append(expiry)
    return found[:6]


def _works(day: dt.date, segment: Segment) -> bool:
    """Whether a contract may end on a day; beyond the calendar every weekday is taken for one."""
    return day.weekday() < 5 if day > LAST_DAY else is_open(day, segment)


def _working_day_before(day: dt.date, segment: Segment) -> dt.date:
    day -= dt.timedelta(days=1)
    while not _works(day, segment):
        day -= dt.timedelta(days=1)
    return day


def _before(day: dt.date) -> dt.date:
    return _working_day_before(day, Segment.COMMODITY)


def _nominal(year: int, month: int, day: int) -> dt.date:
    """A day of a month, or the month's last one."""
    following = dt.date(year + month // 12, month % 12 + 1, 1)
    return min(dt.date(year, month, min(day, 28)) + dt.timedelta(days=max(day - 28, 0)), following)
