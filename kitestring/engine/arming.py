"""Arming: a person sees what would be traded with real money, and types the rupees it may risk.

Without that nothing is entered; what the house owns is still protected, closed and squared off. An
arming is for one account, one day and one content of the settings file, and it ends when the house
that used it died: after a crash somebody looks before money moves again.
"""

from __future__ import annotations

import datetime as dt
import hmac
import os
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError, DiskFailed
from kitestring.domain.instants import Instant, ist_clock
from kitestring.domain.money import Money, show_rupees
from kitestring.engine.risk_rules import rules
from kitestring.engine.stopping import Stopping

FILE_NAME: Final = "arming.json"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is armed: everything that the person is shown before the phrase."""

    date: dt.date
    account: str
    account_name: str
    capital: Money | None
    """``trading.live_capital``; ``None`` where the settings do not name it."""
    available: Money | None
    """Funds the broker says are free; ``None`` where it could not be asked."""
    risk: RiskSettings
    strategies: tuple[str, ...]
    open_positions: tuple[str, ...]
    config_hash: str
    without_stop: tuple[str, ...] = ()
    """Strategies that enter without a stop and are not declared exempt."""
    halted: str = ""
    """The HALT that stands, in words; empty where none does."""
    stopping: Stopping = Stopping.LEAVE_PROTECTED


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """What the arming file holds. ``in_use`` while a house trades on it."""

    date: dt.date
    account: str
    capital: Money
    config_hash: str
    armed_at: Instant
    in_use: bool = False


class Standing(StrEnum):
    """Whether entries may be made."""

    ARMED = "armed"
    NEVER = "not armed today"
    DAY_OVER = "the arming was for another day"
    CRASHED = "the house that was armed ended without saying so"
    CHANGED = "the settings file was changed since"
    OTHER_ACCOUNT = "the arming was for another account"
    OTHER_CAPITAL = "the arming was for another amount"


def refusals(terms: Terms) -> list[str]:
    """Why these terms cannot be armed at all; empty if they can."""
    found: list[str] = []
    if terms.halted:
        found.append(f"{terms.halted.rstrip('.')}; if that is over, type: kitestring halt --lift")
    if terms.capital is None:
        found.append(
            "trading.live_capital is not set: write the rupees the house may trade with into the "
            "settings file; it is never inferred from the account"
        )
    if terms.available is None:
        found.append("the account's funds could not be read")
    elif terms.capital is not None and terms.capital > terms.available:
        found.append(
            f"trading.live_capital is {show_rupees(terms.capital)}, more than the "
            f"{show_rupees(terms.available)} that are free in the account"
        )
    if terms.risk.max_daily_loss_pct is None:
        found.append("risk.max_daily_loss_pct is off: nothing would end a bad day")
    found += [
        f"{name} may enter without a stop; give it one, or write `without_stop: true` under it"
        for name in terms.without_stop
    ]
    return found


def shown(terms: Terms) -> list[str]:
    """What the person reads before the phrase."""
    capital = "NOT SET" if terms.capital is None else show_rupees(terms.capital)
    free = "not known" if terms.available is None else show_rupees(terms.available)
    lines = [
        f"⚠️  LIVE: real orders in the account {terms.account} ({terms.account_name}), {terms.date}",
        f"live capital    {capital}, of {free} free",
        f"strategies      {', '.join(terms.strategies)}",
        f"open positions  {', '.join(terms.open_positions) or 'none'}",
        f"when stopped    {terms.stopping}: {terms.stopping.sentence}",
        f"settings        {terms.config_hash[:16]}",
    ]
    if terms.capital is not None:
        lines += [
            f"limit           {rule.key}: {rule.value}"
            for rule in rules(terms.risk, terms.capital)
            if rule.key and rule.value
        ]
    return lines


def phrase(terms: Terms) -> str:
    """What must be typed, the rupees of the limit in it."""
    assert terms.capital is not None, "refused before"
    return f"TRADE {int(terms.capital) // 10_000}"


def agrees(terms: Terms, typed: str) -> bool:
    """Whether the phrase was typed; spaces around and between do not matter, the number does."""
    return hmac.compare_digest(" ".join(typed.split()).encode(), phrase(terms).encode())


def armed_by(terms: Terms, at: Instant) -> Armed:
    """The record of a phrase that was typed."""
    assert terms.capital is not None, "refused before"
    return Armed(
        date=terms.date,
        account=terms.account,
        capital=terms.capital,
        config_hash=terms.config_hash,
        armed_at=at,
    )


def standing(armed: Armed | None, terms: Terms) -> Standing:
    """Whether an earlier arming is still good for these terms, and if not, why."""
    if armed is None:
        return Standing.NEVER
    if armed.date != terms.date:
        return Standing.DAY_OVER
    if armed.account != terms.account:
        return Standing.OTHER_ACCOUNT
    if armed.config_hash != terms.config_hash:
        return Standing.CHANGED
    if armed.capital != terms.capital:
        return Standing.OTHER_CAPITAL
    if armed.in_use:
        return Standing.CRASHED
    return Standing.ARMED


def armed_sentence(armed: Armed) -> str:
    """For the journal."""
    return (
        f"Armed for {show_rupees(armed.capital)} in the account {armed.account} at "
        f"{ist_clock(armed.armed_at)}; settings {armed.config_hash[:16]}."
    )


class ArmingFile:
    """The record in the artifacts folder, readable by its owner alone."""

    def __init__(self, artifacts: Path) -> None:
        self.path = artifacts / "live" / FILE_NAME

    def read(self) -> Armed | None:
        """The record, or ``None`` where there is none; one that cannot be read arms nothing."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Armed)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def write(self, armed: Armed) -> None:
        """Keep a record, in place of an earlier one. Raises ``DiskFailed``."""
        aside = self.path.with_name(f".{FILE_NAME}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Never open to others, not even for a moment.
            file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(file, msgspec.json.encode(armed))
                os.fsync(file)
            finally:
                os.close(file)
            aside.replace(self.path)
        except OSError as error:
            raise DiskFailed(
                f"The arming cannot be kept in {self.path}: {error.strerror}.",
                do="free space on that disk, or make it writable",
            ) from error

    def clear(self) -> None:
        """End an arming."""
        self.path.unlink(missing_ok=True)


def refuse(terms: Terms) -> None:
    """Raise ``ConfigError`` with every reason why these terms cannot be armed."""
    reasons = refusals(terms)
    if reasons:
        raise ConfigError(
            f"Live trading is not armed: {'; '.join(reasons)}.",
            do="mend it and start again; kitestring doctor --config FILE looks at all of it",
        )
