"""Two policies on the episodes that both ran: `python benchmarks/ablations/pairs.py FIRST SECOND`.

What only one of the two brings into the box, axis by axis, and whether that is more than chance. The p-value is
McNemar's, exact; the last column is corrected for the number of axes (Holm), and not for the number of pairs looked at.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from autoarm.results.comparison import compare_results
from autoarm.results.result import Result


def table(first: Result, second: Result) -> str:
    """A Markdown table with a row for each axis."""
    lines = [
        "| axis | first | second | only first | only second | p | p, corrected |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, axis in compare_results(first, second).axes.items():
        rates = [f"{axis.both + only}/{axis.episodes}" for only in (axis.only_first, axis.only_second)]
        counts = f"{axis.only_first} | {axis.only_second} | {axis.p_value:.2g} | {axis.adjusted:.2g}"
        lines.append(f"| {name} | {' | '.join(rates)} | {counts} |")
    return "\n".join(lines) + "\n"


def pairs(first: Path, second: Path, /) -> None:
    """Compare two results on their shared episodes.

    Example: python benchmarks/ablations/pairs.py outputs/ablations/base.json outputs/ablations/replan-10.json

    Args:
        first: A result of `autoarm eval` or `autoarm bench`.
        second: Another one, of the same episodes.
    """
    print(table(Result.load(first), Result.load(second)), end="")


if __name__ == "__main__":
    tyro.cli(pairs)
