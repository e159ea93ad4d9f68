"""Grouped horizontal bars, as several sections of the report draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoarm.figures.style import POLICY_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def grouped_bars(axes: Axes, rows: Sequence[Mapping[str, Any]], column: str, kinds: Mapping[str, str]) -> None:
    """Draw a group of bars for each row, from the top down, with a bar for each kind.

    Args:
        axes: Where to draw.
        rows: The data of the figure.
        column: Column with the groups' names.
        kinds: Labels by column of the bars' values.
    """
    places, step = np.arange(len(rows)), round(0.8 / len(kinds), 2)
    for number, (kind, label) in enumerate(kinds.items()):
        values = [float(row[kind]) for row in rows]
        lines = places + step * (number - (len(kinds) - 1) / 2)
        axes.barh(lines, values, step - 0.02, color=POLICY_COLOURS[number], label=label)
    axes.set_yticks(places, [str(row[column]) for row in rows])
    axes.invert_yaxis()
