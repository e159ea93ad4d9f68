"""Types that the functions of this package return, and checks of their arguments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_autoarm.errors import InvalidInputError


class ConfidenceInterval(NamedTuple):
    """Bounds of a rate or of a difference of rates."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A number with its confidence interval."""

    estimate: float
    low: float
    high: float


def wider(one: Estimate, other: Estimate) -> Estimate:
    """The estimate of `one` with the interval that holds both intervals; both are of the same quantity."""
    return Estimate(one.estimate, min(one.low, other.low), max(one.high, other.high))


def check_share(value: float, field: str) -> None:
    """Raise `InvalidInputError` unless 0 < value < 1."""
    if not 0 < value < 1:
        raise InvalidInputError(f"{value} is not between 0 and 1", field=field, cure="choose between 0 and 1")


def sample(values: ArrayLike, field: str = "values") -> NDArray[np.float64]:
    """Numbers `(n,)`, n >= 1, as float64. Raises `InvalidInputError` if they are anything else."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidInputError(
            f"shape {array.shape}, or a number that is not finite",
            field=field,
            cure="give one finite number an episode",
        )
    return array


def paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two samples `(n,)` of the same episodes. Raises `InvalidInputError` if they do not pair up."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        raise InvalidInputError(
            f"outcomes of shapes {one.shape} and {other.shape} do not pair up",
            cure="give one number an episode, of the same episodes in the same order",
        )
    return one, other
