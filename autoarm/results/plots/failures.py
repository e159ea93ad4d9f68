"""How the episodes of each policy ended: successes, and kinds of failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from autoarm.figures.style import FAILURE, FAINT, INK, POLICY_COLOURS, SUCCESS, new_figure
from autoarm.results.result import EpisodeRow, Result
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTCOME_COLOURS: Final = {
    "success": SUCCESS,
    "timeout": POLICY_COLOURS[0],
    "missed-box": POLICY_COLOURS[4],
    "dropped": POLICY_COLOURS[3],
    "missed-grasp": POLICY_COLOURS[1],
    "never-reached": FAILURE,
    "error": INK,
    "unknown": FAINT,
}
"""Colour of every outcome, from success to the failures that came least far."""


def outcome(row: EpisodeRow) -> str:
    """`success`, or the kind of failure."""
    return "success" if row.success else row.failure or "timeout"


def outcome_counts(rows: Sequence[EpisodeRow]) -> dict[str, int]:
    """How many rows had each outcome, in the order of `OUTCOME_COLOURS`, zeros included."""
    counts = Counter(outcome(row) for row in rows)
    return {name: counts[name] for name in OUTCOME_COLOURS}


def failures(results: Sequence[Result]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the outcomes of every result as one stacked bar.

    Args:
        results: Results of policies whose names differ.

    Returns:
        The figure, and a row for each bar and outcome.

    Raises:
        InvalidInputError: If there are no results.
    """
    from matplotlib.patches import Patch

    rows = failure_rows(results)
    if not rows:
        raise InvalidInputError("no outcomes to draw", field="results")
    labels = list(dict.fromkeys(row["bar"] for row in rows))
    shown = [name for name in OUTCOME_COLOURS if any(row["outcome"] == name and row["episodes"] for row in rows)]
    with new_figure(7.2, 1.2 + 0.36 * len(labels)) as figure:
        axes = figure.add_subplot()
        for line, label in enumerate(labels):
            start = 0.0
            for row in (row for row in rows if row["bar"] == label):
                axes.barh(
                    line, row["share"], 0.66, left=start, color=OUTCOME_COLOURS[row["outcome"]], edgecolor="white"
                )
                start += row["share"]
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", left=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share of the episodes")
        handles = [Patch(color=OUTCOME_COLOURS[name], label=name) for name in shown]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure, rows


def failure_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The data of the figure."""
    return [
        {"bar": result.policy.name, "outcome": kind, "episodes": count, "share": count / len(result.rows)}
        for result in results
        for kind, count in outcome_counts(result.rows).items()
    ]
