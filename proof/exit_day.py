"""One exit path, lived: the real core and its day's steps, the real governor, the real exchange.

Only network and disk are left out: what the broker would answer is decided in ``exit_post``. The
market is a random walk with gaps, locks and silences; the books are read as often as a live day
reads them. A path ends once everything is flat and quiet, or when its time is over.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.core.settings import DaySettings, RiskSettings, StrategySettings
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import NO_CHARGES, Charges
from kitestring.domain.events import Fact, Note, OperatorCommand, Reports
from kitestring.domain.ids import StrategyId
from kitestring.domain.instants import SECOND, Instant
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money, Price, money
from kitestring.domain.orders import Product, Purpose, Side
from kitestring.domain.ports import Commit
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.domain.verdicts import HaltSession, PlaceOrder
from kitestring.engine.day_steps import DaySteps
from kitestring.exchange.fill_models import MARKET
from kitestring.exchange.rules import OrderRules
from kitestring.exchange.seeded import key
from kitestring.sim.scripted_strategy import SCRIPTED
from kitestring.store.memory_journal import MemoryJournal
from kitestring.store.tape import MemoryTape
from proof.exit_plan import DAY, ExitPlan
from proof.exit_post import Post
from proof.exit_watch import HAND, Watch, WatchedExchange

LOOK_EVERY: Final = 15 * SECOND
UNEASY_EVERY: Final = 5 * SECOND
QUIET_FOR: Final = 20 * SECOND
NO_LIMITS: Final = RiskSettings(
    max_daily_loss_pct=None,
    max_symbol_loss_pct=None,
    max_drawdown_pct=None,
    max_gross_exposure_x=100.0,
    max_net_exposure_x=100.0,
    max_symbol_exposure_x=100.0,
    per_trade_risk_pct=0.5,
    max_trades_per_strategy=None,
    max_trades_per_symbol=None,
    loss_streak_max=None,
    duplicate_window_s=0.0,
)


class Free:
    """Nothing costs anything: results are not what is judged here."""

    name = "free"

    def order_charges(
        self, instrument: Instrument, product: Product, side: Side, traded_value: Money
    ) -> Charges:
        """Nothing."""
        del instrument, product, side, traded_value
        return NO_CHARGES

    def unit_margin(self, instrument: Instrument, product: Product, side: Side, px: Price) -> Money:
        """Next to nothing."""
        del instrument, product, side, px
        return Money(1)


class _Unheard:
    def append(self, record: bytes) -> None:
        """The watch has seen it."""


class ExitDay(DaySteps):
    """The steps of a day, rung by whoever drives the path."""

    def ring(self, at: Instant) -> None:
        """Whatever is due by now, although no tick has come."""
        self._catch_up(at, at)

    def look(self, at: Instant) -> None:
        """Read the broker's books."""
        self.tell(self._broker.snapshot(at))

    def _take_reports(self, until: Instant) -> None:
        told = self._broker.reports_until(until)
        if told:
            self.inbox += 1
            self._commit(self.core.step(Reports(until, tuple(report for _, report in told))))
            if self.core.wants_snapshot:
                self._look_at_the_books(until)


