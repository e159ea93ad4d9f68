"""Figures of probes: scores of each target at each site, beside the control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from autoarm.figures.style import FAILURE, FAINT, INK, POLICY_COLOURS, new_figure
from autoarm.interp.methods.probes import ChannelScores, ProbeScore
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def probe_table(scores: Sequence[ProbeScore]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw a cell for each site and target: its score, and its control's below it; one block for each split.

    Args:
        scores: As `probe_sites` returns them.

    Returns:
        The figure, and a row for each cell.
    """
    rows = [asdict(score) | {"selectivity": score.selectivity} for score in scores]
    if not rows:
        raise InvalidInputError("no scores to draw", field="scores")
    splits = list(dict.fromkeys(score.split for score in scores))
    sites = list(dict.fromkeys(score.site for score in scores))
    targets = list(dict.fromkeys(score.target for score in scores))
    with new_figure(3.0 + 0.75 * len(targets) * len(splits), 2.4 + 0.36 * len(sites)) as figure:
        panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            image = _draw(axes, [score for score in scores if score.split == split], sites, targets)
            axes.set_title(f"tested on other {split}s")
        bar = figure.colorbar(image, ax=list(panels), shrink=0.6, aspect=25)
        bar.set_label("R², or balanced accuracy; small: control task")
    return figure, rows


def _draw(axes: Axes, scores: Sequence[ProbeScore], sites: Sequence[str], targets: Sequence[str]) -> Any:
    grid = np.full((len(sites), len(targets)), np.nan)
    for score in scores:
        row, column = sites.index(score.site), targets.index(score.target)
        grid[row, column] = score.score
        colour = "white" if score.score > 0.55 else INK
        axes.text(column, row - 0.1, _short(score.score), ha="center", va="center", color=colour, fontsize=8.5)
        axes.text(column, row + 0.28, _short(score.control), ha="center", va="center", color=colour, fontsize=6)
    image = axes.imshow(np.clip(grid, 0, 1), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(targets)), targets, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(sites)), sites)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def channel_histogram(scores: ChannelScores) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw histograms of the channels' balanced accuracy, with leaky folds and with folds by group."""
    rows = [
        {"channel": number, "leaky": float(leaky), "grouped": float(grouped)}
        for number, (leaky, grouped) in enumerate(zip(scores.leaky, scores.grouped, strict=True))
    ]
    bins = np.linspace(0, 1, 21).tolist()
    with new_figure(5.2, 3.2) as figure:
        axes = figure.add_subplot()
        axes.hist(scores.leaky, bins, histtype="step", color=FAILURE, linewidth=1.8, label="frames split at random")
        axes.hist(scores.grouped, bins, color=POLICY_COLOURS[0], alpha=0.75, label="no group on both sides")
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(0.49, axes.get_ylim()[1], "guess", color="#5b636d", fontsize=9, ha="right", va="top")
        axes.set_xlim(0, 1.01)
        axes.set_xlabel("balanced accuracy of one channel's probe")
        axes.set_ylabel("channels")
        figure.legend(loc="outside lower center", ncols=2)
    return figure, rows


def _short(value: float) -> str:
    return f"{value:.2f}" if value > -1 else "< −1"
