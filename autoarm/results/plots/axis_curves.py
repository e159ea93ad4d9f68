"""Success over the levels of each axis of a suite, for several policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from autoarm.figures.style import FAINT, POLICY_COLOURS, POLICY_MARKERS, new_figure
from autoarm.results.result import AxisRecord, Result
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS: Final = 4
MOST: Final = len(POLICY_COLOURS)
"""Largest number of policies in a figure: as many as there are colours."""


def axis_curves(results: Sequence[Result]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw a panel for each axis: curves with Wilson bands where the levels have values, points elsewhere.

    Args:
        results: Results of up to `MOST` policies on one suite.

    Returns:
        The figure, and a row for each point.

    Raises:
        InvalidInputError: If there are no results, too many, or some that were not measured on a suite.
    """
    rows = axis_rows(results)
    if not rows:
        raise InvalidInputError("no curves to draw", field="results")
    if len(results) > MOST:
        raise InvalidInputError(
            f"{len(results)} curves cannot be told apart", field="results", cure=f"choose {MOST} at most"
        )
    axes_records = {
        name: axis
        for result in results
        if result.setting.suite is not None
        for name, axis in result.setting.suite.axes.items()
    }
    count = len(axes_records)
    columns = min(_COLUMNS, count)
    lines = -(-count // columns)
    policies = [result.policy.name for result in results]
    with new_figure(max(2.9 * columns, 5.2), 0.9 + 2.3 * lines) as figure:
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for panel, (name, axis) in zip(panels, axes_records.items(), strict=False):
            for number, policy in enumerate(policies):
                own = [row for row in rows if row["axis"] == name and row["policy"] == policy]
                if own:
                    _draw(panel, axis, own, number, len(policies))
            _dress(panel, axis)
        for panel in panels[count:]:
            panel.set_axis_off()
        handles = [
            panels[0].plot([], [], color=POLICY_COLOURS[n], marker=POLICY_MARKERS[n], linewidth=1.8)[0]
            for n in range(len(policies))
        ]
        figure.legend(handles, policies, loc="outside lower center", ncols=min(3, len(policies)))
    return figure, rows


def axis_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The data of the figure."""
    rows = []
    for result in results:
        if result.setting.suite is None:
            raise InvalidInputError(
                f"{result.policy.name} was not measured on a suite", field="results", cure="use `autoarm bench`"
            )
        for name, axis in result.setting.suite.axes.items():
            for level, record in axis.levels.items():
                interval = result.levels[f"{name}/{level}"] if level else result.groups[name]
                rows.append(
                    {"policy": result.policy.name, "axis": name, "level": level, "value": record.value}
                    | interval.model_dump()
                )
    return rows


def has_scale(axis: AxisRecord) -> bool:
    """Whether the levels of an axis have values, so that a line between them means something."""
    return len(axis.levels) > 1 and all(record.value is not None for record in axis.levels.values())


def _draw(panel: Axes, axis: AxisRecord, rows: Sequence[dict[str, Any]], number: int, policies: int) -> None:
    colour, marker = POLICY_COLOURS[number], POLICY_MARKERS[number]
    rates = [row["rate"] for row in rows]
    if has_scale(axis):
        places = [row["value"] for row in rows]
        panel.fill_between(
            places, [row["low"] for row in rows], [row["high"] for row in rows], color=colour, alpha=0.16, linewidth=0
        )
        panel.plot(places, rates, color=colour, marker=marker, markersize=5, linewidth=1.8, clip_on=False)
        return
    order = list(axis.levels)
    shift = 0.0 if policies == 1 else 0.5 * (number / (policies - 1) - 0.5)
    panel.errorbar(
        [order.index(row["level"]) + shift for row in rows],
        rates,
        yerr=[[row["rate"] - row["low"] for row in rows], [row["high"] - row["rate"] for row in rows]],
        color=colour,
        marker=marker,
        markersize=4.5,
        linewidth=1.4,
        linestyle="",
        clip_on=False,
    )


def _dress(panel: Axes, axis: AxisRecord) -> None:
    panel.set_title(axis.title, loc="left")
    panel.set_ylim(0, 1)
    panel.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "", "50 %", "", "100 %"])
    panel.grid(True, axis="y")
    panel.spines["left"].set_color(FAINT)
    if has_scale(axis):
        values = [record.value for record in axis.levels.values() if record.value is not None]
        panel.set_xticks(sorted(values), [f"{value:g}" for value in sorted(values)])
        panel.set_xlabel(axis.unit or "")
        margin = 0.12 * (max(values) - min(values))
        panel.set_xlim(min(values) - margin, max(values) + margin)
        return
    names = [name for name in axis.levels if name]
    many = len(names) > 2
    panel.set_xticks(range(len(names)), names, rotation=40 if many else 0, ha="right" if many else "center", fontsize=8)
    panel.set_xlim(-0.6, len(axis.levels) - 0.4)
