"""``make mutants``: breaks the house a line at a time and counts what the tests notice.

    python -m proof.mutants                     go on with the mutants, then report
        [--per-file 60] [--seed 1] [--jobs 2]   of each file so many, drawn by the seed
        [--only WORD ...] [--again]             of these files; those that survived once more
    python -m proof.mutants reach [TESTS]       first: which tests reach which line (under coverage)
    python -m proof.mutants report              write docs/mutants.json from what is known
    python -m proof.mutants coverage            how much of each module the tests reach
    python -m proof.mutants session ...         what the others start: trials in copies of one program

Ctrl-C loses nothing: the same command goes on where it stopped. Needs the ``dev`` environment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from proof.mutants import session


def main(arguments: list[str]) -> int:
    """The command line."""
    match arguments:
        case ["session", trials, results, "--jobs", jobs]:
            return session.run(Path(trials), Path(results), int(jobs))
        case ["anew", folder]:
            return session.anew(Path(folder))
        case ["reach", *tests]:
            # Only now: what the trials run in knows no coverage.
            from proof.mutants import reach  # noqa: PLC0415

            return reach.main(tests)
        case ["coverage"]:
            from proof.mutants.reached_lines import main as judge  # noqa: PLC0415

            return judge()
        case _:
            return _hunt(arguments)


def _hunt(arguments: list[str]) -> int:
    from proof.mutants import hunt, page  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(prog="python -m proof.mutants", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("hunt", "report"), default="hunt")
    parser.add_argument("--per-file", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args(arguments)
    code = 0
    if asked.what == "hunt":
        code = hunt.hunt(
            seed=asked.seed,
            per_file=asked.per_file,
            jobs=asked.jobs,
            only=asked.only,
            again=asked.again,
        )
    report = hunt.report(seed=asked.seed, per_file=asked.per_file)
    if asked.what == "report":
        hunt.REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    print("\n".join(page.mutant_table(report)))
    for left in report.survivors:
        print(f"  {left.line:4} {left.key} ({left.why})")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
