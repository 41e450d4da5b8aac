"""The production command on a short synthetic market, in a process that can be told where to die.

``python day_to_kill.py ORDERS.json [arguments of run_day]`` runs ``scripts.run_day`` with two things
exchanged: the market (the frames in a file, an hour of the synthetic day) and the classes behind the
journal, the tape, the exchange's ledger and the broker, each by a subclass of the production class
that counts what happens and, at the moment it was told, writes down where it is and sends itself
SIGKILL. Nothing in the house knows of it.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import msgspec

from kitestring.broker import paper_broker
from kitestring.cli import paper_day
from kitestring.cli import run_day as command_line
from kitestring.core import trading_core
from kitestring.domain.bars import Bar
from kitestring.domain.events import DaySealed
from kitestring.domain.ports import Manifest
from kitestring.domain.ticks import TickFrame
from kitestring.domain.verdicts import PlaceOrder
from kitestring.engine import paper_engine, scribe, strategy_files, trading_day
from kitestring.exchange import synthetic_market
from kitestring.store import (
    atomic_file,
    exchange_ledger,
    journal,
    ledgers,
    paths,
    state_store,
    tape,
)


class Market(msgspec.Struct):
    """An hour of a day, in one file."""

    manifest: bytes
    frames: tuple[TickFrame, ...]
    history: dict[str, tuple[Bar, ...]]


class Orders(msgspec.Struct):
    """What this process is told to suffer."""

    market: str
    note: str = ""
    """File that takes down where it died."""
    kill: tuple[str, int] | None = None
    """Name of a moment, and which one of that name."""
    fault_at: tuple[int, ...] = ()
    """Frames (by their arrival, in microseconds) at which the core raises, once per process."""
    fault_always: bool = False
    disk_full: tuple[str, int] | None = None
    """Name of a moment, and which one of that name, from which no file may grow."""
    my: str = ""
    """The user's own folder of strategies."""
    signals: tuple[tuple[str, int], ...] = ()
    """``(name of a signal, frame)``: sent to this process itself when the frame is taken."""
    rewrite_always: bool = False
    """Bring the files for people up to date as often as the loop looks, not once a second."""


class FileFeed:
    """A feed over the frames of a file."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.manifest = msgspec.json.decode(market.manifest, type=Manifest)

    def frames(self, after=0):
        """The frames behind the first ``after``."""
        for frame in self._market.frames[after:]:
            moments.now("frame")
            moments.frames += 1
            yield frame

    def history(self, instrument, minutes, bars):
        """The bars of the day before."""
        moments.now("history", instrument=instrument)
        return self._market.history.get(f"{instrument}/{minutes}", ())[-bars:]


class Moments:
    """Counts the named moments of this process and dies at the one it was told."""

    def __init__(self) -> None:
        self.counts = {}
        self.frames = 0
        self.commits = 0

    def now(self, name, *, before_dying=None, size=0, **details):
        """A moment has come; ``size`` is that of the file about to be written."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        if orders.disk_full == (name, count):
            full_disk(size + 10)
        if orders.kill == (name, count):
            if before_dying is not None:
                before_dying()
            died(name, count, **details)


def died(name, count, **details):
    """Write down where, wait for the disk, and die without another word."""
    line = {"moment": name, "count": count, "commits": moments.commits, **details}
    with Path(orders.note).open("a", encoding="utf-8") as note:
        note.write(json.dumps(line) + "\n")
        note.flush()
        os.fsync(note.fileno())
    os.kill(os.getpid(), signal.SIGKILL)


