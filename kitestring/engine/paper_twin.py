"""The paper twin: the very ticks of a live day, traded on paper beside it, to see what real fills cost.

The twin has the live day's settings, warm-up bars, gaps and tape, and its own exchange, orders and
journal. It hears of the live day by words, one for each of its commits (``word_of``): how far the
tape is good, and the few facts that are not on it. The tape's order is the twin's clock, so the
same live day has the same twin, whether it is traded beside it or made again years later.

Commands of the operator are not the twin's: a halt stops the live day, and the twin shows what the
rules alone would have done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Final, Self

import msgspec

from kitestring.broker.paper_broker import PaperBroker
from kitestring.core.settings import DaySettings
from kitestring.core.strategy import StrategyDefinition
from kitestring.core.trading_core import TradingCore
from kitestring.domain.charges import ChargeBook
from kitestring.domain.errors import ConfigError
from kitestring.domain.events import (
    DayOpening,
    DaySealed,
    Gap,
    HistoryLoaded,
    RunOpened,
    SessionEnded,
    TimerFired,
)
from kitestring.domain.instants import Instant
from kitestring.domain.instruments import Instrument, Segment
from kitestring.domain.ports import Commit, Manifest
from kitestring.domain.sessions import Session
from kitestring.domain.ticks import TickFrame
from kitestring.engine.day_record import (
    bands_in,
    carried_positions,
    closes_before,
    opened_on_paper,
    sealed,
)
from kitestring.engine.day_result import day_result
from kitestring.engine.day_steps import DaySteps
from kitestring.engine.live_day import LAST_WORDS
from kitestring.engine.scribe import Scribe
from kitestring.engine.strategy_files import read_strategy
from kitestring.engine.watching import DayResult, NobodyWatches
from kitestring.exchange.fill_models import FillModel
from kitestring.exchange.margin import StatedMargins
from kitestring.market.charges import charges_of_name
from kitestring.store.atomic_file import write_atomically
from kitestring.store.exchange_ledger import FileLedger
from kitestring.store.held_journal import HeldJournal
from kitestring.store.paths import RunPaths, RunState, open_run
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader

_SUMMARY: Final = msgspec.json.Encoder(decimal_format="number")
_encoder: Final = msgspec.msgpack.Encoder()

Told = RunOpened | DayOpening | HistoryLoaded | Gap | DaySealed
"""Facts of the live day that are the twin's as well."""


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What the twin is told of one commit of the live day."""

    commit: int
    tape_offset: int
    """Up to here the live day's tape is good."""
    facts: tuple[Told, ...]


_decoder: Final = msgspec.msgpack.Decoder(Word)


def word_of(number: int, commit: Commit) -> bytes:
    """One commit, as it is told to the twin."""
    facts = tuple(fact for fact in commit.facts if isinstance(fact, Told))
    return _encoder.encode(Word(number, commit.tape_offset, facts))


def words_of(commits: Iterable[tuple[int, Commit]]) -> Iterator[bytes]:
    """A day that is over, as it would have been told."""
    for number, commit in commits:
        yield word_of(number, commit)


class TwinDay(DaySteps):
    """Takes what the live day took; market time is the tape's."""

    def take(self, event: TickFrame | TimerFired) -> None:
        """As the live loop does: what came due before a frame's arrival comes before the frame."""
        if isinstance(event, TimerFired):
            self.pass_time(event.due_at)
        else:
            self.pass_time(event.received_at - 1)
            self.take_frame(event)

    def pass_time(self, until: Instant) -> None:
        """Reports and timers up to an instant."""
        self._catch_up(until, until)

    def end(self, at: Instant) -> None:
        """The session is over."""
        self.pass_time(at)
        if not self.core.state.ended:
            self.tell(SessionEnded(max(at, self.core.state.now)))


class _Terms(msgspec.Struct, frozen=True):
    """On what terms the twin trades, for its summary."""

    fill_model: FillModel
    charge_book: ChargeBook
    notes: tuple[str, ...]


