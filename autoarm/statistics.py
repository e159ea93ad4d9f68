"""Honest numbers about success rates: intervals for one policy, paired comparisons of two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gym_autoarm.errors import InvalidInputError


class ConfidenceInterval(NamedTuple):
    """Bounds of a rate or of a difference of rates."""

    low: float
    high: float


class McNemarTest(NamedTuple):
    """Two policies on the same episodes: the two-sided p-value and how often just one of them succeeded."""

    p_value: float
    only_first: int
    only_second: int


class Difference(NamedTuple):
    """An estimated difference with its confidence interval."""

    estimate: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> ConfidenceInterval:
    """The score interval of a binomial proportion: right on average, and sensible at 0 and at all successes.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
    recommended for small samples by Brown, Cai and DasGupta, Statistical Science 16 (2001).

    Raises:
        InvalidInputError: Unless 0 <= successes <= trials, trials >= 1 and 0 < confidence < 1.
    """
    _check_counts(successes, trials, confidence)
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return ConfidenceInterval(float(interval.low), float(interval.high))


def clopper_pearson_interval(successes: int, trials: int, confidence: float = 0.95) -> ConfidenceInterval:
    """The exact interval of a binomial proportion: covers at least as often as it says, and is wider for it.

    Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934).

    Raises:
        InvalidInputError: Unless 0 <= successes <= trials, trials >= 1 and 0 < confidence < 1.
    """
    _check_counts(successes, trials, confidence)
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return ConfidenceInterval(float(interval.low), float(interval.high))


def mcnemar_exact(first: ArrayLike, second: ArrayLike) -> McNemarTest:
    """Whether two policies differ on shared episodes, from the episodes where just one succeeded.

    Under the null hypothesis each of these is a fair coin, so the p-value is an exact binomial tail.
    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947).

    Args:
        first: Successes of one policy, booleans `(n,)`.
        second: Successes of the other on the same episodes, in the same order, `(n,)`.

    Raises:
        InvalidInputError: If the two do not pair up.
    """
    one, other = _paired(first, second)
    only_first, only_second = int(np.sum(one > other)), int(np.sum(other > one))
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemarTest(p_value, only_first, only_second)


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, resamples: int = 10_000, confidence: float = 0.95
) -> Difference:
    """Mean of `first - second` over shared episodes, with its percentile interval.

    Episodes are resampled whole, so what makes one hard for both policies cancels.
    Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 8 and 13.

    Args:
        first: A number an episode, such as success, `(n,)`.
        second: The same of the other policy on the same episodes, in the same order, `(n,)`.
        rng: Draws the resamples.
        resamples: How many.
        confidence: Of the interval.

    Raises:
        InvalidInputError: If the two do not pair up.
    """
    one, other = _paired(first, second)
    difference = one - other
    means = np.array([rng.choice(difference, difference.size).mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(float(difference.mean()), float(low), float(high))


def _check_counts(successes: int, trials: int, confidence: float) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidInputError(
            f"{successes} successes of {trials} are no count",
            field="successes",
            cure="0 <= successes <= trials, trials >= 1",
        )
    if not 0 < confidence < 1:
        raise InvalidInputError(f"{confidence} is no confidence", field="confidence", cure="choose between 0 and 1")


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        raise InvalidInputError(
            f"outcomes of shapes {one.shape} and {other.shape} do not pair up",
            cure="give one number an episode, of the same episodes in the same order",
        )
    return one, other
