"""Figures of slopes: whether a policy copies the nearest demonstration or follows the expert, by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from autoarm.figures.style import FAINT, INK, POLICY_COLOURS, POLICY_MARKERS, new_figure
from autoarm.interp.methods.slope import Slope
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def slope_scatter(
    slopes: Mapping[str, Slope], distances: ArrayLike, inside: ArrayLike
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the slope at each position against its distance from the nearest demonstration.

    Args:
        slopes: Slopes by name, such as a policy or a part of one; all at the same positions.
        distances: Distance of each position from the nearest demonstration, metres, `(position,)`.
        inside: Whether each position lies within the hull of the demonstrations, `(position,)`.

    Returns:
        The figure, and a row for each marker.
    """
    far, within = 100 * np.asarray(distances, np.float64), np.asarray(inside, bool)
    if not slopes or any(len(found.each) != len(far) for found in slopes.values()) or len(within) != len(far):
        raise InvalidInputError("slopes at other positions than the distances", field="distances")
    rows = []
    with new_figure(6.2, 4.4) as figure:
        axes = figure.add_subplot()
        for value, name in ((0.0, "copies"), (1.0, "follows the expert")):
            axes.axhline(value, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(far.max(), value + 0.02, name, color="#5b636d", fontsize=9, ha="right", va="bottom")
        for number, (name, found) in enumerate(slopes.items()):
            colour = POLICY_COLOURS[number % len(POLICY_COLOURS)]
            label = f"{name}: {found.overall:.2f} ({found.low:.2f} to {found.high:.2f})"
            for is_inside in (True, False):
                chosen = within == is_inside
                axes.scatter(
                    far[chosen],
                    found.each[chosen],
                    s=34,
                    marker=POLICY_MARKERS[number % len(POLICY_MARKERS)],
                    facecolors=colour if is_inside else "none",
                    edgecolors=colour,
                    linewidths=1.1,
                    label=label if is_inside == within.any() else None,
                )
            rows += [
                {"of": name, "distance_cm": float(d), "inside": bool(i), "slope": float(s)}
                for d, i, s in zip(far, within, found.each, strict=True)
            ]
        axes.set_xlabel("distance from the nearest demonstration (cm)")
        axes.set_ylabel("slope β")
        axes.set_title("filled: within the hull of the demonstrations", fontsize=10, fontweight="normal", color=INK)
        axes.grid(True, axis="y")
        figure.legend(loc="outside lower center", ncols=1)
    return figure, rows


def slope_map(slope: Slope, positions: ArrayLike, known: ArrayLike) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the slope at each position over the table, as the top camera sees it.

    Args:
        slope: Slopes of one policy.
        positions: Their positions, metres, `(position, 2)`.
        known: Positions of the demonstrations, metres, `(m, 2)`.
    """
    places, spots = np.asarray(positions, np.float64), np.asarray(known, np.float64)
    (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
    with new_figure(5.2, 4.2) as figure:
        axes = figure.add_subplot()
        drawn = axes.scatter(
            places[:, 1], places[:, 0], c=slope.each, cmap="viridis", vmin=0, vmax=1, s=130, edgecolors="white"
        )
        axes.scatter(spots[:, 1], spots[:, 0], marker="x", color=INK, s=36, label="demonstration")
        axes.set_xlim(y_high + 0.015, y_low - 0.015)  # y grows to the left, as the arm sees it
        axes.set_ylim(x_low - 0.015, x_high + 0.015)
        axes.set_aspect("equal")
        axes.set_xlabel("y, to the arm's left (m)")
        axes.set_ylabel("x, ahead of the arm (m)")
        figure.colorbar(drawn, ax=axes, shrink=0.7).set_label("slope β: 0 copies, 1 follows the expert")
        figure.legend(loc="outside lower center")
    rows = [
        {"x": float(x), "y": float(y), "slope": float(each)} for (x, y), each in zip(places, slope.each, strict=True)
    ]
    return figure, rows
