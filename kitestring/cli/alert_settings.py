"""Section ``alerts`` of the settings file: which kinds go out by which way, and where secrets are.

Tokens, and addresses that are secrets themselves, come from the environment or from
``secrets/alerts.env`` (``NAME=value`` lines, readable by the user only), never from the settings.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping as Named
from pathlib import Path

import msgspec

from kitestring.cli.config_words import Words
from kitestring.domain.errors import ConfigError
from kitestring.domain.yaml_lines import Scalar, Sequence, Tree
from kitestring.engine.alert_channels import (
    ALL_KINDS,
    DEADLINE_S,
    TELEGRAM_ROOT,
    TELEGRAM_TOKEN,
    Channel,
    CommandChannel,
    Secret,
    TelegramChannel,
    WebhookChannel,
    address_fault,
)
from kitestring.engine.alerts import AlertKind

SECRETS_FILE = Path("secrets") / "alerts.env"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEADLINE_MAX_S = 60.0


class WayOut(msgspec.Struct, frozen=True, kw_only=True):
    """What every way out has in common."""

    kinds: frozenset[AlertKind] = ALL_KINDS
    deadline_s: float = DEADLINE_S


class CommandConfig(WayOut, frozen=True, kw_only=True):
    """``alerts.command``."""

    run: tuple[str, ...]


class WebhookConfig(WayOut, frozen=True, kw_only=True):
    """``alerts.webhook``: an address, or the name of the variable that holds one."""

    url: str = ""
    url_env: str = ""


class TelegramConfig(WayOut, frozen=True, kw_only=True):
    """``alerts.telegram``; the token is a variable of the environment."""

    chat: str
    api_root: str = TELEGRAM_ROOT


class AlertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Section ``alerts``; empty by default: nothing is told to anybody."""

    command: CommandConfig | None = None
    webhook: WebhookConfig | None = None
    telegram: TelegramConfig | None = None


def alert_config(tree: Tree | None, words: Words) -> AlertConfig:
    """Read the section; whatever is wrong with it is noted."""
    rows = words.section(tree, "alerts", AlertConfig.__struct_fields__)
    return AlertConfig(
        command=_command(rows["command"], words) if "command" in rows else None,
        webhook=_webhook(rows["webhook"], words) if "webhook" in rows else None,
        telegram=_telegram(rows["telegram"], words) if "telegram" in rows else None,
    )


def alert_channels(
    config: AlertConfig, environment: Named[str, str], secrets: Path = SECRETS_FILE
) -> tuple[Channel, ...]:
    """The ways out with their secrets. Raises ``ConfigError`` where one is missing or wrong."""
    channels: list[Channel] = []
    if config.command is not None:
        row = config.command
        channels.append(CommandChannel(run=row.run, kinds=row.kinds, deadline_s=row.deadline_s))
    if config.webhook is not None:
        hook = config.webhook
        url = Secret(hook.url)
        if hook.url_env:
            url = _secret(hook.url_env, "alerts.webhook", environment, secrets)
            if fault := address_fault(url.reveal()):
                raise ConfigError(f"The address in {hook.url_env}, for alerts.webhook, {fault}.")
        channels.append(WebhookChannel(url=url, kinds=hook.kinds, deadline_s=hook.deadline_s))
    if config.telegram is not None:
        bot = config.telegram
        channels.append(
            TelegramChannel(
                chat=bot.chat,
                token=_secret(TELEGRAM_TOKEN, "alerts.telegram", environment, secrets),
                api_root=bot.api_root,
                kinds=bot.kinds,
                deadline_s=bot.deadline_s,
            )
        )
    return tuple(channels)


def configured_channels(config: AlertConfig) -> tuple[Channel, ...]:
    """``alert_channels`` with the environment of this program."""
    return alert_channels(config, os.environ)


def _secret(name: str, wanted_by: str, environment: Named[str, str], path: Path) -> Secret:
    text = environment.get(name) or _kept(path).get(name)
    if not text:
        raise ConfigError(
            f"{wanted_by} needs {name}, and it is neither in the environment nor in {path}.",
            do=f"export {name}=..., or write that line into {path} and chmod 600 it.",
        )
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        raise ConfigError(f"{name}, for {wanted_by}, holds a blank or an unprintable character.")
    return Secret(text)


