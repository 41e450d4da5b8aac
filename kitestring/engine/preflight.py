"""What is looked at before a day may trade: each check says what it found and what to type if it fails.

The law: a check that cannot be made is not a check that passed. It says so, and for real money the
day does not start on it where the check is one that must be known.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from kitestring.broker.kite_session import TokenStore
from kitestring.broker.kite_wire import intent_fields
from kitestring.core.risk_limits import resolve
from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import CalendarUnknown, ConfigError, HouseError, NotLoggedIn
from kitestring.domain.ids import InstrumentId, StrategyId
from kitestring.domain.instants import Instant, instant, ist_date, ist_text
from kitestring.domain.money import Money, Price, show_rupees
from kitestring.domain.orders import OrderIntent, OrdType, Product, Purpose, Side
from kitestring.market import calendar
from kitestring.market.charges import charge_book
from kitestring.store.halt_file import HaltedBy, HaltFile
from kitestring.store.instrument_dumps import InstrumentDumps
from kitestring.store.journal import SqliteJournal

DISK_FREE_MIN: Final = 2 << 30
"""A day of 3 000 instruments writes some hundred megabytes of tape; beside it the journal grows."""
DESCRIPTORS_MIN: Final = 512
"""Files, connections and the broker's sockets of a day, several times over."""
_WAY_OUT: Final = OrderIntent(
    strategy=StrategyId("drill"),
    instrument=InstrumentId("NSE:INFY"),
    side=Side.SELL,
    order_qty=1,
    ord_type=OrdType.MARKET,
    product=Product.MIS,
    purpose=Purpose.EXIT,
    reason="drill",
    decision_px=Price(1),
    decided_at=1,
)
COMMIT_MS_MAX: Final = 25.0
"""Every order waits for one commit: a disk slower than this is named."""
HORIZON_DAYS_MIN: Final = 14
CLOCK_OFF_MAX_S: Final = 1.0
LIST_READY_AT: Final = dt.time(8, 30)


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "ok"
    FAILED = "fails"
    UNKNOWN = "not known"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, and what to type where it fails."""

    name: str
    outcome: Outcome
    says: str
    do: str = ""


def passed(name: str, says: str) -> Check:
    """A check that found what it wanted."""
    return Check(name=name, outcome=Outcome.PASSED, says=says)


def failed(name: str, says: str, do: str) -> Check:
    """A check on which the day must not start."""
    return Check(name=name, outcome=Outcome.FAILED, says=says, do=do)


def unknown(name: str, says: str, do: str = "") -> Check:
    """A check that could not be made."""
    return Check(name=name, outcome=Outcome.UNKNOWN, says=says, do=do)


def check_python(version: tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> Check:
    """The interpreter: 3.11 or later."""
    shown = f"{version[0]}.{version[1]}"
    if version < (3, 11):
        return failed(
            "Python", f"{shown}; the house needs 3.11 or later.", "install a newer Python"
        )
    return passed("Python", f"{shown}.")


def check_clock(now: Instant, broker_ahead_s: float | None, *, rehearsed: bool = False) -> Check:
    """This machine's clock, against the broker's where that was heard; a rehearsal goes by another."""
    shown = f"{ist_text(now)} in India"
    if rehearsed:
        return passed("clock", f"{shown}, by the exchange's own clock (kite.clock).")
    if broker_ahead_s is None:
        return unknown(
            "clock",
            f"{shown}; it was compared with nobody's.",
            "timedatectl status, and look for `System clock synchronized: yes`",
        )
    if abs(broker_ahead_s) > CLOCK_OFF_MAX_S:
        way = "behind" if broker_ahead_s > 0 else "ahead of"
        return failed(
            "clock",
            f"{shown}; that is {abs(broker_ahead_s):.1f} s {way} the broker's.",
            "sudo timedatectl set-ntp true",
        )
    return passed("clock", f"{shown}; within {abs(broker_ahead_s):.1f} s of the broker's.")


def check_calendar(today: dt.date) -> Check:
    """How far trading days and charges are known."""
    try:
        calendar.known(today)
        charge_book(today)
    except CalendarUnknown as error:
        return failed("calendar", f"{error.what}", error.do or "update kitestring")
    left = (calendar.LAST_DAY - today).days
    says = f"known until {calendar.LAST_DAY}"
    if left < HORIZON_DAYS_MIN:
        return unknown(
            "calendar", f"{says}: {left} days from now.", "update kitestring before then"
        )
    if not calendar.is_trading_day(today):
        following = calendar.next_trading_day(today)
        return passed("calendar", f"{says}; today is no trading day, the next is {following}.")
    return passed("calendar", f"{says}; today is a trading day.")


def check_modes(paths: Iterable[Path]) -> Check:
    """Secrets may be read by their owner alone."""
    wrong: list[str] = []
    seen = 0
    for path in paths:
        if not path.exists():
            continue
        seen += 1
        wanted = 0o700 if path.is_dir() else 0o600
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            wrong.append(f"chmod {wanted:o} {path}")
    if wrong:
        return failed("file modes", "others on this machine can read secrets.", "; ".join(wrong))
    if not seen:
        return passed("file modes", "no secrets are kept here.")
    return passed("file modes", "secrets are readable by you alone.")


def check_disk(folder: Path, free: Callable[[Path], int] | None = None) -> Check:
    """Room for the day's tape and journal."""
    present = _nearest(folder)
    left = shutil.disk_usage(present).free if free is None else free(present)
    shown = f"{left / (1 << 30):.1f} GB free at {present}"
    if left < DISK_FREE_MIN:
        wanted = f"{DISK_FREE_MIN >> 30} GB are wanted for a day"
        return failed("disk", f"{shown}; {wanted}.", "free some space, or use another --artifacts")
    return passed("disk", f"{shown}.")


