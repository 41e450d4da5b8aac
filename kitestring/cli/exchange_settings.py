"""What a served exchange is made of: the typed command and its settings file, read strictly.

Every problem of the file is said in one go, with its line and the nearest right key. The keys of
``orders`` and ``switches`` cover what public sources on Kite leave open; docs/Exchange.md has all.
"""

from __future__ import annotations

import datetime as dt
import types
import typing
from pathlib import Path

import msgspec

from kitestring.cli.config_words import Words
from kitestring.domain.errors import ConfigError
from kitestring.domain.yaml_lines import Scalar, Sequence, Tree, read_tree
from kitestring.exchange.desk.opening_account import OpeningChoice
from kitestring.exchange.desk.order_settings import OrderSettings
from kitestring.exchange.desk.profile import Person
from kitestring.exchange.desk.sessions import App
from kitestring.exchange.local_exchange import READY_APP, ExchangeSettings, Switches
from kitestring.exchange.wire.feed_connection import FeedSettings

_TOP = ("start", "seed", "account", "charges", "fills", "person", "apps", "switches", "orders", "ticker", "faults")  # fmt: skip


_MONEY = ("account.cash", "account.commodity_cash", "account.paid_in")


class ExchangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The command, as typed."""

    port: int = 8010
    host: str = "127.0.0.1"
    tape: Path | None = None
    seed: int | None = None
    speed: str = "1"
    date: dt.date | None = None
    start: dt.time | None = None
    config: Path | None = None
    admin: bool = False
    faults: Path | None = None
    wire_ledger: Path | None = None


class ExchangeFile(msgspec.Struct, frozen=True, kw_only=True):
    """The settings file, checked; or the defaults, where there is none."""

    settings: ExchangeSettings = ExchangeSettings()
    ticker: FeedSettings = FeedSettings()
    start: dt.time | None = None
    faults: str = ""
    """The fault script's path, as written; empty for none."""


def load_exchange_file(path: Path) -> ExchangeFile:
    """Read and check a settings file. Raises ``ConfigError`` naming every problem in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(
            f"The settings file {path} cannot be read: {why or error}.",
            do="Name another with --config, or leave it out: the defaults serve a whole day.",
        ) from error
    name = str(path)
    words = Words(name, "docs/Exchange.md")
    top = words.section(read_tree(text, name), "", _TOP)
    default = ExchangeSettings()
    settings = ExchangeSettings(
        seed=words.whole(top.get("seed"), "seed", default.seed, least=0),
        account=_struct(top.get("account"), "account", OpeningChoice(), words),
        charges=words.word(top.get("charges"), "charges") or default.charges,
        fills=words.word(top.get("fills"), "fills") or default.fills,
        person=_struct(top.get("person"), "person", Person(), words),
        apps=_apps(top.get("apps"), words),
        switches=_struct(top.get("switches"), "switches", Switches(), words),
        orders=_struct(top.get("orders"), "orders", OrderSettings(), words),
    )
    file = ExchangeFile(
        settings=settings,
        ticker=_struct(top.get("ticker"), "ticker", FeedSettings(), words),
        start=words.time(top.get("start"), "start"),
        faults=words.word(top.get("faults"), "faults") or "",
    )
    words.raise_faults()
    return file


def _apps(tree: Tree | None, words: Words) -> tuple[App, ...]:
    if tree is None:
        return (READY_APP,)
    items = tree.items if isinstance(tree, Sequence) else (tree,)
    apps = tuple(_struct(item, f"apps.{n}", READY_APP, words) for n, item in enumerate(items))
    keys = [app.api_key for app in apps]
    if not apps or len(set(keys)) < len(keys):
        words.fault(tree, "apps", "must name at least one app, and each api_key once")
        return (READY_APP,)
    return apps


_Made = typing.TypeVar("_Made", bound=msgspec.Struct)


def _struct(tree: Tree | None, path: str, default: _Made, words: Words) -> _Made:
    """A section whose keys are the fields of a struct, each read as its type wants it."""
    rows = words.section(tree, path, type(default).__struct_fields__)
    hints = typing.get_type_hints(type(default))
    changed = {
        name: _value(row, f"{path}.{name}", hints[name], getattr(default, name), words)
        for name, row in rows.items()
    }
    return msgspec.structs.replace(default, **changed)


def _value(tree: Tree, path: str, kind: object, default: object, words: Words) -> object:
    """One value, checked against its field's type; a fault is noted, and the default stands in."""
    if kind == tuple[str, ...]:
        return words.names(tree, path)
    if kind is dt.time:
        return words.time(tree, path) or default
    if path in _MONEY:
        return words.rupees(tree, path) or default
    written = tree.value if isinstance(tree, Scalar) else None
    if kind is str and isinstance(tree, Scalar):
        return tree.text.strip()
    try:
        return msgspec.convert(written, kind)
    except msgspec.ValidationError:
        words.fault(tree, path, f"must be {_kind_text(kind)}; it is {_shown(tree)}")
        return default


def _kind_text(kind: object) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(str(each) for each in typing.get_args(kind))
    if isinstance(kind, types.UnionType):
        return " or ".join(_kind_text(each) for each in typing.get_args(kind))
    named = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return next((words for each, words in named.items() if each is kind), str(kind))


def _shown(tree: Tree) -> str:
    return tree.text if isinstance(tree, Scalar) else "a list or a section"
