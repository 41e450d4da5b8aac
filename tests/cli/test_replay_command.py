"""``kitestring replay DAY``: the same day again, or the first event at which it is not."""

import json

import pytest
from answered_days import ask, trade

from kitestring.core.exits import Exits
from kitestring.market.charges import FlatCharges, charge_book, charges_of_name


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    artifacts = tmp_path_factory.mktemp("replayed") / "artifacts"
    trade(artifacts, charge_book=FlatCharges(300))
    return artifacts


def test_a_day_is_decided_again_bit_for_bit(traded):
    code, said, _ = ask("replay", "2026-11-20", "--artifacts", traded)
    assert code == 0
    assert "decided again bit for bit" in said
    code, answer, _ = ask("replay", "plainday", "--artifacts", traded, "--json")
    replayed = json.loads(answer)["replayed"]
    assert code == 0
    assert replayed["difference"] is None
    assert replayed["commits"] > 20
    assert replayed["cut_short"] == ""


def test_a_changed_line_is_found_at_the_event_it_changed(traded, monkeypatch):
    real = Exits.trail
    monkeypatch.setattr(Exits, "trail", lambda self, book, close: real(self, book, close + 10_000))
    code, said, _ = ask("replay", "--artifacts", traded)
    assert code == 1
    assert "Then they part at event" in said
    assert "(timer of 09:" in said.replace("\n", " ")


def test_a_strategy_that_was_changed_since_is_named(tmp_path):
    trade(tmp_path, hashed="0" * 64, charge_book=FlatCharges(300))
    code, said, _ = ask("replay", "--artifacts", tmp_path)
    assert code == 0, "the text differs, what it says does not"
    assert said.startswith("ema_cross is no longer the file it was on that day")


def test_a_day_of_charges_that_no_row_names_is_refused_and_not_guessed(answered):
    code, _, complaint = ask("replay", "plainday", "--artifacts", answered)
    assert code == 2
    assert "'twenty' is neither zerodha nor a flat percentage" in complaint


def test_the_day_of_the_rates_is_read_from_their_name():
    import datetime as dt

    book = charge_book(dt.date(2026, 11, 20))
    assert charges_of_name(book.name).day == book.day
    assert charges_of_name("flat 0.03%").parts_per_million == 300
