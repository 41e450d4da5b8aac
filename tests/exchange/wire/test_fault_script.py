"""Fault scripts: what they may say, how mistakes are named, and whose turn it is."""

import datetime as dt
import re
from pathlib import Path

import pytest

from kitestring.domain.errors import ConfigError
from kitestring.domain.instants import SECOND, instant
from kitestring.exchange.wire.fault_kinds import KINDS, Place, Takes
from kitestring.exchange.wire.fault_script import load_script, parse_script
from kitestring.exchange.wire.faults import Faults

HERE = Path(__file__).parent
DAY = dt.date(2026, 11, 20)


def at(clock):
    return instant(DAY, dt.time.fromisoformat(clock))


def faults(text):
    script = parse_script(text, "faults.yaml")
    return Faults(script.faults, seed=script.seed)


def struck(text, count, where="POST /orders/regular", clock="10:00"):
    """Which of so many requests are struck, counted from 1."""
    asked = faults(text)
    return [
        n for n in range(1, count + 1) if asked.strike(Place.REQUEST, where, at(clock) + n * SECOND)
    ]


def complaint(text):
    with pytest.raises(ConfigError) as refused:
        parse_script(text, "faults.yaml")
    return refused.value.what


def test_every_kind_has_a_test_against_the_served_exchange():
    names = set()
    for path in ("test_fault_answers.py", "test_fault_books.py", "test_fault_sockets.py"):
        names |= set(re.findall(r"^def test_(\w+)", (HERE / path).read_text(), re.MULTILINE))
    untested = [kind for kind in KINDS if not any(name.startswith(kind) for name in names)]
    assert untested == []


def test_every_kind_can_be_asked_for_with_every_parameter_at_its_default():
    for kind in KINDS.values():
        lines = ["faults:", f"  - kind: {kind.name}", f"    route: {kind.route}"]
        for param in kind.params:
            value = param.default
            if param.takes is Takes.YES:
                value = str(value).lower()
            elif param.takes is Takes.NAMES:
                value = list(value) or ["NSE:INFY"]
            elif param.takes in {Takes.TEXT, Takes.WORD}:
                value = f"'{value}'"
            lines.append(f"    {param.name}: {value}")
        if kind.lasts:
            lines.append("    for: 30")
        (fault,) = parse_script("\n".join(lines)).faults
        assert (fault.kind, fault.route) == (kind.name, kind.route)


