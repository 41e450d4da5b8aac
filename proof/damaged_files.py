"""Cut or changed bytes in every file the house keeps: found, every one, and never read as if nothing were.

A unit is one byte changed in one file (any file, any place, any bit), or, in the later units, one cut
of a file's last record at one of its bytes. The reader of that file must refuse and say where, or give
exactly what the undamaged file gave, or (where the file is a view or a cache) nothing at all.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import HouseError
from kitestring.domain.events import Note
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.money import Money, Price
from kitestring.domain.orders import Product
from kitestring.domain.ports import Commit, Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.sim.dice import Dice
from kitestring.store.candle_cache import CandleCache, CandleKey
from kitestring.store.exchange_ledger import FileLedger
from kitestring.store.guard_journal import GuardJournal, GuardLine
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.journal import SqliteJournal, read_commits, verify
from kitestring.store.owned_file import Owned, OwnedBook, OwnedFile
from kitestring.store.tape import FileTape
from kitestring.store.tape_reader import TapeReader
from proof.crash_stage import DATE, OPENS, folder
from proof.tier import Broken, Outcome, Scale, Tier

CUTS_FROM: Final = 2_000
"""Units after this one cut; the first ones change a byte."""
CUTS: Final = 1_500
_RECORDS: Final = 12


class Kept(msgspec.Struct, frozen=True):
    """One kind of file: how it is written, which bytes to damage, and what a reader makes of it."""

    name: str
    write: Callable[[Path], Path]
    """Writes it into a folder; which file it is."""
    read: Callable[[Path], object]
    """What it says, from that folder. Raises a ``HouseError`` where it does not verify."""
    part_may_be_left: bool = False
    """Whether a shorter truth (a first part, an older copy, nothing) is an honest answer as well."""
    flips_told: Callable[[Path], str] = lambda _: ""
    """What is said of damage that does not stop the reader."""


class Found(msgspec.Struct, frozen=True):
    """What became of one damage."""

    how: str
    """``refused``, ``unchanged``, ``a part``; ``BELIEVED`` is what must never happen."""
    said: str = ""


# ── the files ────────────────────────────────────────────────────────────────────────────────


def _commit(number: int) -> Commit:
    note = Note(at=OPENS + number, kind="note", sentence=f"Commit {number} of the proof. " * 4)
    cell = msgspec.Raw(msgspec.msgpack.encode({"number": number, "text": "x" * (number * 37)}))
    return Commit(
        inbox=number,
        at=OPENS + number,
        feed_position=number,
        tape_offset=0,
        tape_hash="",
        facts=(note,),
        cells={f"cell/{number % 5}": cell},
    )


def _journal(folder: Path) -> Path:
    path = folder / "journal.sqlite"
    with closing(SqliteJournal(path, run_key="proof", checkpoint_every=5)) as journal:
        for number in range(1, _RECORDS + 1):
            journal.commit(_commit(number))
    return path


def _journal_in_log(folder: Path) -> Path:
    """As a power cut leaves it: its commits are in the write-ahead log."""
    aside = folder / "aside"
    aside.mkdir()
    path = aside / "journal.sqlite"
    with closing(SqliteJournal(path, run_key="proof", checkpoint_every=5)) as journal:
        for number in range(1, _RECORDS + 1):
            journal.commit(_commit(number))
        for each in aside.glob("journal.sqlite*"):
            shutil.copyfile(each, folder / each.name)
    shutil.rmtree(aside)
    return folder / "journal.sqlite-wal"


def _read_journal(folder: Path) -> object:
    path = folder / "journal.sqlite"
    found = verify(path)
    if found.damage:
        raise HouseError(found.damage)
    commits = [(number, msgspec.msgpack.encode(each)) for number, each in read_commits(path)]
    with closing(SqliteJournal(path)) as journal:
        cells = dict(journal.cells())
    return [*commits, tuple(sorted(cells.items()))] if len(commits) == _RECORDS else commits


_MANIFEST: Final = Manifest(
    name="proof", date=DATE, instruments=(), sessions={}, digest="proof", previous_close={}
)


def _tape(folder: Path) -> Path:
    path = folder / "tape.bin"
    tape = FileTape.begin(path, _MANIFEST)
    for number in range(1, _RECORDS * 4 + 1):
        tick = Tick(InstrumentId("NSE:INFY"), OPENS + number, Price(15_000_000 + number), number)
        tape.append_frame(number, TickFrame(OPENS + number, (tick,)))
        if number % 4 == 0:
            tape.mark()
    tape.close()
    return path


def _read_tape(folder: Path) -> object:
    return [msgspec.msgpack.encode(record) for record in TapeReader(folder / "tape.bin").records()]


def _ledger(folder: Path) -> Path:
    path = folder / "exchange_ledger.jsonl"
    with FileLedger(path, durable=False) as ledger:
        for number in range(_RECORDS):
            ledger.append(msgspec.json.encode({"position": number, "entries": [number * 1000]}))
    return path


def _read_ledger(folder: Path) -> object:
    with FileLedger(folder / "exchange_ledger.jsonl", durable=False) as ledger:
        return list(ledger.records)


def _guards(folder: Path) -> Path:
    journal = GuardJournal(folder)
    for number in range(_RECORDS):
        line = GuardLine(at=OPENS + number, kind="intent", sentence="reduce", qty=number, tag="G1")
        journal.append(line)
    return journal.path


def _read_guards(folder: Path) -> object:
    return [msgspec.json.encode(line) for line in GuardJournal(folder).lines()]


def _guards_damage(folder: Path) -> str:
    journal = GuardJournal(folder)
    list(journal.lines())
    return journal.damage


def _halt(folder: Path) -> Path:
    halts = HaltFile(folder)
    halts.write(HaltedBy.OPERATOR, "lunch", OPENS)
    halts.write(HaltedBy.GUARD, "no heartbeat", OPENS + 1)
    return halts.path


def _read_halt(folder: Path) -> object:
    halts = HaltFile(folder)
    return (halts.read(), halts.epoch, halts.guard_epoch)


def _owned_of(number: int) -> Owned:
    book = OwnedBook(
        strategy=StrategyId("s"),
        instrument=InstrumentId("NSE:INFY"),
        product=Product.MIS,
        net_qty=number,
        fixed=Money(7),
    )
    return Owned(
        pid=1, born="1", run="r", run_key="k", date=str(DATE), commit=number, at=1, books=(book,)
    )


def _owned(folder: Path) -> Path:
    file = OwnedFile(folder)
    for number in (1, 2, 3):
        file.write(_owned_of(number))
    file.close()
    return file.paths[1]


def _read_owned(folder: Path) -> object:
    said = OwnedFile(folder).read()
    return None if said is None else [msgspec.json.encode(said)]


_KEY: Final = CandleKey(
    instrument=InstrumentId("NSE:INFY"), token=1, interval="minute", day=dt.date(2026, 11, 19)
)


def _candles(folder: Path) -> Path:
    cache = CandleCache(folder)
    cache.keep(_KEY, [(OPENS + each, 1, 2, 3, 4, each) for each in range(_RECORDS)], DATE)
    return cache.path_of(_KEY)


def _read_candles(folder: Path) -> object:
    return CandleCache(folder).read(_KEY)


KEPT: Final = (
    Kept("journal.sqlite", _journal, _read_journal),
    Kept("journal.sqlite-wal", _journal_in_log, _read_journal, part_may_be_left=True),
    Kept("tape.bin", _tape, _read_tape, part_may_be_left=True),
    Kept("exchange_ledger.jsonl", _ledger, _read_ledger, part_may_be_left=True),
    Kept("guard.jsonl", _guards, _read_guards, flips_told=_guards_damage),
    Kept("HALT", _halt, _read_halt),
    Kept("owned.json", _owned, _read_owned, part_may_be_left=True),
    Kept("candles", _candles, _read_candles, part_may_be_left=True),
)


class _Whole(msgspec.Struct, frozen=True):
    content: dict[str, bytes]
    file: str
    says: object


@lru_cache(maxsize=len(KEPT))
def _whole(place: int) -> _Whole:
    """A file of a kind, undamaged, and all that lies beside it."""
    kept = KEPT[place]
    with folder() as made:
        file = str(kept.write(made).relative_to(made))
        # Before it is read: a reader may put a log away.
        content = {
            str(path.relative_to(made)): path.read_bytes()
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
        return _Whole(content, file, kept.read(made))


# ── damage and verdict ───────────────────────────────────────────────────────────────────────


def found_of(
    kept: Kept, content: dict[str, bytes], file: str, damaged: bytes, says: object
) -> Found:
    """What the reader makes of a file with these bytes in it."""
    with folder() as made:
        for name, whole in content.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(damaged if name == file else whole)
        try:
            said = kept.read(made)
        except HouseError as error:
            return Found("refused", str(error))
        if said == says:
            return Found("unchanged")
        if kept.part_may_be_left and _is_part(said, says):
            return Found("a part")
        told = kept.flips_told(made)
        if told and isinstance(said, list) and isinstance(says, list):
            return Found("refused" if all(each in says for each in said) else "BELIEVED", told)
        if kept.name == "guard.jsonl" and _is_part(said, says):
            return Found("a part")
    return Found("BELIEVED", f"{said!r}"[:200])


def _is_part(said: object, says: object) -> bool:
    """A first part of it; of a file in two copies, the older one; or nothing."""
    if said is None:
        return True
    if isinstance(said, list) and isinstance(says, list):
        older = [[msgspec.json.encode(_owned_of(2))], [msgspec.json.encode(_owned_of(1))]]
        return said == says[: len(said)] or said in older
    return False


def of_one(unit: int) -> tuple[str, Found]:
    """One damage: in which file and how, and what became of it."""
    dice = Dice(unit, "damage")
    place = unit % len(KEPT)
    kept, whole = KEPT[place], _whole(place)
    content = whole.content[whole.file]
    if CUTS_FROM < unit <= CUTS_FROM + CUTS:
        # Every byte of the last record, one unit each; longer files are cut elsewhere as well.
        end = len(content) - 1 - (unit - CUTS_FROM - 1) // len(KEPT) % len(content)
        what, damaged = f"{kept.name} cut at byte {end}", content[:end]
    else:
        at, bit = dice.below(len(content)), 1 << dice.below(8)
        what = f"bit {bit:#x} of byte {at} of {kept.name} flipped"
        damaged = content[:at] + bytes((content[at] ^ bit,)) + content[at + 1 :]
    found = found_of(kept, whole.content, whole.file, damaged, whole.says)
    flipped = "flipped" in what
    if flipped and found.how == "a part" and kept.name == "exchange_ledger.jsonl":
        # Only a last line that lost its end may be cut off without a word.
        ends = content.rfind(b"\n", 0, -1) + 1
        if int(what.split(" of byte ")[1].split()[0]) < ends:
            found = Found("BELIEVED", "a line in the middle was dropped")
    return what, found


def live(first: int, count: int) -> Outcome:
    """See ``Tier``."""
    counts: Counter[str] = Counter()
    broken = []
    for unit in range(first, first + count):
        what, found = of_one(unit)
        kind = "flipped_bit" if "flipped" in what else "cut_file"
        counts[f"fault.{kind}"] += 1
        counts[found.how.replace(" ", "_").lower()] += 1
        if found.how == "BELIEVED":
            story = f"{what}: it was read as if it were true: {found.said}"
            again = f"python -m proof --tier {TIER.name} --unit {unit}"
            broken.append(Broken(seed=unit, story=story, again=again))
        elif found.how == "refused" and len(found.said) < len("damaged"):
            story = f"{what}: refused without a word."
            broken.append(Broken(seed=unit, story=story, again=""))
    return Outcome(units=count, counts=dict(counts), broken=tuple(broken))


TIER: Final = Tier(
    name="damaged_files",
    unit="damages",
    claim="Change any bit of any file the house keeps, or cut its end off anywhere: it is found and"
    " said, or nothing was lost by it; never is it read as if it were true.",
    size={Scale.TEST: 200, Scale.PROOF: CUTS_FROM + CUTS, Scale.SOAK: 100_000},
    batch=250,
    live=live,
)
