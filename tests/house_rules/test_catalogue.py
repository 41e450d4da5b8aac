"""Each of the 112 faults of the catalogue has tests by name (``tests/catalogue.toml``), or says why not."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
TABLE = tomllib.loads((TESTS / "catalogue.toml").read_text(encoding="utf-8"))["fault"]
GROUPS = {
    "Sending orders": range(1, 36),
    "Order state and reconciliation": range(36, 52),
    "Positions and account": range(52, 65),
    "Market data": range(65, 79),
    "Session, time, calendar, exchange": range(79, 87),
    "Process, host, storage, deployment": range(87, 104),
    "Security and people": range(104, 113),
}
WHOLE_SENTENCE = r"[A-Z0-9].{30,}\."


@cache
def bodies_in(path):
    """The bodies of a module's tests by name, without their documentation."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            first, *rest = node.body
            told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            found[node.name] = rest if told else node.body
    return found


def wrong_test(named):
    """What is wrong with one test id; empty if nothing is."""
    file, _, test = named.partition("::")
    path = TESTS / file
    if not path.is_file():
        return f"there is no file tests/{file}"
    body = bodies_in(path).get(test)
    if body is None:
        return f"tests/{file} has no test {test}"
    if all(isinstance(each, ast.Pass) for each in body):
        return f"tests/{file}::{test} tests nothing"
    return ""


def wrong(number, row):
    """Everything that is wrong with one row."""
    found = []
    if not set(row) <= {"title", "group", "required", "tests", "why_not"}:
        found.append("it has a key that means nothing")
    if not 5 <= len(row.get("title", "")) <= 70:
        found.append("its title is none")
    if number not in GROUPS.get(row.get("group"), ()):
        found.append("it is not of that group")
    if not re.fullmatch(WHOLE_SENTENCE, row.get("required", "")):
        found.append("what is required is no whole sentence")
    tests = row.get("tests", [])
    if "why_not" in row:
        if not re.fullmatch(WHOLE_SENTENCE, row["why_not"]):
            found.append("why it cannot be tested is no whole sentence")
    elif not tests:
        found.append("it has neither a test nor a reason")
    if len(tests) != len(set(tests)):
        found.append("it names a test twice")
    return found + [why for named in tests if (why := wrong_test(named))]


def test_the_rows_are_the_112_without_a_gap_and_in_their_order():
    assert list(TABLE) == [str(number) for number in range(1, 113)]


@pytest.mark.parametrize("number", range(1, 113))
def test_a_row_says_what_must_happen_and_names_tests_that_are_there(number):
    assert wrong(number, TABLE[str(number)]) == []


def test_few_faults_are_left_without_a_test():
    left = [number for number, row in TABLE.items() if not row.get("tests")]
    assert len(left) <= 3, left


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"tests": []}, "neither a test nor a reason"),
        ({"tests": [], "why_not": "Never."}, "no whole sentence"),
        ({"tests": ["engine/test_guard.py::test_nothing_of_the_kind"]}, "has no test"),
        ({"tests": ["engine/test_nowhere.py::test_it"]}, "there is no file"),
        ({"tests": [TABLE["1"]["tests"][0]] * 2}, "names a test twice"),
        ({"group": "Market data"}, "not of that group"),
        ({"required": "quickly"}, "no whole sentence"),
        ({"title": ""}, "title is none"),
        ({"test": []}, "means nothing"),
    ],
)
def test_a_wrong_row_is_found(change, found):
    assert wrong(1, TABLE["1"]) == []
    assert found in "; ".join(wrong(1, TABLE["1"] | change))
