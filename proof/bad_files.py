"""Files gone wrong: settings, tapes, journals and the small files beside a day, bent, cut and forged.

What is read is what was written, or a part of it from the beginning, or it is refused with the file's
name and a sentence. Settings are understood or refused; no file stops the house in any other way.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from kitestring.cli.config import load_config
from kitestring.domain.errors import HouseError
from kitestring.domain.events import Note
from kitestring.domain.ids import InstrumentId
from kitestring.domain.instants import SECOND
from kitestring.domain.money import Price
from kitestring.domain.ports import Commit, Manifest
from kitestring.domain.ticks import Tick, TickFrame
from kitestring.engine.control_words import Asked
from kitestring.exchange.wire.fault_script import load_script
from kitestring.sim.day_calendar import DATE, opens
from kitestring.store.guard_journal import FILE_NAME, GuardJournal, GuardLine
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.journal import SqliteJournal, read_commits, verify
from kitestring.store.owned_file import Heartbeat, Owned, OwnedFile
from kitestring.store.records import encode_cell
from kitestring.store.tape import BLOCK, BLOCK_HEAD, CHECK, HEAD, FileTape, header
from kitestring.store.tape_reader import TapeReader
from proof.mutation import Chance, Hangs, bent_bytes, bent_json, in_time
from proof.tier import Broken, Outcome, Scale, Tier

_Try = Callable[[Chance, Path], str]
"""Bends one file and reads it: what is wrong with that, or nothing. Raises what the house raises."""
_CONFIGS: Final = Path(__file__).resolve().parent.parent / "configs"


def _tried(name: str, one: _Try) -> Callable[[int, int], Outcome]:
    """``live`` of a tier of files."""

    def live(first: int, count: int) -> Outcome:
        counts: Counter[str] = Counter()
        broken: list[Broken] = []
        with tempfile.TemporaryDirectory(prefix="kitestring-proof-") as folder:
            for unit in range(first, first + count):
                place = Path(folder) / str(unit)
                place.mkdir()
                try:
                    with in_time():
                        story = one(Chance(unit, name), place)
                    counts["read"] += 1
                except HouseError as error:
                    counts["refused"] += 1
                    story = "" if _speaks(error, place) else f"it says too little: {error.what!r}"
                except (Exception, Hangs) as error:  # noqa: BLE001 - that is what is looked for
                    story = f"{type(error).__name__}: {str(error)[:300]}"
                if story:
                    again = f"python -m proof --tier {name} --unit {unit}"
                    broken.append(Broken(seed=unit, story=story, again=again))
                for path in sorted(place.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
        return Outcome(units=count, counts=dict(counts), broken=tuple(broken))

    return live


def _speaks(error: HouseError, place: Path) -> bool:
    """A place and a sentence, of a length that can be read."""
    return place.name in error.what and len(error.what) < 20_000


# ── settings ─────────────────────────────────────────────────────────────────────────────────────

_PIECES: Final = (
    "risk:\n  max_daily_loss_pct: 2000000000000000000000\n", "risk: {max_orders_per_day: -1}\n",
    "trading:\n  paper_capital: 1e999\n", "trading:\n  paper_capital: NaN\n", "trading: []\n",
    "risk:\n  stale_after_s: .inf\n", "risk:\n  price_jump_pct_max: 1e-320\n", "? [a, b]\n: c\n",
    "risk:\n  per_trade_risk_pct: 1000%\n", "sessions:\n  NSE: {square_off: 25:61}\n", "<<: *x\n",
    "paper: {charges: flat 1e40%, seed: -3}\n", "paper:\n  seed: " + "9" * 5_000 + "\n",
    "risk:\n  cooldown_minutes: " + "9" * 400 + "\n", "risk:\n  reference_age_s_max: 1e400\n",
    "strategies:\n  - strategy: ../../etc/passwd\n", "strategies:\n  - {lots: 0, capital: 5}\n",
    "kite: {api_root: 'http://[::1'}\n", "kite: {api_root: 'https://a:b@api.kite.trade/'}\n",
    "alerts: {telegram: {token: x}}\n", "--- \n...\n--- \n", "%YAML 9.9\n---\n", "!!python/object:os.system\n",
    "a: &a [*a]\n", "risk: &r {max_daily_loss_pct: *r}\n", "\tx: 1\n", "x: !!binary ////\n", "x: 2001-02-30\n",
    "trading:\n  mode: 💩\n", 'trading:\n  mode: "\\ud800"\n', "trading:\n  live_capital: '٣٤'\n",
    "risk:\n  max_gross_exposure_x: 0x7fffffffffffffff\n", "risk:\n  max_gross_exposure_x: '1_0'\n",
    "paper:\n  seed: ٣\n", "sessions:\n  NSE:\n    square_off: ٠٩:١٥\n", "paper:\n  charges: flat 0.0٣%\n",
)  # fmt: skip


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 9) + "]"
        for level in range(1, levels)
    ]
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def _good_settings() -> tuple[tuple[str, bytes], ...]:
    files = [(path.name, path.read_bytes()) for path in sorted(_CONFIGS.glob("*.yaml"))]
    script = b'seed: 3\nfaults:\n  - kind: no_answer\n    route: POST /orders/*\n    nth: 3\n  - kind: ticks_silent\n    from: "11:00"\n    for: 40\n'
    return (*files, ("faults.yaml", script))


def settings_file(chance: Chance, place: Path) -> str:
    """One settings file, or fault script."""
    name, good = chance.one_of(_good_settings())
    match chance.below(7):
        case 0:
            content = bent_bytes(chance, good, 12)
        case 1:
            content = good + chance.one_of(_PIECES).encode("utf-8", "surrogatepass")
        case 2:
            content = "".join(chance.one_of(_PIECES) for _ in range(3)).encode("utf-8", "replace")
        case 3:
            content = _lines_mixed(chance, good)
        case 4:
            content = _values_swapped(chance, good)
        case 5 if chance.one_in(6):
            content = chance.one_of(
                (
                    _bomb(9).encode(),
                    b"[" * 5_000,
                    b"a: " + b"[" * 3_000 + b"]" * 3_000,
                    b"- " * 4_000,
                    b"{a: " * 2_000,
                    b"a:\n" + b" " * 70_000 + b"b: 1\n",
                    b"x" * 300_000,
                    good.replace(b"\n", b"\r"),
                )
            )
        case _:
            content = _lines_mixed(chance, _values_swapped(chance, good))
    path = place / name
    path.write_bytes(content)
    if name == "faults.yaml":
        load_script(path)
    else:
        found = load_config(path)
        assert found.config.digest
        assert int(found.config.trading.capital) > 0
    return ""


def _lines_mixed(chance: Chance, good: bytes) -> bytes:
    lines = good.splitlines(keepends=True)
    for _ in range(1 + chance.below(4)):
        at, other = chance.below(len(lines)), chance.below(len(lines))
        match chance.below(4):
            case 0:
                lines[at], lines[other] = lines[other], lines[at]
            case 1:
                lines.insert(at, lines[other])
            case 2:
                lines[at] = b" " * chance.below(5) + lines[at]
            case _:
                lines[at] = lines[at].lstrip(b"# ")
    return b"".join(lines)


def _values_swapped(chance: Chance, good: bytes) -> bytes:
    words = (
        b"-1", b"0", b"1e9", b"1e400", b"NaN", b".inf", b"off", b"null", b"[]", b"{}", b"true", b"50%", b"9" * 4_400,
        b"'\x00'", b"&a 5", b"*a", b"!x 1", b"09:99", b"NIFTY", b"\xff\xfe", b"| \n text", b"flat 3%", b"1_000", b"0x10",
    )  # fmt: skip
    lines = good.splitlines(keepends=True)
    for _ in range(1 + chance.below(3)):
        at = chance.below(len(lines))
        key, colon, _ = lines[at].partition(b":")
        if colon:
            lines[at] = key + b": " + chance.one_of(words) + b"\n"
    return b"".join(lines)


# ── tapes ────────────────────────────────────────────────────────────────────────────────────────

_OPENS: Final = opens()
_MANIFEST: Final = Manifest(name="proof", date=DATE, instruments=(), sessions={}, digest="proof")


def _frame(number: int) -> TickFrame:
    at = _OPENS + number * SECOND
    tick = Tick(InstrumentId("NSE:INFY"), at, Price(15_000_000 + number * 500), number)
    return TickFrame(at, (tick,))


@lru_cache(maxsize=1)
def _good_tape() -> tuple[bytes, tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.bin"
        tape = FileTape.begin(path, _MANIFEST)
        for number in range(1, 40):
            tape.append_frame(number, _frame(number))
            if number % 7 == 0:
                tape.append_timer(number, _OPENS + number * SECOND)
            if number % 10 == 0:
                tape.mark()
        tape.close()
        return path.read_bytes(), tuple(TapeReader(path))


def tape(chance: Chance, place: Path) -> str:
    """One tape."""
    good, records = _good_tape()
    path = place / "tape.bin"
    forged = chance.one_in(3)
    path.write_bytes(_forged_tape(chance) if forged else bent_bytes(chance, good, 3))
    reader = TapeReader(path)
    found = tuple(reader)
    reader.end()
    if not forged and found != records[: len(found)]:
        return "it gave other records than were written, and said nothing"
    return ""


def _forged_tape(chance: Chance) -> bytes:
    """Blocks whose checks are right and whose records are not."""
    record = msgspec.msgpack.encode([(1, _frame(1)), (2, _frame(2))])
    body = chance.one_of(
        (
            bent_bytes(chance, record, 3),
            b"\x91" * 60_000,
            b"\xdd\xff\xff\xff\xff",
            b"\xc1",
            b"",
            b"\x92\x92\x01\x92\xa4tick\xff",
            record + b"\x00",
            b"\x91\x92\x01\xa2\xff\xff",
            msgspec.msgpack.encode([(2**63, None)]),
        )
    )
    head = BLOCK.pack(len(body), zlib.crc32(body))
    block = head + CHECK.pack(zlib.crc32(head)) + body
    assert len(block) == BLOCK_HEAD + len(body)
    if chance.one_in(8):
        return HEAD.pack(b"KITETAPE", 1, 2**32 - 1) + chance.some_bytes(40)
    return header(_MANIFEST) + block


# ── journals ─────────────────────────────────────────────────────────────────────────────────────


def _commit(number: int) -> Commit:
    return Commit(
        inbox=number,
        at=_OPENS + number,
        feed_position=number,
        tape_offset=number,
        tape_hash="0" * 32,
        facts=(Note(at=_OPENS + number, kind="proof", sentence=f"number {number}"),),
        cells={"order/1": encode_cell({"number": number})},
    )


@lru_cache(maxsize=1)
def _good_journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        journal = SqliteJournal(path, run_key="proof", checkpoint_every=6)
        for number in range(1, 20):
            journal.commit(_commit(number))
        journal.close()
        return path.read_bytes()


def record(chance: Chance, place: Path) -> str:
    """One journal, or one of the small files beside a day."""
    return chance.one_of((_journal, _journal, _guard_lines, _halt, _owned, _beats, _asked))(
        chance, place
    )


def _journal(chance: Chance, place: Path) -> str:
    path = place / "journal.db"
    good = bytearray(_good_journal())
    if chance.one_in(4):
        path.write_bytes(bent_bytes(chance, bytes(good), 3))
    else:  # where the rows are, and nothing is moved
        for _ in range(1 + chance.below(3)):
            good[chance.below(len(good))] ^= 1 << chance.below(8)
        path.write_bytes(bytes(good))
    if chance.one_in(6):
        (place / "journal.db-wal").write_bytes(chance.some_bytes(400) or b"\x00")
    true = {number: _commit(number) for number in range(1, 20)}
    verdict = verify(path)
    found: list[tuple[int, Commit]] = []
    if verdict.damage:
        if place.name not in verdict.damage:
            return f"the verdict names no file: {verdict.damage}"
    else:
        found = list(read_commits(path))
        if [number for number, _ in found] != list(true):
            return f"{len(found)} commits of 19, and no damage was found"
    for number, commit in found:
        if (commit.facts, commit.at) != (true[number].facts, true[number].at):
            return f"commit {number} is another than was written"
    journal = SqliteJournal(path)
    try:
        cells = journal.cells()
        commits = dict(journal.commits())
    finally:
        journal.close()
    if cells != {"order/1": bytes(encode_cell({"number": 19}))} or len(commits) != 19:
        return "the state recovered is another than was written"
    return ""


def _guard_lines(chance: Chance, place: Path) -> str:
    lines = [GuardLine(at=n, kind="took over", sentence="s", qty=n) for n in range(1, 5)]
    good = b"\n".join(msgspec.json.encode(line) for line in lines) + b"\n"
    bent = bent_json(chance, msgspec.to_builtins(lines[0])) + b"\n"
    (place / FILE_NAME).write_bytes(good + bent if chance.one_in(2) else bent_bytes(chance, good))
    journal = GuardJournal(place)
    list(journal.lines())
    journal.story()
    journal.append(lines[0])
    if journal.last_deed()[-1] != lines[0]:
        return "a line appended after the damage is not the last"
    return ""


def _halt(chance: Chance, place: Path) -> str:
    halts = HaltFile(place)
    good = halts.write(HaltedBy.GUARD, "proof", _OPENS)
    body = msgspec.json.encode(good)
    bent = bent_json(chance, msgspec.to_builtins(good))
    halts.path.write_bytes(bent if chance.one_in(2) else bent_bytes(chance, body))
    if not halts.stands or halts.read() is None:
        return "a HALT file that stands does not halt"
    again = halts.write(HaltedBy.OPERATOR, "again", _OPENS, flatten=True)
    if not again.flatten or not halts.stands:
        return "a halt over a damaged one does not stand"
    lifted = halts.lift()
    if lifted is None or halts.stands:
        return "it cannot be lifted"
    return ""


def _owned(chance: Chance, place: Path) -> str:
    file = OwnedFile(place)
    told = [
        Owned(pid=n, born="b", run="r", run_key="k", date="d", commit=n, at=n) for n in (1, 2, 3)
    ]
    for each in told:
        file.write(each)
    file.close()
    for path in file.paths[: 1 + chance.below(2)]:
        path.write_bytes(bent_bytes(chance, path.read_bytes()))
    found = OwnedFile(place).read()
    if found is not None and found not in told:
        return f"it says what nobody wrote: {found}"
    return ""


def _beats(chance: Chance, place: Path) -> str:
    beat = Heartbeat(place, "engine.heartbeat")
    beat.beat()
    beat.close()
    beat.path.write_bytes(bent_bytes(chance, beat.path.read_bytes()))
    after = Heartbeat(place, "engine.heartbeat")
    before = after.read()
    after.beat()
    after.close()
    if after.read() == before:
        return "a heart that beats is not seen to beat"
    return ""


def _asked(chance: Chance, place: Path) -> str:
    del place
    line = bent_json(chance, {"word": "halt", "reason": "x", "symbol": "NSE:INFY"})
    try:
        msgspec.json.decode(line, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return ""


def _tier(name: str, unit: str, claim: str, one: _Try, sizes: tuple[int, int, int]) -> Tier:
    test, proof, soak = sizes
    return Tier(
        name=name,
        unit=unit,
        claim=claim,
        size={Scale.TEST: test, Scale.PROOF: proof, Scale.SOAK: soak},
        batch=500,
        live=_tried(name, one),
    )


TIERS: Final = (
    _tier(
        "configs",
        "settings files",
        "A settings file is understood, or refused with its name, a line and a sentence.",
        settings_file,
        (80, 2_000, 10_000),
    ),
    _tier(
        "tapes",
        "tapes",
        "A tape gives back what was written, from its beginning, or is refused by its name.",
        tape,
        (300, 2_000, 20_000),
    ),
    _tier(
        "journals",
        "records",
        "A journal, and every small file beside a day, gives back what was written or says that it is"
        " damaged.",
        record,
        (200, 2_000, 20_000),
    ),
)
