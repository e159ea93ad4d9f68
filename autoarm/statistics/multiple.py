"""Correction of p-values for the number of tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_autoarm.errors import InvalidInputError


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted so that rejecting those up to alpha errs anywhere at all with probability alpha at most.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979). It asks nothing of how the tests depend on each other.

    Args:
        p_values: P-values of the tests of one family, such as one for each axis, `(n,)`.

    Returns:
        Adjusted p-values in the same order, `(n,)`.

    Raises:
        InvalidInputError: If one is not between 0 and 1.
    """
    raw = np.asarray(p_values, np.float64)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise InvalidInputError(
            "not a list of numbers between 0 and 1", field="p_values", cure="give one p-value for each test"
        )
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    # The smallest of n is held against alpha / n, the next against alpha / (n - 1); none may overtake its predecessor.
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1)))
    return adjusted
