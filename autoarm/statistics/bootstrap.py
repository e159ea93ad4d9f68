"""Bootstrap intervals: resample what was sampled independently, and keep together what was not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.statistics.intervals import Estimate, check_share, sample
from gym_autoarm.errors import InvalidInputError

Statistic = Callable[[NDArray[np.float64]], float]


def stratified_bootstrap(
    strata: Sequence[ArrayLike], rng: np.random.Generator, resamples: int = 10_000, confidence: float = 0.95
) -> Estimate:
    """Mean of the means of several strata, such as the axes of a suite, with its percentile interval.

    Every stratum counts alike whatever its size, and each is resampled by itself, for their sizes were chosen and not
    drawn. For two policies on shared episodes give the differences.
    Source: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.2; for
    comparing learned policies R. Agarwal and others, "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021.

    Args:
        strata: The numbers of each stratum, such as successes, `(n_k,)`.
        rng: Generator that draws the resamples.
        resamples: Number of resamples.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: If there are no strata, or one is empty.
    """
    _check(resamples, confidence)
    if not len(strata):
        raise InvalidInputError("there is nothing to resample", field="strata", cure="give at least one stratum")
    samples = [sample(stratum, "strata") for stratum in strata]
    means = np.mean([resampled_means(each, rng, resamples) for each in samples], axis=0)
    return _percentiles(float(np.mean([each.mean() for each in samples])), means, confidence)


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    statistic: Statistic,
    rng: np.random.Generator,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate:
    """A statistic with its percentile interval where values come in clusters, such as episodes of a training seed.

    Whole clusters are resampled: a second training run is a new draw, a second episode of the same run is not. With
    few clusters the interval is too narrow: of the mean of five it covers 84 % where it says 95 %, of ten 90 %. For
    means over seeds there is `mean_over_seeds`.
    Source: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8; C. A. Field
    and A. H. Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).

    Args:
        values: The numbers, `(n,)`.
        clusters: The cluster of each value, labels of any one type, `(n,)`.
        statistic: Function of values `(m,)`; m differs from resample to resample if cluster sizes differ.
        rng: Generator that draws the resamples.
        resamples: Number of resamples.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: If values and clusters do not pair up, or there are fewer than two clusters.
    """
    _check(resamples, confidence)
    numbers, labels = sample(values), np.asarray(clusters)
    if labels.shape != numbers.shape:
        raise InvalidInputError(
            f"shape {labels.shape}, the values have {numbers.shape}", field="clusters", cure="give one label a value"
        )
    members = [numbers[labels == label] for label in np.unique(labels)]
    if len(members) < 2:
        raise InvalidInputError(
            "a single cluster says nothing about others", field="clusters", cure="give at least two, better ten"
        )
    draws = rng.integers(len(members), size=(resamples, len(members)))
    found = np.array([statistic(np.concatenate([members[number] for number in draw])) for draw in draws])
    return _percentiles(float(statistic(numbers)), found, confidence)


def resampled_means(values: NDArray[np.float64], rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """Means `(resamples,)` of samples drawn from `values` `(n,)` with replacement."""
    # How often each distinct value is drawn is multinomial: the same distribution as drawing indices, and for outcomes,
    # which have two values, hundreds of times faster.
    distinct, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(values.size, counts / values.size, size=resamples)
    return np.asarray(drawn @ distinct / values.size, np.float64)


def _percentiles(estimate: float, found: NDArray[np.float64], confidence: float) -> Estimate:
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(estimate, float(low), float(high))


def _check(resamples: int, confidence: float) -> None:
    if resamples < 1:
        raise InvalidInputError(f"{resamples} resamples show nothing", field="resamples", cure="at least 1000")
    check_share(confidence, "confidence")
