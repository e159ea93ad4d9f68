"""Figures of attribution: the contribution of each patch over the frames, and the curves that test it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.methods.attribution import Curves
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attribution_overlay(
    frames: Mapping[str, NDArray[np.uint8]], patches: Mapping[str, NDArray[np.float32]], what: str
) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw contributions over the frames of one observation, all cameras on one scale.

    Args:
        frames: RGB uint8 by camera, `(h, w, 3)`.
        patches: Contributions by camera, `(row, column)`.
        what: Name of the number, for the scale.

    Returns:
        The figure, and a row for each patch.
    """
    if not frames or frames.keys() != patches.keys():
        raise InvalidInputError(f"{list(frames)} and {list(patches)}", field="patches", cure="give the same cameras")
    top = max(float(np.abs(values).max()) for values in patches.values()) or 1.0
    with new_figure(0.9 + 4.2 * len(frames), 3.6) as figure:
        panels = figure.subplots(1, len(frames), squeeze=False)[0]
        for axes, (camera, frame) in zip(panels, frames.items(), strict=True):
            height, width = frame.shape[:2]
            axes.imshow(frame.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
            values = patches[camera]
            image = axes.imshow(
                values,
                cmap="PuOr_r",
                vmin=-top,
                vmax=top,
                alpha=0.25 + 0.5 * np.abs(values) / top,
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                interpolation="nearest",
            )
            axes.set_title(f"{camera} camera")
            axes.set_axis_off()
        bar = figure.colorbar(image, ax=list(panels), location="bottom", shrink=0.5, aspect=40)
        bar.solids.set_alpha(1.0)  # type: ignore[union-attr]
        bar.set_label(f"contribution to {what}")
    rows = [
        {"camera": camera, "row": row, "column": column, "contribution": float(value)}
        for camera, values in patches.items()
        for (row, column), value in np.ndenumerate(values)
    ]
    return figure, rows


def faithfulness_curves(curves: Mapping[str, Curves]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw deletion and insertion curves of some methods against random orders.

    Args:
        curves: Curves of one observation, by method.

    Returns:
        The figure, and a row for each point.
    """
    if not curves:
        raise InvalidInputError("no curve to draw", field="curves")
    rows = []
    with new_figure(7.4, 3.6) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, kind in zip(panels, ("deletion", "insertion"), strict=True):
            for number, (name, found) in enumerate(curves.items()):
                colour = POLICY_COLOURS[number % len(POLICY_COLOURS)]
                values, random = getattr(found, kind), getattr(found, f"random_{kind}")
                label = f"{name}: area {found.area(kind):.2f}, random {found.area(f'random_{kind}'):.2f}"
                axes.plot(found.fraction, values, "-o", markersize=4, color=colour, label=label)
                axes.plot(found.fraction, random.mean(axis=0), "--", color=colour, alpha=0.7)
                axes.fill_between(found.fraction, random.min(axis=0), random.max(axis=0), color=FAINT, alpha=0.15)
                rows += [
                    {"method": name, "curve": kind, "fraction": float(f), "value": float(v), "random": float(r)}
                    for f, v, r in zip(found.fraction, values, random.mean(axis=0), strict=True)
                ]
            axes.set_title(kind)
            axes.set_xlabel("share of patches and joints " + ("hidden" if kind == "deletion" else "shown"))
            axes.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none")
            axes.grid(True)
        panels[0].set_ylabel("share of the number's difference")
    return figure, rows
