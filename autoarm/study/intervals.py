"""How sure a criterion's estimate is: its interval, and the sentences about it in the report.

Seeds, or positions, are what was drawn independently, and each counts alike, however many of its rows are defined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.statistics import Estimate, cluster_bootstrap, mean_over_seeds, rate_over_seeds
from autoarm.study.plan import Measure, Study
from gym_autoarm.rng import stream

_OUTCOMES: Final = "success"
"""The metric whose rows are episodes: 1 for a success, 0 for a failure."""


def interval(study: Study, measure: Measure, policy: str, values: Sequence[float], clusters: Sequence[int]) -> Estimate:
    """Mean of the clusters' means, with its interval.

    Args:
        study: Its `resamples` choose the method, its `confidence` how sure the interval is.
        measure: What was measured.
        policy: The recipe or control that was measured.
        values: The rows' values, `(n,)`.
        clusters: The seed, or the position, of each row, `(n,)`; two different ones at least.
    """
    members = by_cluster(values, clusters)
    if study.resamples is not None:
        return _resampled(study, study.resamples, measure, policy, members)
    if measure.metric == _OUTCOMES:
        successes, episodes = zip(*((own.sum(), own.size) for own in members.values()), strict=True)
        return rate_over_seeds(successes, episodes, study.confidence)
    return mean_over_seeds([own.mean() for own in members.values()], study.confidence)


def by_cluster(values: Sequence[float], clusters: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """The values of each seed or position, in the order of their numbers."""
    numbers, labels = np.asarray(values, np.float64), np.asarray(clusters)
    return {int(label): numbers[labels == label] for label in np.unique(labels)}


def interval_method(study: Study) -> str:
    """How the intervals were made; the end of a sentence about the estimates."""
    if study.resamples is not None:
        return "its interval comes from resampling whole seeds or positions"
    return (
        "its interval is Student’s t interval of the seeds’ or positions’ means, for success rates at least as wide as "
        "the episodes alone make it"
    )


def interval_caveat(study: Study) -> str:
    """What the intervals do not say; a sentence."""
    if study.resamples is not None:
        return "Intervals from five seeds tend to be too narrow."
    return (
        "Intervals are too narrow where a rare seed would be far off; where all seeds gave the very same number, the "
        "interval is that number."
    )


def _resampled(
    study: Study, resamples: int, measure: Measure, policy: str, members: Mapping[int, NDArray[np.float64]]
) -> Estimate:
    means = [float(own.mean()) for own in members.values()]
    rng = stream(0, study.name, measure.name, policy)
    return cluster_bootstrap(means, list(members), lambda drawn: float(drawn.mean()), rng, resamples, study.confidence)
