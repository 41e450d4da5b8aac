"""The account a client meets at the opening: money, shares, a carried position, so that no read is empty.

Made of what is listed and of yesterday's closes: for the same day and listing always the same.
Shares are large ones where they are listed; the average prices are invented.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.domain.charges import ChargeBook
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money, Price, money, on_tick_down
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account, PositionKey
from kitestring.exchange.desk.holdings import Holding
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.margin import BP, MarginRates
from kitestring.exchange.risk_array import ReferencePrices

_ISINS: Final = MappingProxyType(
    {
        "RELIANCE": "INE002A01018",
        "INFY": "INE009A01021",
        "SBIN": "INE062A01020",
        "HDFCBANK": "INE040A01034",
        "TCS": "INE467B01029",
        "ICICIBANK": "INE090A01021",
    }
)
"""Of the shares everybody knows; others get one of their own, with a true check digit."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PLACES: Final = (
    # settled, T1, pledged, paid for it in basis points of the close
    (20, 0, 0, 9_120),
    (45, 0, 0, 10_480),
    (60, 10, 0, 8_275),
    (0, 8, 0, 9_990),
    (15, 0, 40, 7_650),
)


_CARRIED_BP: Final = 9_960
"""The carried future was bought a little below its close."""


class OpeningChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the account is to begin with.

    ``paid_in`` came this morning; ``haircut_bp`` is what pledged shares count less than their
    close; ``authorised`` is a power of attorney for sales; ``auction`` puts one holding into
    today's auctions.
    """

    cash: Money = money(1_000_000)
    commodity_cash: Money = money(200_000)
    paid_in: Money = money(25_000)
    haircut_bp: int = 2_000
    shares: tuple[str, ...] = ("RELIANCE", "INFY", "SBIN", "HDFCBANK", "TCS")
    carried: str = "NIFTY"
    """Whose future is carried, one lot long; empty for none."""
    with_holdings: bool = True
    authorised: bool = True
    auction: bool = True


class OpeningAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account before the first order; ``open`` makes it."""

    choice: OpeningChoice
    holdings: tuple[Holding, ...]
    positions: Mapping[PositionKey, tuple[int, Price]]
    collateral: Money

    def open(
        self,
        listing: Listing,
        closes: Mapping[InstrumentId, Price],
        charges: ChargeBook,
        rates: MarginRates | None = None,
    ) -> Account:
        """The floor's account: with the carried positions, ready for the first order.

        Holdings become sellable when ``desk.holdings.Holdings`` is built over it.
        """
        account = Account(
            self.choice.cash,
            charges,
            rates or MarginRates(),
            day=listing.day,
            references=ReferencePrices(listing, closes),
            commodity_cash=self.choice.commodity_cash,
        )
        account.equity.paid_in = self.choice.paid_in
        account.cash += self.choice.paid_in
        account.equity.collateral = self.collateral
        account.carry(listing.by_key, self.positions)
        return account


def opening_account(
    listing: Listing, closes: Mapping[InstrumentId, Price], choice: OpeningChoice | None = None
) -> OpeningAccount:
    """The account of a day. Without a close an instrument is neither held nor carried."""
    choice = choice or OpeningChoice()
    holdings = tuple(_holdings(listing, closes, choice)) if choice.with_holdings else ()
    collateral = 0
    for holding in holdings:
        worth = closes[holding.instrument] * holding.collateral_quantity
        collateral += int(worth) * (BP - choice.haircut_bp) // BP
    positions: dict[PositionKey, tuple[int, Price]] = {}
    future = _near_future(listing, closes, choice.carried)
    if future is not None:
        px = on_tick_down(Price(int(closes[future.id]) * _CARRIED_BP // BP), future.tick_size)
        positions[future.id, Product.NRML] = (future.lot_size, px)
    return OpeningAccount(
        choice=choice, holdings=holdings, positions=positions, collateral=Money(collateral)
    )


def isin_of(symbol: str) -> str:
    """The ISIN of a share: the real one of the shares known here, else an invented one."""
    known = _ISINS.get(symbol)
    if known is not None:
        return known
    number = int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:4], "big")
    body = f"INE{number % 1000:03d}Z01{number // 1000 % 100:02d}"
    return body + _check_digit(body)


def _check_digit(body: str) -> str:
    """The last digit of an ISIN (ISO 6166): letters as two digits, every second one doubled."""
    digits = [int(d) for letter in body for d in str(_DIGITS.index(letter))]
    total = sum(sum(divmod(2 * d, 10)) if nth % 2 == 0 else d for nth, d in enumerate(digits[::-1]))
    return str(-total % 10)


def _holdings(
    listing: Listing, closes: Mapping[InstrumentId, Price], choice: OpeningChoice
) -> list[Holding]:
    shares = [
        share
        for share in (listing.find("NSE", symbol) for symbol in choice.shares)
        if share is not None and closes.get(share.id) and share.kind is InstrumentKind.EQUITY
    ]
    holdings: list[Holding] = []
    for share, (settled, t1, pledged, paid_bp) in zip(shares, _PLACES, strict=False):
        paid = int(closes[share.id]) * paid_bp // BP
        holdings.append(
            Holding(
                instrument=share.id,
                isin=isin_of(share.symbol),
                average_px=Price(paid),
                quantity=settled,
                t1_quantity=t1,
                collateral_quantity=pledged,
                collateral_type="WC" if pledged else "",
                auction_number="7" if choice.auction and not holdings else "",
            )
        )
    return holdings


def _near_future(
    listing: Listing, closes: Mapping[InstrumentId, Price], name: str
) -> Instrument | None:
    """The first of an index's or share's futures that does not expire today."""
    found = [
        instrument
        for instrument in listing
        if instrument.kind is InstrumentKind.FUTURE
        and instrument.name == name
        and closes.get(instrument.id)
        and instrument.expiry is not None
        and instrument.expiry > listing.day
    ]
    return min(found, key=lambda future: future.expiry or listing.day) if found else None
