"""What episodes can show: every outcome of a small comparison written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from autoarm.statistics import mcnemar_exact, paired_detectable_difference, paired_episodes, paired_power
from gym_autoarm.errors import InvalidInputError


@pytest.mark.parametrize(("discordant", "difference", "alpha"), [(0.6, 0.5, 0.05), (0.5, 0.1, 0.2), (0.9, 0.9, 0.01)])
def test_paired_power_is_the_sum_over_all_outcomes(discordant: float, difference: float, alpha: float) -> None:
    trials, noticed = 9, 0.0
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    for won in range(trials + 1):
        for lost in range(trials + 1 - won):
            rest = trials - won - lost
            test = mcnemar_exact([1] * won + [0] * (trials - won), [0] * won + [1] * lost + [0] * rest)
            assert (test.only_first, test.only_second) == (won, lost)
            if test.p_value <= alpha:
                noticed += stats.multinomial.pmf([won, lost, rest], trials, shares)
    assert paired_power(trials, discordant, difference, alpha) == pytest.approx(noticed, abs=1e-12)


def test_detectable_difference_is_noticed_as_often_as_it_says() -> None:
    difference = paired_detectable_difference(200, 0.3, power=0.8)
    shares = [(0.3 + difference) / 2, (0.3 - difference) / 2, 0.7]
    won, lost, _ = np.random.default_rng(0).multinomial(200, shares, size=4000).T
    p_values = 2 * stats.binom.cdf(np.minimum(won, lost), won + lost, 0.5)
    assert np.mean(p_values <= 0.05) == pytest.approx(0.8, abs=0.03)


def test_close_to_the_normal_approximation_where_that_holds() -> None:
    # R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43
    # (1987): n = (z_alpha sqrt(psi) + z_power sqrt(psi - d^2))^2 / d^2.
    discordant = 0.2
    difference = paired_detectable_difference(2000, discordant)
    spread = 1.959964 * math.sqrt(discordant) + 0.841621 * math.sqrt(discordant - difference**2)
    assert (spread / difference) ** 2 == pytest.approx(2000, rel=0.05)


def test_more_episodes_and_fewer_disagreements_show_more() -> None:
    assert paired_detectable_difference(400, 0.2) < paired_detectable_difference(100, 0.2)
    assert paired_detectable_difference(400, 0.1) < paired_detectable_difference(400, 0.4)


def test_too_few_episodes_show_nothing() -> None:
    assert math.isnan(paired_detectable_difference(5, 0.9))


@pytest.mark.parametrize("arguments", [(0, 0.3), (10, 0.0), (10, 1.5), (10, 0.3, 1.0), (10, 0.3, 0.8, 0.0)])
def test_impossible_questions_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError):
        paired_detectable_difference(*arguments)  # type: ignore[arg-type]


def test_a_difference_is_no_larger_than_the_disagreement() -> None:
    with pytest.raises(InvalidInputError, match="difference"):
        paired_power(10, 0.2, 0.3)


@pytest.mark.parametrize(
    ("discordant", "difference", "alpha"), [(0.2, 0.05, 0.05), (0.9, 0.9, 0.01), (0.3, 0.1, 0.004)]
)
def test_number_of_episodes_is_just_enough(discordant: float, difference: float, alpha: float) -> None:
    found = paired_episodes(discordant, difference, alpha=alpha)
    assert found is not None
    assert (
        paired_power(found, discordant, difference, alpha)
        >= 0.8
        > paired_power(found - 1, discordant, difference, alpha)
    )


def test_no_number_of_episodes_shows_what_is_not_there() -> None:
    assert paired_episodes(0.2, 0.0, most=5000) is None
    assert paired_episodes(0.5, 0.1, most=50) is None
