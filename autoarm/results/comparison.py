"""Two results compared on the episodes that both ran."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import Result
from autoarm.statistics import (
    Estimate,
    holm,
    mcnemar_exact,
    mean_paired_difference,
    paired_difference,
    stratified_bootstrap,
    wider,
)
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

Outcomes = NDArray[np.bool_]


@dataclass(frozen=True)
class PairedAxis:
    """Two policies on the shared episodes of one axis.

    Attributes:
        episodes: Number of shared episodes.
        both: Number of episodes on which both policies succeeded.
        only_first: Number of episodes on which only the first policy succeeded.
        only_second: Number of episodes on which only the second policy succeeded.
        difference: Success rate of the first minus that of the second, with its 95 % interval.
        p_value: The p-value of McNemar's exact test.
        adjusted: The p-value after Holm's correction over the axes.
    """

    episodes: int
    both: int
    only_first: int
    only_second: int
    difference: Estimate
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class PairedResults:
    """Two policies on the shared episodes of all axes.

    Attributes:
        first: Name of the first policy.
        second: Name of the second policy.
        axes: The axes that have shared episodes.
        difference: Mean of the axes' differences, with its 95 % interval.
    """

    first: str
    second: str
    axes: dict[str, PairedAxis]
    difference: Estimate


def compare_results(first: Result, second: Result, axes: Iterable[str] | None = None) -> PairedResults:
    """Compare two results row by row, paired by group, level, index and seed.

    Args:
        first: One result.
        second: Another one, on the same suite.
        axes: Axes to compare, in this order; by default those of the first.

    Raises:
        InvalidInputError: If the two share no episodes.
    """
    shared = shared_outcomes(first, second)
    chosen = [axis for axis in (first.groups if axes is None else axes) if axis in shared]
    if not chosen:
        raise InvalidInputError(
            f"{first.policy.name} and {second.policy.name} share no episodes",
            field="rows",
            cure="measure both on the same suite, version and axes",
        )
    tests = [mcnemar_exact(*shared[axis]) for axis in chosen]
    adjusted = holm([test.p_value for test in tests])
    compared = {
        axis: PairedAxis(
            episodes=shared[axis][0].size,
            both=int(np.sum(shared[axis][0] & shared[axis][1])),
            only_first=test.only_first,
            only_second=test.only_second,
            difference=paired_difference(*shared[axis]),
            p_value=test.p_value,
            adjusted=float(p_value),
        )
        for axis, test, p_value in zip(chosen, tests, adjusted, strict=True)
    }
    differences = [shared[axis][0].astype(float) - shared[axis][1] for axis in chosen]
    rng = stream(0, "comparison", first.policy.name, second.policy.name)
    won, lost = [test.only_first for test in tests], [test.only_second for test in tests]
    closed = mean_paired_difference(won, lost, [difference.size for difference in differences])
    overall = wider(closed, stratified_bootstrap(differences, rng))
    return PairedResults(first.policy.name, second.policy.name, compared, overall)


def shared_outcomes(first: Result, second: Result) -> dict[str, tuple[Outcomes, Outcomes]]:
    """Successes of both on the episodes that both ran, `(n,)` each, by axis."""
    other = {row.key: row.success for row in second.rows}
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for row in first.rows:
        if row.key in other:
            pairs.setdefault(row.group, []).append((row.success, other[row.key]))
    columns = {axis: np.array(own, np.bool_).T for axis, own in pairs.items()}
    return {axis: (one, two) for axis, (one, two) in columns.items()}
