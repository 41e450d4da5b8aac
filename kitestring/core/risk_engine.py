"""The one who may say no: every entry is sized and judged here, and a bad day is ended here.

Verdicts are values with a code and one sentence in rupees. Exits are never refused. Exposure is
counted at its worst. A halt is a one-way door for the session: it is latched in ``RiskState`` and
survives a restart. A loss seen on marks halts only when a second mark agrees; from the first one on
entries are refused.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kitestring.core.cells import Dirty
from kitestring.core.risk_limits import ENTRY_LIMITS, resolve, sent_since, time_of_day
from kitestring.core.risk_state import (
    RISK_CELL,
    EntryRequest,
    Halt,
    LastEntry,
    PendingLoss,
    RiskState,
    Standing,
    StrategyTally,
    entry_key,
)
from kitestring.core.settings import RiskSettings, StrategySettings
from kitestring.core.sizing import Size, fitted, wanted
from kitestring.core.strategy_limits import (
    check_settings,
    follow_exit,
    follow_loss,
    follow_signal,
)
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import OperatorWord
from kitestring.domain.instants import DAY, MINUTE, NEVER, SECOND, Instant, ist_clock
from kitestring.domain.money import Money, charge_as_money, share_of, show_rupees
from kitestring.domain.orders import Order, OrderIntent, OrdType, Purpose
from kitestring.domain.positions import RoundTrip
from kitestring.domain.verdicts import (
    Approved,
    Blocked,
    HaltPolicy,
    HaltSession,
    Reduced,
    RiskVerdict,
)

__all__ = [
    "HALT_CODES",
    "RISK_CELL",
    "EntryRequest",
    "RiskEngine",
    "RiskState",
    "Standing",
    "Usage",
]

MARKET: Final = OrdType.MARKET
ENTRY: Final = Purpose.ENTRY
FLATTEN: Final = HaltPolicy.FLATTEN
NOT_ARMED: Final = "NOT_ARMED"
HALT_CODES: Final = MappingProxyType(
    {OperatorWord.FAULT: "HOUSE_FAULT", OperatorWord.DISARM: NOT_ARMED}
)
"""How a halt is called that the engine itself asked for."""
_PRUNE_AT: Final = 8
"""Old order instants are dropped when this many have left the last minute: they are written with
every commit, so that keeping many costs more than dropping them often."""


_NO_LIMIT: Final = Money(1 << 80)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one limit is used: for the list of limits and the state file."""

    key: str
    """Its name in the configuration, without ``risk.``."""
    code: str
    limit: str
    used: str
    fraction: float
    """Used as a part of the limit; 1.0 and more is at or over it."""


class _Plan(msgspec.Struct, frozen=True):
    """A strategy's settings as risk uses them: rupees per trade and its window of the day."""

    settings: StrategySettings
    budget: Money
    entry_from: int
    entry_until: int


