"""Plot of absorption: through which tokens the arm's state reaches the action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.methods.absorption import Absorption
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WAYS = {
    "direct": "state token\n(direct)",
    "indirect": "pixel tokens\n(indirect)",
    "rest": "other tokens",
    "blocked": "left when nobody\nlooks at the state",
}


def absorption_bars(found: Mapping[str, Absorption]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the shares of the state's effect on the action: bars for means, dots for observations.

    Args:
        found: Results by name, such as that of the policy.

    Returns:
        The figure, and a row for each bar.
    """
    if not found:
        raise InvalidInputError("nothing to draw", field="found")
    rows = []
    width = 0.8 / len(found)
    with new_figure(6.2, 3.8) as figure:
        axes = figure.add_subplot()
        for number, (name, absorption) in enumerate(found.items()):
            colour = POLICY_COLOURS[number % len(POLICY_COLOURS)]
            means = absorption.means()
            places = np.arange(len(_WAYS)) + (number - (len(found) - 1) / 2) * width
            axes.bar(places, [means[way] for way in _WAYS], 0.9 * width, color=colour, alpha=0.75, label=name)
            for place, way in zip(places, _WAYS, strict=True):
                values = getattr(absorption, way)
                shift = np.linspace(-0.3, 0.3, len(values)) * width
                axes.scatter(place + shift, values, s=7, color=colour, alpha=0.5, linewidths=0)
                rows.append({"of": name, "way": way, "share": means[way], "observations": len(values)})
        axes.axhline(0, color=FAINT, linewidth=1)
        axes.axhline(1, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(_WAYS)), list(_WAYS.values()))
        axes.set_ylabel("share of the state's effect on the action")
        axes.grid(True, axis="y")
        figure.legend(loc="outside lower center", ncols=len(found))
    return figure, rows
