"""Section ``kite`` of the settings file: strict, with its lines, and without secrets."""

import pytest

from kitestring.broker.kite_settings import AddressFamily, KiteSettings, Place, TimeOf
from kitestring.cli.config import parse_config
from kitestring.domain.errors import ConfigError


def kite(text):
    return parse_config(text, "live.yaml").config.kite


def test_left_out_it_is_the_real_kite():
    assert kite("trading: {mode: paper}\n") == KiteSettings()


def test_a_rehearsal_names_one_address():
    settings = kite("kite:\n  api_root: http://127.0.0.1:8010\n  read_timeout_s: 2\n")
    assert settings.place is Place.LOCAL
    assert settings.ws_root == "ws://127.0.0.1:8010"
    assert settings.read_timeout_s == 2


def test_a_rehearsal_may_go_by_the_exchanges_clock_and_nobody_else_may():
    settings = kite("kite: {api_root: http://127.0.0.1:8010, clock: exchange}\n")
    assert settings.clock is TimeOf.EXCHANGE
    assert kite("kite: {profile: sandbox}\n").clock is TimeOf.MACHINE
    with pytest.raises(ConfigError, match=r"live.yaml:1: kite is refused: kite.clock is exchange"):
        kite("kite: {clock: exchange}\n")


def test_the_sandbox_is_a_profile():
    settings = kite("kite: {profile: sandbox, address_family: ipv4, redirect_port: 5000}\n")
    assert settings.place is Place.SANDBOX
    assert settings.address_family is AddressFamily.IPV4
    assert settings.redirect_url == "http://127.0.0.1:5000/"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kite:\n  api_rot: http://127.0.0.1\n",
            "live.yaml:2: kite does not know api_rot; did you",
        ),
        ("kite:\n  api_key: abc\n", "live.yaml:2: kite.api_key is a credential"),
        ("kite:\n  api_root: http://api.kite.trade\n", "reached by https://"),
        ("kite:\n  api_root: https://example.com\n", "neither Kite's nor this machine"),
        ("kite:\n  ws_root: ws://127.0.0.1:8010\n", "different exchanges"),
        ("kite:\n  profile: local\n", "no address is given"),
        ("kite:\n  profile: local\n  api_root: https://api.kite.trade\n", "correct one of them"),
        ("kite:\n  profile: kite\n  api_root: http://127.0.0.1:1\n", "correct one of them"),
        ("kite:\n  profile: sandbocks\n", "did you mean sandbox"),
        ("kite:\n  write_timeout_s: 900\n", "up to 300 seconds"),
        ("kite:\n  write_timeout_s: soon\n", "kite.write_timeout_s must be a number above zero"),
        ("kite:\n  address_family: ipv5\n", "kite.address_family"),
        ("kite:\n  redirect_port: 70000\n", "is no port"),
        ("kite: https://api.kite.trade\n", "must be a section"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, said):
    with pytest.raises(ConfigError) as caught:
        kite(text)
    assert said in str(caught.value)
    assert "live.yaml:" in str(caught.value)
    assert "abc" not in str(caught.value)
