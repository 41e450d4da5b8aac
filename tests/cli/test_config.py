"""The settings file: the seed's keys work, and every mistake is named with its line."""

import contextlib
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitestring.cli.config import (
    DEFAULT_FILE,
    Engines,
    FillModel,
    Mode,
    SegmentWord,
    load_config,
    parse_config,
)
from kitestring.core.settings import RiskSettings
from kitestring.domain.errors import ConfigError
from kitestring.domain.money import money
from kitestring.domain.orders import Product

SEED_PAPER = """
trading:
  mode: "paper"
  paper_capital: 500000
  logical_universe:
    - "NIFTY"
    - "BANKNIFTY"
"""
SEED_LIVE = """
trading:
  mode: "live"
  logical_universe:
    - "NIFTY"
    - "BANKNIFTY"

risk:
  max_daily_loss_pct: 0.02
  per_trade_risk_pct: 0.0025
"""


def config(text):
    return parse_config(text, "my.yaml").config


def complaint(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "my.yaml")
    return caught.value.what


def test_the_seeds_paper_settings_work_word_for_word():
    trading = config(SEED_PAPER).trading
    assert trading.mode is Mode.PAPER
    assert int(trading.paper_capital) == 5_000_000_000
    assert trading.logical_universe == ("NIFTY", "BANKNIFTY")


def test_the_seeds_live_settings_are_read_word_for_word():
    read = config(SEED_LIVE)
    assert read.trading.mode is Mode.LIVE
    assert read.risk.max_daily_loss_pct == 0.02
    assert read.risk.per_trade_risk_pct == 0.0025


def test_without_strategies_the_shipped_ones_trade_the_whole_universe():
    named = [(entry.strategy, entry.instruments) for entry in config(SEED_PAPER).strategies]
    assert named == [
        ("ema_trend", ("NIFTY", "BANKNIFTY")),
        ("opening_range_breakout", ("NIFTY", "BANKNIFTY")),
    ]


def test_an_empty_file_is_a_paper_day_of_the_house():
    read = config("# nothing yet\n")
    assert read.trading.mode is Mode.PAPER
    assert read.trading.engines is Engines.ALL
    assert read.paper.fill_model is FillModel.MARKET
    assert read.paper.charges == "zerodha"


def test_the_shipped_file_is_in_order():
    read = load_config(DEFAULT_FILE).config
    assert {"NIFTY", "BANKNIFTY", "RELIANCE"} <= set(read.trading.logical_universe)
    assert {entry.strategy for entry in read.strategies} == {
        "ema_trend",
        "opening_range_breakout",
    }


def test_a_whole_entry_of_strategies_is_read():
    read = config("""
trading: {logical_universe: [NIFTY, RELIANCE]}
strategies:
  - strategy: ema_trend
    name: slow
    instruments: [NIFTY]
    signal_from: NIFTY index
    timeframe: 15m
    params: {fast: 9, slow: 21, trail: 1.5, long_only: true, when: 15:30}
    product: NRML
    lots: 2
    trade_between: ["09:20", 15:00]
  - strategy: ema_trend
    instruments: RELIANCE
    capital: 2 lakh
    product: cnc
    timeframe: day
""")
    first, second = read.strategies
    assert (first.name, first.instruments, first.signal_from) == ("slow", ("NIFTY",), "NIFTY INDEX")
    assert first.minutes == 15
    assert first.params == {
        "fast": 9, "slow": 21, "trail": 1.5, "long_only": True, "when": "15:30",
    }  # fmt: skip
    assert (first.product, first.lots, first.capital) == (Product.NRML, 2, None)
    assert (first.entry_from, first.entry_until) == (dt.time(9, 20), dt.time(15, 0))
    assert (first.loss_max, first.fresh_signal) == (None, False)
    assert (first.max_reentries, first.wait_minutes) == (None, 0)
    assert (second.minutes, second.product) == (0, Product.CNC)
    assert int(second.capital) == 2_000_000_000


@pytest.mark.parametrize(
    ("written", "rupees"),
    [
        ("4000", 4_000),
        ("₹4,000", 4_000),
        ("₹50", 50),
        ("2%", 4_000),
        ("0.02", 4_000),
        ("0.1 lakh", 10_000),
    ],
)
def test_a_strategys_own_loss_is_rupees_or_a_part_of_its_capital(written, rupees):
    (entry,) = config(
        f"strategies: [{{strategy: ema_trend, capital: 2 lakh, loss_max: {written!r}}}]"
        if written[0] == "₹"
        else f"strategies:\n  - {{strategy: ema_trend, capital: 2 lakh, loss_max: {written}}}"
    ).strategies
    assert entry.loss_max == money(rupees)


