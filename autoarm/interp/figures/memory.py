"""Figures of an MLP's units: their activations over the table, and how a statistic spreads over the units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from autoarm.figures.style import INK, POLICY_COLOURS, new_figure
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def unit_fields(
    answers: ArrayLike, positions: ArrayLike, units: ArrayLike, scores: ArrayLike
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the activations of a few units over the table, as the top camera sees it.

    Args:
        answers: Activations of all units, `(n, unit)`.
        positions: Positions of the cube, metres, `(n, 2)`.
        units: Numbers of the units to draw.
        scores: R² of the fields of all units, `(unit,)`.

    Returns:
        The figure, and a row for each marker.
    """
    values, places, chosen = np.asarray(answers, np.float64), np.asarray(positions), np.asarray(units, np.int64)
    r2 = np.asarray(scores, np.float64)
    if not len(chosen) or len(values) != len(places):
        raise InvalidInputError(f"{len(chosen)} units, {len(places)} positions", field="units")
    columns = min(4, len(chosen))
    lines = -(-len(chosen) // columns)
    (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
    side = min(14.0, 95 / (np.sqrt(len(places)) + 1))  # points; squares of a regular grid nearly touch
    with new_figure(2.4 * columns, 0.3 + 1.75 * lines) as figure:
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in panels[len(chosen) :]:
            axes.set_visible(False)
        for axes, unit in zip(panels, chosen, strict=False):
            axes.scatter(
                places[:, 1], places[:, 0], c=values[:, unit], cmap="viridis", s=side**2, marker="s", linewidths=0
            )
            axes.scatter(*np.array([(y, x) for x, y in spec.SPOTS.values()]).T, marker="x", color=INK, s=18)
            axes.set_title(f"unit {unit}: R² {r2[unit]:.2f}", fontsize=9)
            axes.set_xlim(y_high + 0.01, y_low - 0.01)
            axes.set_ylim(x_low - 0.01, x_high + 0.01)
            axes.set_aspect("equal")
            axes.set_xticks([])
            axes.set_yticks([])
    rows = [
        {"unit": int(unit), "x": float(x), "y": float(y), "answer": float(values[row, unit]), "r2": float(r2[unit])}
        for unit in chosen
        for row, (x, y) in enumerate(places)
    ]
    return figure, rows


def unit_histogram(values: ArrayLike, what: str) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw a histogram of a statistic of the units, such as the R² of their fields; NaN is left out.

    Args:
        values: The statistic, `(unit,)`.
        what: Its name, for the axis.
    """
    numbers = np.asarray(values, np.float64)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        raise InvalidInputError("no unit has such a number", field="values")
    with new_figure(5.2, 3.0) as figure:
        axes = figure.add_subplot()
        axes.hist(known, bins=30, color=POLICY_COLOURS[0])
        axes.set_xlabel(what)
        axes.set_ylabel(f"of {len(known)} units")
        axes.grid(True, axis="y")
    return figure, [{"unit": unit, "value": float(value)} for unit, value in enumerate(numbers)]
