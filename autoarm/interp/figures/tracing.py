"""Figure of causal tracing: how much of an action's change each layer, token group and part carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoarm.figures.style import INK, POLICY_COLOURS, new_figure
from autoarm.interp.methods.tracing import DECODER_PARTS, PARTS, Trace
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"attention": "what attention adds", "mlp": "what the MLP adds", "stream": "all that leaves it"}


def tracing_grid(trace: Trace) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the mean normalised effect: a grid of layers and token groups for each part, and the decoder's bars.

    Returns:
        The figure, and a row for each place.
    """
    rows = trace.rows()
    if not rows:
        raise InvalidInputError(
            "clean and source act alike everywhere", field="trace", cure="choose other observations"
        )
    means = _means(trace.encoder)
    with new_figure(10.5, 1.9 + 0.42 * len(trace.layers)) as figure:
        panels = figure.subplots(1, len(PARTS) + 1, width_ratios=[1] * len(PARTS) + [0.9])
        for number, (axes, part) in enumerate(zip(panels, PARTS, strict=False)):
            image = axes.imshow(means[..., number], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
            for (row, column), value in np.ndenumerate(means[..., number]):
                if np.isfinite(value):
                    colour = "white" if abs(value) > 0.6 else INK
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
            axes.set_title(_TITLES[part])
            axes.set_xticks(range(len(trace.groups)), trace.groups, rotation=35, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(trace.layers)), trace.layers if not number else [])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel("encoder layer")
        bars = panels[-1]
        heights = _means(trace.decoder)
        bars.barh(range(len(DECODER_PARTS)), heights, color=POLICY_COLOURS[0], height=0.6)
        for place, value in enumerate(heights):
            bars.text(max(value, 0.0) + 0.04, place, f"{value:.2f}", va="center", fontsize=9)
        bars.set_yticks(range(len(DECODER_PARTS)), DECODER_PARTS)
        bars.set_ylim(len(DECODER_PARTS) - 0.4, -0.6)
        bars.set_xlim(min(0.0, float(np.nanmin(heights))), 1.3)
        bars.set_title("decoder, all slots")
        bars.set_xlabel("normalised effect")
        bars.grid(True, axis="x")
        bar = figure.colorbar(image, ax=list(panels[: len(PARTS)]), location="bottom", shrink=0.4, aspect=35)
        bar.set_label("normalised effect of patching the tokens: 0 none, 1 the whole change of the action")
    return figure, rows


def _means(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    known = np.isfinite(values)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(sums, known.sum(axis=0), out=np.full(sums.shape, np.nan), where=known.any(axis=0)))
