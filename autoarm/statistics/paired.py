"""Two policies on the same episodes: what makes an episode hard for both cancels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from autoarm.statistics.intervals import Estimate, paired
from autoarm.statistics.means import mean_paired_difference
from gym_autoarm.errors import InvalidInputError


class McNemarTest(NamedTuple):
    """Two-sided p-value, and the numbers of episodes on which only the first or only the second policy succeeded."""

    p_value: float
    only_first: int
    only_second: int


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
    one, other = paired(first, second)
    only_first, only_second = int(np.sum(one > other)), int(np.sum(other > one))
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemarTest(p_value, only_first, only_second)


def paired_difference(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Difference of two success rates on shared episodes with an interval that also works where hardly any differ.

    A bootstrap of a few episodes on which both policies always agree claims to be certain; this interval, which adds
    two episodes, one won by each policy alone, does not.
    Source: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data", Journal of Educational and Behavioral Statistics 37 (2012).

    Args:
        first: Successes of one policy, booleans `(n,)`.
        second: Successes of the other on the same episodes, in the same order, `(n,)`.
        confidence: Probability with which the interval shall hold the truth.

    Raises:
        InvalidInputError: If the two do not pair up, or hold anything but zeros and ones.
    """
    one, other = paired(first, second)
    if not np.isin([one, other], [0, 1]).all():
        raise InvalidInputError("an outcome is neither 0 nor 1", cure="give 1 for success and 0 for failure")
    won, lost = int(np.sum(one > other)), int(np.sum(other > one))
    return mean_paired_difference([won], [lost], [one.size], confidence)
