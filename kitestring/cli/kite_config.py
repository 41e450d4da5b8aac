"""Section ``kite`` of the settings file: where Kite is and how long it may take. No secrets here."""

from __future__ import annotations

from typing import Final

import msgspec

from kitestring.broker.kite_settings import AddressFamily, KiteSettings, Place, TimeOf, roots_from
from kitestring.cli.config_words import Words
from kitestring.domain.errors import ConfigError
from kitestring.domain.yaml_lines import Tree

_ROOTS: Final = ("api_root", "ws_root", "login_root")
_SECONDS: Final = ("read_timeout_s", "write_timeout_s", "dump_timeout_s", "connect_timeout_s")
_KEYS: Final = ("profile", *_ROOTS, *_SECONDS, "address_family", "redirect_port", "clock")
_PORT_MAX: Final = 65_535


def kite_settings(tree: Tree | None, words: Words) -> KiteSettings:
    """The settings a file means; faults are noted with their line."""
    usual = KiteSettings()
    if tree is None:
        return usual
    rows = words.section(tree, "kite", _KEYS)
    profile = words.choice(rows.get("profile"), "kite.profile", Place, Place.KITE)
    given = [words.word(rows.get(name), f"kite.{name}") for name in _ROOTS]
    seconds = {
        name: words.number(rows[name], f"kite.{name}", getattr(usual, name))
        for name in _SECONDS
        if name in rows
    }
    port = words.whole(
        rows.get("redirect_port"), "kite.redirect_port", usual.redirect_port, least=1
    )
    if port > _PORT_MAX:
        words.fault(rows["redirect_port"], "kite.redirect_port", f"is no port: {port}")
    family = words.choice(
        rows.get("address_family"), "kite.address_family", AddressFamily, AddressFamily.ANY
    )
    clock = words.choice(rows.get("clock"), "kite.clock", TimeOf, TimeOf.MACHINE)
    try:
        roots = roots_from(profile, *given)
        settings = KiteSettings(
            api_root=roots.api,
            ws_root=roots.ws,
            login_root=roots.login,
            address_family=family,
            redirect_port=min(port, _PORT_MAX),
            clock=clock,
        )
        settings = msgspec.structs.replace(settings, **seconds)
    except ConfigError as wrong:
        words.fault(tree, "kite", f"is refused: {wrong.what.rstrip('.')}; {wrong.do.rstrip('.')}")
        return usual
    if "profile" in rows and settings.place is not profile:
        # Whoever writes `local` must not trade for real because of a forgotten address.
        words.fault(
            rows["profile"],
            "kite.profile",
            f"is {profile}, but {settings.api_root} is {settings.place}: correct one of them",
        )
    return settings