class RiskEngine:
    """Judges entries, approves exits, watches the day's loss. One per trading day.

    Raises ``ConfigError`` when a limit that is set cannot be computed. ``dirty`` is the core's map
    of cells to write with the next commit; risk puts its state there whenever it changes.
    """

    __slots__ = ("_daily_loss", "_dirty", "_drawdown", "_limits", "_plans", "state")

    def __init__(
        self,
        settings: RiskSettings,
        capital: Money,
        session_date: dt.date,
        dirty: Dirty,
    ) -> None:
        limits = self._limits = resolve(settings, capital)
        # Asked at every mark: what is off is a loss nobody can make.
        self._daily_loss = _NO_LIMIT if limits.daily_loss is None else limits.daily_loss
        self._drawdown = _NO_LIMIT if limits.drawdown is None else limits.drawdown
        self._dirty = dirty
        self._plans: dict[str, _Plan] = {}
        self.state = RiskState(date=session_date.isoformat(), peak_equity=Money(0))

    def admit(self, settings: StrategySettings) -> None:
        """Check one strategy's own limits before the day starts; raises ``ConfigError``."""
        self._plans[settings.name] = self._plan(settings)

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take the state back from the journal; one of another session keeps only the peak."""
        cell = cells.get(RISK_CELL)
        if cell is None:
            return
        kept = msgspec.msgpack.decode(cell, type=RiskState)
        if kept.date == self.state.date:
            self.state = kept
        else:
            self.state.peak_equity = kept.peak_equity

    def open_with(self, peak_equity: Money) -> None:
        """Begin the day with the highest equity of the days before: a drawdown is chained."""
        self.state.peak_equity = peak_equity
        self._dirty[RISK_CELL] = self.state

    # --- verdicts ---

    def check_entry(self, request: EntryRequest, standing: Standing) -> RiskVerdict:
        """Size an entry and answer it: approved, reduced, blocked, or the end of the day."""
        if request.settings.fresh_signal:
            self._follow(request)
        halted = self.watch(standing)
        if halted is not None:
            return halted
        state, limits, at = self.state, self._limits, standing.at
        if state.halted is not None:
            return _blocked(
                request,
                at,
                "HALTED",
                f"the day was halted at {ist_clock(state.halted.at)}: {state.halted.sentence}",
            )
        if state.pending is not None:
            return _blocked(request, at, state.pending.code, state.pending.sentence)
        if not standing.entries_open:
            return _blocked(request, at, standing.entries_closed_code, standing.entries_closed_why)
        settings = request.settings
        plan = self._plans.get(settings.name)
        if plan is None or plan.settings is not settings:
            plan = self._plans[settings.name] = self._plan(settings)
        if not plan.entry_from <= time_of_day(at) < plan.entry_until:
            return _blocked(
                request,
                at,
                "STRATEGY_WINDOW",
                f"{settings.name} may enter from {settings.entry_from or 'the open'} until "
                f"{settings.entry_until or 'the cut-off'}.",
            )
        for code, check in ENTRY_LIMITS:
            sentence = check(request, standing, limits, state)
            if sentence is not None:
                return _blocked(request, at, code, sentence)
        instrument = request.instrument
        if not instrument.tradable:
            return _blocked(
                request, at, "NOT_TRADABLE", f"{instrument.symbol} is an index: trade its future."
            )
        if request.closes_qty % instrument.lot_size:
            return _blocked(
                request,
                at,
                "LOT",
                f"{request.closes_qty} {instrument.symbol} to close first is not whole lots of "
                f"{instrument.lot_size}.",
            )
        size = wanted(request, plan.budget)
        if size.lots:
            size = fitted(size, request, standing, limits, state)
        if not size.lots:
            return _blocked(request, at, size.code, size.sentence)
        return _yes(request, at, size)

    def approve_exit(self, intent: OrderIntent, at: Instant) -> Approved:
        """Exits always pass the rules of entry; that one is really an exit is our own invariant."""
        assert intent.purpose is not Purpose.ENTRY, f"{intent.reason}: an entry is no exit"
        return Approved(intent=intent, at=at)

    def watch(self, standing: Standing) -> HaltSession | None:
        """End the day when its loss or the drawdown is at its limit, on two marks that agree.

        Never on marks that are not fresh. A loss without open positions is booked money and needs
        no second look.
        """
        if not standing.marks_fresh:
            return None
        state = self.state
        halted = state.halted
        if halted is not None and halted.policy is FLATTEN:
            return None
        equity = standing.equity
        peak = state.peak_equity
        if standing.peak_equity > peak or not peak:
            peak = state.peak_equity = max(standing.peak_equity, standing.opening_equity)
            self._dirty[RISK_CELL] = state
        if equity > peak:
            self._higher(standing.at, equity)
            peak = equity
        elif state.higher_seen_at:
            state.higher_seen_at = 0
            self._dirty[RISK_CELL] = state
        if -standing.day_pnl < self._daily_loss and peak - equity < self._drawdown:
            if state.pending is not None:
                state.pending = None
                self._dirty[RISK_CELL] = state
            return None
        return self._losing(standing, peak)

    def halt(self, code: str, sentence: str, policy: HaltPolicy, at: Instant) -> HaltSession | None:
        """Latch the end of the day's entries; ``None`` if it already is.

        The first halt wins, with one exception: a halt that keeps positions may still become one
        that flattens them, for a loss must stop even after the data was distrusted.
        """
        state = self.state
        earlier = state.halted
        latched = earlier is not None and earlier.code != NOT_ARMED
        if earlier is not None and (earlier.policy is FLATTEN or policy is not FLATTEN) and latched:
            return None
        state.halted = Halt(code, sentence, policy, at)
        state.pending = None
        self._dirty[RISK_CELL] = state
        return HaltSession(code=code, sentence=sentence, policy=policy, at=at)

    def arm(self) -> None:
        """A person has armed the day: what stopped it for want of that is lifted, and nothing else."""
        if self.state.halted is not None and self.state.halted.code == NOT_ARMED:
            self.state.halted = None
            self._dirty[RISK_CELL] = self.state

    # --- what happened ---

    def order_sent(self, at: Instant, is_entry: bool) -> None:  # noqa: ARG002 - both kinds count
        """Count one order to the broker, exit or entry; each slice is one."""
        state = self.state
        state.orders_today += 1
        recent = state.recent_orders
        recent.append(at)
        if len(recent) > _PRUNE_AT:
            old = bisect_right(recent, at - MINUTE)
            if old >= _PRUNE_AT:
                del recent[:old]
        self._dirty[RISK_CELL] = state

    def entry_placed(self, intent: OrderIntent, at: Instant) -> None:
        """Count one entry of a strategy and an instrument, and remember it against duplicates."""
        state = self.state
        self._tally(intent.strategy).entries += 1
        symbol = intent.instrument
        state.symbol_entries[symbol] = state.symbol_entries.get(symbol, 0) + 1
        key = entry_key(intent.strategy, symbol, intent.side)
        state.last_entries[key] = LastEntry(at, intent.signal_id)
        self._dirty[RISK_CELL] = state

    def entry_taken(self, strategy: str) -> None:
        """The broker takes a strategy's entries: what it refused before is forgotten."""
        tally = self._tally(strategy)
        if tally.refusals:
            tally.refusals, tally.refused_signal = 0, None
            self._dirty[RISK_CELL] = self.state

    def entry_refused(self, order: Order, at: Instant) -> None:
        """The broker refused an entry: too many in a row, all slices of a signal being one, end them."""
        most, state = self._limits.refusals, self.state
        tally = self._tally(order.strategy)
        if most is None or (tally.refusals and tally.refused_signal == order.signal_id):
            return
        tally.refusals += 1
        tally.refused_signal = order.signal_id
        state.refused_at = [*state.refused_at, at][-most:]
        if tally.refusals >= most:
            tally.refusals, tally.refused_signal = 0, None
            cooldown = self._limits.cooldown
            tally.refused_until = at + cooldown if cooldown else NEVER
        self._dirty[RISK_CELL] = state

    def trade_closed(self, round_trip: RoundTrip) -> None:
        """Follow a strategy's exits and its run of losses, after charges; at the limit it cools down."""
        tally = self._tally(round_trip.strategy)
        follow_exit(round_trip, tally)
        net = round_trip.gross - charge_as_money(round_trip.charges.total)
        if net < Money(0):
            tally.losing_streak += 1
        elif net > Money(0):
            tally.losing_streak = 0
        most = self._limits.loss_streak
        if most is not None and tally.losing_streak >= most:
            tally.losing_streak = 0
            cooldown = self._limits.cooldown
            tally.cooldown_until = round_trip.exit_at + cooldown if cooldown else NEVER
        self._dirty[RISK_CELL] = self.state

    def watch_strategy(self, settings: StrategySettings, pnl: Money, at: Instant) -> str | None:
        """Weigh a strategy's own result at a fresh mark; the sentence if that stops it for the day."""
        tally = self._tally(settings.name)
        before = (tally.lost, tally.losing_at)
        sentence = follow_loss(settings, tally, pnl, at)
        if before != (tally.lost, tally.losing_at):
            self._dirty[RISK_CELL] = self.state
        return sentence

    def has_lost(self, strategy: str) -> bool:
        """Whether a strategy's own loss limit stopped it today."""
        tally = self.state.strategies.get(strategy)
        return tally is not None and bool(tally.lost)

    # --- what is used ---

    def used(self, standing: Standing) -> list[Usage]:
        """Every limit that is on, with what is used of it now."""
        limits, state, at = self._limits, self.state, standing.at
        peak = max(state.peak_equity, standing.peak_equity)
        recent = state.recent_orders
        second = len(recent) - bisect_right(recent, at - SECOND)
        minute = len(recent) - bisect_right(recent, at - MINUTE)
        zero = Money(0)
        busiest = max((tally.entries for tally in state.strategies.values()), default=0)
        streak = max((tally.losing_streak for tally in state.strategies.values()), default=0)
        refused = max((tally.refusals for tally in state.strategies.values()), default=0)
        refused = max(refused, sent_since(state.refused_at, at - MINUTE))
        rupees: tuple[tuple[str, str, Money | None, Money], ...] = (
            ("max_daily_loss_pct", "DAILY_LOSS", limits.daily_loss, max(-standing.day_pnl, zero)),
            ("max_drawdown_pct", "DRAWDOWN", limits.drawdown, max(peak - standing.equity, zero)),
            ("max_gross_exposure_x", "GROSS_EXPOSURE", limits.gross, standing.gross),
            ("max_net_exposure_x", "NET_EXPOSURE", limits.net, abs(standing.net)),
        )
        counts: tuple[tuple[str, str, int | None, int], ...] = (
            (
                "max_open_positions",
                "OPEN_POSITIONS",
                limits.open_positions,
                standing.open_positions,
            ),
            (
                "max_working_orders",
                "WORKING_ORDERS",
                limits.working_orders,
                standing.working_orders,
            ),
            ("max_orders_per_second", "ORDERS_PER_SECOND", limits.orders_per_second, second),
            ("max_orders_per_minute", "ORDERS_PER_MINUTE", limits.orders_per_minute, minute),
            ("max_orders_per_day", "ORDERS_PER_DAY", limits.orders_per_day, state.orders_today),
            (
                "max_trades_per_strategy",
                "TRADES_PER_STRATEGY",
                limits.trades_per_strategy,
                busiest,
            ),
            (
                "max_trades_per_symbol",
                "TRADES_PER_SYMBOL",
                limits.trades_per_symbol,
                max(state.symbol_entries.values(), default=0),
            ),
            ("loss_streak_max", "COOLDOWN", limits.loss_streak, streak),
            ("refusals_max", "REFUSED", limits.refusals, refused),
        )
        rows = [
            Usage(
                key=key,
                code=code,
                limit=show_rupees(most),
                used=show_rupees(spent),
                fraction=int(spent) / int(most),
            )
            for key, code, most, spent in rupees
            if most is not None
        ]
        rows += [
            Usage(key=key, code=code, limit=str(top), used=str(count), fraction=count / top)
            for key, code, top, count in counts
            if top is not None
        ]
        return rows

    def used_by(self, settings: StrategySettings, pnl: Money) -> list[Usage]:
        """The limits of one strategy that are on, with what is used of them now."""
        rows: list[Usage] = []
        name, most, again = settings.name, settings.loss_max, settings.max_reentries
        if most is not None:
            spent = max(-pnl, Money(0))
            rows.append(
                Usage(
                    key=f"{name}.loss_max",
                    code="STRATEGY_LOSS",
                    limit=show_rupees(most),
                    used=show_rupees(spent),
                    fraction=int(spent) / int(most),
                )
            )
        if again is not None:
            tally = self.state.strategies.get(name)
            entries = 0 if tally is None else tally.entries
            rows.append(
                Usage(
                    key=f"{name}.max_reentries",
                    code="REENTRIES",
                    limit=str(again),
                    used=str(max(0, entries - 1)),
                    fraction=entries / (again + 1),
                )
            )
        return rows

    # --- inside ---

    def _follow(self, request: EntryRequest) -> None:
        tally = self.state.strategies.get(request.settings.name)
        if tally is not None and follow_signal(request, tally):
            self._dirty[RISK_CELL] = self.state

    def _plan(self, settings: StrategySettings) -> _Plan:
        own = settings.capital
        if own is not None and own <= Money(0):
            raise ConfigError(
                f"{settings.name} has a capital of {show_rupees(own)}, so it cannot be sized.",
                do=f"give {settings.name} a capital above zero, or none to use the account's",
            )
        if settings.lots is not None and settings.lots < 1:
            raise ConfigError(
                f"{settings.name} has {settings.lots} fixed lots, so it cannot trade.",
                do=f"give {settings.name} lots from 1 up, or none to size it from its stop",
            )
        check_settings(settings)
        start, until = settings.entry_from, settings.entry_until
        if start is not None and until is not None and start >= until:
            raise ConfigError(
                f"{settings.name} may enter from {start} until {until}, which is never.",
                do="set entry_from earlier than entry_until",
            )
        limits = self._limits
        capital = limits.capital if own is None else min(own, limits.capital)
        return _Plan(
            settings=settings,
            budget=share_of(capital, limits.per_trade_pct),
            entry_from=0 if start is None else _since_midnight(start),
            entry_until=DAY if until is None else _since_midnight(until),
        )

    def _tally(self, strategy: str) -> StrategyTally:
        tally = self.state.strategies.get(strategy)
        if tally is None:
            tally = self.state.strategies[strategy] = StrategyTally()
        return tally

    def _higher(self, at: Instant, equity: Money) -> None:
        """A new peak, too, needs two marks: one absurd price must not make tomorrow a drawdown."""
        state = self.state
        if state.higher_seen_at == at:
            return
        if state.higher_seen_at:
            state.peak_equity = min(state.higher_seen, equity)
        state.higher_seen, state.higher_seen_at = equity, at
        self._dirty[RISK_CELL] = state

    def _losing(self, standing: Standing, peak: Money) -> HaltSession | None:
        limits, state, at, equity = self._limits, self.state, standing.at, standing.equity
        daily, drawdown = limits.daily_loss, limits.drawdown
        if daily is not None and -standing.day_pnl >= daily:
            code = "DAILY_LOSS"
            sentence = (
                f"the day has lost {show_rupees(-standing.day_pnl)} after charges, the limit is "
                f"{show_rupees(daily)}."
            )
        else:
            assert drawdown is not None
            code = "DRAWDOWN"
            sentence = (
                f"equity is {show_rupees(equity)}, {show_rupees(peak - equity)} below its peak; "
                f"the limit is {show_rupees(drawdown)}."
            )
        first = state.pending
        agreed = first is not None and (
            at - first.at >= SECOND or (at != first.at and equity != first.equity)
        )
        if agreed or standing.open_positions == 0:
            return self.halt(code, sentence, HaltPolicy.FLATTEN, at)
        if first is None:
            state.pending = PendingLoss(code, sentence, at, equity)
            self._dirty[RISK_CELL] = state
        return None


