"""Everything around a served exchange that makes it a rehearsal: ledger of the wire, faults, admin.

stage = RehearsalStage(exchange, clock, script=…, ledger_path=…, admin=True)
make_app(exchange, middlewares=stage.middlewares, set_up=[…add_feed…, stage.set_up])
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from kitestring.domain.ids import InstrumentId
from kitestring.domain.ticks import TickFrame
from kitestring.exchange.local_exchange import LocalExchange
from kitestring.exchange.wire.admin import Admin
from kitestring.exchange.wire.day_faults import DayFaults
from kitestring.exchange.wire.exchange_clock import ExchangeClock
from kitestring.exchange.wire.exchange_reach import ExchangeReach
from kitestring.exchange.wire.fault_middleware import RestFaults
from kitestring.exchange.wire.fault_script import Script
from kitestring.exchange.wire.faults import Faults
from kitestring.exchange.wire.feed_interference import FeedFaults
from kitestring.exchange.wire.feed_routes import FEED, PUMP
from kitestring.exchange.wire.frozen_books import FrozenBooks
from kitestring.exchange.wire.journal_witness import holds_tag
from kitestring.exchange.wire.market_moves import MarketMoves
from kitestring.exchange.wire.wire_ledger import WireLedger
from kitestring.exchange.wire.wire_watch import WireWatch


class RehearsalStage:
    """Ledger, faults and admin of one served exchange."""

    def __init__(
        self,
        exchange: LocalExchange,
        clock: ExchangeClock,
        *,
        script: Script | None = None,
        ledger_path: Path | None = None,
        admin: bool = False,
        stop: Callable[[], None] | None = None,
    ) -> None:
        script = script or Script()
        self.faults = Faults(script.faults, seed=script.seed)
        # Who may move time and money here may also have its own journal looked at.
        witness = holds_tag if admin else None
        self.ledger = WireLedger(ledger_path, secrets=exchange.sessions.secrets, witness=witness)
        self.moves = MarketMoves(exchange.listing.by_key)
        self.reach = ExchangeReach(exchange, self.moves)
        self.sockets = FeedFaults(self.faults, clock, self._token_of)
        frozen = FrozenBooks(self.reach, self.faults)
        rest = RestFaults(exchange.now, self.reach, frozen)
        day = DayFaults(self.faults, self.reach)
        self.watch = WireWatch(exchange.now, self.ledger, self.faults, rest, day)
        self.admin = Admin(self, clock, stop or asyncio.Event().set) if admin else None
        self._exchange = exchange

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """What stands around the routes, outermost first."""
        return (self.watch.middleware(),)

    def set_up(self, app: web.Application, exchange: LocalExchange) -> None:
        """Take hold of feed and pump, and open the admin's routes; after ``add_feed``."""
        del exchange
        pump, feed = app.get(PUMP), app.get(FEED)
        if pump is not None and feed is not None:
            self.reach.insert = pump.insert
            pump.retouch = self._retouch
            feed.interference = self.sockets
        self.watch.attach(app)
        if self.admin is not None:
            self.admin.add_routes(app)
        app.on_cleanup.append(self._close)

    def _retouch(self, frame: TickFrame) -> TickFrame:
        self.watch.look(frame.received_at)
        return self.moves.retouch(frame)

    async def _close(self, app: web.Application) -> None:
        del app
        self.sockets.close()
        self.ledger.close()

    def _token_of(self, name: str) -> int | None:
        instrument = self._exchange.listing.by_key.get(InstrumentId(name))
        return None if instrument is None else instrument.token
