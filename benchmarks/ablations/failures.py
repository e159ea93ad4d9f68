"""Where and how a policy fails: `python benchmarks/ablations/failures.py RESULT`.

A table for every kind of failure, and the share of failures over the cube's x, y and turn against the arm's direction.
A cube looks alike after a quarter turn, so that one at 45 degrees could be grasped either way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import tyro
from numpy.typing import NDArray

from autoarm.results.result import EpisodeRow, Result
from gym_autoarm.kinematics import wrap
from gym_autoarm.scene_data import restore_scene
from gym_autoarm.spec import WORK_AREA

PLACES: Final = ("x", "y", "turn")


@dataclass
class Options:
    """Tell where and how a policy fails.

    Example: python benchmarks/ablations/failures.py outputs/act-everywhere.json
    """

    result: tyro.conf.Positional[Path]
    """A result of `autoarm eval` or `autoarm bench`."""
    bins: int = 5
    """Number of bins of x, of y and of the turn."""


def places(row: EpisodeRow) -> tuple[float, float, float]:
    """The cube's x and y (metres), and how far it is turned from the arm's direction to it (degrees, 0 to 45)."""
    cube = restore_scene(row.scene).cube
    direction = np.degrees(np.arctan2(cube.y, cube.x))
    return cube.x, cube.y, abs(wrap(cube.yaw - direction, 90.0))


def failures_by(values: NDArray[np.floating], failed: NDArray[np.bool_], edges: NDArray[np.floating]) -> list[str]:
    """`failures/episodes` between neighbouring edges; what lies beyond the outermost belongs to the outermost bin."""
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return [f"{failed[bins == each].sum()}/{(bins == each).sum()}" for each in range(len(edges) - 1)]


def tables(rows: list[EpisodeRow], bins: int) -> str:
    """Tables of failures in Markdown."""
    failed = np.array([not row.success for row in rows])
    kinds = Counter(row.failure or "unknown" for row in rows if not row.success)
    lines = ["| failure | episodes |", "|---|---|"]
    lines += [f"| {kind} | {count} |" for kind, count in kinds.most_common()]
    limits = (*WORK_AREA, (0.0, 45.0))
    for name, values, (low, high) in zip(PLACES, np.array([places(row) for row in rows]).T, limits, strict=True):
        edges = np.linspace(low, high, bins + 1)
        unit, scale = ("degrees", 1) if name == "turn" else ("cm", 100)
        spans = [f"{round(scale * a, 1):g} to {round(scale * b, 1):g}" for a, b in pairwise(edges)]
        lines += ["", f"| {name}, {unit} | {' | '.join(spans)} |", "|---" * (bins + 1) + "|"]
        lines.append(f"| failed | {' | '.join(failures_by(values, failed, edges))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options)
    print(tables(list(Result.load(options.result).rows), options.bins), end="")


if __name__ == "__main__":
    main()
