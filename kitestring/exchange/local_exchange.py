"""One day of a local Kite exchange, put together: floor, desk, board, account, sessions and candles.

No socket and no waiting: whoever serves it (``wire``) or drives it (a simulation, a test) brings the
clock and shows it the market's frames through ``observe``, in order.
"""

from __future__ import annotations

import datetime as dt
import gzip
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from kitestring.domain.bars import BarFrame
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Price
from kitestring.domain.ports import Feed
from kitestring.domain.ticks import TickFrame
from kitestring.exchange.desk.alerts import AlertBook
from kitestring.exchange.desk.calculators import Calculators
from kitestring.exchange.desk.candles import Candles, NoPast, Past, Present
from kitestring.exchange.desk.form import Form
from kitestring.exchange.desk.funds import Funds
from kitestring.exchange.desk.gtt import GttBook
from kitestring.exchange.desk.holdings import Holdings
from kitestring.exchange.desk.mutual_funds import MutualFunds
from kitestring.exchange.desk.opening_account import OpeningAccount, OpeningChoice, opening_account
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.portfolio import Portfolio
from kitestring.exchange.desk.profile import Person
from kitestring.exchange.desk.quotes import Quotes
from kitestring.exchange.desk.sessions import App, Sessions
from kitestring.exchange.fill_models import fill_model
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.market_source import Source, TapeSource
from kitestring.exchange.matching import Matcher
from kitestring.exchange.newcomers import Newcomers
from kitestring.exchange.rules import OrderRules, rules_of
from kitestring.market.charges import configured_charges
from kitestring.market.order_rule_rows import order_rules

EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
"""Whose instruments may be asked for; one that lists nothing today has an empty dump."""
_KEYLESS: Final = ("/instruments", "/instruments/{exchange}")
_GZIP_LEVEL: Final = 3
_GZIP: Final = 31
"""What zlib calls a gzip stream; it names no time, so that the same rows give the same bytes."""
READY_APP: Final = App(
    api_key="kitestring",
    api_secret="kitestring-secret",  # noqa: S106 - opens nothing but a rehearsal
    name="Kitestring rehearsal",
)
"""An exchange without real money needs no secret one; everybody may know this."""


class Dump(msgspec.Struct, frozen=True):
    """A CSV file, and the same packed."""

    plain: bytes
    packed: bytes


def packed(plain: bytes) -> Dump:
    """A dump, packed: the same bytes every time."""
    return Dump(plain, gzip.compress(plain, _GZIP_LEVEL, mtime=0))


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a rehearsal may want otherwise; may be changed while it runs.

    ``rate_limits``: 429 beyond Kite's limits. ``allowed_addresses``: orders come from these only;
    none turns the static-IP rule off. ``sandbox_prefix``: serve every route under ``/oms`` too, as
    Zerodha's sandbox does. ``keyless_instruments``: instruments need no session (nobody has said
    whether Kite's do). ``second_login_ends_first``: a new login of an app ends its older sessions.
    ``fund_orders``: mutual-fund orders are taken.
    """

    rate_limits: bool = True
    allowed_addresses: tuple[str, ...] = ()
    sandbox_prefix: bool = False
    keyless_instruments: bool = False
    second_login_ends_first: bool = False
    fund_orders: bool = False


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange is made of, beside its market."""

    seed: int = 1
    account: OpeningChoice = OpeningChoice()
    opening: OpeningAccount | None = None
    """The account as another day has left it, in place of one made of ``account``."""
    person: Person = Person()
    apps: tuple[App, ...] = (READY_APP,)
    switches: Switches = msgspec.field(default_factory=Switches)
    fills: str = "market"
    charges: str = "zerodha"
    orders: OrderSettings = OrderSettings()
    square_off: bool = True
    """Whether the broker closes intraday positions at its cut-off."""
    rules: OrderRules | None = None
    """Other rules than the dated rows have, for a market with hours of its own."""


class Clock(Protocol):
    """Who knows what time it is at the exchange."""

    def now(self) -> Instant:
        """The exchange's time."""
        ...


