"""Figures of the action lens and the image lens, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.methods.image_lens import ImageLens
from autoarm.interp.methods.lens import ActionLens
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def action_lens_curves(
    lenses: Mapping[str, ActionLens], targets: Mapping[str, ArrayLike] | None = None
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the distance of the chunk decoded after each layer from the policy's own, or from a target.

    Args:
        lenses: Lenses by name, such as trained and untrained positions.
        targets: Target chunks by the same names; by default those of the policy.

    Returns:
        The figure, and a row for each point.
    """
    if not lenses:
        raise InvalidInputError("no lens to draw", field="lenses")
    rows = []
    with new_figure(5.6, 3.8) as figure:
        axes = figure.add_subplot()
        for number, (name, lens) in enumerate(lenses.items()):
            goal = None if targets is None else targets[name]
            for translated in (False, True):
                if translated and lens.translated is None:
                    continue
                distance = lens.distance(goal, translated)
                mean, (low, high) = distance.mean(axis=1), np.quantile(distance, [0.25, 0.75], axis=1)
                colour = POLICY_COLOURS[number % len(POLICY_COLOURS)]
                how = "translated" if translated else "as it is"
                axes.plot(lens.layers, mean, "--s" if translated else "-o", color=colour, label=f"{name}, {how}")
                axes.fill_between(lens.layers, low, high, color=colour, alpha=0.12, linewidth=0)
                rows += [
                    {"of": name, "decoded": how, "layers": layer, "distance": float(value)}
                    for layer, value in zip(lens.layers, mean, strict=True)
                ]
        axes.set_xticks(list(next(iter(lenses.values())).layers))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("encoder layers before decoding")
        axes.set_ylabel("distance to the target" if targets else "distance to what the policy does")
        axes.grid(True, axis="y")
        figure.legend(loc="outside lower center", ncols=2)
    return figure, rows


def image_lens_strip(
    lenses: Mapping[str, ImageLens], frames: NDArray[np.uint8], chosen: ArrayLike, camera: int = 0
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw frames and, row by row, their reconstructions from each site.

    Args:
        lenses: Lenses by site.
        frames: The frames that were given to the lenses.
        chosen: Numbers of a few frames.
        camera: Number of the camera.

    Returns:
        The figure, and a row for each site and frame with its error.
    """
    columns = np.asarray(chosen, np.int64)
    if not lenses or not len(columns):
        raise InvalidInputError("nothing to draw", field="lenses")
    aspect = frames.shape[2] / frames.shape[3]
    with new_figure(2.2 + 1.5 * len(columns), 0.4 + (1.5 * aspect + 0.08) * (len(lenses) + 1)) as figure:
        panels = figure.subplots(len(lenses) + 1, len(columns), squeeze=False)
        for column, number in enumerate(columns):
            panels[0, column].imshow(frames[number, camera])
            for line, lens in enumerate(lenses.values(), start=1):
                panels[line, column].imshow(lens.drawn[number, camera])
        names = ["as it was"] + [f"{name}\nexplains {_percent(lens.explained)}" for name, lens in lenses.items()]
        for axes in panels.ravel():
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color(FAINT)
        for axes, name in zip(panels[:, 0], names, strict=True):
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    rows = [
        {
            "site": name,
            "frame": int(number),
            "error": float(lens.error[number]),
            "mean frame": float(lens.mean_error[number]),
        }
        for name, lens in lenses.items()
        for number in columns
    ]
    return figure, rows


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
