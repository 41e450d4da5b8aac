"""Runs every strategy of the day on the bars that closed, and turns what they say into signals.

The laws it keeps:

* A bar from history never trades: ``warm`` feeds indicators and decides nothing. The first decision
  is on a bar that closes after the strategy was ready.
* All bars that close at one instant are fed before anyone decides, so that a value used at a
  decision is of a bar closed at or before it, in every timeframe.
* A strategy that raises, or answers with something that is no decision (a NaN for a stop), is
  switched off for the day; its position is managed by the house, the others go on.
* On a bar known to be incomplete no entry is taken; an exit is, and a reversal becomes an exit.
* Levels are in the prices of ``source``. Where another instrument is traded they are carried over
  as distances from the source's close: ``stop_px = reference(instrument) ± distance``, never below
  one tick. All are rounded to the traded instrument's tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from kitestring.core.cells import Dirty
from kitestring.core.settings import StrategySettings
from kitestring.core.strategy import StrategyDefinition, inputs_class, value_names
from kitestring.core.strategy_feed import BarFeed
from kitestring.core.strategy_run import Running, StrategyRun, StrategyStatus
from kitestring.domain.bars import TIMEFRAMES, Bar
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import StrategyOff, StrategyReady
from kitestring.domain.ids import InstrumentId, SignalId, StrategyId
from kitestring.domain.instants import IST_OFFSET, MINUTE, Instant, ist, ist_clock
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.money import UNITS_PER_RUPEE, Price, nearest_price, on_tick_down, on_tick_up
from kitestring.domain.sessions import Session
from kitestring.domain.signals import Action, Decision, Signal
from kitestring.domain.unreadable import UNREADABLE

_REASONS_MAX: Final = 64
_OTHER: Final = "other reasons"
_NOTHING: Final = ()
_HOLD: Final = Action.HOLD
_ENTRIES: Final = (Action.BUY, Action.SELL)

Spoken = Signal | StrategyReady | StrategyOff


class StrategyEngine:
    """Every strategy of the day. ``settings`` names them, ``definitions`` are keyed by file name.

    Raises ``ConfigError`` for a strategy, instrument or parameter that does not exist or fit.
    ``dirty`` receives the ``StrategyRun`` of every strategy that changed, under its cell's key.
    """

    def __init__(
        self,
        settings: Sequence[StrategySettings],
        definitions: Mapping[str, StrategyDefinition],
        instruments: Mapping[InstrumentId, Instrument],
        sessions: Mapping[Segment, Session],
        dirty: Dirty,
    ) -> None:
        self._instruments = instruments
        self._sessions = sessions
        self._dirty = dirty
        self._runs: dict[StrategyId, Running] = {}
        self._feeds: dict[tuple[InstrumentId, int], BarFeed] = {}
        self._due: dict[tuple[InstrumentId, int], tuple[BarFeed, tuple[Running, ...]]] = {}
        for one in settings:
            self._add(one, definitions)
        self._waiting = list(self._runs.values())
        self._unannounced: list[Running] = []
        self._day = 0
        self._month_day = ""
        """``MMDD`` of ``_day`` (days since 1970 in India), for the names of signals."""
        self._resolve()

    # -- before the day ------------------------------------------------------------------------

    def _add(
        self, settings: StrategySettings, definitions: Mapping[str, StrategyDefinition]
    ) -> None:
        name = settings.name
        if name in self._runs:
            raise ConfigError(f"Two strategies are called {name}.", do="give each its own name")
        definition = definitions.get(settings.strategy)
        if definition is None:
            raise ConfigError(
                f"Strategy {name}: there is no strategy file {settings.strategy}.py.",
                do=f"use one of: {', '.join(sorted(definitions)) or 'none is loaded'}",
            )
        source = self._instrument(name, settings.source)
        traded = self._instrument(name, settings.instrument)
        if not traded.tradable:
            raise ConfigError(
                f"Strategy {name}: {traded.id} is an index and cannot be traded.",
                do="read it as `source` and trade its future as `instrument`",
            )
        run = Running(settings, definition, traded, self._sessions[source.segment])
        main = self._feed(name, settings.source, settings.minutes)
        try:
            specs = definition.indicators(run.params)
            further = definition.history(run.params)
            run.inputs = inputs_class(specs)()
        except Exception as error:
            raise ConfigError(
                f"Strategy {name}: its indicators cannot be set up: {type(error).__name__}: {error}",
                do=f"look at indicators() in {definition.path} and at params of {name}",
            ) from error
        session = self._sessions[source.segment]
        run.inputs.session_minutes = (session.close_at - session.open_at) // MINUTE
        run.main = main
        main.show(run.inputs)
        run.feeds.append(main)
        run.need = 1 + further
        run.reads_own = any(spec.kind is not None for spec in specs.values())
        for label, spec in specs.items():
            minutes = settings.minutes if spec.minutes is None else spec.minutes
            feed = self._feed(name, spec.instrument or settings.source, minutes)
            feed.read(run.inputs, value_names(label, spec), spec)
            if feed is main and not spec.optional:
                run.need = max(run.need, spec.lookback + 1 + further)
            if feed not in run.feeds:
                run.feeds.append(feed)
        main.settle = max(main.settle, run.need)
        self._runs[name] = run

    def _instrument(self, name: StrategyId, wanted: InstrumentId) -> Instrument:
        instrument = self._instruments.get(wanted)
        if instrument is None:
            raise ConfigError(
                f"Strategy {name}: there is no instrument {wanted} today.",
                do="write it as EXCHANGE:TRADINGSYMBOL, or use a logical name such as NIFTY",
            )
        return instrument

    def _feed(self, name: StrategyId, wanted: InstrumentId, minutes: int) -> BarFeed:
        if minutes not in TIMEFRAMES:
            raise ConfigError(
                f"Strategy {name}: there are no bars of {minutes} minutes.",
                do=f"use one of {', '.join(map(str, TIMEFRAMES))} (0 is the day)",
            )
        feed = self._feeds.get((wanted, minutes))
        if feed is None:
            session = self._sessions[self._instrument(name, wanted).segment]
            feed = self._feeds[wanted, minutes] = BarFeed(wanted, minutes, session)
        return feed

    def timeframes(self) -> dict[InstrumentId, frozenset[int]]:
        """Which bars must be built, in minutes, by instrument; 0 is the day."""
        wanted: dict[InstrumentId, frozenset[int]] = {}
        for instrument, minutes in self._feeds:
            wanted[instrument] = wanted.get(instrument, frozenset()) | {minutes}
        return wanted

    def history_needed(self) -> list[tuple[InstrumentId, int, int]]:
        """(instrument, minutes, bars) that make every strategy ready and its averages settled."""
        return [
            (instrument, minutes, feed.settle)
            for (instrument, minutes), feed in self._feeds.items()
            if feed.settle
        ]

    def warm(self, bars: Sequence[Bar]) -> None:
        """Feed indicators without deciding: history, or today's bars again after a restart.

        Bars of one instrument and timeframe come oldest first. Bars already fed are passed over.
        """
        apart: dict[tuple[InstrumentId, int], list[Bar]] = {}
        for bar in bars:
            key = (bar.instrument, bar.minutes)
            if key in self._feeds:
                apart.setdefault(key, []).append(bar)
        for key, history in apart.items():
            self._feeds[key].warm_up(history)
        for run in self._newly_warm():
            if run.cell.ready_at is None:
                self._unannounced.append(run)

    def restore(self, cells: Mapping[str, bytes]) -> None:
        """Take back what was kept under ``strategy/``; before or after ``warm``, as suits.

        A cell that no longer fits its strategy's ``State`` switches that strategy off: deciding
        from a forgotten state would be guessing.
        """
        for run in self._runs.values():
            blob = cells.get(run.cell_key)
            if blob is None:
                continue
            kind = StrategyRun[run.state_type]  # type: ignore[name-defined]  # known at run time only
            try:
                run.cell = msgspec.msgpack.decode(blob, type=kind)
            except UNREADABLE as error:
                run.cell.off = f"what it remembered cannot be read: {error}"
            if run.cell.off:
                self._retire(run)

    def take_over(self, states: Mapping[str, bytes]) -> list[str]:
        """Begin the day with what strategies remembered yesterday; sentences for what did not fit.

        Only a strategy's own ``State`` is taken over. The day's counters begin at zero, and a
        strategy that was switched off yesterday is asked again: what failed on one day's data may
        work on the next, and what is broken is switched off again at its first bar.
        """
        told: list[str] = []
        for run in self._runs.values():
            blob = states.get(run.name)
            if blob is None:
                continue
            try:
                run.cell.state = msgspec.msgpack.decode(blob, type=run.state_type)
            except UNREADABLE as error:
                run.cell.off = f"what it remembered of yesterday cannot be read: {error}"
                told.append(f"{run.name} is switched off: {run.cell.off}.")
                self._retire(run)
            self._dirty[run.cell_key] = run.cell
        return told

    def states(self) -> dict[str, bytes]:
        """Every strategy's own state, encoded for tomorrow."""
        return {run.name: msgspec.msgpack.encode(run.cell.state) for run in self._runs.values()}

    # -- the day ---------------------------------------------------------------------------------

    def decide(
        self,
        bars: Sequence[Bar],
        at: Instant,
        positions: Mapping[StrategyId, int],
        reference: Callable[[InstrumentId], Price],
    ) -> Sequence[Spoken]:
        """What strategies say about the bars that closed at this instant, of all timeframes.

        Only BUY, SELL and EXIT become signals; holds are counted by reason. ``positions`` are net
        quantities by strategy; ``reference`` is the last price of an instrument (0 when none).
        Bars that closed at several instants come in order of close and are decided on in turn,
        all with these positions, so that nobody reads a bar later than the one decided on.
        """
        said: list[Spoken] | None = None
        if self._unannounced:
            said = self._announce(at, bars)
        due: Sequence[Running] = _NOTHING
        if len(bars) == 1:
            (bar,) = bars
            found = self._due.get((bar.instrument, bar.minutes))
            if found is not None and found[0].push(bar):
                due = found[1]
        else:
            if bars and bars[0].close_at != bars[-1].close_at:
                return [*(said or ()), *self._in_turn(bars, at, positions, reference)]
            due = self._push(bars)
        dirty = self._dirty
        for run in due:
            cell = run.cell
            bar_now = run.main.bar
            if bar_now.close_at <= cell.decided_at:
                continue  # Recovered state already holds this decision: it is never taken again.
            inputs = run.inputs
            if run.reads_own and (fault := run.own_fault()) is not None:
                said = said or []
                said.append(self._fail(run, at, _said(fault, run.definition)))
                continue
            net_qty = positions.get(run.name)
            inputs.position = (1 if net_qty > 0 else -1) if net_qty else 0
            old = cell.state
            try:
                state, decision = run.decide(run.params, old, inputs)
                action = decision.action
                reason = decision.reason
            except Exception as error:  # noqa: BLE001 - an author's code may raise anything
                said = said or []
                said.append(self._fail(run, at, _said(error, run.definition)))
                continue
            if state is not old:
                if type(state) is not run.state_type:
                    said = said or []
                    said.append(self._fail(run, at, f"decide returned {_kind(state)} as its State"))
                    continue
                cell.state = state
            cell.decided_at = bar_now.close_at
            dirty[run.cell_key] = cell
            if action is _HOLD:
                try:
                    cell.holds[reason] += 1
                except (KeyError, TypeError):
                    if isinstance(reason, str):
                        _count(cell.holds, reason)
                    else:
                        said = said or []
                        said.append(self._fail(run, at, f"a reason is text, not {_kind(reason)}"))
                continue
            spoken = self._speak(run, bar_now, decision, at, reference)
            if spoken is not None:
                said = said or []
                said.append(spoken)
        if self._waiting:
            for run in self._newly_warm():
                said = said or []
                said.append(self._ready(run, at, bars[0].close_at if bars else at))
        return said or _NOTHING

    def _in_turn(
        self,
        bars: Sequence[Bar],
        at: Instant,
        positions: Mapping[StrategyId, int],
        reference: Callable[[InstrumentId], Price],
    ) -> list[Spoken]:
        said: list[Spoken] = []
        for close_at in sorted({bar.close_at for bar in bars}):
            together = [bar for bar in bars if bar.close_at == close_at]
            said.extend(self.decide(together, at, positions, reference))
        return said

    def _push(self, bars: Sequence[Bar]) -> list[Running]:
        due: list[Running] = []
        for bar in bars:
            found = self._due.get((bar.instrument, bar.minutes))
            if found is not None and found[0].push(bar):
                due.extend(found[1])
        return due

    def switch_off(self, strategy: StrategyId, at: Instant, error: str) -> StrategyOff | None:
        """Stop asking a strategy; ``None`` when it is off already. Its position is not touched."""
        run = self._runs[strategy]
        return None if run.cell.off else self._fail(run, at, error)

    def state_of(self, strategy: StrategyId) -> msgspec.Struct:
        """What a strategy remembers from bar to bar."""
        return self._runs[strategy].cell.state

    def bars_needed(self, strategy: StrategyId) -> int:
        """Bars of its timeframe a strategy must have been shown before it may decide."""
        return self._runs[strategy].need

    def status(self) -> list[StrategyStatus]:
        """Every strategy as it stands."""
        return [
            StrategyStatus(
                strategy=run.name,
                source=run.settings.source,
                instrument=run.instrument.id,
                minutes=run.settings.minutes,
                bars_seen=run.main.seen,
                bars_decided=run.cell.signals + sum(run.cell.holds.values()),
                ready_at=run.cell.ready_at,
                signals=run.cell.signals,
                last_signal=run.cell.last_signal,
                holds=dict(run.cell.holds),
                off=run.cell.off,
            )
            for run in self._runs.values()
        ]

    # -- becoming ready --------------------------------------------------------------------------

    def _newly_warm(self) -> list[Running]:
        arrived = [run for run in self._waiting if run.is_warm()]
        if arrived:
            for run in arrived:
                run.warm = True
                self._waiting.remove(run)
            self._resolve()
        return arrived

    def _resolve(self) -> None:
        """Work out once which strategies decide on which bars, and who still needs old bars."""
        awaited = {feed for run in self._waiting for feed in run.feeds}
        for feed in self._feeds.values():
            deciding = (
                run
                for run in self._runs.values()
                if run.main is feed and run.warm and not run.cell.off
            )
            self._due[feed.instrument, feed.minutes] = (feed, tuple(deciding))
            if feed not in awaited:
                feed.let_go()

    def _announce(self, at: Instant, bars: Sequence[Bar]) -> list[Spoken]:
        """Tell of those that history made ready; they may decide on the bars that close now."""
        said: list[Spoken] = []
        for run in self._unannounced:
            if run.cell.ready_at is None and not run.cell.off:
                # The next bar of its timeframe to close is the first it decides on; what of the
                # day lies before that bar was missed. A day bar closes once, and misses nothing.
                span = run.settings.minutes * MINUTE
                closing = bars[0].close_at if bars else at
                whole = -(-(closing - run.open_at) // span) - 1 if span else 0
                said.append(self._ready(run, at, run.open_at + max(0, whole) * span))
        self._unannounced.clear()
        return said

    def _ready(self, run: Running, at: Instant, since: Instant) -> StrategyReady:
        run.cell.ready_at = at
        self._dirty[run.cell_key] = run.cell
        missed = ""
        if since > run.open_at:
            minutes = (since - run.open_at) // MINUTE
            start, end = ist_clock(run.open_at)[:5], ist_clock(since)[:5]
            missed = f"{start} to {end} was over before it was ready ({minutes} min)"
        return StrategyReady(
            strategy=run.name,
            instrument=run.settings.source,
            at=at,
            bars=run.main.seen,
            missed=missed,
        )

    # -- failing ---------------------------------------------------------------------------------

    def _fail(self, run: Running, at: Instant, error: str) -> StrategyOff:
        run.cell.off = error
        run.cell.off_at = at
        self._dirty[run.cell_key] = run.cell
        self._retire(run)
        return StrategyOff(strategy=run.name, at=at, error=error)

    def _retire(self, run: Running) -> None:
        if run in self._waiting:
            self._waiting.remove(run)
        for feed in run.feeds:
            feed.drop(run.inputs)
        self._resolve()

    # -- speaking --------------------------------------------------------------------------------

    def _speak(
        self,
        run: Running,
        bar: Bar,
        decision: Decision,
        at: Instant,
        reference: Callable[[InstrumentId], Price],
    ) -> Spoken | None:
        fault = _fault(decision)
        if fault is not None:
            return self._fail(run, at, fault)
        cell, action, reason = run.cell, decision.action, decision.reason
        if bar.incomplete and action in _ENTRIES:
            position = run.inputs.position
            if position == (-1 if action is Action.BUY else 1):
                decision = Decision(Action.EXIT, f"{reason} (bar incomplete: exit only)")
                action, reason = Action.EXIT, decision.reason
            else:
                _count(cell.holds, "bar incomplete: no entry")
                return None
        traded = run.instrument
        source = run.settings.source
        px = reference(traded.id)
        stop = target = trail = None
        if action in _ENTRIES:
            away = 0.0
            if source != traded.id:
                if not px:
                    _count(cell.holds, f"no price of {traded.id} yet: no entry")
                    return None
                away = px / UNITS_PER_RUPEE - run.inputs.close
            tick = traded.tick_size
            if decision.stop is not None:
                stop = max(nearest_price(decision.stop + away, tick), tick)
            if decision.target is not None:
                target = max(nearest_price(decision.target + away, tick), tick)
            if decision.trail is not None:
                trail = max(nearest_price(decision.trail, tick), tick)
                if stop is None and px:
                    # A trail alone protects from the first fill on, not from the next close.
                    long = action is Action.BUY
                    stop = on_tick_down(px - trail, tick) if long else on_tick_up(px + trail, tick)
                    stop = max(stop, tick)
        close_at = bar.close_at
        lasting = decision.exit_after_minutes
        day, minute = divmod((close_at + IST_OFFSET) // MINUTE, 1440)
        if day != self._day:
            self._day, self._month_day = day, f"{ist(close_at):%m%d}"
        clock = f"{minute // 60:02d}:{minute % 60:02d}"
        cell.signals += 1
        cell.last_signal = f"{action} {clock} {reason}"
        when = f"{self._month_day}-{clock[:2]}{clock[3:]}"
        return Signal(
            signal_id=SignalId(f"{run.name}-{when}-{bar.minutes}m"),
            strategy=run.name,
            source=source,
            instrument=traded.id,
            action=action,
            reason=reason,
            bar_close_at=close_at,
            at=at,
            reference_px=px,
            stop_px=stop,
            target_px=target,
            trail_by=trail,
            exit_at=None if lasting is None else close_at + lasting * MINUTE,
        )


def _count(holds: dict[str, int], reason: str) -> None:
    if reason not in holds and len(holds) >= _REASONS_MAX:
        reason = _OTHER
    holds[reason] = holds.get(reason, 0) + 1


def _fault(decision: Decision) -> str | None:
    """Why a decision is none, or ``None``. A level below zero is only far away: it is clipped."""
    if not (
        isinstance(decision, Decision)
        and isinstance(decision.action, Action)
        and isinstance(decision.reason, str)
    ):
        return f"decide returned {_kind(decision)} where buy(), sell(), exit_() or hold() belong"
    for name, level in (("stop", decision.stop), ("target", decision.target)):
        if level is not None and not _number(level):
            return f"{decision.action} with {name} {level}: not a price"
    trail = decision.trail
    if trail is not None and not (_number(trail) and trail >= 0):
        return f"{decision.action} with trail {trail}: not a distance"
    lasting = decision.exit_after_minutes
    if lasting is not None and not (type(lasting) is int and lasting > 0):
        return f"{decision.action} with a time stop of {lasting} minutes"
    return None


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _number(level: float) -> bool:
    return isinstance(level, (int, float)) and math.isfinite(level)


def _said(error: Exception, definition: StrategyDefinition) -> str:
    """An error in one line, with the last line of the strategy's own file it passed.

    The file is named without its folder: the same day tells the same story on every machine.
    """
    step, line = error.__traceback__, 0
    while step is not None:
        if step.tb_frame.f_code.co_filename == definition.path:
            line = step.tb_lineno
        step = step.tb_next
    where = f" (line {line} of {definition.name}.py)" if line else ""
    return f"{type(error).__name__}: {error}{where}"
