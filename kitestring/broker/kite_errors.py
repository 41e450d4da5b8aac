"""Why Kite could not be read: one error with a cause for machines and a sentence for people.

A read that fails raises; it never answers with an empty book, because an empty book is news.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from kitestring.domain.errors import BrokerError


class ReadFailure(StrEnum):
    """What stood in the way of an answer."""

    TOKEN = "token"  # noqa: S105 - a cause, not a secret
    """The session is dead or was never good: log in."""
    PERMISSION = "permission"
    """The plan, the app or the address does not allow it; asking again changes nothing."""
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    """No connection was made."""
    TIMED_OUT = "timed out"
    BROKEN_OFF = "broken off"
    """The connection ended before the answer did."""
    DOWN = "down"
    """An error of Kite's own, 5xx, in its words or as a page."""
    REFUSED = "refused"
    """Kite understood and said no: a parameter is wrong."""
    STRANGE = "strange"
    """An answer that cannot be what it says."""


_DO: Final = {
    ReadFailure.TOKEN: "Log in again: python -m scripts.login_kite",
    ReadFailure.PERMISSION: "Look at the app's plan and addresses on developers.kite.trade.",
    ReadFailure.REFUSED: "Nothing was changed by it; asking the same again would be refused again.",
    ReadFailure.STRANGE: "Nothing was changed by it; if it stays so, Kite may have changed its answers.",
}
_DO_USUALLY: Final = "Nothing was changed by it; it can be asked again."


class KiteReadFailed(BrokerError):
    """A read gave nothing that can be believed. ``cause`` says why, ``path`` what was asked."""

    def __init__(
        self,
        path: str,
        cause: ReadFailure,
        why: str,
        *,
        status: int = 0,
        error_type: str = "",
    ) -> None:
        super().__init__(f"Kite's answer to {path} failed: {why}", do=_DO.get(cause, _DO_USUALLY))
        self.path = path
        self.cause = cause
        self.why = why
        self.status = status
        self.error_type = error_type


class StrangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that could not be read: which, as far as it says, and what is wrong with it."""

    order_id: str
    tag: str
    why: str


class KiteAnswerStrange(KiteReadFailed):
    """Kite answered in words we do not know, in a place where they would decide something.

    ``rows`` are those of the same answer that could be read, so that one strange row does not blind
    the house to its own orders; they are no complete book.
    """

    def __init__(
        self,
        path: str,
        why: str,
        *,
        rows: tuple[object, ...] = (),
        strange: tuple[StrangeRow, ...] = (),
    ) -> None:
        super().__init__(path, ReadFailure.STRANGE, why, status=200)
        self.rows = rows
        self.strange = strange
