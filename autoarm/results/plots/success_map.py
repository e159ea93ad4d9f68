"""Map of the table: where the cube lay at the start of every episode, and whether it ended in the box."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from autoarm.figures.style import FAILURE, FAINT, INK, SUCCESS, new_figure
from autoarm.results.places import place
from autoarm.results.result import Result
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene_data import restore_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASE: Final = ((-0.0225, 0.0645), (-0.055, 0.055))
"""Footprint of the arm's base plate, (x, y) bounds in metres: the lowest printed part of so101.xml."""
_TITLE_WIDTH: Final = 44
"""Characters in a line of the title."""
VIEW: Final = ((-0.045, 0.32), (-0.24, 0.19))
"""Bounds of x and of y that are shown, metres."""


def success_map(results: Sequence[Result]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the episodes of one policy over the table, seen from above as the top camera sees it.

    Args:
        results: Results of one policy, with any settings.

    Returns:
        The figure, and a row for each marker: position in metres, yaw in degrees, outcome.
    """
    rows = [row for result in results for row in map_rows(result)]
    if not rows:
        raise InvalidInputError("no episodes to draw", field="results")
    successes = sum(row["success"] for row in rows)
    with new_figure(5.2, 5.0) as figure:
        axes = figure.add_subplot()
        _draw_table(axes, results)
        _draw_episodes(axes, rows)
        names = sorted({result.policy.name for result in results})
        title = f"{', '.join(names)}: {successes} of {len(rows)} in the box"
        axes.set_title(textwrap.fill(title, _TITLE_WIDTH))
        figure.legend(loc="outside lower center", ncols=3)
    return figure, rows


def map_rows(result: Result) -> list[dict[str, Any]]:
    """The data of the map: one row an episode."""
    scenes = [restore_scene(row.scene) for row in result.rows]
    return [
        {
            "policy": result.policy.name,
            "place": place(result),
            "group": row.group,
            "seed": row.seed,
            "cube_x": scene.cube.x,
            "cube_y": scene.cube.y,
            "cube_yaw": scene.cube.yaw,
            "success": row.success,
            "stage": row.stage,
            "steps": row.steps,
        }
        for row, scene in zip(result.rows, scenes, strict=True)
    ]


def _draw_episodes(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    for success, marker, colour, name in ((True, "o", SUCCESS, "success"), (False, "X", FAILURE, "failure")):
        points = [(row["cube_y"], row["cube_x"]) for row in rows if row["success"] is success]
        axes.scatter(
            [y for y, _ in points],
            [x for _, x in points],
            s=58,
            marker=marker,
            color=colour,
            edgecolors="white",
            linewidths=0.928,
            zorder=4,
            label=f"{name} ({len(points)})",
        )


def _draw_table(axes: Axes, results: Sequence[Result]) -> None:
    from matplotlib.patches import Rectangle

    (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
    axes.add_patch(
        Rectangle(
            (y_low, x_low),
            y_high - y_low,
            x_high - x_low,
            facecolor="#f4f1ea",
            edgecolor=FAINT,
            linestyle=(0, (4, 3)),
            zorder=1,
        )
    )
    axes.text(y_high, x_high + 0.004, "work area", color="#5b636d", fontsize=9, va="bottom", ha="left")
    axes.scatter(
        [y for _, y in spec.SPOTS.values()],
        [x for x, _ in spec.SPOTS.values()],
        s=260,
        marker="s",
        facecolors="none",
        edgecolors=INK,
        linewidths=1.1,
        zorder=2,
        label="training spot",
    )
    # The box is drawn where it stands in most episodes: a suite moves it in some, and all boxes would hide the table.
    boxes = Counter(restore_scene(row.scene).box for result in results for row in result.rows)
    ((box, _),) = boxes.most_common(1)
    low_x, low_y = box.x - box.inner / 2, box.y - box.inner / 2
    axes.add_patch(Rectangle((low_y, low_x), box.inner, box.inner, facecolor="#dbe6f2", edgecolor="#0072B2", zorder=1))
    axes.text(box.y, box.x, "box", color="#0b4f7d", ha="center", va="center")
    (base_low, base_high), (base_right, base_left) = BASE
    axes.add_patch(
        Rectangle((base_right, base_low), base_left - base_right, base_high - base_low, facecolor="#3b4048", zorder=1)
    )
    axes.text(0.0, (base_low + base_high) / 2, "arm", color="white", ha="center", va="center")
    axes.set_xlim(VIEW[1][1], VIEW[1][0])  # y grows to the left, as the arm sees it
    axes.set_ylim(*VIEW[0])
    axes.set_aspect("equal")
    axes.set_xlabel("y, to the arm's left (m)")
    axes.set_ylabel("x, ahead of the arm (m)")
    axes.grid(True)