def _since_midnight(moment: dt.time) -> int:
    return (moment.hour * 3600 + moment.minute * 60 + moment.second) * SECOND + moment.microsecond


def _blocked(request: EntryRequest, at: Instant, code: str, sentence: str) -> Blocked:
    return Blocked(
        strategy=request.settings.name,
        instrument=request.instrument.id,
        side=request.side,
        code=code,
        sentence=sentence,
        at=at,
        signal_id=request.signal.signal_id,
    )


def _yes(request: EntryRequest, at: Instant, size: Size) -> Approved | Reduced:
    lot, closes = request.instrument.lot_size, request.closes_qty
    signal, settings = request.signal, request.settings
    intent = OrderIntent(
        strategy=settings.name,
        instrument=request.instrument.id,
        side=request.side,
        order_qty=closes + size.lots * lot,
        ord_type=MARKET,
        product=settings.product,
        purpose=ENTRY,
        reason=signal.reason,
        decision_px=request.decision_px,
        decided_at=at,
        signal_id=signal.signal_id,
        closes_qty=closes,
    )
    approved = Approved(intent=intent, at=at)
    if not size.code:
        return approved
    return Reduced(
        approved=approved,
        asked_qty=closes + size.asked * lot,
        code=size.code,
        sentence=size.sentence,
    )
