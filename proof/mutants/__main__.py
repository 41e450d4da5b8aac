"""``make mutants``: breaks the house a line at a time and counts what the tests notice.

    python -m proof.mutants                 go on with the mutants, then report
    python -m proof.mutants reach [TESTS]   first: which tests reach which line (under coverage)
    python -m proof.mutants session ...     what the others start: trials in copies of one program
"""

from __future__ import annotations

import sys
from pathlib import Path

from proof.mutants import session


def main(arguments: list[str]) -> int:
    """The command line."""
    match arguments:
        case ["session", trials, results, "--jobs", jobs]:
            return session.run(Path(trials), Path(results), int(jobs))
        case ["anew", folder]:
            return session.anew(Path(folder))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
