"""What faults and the admin interface can do to an exchange beyond Kite's own routes.

Everything goes through floor, desk, sessions and market themselves, so that whatever is read
afterwards agrees with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument, InstrumentKind
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product
from kitestring.domain.ticks import Tick
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.holdings import Holding
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.opening_account import isin_of
from kitestring.exchange.desk.order_rows import Source
from kitestring.exchange.instrument_master import instruments_on
from kitestring.exchange.listed_universe import universe
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.order_book import Market, Status
from kitestring.exchange.wire.market_moves import MarketMoves
from kitestring.market.calendar import previous_trading_day

Insert = Callable[[list[Tick]], None]


class ExchangeReach:
    """The long arm of scripts and admin. ``insert`` lets the market tick at once, out of turn."""

    def __init__(self, exchange: LocalExchange, moves: MarketMoves) -> None:
        self.exchange = exchange
        self.moves = moves
        self.insert: Insert | None = None

    # ── books ────────────────────────────────────────────────────────────────────────────────

    def read(self, book: str, now: Instant) -> object:
        """A book as its route would answer it now."""
        exchange = self.exchange
        match book:
            case "orders":
                return exchange.desk.orders(now)
            case "trades":
                return exchange.desk.trades(now)
            case "positions":
                return exchange.portfolio.positions(now)
            case "holdings":
                return exchange.portfolio.holdings(now)
            case "margins":
                return exchange.funds.margins(now)
            case _:
                raise ConfigError(
                    f"There is no book {book}.",
                    do="known: orders, trades, positions, holdings, margins",
                )

    def history(self, order_id: str, now: Instant) -> object:
        """One order's history."""
        return self.exchange.desk.history(now, order_id)

    def yesterdays_dump(self, exchange: str) -> bytes:
        """The instrument file of the trading day before: what expired then is still in it."""
        today, day = self.exchange.listing, previous_trading_day(self.exchange.day)
        small = len(today) <= len(instruments_on(self.exchange.day))
        return Listing(day, instruments_on(day) if small else universe(day)).csv(exchange)

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def fill_order(self, order_id: str) -> bool:
        """Let a waiting order trade completely at its own price; false if it does not wait."""
        exchange = self.exchange
        floor, now = exchange.floor, exchange.now()
        floor.arrive_before(now + 1)
        order = floor.orders.get(order_id)
        if order is None or order.market is None or order not in order.market.orders:
            return False
        if order.status is not Status.OPEN:
            return False  # a stop that waits for its trigger has nothing to trade at
        floor.trade(order, order.leaves, order.limit_px, now)
        floor.write()
        exchange.stirred()
        return True

    @contextmanager
    def orders_refused(self, message: str) -> Iterator[None]:
        """Orders placed inside are taken and then refused by risk management."""
        desk = self.exchange.desk
        desk.refuse_next(message, count=1)
        try:
            yield
        finally:
            desk.forget_refusals()

    def refuse_next(self, message: str, count: int) -> None:
        """Let risk management refuse the next orders."""
        self.exchange.desk.refuse_next(message, count=count)

    def cut_short(self, order_id: str, part: float) -> None:
        """Let only a part of an order trade, whole lots and at least one; the rest is cancelled."""
        floor = self.exchange.floor
        order = floor.orders.get(order_id)
        if order is None or order.market is None:
            return
        lot = order.market.instrument.lot_size
        lots = max(int(order.qty * part) // lot, 1)
        floor.cuts[order_id] = min(lots * lot, order.qty)

    def square_off(self, now: Instant, instruments: tuple[str, ...] = ()) -> list[str]:
        """Close intraday positions at the market, as risk management; the ids of its orders."""
        exchange, ids = self.exchange, []
        for (name, product), position in list(exchange.floor.account.positions.items()):
            if product is not Product.MIS or not position.net_qty:
                continue
            if instruments and name not in instruments:
                continue
            where, _, symbol = name.partition(":")
            form = {
                "exchange": where,
                "tradingsymbol": symbol,
                "transaction_type": "SELL" if position.net_qty > 0 else "BUY",
                "quantity": str(abs(position.net_qty)),
                "product": "MIS",
                "order_type": "MARKET",
                "validity": "DAY",
                "market_protection": "-1",
            }
            ids.append(exchange.desk.place_one(now, "regular", Form(form), source=Source.RMS))
        exchange.stirred()
        return ids

    def order_from_phone(self, now: Instant, variety: str, fields: dict[str, str]) -> object:
        """Place an order as the account's owner does on the phone: no app of ours knows of it."""
        answer = self.exchange.desk.place(now, variety, Form(fields), source=Source.PHONE)
        self.exchange.stirred()
        return answer

    def withdraw(self, now: Instant, order_id: str, message: str) -> None:
        """Take an order away, as risk management or the exchange does."""
        self.exchange.desk.withdraw(now, order_id, message)
        self.exchange.stirred()

    # ── market ───────────────────────────────────────────────────────────────────────────────

    def jump(
        self, now: Instant, instruments: Iterable[str], percent: float, lasts: Instant
    ) -> None:
        """Let instruments (all that have traded, if none is named) jump for a while."""
        markets = self.exchange.floor.markets
        names = list(instruments) or [name for name, market in markets.items() if market.tick]
        for name in names:
            again = self._unmoved(self._market(name), now)
            self.moves.by_percent(InstrumentId(name), percent, now + lasts)
            self._say(again)

    def jump_to(self, now: Instant, instrument: str, px: Price, lasts: Instant) -> None:
        """Let an instrument jump to a price for a while."""
        again = self._unmoved(self._market(instrument), now)
        self.moves.to_price(InstrumentId(instrument), px, again.last_px, now + lasts)
        self._say(again)

    def _market(self, name: str) -> Market:
        market = self.exchange.floor.markets.get(InstrumentId(name))
        if market is None or market.tick is None:
            raise ConfigError(
                f"{name} has no price yet, so that it cannot jump.",
                do="name an instrument as EXCHANGE:SYMBOL, after its first tick of the day",
            )
        return market

    def _unmoved(self, market: Market, now: Instant) -> Tick:
        """The last tick as the market itself had it, to be said again: a jump is seen at once."""
        tick = market.tick
        assert tick is not None
        base = self.moves.base(tick)
        return msgspec.structs.replace(base, event_at=now // SECOND * SECOND)

    def _say(self, tick: Tick) -> None:
        insert = self.insert
        if insert is not None:
            # A frame may be on its way through this very moment; ours comes after it.
            asyncio.get_running_loop().call_soon(insert, [tick])

    # ── account ──────────────────────────────────────────────────────────────────────────────

    def add_cash(self, amount: Money) -> None:
        """Pay into the equity segment, or out of it (below zero)."""
        self.exchange.funds.pay_in("equity", amount)

    def set_position(self, instrument: str, product: str, quantity: int, px: Price) -> None:
        """Let the account have carried so much (below zero: owe) at ``px``; 0 takes it away."""
        if product not in set(Product):
            raise ConfigError(f"There is no product {product}.", do="known: CNC, MIS, NRML")
        listed, account = self._tradable(instrument), self.exchange.floor.account
        held = account.position(listed, Product(product))
        if held.bought_qty or held.sold_qty or held.working_buy or held.working_sell:
            raise ConfigError(
                f"{instrument} {product} has been traded today, or an order of it is working.",
                do="place an order from the phone instead, with POST /admin/orders",
            )
        account.carry({listed.id: listed}, {(listed.id, held.product): (quantity, px)})

    def set_holding(self, instrument: str, quantity: int, px: Price) -> None:
        """Let so many shares lie in the demat account, bought at ``px``; 0 takes them away."""
        listed = self._tradable(instrument)
        if listed.kind is not InstrumentKind.EQUITY or quantity < 0:
            raise ConfigError("Holdings are shares, and not less than none.")
        isin = isin_of(listed.symbol)
        holding = Holding(instrument=listed.id, isin=isin, average_px=px, quantity=quantity)
        self.exchange.holdings.lay(holding, listed)

    def _tradable(self, name: str) -> Instrument:
        instrument = self.exchange.listing.by_key.get(InstrumentId(name))
        if instrument is None or not instrument.tradable:
            raise ConfigError(f"{name} cannot be held.", do="name it as EXCHANGE:SYMBOL")
        return instrument

    def flush_tokens(self) -> None:
        """End every session, as a master logout does."""
        self.exchange.sessions.flush()

    def allow_addresses(self, addresses: tuple[str, ...]) -> None:
        """Take orders from these addresses only; none named: from everywhere."""
        self.exchange.settings.switches.allowed_addresses = addresses
