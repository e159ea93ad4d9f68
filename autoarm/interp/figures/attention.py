"""Figure of cross-attention: the cameras' frames one above the other, tinted on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoarm.figures.style import new_figure
from autoarm.interp.methods.attention import CrossAttention, Frame, overlay, shared_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NUMBERS: Final = 48
"""Largest number of cells of a grid that get their value written in; more would not be readable."""
_PAPER: Final = 245
"""Grey level under the colour bar."""


def attention_figure(frames: Mapping[str, Frame], attention: CrossAttention) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw cross-attention over the frames, mean over heads and slots.

    Args:
        frames: RGB uint8 frame of each camera in the attention's layout, as the policy got it.
        attention: Cross-attention of one decoder layer.

    Returns:
        The figure, and a row for each token with its share of the attention.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    maps = attention.maps()
    scale = shared_scale(list(maps.values()))
    ramp = np.full((1, 256, 3), _PAPER, np.uint8)
    colours = overlay(ramp, np.linspace(0, 1, 256, dtype=np.float32)[None], 1.0)[0] / 255
    with new_figure(5.2, 0.3 + 3.35 * len(maps)) as figure:
        panels = figure.subplots(len(maps), 1, squeeze=False)[:, 0]
        for axes, (camera, grid) in zip(panels, maps.items(), strict=True):
            height, width = frames[camera].shape[:2]
            axes.imshow(overlay(frames[camera], grid, scale))
            axes.set_title(f"{camera} camera: {_percent(float(grid.sum()))} of the attention")
            axes.set_axis_off()
            if grid.size > _MOST_NUMBERS:
                continue
            for (row, column), value in np.ndenumerate(grid):
                axes.text(
                    (column + 0.03) * width / grid.shape[1],
                    (row + 0.97) * height / grid.shape[0],
                    _percent(float(value)),
                    color="white",
                    ha="left",
                    va="bottom",
                    fontsize=8,
                    bbox={"boxstyle": "round,pad=0.2", "facecolor": "#000000aa", "linewidth": 0},
                )
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, scale), ListedColormap(colours)), ax=list(panels), shrink=0.6, aspect=30
        )
        bar.ax.yaxis.set_major_formatter(lambda value, _: _percent(value))
        bar.set_label("share of the attention per patch")
    return figure, attention_rows(attention)


def attention_rows(attention: CrossAttention) -> list[dict[str, Any]]:
    """Rows of the figure's data: the share of every token, mean over heads and slots."""
    rows: list[dict[str, Any]] = [
        {"token": name, "row": "", "column": "", "share": float(attention.token(name).mean())}
        for name in attention.layout.vectors
    ]
    for camera, grid in attention.maps().items():
        for (row, column), value in np.ndenumerate(grid):
            rows.append({"token": camera, "row": row, "column": column, "share": float(value)})
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