class MortalJournal(journal.SqliteJournal):
    """Dies before or after a commit."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        moments.commits = self.count

    def commit(self, commit):
        """Commit, between two chances to die."""
        places = [fact.cl_ord_id for fact in commit.facts if isinstance(fact, PlaceOrder)]
        kinds = sorted({type(fact).__name__ for fact in commit.facts})
        said = {"number": self.count + 1, "places": places, "kinds": kinds}
        moments.now("before commit", size=4096, **said)
        if places:
            moments.now("before commit of an order", **said)
        number = super().commit(commit)
        moments.commits = number
        moments.now("after commit", **said)
        if places:
            moments.now("after commit of an order", **said)
        if any(isinstance(fact, DaySealed) for fact in commit.facts):
            moments.now("after the seal", **said)
        return number


class MortalBroker(paper_broker.PaperBroker):
    """Dies before or after a command is carried out."""

    __slots__ = ()

    def carry_out(self, command, at):
        """Carry out, between two chances to die."""
        said = {"command": type(command).__name__, "tag": command.cl_ord_id, "at": at}
        moments.now("before carrying out", **said)
        super().carry_out(command, at)
        moments.now("after carrying out", **said)


class MortalLedger(exchange_ledger.FileLedger):
    """Dies before, in the middle of, or after a line of the exchange's ledger."""

    def append(self, record):
        """Append, with three chances to die."""
        line = exchange_ledger._checked(record, self._check)[0][:-1]
        said = {"line": line.decode()}
        moments.now("before a ledger line", size=os.fstat(self._file).st_size, **said)
        half = line[: len(line) // 2]
        moments.now("in a ledger line", before_dying=lambda: os.write(self._file, half), **said)
        super().append(record)
        moments.now("after a ledger line", **said)


class MortalTape(tape.FileTape):
    """Dies when a block is on the tape whose commit is not in the journal, or in the middle of one."""

    def _keep(self, block):
        half = block[: len(block) // 2]
        moments.now("in a tape block", before_dying=lambda: self._file.write(half))
        moments.now("before a tape block", size=self._offset)
        super()._keep(block)
        moments.now("after a tape block", offset=self._offset + len(block))


def mortal_write(name, real):
    """An atomic replacement that may die with half of the new content in the file beside."""

    def write(path, content, *, durable=False):
        aside = path.with_name(f".{path.name}.{os.getpid()}.new")
        moments.now(
            f"in {name}",
            before_dying=lambda: (
                path.parent.mkdir(parents=True, exist_ok=True),
                aside.write_bytes(content[: len(content) // 2]),
            ),
            path=str(path),
        )
        real(path, content, durable=durable)
        moments.now(f"after {name}", path=str(path))

    return write


class FaultyCore(trading_core.TradingCore):
    """A core with a bug that shows at one frame."""

    def step(self, event):
        """Raise in the middle of a step, with something half changed."""
        at = getattr(event, "received_at", None)
        if isinstance(event, TickFrame) and at in faults:
            if not orders.fault_always:
                faults.discard(at)
            self.portfolio.realised = self.portfolio.realised + self.portfolio.realised
            raise ZeroDivisionError("a planted fault")
        return super().step(event)


class SignallingDay(trading_day.TradingDay):
    """A day during which somebody presses Ctrl-C."""

    def take_frame(self, frame):
        """Take a frame; at the frame told, the signal comes first."""
        for name, number in orders.signals:
            if self.feed_position + 1 == number:
                os.kill(os.getpid(), getattr(signal, name))
        super().take_frame(frame)


def full_disk(size):
    """No file of this process may become larger than ``size``: a write ends in its middle."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def take_places():
    """Put the mortal classes where the house's wiring takes its own from."""
    market = msgspec.msgpack.decode(Path(orders.market).read_bytes(), type=Market)
    synthetic_market.SyntheticFeed = lambda _day, _seed: FileFeed(market)
    paper_engine.SqliteJournal = MortalJournal
    paper_engine.PaperBroker = MortalBroker
    paper_engine.FileLedger = MortalLedger
    paper_engine.FileTape = MortalTape
    if orders.my:
        paper_day.read_strategy = lambda name: strategy_files.read_strategy(
            name, (Path(orders.my), strategy_files.SHIPPED)
        )
    if orders.fault_at:
        paper_engine.TradingCore = FaultyCore
    if orders.signals:
        paper_engine.TradingDay = SignallingDay
    ledgers.write_atomically = mortal_write("orders.csv", atomic_file.write_atomically)
    state_store.write_atomically = mortal_write("the state file", atomic_file.write_atomically)
    paths.write_atomically = mortal_write("run.json", atomic_file.write_atomically)
    real_restore = paper_engine.restore

    def restore(*args):
        moments.now("before restoring")
        taped_to = real_restore(*args)
        moments.now("after restoring")
        return taped_to

    paper_engine.restore = restore
    if orders.rewrite_always:
        scribe.WRITE_EVERY_S = 0.0
        trading_day.YIELD_EVERY_S = 0.0


if __name__ == "__main__":
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    moments = Moments()
    faults = set(orders.fault_at)
    take_places()
    sys.exit(command_line.run_command(command_line.run_day, sys.argv[2:]))
