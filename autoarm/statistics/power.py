"""What a number of episodes can show: the smallest difference that a comparison would probably notice."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

from autoarm.statistics.intervals import check_share
from gym_autoarm.errors import InvalidInputError


def detectable_difference(episodes: int, rate: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest rise above a success rate that the two-sided test of two independent proportions notices.

    For policies that ran on different episodes. Normal approximation.
    Source: J. L. Fleiss, B. Levin and M. C. Paik, "Statistical Methods for Rates and Proportions", 3rd edition (2003),
    section 4.2, equation 4.14.

    Args:
        episodes: Of each policy.
        rate: Of the worse policy.
        power: Probability of noticing.
        alpha: Level of the test.

    Returns:
        The difference of rates; NaN if not even perfection would be noticed.

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    _check(episodes, power, alpha)
    check_share(rate, "rate")
    z_alpha, z_power = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)

    def excess(other: float) -> float:
        mean = (rate + other) / 2
        spread = z_alpha * math.sqrt(2 * mean * (1 - mean))
        spread += z_power * math.sqrt(rate * (1 - rate) + other * (1 - other))
        return (other - rate) * math.sqrt(episodes) - spread

    if excess(1.0) < 0:
        return math.nan
    return float(optimize.brentq(excess, rate, 1.0)) - rate


def paired_detectable_difference(episodes: int, discordant: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference of rates that McNemar's exact test notices on shared episodes.

    Args:
        episodes: Shared by the two policies.
        discordant: Share of episodes on which just one of them succeeds: the fewer, the smaller a difference shows.
        power: Probability of noticing.
        alpha: Level of the test.

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


def paired_power(episodes: int, discordant: float, difference: float, alpha: float = 0.05) -> float:
    """Probability that McNemar's exact two-sided test on shared episodes notices a difference of rates.

    Exact: a sum over how many episodes turn out discordant, which is binomial, and over how many of these the better
    policy wins, which is binomial again.
    Source: S. W. Duffy, "Asymptotic and exact power for the McNemar test and its analogue with R controls per case",
    Biometrics 40 (1984).

    Args:
        episodes: Shared by the two policies.
        discordant: Share of episodes on which just one of them succeeds.
        difference: Of the rates, between 0 and `discordant`.
        alpha: Level of the test.

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    _check(episodes, 0.5, alpha)
    check_share(discordant, "discordant")
    if not 0 <= difference <= discordant:
        raise InvalidInputError(
            f"{difference} cannot be", field="difference", cure="0 <= difference <= discordant, the share that differs"
        )
    counts = np.arange(episodes + 1)
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
