"""Means over strata, such as the axes of a suite, each counting alike: intervals that work near 0 and 1.

Where nearly all episodes end alike, a bootstrap claims to be certain, and intervals of the single strata put together
are far too wide. What helps is to add a few episodes that did not happen, spread over the strata: the more strata, the
less to each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from autoarm.statistics.intervals import Estimate, check_share
from gym_autoarm.errors import InvalidInputError


def mean_rate(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of the success rates of independent strata, with its interval.

    Four episodes, two of them successes, are spread over the strata before the variance is taken.
    Source: R. M. Price and D. G. Bonett, "An improved confidence interval for a linear function of binomial
    proportions", Computational Statistics & Data Analysis 45 (2004); of one stratum it is A. Agresti and B. A. Coull's
    (1998), of two A. Agresti and B. Caffo's (2000).

    Args:
        successes: Number of successes in each stratum, `(k,)`.
        trials: Number of episodes in each stratum, `(k,)`.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: Unless there are strata, and 0 <= successes <= trials and trials >= 1 in each.
    """
    won, episodes = _counts(successes, trials, confidence)
    added = 4 / won.size
    rates = (won + added / 2) / (episodes + added)
    variance = np.sum(rates * (1 - rates) / (episodes + added)) / won.size**2
    estimate = float(np.mean(won / episodes))
    return _interval(estimate, float(rates.mean()), float(variance), confidence, (0.0, 1.0))


def mean_paired_difference(
    only_first: ArrayLike, only_second: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Mean over strata of the difference of two success rates on shared episodes, first minus second.

    Two episodes, one won by each policy alone, are spread over the strata before the variance is taken.
    Source: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data", Journal of Educational and Behavioral Statistics 37 (2012), spread as in `mean_rate`.

    Args:
        only_first: Number of episodes in each stratum on which only the first policy succeeded, `(k,)`.
        only_second: Number of episodes on which only the second policy succeeded, `(k,)`.
        trials: Number of shared episodes in each stratum, `(k,)`.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: Unless there are strata, and each count fits its trials.
    """
    one, episodes = _counts(only_first, trials, confidence)
    other, _ = _counts(only_second, trials, confidence)
    _counts(one + other, trials, confidence)
    added = 2 / one.size
    first, second = (one + added / 2) / (episodes + added), (other + added / 2) / (episodes + added)
    middle = first - second
    variance = np.sum((first + second - middle**2) / (episodes + added)) / one.size**2
    estimate = float(np.mean((one - other) / episodes))
    return _interval(estimate, float(middle.mean()), float(variance), confidence, (-1.0, 1.0))


def _interval(
    estimate: float, middle: float, variance: float, confidence: float, bounds: tuple[float, float]
) -> Estimate:
    half = float(stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance))
    # The middle is shrunk: where every episode ended alike the estimate itself must stay inside.
    low, high = min(middle - half, estimate), max(middle + half, estimate)
    return Estimate(estimate, max(bounds[0], low), min(bounds[1], high))


def _counts(
    successes: ArrayLike, trials: ArrayLike, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_share(confidence, "confidence")
    won, episodes = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    if won.ndim != 1 or won.shape != episodes.shape or not won.size:
        raise InvalidInputError(
            f"counts of shapes {won.shape} and {episodes.shape}",
            field="trials",
            cure="give one number of successes and one of trials for each stratum",
        )
    if (episodes < 1).any() or (won < 0).any() or (won > episodes).any():
        raise InvalidInputError(
            "a stratum has an impossible count", field="successes", cure="0 <= successes <= trials, trials >= 1"
        )
    return won, episodes