class LocalExchange:
    """Everything a served exchange knows. ``market`` is its day, ``clock`` its time.

    A market that cannot be asked for more than its frames is taken for a tape.
    """

    def __init__(self, settings: ExchangeSettings, market: Feed, clock: Clock) -> None:
        source = market if isinstance(market, Source) else TapeSource(market)
        manifest = market.manifest
        self.settings = settings
        self.market: Source = source
        self.clock = clock
        self.day: dt.date = manifest.date
        self.person = settings.person
        self.order_rules = order_rules(self.day)
        self.listing = source.listing
        self._dumps: dict[str, Dump] = {}
        self._shown: set[InstrumentId] = set()
        """Instruments of which the floor knows the last price, or nobody does."""
        self.on_stir: list[Callable[[], None]] = []
        """Called after every request that may have changed what is due next."""

        closes = {InstrumentId(name): px for name, px in manifest.previous_close.items()}
        self._closes = closes
        charges = configured_charges(settings.charges, self.day)
        opening = settings.opening or opening_account(self.listing, closes, settings.account)
        self.ledger = MemoryLedger()
        self.floor = Matcher(
            instruments=self.listing.by_key,
            sessions=manifest.sessions,
            charges=charges,
            cash=opening.choice.cash,
            fill_model=fill_model(settings.fills),
            seed=settings.seed,
            ledger=self.ledger,
            account=opening.open(self.listing, closes, charges),
            closes=closes,
            square_off=settings.square_off,
            own_clock=True,
            rules=settings.rules or rules_of(self.day),
        )
        self.board = MarketBoard(self.listing, self._close_of)
        self.newcomers = Newcomers(source, self.board, self.now)
        self.holdings = Holdings(
            self.floor.account,
            self.listing,
            self.board,
            opening.holdings,
            authorised=opening.choice.authorised,
        )
        self.portfolio = Portfolio(self.floor, self.listing, self.board, self.holdings)
        self.funds = Funds(self.floor)
        self.calculators = Calculators(self.floor, self.listing, self.board, charges)

        app = settings.apps[0]
        self.desk = OrderDesk(
            self.floor,
            self.listing,
            user_id=self.person.user_id,
            app_id=app.app_id,
            api_secret=app.api_secret,
            settings=settings.orders,
            auctions=lambda: self.holdings.auctions(self.now()),
        )
        self.gtt = GttBook(self.desk)
        self.alerts = AlertBook(self.desk, self._quote_of)
        self.sessions = Sessions(
            settings.seed,
            settings.apps,
            second_login_ends_first=settings.switches.second_login_ends_first,
        )
        self.quotes = Quotes(self.board, self.listing, self.watch)
        self.candles = Candles(
            market if isinstance(market, Past) else NoPast(),
            self.listing,
            manifest.sessions,
            market if isinstance(market, Present) else None,
        )
        self.mutual_funds = MutualFunds(
            self.day, self.person.user_id, placing=settings.switches.fund_orders
        )

    def now(self) -> Instant:
        """What time it is at the exchange."""
        return self.clock.now()

    def dump(self, exchange: str) -> Dump:
        """The instruments of one exchange, or of all, as CSV; made and packed once."""
        steps = self.dump_in_steps(exchange)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                dump: Dump = done.value
                return dump

    def dump_in_steps(self, exchange: str) -> Generator[None, None, Dump]:
        """The same, with pauses in which others can be served."""
        dump = self._dumps.get(exchange)
        if dump is not None:
            return dump
        packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP)
        plain: list[bytes] = []
        packed_parts: list[bytes] = []
        for part in self.listing.csv_parts(exchange):
            plain.append(part)
            packed_parts.append(packer.compress(part))
            yield
        packed_parts.append(packer.flush())
        dump = self._dumps[exchange] = Dump(b"".join(plain), b"".join(packed_parts))
        return dump

    def open_to_all(self, path: str) -> bool:
        """Whether a route needs no session here."""
        return self.settings.switches.keyless_instruments and path in _KEYLESS

    def place(self, now: Instant, variety: str, form: Form) -> object:
        """Take an order, unless it sells shares whose sale nobody has authorised."""
        listed = self.listing.find(form.text("exchange", ""), form.text("tradingsymbol", ""))
        if listed is not None:
            self.watch((listed.id,))
            if form.text("product", "") == "CNC" and form.text("transaction_type", "") == "SELL":
                self.holdings.demand_authorised(listed.id, form.whole("quantity", 0))
        return self.desk.place(now, variety, form)

    def observe(self, position: int, frame: TickFrame | BarFrame) -> None:
        """The market moved: orders are matched, candles grow, triggers and alerts look at prices."""
        self.floor.observe(position, frame)
        if not self.candles.asks_the_market:
            self.candles.today.apply(frame)
        at = frame.received_at
        self.gtt.advance(at, self._last_px)
        self.alerts.advance(at, self._last_px)

    def watch(self, instruments: Iterable[InstrumentId]) -> None:
        """These tick from now on; what is known of them already is on board and floor at once."""
        fresh = [each for each in instruments if each not in self._shown]
        if not fresh:
            return
        self._shown.update(fresh)
        self.newcomers.watch(fresh)
        markets = self.floor.markets
        silent = [each for each in fresh if each in markets and markets[each].tick is None]
        for tick in self.market.latest(silent, self.now()):
            if tick is not None:
                markets[tick.instrument].tick = tick

    def watch_waiting(self) -> None:
        """What triggers and alerts wait for must tick."""
        waiting = self.gtt.watched() | self.alerts.watched()
        if waiting:
            self.watch(waiting)

    def stirred(self) -> None:
        """Something may be due earlier than before."""
        for stir in self.on_stir:
            stir()

    def _close_of(self, instrument: InstrumentId) -> Price | None:
        """The close of the day before, asked for once."""
        close = self._closes.get(instrument)
        if close is None:
            found = self.market.base_prices([instrument])
            if instrument in found:
                close = self._closes[instrument] = found[instrument]
        return close

    def _last_px(self, instrument: InstrumentId) -> Price:
        market = self.floor.markets.get(instrument)
        return market.last_px(self.now()) if market is not None else Price(0)

    def _quote_of(self, instrument: InstrumentId) -> Mapping[str, object]:
        quote = self.board.quote(instrument)
        return {} if quote is None else {**quote}
