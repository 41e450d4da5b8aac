"""Each fault of the exchange has its tests by name (``tests/faults.toml``), and none is only promised."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from kitestring.exchange.wire.fault_kinds import KINDS

TESTS = Path(__file__).resolve().parent.parent
TABLE = tomllib.loads((TESTS / "faults.toml").read_text(encoding="utf-8"))


@cache
def parts_of(path):
    """Every name at the top of a test module, with the source that makes it."""
    text = path.read_text(encoding="utf-8")
    parts = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        elif isinstance(node, ast.Assign):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            first = node.lineno
        else:
            continue
        source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        parts |= dict.fromkeys(names, source)
    return parts


@cache
def source_of(path, name):
    """A test with everything of its own module that it stands on; nothing where there is no such test."""
    parts = parts_of(path)
    found, open_names = {}, [name]
    while open_names:
        each = open_names.pop()
        if each in found or each not in parts:
            continue
        found[each] = parts[each]
        open_names += re.findall(r"\b[A-Za-z_]\w*\b", parts[each])
    return "\n".join(found.values())


def problem(kind, named):
    """What is wrong with one test id of a row; empty if nothing is."""
    file, _, test = named.partition("::")
    path = TESTS / file
    if not path.is_file():
        return f"there is no file tests/{file}"
    if not test.startswith("test_") or test not in parts_of(path):
        return f"tests/{file} has no test {test}"
    if not re.search(rf"\b{kind}\b", source_of(path, test)):
        return f"tests/{file}::{test} does not mention it"
    return ""


def test_every_fault_of_the_exchange_has_a_row_and_no_row_is_of_another():
    assert sorted(TABLE) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_row_says_what_must_happen_and_names_tests_of_the_house_that_make_it_happen(kind):
    row = TABLE[kind]
    assert set(row) == {"required", "tests"}
    assert re.fullmatch(r"[A-Z].{30,}\.", row["required"]), "one whole sentence"
    assert row["tests"]
    assert [why for named in row["tests"] if (why := problem(kind, named))] == []
    # The exchange's own tests show that it can get it wrong; these, that the house gets it right.
    assert not [named for named in row["tests"] if named.startswith("exchange/")]


def test_a_row_of_a_test_that_is_not_there_or_is_about_something_else_is_found():
    file = "broker/test_kite_broker_faults.py"
    real = "test_a_fill_that_beats_a_change_is_a_fill"
    assert problem("fill_wins", f"{file}::{real}") == ""
    assert "does not mention" in problem("taken_twice", f"{file}::{real}")
    assert "has no test" in problem("fill_wins", f"{file}::test_nothing_of_the_kind")
    assert "no file" in problem("fill_wins", f"broker/test_nowhere.py::{real}")
