"""Slope of a policy's actions between those of the nearest demonstration (0) and those of the expert (1).

At a position that was not demonstrated, a policy that copies acts as in the nearest demonstration (slope 0), and one
that generalises acts as the expert would (slope 1). Between demonstrated positions interpolation gives about 1 too, so
positions inside and outside their convex hull should be reported apart.

Arrays are in one unit for all joints, such as the policy's normalised one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import Delaunay, QhullError

from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from autoarm.interp.methods.memory import MemorySplit

Floats = NDArray[np.float64]

_LEAST_WAY: Final = 1e-6
"""Root mean square between two chunks below which no slope is computed."""


@dataclass(frozen=True, eq=False)
class Slope:
    """A slope fitted by least squares through the origin.

    Attributes:
        overall: Slope over all positions together.
        each: Slope of each position, `(position,)`; NaN where demonstration and expert act alike.
        low: Lower end of the 95 % interval of `overall`, by resampling positions; NaN for one position.
        high: Its upper end.
    """

    overall: float
    each: Floats
    low: float
    high: float


def slope(predicted: ArrayLike, nearest: ArrayLike, expert: ArrayLike, draws: int = 1000, seed: int = 0) -> Slope:
    """The slope of a policy's chunks: 0 is the nearest demonstration's, 1 the expert's.

    Args:
        predicted: Chunks of the policy, `(position, ...)`.
        nearest: Chunks of the nearest demonstration, or those of the policy at its position.
        expert: Chunks of the expert.
        draws: Bootstrap draws over positions.
        seed: Random seed of the bootstrap.

    Raises:
        InvalidInputError: If shapes differ, a value is not finite, or demonstration and expert agree everywhere.
    """
    policy, known, right = (np.asarray(values, np.float64) for values in (predicted, nearest, expert))
    if not policy.shape == known.shape == right.shape or policy.ndim < 2 or not len(policy):
        raise InvalidInputError(f"shapes {policy.shape}, {known.shape} and {right.shape}", field="predicted")
    return change_slope(policy - known, right - known, draws, seed)


def change_slope(change: ArrayLike, wanted: ArrayLike, draws: int = 1000, seed: int = 0) -> Slope:
    """The slope from differences: how the policy's chunks change between two positions, and how they should."""
    done, way = _rows(change), _rows(wanted)
    if done.shape != way.shape or not (np.isfinite(done).all() and np.isfinite(way).all()):
        raise InvalidInputError(f"{done.shape} for {way.shape}, or not finite", field="change")
    covered, length = (done * way).sum(axis=1), (way**2).sum(axis=1)
    enough = np.sqrt(length / way.shape[1]) > _LEAST_WAY
    if not enough.any():
        raise InvalidInputError("there is nothing to follow", field="expert", cure="choose other positions")
    each: Floats = np.full(len(way), np.nan)
    np.divide(covered, length, out=each, where=enough)
    low = high = float("nan")
    if len(way) > 1 and draws:
        rows = np.random.default_rng(seed).integers(len(way), size=(draws, len(way)))
        sums, lengths = covered[rows].sum(axis=1), length[rows].sum(axis=1)
        low, high = map(float, np.quantile(sums[lengths > 0] / lengths[lengths > 0], [0.025, 0.975]))
    return Slope(float(covered.sum() / length.sum()), each, low, high)


def split_slopes(changes: Mapping[str, ArrayLike], wanted: ArrayLike, draws: int = 1000) -> dict[str, Slope]:
    """The slope of each part of a change; the slopes of all parts sum to that of the whole change, for each pair too.

    Args:
        changes: Change of each part of the chunk, such as skip and MLP, `(pair, ...)`.
        wanted: How the whole chunk should change, `(pair, ...)`.
        draws: Bootstrap draws over pairs, the same for all parts.
    """
    return {name: change_slope(change, wanted, draws) for name, change in changes.items()}


def split_changes(here: MemorySplit, there: MemorySplit) -> dict[str, Floats]:
    """How the parts of a policy's chunks differ between two batches: `skip`, `mlp` and `constant` sum to the whole.

    The constant comes from the biases, which pass through norms that depend on the observation and so change a little.
    """
    if here.action.shape != there.action.shape:
        raise InvalidInputError(f"{here.action.shape} for {there.action.shape}", field="there", cure="give pairs")
    return {
        "skip": here.skip - there.skip,
        "mlp": here.mlp - there.mlp,
        "constant": here.constant - there.constant,
    }


def inside_hull(positions: ArrayLike, known: ArrayLike) -> NDArray[np.bool_]:
    """Which positions `(n, 2)` lie within the convex hull of the known ones `(m, 2)`.

    Raises:
        InvalidInputError: If the known ones span no area.
    """
    try:
        hull = Delaunay(np.asarray(known, np.float64))
    except (QhullError, ValueError) as error:
        raise InvalidInputError("they span no area", field="known", cure="give three or more not in line") from error
    return np.asarray(hull.find_simplex(np.asarray(positions, np.float64)) >= 0)


def _rows(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)
