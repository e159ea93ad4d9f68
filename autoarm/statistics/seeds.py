"""Means over a few training seeds: intervals that hold the truth as often as they say.

A second training run is a new draw and a second episode of the same run is not, so that each seed counts once, however
many episodes it has. Five numbers tell their own spread badly. Student's t allows for that; a percentile bootstrap of
the same five numbers does not, and covers 84 % where it says 95 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from autoarm.statistics.intervals import Estimate, check_share, sample, wider
from autoarm.statistics.means import mean_rate
from gym_autoarm.errors import InvalidInputError


def mean_over_seeds(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of one number a training seed, with Student's t interval.

    For two recipes that share their seeds give the differences. The interval is exact where seeds scatter normally.
    Skew costs some: at five seeds whose numbers are drawn from Beta(18, 2) it covers 92 %, from Beta(9, 1) 90 %. Where
    all seeds give the very same number it has no width; `rate_over_seeds` still has one there.
    Source: Student, "The probable error of a mean", Biometrika 6 (1908).

    Args:
        values: One number for each seed, or for anything else that was drawn independently, `(n,)`.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: If there are fewer than two: a single seed has no interval.
    """
    check_share(confidence, "confidence")
    numbers = sample(values)
    if numbers.size < 2:
        raise InvalidInputError(
            "a single seed says nothing about others", field="values", cure="give at least two, better five"
        )
    mean = float(numbers.mean())
    error = numbers.std(ddof=1) / np.sqrt(numbers.size)
    half = float(stats.t.ppf((1 + confidence) / 2, numbers.size - 1) * error)
    return Estimate(mean, mean - half, mean + half)


def rate_over_seeds(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of the success rates of training seeds, each counting alike, with its interval.

    Student's t interval of the seeds' rates, made at least as wide as `mean_rate` of the same counts. That is what the
    episodes alone leave open if all seeds are equally good, and what is left where all succeed in every episode.

    Args:
        successes: Number of successes of each seed, `(n,)`.
        trials: Number of episodes of each seed, `(n,)`.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: If there are fewer than two seeds, or unless 0 <= successes <= trials and trials >= 1.
    """
    episodes_alone = mean_rate(successes, trials, confidence)
    seeds = mean_over_seeds(np.asarray(successes) / np.asarray(trials), confidence)
    _, low, high = wider(seeds, episodes_alone)
    return Estimate(seeds.estimate, max(0.0, low), min(1.0, high))