def _kept(path: Path) -> dict[str, str]:
    """``NAME=value`` lines of a file that only its owner reads; none if there is no such file."""
    try:
        mode = path.stat().st_mode
        if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path} can be read by others.", do=f"chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}).") from None
    rows = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): text.strip().strip("\"'") for name, _, text in rows}


def _command(tree: Tree, words: Words) -> CommandConfig:
    path = "alerts.command"
    rows = words.section(tree, path, CommandConfig.__struct_fields__)
    run: tuple[str, ...] = ()
    given = rows.get("run")
    if isinstance(given, Sequence) and given.items:
        run = tuple(item.text for item in given.items if isinstance(item, Scalar) and item.text)
    if not run or not isinstance(given, Sequence) or len(run) < len(given.items):
        words.fault(
            given or tree,
            f"{path}.run",
            "must be a list: the program and its arguments, such as [notify-send, Kitestring]",
        )
    return CommandConfig(
        run=run, kinds=_kinds(rows, path, words), deadline_s=_deadline(rows, path, words)
    )


def _webhook(tree: Tree, words: Words) -> WebhookConfig:
    path = "alerts.webhook"
    rows = words.section(tree, path, WebhookConfig.__struct_fields__)
    url, name = (_text(rows.get(key)) for key in ("url", "url_env"))
    if bool(url) == bool(name):
        words.fault(
            tree, path, "needs `url:`, or `url_env:` with the name of the variable that holds it"
        )
    elif url and (fault := address_fault(url)):
        words.fault(rows["url"], f"{path}.url", fault)
    elif url and "?" in url:
        words.fault(
            rows["url"],
            f"{path}.url",
            "has a query, which is often a secret; put the address into the environment and name "
            "the variable with `url_env:`",
        )
    elif name and not _VARIABLE.fullmatch(name):
        words.fault(rows["url_env"], f"{path}.url_env", "must be the name of a variable")
    return WebhookConfig(
        url=url,
        url_env=name,
        kinds=_kinds(rows, path, words),
        deadline_s=_deadline(rows, path, words),
    )


def _telegram(tree: Tree, words: Words) -> TelegramConfig:
    path = "alerts.telegram"
    rows = words.section(tree, path, TelegramConfig.__struct_fields__)
    chat, root = _text(rows.get("chat")), _text(rows.get("api_root")) or TELEGRAM_ROOT
    if not chat:
        words.fault(rows.get("chat", tree), f"{path}.chat", "must be the number of your chat")
    if fault := address_fault(root):
        words.fault(rows["api_root"], f"{path}.api_root", fault)
    return TelegramConfig(
        chat=chat,
        api_root=root.rstrip("/"),
        kinds=_kinds(rows, path, words),
        deadline_s=_deadline(rows, path, words),
    )


def _text(tree: Tree | None) -> str:
    return tree.text.strip() if isinstance(tree, Scalar) else ""


def _kinds(rows: dict[str, Tree], path: str, words: Words) -> frozenset[AlertKind]:
    """A list of kinds; ``day_summary`` is ``day summary``. All of them if left out."""
    tree = rows.get("kinds")
    if tree is None:
        return ALL_KINDS
    kinds: set[AlertKind] = set()
    for written in words.names(tree, f"{path}.kinds"):
        word = written.lower().replace("_", " ")
        if word in set(AlertKind):
            kinds.add(AlertKind(word))
        else:
            words.unknown(tree, f"{path}.kinds", written, AlertKind)
    return frozenset(kinds)


def _deadline(rows: dict[str, Tree], path: str, words: Words) -> float:
    tree = rows.get("deadline_s")
    if tree is None:
        return DEADLINE_S
    seconds = words.number(tree, f"{path}.deadline_s", DEADLINE_S)
    if seconds > _DEADLINE_MAX_S:
        words.fault(tree, f"{path}.deadline_s", f"must be at most {_DEADLINE_MAX_S:g} seconds")
    return seconds