class PaperTwin:
    """One live run's twin. Leave it (``with``) when nothing more will be heard."""

    def __init__(
        self,
        live: RunPaths,
        fill_model: FillModel,
        *,
        seed: int = 1,
        read: Callable[[str], StrategyDefinition] = read_strategy,
    ) -> None:
        self._live = live
        self._model = fill_model
        self._seed = seed
        self._read = read
        self._held = ExitStack()
        self._day: TwinDay | None = None
        self._heard = 0
        self._offset = 0
        named = "\n".join(("twin", live.folder.name, live.run_key, fill_model.name, str(seed)))
        self.paths = open_run(
            live.artifacts,
            mode="twin",
            date=live.date,
            run_key=hashlib.sha256(named.encode()).hexdigest(),
        )
        self.result: DayResult | None = None
        """How the twin's day went, once the live one is sealed."""
        self.already_finished = self.paths.state() is RunState.SEALED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def hear(self, told: bytes) -> None:
        """Trade up to where the live day has come. A word heard before changes nothing.

        Raises a ``HouseError`` where the live day's record cannot be followed.
        """
        word = _decoder.decode(told)
        if word.commit <= self._heard or self.already_finished or self.result is not None:
            return
        self._heard = word.commit
        if self._day is None:
            self._open(word)
            return
        day = self._day
        for _, event in self._reader.records(word.tape_offset, after=self._offset):
            assert isinstance(event, TickFrame | TimerFired)
            day.take(event)
        self._offset = word.tape_offset
        for fact in word.facts:
            match fact:
                case Gap() | HistoryLoaded():
                    day.tell(fact)
                case DaySealed():
                    self._seal(day)
                    return
                case _:
                    pass
        self._scribe.passing(day.core.state.now, day.feed_position)

    def _open(self, word: Word) -> None:
        opened = next((fact for fact in word.facts if isinstance(fact, RunOpened)), None)
        if opened is None:
            raise ConfigError(
                f"{self._live.folder.name} does not begin with its opening, so it has no twin.",
                do="name a live run that this version has traded: python -m kitestring days",
            )
        settings = msgspec.msgpack.decode(opened.settings, type=DaySettings)
        settings = msgspec.structs.replace(settings, run_key=self.paths.run_key)
        sessions = msgspec.msgpack.decode(opened.sessions, type=dict[Segment, Session])
        definitions = {name: self._read(name) for name in opened.strategy_hashes}
        for name, digest in opened.strategy_hashes.items():
            if definitions[name].source_hash != digest:
                raise ConfigError(
                    f"{name} is no longer the file that {self._live.folder.name} was started with; "
                    "a twin of another strategy would show nothing.",
                    do="put the file back as it was, then type: python -m kitestring twin",
                )
        opening = next((fact for fact in word.facts if isinstance(fact, DayOpening)), None)
        self._reader = TapeReader(self._live.tape)
        manifest = self._reader.manifest
        self._terms = _Terms(
            self._model, charges_of_name(opened.charges), (f"twin of {self._live.folder.name}",)
        )
        core = TradingCore(
            settings,
            instruments=_instruments(manifest, opening),
            sessions=sessions,
            definitions=definitions,
            charge_book=self._terms.charge_book,
            margins=StatedMargins(),
            previous_close=closes_before(manifest),
            price_bands=bands_in(manifest),
        )
        capital = settings.capital if opening is None else opening.equity
        day = self._begin(core, sessions, opening)
        core.facts.append(
            opened_on_paper(
                settings,
                feed=manifest.name,
                capital=capital,
                seed=self._seed,
                config_hash=opened.config_hash,
                definitions=definitions,
                fill_model=self._model,
                charge_book=self._terms.charge_book,
                sessions=sessions,
                mode="twin",
                beside=self._live.folder.name,
            )
        )
        for fact in word.facts:
            if isinstance(fact, DayOpening | HistoryLoaded):
                core.step(fact)
        day.note("opened", f"The day is open: {manifest.name}.")
        self._day, self._offset = day, word.tape_offset
        self._over_at = max(session.close_at for session in sessions.values()) + LAST_WORDS

    def _begin(
        self, core: TradingCore, sessions: dict[Segment, Session], opening: DayOpening | None
    ) -> TwinDay:
        """An empty record: what an interrupted twin left is made again from the live day's."""
        paths = self.paths
        paths.exchange_ledger.unlink(missing_ok=True)
        paths.tape.unlink(missing_ok=True)
        # In memory until the seal: the live day's disk is not waited for twice.
        self._journal = HeldJournal(paths.journal, run_key=paths.run_key)
        ledger = FileLedger(paths.exchange_ledger, durable=False)
        self._held.callback(ledger.close)
        broker = PaperBroker(
            instruments=core.instruments,
            sessions=sessions,
            charges=self._terms.charge_book,
            cash=core.settings.capital if opening is None else opening.equity,
            fill_model=self._model,
            seed=self._seed,
            ledger=ledger,
            opening=carried_positions(opening),
            own_clock=True,
        )
        self._scribe = Scribe(
            paths,
            NobodyWatches(),
            core,
            commits=self._journal.commits,
            frames_total=0,
            resumed=True,
        )
        self._held.callback(self._scribe.close)
        tape = FileTape.begin(paths.tape, self._reader.manifest)
        tape.durable = False
        self._held.callback(tape.close)
        return TwinDay(core, broker=broker, journal=self._journal, tape=tape, follower=self._scribe)

    def _seal(self, day: TwinDay) -> None:
        day.end(self._over_at)
        day.record(sealed(day.core, self._scribe.tally))
        self._journal.write()
        self._scribe.write()
        self.result = msgspec.structs.replace(
            day_result(
                day.core, self._reader.manifest, self._scribe.tally, self.paths, self._terms
            ),
            ticks=day.ticks,
        )
        content = msgspec.json.format(_SUMMARY.encode(self.result.summary()))
        write_atomically(self.paths.summary, content + b"\n")
        self._held.close()


def _instruments(manifest: Manifest, opening: DayOpening | None) -> tuple[Instrument, ...]:
    """The feed's, and what is carried although the feed no longer knows it."""
    known = {each.id: each for each in manifest.instruments}
    for position in opening.positions if opening is not None else ():
        known.setdefault(position.instrument.id, position.instrument)
    return tuple(known.values())
