"""What a number of shared episodes can show, and how many show a given difference."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from scipy import optimize, stats

from autoarm.statistics.intervals import check_share
from gym_autoarm.errors import InvalidInputError


def paired_detectable_difference(episodes: int, discordant: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference of rates that McNemar's exact test notices on shared episodes.

    Args:
        episodes: Number of episodes that the two policies share.
        discordant: Share of episodes on which just one of them succeeds: the fewer, the smaller a difference shows.
        power: Probability of noticing.
        alpha: Significance level of the test.

    Returns:
        The difference of rates; NaN if not even one policy winning all discordant episodes would be noticed.

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    _check(episodes, power, alpha)
    check_share(discordant, "discordant")
    if paired_power(episodes, discordant, discordant, alpha) < power:
        return math.nan
    found = optimize.brentq(
        lambda difference: paired_power(episodes, discordant, difference, alpha) - power, 0.0, discordant
    )
    return float(found)


def paired_episodes(
    discordant: float, difference: float, power: float = 0.8, alpha: float = 0.05, most: int = 100_000
) -> int | None:
    """How many shared episodes McNemar's exact test needs to notice a difference of rates.

    Power does not rise quite steadily with the number of episodes: a few fewer may do as well.

    Args:
        discordant: Share of episodes on which just one of the two policies succeeds.
        difference: Difference of the rates, between 0 and `discordant`.
        power: Probability of noticing.
        alpha: Significance level of the test.
        most: Largest number that is tried.

    Returns:
        The number of episodes; `None` if `most` are not enough.

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    _check(most, power, alpha)
    enough = 1
    while paired_power(enough, discordant, difference, alpha) < power:
        if enough == most:
            return None
        enough = min(2 * enough, most)
    numbers = range(enough // 2 + 1, enough)
    return bisect_left(
        numbers, True, key=lambda number: paired_power(number, discordant, difference, alpha) >= power
    ) + (enough // 2 + 1)


def paired_power(episodes: int, discordant: float, difference: float, alpha: float = 0.05) -> float:
    """Probability that McNemar's exact two-sided test on shared episodes notices a difference of rates.

    Exact: a sum over how many episodes turn out discordant, which is binomial, and over how many of these the better
    policy wins, which is binomial again.
    Source: S. W. Duffy, "Asymptotic and exact power for the McNemar test and its analogue with R controls per case",
    Biometrics 40 (1984).

    Args:
        episodes: Number of episodes that the two policies share.
        discordant: Share of episodes on which just one of them succeeds.
        difference: Difference of the rates, between 0 and `discordant`.
        alpha: Significance level of the test.

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    _check(episodes, 0.5, alpha)
    check_share(discordant, "discordant")
    if not 0 <= difference <= discordant:
        raise InvalidInputError(
            f"{difference} cannot be", field="difference", cure="0 <= difference <= discordant, the share that differs"
        )
    # Numbers of discordant episodes that are less likely than rounding errors are left out.
    least, most = stats.binom.interval(1 - 1e-13, episodes, discordant)
    counts = np.arange(int(least), int(most) + 1)
    # The largest count of wins, for each number of discordant episodes, that is still significantly few; -1 for none.
    few = np.asarray(stats.binom.ppf(alpha / 2, counts, 0.5)) - 1
    few = np.where(stats.binom.cdf(few + 1, counts, 0.5) <= alpha / 2, few + 1, few)
    wins = (discordant + difference) / (2 * discordant)
    rejected = stats.binom.cdf(few, counts, wins) + stats.binom.cdf(few, counts, 1 - wins)
    return float(np.sum(stats.binom.pmf(counts, episodes, discordant) * rejected))


def _check(episodes: int, power: float, alpha: float) -> None:
    if episodes < 1:
        raise InvalidInputError(f"{episodes} episodes show nothing", field="episodes", cure="at least 1")
    check_share(power, "power")
    check_share(alpha, "alpha")
