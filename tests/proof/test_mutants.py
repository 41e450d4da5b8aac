"""The tool that breaks the house: what it changes, how it puts that in place, what it says of it."""

import tomllib

import msgspec
import pytest

from kitestring.engine import arming
from proof.mutants import reached_lines, session
from proof.mutants.hunt import EQUIVALENT, MODULES, ModuleScore, Report, files_of
from proof.mutants.operators import mutants_of
from proof.mutants.page import mutant_table
from proof.mutants.trial import ROOT, Change, End, Trial, put

ARMING = "kitestring/engine/arming.py"
TERMS = "tests/engine/test_arming_terms.py"


def texts_of(path):
    """What each mutant changes into what."""
    raw = (ROOT / path).read_bytes()
    return {
        each.key: (raw[each.change.begin : each.change.end].decode(), each.change.instead)
        for each in mutants_of(path)
    }


def test_each_kind_of_change_is_made():
    texts = texts_of(ARMING)

    def made(part):
        return next(pair for key, pair in texts.items() if part in key)

    assert made("denied in `if terms.halted:`") == ("terms.halted", "(not (terms.halted))")
    assert made("`!=` → `==` in `if armed.date") == ("!=", "==")
    assert made("`and` → `or`") == ("and", "or")
    assert made("the call left out in `os.fsync(file)`") == ("os.fsync(file)", "pass")
    assert made("None returned in `return Standing.NEVER`") == (
        "return Standing.NEVER",
        "return None",
    )
    assert made("`is not` → `is`")[1] == "is"
    assert made("0o600 one more")[1] == "(0o600 + 1)"
    assert made("the truth turned in `in_use")[1] == "True"
    assert any("the row" in key for key in texts_of("kitestring/core/order_life.py"))
    assert any("`+` → `-`" in key for key in texts_of("kitestring/broker/governor.py"))


@pytest.mark.parametrize("path", files_of())
def test_every_mutant_of_the_modules_can_be_read_and_moves_no_line(path):
    raw = (ROOT / path).read_bytes()
    mutants = mutants_of(path)
    assert len({each.key for each in mutants}) == len(mutants)
    for each in mutants[:: max(len(mutants) // 20, 1)]:
        changed = each.change.changed()
        assert changed != raw
        assert changed.count(b"\n") == raw.count(b"\n")
        compile(changed, path, "exec")


def change(text, instead, path=ARMING):
    raw = (ROOT / path).read_bytes()
    assert raw.count(text.encode()) == 1
    begin = raw.index(text.encode())
    return Change(path=path, begin=begin, end=begin + len(text.encode()), instead=instead)


def test_a_function_is_changed_where_it_stands_and_nothing_else_can_be():
    kept = arming.agrees.__code__
    try:
        assert put(
            change("    return hmac.compare_digest(", "    return True or hmac.compare_digest(")
        )
        assert arming.agrees(None, "")
    except AttributeError:
        pytest.fail("the old code still runs")
    finally:
        arming.agrees.__code__ = kept
    assert not put(change('FILE_NAME: Final = "arming.json"', 'FILE_NAME: Final = "other.json"'))


def test_trials_say_killed_survived_unreached_too_slow_and_broken():
    phrase = f"{TERMS}::test_the_phrase_holds_the_rupees_and_spaces_do_not_matter"
    record = f"{TERMS}::test_the_record_is_read_back_and_one_that_is_none_arms_nothing"
    anyone = change("    return hmac.compare_digest(", "    return True or hmac.compare_digest(")
    endless = change(
        "    if armed is None:\n        return Standing.NEVER",
        "    while armed is not None:\n        pass",
    )
    nonsense = change("    if armed is None:\n", "    if armed is is:\n")
    elsewhere = change('FILE_NAME: Final = "arming.json"', "FILE_NAME: Final = None")

    def trial(name, changed, *tests, within_s=60.0):
        return Trial(name=name, change=changed, tests=tests, within_s=within_s)

    found = session.tried(
        [
            trial("killed", anyone, record, phrase),
            trial("survived", anyone, record),
            trial("nothing changed", None, TERMS),
            trial("unreached", anyone),
            trial("endless", endless, f"{TERMS}::test_an_arming_is_good_for_exactly_what_was_shown", within_s=3),
            trial("outside a function", elsewhere, record),
            trial("broken", anyone, f"{TERMS}::test_of_nobody"),
            trial("no Python", nonsense, record),
        ],
        jobs=2,
    )  # fmt: skip
    assert {each.name: each.end for each in found} == {
        "killed": End.KILLED,
        "survived": End.SURVIVED,
        "nothing changed": End.SURVIVED,
        "unreached": End.UNREACHED,
        "endless": End.TIMEOUT,
        "outside a function": End.KILLED,
        "broken": End.BROKEN,
        "no Python": End.BROKEN,
    }
    assert {each.by for each in found if each.name == "killed"} == {phrase}


def test_what_is_said_to_change_nothing_is_still_there():
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    known = {each.key for path in files_of() for each in mutants_of(path)}
    assert [row["key"] for row in listed if row["key"] not in known] == []
    assert all(len(row["reason"]) > 20 for row in listed)


def test_the_table_for_people():
    row = ModuleScore(
        module="exits", files=("a",), mutants=1000, tried=200, killed=190, survived=10,
        unreached=1, equivalent=4, score=95.0,
    )  # fmt: skip
    report = Report(
        date="2026-11-20", commit="abc", seed=1, per_file=60, modules=(row,), survivors=(),
        equivalents=(),
    )  # fmt: skip
    lines = mutant_table(msgspec.json.decode(msgspec.json.encode(report), type=Report))
    assert "| exits | 1,000 | 200 | 190 | 10 | 4 | 95.0 % |" in lines
    assert "190 of 200 changes" in lines[-1]
    assert set(MODULES) >= {"journal", "exits", "guard"}


def test_a_module_that_reaches_less_than_it_has_to_is_named():
    counts = reached_lines.Summary(
        num_statements=200, covered_lines=150, num_branches=10, covered_branches=9
    )
    file = reached_lines._File(summary=counts, missing_branches=[(3, 5)])
    told = reached_lines.Told(files={"a.py": file}, totals=counts)
    wanted = reached_lines.Floors(lines_of_all=75.0, branches={"a.py": 90.0})
    assert reached_lines.shortfalls(told, wanted) == []
    more = reached_lines.Floors(lines_of_all=76.0, branches={"a.py": 91.0, "gone.py": 1.0})
    assert reached_lines.shortfalls(told, more) == [
        "a.py: 90.0 % of branches, not 91.0: 3→5",
        "gone.py is not reached at all, or not there any more",
        "all: 75.0 % of lines, not 76.0",
    ]


def test_every_module_that_is_hunted_has_a_floor():
    assert sorted(reached_lines.floors().branches) == sorted(files_of())