class ExitPath:
    """A path under way: build it, ``live`` it, then have it judged."""

    def __init__(self, plan: ExitPlan) -> None:
        self.plan = plan
        instrument, free = plan.instrument, Free()
        self.instrument = instrument
        self.watch = Watch()
        sessions = {instrument.segment: plan.session}
        there = msgspec.structs.replace(instrument, freeze_qty=plan.freeze_qty)
        exchange = WatchedExchange(
            self.watch,
            instruments={instrument.id: there},
            sessions=sessions,
            charges=free,
            cash=money("100000000000"),
            fill_model=MARKET,
            seed=plan.seed,
            ledger=_Unheard(),
            rules=OrderRules(
                day=DAY, equity_band_bp=plan.band_bp, dynamic_band_bp=min(plan.band_bp, 1_000)
            ),
            square_off=True,
            own_clock=True,
        )
        self.post = Post(plan, exchange)
        self.names = [StrategyId(f"s{place}") for place in range(len(plan.scripts))]
        settings = DaySettings(
            date=DAY,
            capital=money("100000000"),
            run_key="exits",
            strategies=tuple(
                StrategySettings(
                    name=name,
                    strategy="scripted",
                    source=instrument.id,
                    instrument=instrument.id,
                    minutes=1,
                    params={"script": script},
                    lots=plan.lots,
                    product=plan.product,
                )
                for name, script in zip(self.names, plan.scripts, strict=True)
            ),
            risk=msgspec.structs.replace(NO_LIMITS, max_daily_loss_pct=plan.daily_loss_pct),
        )
        away = plan.open_px * plan.band_bp // 10_000
        bands = {instrument.id: (Price(plan.open_px - away), Price(plan.open_px + away))}
        self.core = TradingCore(
            settings,
            instruments=(instrument,),
            sessions=sessions,
            definitions={"scripted": SCRIPTED},
            charge_book=free,
            margins=free,
            previous_close={},
            price_bands=bands if plan.bands_known else {},
        )
        self.day = ExitDay(
            self.core,
            broker=self.post,
            journal=MemoryJournal(run_key="exits", keep=1),
            tape=MemoryTape(keep_bytes=1),
            follower=self,
        )
        self.watch.plans = self._plans
        self.notes: list[Note] = []
        self.halted = False
        self.broken: list[str] = []
        self.now: Instant = plan.opens_at
        self.leaving: dict[StrategyId, Instant] = {}
        """Since when a position is being left."""
        self.out_ms: list[int] = []
        self.calm_since: Instant = 0
        self.position = 0
        self._px = plan.open_px
        self._next_look = plan.opens_at
        self._hands, self._words, self._jumps = list(plan.hands), list(plan.words), list(plan.jumps)
        self._expelled: set[str] = set()
        self._flat_since: Instant = 0

    # ── what the house commits ──────────────────────────────────────────────────────────────────

    def committed(self, number: int, commit: Commit) -> None:
        """A step is durable: what it says, and whether it keeps its word on deadlines."""
        del number
        for fact in commit.facts:
            self._hear(fact)
        now = self.core.state.now
        for name, book in self.core.portfolio.books.items():
            trade = book.trade
            if trade is None or trade.leaving is None or not book.net_qty:
                since = self.leaving.pop(name, None)
                if since is not None and not book.net_qty:
                    self.out_ms.append((now - since) // 1_000)
                continue
            self.leaving.setdefault(name, now)
            if not trade.exit_by:
                settled = self.core.orders.working(name)
                if now < self.plan.session.close_at and not book.frozen and settled:
                    self.broken.append(f"{name} is being left ({trade.leaving}) without a deadline")
            elif now > trade.exit_by + SECOND and not trade.stuck_told_at:
                self.broken.append(f"{name} is late and nobody was told")

    def _hear(self, fact: Fact) -> None:
        match fact:
            case Note():
                self.notes.append(fact)
            case HaltSession():
                self.halted = True
            case PlaceOrder() if self.halted and fact.intent.purpose is Purpose.ENTRY:
                self.broken.append(f"an entry was sent after the halt: {fact.cl_ord_id}")
            case _:
                pass

    def passing(self, at: Instant, frames: int) -> None:
        """Nobody looks on."""

    def _plans(self, name: StrategyId) -> tuple[bool, bool]:
        book = self.core.portfolio.books[name]
        trade = book.trade
        if trade is not None:
            return trade.stop_px is not None, trade.leaving is not None
        # The house has not heard of the fill yet: the plan is the entry's.
        plans = [order.plan for order in self.core.orders.working(name) if order.plan is not None]
        return any(plan.stop_px is not None for plan in plans), False

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> ExitPath:
        """From the first tick to the end."""
        at = self.plan.opens_at + SECOND
        while at < self.plan.ends_at and not self._finished(at):
            self.now = at
            self._people(at)
            if not _within(self.plan.silences, at):
                self.position += 1
                self.day.take_frame(TickFrame(at, (self._tick(at),)))
            self.day.ring(at)
            self._unasked(at)
            if at >= self._next_look or (self.core.wants_snapshot and at % (2 * SECOND) == 0):
                self.day.look(at)
                uneasy = self.core.view.uneasy
                self._next_look = at + (UNEASY_EVERY if uneasy else LOOK_EVERY)
            at += self._stride(at)
        self.day.ring(self.plan.ends_at if not self._finished(at) else at)
        self.watch.end(self.core.state.now)
        return self

    def _stride(self, at: Instant) -> Instant:
        """A second where something is under way; five while a position waits, at most to the minute."""
        busy = self.leaving or at >= self.plan.calm_at or not self.post.quiet
        return SECOND if busy or at < self.plan.opens_at + 200 * SECOND else 3 * SECOND

    def _finished(self, at: Instant) -> bool:
        """All is flat, nothing works, nothing is on its way, and nobody wants anything any more."""
        idle = (
            self.post.quiet
            and not self.core.portfolio.open_by_instrument
            and not any(self.core.orders.all_working())
            and not self.watch.account
            and at > self.plan.opens_at + 4 * 60 * SECOND
            and not self.core.wants_snapshot
        )
        if not idle:
            self._flat_since = 0
            return False
        self._flat_since = self._flat_since or at
        return at >= self._flat_since + QUIET_FOR

    # ── the market ──────────────────────────────────────────────────────────────────────────────

    def _tick(self, at: Instant) -> Tick:
        plan, instrument = self.plan, self.instrument
        drawn = key(plan.seed, "px", str(at))
        px = self._px
        while self._jumps and self._jumps[0][0] <= at:
            px += px * self._jumps.pop(0)[1] // 10_000
        px += px * (drawn % (2 * plan.reach_bp + 1) - plan.reach_bp) // 10_000
        size = int(instrument.tick_size)
        px = self._px = max(px // size, 20) * size
        depth = plan.depth_lots * instrument.lot_size
        if at >= plan.calm_at:
            depth = 1_000_000 * instrument.lot_size
        bid, ask = px - size, px + size
        bid_qty = ask_qty = depth
        if _within(plan.locks, at) and at < plan.calm_at:
            # Locked: whoever wants out finds nobody.
            longs = sum(self.watch.net.values()) > 0
            if longs:
                bid, bid_qty = 0, 0
            else:
                ask, ask_qty = 0, 0
        return Tick(
            instrument.id, at, Price(px), self.position, Price(bid), bid_qty, Price(ask), ask_qty
        )

    # ── people, and what the exchange does unasked ──────────────────────────────────────────────

    def _people(self, at: Instant) -> None:
        while self._words and self._words[0].at <= at:
            word = self._words.pop(0)
            self.post.counts[f"said.{word.word.value}"] += 1
            self.day.tell(OperatorCommand(at=at, word=word.word, reason="the path says so"))
        while self._hands and self._hands[0].at <= at:
            hand = self._hands.pop(0)
            net = sum(self.watch.net.values())
            lot = self.instrument.lot_size
            if hand.what in ("close", "more"):
                qty = abs(net) * hand.share_pct // 100 // lot * lot
                if qty:
                    side = Side.SELL if (net > 0) == (hand.what == "close") else Side.BUY
                    self.post.counts[f"fault.hand_{hand.what}"] += 1
                    self.post.by_hand(at, f"{HAND} {at}", side, qty)
            else:
                self._expel(at, "" if hand.what == "withdraw" else "Withdrawn by the exchange.")

    def _unasked(self, at: Instant) -> None:
        plan = self.plan
        if not plan.expels or at >= plan.calm_at:
            return
        for tag, order in self.post.exchange.matcher.orders.items():
            intent = self.watch.sent.get(tag)
            if intent is None or tag in self._expelled or not order.live:
                continue
            self._expelled.add(tag)
            if (
                intent.purpose is Purpose.STOP
                and key(plan.seed, "expel", tag) % 1_000 < plan.expels
            ):
                self._expel(at, "Withdrawn by the exchange.")
                return

    def _expel(self, at: Instant, text: str) -> None:
        matcher = self.post.exchange.matcher
        for tag, order in list(matcher.orders.items()):
            intent = self.watch.sent.get(tag)
            if intent is not None and intent.purpose is not Purpose.ENTRY and order.live:
                self.post.counts["fault.withdrawn" if text else "fault.hand_withdraws"] += 1
                matcher.expel(order, at, text)
                self.post.exchange.notice()
                return


def _within(spans: tuple[tuple[Instant, Instant], ...], at: Instant) -> bool:
    return any(begins <= at < ends for begins, ends in spans)
