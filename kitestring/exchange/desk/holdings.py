"""The demat account: shares held, what of them was sold today, and who may sell them.

Fields: kite.trade/docs/connect/v3/portfolio (holdings) and the official samples. ``quantity`` are
settled shares, ``t1_quantity`` those that arrive tomorrow; both may be sold. Pledged shares stand
in ``collateral_quantity`` and may not. Profit and loss count all three. Without a power of
attorney (DDPI) a sale needs the holder's authorisation of the day, else it is refused with 428.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant, ist_date
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product
from kitestring.exchange.account import Account, AccountPosition
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.kite_error import holding_error, input_error
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.prices import Quotes, Row, last_or_close, rupees

_NOT_AUTHORISED = (
    "Holdings are not authorised for sale today. Authorise the sale with the depository and place"
    " the order again."
)


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one company as they lay at the opening."""

    instrument: InstrumentId
    isin: str
    average_px: Price
    quantity: int = 0
    t1_quantity: int = 0
    collateral_quantity: int = 0
    collateral_type: str = ""
    auction_number: str = ""
    """Where the exchange would buy them in an auction today."""

    @property
    def sellable(self) -> int:
        """What may be sold for delivery."""
        return self.quantity + self.t1_quantity

    @property
    def owned(self) -> int:
        """Everything that gains and loses with the price."""
        return self.sellable + self.collateral_quantity


