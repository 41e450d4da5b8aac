"""docs/Proof.md says what the files say: no figure is better than what was lived."""

import ast
import json
from pathlib import Path

import msgspec
import pytest

from kitestring.domain.instants import Instant
from proof.batches import Batch, BatchFile
from proof.page import Fault, page, read_catalogue, read_invariants, read_mutants, table, write_page
from proof.summary import Figures, Machine, Proof, Run, Spread, read_proof, run_of, write_proof
from proof.tier import Broken, Outcome, Scale, Tier
from proof.tree import commit_of, tree_hash

ROOT = Path(__file__).resolve().parent.parent.parent
NOON = Instant(1_795_000_000_000_000)


def tier(name="days", units=4):
    return Tier(name=name, unit="days", claim="A day loses nothing | ever.", batch=2,
                size=dict.fromkeys(Scale, units), live=lambda first, count: Outcome(units=count))  # fmt: skip


def figures(**fields):
    whole = {
        "name": "days", "unit": "days", "claim": "Nothing is lost.", "seeds": "1 to 4", "asked": 4,
        "units": 4, "violations": 0, "lost": 0, "doubled": 0, "counts": {}, "faults": {},
        "spreads": {}, "seconds": 3.0, "broken": (),
    }  # fmt: skip
    return Figures(**{**whole, **fields})


def run(*tiers, **fields):
    whole = {
        "scale": Scale.PROOF, "date": "2026-11-23 09:00:00.000", "commit": "abc", "tree": "def",
        "machine": Machine(cores=2, python="3.11", system="Linux"), "whole": True,
        "violations": 0, "lost": 0, "doubled": 0, "seconds": 3.0, "tiers": tiers,
    }  # fmt: skip
    return Run(**{**whole, **fields})


BROKEN = Broken(seed=3, story="Day 3 lost an order.", again="python -m proof --tier days --unit 3")


def lived(folder, *outcomes):
    """A file in which these batches of two follow one another."""
    file = BatchFile(folder / "proof.jsonl", "def")
    for number, outcome in enumerate(outcomes):
        file.add(Batch(tree="def", commit="abc", tier="days", first=1 + 2 * number, count=2,
                       hash_seed=0, seconds=1.5, outcome=outcome))  # fmt: skip
    return file


def judged(file):
    return run_of([tier()], Scale.PROOF, file, now=NOON, commit="abc")


def test_the_page_kept_is_the_one_its_files_make():
    docs = ROOT / "docs"
    made = page(
        read_proof(docs / "proof.json"), read_invariants(), read_catalogue(), read_mutants(docs)
    )
    kept = (ROOT / "docs" / "Proof.md").read_text(encoding="utf-8")
    assert kept == made, "write it again: python -m proof --page"


def test_what_broke_is_counted_however_much_was_lived(tmp_path):
    file = lived(tmp_path, Outcome(units=2), Outcome(units=2, counts={"lost": 1}, broken=(BROKEN,)))
    assert (judged(file).violations, judged(file).lost) == (1, 1)
    write_proof(tmp_path / "proof.json", judged(file))
    write_page(tmp_path)
    text = (tmp_path / "Proof.md").read_text()
    assert "**1 violations**, 1 orders lost, 0 doubled" in text
    assert "Day 3 lost an order." in text
    assert "Nothing broke" not in text
    assert "1 violations, 1 lost" in table(judged(file))


def test_a_nought_cannot_be_written_over_what_broke(tmp_path):
    for wrong in ({"broken": (BROKEN,)}, {"lost": 1}, {"doubled": 2}):
        with pytest.raises(ValueError, match="broke promises"):
            figures(**wrong)
    bad = figures(violations=1, lost=1, broken=(BROKEN,))
    with pytest.raises(ValueError, match="violations of the run"):
        run(bad)
    with pytest.raises(ValueError, match="lost in the run"):
        run(bad, violations=1)
    with pytest.raises(ValueError, match="doubled in the run"):
        run(figures(violations=1, doubled=1), violations=1)
    path = tmp_path / "proof.json"
    write_proof(path, run(bad, violations=1, lost=1))
    rows = json.loads(path.read_text())
    rows["runs"]["proof"]["violations"] = 0
    path.write_text(json.dumps(rows))
    with pytest.raises(msgspec.ValidationError):
        read_proof(path)


def test_half_a_run_is_not_written(tmp_path):
    half = judged(lived(tmp_path, Outcome(units=2)))
    assert not half.whole
    assert "not everything was lived" in table(half)
    with pytest.raises(ValueError, match="whole"):
        write_proof(tmp_path / "proof.json", half)
    with pytest.raises(ValueError, match="not finished"):
        msgspec.structs.replace(half, whole=True)


def test_proof_and_soak_stand_side_by_side(tmp_path):
    path = tmp_path / "proof.json"
    write_proof(path, run(figures()))
    write_proof(path, run(figures(units=9, asked=9), scale=Scale.SOAK, date="2026-11-22 01:00:00"))
    write_proof(path, run(figures(seconds=9.0), date="2026-11-24 01:00:00"))
    kept = read_proof(path).runs
    assert kept["proof"].tiers[0].seconds == 9
    assert kept["soak"].tiers[0].units == 9
    text = page(read_proof(path), {}, {})
    assert text.index("The last proof") < text.index("The last soak")


def test_the_page_shows_what_was_measured():
    faults = {7: Fault(title="No answer", group="Sending", required="Look for it.",
                       tests=("a/test_b.py::test_c", "a/test_b.py::test_d")),
              9: Fault(title="Iceberg", group="Sending", required="-", why_not="we send none")}  # fmt: skip
    spread = {"naked_ms": Spread(times=3, p50=1200, p99=4100, worst=4100)}
    shown = figures(faults={"no_answer": 12_345}, spreads=spread, counts={"orders": 77})
    text = page(Proof(runs={"proof": run(shown)}), read_invariants(), faults)
    for row in (
        "| no answer | 12 345 | days 12 345 |",
        "| `days` | naked_ms | 3 | 1 200 | 4 100 | 4 100 |",
        "| `days` | orders 77 |",
        "| `days` | Nothing is lost. | 4 days | 1 to 4 | 0 | 0 | 0 | 3 s |",
        "| 7 | No answer | Look for it. | `tests/a/test_b.py`: `test_c`, `test_d` |",
        "| 9 | Iceberg | - | does not apply: we send none |",
    ):
        assert row in text


def names_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_promise_is_there_and_judged_where_the_page_says():
    rows = read_invariants()
    assert list(rows) == [f"I{number}" for number in range(1, 36)]
    for number, row in rows.items():
        assert row.judged, number
        for place in row.judged:
            path, _, name = place.partition("::")
            assert (ROOT / path).is_file(), f"{number}: {path}"
            assert not name or name in names_in(ROOT / path), f"{number}: {place}"


def test_the_hash_is_of_code_and_rigs_and_not_of_tests(tmp_path):
    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    put("kitestring/a.py", "1")
    put("proof/b.toml", "1")
    put("tests/rig.py", "1")
    first = tree_hash(tmp_path)
    put("tests/core/test_a.py", "1")
    put("docs/x.md", "1")
    assert tree_hash(tmp_path) == first
    seen = {first}
    for name in ("kitestring/a.py", "proof/b.toml", "tests/rig.py", "kitestring/market/c.toml",
                 "requirements/dev.lock"):  # fmt: skip
        put(name, "2")
        seen.add(tree_hash(tmp_path))
    assert len(seen) == 6
    assert commit_of(tmp_path / "kitestring") == "no commit"