def test_without_its_own_capital_the_part_is_of_the_accounts():
    text = SEED_PAPER + "strategies: [{strategy: ema_trend, lots: 1, loss_max: 1%}]"
    assert config(text).strategies[0].loss_max == money(5_000)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("loss_max: 2", "loss_max is a fraction of capital, and 2 would be 200 %"),
        ("loss_max: 3 lakh", "loss_max is more than all of ₹2,00,000.00; it is 3 lakh"),
        ("loss_max: much", "loss_max must be a part of capital"),
        ("max_reentries: -1", "max_reentries must be a whole number of at least 0; it is -1"),
        ("wait_minutes: 1.5", "wait_minutes must be a whole number of at least 0; it is 1.5"),
        ("fresh_signal: yes", "fresh_signal must be true or false; it is yes"),
        ("reentries: 2", "does not know reentries; did you mean max_reentries?"),
    ],
)
def test_a_rule_of_re_entry_that_cannot_be_meant_is_named(line, sentence):
    text = f"strategies:\n  - strategy: ema_trend\n    capital: 2 lakh\n    {line}\n"
    assert f"my.yaml:4: strategies.0{'' if 'reentries: 2' in line else '.'}" in complaint(text)
    assert sentence in complaint(text)


def test_the_rules_of_re_entry_are_read():
    (entry,) = config(
        "strategies: [{strategy: ema_trend, fresh_signal: true, max_reentries: 0, wait_minutes: 15}]"
    ).strategies
    assert (entry.fresh_signal, entry.max_reentries, entry.wait_minutes) == (True, 0, 15)


def test_a_time_of_day_is_never_a_number():
    cutoffs = config("sessions: {futures: {entry_cutoff: 15:10, square_off: 15:30}}").sessions
    assert cutoffs[SegmentWord.FUTURES].square_off == dt.time(15, 30)


@pytest.mark.parametrize(
    ("written", "rupees"),
    [
        ("500000", 500_000),
        ("5_00_000", 500_000),
        ("₹5,00,000", 500_000),
        ("Rs. 500000", 500_000),
        ("5 lakh", 500_000),
        ("1.5 crore", 15_000_000),
        ("499999.50", 499_999.5),
    ],
)
def test_capital_is_read_as_people_write_it(written, rupees):
    capital = config(f"trading: {{paper_capital: '{written}'}}").trading.paper_capital
    assert int(capital) == rupees * 10_000


@pytest.mark.parametrize("written", ["0", "-5", "lots", "", "1e6", "5 lakhs extra", "[1]", "true"])
def test_capital_that_is_no_amount_is_refused(written):
    assert "my.yaml:2: trading.paper_capital must be rupees above zero" in complaint(
        f"trading:\n  paper_capital: {written}\n"
    )


@pytest.mark.parametrize(
    ("written", "fraction"),
    [("0.02", 0.02), ("2%", 0.02), ("2 %", 0.02), ("₹10000", 0.02), ("1", 1.0)],
)
def test_a_limit_is_a_fraction_a_percentage_or_rupees(written, fraction):
    read = config(f"trading: {{paper_capital: 500000}}\nrisk: {{max_daily_loss_pct: {written}}}")
    assert read.risk.max_daily_loss_pct == fraction


def test_two_percent_written_as_2_is_not_taken_for_two_hundred():
    said = complaint("risk:\n  max_daily_loss_pct: 2\n")
    assert said == (
        "my.yaml:2: risk.max_daily_loss_pct is a fraction of capital, and 2 would be 200 %; "
        "write 2% or 0.02."
    )


@pytest.mark.parametrize("written", ["0", "-0.01", "101%", "₹600000", ".nan", "much", "'%'"])
def test_a_limit_that_limits_nothing_is_refused(written):
    assert "risk.max_daily_loss_pct" in complaint(
        f"trading: {{paper_capital: 500000}}\nrisk:\n  max_daily_loss_pct: {written}\n"
    )


def test_a_limit_can_be_switched_off_by_saying_so():
    read = config("risk: {max_drawdown_pct: off, max_open_positions: }")
    assert read.risk.max_drawdown_pct is None
    assert read.risk.max_open_positions is None


def test_the_risk_of_a_trade_cannot_be_switched_off():
    assert "risk.per_trade_risk_pct" in complaint("risk: {per_trade_risk_pct: off}")


def test_every_limit_of_the_core_can_be_set():
    for name in RiskSettings.__struct_fields__:
        value = getattr(RiskSettings(), name)
        assert getattr(config(f"risk: {{{name}: {value}}}").risk, name) == value


