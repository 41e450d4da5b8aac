"""Everything a report may know of a day: the facts of its journal, and the minutes of its tape.

The law: a report reads the run's folder and nothing else, so that it can be made again at any
time, by anybody who has the folder, and says the same. The minutes are made by the house's own
``MarketDataEngine``, so that a price kept out of the day is kept out of its charts.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.core.settings import RiskSettings
from kitestring.domain.bars import Bar, BarFrame
from kitestring.domain.charges import NO_CHARGES
from kitestring.domain.errors import StoreError
from kitestring.domain.events import (
    Adjustment,
    DaySealed,
    Discrepancy,
    Fact,
    Gap,
    MarketDataFault,
    Note,
    OperatorCommand,
    Reports,
    RunOpened,
    StrategyOff,
    StrategyReady,
    TimerFired,
)
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.instruments import Instrument
from kitestring.domain.money import Money
from kitestring.domain.orders import Side
from kitestring.domain.ports import Manifest
from kitestring.domain.positions import Fill, RoundTrip
from kitestring.domain.signals import Signal
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import (
    Blocked,
    CancelOrder,
    HaltSession,
    ModifyOrder,
    PlaceOrder,
    Reduced,
)
from kitestring.exchange.fill_models import FILL_MODELS
from kitestring.store.journal import JournalFacts, read_facts
from kitestring.store.paths import RunPaths
from kitestring.store.tape_reader import TapeReader

Told = (
    StrategyReady
    | StrategyOff
    | MarketDataFault
    | Discrepancy
    | Adjustment
    | Gap
    | OperatorCommand
    | Note
    | HaltSession
    | Reduced
)
"""Facts that are lines of the day's story."""


