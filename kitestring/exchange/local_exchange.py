"""One day of a local Kite exchange, put together: floor, desk, board, account, sessions and candles.

No socket and no waiting: whoever serves it (``wire``) or drives it (a simulation, a test) brings the
clock and shows it the market's frames through ``observe``, in order.
"""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from kitestring.domain.bars import BarFrame
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import Instant
from kitestring.domain.money import Money, money
from kitestring.domain.ports import Feed
from kitestring.domain.ticks import TickFrame
from kitestring.exchange.desk.candles import Candles, NoPast, Past
from kitestring.exchange.desk.listing import Listing
from kitestring.exchange.desk.mutual_funds import MutualFunds
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.profile import Person
from kitestring.exchange.desk.quotes import Quotes
from kitestring.exchange.desk.sessions import App, Sessions
from kitestring.exchange.fill_models import fill_model
from kitestring.exchange.ledger import MemoryLedger
from kitestring.exchange.market_board import MarketBoard
from kitestring.exchange.matching import Matcher
from kitestring.market.charges import configured_charges
from kitestring.market.order_rule_rows import order_rules

EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
"""Whose instruments may be asked for; one that lists nothing today has an empty dump."""
_KEYLESS: Final = ("/instruments", "/instruments/{exchange}")
_GZIP_LEVEL: Final = 3
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
    cash: Money = money(1_000_000)
    person: Person = Person()
    apps: tuple[App, ...] = (READY_APP,)
    switches: Switches = msgspec.field(default_factory=Switches)
    fills: str = "market"
    charges: str = "zerodha"
    orders: OrderSettings = OrderSettings()


class Clock(Protocol):
    """Who knows what time it is at the exchange."""

    def now(self) -> Instant:
        """The exchange's time."""
        ...


class LocalExchange:
    """Everything a served exchange knows. ``market`` is its day; ``clock`` its time."""

    def __init__(self, settings: ExchangeSettings, market: Feed, clock: Clock) -> None:
        manifest = market.manifest
        self.settings = settings
        self.market = market
        self.clock = clock
        self.day: dt.date = manifest.date
        self.person = settings.person
        self.order_rules = order_rules(self.day)
        listing = getattr(market, "listing", None)
        self.listing: Listing = (
            listing if isinstance(listing, Listing) else Listing(self.day, manifest.instruments)
        )
        self.floor = Matcher(
            instruments=self.listing.by_key,
            sessions=manifest.sessions,
            charges=configured_charges(settings.charges, self.day),
            cash=settings.cash,
            fill_model=fill_model(settings.fills),
            seed=settings.seed,
            ledger=MemoryLedger(),
        )
        app = settings.apps[0]
        self.desk = OrderDesk(
            self.floor,
            self.listing,
            user_id=self.person.user_id,
            app_id=app.app_id,
            api_secret=app.api_secret,
            settings=settings.orders,
        )
        closes = manifest.previous_close
        self.board = MarketBoard(self.listing, closes.get)
        self.sessions = Sessions(
            settings.seed,
            settings.apps,
            second_login_ends_first=settings.switches.second_login_ends_first,
        )
        self.quotes = Quotes(self.board, self.listing, self.watch)
        self.candles = Candles(_past_of(market), self.listing, manifest.sessions)
        self.mutual_funds = MutualFunds(
            self.day, self.person.user_id, placing=settings.switches.fund_orders
        )
        watch = getattr(market, "watch", None)
        self._watch: Callable[[Iterable[InstrumentId]], None] | None = (
            watch if callable(watch) else None
        )
        self._dumps: dict[str, Dump] = {}
        self.on_stir: list[Callable[[], None]] = []
        """Called after every request that may have changed what is due next."""

    def now(self) -> Instant:
        """What time it is at the exchange."""
        return self.clock.now()

    def dump(self, exchange: str) -> Dump:
        """The instruments of one exchange, or of all, as CSV; made and packed once."""
        dump = self._dumps.get(exchange)
        if dump is None:
            dump = self._dumps[exchange] = packed(self.listing.csv(exchange))
        return dump

    def open_to_all(self, path: str) -> bool:
        """Whether a route needs no session here."""
        return self.settings.switches.keyless_instruments and path in _KEYLESS

    def observe(self, position: int, frame: TickFrame | BarFrame) -> None:
        """The market moved: orders are matched, and today's candles grow."""
        self.floor.observe(position, frame)
        self.candles.today.apply(frame)

    def watch(self, instruments: Iterable[InstrumentId]) -> None:
        """These tick from now on, if the market makes prices only of what somebody looks at."""
        if self._watch is not None:
            self._watch(instruments)

    def stirred(self) -> None:
        """Something may be due earlier than before."""
        for stir in self.on_stir:
            stir()


def _past_of(market: object) -> Past:
    """The days before, of a market that has any."""
    return market if isinstance(market, Past) else NoPast()
