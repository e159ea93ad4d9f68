"""Success rates of policies with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoarm.figures.style import FAINT, POLICY_COLOURS, POLICY_MARKERS, new_figure
from autoarm.results.places import place
from autoarm.results.result import Result
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rates(results: Sequence[Result]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw every policy's success rate, a block for each place of the cube and in it a line for each policy.

    Args:
        results: Results of any policies and settings.

    Returns:
        The figure, and a row for each point.
    """
    rows = rate_rows(results)
    if not rows:
        raise InvalidInputError("no rates to draw", field="results")
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    blocks = list(dict.fromkeys(row["block"] for row in rows))
    with new_figure(5.2, 1.0 + 0.32 * len(blocks) + 0.36 * len(rows)) as figure:
        counts = [sum(row["block"] == block for row in rows) for block in blocks]
        panels = figure.subplots(len(blocks), 1, sharex=True, squeeze=False, height_ratios=counts)[:, 0]
        for axes, block in zip(panels, blocks, strict=True):
            _draw_block(axes, [row for row in rows if row["block"] == block], policies)
            axes.set_title(block[:1].upper() + block[1:], loc="left")
        panels[-1].set_xlabel("success rate and its 95 % Wilson interval")
    return figure, rows


def rate_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The data of the figure: one row a point."""
    return [
        {"policy": result.policy.name, "block": place(result), "group": "all"} | result.overall.model_dump()
        for result in results
    ]


def _draw_block(axes: Axes, rows: Sequence[dict[str, Any]], policies: Sequence[str]) -> None:
    for line, row in enumerate(rows):
        number = policies.index(row["policy"])
        axes.errorbar(
            row["rate"],
            line,
            xerr=[[row["rate"] - row["low"]], [row["high"] - row["rate"]]],
            marker=POLICY_MARKERS[number % len(POLICY_MARKERS)],
            color=POLICY_COLOURS[number % len(POLICY_COLOURS)],
            markersize=8,
            linewidth=2.2,
            capsize=4,
            clip_on=False,
            zorder=3,
        )
        axes.text(1.05, line, f"{row['successes']}/{row['episodes']}", va="center")
    axes.set_yticks(range(len(rows)), [row["policy"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(axis="y", left=False, pad=10)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(True, axis="x")