def check_commits(folder: Path) -> Check:
    """How long an order waits for the disk, measured where the journal will be."""
    try:
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=_nearest(folder)) as place:
            journal = SqliteJournal(Path(place) / "journal.sqlite", run_key="probe")
            try:
                took = journal.measure_commit_ms()
            finally:
                journal.close()
    except (HouseError, OSError) as error:
        return failed(
            "commits",
            f"nothing can be written durably at {folder}: {error}".splitlines()[0],
            "make the folder writable, or use another --artifacts",
        )
    if took > COMMIT_MS_MAX:
        return failed(
            "commits",
            f"one takes {took:.1f} ms here, and every order waits for one.",
            "use a folder on a local disk (SSD) with --artifacts",
        )
    return passed("commits", f"one takes {took:.2f} ms.")


def check_descriptors(soft: int | None = None) -> Check:
    """How many files and connections this process may hold open at once."""
    if soft is None:
        try:
            import resource  # noqa: PLC0415 - there is none on Windows
        except ImportError:
            return unknown("open files", "this system does not say how many may be open.")
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= soft < DESCRIPTORS_MIN:
        return failed(
            "open files",
            f"{soft} may be open at once; a day wants {DESCRIPTORS_MIN}.",
            f"ulimit -n {DESCRIPTORS_MIN}, or LimitNOFILE={DESCRIPTORS_MIN} in the service",
        )
    return passed("open files", "as many as a day wants may be open at once.")


def check_drill(folder: Path) -> Check:
    """The emergency stop is tried before it is needed: in a place of its own, on the day's disk.

    A HALT must close the gate that every entry passes before it is sent, and lifting it must open it;
    an order that gets out must carry the market protection without which Kite refuses it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".drill-", dir=_nearest(folder)) as place:
            halts = HaltFile(Path(place))
            before = halts.stands
            halts.write(HaltedBy.OPERATOR, "a drill", 1)
            halted = halts.stands
            halts.lift()
            after = halts.stands
    except (HouseError, OSError) as error:
        return failed(
            "drill",
            f"a HALT cannot be written: {error}".splitlines()[0],
            "make the folder writable, or use another --artifacts",
        )
    if before or after or not halted:
        return failed("drill", "a HALT does not stop entries here.", "report this; do not trade")
    asked = intent_fields(_WAY_OUT)
    if not asked.get("market_protection"):
        return failed("drill", "an exit would be refused by Kite.", "report this; do not trade")
    return passed("drill", "a HALT stops entries, and exits carry their protection.")


def check_limits(risk: RiskSettings, capital: Money | None, key: str) -> Check:
    """Every limit of risk must be computable from the capital that is named."""
    if capital is None:
        return failed(
            "limits",
            f"{key} is not set, so no limit can be computed; it is never guessed.",
            f"write {key} under trading: in the settings file, in rupees (such as 2 lakh)",
        )
    try:
        limits = resolve(risk, capital)
    except ConfigError as error:
        return failed("limits", error.what, error.do)
    if limits.daily_loss is None:
        return failed(
            "limits",
            "risk.max_daily_loss_pct is off: nothing would end a bad day.",
            "give it a value, such as 2%",
        )
    return passed(
        "limits",
        f"of {show_rupees(capital)}: a day may lose {show_rupees(limits.daily_loss)}, "
        f"a trade {show_rupees(limits.per_trade)}.",
    )


def check_token(store: TokenStore, now: Instant) -> Check:
    """Whether somebody is logged in at the broker, for our app, and until when."""
    try:
        token = store.token(now)
    except (NotLoggedIn, ConfigError) as error:
        return failed("token", error.what, error.do)
    whose = f" of {token.user_id}" if token.user_id else ""
    return passed("token", f"the session{whose} is good until {ist_text(token.dies_at)[:16]}.")


def check_instruments(dumps: InstrumentDumps, now: Instant) -> Check:
    """Whether today's list of instruments is kept already."""
    today = ist_date(now)
    try:
        kept = dumps.read(today)
    except HouseError as error:
        return failed("instruments", error.what, error.do)
    if kept is None or kept.head.fetched_at < instant(today, LIST_READY_AT):
        when = "it is fetched when the day starts"
        if now < instant(today, LIST_READY_AT):
            when = f"Kite has it ready after {LIST_READY_AT:%H:%M}"
        return unknown("instruments", f"today's list is not kept yet; {when}.")
    rows = sum(kept.head.counts.values())
    return passed("instruments", f"today's list is kept: {rows:,} rows.")


def check_addresses(sources: Mapping[str, str | None]) -> Check:
    """From which addresses this machine calls out, as far as it can tell by itself.

    ``sources`` are the machine's own source addresses by family. Behind a router the address that
    the broker sees is the router's, which only somebody outside could tell us.
    """
    shown: list[str] = []
    hidden = False
    for family, address in sources.items():
        if address is None:
            shown.append(f"{family} none")
        elif ipaddress.ip_address(address).is_global:
            shown.append(f"{family} {address}")
        else:
            hidden = True
            shown.append(f"{family} {address} (private: the broker sees your router's)")
    says = ", ".join(shown)
    if hidden or all(address is None for address in sources.values()):
        return unknown(
            "address",
            f"{says}. Orders are taken from registered addresses only, and which one the broker "
            "sees cannot be told from inside.",
            "compare the static IP in your app on developers.kite.trade with your provider's",
        )
    return passed("address", f"{says}; one of them must be registered with your app.")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def may_start(checks: Iterable[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.outcome is not Outcome.FAILED for check in checks)