class Holdings:
    """The account's shares. ``authorised`` says that a power of attorney covers every sale."""

    def __init__(
        self,
        account: Account,
        listing: Listing,
        quotes: Quotes,
        holdings: Iterable[Holding],
        *,
        authorised: bool = True,
    ) -> None:
        self.authorised = authorised
        self._account = account
        self._quotes = quotes
        self._held: dict[InstrumentId, tuple[Holding, Instrument, AccountPosition]] = {}
        for holding in holdings:
            instrument = listing.by_key[holding.instrument]
            position = account.hold(instrument, holding.sellable)
            self._held[holding.instrument] = (holding, instrument, position)
        self._asked: dict[str, Mapping[str, int]] = {}
        """Requests for authorisation that wait for the holder: quantities by ISIN."""
        self._allowed: dict[str, int] = {}

    def lay(self, holding: Holding, instrument: Instrument) -> None:
        """Let these shares lie in the account, instead of those of the company that did."""
        position = self._account.hold(instrument, holding.sellable)
        self._held[holding.instrument] = (holding, instrument, position)
        if not holding.owned:
            del self._held[holding.instrument]

    def overnight(self) -> list[Holding]:
        """What lies here tomorrow: less what was sold today, and yesterday's purchases are settled."""
        kept: list[Holding] = []
        for holding, _, position in self._held.values():
            left = holding.sellable + min(position.net_qty, 0)
            after = msgspec.structs.replace(
                holding, quantity=left, t1_quantity=0, auction_number=""
            )
            if after.owned:
                kept.append(after)
        return kept

    def rows(self, now: Instant) -> list[Row]:
        """``GET /portfolio/holdings``."""
        return [self._row(now, *held) for held in self._held.values()]

    def summary(self) -> Row:
        """``GET /portfolio/holdings/summary``: today's and all profit over what is still held."""
        invested = worth = yesterday = 0
        for holding, _, position in self._held.values():
            owned = holding.owned - _used(position)
            last, close = self._prices(holding)
            invested += int(holding.average_px) * owned
            worth += int(last) * owned
            yesterday += int(close) * owned
        return {
            "total_pnl": rupees(Money(worth - invested)),
            "total_pnl_percent": _percent(worth - invested, invested),
            "today_pnl": rupees(Money(worth - yesterday)),
            "today_pnl_percent": _percent(worth - yesterday, yesterday),
            "invested_amount": rupees(Money(invested)),
            "current_value": rupees(Money(worth)),
        }

    def compact(self) -> list[Row]:
        """``GET /portfolio/holdings/compact``."""
        rows: list[Row] = []
        for holding, instrument, position in self._held.values():
            settled, t1 = _left(holding, position)
            rows.append(
                {
                    "exchange": instrument.exchange,
                    "tradingsymbol": instrument.symbol,
                    "instrument_token": instrument.token,
                    "t1_quantity": t1,
                    "quantity": settled,
                }
            )
        return rows

    def auctions(self, now: Instant) -> list[Row]:
        """``GET /portfolio/holdings/auctions``: shares the exchange would buy in today's auctions."""
        left_out = {"used_quantity", "authorisation", "short_quantity", "mtf"}
        return [
            {
                name: value
                for name, value in self._row(now, holding, instrument, position).items()
                if name not in left_out
            }
            | {"auction_number": holding.auction_number}
            for holding, instrument, position in self._held.values()
            if holding.auction_number
        ]

    def authorise(self, now: Instant, form: Form) -> Row:
        """``POST /portfolio/holdings/authorise``: ask for it; the holder confirms in the browser.

        Of everything, or of repeated ``isin`` with a ``quantity`` each.
        """
        isins, quantities = form.many("isin"), form.many("quantity")
        owned = {holding.isin: holding.sellable for holding, _, _ in self._held.values()}
        if len(quantities) not in (0, len(isins)):
            raise input_error("Each `isin` needs a `quantity`.")
        asked = dict(owned) if not isins else {}
        for nth, isin in enumerate(isins):
            if isin not in owned:
                raise input_error(f"Invalid `isin`: {isin[:20]} is not held.")
            qty = owned[isin]
            if quantities:
                qty = Form({"quantity": quantities[nth]}).whole("quantity", at_least=1)
            if qty > owned[isin]:
                raise input_error("Invalid `quantity`: more than is held.")
            asked[isin] = qty
        request_id = hashlib.sha256(f"{ist_date(now)} {len(self._asked)}".encode()).hexdigest()[:32]
        self._asked[request_id] = asked
        return {"request_id": request_id}

    def confirm(self, request_id: str) -> None:
        """The holder has agreed, at the depository's page: the day's sales up to there are free."""
        asked = self._asked.get(request_id)
        if asked is None:
            raise input_error("Invalid `request_id`.")
        for isin, qty in asked.items():
            self._allowed[isin] = max(self._allowed.get(isin, 0), qty)

    def demand_authorised(self, instrument: InstrumentId, qty: int) -> None:
        """Refuse a delivery sale that digs into unauthorised shares: 428, as Kite does.

        To be asked before such an order is accepted.
        """
        held = self._held.get(instrument)
        if held is None or self.authorised:
            return
        holding, _, position = held
        sold = position.working_sell - position.net_qty + qty
        if 0 < sold <= holding.sellable and sold > self._allowed.get(holding.isin, 0):
            raise holding_error(_NOT_AUTHORISED, 428)

    def _prices(self, holding: Holding) -> tuple[Price, Price]:
        last = last_or_close(self._quotes, holding.instrument) or holding.average_px
        return last, self._quotes.previous_close(holding.instrument) or last

    def _row(
        self, now: Instant, holding: Holding, instrument: Instrument, position: AccountPosition
    ) -> Row:
        settled, t1 = _left(holding, position)
        last, close = self._prices(holding)
        owned = settled + t1 + holding.collateral_quantity
        return {
            "tradingsymbol": instrument.symbol,
            "exchange": instrument.exchange,
            "instrument_token": instrument.token,
            "isin": holding.isin,
            "product": Product.CNC.value,
            "price": 0,
            "quantity": settled,
            "used_quantity": _used(position),
            "t1_quantity": t1,
            "realised_quantity": settled,
            "authorised_quantity": self._allowed.get(holding.isin, 0),
            "authorised_date": f"{ist_date(now)} 00:00:00",
            "authorisation": {},
            "opening_quantity": holding.sellable,
            "short_quantity": 0,
            "collateral_quantity": holding.collateral_quantity,
            "collateral_type": holding.collateral_type,
            "discrepancy": False,
            "average_price": rupees(holding.average_px),
            "last_price": rupees(last),
            "close_price": rupees(close),
            "pnl": rupees((last - holding.average_px) * owned),
            "day_change": rupees(last - close),
            "day_change_percentage": _percent(int(last - close), int(close)),
            "mtf": {
                "quantity": 0,
                "used_quantity": 0,
                "average_price": 0,
                "value": 0,
                "initial_margin": 0,
            },
        }


def _used(position: AccountPosition) -> int:
    """Sold out of the demat account today: what was sold beyond what was bought."""
    return max(-position.net_qty, 0)


def _left(holding: Holding, position: AccountPosition) -> tuple[int, int]:
    """Settled shares and those of yesterday after today's sales; settled ones go first."""
    used = _used(position)
    settled = max(holding.quantity - used, 0)
    return settled, holding.t1_quantity - (used - (holding.quantity - settled))


def _percent(part: int, whole: int) -> float:
    return part * 100 / whole if whole else 0.0
