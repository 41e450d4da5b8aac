"""Bad input breaks nothing, and whoever is broken by it is caught: one planted mistake for each judge."""

import pytest

from kitestring.broker import kite_client, kite_frames, kite_texts, kite_wire
from kitestring.broker.kite_client import KiteClient
from kitestring.broker.kite_outcomes import Acked, definite_refusal
from kitestring.broker.kite_settings import Place, roots_from
from kitestring.broker.kite_wire import read_envelope
from kitestring.cli.config import parse_config
from kitestring.core.market_data_engine import MarketDataEngine
from kitestring.domain import yaml_lines
from kitestring.domain.errors import ConfigError
from kitestring.domain.ids import OrderId
from kitestring.exchange.desk.order_desk import OrderDesk
from kitestring.store import tape_reader
from kitestring.store.halt_file import HaltFile
from kitestring.store.tape_reader import TapeReader
from proof import bad_files
from proof.bad_input import TIERS
from proof.mutation import Chance, Hangs, bent_json, in_time
from proof.tier import Scale

BY_NAME = {tier.name: tier for tier in TIERS}


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_it_breaks_nothing(tier):
    outcome = tier.live(1, tier.size[Scale.TEST])
    assert outcome.units == tier.size[Scale.TEST]
    assert outcome.broken == (), outcome.broken[0].story
    assert tier.live(7, 3) == tier.live(7, 3)


def caught(name, count=None):
    tier = BY_NAME[name]
    found = tier.live(1, count or tier.size[Scale.TEST]).broken
    assert found, "the mistake was planted and not found"
    assert f"--tier {name} --unit {found[0].seed}" in found[0].again
    return found[0].story


# ── planted ──────────────────────────────────────────────────────────────────────────────────────


def test_a_price_that_anybody_believes_is_caught_at_the_strategys_door(monkeypatch):
    monkeypatch.setattr(MarketDataEngine, "_is_jump", lambda *_: False)
    assert "no two ticks agree" in caught("frames", 5_000)


def test_a_reader_that_breaks_at_a_cut_frame_is_caught(monkeypatch):
    class Other(Exception):
        pass

    monkeypatch.setattr(kite_frames, "FrameDamaged", Other)
    assert "Other" in caught("frames", 500)


def test_a_text_that_is_no_json_and_breaks_the_reader_is_caught(monkeypatch):
    monkeypatch.setattr(kite_texts, "UNREADABLE", (KeyError,))
    assert "Error" in caught("frames", 1_000)


def test_an_envelope_of_half_utf_8_that_is_believed_is_caught(monkeypatch):
    believed = kite_wire._envelope.decode

    def careless(body):
        try:
            return believed(body)
        except kite_wire.UNREADABLE:
            return None

    monkeypatch.setattr(kite_client, "read_envelope", careless)
    assert "it was believed" in caught("bodies", 2_500)


def test_an_acknowledgement_that_is_none_is_caught(monkeypatch):
    monkeypatch.setattr(KiteClient, "_outcome", lambda *_: Acked(order_id=OrderId("5")))
    assert "taken for an acknowledgement" in caught("bodies", 100)


def test_numbers_without_end_in_a_settings_file_are_caught(monkeypatch):
    monkeypatch.setattr(yaml_lines, "_DIGITS_MAX", 10**9)
    assert "4300 digits" in caught("configs", 50)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_anchors_that_multiply_are_caught(monkeypatch):
    monkeypatch.setattr(yaml_lines, "_NODES_MAX", 10**12)
    with pytest.raises(Hangs), in_time(1.0):
        yaml_lines.read_tree(bad_files._bomb(9), "bomb.yaml")


def test_a_tape_whose_checks_nobody_looks_at_is_caught(monkeypatch):
    def unchecked(self, until, after=0):
        content = self.path.read_bytes()
        offset = self._first_block
        while offset + tape_reader.BLOCK_HEAD <= len(content):
            length, _ = tape_reader.BLOCK.unpack_from(content, offset)
            offset += tape_reader.BLOCK_HEAD + length
            yield offset, content[offset - length : offset]

    monkeypatch.setattr(TapeReader, "_blocks", unchecked)
    assert "other records" in caught("tapes")


def test_a_halt_that_a_damaged_file_lifts_is_caught(monkeypatch):
    monkeypatch.setattr(HaltFile, "read", lambda self: None)
    assert "does not halt" in caught("journals")


def test_an_exchange_that_breaks_at_a_form_is_caught(monkeypatch):
    def breaks(*_, **__):
        raise ZeroDivisionError("a form nobody expected")

    monkeypatch.setattr(OrderDesk, "orders", breaks)
    assert "ZeroDivisionError" in caught("forms", 500)


# ── what was found ───────────────────────────────────────────────────────────────────────────────


def test_a_sentence_of_a_megabyte_is_not_searched():
    with in_time(1.0):
        assert definite_refusal(403, "PermissionException", "IP " * 30_000) is None
    assert definite_refusal(403, "PermissionException", "IP (1.2.3.4) is not allowed") is not None


def test_a_byte_that_is_no_utf_8_in_a_field_nobody_reads_is_no_answer():
    good = b'{"status":"success","data":[],"seen":"\xc3\xa9"}'
    assert read_envelope(good) is not None
    assert read_envelope(good.replace(b"\xa9", b"(")) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("paper:\n  seed: " + "9" * 5_000, "whole number"),
        ("a: " + "[" * 5_000, "too deeply"),
        ("a: " + "[" * 3_000 + "]" * 3_000, "too deeply"),
        (bad_files._bomb(9), "these anchors make more than"),
        ("risk: &r {}\ntrading: &r {}\n", "anchor is given twice"),
    ],
    ids=["digits", "open brackets", "deep", "anchors", "an anchor twice"],
)
def test_settings_that_python_would_have_complained_of(text, sentence):
    with pytest.raises(ConfigError, match=sentence), in_time():
        parse_config(text, "my.yaml")


def test_half_an_ipv6_address_is_no_address():
    with pytest.raises(ConfigError, match="no address"):
        roots_from(Place.LOCAL, "http://[::1", None, None)


def test_the_same_number_bends_the_same_way():
    tree = {"a": [1, 2.5, "x"], "b": {"c": None}}
    one, two = (bent_json(Chance(7, "x"), tree) for _ in range(2))
    assert one == two
    assert tree == {"a": [1, 2.5, "x"], "b": {"c": None}}
