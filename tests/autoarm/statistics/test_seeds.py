"""Intervals over a few training seeds: textbook values, and how often they hold the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autoarm.statistics import Estimate, mean_over_seeds, mean_rate, rate_over_seeds, stratified_bootstrap
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

FEW = (3, 5, 10)
Interval = Callable[[np.ndarray], Estimate]


def held(interval: Interval, samples: np.ndarray, truth: float) -> float:
    """Share of the samples `(draw, seed)` whose interval holds the truth."""
    found = [interval(sample) for sample in samples]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def bootstrapped(values: np.ndarray) -> Estimate:
    """The percentile interval from resampling seeds, each of which is one number here."""
    return stratified_bootstrap([values], stream(0, "percentile bootstrap", values.size), 1000)


# -- Any number --------------------------------------------------------------------------------------------------------


def test_is_the_textbook_interval() -> None:
    # Mean 3, standard error sqrt(2.5 / 5); 2.776 is t's quantile of 0.975 at four degrees of freedom in any table.
    half = 2.7764451 * np.sqrt(0.5)
    assert mean_over_seeds([1, 2, 3, 4, 5]) == pytest.approx((3.0, 3 - half, 3 + half))
    # Two numbers at 50 %: t's quantile of 0.75 at one degree of freedom is tan(45°) = 1, the standard error half of 2.
    assert mean_over_seeds([1, 3], confidence=0.5) == pytest.approx((2.0, 1.0, 3.0))


@pytest.mark.parametrize("seeds", FEW)
def test_holds_the_truth_as_often_as_it_says(seeds: int) -> None:
    samples = stream(0, "normal seeds", seeds).normal(0.4, 0.1, (3000, seeds))
    assert held(mean_over_seeds, samples, 0.4) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.75), (5, 0.84), (10, 0.90)])
def test_a_bootstrap_of_a_few_seeds_does_not(seeds: int, expected: float) -> None:
    """Why there is another interval."""
    samples = stream(0, "normal seeds", seeds).normal(0.4, 0.1, (1000, seeds))
    assert held(bootstrapped, samples, 0.4) == pytest.approx(expected, abs=0.03)
    assert held(mean_over_seeds, samples, 0.4) > held(bootstrapped, samples, 0.4) + 0.03


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(InvalidInputError, match="a single seed says nothing about others"):
        mean_over_seeds([0.9])
    with pytest.raises(InvalidInputError, match="a single seed says nothing about others"):
        rate_over_seeds([45], [50])


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([1, np.nan], 0.95), ([[1, 2]], 0.95), ([1, 2], 95)])
def test_what_is_not_a_number_a_seed_is_refused(values: list[float], confidence: float) -> None:
    with pytest.raises(InvalidInputError):
        mean_over_seeds(values, confidence)


# -- Success rates -----------------------------------------------------------------------------------------------------

EPISODES = 100
# Seeds' true rates are drawn from Beta(a, b): of a recipe that is alike with every seed; of one that scatters as the
# reference recipe did between its spots (83 to 94 %); of one with more skew; and of one that mostly fails.
RECIPES = {"alike": (950, 50), "as measured": (56, 7), "skewed": (18, 2), "hardly ever": (2, 18)}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("seeds", FEW)
def test_interval_of_skewed_rates_holds_the_truth(recipe: str, seeds: int) -> None:
    a, b = RECIPES[recipe]
    rng = stream(0, "skewed seeds", recipe, seeds)
    successes = rng.binomial(EPISODES, rng.beta(a, b, (2000, seeds)))
    assert held(lambda won: rate_over_seeds(won, np.full(seeds, EPISODES)), successes, a / (a + b)) >= 0.92


def test_seeds_count_alike_however_many_episodes_they_have() -> None:
    found = rate_over_seeds([10, 0, 0], [1000, 10, 10])
    assert found.estimate == pytest.approx(0.01 / 3)


def test_where_seeds_differ_more_than_episodes_explain_it_is_students() -> None:
    rates = [0.9, 0.5, 0.7, 0.6, 0.8]
    assert rate_over_seeds([round(1000 * rate) for rate in rates], [1000] * 5) == pytest.approx(mean_over_seeds(rates))


def test_success_throughout_is_not_certainty() -> None:
    found = rate_over_seeds([20] * 5, [20] * 5)
    assert found.estimate == found.high == 1.0
    assert found == mean_rate([20] * 5, [20] * 5)
    assert 0.9 < found.low < 0.97  # as of a hundred episodes: Wilson's lower end is 0.963


def test_a_rate_stays_between_0_and_1() -> None:
    assert rate_over_seeds([1, 0], [10, 10]).low == 0.0
    assert rate_over_seeds([9, 10], [10, 10]).high == 1.0


@pytest.mark.parametrize(("won", "trials"), [([3, 1], [2, 2]), ([1, 1], [2]), ([0, 0], [0, 5])])
def test_impossible_counts_are_refused(won: list[int], trials: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        rate_over_seeds(won, trials)
