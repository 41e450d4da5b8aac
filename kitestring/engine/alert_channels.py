"""The ways an alert leaves the house: a command, a webhook, a Telegram message.

Each has a deadline, follows no redirect, asks no proxy of the environment, and ends in words: an
empty sentence, or why it was not delivered. Addresses and tokens are secrets: no sentence, no
``repr`` and no exception that leaves this file shows one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from kitestring.domain.instants import ist
from kitestring.engine.alerts import Alert, AlertKind

if TYPE_CHECKING:
    import aiohttp

DEADLINE_S: Final = 10.0
TELEGRAM_ROOT: Final = "https://api.telegram.org"
TELEGRAM_TOKEN: Final = "KITESTRING_TELEGRAM_TOKEN"  # noqa: S105 - the name of a variable
ALL_KINDS: Final = frozenset(AlertKind)
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
TEXT_MAX: Final = 3500
"""Characters of one message; Telegram takes 4096."""
_NOT_FOR_COMMANDS: Final = re.compile(
    r"^(KITE_|KITESTRING_)|SECRET|TOKEN|PASSW|TOTP|API_?KEY", re.IGNORECASE
)
"""Variables of our environment that a command does not inherit."""


class Secret:
    """A text that shows itself only to whoever asks for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the wire, nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a channel tells: whatever was waiting, oldest first."""

    title: str
    """Which house and which day speaks: ``Kitestring paper 2026-11-20``."""
    alerts: tuple[Alert, ...]
    dropped: int = 0
    """Alerts that were lost to a full queue before these."""

    @property
    def text(self) -> str:
        """The message as a person reads it on a phone; too long, it is the fills that are cut."""
        text = self._text(self.alerts)
        if len(text) <= TEXT_MAX:
            return text
        fills_last = sorted(self.alerts, key=lambda alert: alert.kind is AlertKind.FILL)
        return f"{self._text(fills_last)[: TEXT_MAX - 1]}…"

    def _text(self, alerts: Iterable[Alert]) -> str:
        lines = [self.title]
        if self.dropped:
            lines.append(f"({self.dropped} earlier alerts were dropped: too many at once.)")
        lines += [
            f"{alert.kind.upper()}{f' ×{alert.count}' if alert.count > 1 else ''}: {alert.text}"
            for alert in alerts
        ]
        return "\n".join(lines)

    def rows(self) -> dict[str, object]:
        """The message for a program; ``text`` is what chat services show."""
        return {
            "text": self.text,
            "title": self.title,
            "dropped": self.dropped,
            "alerts": [
                {
                    "kind": alert.kind,
                    "number": alert.number,
                    "at": ist(alert.at).isoformat(),
                    "count": alert.count,
                    "text": alert.text,
                }
                for alert in self.alerts
            ],
        }


class Channel(Protocol):
    """One way out."""

    @property
    def name(self) -> str:
        """As the settings file calls it."""
        ...

    @property
    def kinds(self) -> frozenset[AlertKind]:
        """What is told on it."""
        ...

    async def send(self, message: Message) -> str:
        """Deliver; empty, or why it was not delivered. Raises nothing but a cancellation."""
        ...


class CommandChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the user's: the text on stdin and in ``KITESTRING_ALERT``; never through a shell."""

    run: tuple[str, ...]
    kinds: frozenset[AlertKind] = ALL_KINDS
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """See ``Channel``."""
        return "command"

    async def send(self, message: Message) -> str:
        """See ``Channel``. What the program prints is ignored; at the deadline it is killed."""
        text = message.text
        try:
            program = await asyncio.create_subprocess_exec(
                *self.run,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(message, text),
                start_new_session=True,  # Ctrl-C in our terminal is not meant for it
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            return f"it could not be started: {why or type(error).__name__}"
        try:
            async with asyncio.timeout(self.deadline_s):
                await program.communicate(text.encode())
        except TimeoutError:
            return f"it did not end within {self.deadline_s:g} s and was killed"
        finally:
            await _end(program)
        return "" if program.returncode == 0 else f"it ended with code {program.returncode}"


class WebhookChannel(msgspec.Struct, frozen=True, kw_only=True):
    """JSON, posted to an address of the user's."""

    url: Secret
    kinds: frozenset[AlertKind] = ALL_KINDS
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """See ``Channel``."""
        return "webhook"

    async def send(self, message: Message) -> str:
        """See ``Channel``."""
        return await _post(self.url, message.rows(), self.deadline_s)


class TelegramChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the user's own Telegram bot."""

    chat: str
    token: Secret
    api_root: str = TELEGRAM_ROOT
    kinds: frozenset[AlertKind] = ALL_KINDS
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """See ``Channel``."""
        return "telegram"

    async def send(self, message: Message) -> str:
        """See ``Channel``."""
        url = Secret(f"{self.api_root}/bot{self.token.reveal()}/sendMessage")
        rows: dict[str, object] = {"chat_id": self.chat, "text": message.text}
        why = await _post(url, rows, self.deadline_s)
        if why.endswith((" 401", " 404")):
            why += f"; is {TELEGRAM_TOKEN} the bot's token?"
        elif why.endswith((" 400", " 403")):
            why += "; is `chat` right, and has the bot been written to once?"
        return why


def address_fault(url: str) -> str:
    """Why nothing is posted to an address; empty if it may be: https, or this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no web address"
    if parts.scheme not in {"http", "https"} or not host:
        return "is no web address; it begins with https://"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "must begin with https://; plain http is for this machine only"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or password"
    return ""


def _environment(message: Message, text: str) -> Mapping[str, str]:
    ours = {name: value for name, value in os.environ.items() if not _NOT_FOR_COMMANDS.search(name)}
    kinds = dict.fromkeys(alert.kind.value for alert in message.alerts)
    return {**ours, "KITESTRING_ALERT": text, "KITESTRING_ALERT_KIND": ", ".join(kinds)}


async def _end(program: asyncio.subprocess.Process) -> None:
    """Leave nothing behind that our deadline has overtaken: it and what it started."""
    if program.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(program.pid, signal.SIGKILL)
        else:
            program.kill()
    await program.wait()


async def _post(url: Secret, rows: Mapping[str, object], deadline_s: float) -> str:
    """POST JSON; empty, or why it was not taken, without a word of the address beyond its host."""
    import aiohttp  # noqa: PLC0415 - a day without webhooks does not wait for it

    timeout = aiohttp.ClientTimeout(total=deadline_s)
    session: aiohttp.ClientSession
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.post(url.reveal(), json=rows, allow_redirects=False) as answer,
        ):
            return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
    except TimeoutError:
        return f"no answer within {deadline_s:g} s"
    except aiohttp.ClientSSLError:
        return "it could not prove its name (TLS)"
    # The library's own sentences may show the address, and the address may be a secret.
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"it could not be reached ({type(error).__name__})"