def test_a_misspelt_key_is_named_with_file_line_and_the_nearest_right_one():
    assert complaint("trading:\n  mode: paper\nrisk:\n  max_daily_loss_pc: 0.02\n") == (
        "my.yaml:4: risk does not know max_daily_loss_pc; did you mean max_daily_loss_pct?"
    )


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    said = complaint("""\
trading:
  mode: papr
  paper_capital: none
strategies:
  - strategy: ema_trend
    timeframe: 7m
    lots: 1
    capital: 1 lakh
  - name: nameless
sesions: {}
""")
    assert said.splitlines()[0] == "6 settings in my.yaml are wrong:"
    lines = [int(row.split(":")[1]) for row in said.splitlines()[1:]]
    assert lines == [2, 3, 6, 8, 9, 10]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("strategies: []", "strategies is empty"),
        ("strategies: {a: 1}", "strategies must be a list"),
        ("trading: 5", "trading must be a section"),
        ("trading: {logical_universe: [NIFTY, NIFTY]}", "names NIFTY twice"),
        ("trading: {mode: }", "trading.mode does not know"),
        ("risk: {cooldown_minutes: 1.5}", "must be a whole number of at least 0; it is 1.5"),
        ("risk: {max_open_positions: true}", "must be a whole number of at least 1"),
        ("risk: {stale_after_s: .inf}", "must be a number above zero"),
        ("paper: {charges: flat}", "must be `zerodha` or `flat 0.03%`"),
        ("paper: {charges: flat 0.00003%}", "at most four decimals"),
        ("paper: {fill_model: instnt}", "did you mean instant?"),
        ("paper: {seed: -1}", "at least 0"),
        ("sessions: {futures: {square_off: 15:00, entry_cutoff: 15:10}}", "after its square-off"),
        ("sessions: {futures: {square_off: 25:00}}", "must be a time of day in India"),
        ("strategies: [{strategy: ema_trend, trade_between: [15:00, 09:20]}]", "ends at 09:20"),
        ("strategies: [{strategy: ema_trend, instruments: [NIFTTY]}]", "did you mean NIFTY?"),
        ("strategies: [{strategy: ema_trend, params: {fast: [9]}}]", "one number or word"),
        ("strategies: [{strategy: ema_trend}, {strategy: ema_trend}]", "give it a `name:`"),
        ("strategies: [{strategy: ema_trend, lots: 0}]", "at least 1"),
    ],
)
def test_what_cannot_be_is_said(text, sentence):
    assert sentence in complaint(text)


@pytest.mark.parametrize(
    "key", ["api_secret", "api_key", "access_token", "password", "totp", "pin"]
)
def test_credentials_are_refused_and_not_repeated(key):
    said = complaint(f"trading:\n  mode: paper\n  {key}: hunter2\n")
    assert said.startswith(f"my.yaml:3: trading.{key} is a credential")
    assert "secrets/kite.env" in said
    assert "hunter2" not in said


def test_a_key_given_twice_is_refused():
    assert complaint("risk:\n  cooldown_minutes: 5\n  cooldown_minutes: 9\n") == (
        "my.yaml:3: cooldown_minutes is given twice; the first is on line 2."
    )


@pytest.mark.parametrize(
    "text", ["a: [", "a: 1\n b: 2", "\ttrading: 1", "- 1", "5", "a: &x [*x]", "a: 1\n---\nb: 2\n"]
)
def test_what_is_not_yaml_is_said_with_its_line(text):
    assert complaint(text).startswith("my.yaml")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match="There is no settings file"):
        load_config(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_said(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not a text file"):
        load_config(path)


def test_a_file_saved_by_notepad_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbftrading:\r\n  paper_capital: 700000\r\n")
    assert int(load_config(path).config.trading.paper_capital) == 7_000_000_000


def test_the_same_content_has_the_same_digest_however_it_is_written():
    one = config("risk: {max_daily_loss_pct: 2%, cooldown_minutes: 30}\ntrading: {mode: paper}")
    two = config("# mine\ntrading:\n  mode: PAPER\nrisk:\n  max_daily_loss_pct: 0.02\n")
    other = config("risk: {max_daily_loss_pct: 3%}")
    assert one.digest == two.digest
    assert one.digest != other.digest


def test_a_later_complaint_can_name_the_line():
    file = parse_config(
        "strategies:\n  - strategy: ema_trend\n    params:\n      fast: 9\n", "my.yaml"
    )
    assert file.where("strategies", 0, "params", "fast") == "my.yaml:4"
    assert file.where("strategies", 0, "params", "slow") == "my.yaml:3"
    assert file.where("sessions") == "my.yaml"


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail_in_any_other_way(text):
    with contextlib.suppress(ConfigError):
        parse_config(text, "my.yaml")


@given(
    st.sampled_from(["trading.mode", "risk.max_daily_loss_pct", "paper.charges", "strategies"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab:%₹1 ", max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1), inner)
        ),
        max_leaves=5,
    ),
)
def test_no_value_makes_the_reader_fail_in_any_other_way(path, value):
    section, _, key = path.partition(".")
    written = json.dumps({section: {key: value} if key else value}, ensure_ascii=False)
    with contextlib.suppress(ConfigError):
        parse_config(written, "my.yaml")
