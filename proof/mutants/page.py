"""The table of ``docs/mutants.json`` for people: how much of the house may be broken before a test fails."""

from __future__ import annotations

from proof.mutants.hunt import GOAL, Report


def mutant_table(report: Report) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| module | changes there are | tried | noticed | not noticed | change nothing | score |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.module} | {row.mutants:,} | {row.tried:,} | {row.killed:,} | {row.survived:,} "
        f"| {row.equivalent:,} | {row.score:.1f} % |"
        for row in report.modules
    ]
    tried = sum(row.tried for row in report.modules)
    killed = sum(row.killed for row in report.modules)
    every = sum(row.mutants for row in report.modules)
    score = 100.0 * killed / max(tried, 1)
    said = (
        f"{killed:,} of {tried:,} changes tried were noticed by a test ({score:.1f} %; the goal is "
        f"{GOAL:g} % in each module). They are a sample by seed {report.seed} of {every:,}, at most "
        f"{report.per_file} of one file; {report.date}, commit {report.commit}. Those that were not "
        "noticed, and those that change nothing with the reason, are named in `docs/mutants.json`."
    )
    return [*lines, "", said]