class Summary(msgspec.Struct, frozen=True):
    """What a report takes from ``summary.json``: sentences and counts that no fact holds."""

    fill_model: str = ""
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    data_faults: dict[str, int] = {}


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one run, as its folder tells it."""

    run: str
    mode: str
    opened: RunOpened
    sealed: DaySealed | None
    commits: int
    head: str
    fill_sentence: str
    """The fill model in words."""
    stand_ins: tuple[str, ...]
    notes: tuple[str, ...]
    data_faults: dict[str, int]
    """Ticks and instruments at fault, by kind."""
    instruments: dict[InstrumentId, Instrument]
    minutes: dict[InstrumentId, tuple[Bar, ...]]
    """Minute bars of every traded instrument, in order; without a tape, the bars strategies read."""
    tape_lost: str
    """Why there are no minutes from the tape; empty when there are."""
    fills: tuple[Fill, ...]
    adjusted: tuple[Fill, ...] = ()
    """What a person adjusted: it moves quantity and cash, and is neither turnover nor an order."""
    trades: tuple[RoundTrip, ...]
    signals: tuple[Signal, ...]
    refusals: tuple[Blocked, ...]
    halts: tuple[HaltSession, ...]
    orders: dict[str, PlaceOrder]
    """Every order sent, by its tag, in order."""
    changes: tuple[Reports | ModifyOrder | CancelOrder, ...]
    """What happened to orders, in order."""
    story: tuple[Told, ...]

    def multiplier(self, instrument: InstrumentId) -> int:
        """What turns price times quantity into rupees."""
        known = self.instruments.get(instrument)
        return 1 if known is None else known.multiplier


def read_run(paths: RunPaths) -> RunFacts:
    """Everything the folder of a run tells of its day.

    Raises a ``StoreError`` where there is no journal, where it does not verify, or while its day
    is running. A tape that cannot be read costs the minutes only, and the report says so.
    """
    if not paths.journal.exists():
        raise StoreError(
            f"The run {paths.folder.name} has no journal, so there is nothing to report.",
            do="start its day first, or name another run",
        )
    journal = read_facts(paths.journal)
    opened = next((fact for fact in journal.facts if isinstance(fact, RunOpened)), None)
    if opened is None:
        raise StoreError(
            f"The run {paths.folder.name} was stopped before its day was open.",
            do="start the same command again; it goes on from there",
        )
    traded = {fact.instrument for fact in journal.facts if isinstance(fact, Fill)}
    manifest, minutes, faults, lost = _tape(paths, traded)
    if lost:
        minutes = _bars_of_strategies(journal.facts, traded)
    summary = _summary(paths)
    if summary is None:
        summary = Summary(
            stand_ins=() if manifest is None else manifest.stand_ins,
            notes=() if manifest is None else manifest.notes,
            data_faults=faults,
        )
    model = FILL_MODELS.get(opened.fill_model)
    return _gathered(
        paths,
        journal,
        opened,
        fill_sentence=summary.fill_model
        or (opened.fill_model if model is None else model.sentence),
        stand_ins=summary.stand_ins,
        notes=summary.notes,
        data_faults=summary.data_faults,
        instruments={} if manifest is None else {row.id: row for row in manifest.instruments},
        minutes=minutes,
        tape_lost=lost,
    )


def _gathered(
    paths: RunPaths,
    journal: JournalFacts,
    opened: RunOpened,
    *,
    fill_sentence: str,
    stand_ins: tuple[str, ...],
    notes: tuple[str, ...],
    data_faults: dict[str, int],
    instruments: dict[InstrumentId, Instrument],
    minutes: dict[InstrumentId, tuple[Bar, ...]],
    tape_lost: str,
) -> RunFacts:
    facts = journal.facts
    return RunFacts(
        run=paths.folder.name,
        mode=paths.mode,
        opened=opened,
        sealed=next((fact for fact in facts if isinstance(fact, DaySealed)), None),
        commits=journal.commits,
        head=journal.head,
        fill_sentence=fill_sentence,
        stand_ins=stand_ins,
        notes=notes,
        data_faults=data_faults,
        instruments=instruments,
        minutes=minutes,
        tape_lost=tape_lost,
        fills=tuple(fact for fact in facts if isinstance(fact, Fill)),
        adjusted=tuple(_as_fill(fact) for fact in facts if isinstance(fact, Adjustment)),
        trades=tuple(fact for fact in facts if isinstance(fact, RoundTrip)),
        signals=tuple(fact for fact in facts if isinstance(fact, Signal)),
        refusals=tuple(fact for fact in facts if isinstance(fact, Blocked)),
        halts=tuple(fact for fact in facts if isinstance(fact, HaltSession)),
        orders={fact.cl_ord_id: fact for fact in facts if isinstance(fact, PlaceOrder)},
        changes=tuple(
            fact for fact in facts if isinstance(fact, Reports | ModifyOrder | CancelOrder)
        ),
        story=tuple(fact for fact in facts if isinstance(fact, Told)),
    )


def _as_fill(adjusted: Adjustment) -> Fill:
    """For adding up, what a person adjusted counts like a trade free of charges."""
    return Fill(
        fill_id="adjustment",
        cl_ord_id=f"adjustment of {adjusted.strategy}",
        strategy=adjusted.strategy,
        instrument=adjusted.instrument,
        side=Side.BUY if adjusted.qty > 0 else Side.SELL,
        qty=abs(adjusted.qty),
        px=adjusted.px,
        at=adjusted.at,
        product=adjusted.product,
        decision_px=adjusted.px,
        slippage=Money(0),
        charges=NO_CHARGES,
    )


def _summary(paths: RunPaths) -> Summary | None:
    try:
        return msgspec.json.decode(paths.summary.read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # A run that was killed has none; the rest of its folder says enough.


_Minutes = dict[InstrumentId, tuple[Bar, ...]]


def _tape(
    paths: RunPaths, traded: set[InstrumentId]
) -> tuple[Manifest | None, _Minutes, dict[str, int], str]:
    """The tape's manifest, its minutes, what was kept out of them, and what is wrong with it."""
    manifest: Manifest | None = None
    try:
        reader = TapeReader(paths.tape)
        manifest = reader.manifest
        risk = RiskSettings()
        market = MarketDataEngine(
            manifest.instruments,
            manifest.sessions,
            timeframes={instrument: frozenset({1}) for instrument in traded},
            bar_grace=0,
            price_jump_pct_max=risk.price_jump_pct_max,
            stale_after=int(risk.stale_after_s * SECOND),
            previous_close={
                row.id: manifest.previous_close[row.id]
                for row in manifest.instruments
                if row.id in manifest.previous_close
            },
            window_bars=1,
        )
        minutes: dict[InstrumentId, list[Bar]] = {}
        for bar in _closed(market, reader, traded):
            minutes.setdefault(bar.instrument, []).append(bar)
    except StoreError as lost:
        return manifest, {}, {}, lost.what
    faults: dict[str, int] = {}
    for view in market.views.values():
        for fault in ("duplicate", "late", "zero", "absurd", "out_of_hours", "falling_volume"):
            count: int = getattr(view, fault)
            if count:
                faults[fault] = faults.get(fault, 0) + count
    return manifest, {name: tuple(bars) for name, bars in minutes.items()}, faults, ""


def _closed(
    market: MarketDataEngine, reader: TapeReader, traded: set[InstrumentId]
) -> Iterator[Bar]:
    """The minute bars of the traded instruments, as they closed."""
    for _, event in reader:
        if type(event) is TickFrame:
            market.accept_frame(event)
        elif type(event) is BarFrame:
            for bar in market.accept_bar_frame(event):
                if bar.minutes == 1 and bar.instrument in traded:
                    yield bar
        elif type(event) is TimerFired and event.due_at >= market.next_due_at:
            for bar in market.close_due(event.due_at):
                if bar.minutes == 1:
                    yield bar


def _bars_of_strategies(facts: tuple[Fact, ...], traded: set[InstrumentId]) -> _Minutes:
    """The finest bars the journal holds of each traded instrument: what a strategy read."""
    by_minutes: dict[InstrumentId, dict[int, list[Bar]]] = {}
    for fact in facts:
        if isinstance(fact, Bar) and fact.instrument in traded and fact.minutes:
            by_minutes.setdefault(fact.instrument, {}).setdefault(fact.minutes, []).append(fact)
    return {name: tuple(rows[min(rows)]) for name, rows in by_minutes.items()}