def test_a_script_is_read_as_it_looks():
    script = parse_script(
        """
seed: 7
faults:
  - kind: late_answer
    route: GET /orders*
    nth: [1, 3]
    from: 10:15
    until: "10:15:30"
    probability: 0.5
    times: 2
    seconds: 1.5
  - kind: ticks_silent
    for: 40
"""
    )
    late, silent = script.faults
    assert script.seed == 7
    assert late.when.nth == (1, 3)
    assert (late.when.since, late.when.until) == (36_900 * SECOND, 36_930 * SECOND)
    assert (late.when.probability, late.when.times, late.span("seconds")) == (0.5, 2, 1_500_000)
    assert (silent.route, silent.when.lasts) == ("ws", 40 * SECOND)
    assert parse_script("").faults == parse_script("# nothing\nfaults:\n").faults == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- kind: late_anser", "faults.yaml:2: faults[1].kind does not know late_anser; did you mean late_answer?"),
        ("- {kind: late_answer, secnds: 3}", "(late_answer) does not know secnds; did you mean seconds?"),
        ("- {kind: late_answer, seconds: soon}", "seconds must be a number from 0 to 86400; it is soon"),
        ("- {kind: late_answer, nth: 0}", "nth must be a whole number of at least 1; it is 0"),
        ("- {kind: late_answer, every: two}", "every must be a whole number of at least 1; it is two"),
        ("- {kind: late_answer, for: 3}", "(late_answer) does not know for"),
        ("- {kind: late_answer, probability: 2}", "probability must be a number from 0 to 1; it is 2"),
        ("- {kind: late_answer, from: noon}", "from must be a time of day in India, such as 10:15; it is noon"),
        ('- {kind: late_answer, from: "11:00", until: "10:00"}', "until must be later than `from`"),
        ("- {kind: late_answer, route: orders}", "route must be a method and a path"),
        ("- {kind: late_answer, route: ws}", "route must be one of REST"),
        ("- {kind: ticks_silent, route: GET /orders}", "route must be `ws`"),
        ("- {kind: truncated, length: short}", "length does not know short; known: whole, cut"),
        ("- {kind: no_answer, reached: maybe}", "reached must be true or false; it is maybe"),
        ("- {kind: redirect, status: 200}", "status must be a whole number from 301 to 308; it is 200"),
        ("- {kind: error_answer, message: []}", "message must be a text"),
        ("- {kind: absurd_price, instruments: {a: 1}}", "instruments must be a list of names"),
        ("- nth: 3", "faults[1] needs `kind:`"),
        ("- 3", "faults[1] must begin with `kind:`"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_what_would_be_right(line, said):
    assert said in complaint(f"faults:\n  {line}")
    assert complaint(f"faults:\n  {line}").startswith("faults.yaml:2: ")


def test_all_mistakes_are_named_at_once():
    text = complaint("sed: 3\nfaults:\n  - kind: nope\n  - kind: truncated\n    keep: 5\n")
    assert text.startswith("3 lines of faults.yaml are wrong:")
    assert "faults.yaml:1: the script does not know sed; did you mean seed?" in text
    assert "faults.yaml:5: faults[2].keep must be a number from 0 to 1" in text


def test_a_script_that_cannot_be_read_says_which(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        load_script(tmp_path / "absent.yaml")
    written = tmp_path / "faults.yaml"
    written.write_text("faults: [{kind: late_answer}]", encoding="utf-8")
    assert load_script(written).faults[0].kind == "late_answer"


def test_occurrences_are_counted_on_their_route_alone():
    text = "faults: [{kind: late_answer, route: POST /orders/*, nth: [2, 5]}]"
    assert struck(text, 7) == [2, 5]
    assert struck(text, 7, where="GET /orders") == []
    assert struck("faults: [{kind: late_answer, every: 3}]", 10) == [3, 6, 9]
    assert struck("faults: [{kind: late_answer, times: 2}]", 10) == [1, 2]
    assert struck("faults: [{kind: late_answer, every: 2, times: 2}]", 10) == [2, 4]


def test_a_window_counts_only_what_falls_into_it():
    text = 'faults: [{kind: late_answer, nth: 2, from: "10:00:03", until: "10:00:08"}]'
    assert struck(text, 12) == [4]


def test_named_routes():
    for where, words in {
        "POST /orders/regular": {"any", "writes"},
        "PUT /orders/regular/1": {"any", "writes", "changes"},
        "DELETE /orders/co/1": {"any", "writes", "changes"},
        "GET /orders": {"any", "reads"},
        "POST /gtt/triggers": {"any"},
        "GET /portfolio/positions": {"any", "reads"},
    }.items():
        met = {
            word
            for word in ("any", "reads", "writes", "changes")
            if struck(f"faults: [{{kind: late_answer, route: {word}}}]", 1, where)
        }
        assert met == words, where


def test_chance_is_of_the_seed_the_fault_and_the_occurrence_alone():
    one = "{kind: late_answer, probability: 0.3}"
    first = struck(f"seed: 5\nfaults: [{one}]", 1000)
    assert 240 <= len(first) <= 360
    assert struck(f"seed: 5\nfaults: [{one}]", 1000) == first
    assert struck(f"seed: 6\nfaults: [{one}]", 1000) != first
    both = faults(f"seed: 5\nfaults: [{one}, {one}]")
    hits = [
        [state.fault.number for state in both.strike(Place.REQUEST, "GET /", at("10:00"))]
        for _ in range(1000)
    ]
    assert [n for n, numbers in enumerate(hits, 1) if 1 in numbers] == first
    assert [n for n, numbers in enumerate(hits, 1) if 2 in numbers] != first


def test_what_lasts_begins_at_its_occurrence_and_ends_after_its_time():
    asked = faults("faults: [{kind: maintenance, nth: 2, for: 10}]")
    clocks = ("10:00:00", "10:00:01", "10:00:05", "10:00:10", "10:00:11", "10:00:30")
    on = [bool(asked.strike(Place.REQUEST, "GET /orders", at(clock))) for clock in clocks]
    assert on == [False, True, True, True, False, False]
    assert len(asked.strikes) == 1


def test_what_lasts_from_a_moment_is_on_without_a_request():
    asked = faults('faults: [{kind: clock_skew, from: "10:00", for: 60}]')
    assert not list(asked.on("clock_skew", at("09:59:59")))
    assert list(asked.on("clock_skew", at("10:00:30")))
    assert not list(asked.on("clock_skew", at("10:01:00")))


def test_what_happens_to_the_day_happens_once():
    asked = faults('faults: [{kind: token_flush, from: "10:00"}, {kind: token_flush}]')
    assert [state.fault.number for state in asked.due(at("09:30"))] == [2]
    assert [state.fault.number for state in asked.due(at("10:00"))] == [1]
    assert asked.due(at("11:00")) == []


def test_faults_can_be_added_and_withdrawn():
    asked = faults("faults: [{kind: late_answer}, {kind: truncated}]")
    asked.load(parse_script("faults: [{kind: redirect}]").faults)
    assert [row["number"] for row in asked.rows(at("10:00"))] == [1, 2, 3]
    assert asked.clear(2) == 1
    assert [row["kind"] for row in asked.rows(at("10:00"))] == ["late_answer", "redirect"]
    assert asked.clear() == 2
    assert asked.strike(Place.REQUEST, "POST /orders/regular", at("10:00")) == []
