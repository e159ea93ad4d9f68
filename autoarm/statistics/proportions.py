"""The interval of one success rate."""

from __future__ import annotations

from scipy import stats

from autoarm.statistics.intervals import ConfidenceInterval, check_share
from gym_autoarm.errors import InvalidInputError


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


def _check_counts(successes: int, trials: int, confidence: float) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidInputError(
            f"{successes} successes of {trials} are no count",
            field="successes",
            cure="0 <= successes <= trials, trials >= 1",
        )
    check_share(confidence, "confidence")
