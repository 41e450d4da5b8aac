"""Which addresses the house may send a token to: Zerodha's own over TLS, or this machine."""

import pytest

from kitestring.broker.kite_settings import (
    AddressFamily,
    KiteSettings,
    Place,
    is_loopback,
    local_settings,
    roots_from,
)
from kitestring.domain.errors import ConfigError

SANDBOX = {
    "api_root": "https://sandbox.kite.trade",
    "ws_root": "wss://ws-sandbox.kite.trade",
    "login_root": "https://sandbox.kite.trade",
}


def test_without_a_word_it_is_the_real_kite():
    settings = KiteSettings()
    assert settings.place is Place.KITE
    assert settings.url("/orders") == "https://api.kite.trade/orders"
    assert (settings.ws_root, settings.login_root) == (
        "wss://ws.kite.trade",
        "https://kite.zerodha.com",
    )
    assert settings.address_family is AddressFamily.ANY


def test_the_sandbox_has_other_paths():
    settings = KiteSettings(**SANDBOX)
    assert settings.place is Place.SANDBOX
    assert settings.url("/orders/regular") == "https://sandbox.kite.trade/oms/orders/regular"
    assert settings.url("/instruments/NSE") == "https://sandbox.kite.trade/instruments/NSE"


@pytest.mark.parametrize(
    "root",
    ["http://127.0.0.1:8010", "http://localhost:8010/", "http://[::1]:1", "https://127.1.2.3"],
)
def test_this_machine_may_be_plain(root):
    settings = local_settings(root)
    assert settings.place is Place.LOCAL
    assert settings.ws_root.startswith(("ws://", "wss://"))
    assert settings.url("/orders") == f"{root.rstrip('/')}/orders"


@pytest.mark.parametrize(
    "root",
    [
        "http://api.kite.trade",
        "https://api.kite.trade.example.com",
        "https://example.com",
        "https://kite.zerodha.com",
        "https://api.kite.trade:8443",
        "https://api.kite.trade/v3",
        "https://user:hidden@api.kite.trade",
        "https://api.kite.trade?x=1",
        "https://api.kite.trade#x",
        "https://api.kite.trade@example.com",
        "https://api.kite.trade\\@example.com",
        "https://127.0.0.1.example.com",
        "https://127.0.0.1@example.com",
        "http://10.0.0.1",
        "http://0.0.0.0:8010",
        "https://аpi.kite.trade",
        "ftp://127.0.0.1",
        "ws://127.0.0.1:8010",
        "//127.0.0.1",
        "127.0.0.1:8010",
        "https://",
        "https://[::1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1 ",
        "",
    ],
)  # fmt: skip
def test_any_other_address_is_refused(root):
    with pytest.raises(ConfigError) as caught:
        KiteSettings(
            api_root=root, ws_root="ws://127.0.0.1:8010", login_root="http://127.0.0.1:8010"
        )
    assert "kite.api_root" in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "→" in str(caught.value)


def test_the_ticker_needs_its_own_schemes():
    for root in ("ws://ws.kite.trade", "https://ws.kite.trade", "wss://api.kite.trade"):
        with pytest.raises(ConfigError, match="ws_root"):
            KiteSettings(ws_root=root)


def test_three_addresses_of_two_exchanges_are_refused():
    with pytest.raises(ConfigError, match="different exchanges"):
        KiteSettings(api_root="http://127.0.0.1:8010")
    with pytest.raises(ConfigError, match="different exchanges"):
        KiteSettings(ws_root="ws://127.0.0.1:8010")
    with pytest.raises(ConfigError, match="different exchanges"):
        KiteSettings(**SANDBOX | {"ws_root": "wss://ws.kite.trade"})


def test_what_a_file_leaves_out_follows_from_what_it_gives():
    local = roots_from(Place.KITE, "http://127.0.0.1:8010", None, None)
    assert (local.ws, local.login) == ("ws://127.0.0.1:8010", "http://127.0.0.1:8010")
    assert roots_from(Place.SANDBOX, None, None, None).api == "https://sandbox.kite.trade"
    assert roots_from(Place.KITE, None, None, None).ws == "wss://ws.kite.trade"
    with pytest.raises(ConfigError, match="no address"):
        roots_from(Place.LOCAL, None, None, None)


@pytest.mark.parametrize("seconds", [0, -1, 301, float("nan"), float("inf")])
def test_a_call_has_a_deadline(seconds):
    with pytest.raises(ConfigError, match="read_timeout_s"):
        KiteSettings(read_timeout_s=seconds)


def test_loopback_is_told_without_looking_up():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(
        map(is_loopback, ("localhost.example.com", "0.0.0.0", "::", "", None, "128.0.0.1"))
    )
