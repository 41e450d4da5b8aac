"""The exchange's own record of the wire: who sent what and when, what came of it, what was told.

Three lines for each request, each on disk before anything else happens: what was heard, what it
did, what was answered. An answer that was lost, damaged or invented by a fault therefore stands
beside what really happened, and a judge counts orders here and nowhere else. What a client says of
its own journal (``X-Kitestring-Journal``) is kept with its request.

Secrets are not kept: tokens, checksums, passwords are left out by name, and wherever else their
text turns up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kitestring.domain.errors import StoreError
from kitestring.domain.instants import Instant, ist_text

JOURNAL_HEADER: Final = "X-Kitestring-Journal"
"""In which state a sender declares its own journal to be, if it does."""
SECRET_NAMES: Final = frozenset(
    {
        "access_token", "api_secret", "checksum", "enctoken", "passphrase", "password", "pin",
        "public_token", "refresh_token", "request_token", "secret", "token", "totp", "twofa_value",
    }
)  # fmt: skip
HIDDEN: Final = "•••"
_KEPT_IN_MEMORY: Final = 50_000
_PARAMS_MAX: Final = 200
_TEXT_MAX: Final = 500
_SECRET_MIN: Final = 4
"""A shorter text is no secret; hiding it would blot out half the record."""


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="heard"):
    """A request, or a message on a socket, as it came in."""

    n: int
    at: Instant
    ist: str
    method: str
    path: str
    params: dict[str, str] = {}
    api_key: str = ""
    remote: str = ""
    user_agent: str = ""
    journal: str | None = None
    intended: bool | None = None
    """Whether that journal held the order's tag at this moment; ``None`` where nobody looked."""


class Did(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="did"):
    """What a request really did: the exchange's own answer, before any fault."""

    n: int
    at: Instant
    status: int
    order_ids: tuple[str, ...] = ()
    error: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="told"):
    """What the sender was told; ``how`` names an answer that was none."""

    n: int
    at: Instant
    status: int
    order_ids: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    how: str = ""


class Struck(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="fault"):
    """A fault that happened, wherever it happened."""

    n: int
    at: Instant
    number: int
    kind: str
    occurrence: int
    where: str


class Noted(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="note"):
    """Anything else worth a line: a session flushed, a price moved, by admin or by script."""

    n: int
    at: Instant
    text: str


Line = Heard | Did | Told | Struck | Noted


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One request with what became of it; ``did`` stays empty when it never took effect."""

    heard: Heard
    did: tuple[Did, ...]
    told: Told | None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


class WireLedger:
    """The record, append-only: a file of JSON lines where a path is given, and always in memory."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        secrets: Callable[[], Iterable[str]] = tuple,
        witness: Callable[[str, str], bool | None] | None = None,
    ) -> None:
        self.path = path
        self._witness = witness
        self._secrets = secrets
        self._lines: deque[Line] = deque(maxlen=_KEPT_IN_MEMORY)
        self._next = 1
        try:
            self._file = None if path is None else path.open("ab", buffering=0)
        except OSError as error:
            raise StoreError(f"The wire ledger {path} cannot be opened: {error}.") from error

    def heard(
        self,
        at: Instant,
        method: str,
        path: str,
        params: Iterable[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] | None = None,
        remote: str = "",
    ) -> int:
        """Record what came in; returns its number, by which the rest is told."""
        headers = headers or {}
        pairs = list(params)
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        key, _, token = credentials.partition(":")
        own = [value for name, value in pairs if name.lower() in SECRET_NAMES]
        secrets = [*own, token, *self._secrets()]
        if scheme.lower() != "token" or not token:
            secrets, key = [*secrets, scheme, credentials], ""
        everything = "\n".join(
            (method, path, remote, *headers.values(), *(text for pair in pairs for text in pair))
        )
        # Almost always there is nothing to hide but what is hidden by its name.
        secrets = [each for each in secrets if each and each in everything]
        params_kept = {
            self.clean(name, secrets): HIDDEN
            if name.lower() in SECRET_NAMES
            else self.clean(value, secrets)
            for name, value in pairs[:_PARAMS_MAX]
        }
        journal = headers.get(JOURNAL_HEADER)
        intended = None
        if self._witness is not None and journal is not None:
            intended = self._witness(journal, params_kept.get("tag", ""))
        n = self._number()
        self._write(
            Heard(
                n=n,
                at=at,
                ist=ist_text(at),
                method=self.clean(method, secrets),
                path=self.clean(path, secrets),
                params=params_kept,
                api_key=self.clean(key or params_kept.get("api_key", ""), secrets),
                remote=remote,
                user_agent=self.clean(headers.get("User-Agent", ""), secrets),
                journal=None if journal is None else self.clean(journal, secrets),
                intended=intended,
            )
        )
        return n

    def did(
        self, n: int, at: Instant, status: int, order_ids: tuple[str, ...] = (), error: str = ""
    ) -> None:
        """Record what it really did."""
        error = self.clean(error, self._secrets())
        self._write(Did(n=n, at=at, status=status, order_ids=order_ids, error=error))

    def told(
        self,
        n: int,
        at: Instant,
        status: int,
        order_ids: tuple[str, ...] = (),
        *,
        faults: tuple[str, ...] = (),
        how: str = "",
    ) -> None:
        """Record what the sender is about to be told."""
        line = Told(n=n, at=at, status=status, order_ids=order_ids, faults=faults, how=how)
        self._write(line)

    def struck(self, at: Instant, number: int, kind: str, occurrence: int, where: str) -> None:
        """Record a fault."""
        n = self._number()
        where = self.clean(where, self._secrets())
        line = Struck(n=n, at=at, number=number, kind=kind, occurrence=occurrence, where=where)
        self._write(line)

    def note(self, at: Instant, text: str) -> None:
        """Record a sentence."""
        self._write(Noted(n=self._number(), at=at, text=self.clean(text, self._secrets())))

    def lines(self) -> list[Line]:
        """What is in memory, oldest first: the last fifty thousand lines; the file has them all."""
        return list(self._lines)

    def conversations(self, method: str = "", path: str = "") -> list[Conversation]:
        """Requests with what became of them; only those whose path begins so, where one is given."""
        heard = [
            line
            for line in self._lines
            if isinstance(line, Heard)
            and (not method or line.method == method)
            and line.path.startswith(path)
        ]
        did: dict[int, list[Did]] = {}
        told: dict[int, Told] = {}
        for line in self._lines:
            if isinstance(line, Did):
                did.setdefault(line.n, []).append(line)
            elif isinstance(line, Told):
                told[line.n] = line
        return [
            Conversation(heard=each, did=tuple(did.get(each.n, ())), told=told.get(each.n))
            for each in heard
        ]

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def clean(self, text: str, secrets: Iterable[str]) -> str:
        """A text without any of the secrets, and not longer than anybody wants to read."""
        for secret in secrets:
            if len(secret) >= _SECRET_MIN and secret in text:
                text = text.replace(secret, HIDDEN)
        return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}… ({len(text)} characters)"

    def _number(self) -> int:
        n, self._next = self._next, self._next + 1
        return n

    def _write(self, line: Line) -> None:
        if self._file is not None:
            # Unbuffered: the line is with the system before the answer is with the network.
            try:
                self._file.write(_encoder.encode(line) + b"\n")
            except OSError as error:
                raise StoreError(f"The wire ledger {self.path} cannot be written.") from error
        self._lines.append(line)


def read_lines(path: Path) -> list[Line]:
    """A ledger's lines from its file; half a last line, of an exchange that was killed, is left out."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [_decoder.decode(line) for line in whole.splitlines()]
