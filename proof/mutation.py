"""Makes bad input of good: bytes bent, trees of values bent, both drawn from a number, the same everywhere.

Half of what breaks a reader is noise; the other half is almost right. So whatever has a grammar is
bent in its grammar too: a field gone, twice, of another type, as large as a number can be.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

import msgspec

from kitestring.exchange.seeded import key

_T = TypeVar("_T")
_MASK: Final = (1 << 64) - 1
HANGS_AFTER_S: Final = 5.0
"""Seconds of work that no input may take; the worst that is allowed takes a hundredth of it."""


class Hangs(BaseException):
    """An input was not done with in time. No ``Exception``: nobody may catch it on the way."""


class Chance:
    """Draws of a number: fast, and the same on every machine (splitmix64)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str) -> None:
        self._state = key(seed, name) & _MASK

    def below(self, bound: int) -> int:
        """From 0 to ``bound − 1``."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return (z ^ (z >> 31)) % bound

    def one_in(self, count: int) -> bool:
        """True once in ``count`` draws."""
        return self.below(count) == 0

    def one_of(self, among: Sequence[_T]) -> _T:
        """Any one."""
        return among[self.below(len(among))]

    def some_bytes(self, most: int) -> bytes:
        """Up to ``most`` bytes of noise."""
        return bytes(self.below(256) for _ in range(self.below(most + 1)))


@contextmanager
def in_time(limit_s: float = HANGS_AFTER_S) -> Iterator[None]:
    """Raise ``Hangs`` in here after so much work (main thread; elsewhere nothing is watched)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Hangs(f"not done with after {limit_s:g} s of work")

    before = signal.signal(signal.SIGPROF, over)
    # Again and again: one that falls into a finaliser is swallowed there.
    signal.setitimer(signal.ITIMER_PROF, limit_s, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────

_PIECES: Final = (
    b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00",
    b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b"\x1b[2J",
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"&", b"*", b"!", b"NaN", b"-Infinity",
    b"null", b"1e400", b"-0", b"0x10", b"9" * 40, b"\\ud800", b"\\u0000", b"%00", b"../", b"\x85",
)  # fmt: skip


def bent_bytes(chance: Chance, good: bytes, most: int = 4) -> bytes:
    """Bytes with one to ``most`` changes: bits, pieces, cuts, copies."""
    bent = bytearray(good)
    for _ in range(1 + chance.below(most)):
        at = chance.below(len(bent) + 1)
        match chance.below(9):
            case 0 | 1 if bent:
                bent[at % len(bent)] ^= 1 << chance.below(8)
            case 2 if bent:
                bent[at % len(bent)] = chance.below(256)
            case 3:
                bent[at:at] = chance.one_of(_PIECES)
            case 4:
                piece = chance.one_of(_PIECES)
                bent[at : at + len(piece)] = piece
            case 5:
                del bent[at : at + 1 + chance.below(16)]
            case 6:
                other = chance.below(len(bent) + 1)
                bent[at:at] = bent[other : other + 1 + chance.below(64)]
            case 7:
                del bent[at:]
            case _:
                bent[at:at] = chance.some_bytes(12)
    return bytes(bent)


# ── trees ────────────────────────────────────────────────────────────────────────────────────────

_DEEP: Final = 3_000
STRANGE: Final[tuple[object, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.5, 1e300, -1e300, 1e-300,
    "IP " * 20_000, "time " * 20_000, "", " ", "0", "-1", "NaN", "inf", "1e999", "x" * 5_000, "\x00", "\u202e", "\ud7ff", "💩",
    "2026-02-30 10:00:00", "2026-11-20 25:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", [], {},
    [[]], [None], {"": None}, {"order_id": {}}, [0] * 300, 123456789012345678,
)  # fmt: skip
RAW: Final = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 400, b"9" * 5_000, b"0." + b"1" * 400,
    b"1e-400", b"-0", b"01", b"1.", b".5", b"+1", b"'x'", b'"\xff\xfe"', b'"\\ud800"', b'"\\u0000"',
    b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, b"[" * 200_000, b"",
    b"1e999999999999999999", b"0e0", b"12345678901234567890123456789", b'"' + b"a" * 70_000 + b'"',
)  # fmt: skip
"""What no encoder writes."""
_MARK: Final = "\x01here\x02"


def bent_json(chance: Chance, good: object) -> bytes:
    """A tree with a few changes, as JSON or nearly so."""
    tree = bent_tree(chance, good, 1 + chance.below(3))
    if not chance.one_in(4):
        return msgspec.json.encode(tree)
    tree = _with(tree, chance, lambda _: _MARK)
    mark = msgspec.json.encode(_MARK)
    body = msgspec.json.encode(tree).replace(mark, chance.one_of(RAW), 1)
    if chance.one_in(3):  # a key twice
        body = body.replace(b",", b"," + chance.one_of((b'"data":[],', b'"status":"error",')), 1)
    return body


def bent_tree(chance: Chance, tree: object, changes: int) -> object:
    """A tree with so many changes, the original untouched."""
    for _ in range(changes):
        match chance.below(6):
            case 0:
                tree = _with(tree, chance, lambda _: _GONE)
            case 1:
                tree = _with(tree, chance, lambda old: [old])
            case 2:
                tree = _with(tree, chance, _of_other_type)
            case 3:
                tree = _with(tree, chance, lambda old: _bent_leaf(chance, old))
            case _:
                tree = _with(tree, chance, lambda _: chance.one_of(STRANGE))
        if tree is _GONE:
            tree = None
    return tree


class _Gone:
    """A place to be left out."""


_GONE: Final = _Gone()


def _with(tree: object, chance: Chance, change: Callable[[object], object]) -> object:
    """The tree with one node changed, chosen on a walk from its root."""
    if isinstance(tree, dict) and tree and not chance.one_in(12):
        name = chance.one_of(sorted(tree, key=str))
        changed = _with(tree[name], chance, change)
        rest = {key_: value for key_, value in tree.items() if key_ != name}
        return rest if changed is _GONE else {**tree, name: changed}
    if isinstance(tree, list) and tree and not chance.one_in(12):
        at = chance.below(len(tree))
        changed = _with(tree[at], chance, change)
        middle = [] if changed is _GONE else [changed] * (1 + chance.one_in(8))
        return [*tree[:at], *middle, *tree[at + 1 :]]
    return change(tree)


def _of_other_type(value: object) -> object:
    match value:
        case bool():
            return str(value)
        case int() | float():
            return str(value)
        case str():
            return int(value) if value.isdecimal() and len(value) < 18 else [value]
        case None:
            return {}
        case _:
            return str(value)


def _bent_leaf(chance: Chance, value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return chance.one_of((-value, value + 1, value * 1_000_000 % (1 << 62), 0))
        case float():
            return chance.one_of((-value, value * 1e12, value / 1e12, 0.0))
        case str():
            bent = bent_bytes(chance, value.encode(), 2).decode("utf-8", "replace")
            return chance.one_of((bent, value * 2, value.swapcase(), value + "\x00"))
        case _:
            return value
