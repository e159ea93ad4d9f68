"""Means over the axes of a suite: the published special cases, and how often the interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.statistics import paired_difference, wilson_interval
from autoarm.statistics.means import mean_paired_difference, mean_rate
from gym_autoarm.errors import InvalidInputError

Z = 1.959963984540054  # the normal quantile of 0.975


def test_one_stratum_is_agresti_and_coull() -> None:
    # "Add two successes and two failures": 10 of 10 becomes 12 of 14; the estimate stays in the interval.
    middle, half = 12 / 14, Z * math.sqrt(12 / 14 * 2 / 14 / 14)
    assert mean_rate([10], [10]) == pytest.approx((1.0, middle - half, 1.0))
    middle, half = 9 / 14, Z * math.sqrt(9 / 14 * 5 / 14 / 14)
    assert mean_rate([7], [10]) == pytest.approx((0.7, middle - half, middle + half))


def test_two_strata_are_agresti_and_caffo() -> None:
    # Their example, The American Statistician 54 (2000): 56/70 - 48/80, "add one success and one failure to each".
    # A difference of two rates is twice the mean of one rate and of the other's failures, less one.
    found = mean_rate([56, 80 - 48], [70, 80])
    first, second = 57 / 72, 49 / 82
    half = Z * math.sqrt(first * (1 - first) / 72 + second * (1 - second) / 82)
    expected = (first - second - half, first - second + half)
    assert (2 * found.low - 1, 2 * found.high - 1) == pytest.approx(expected)
    assert 2 * found.estimate - 1 == pytest.approx(0.2)


def test_one_stratum_of_pairs_is_the_interval_of_one_difference() -> None:
    first, second = [1] * 12 + [0] * 8, [1] * 7 + [0] * 5 + [1] * 2 + [0] * 6
    assert mean_paired_difference([5], [2], [20]) == pytest.approx(paired_difference(first, second))


RATES = {
    "all alike": [0.9] * 13,
    "nearly perfect": [0.99] * 13,
    "hardly ever": [0.02] * 13,
    "spread": list(np.linspace(0, 1, 13)),
    "solved or not": [1.0] * 6 + [0.5] * 2 + [0.0] * 5,
    "two": [0.97, 0.99],
}


@pytest.mark.parametrize("name", RATES)
def test_interval_holds_the_rate_about_as_often_as_it_says(name: str) -> None:
    rates, trials = np.array(RATES[name]), np.full(len(RATES[name]), 50)
    rng = np.random.default_rng(0)
    found = [mean_rate(rng.binomial(trials, rates), trials) for _ in range(600)]
    held = np.mean([each.low <= rates.mean() <= each.high for each in found])
    assert held > 0.92  # three standard errors below 0.95


def test_added_episodes_do_not_pile_up_with_the_strata() -> None:
    # Thirteen perfect axes: the interval is little wider than that of as many episodes in one axis.
    several = mean_rate([50] * 13, [50] * 13)
    assert several.estimate == several.high == 1.0
    assert 1 - several.low < 1.5 * (1 - wilson_interval(650, 650).low)


SHARES = {
    "equal": ([0.1] * 13, [0.1] * 13),
    "hardly differ": ([0.01] * 13, [0.01] * 13),
    "one wins": ([0.1] * 13, [0.0] * 13),
    "one wins on one axis": ([0.5] + [0.0] * 12, [0.0] * 13),
    "some axes": ([0.5] * 6 + [0.0] * 7, [0.02] * 13),
}


@pytest.mark.parametrize("name", SHARES)
def test_interval_holds_the_difference_about_as_often_as_it_says(name: str) -> None:
    first, second = (np.array(shares) for shares in SHARES[name])
    shares = np.stack([first, second, 1 - first - second], axis=1)
    rng = np.random.default_rng(0)
    truth, held = float(np.mean(first - second)), 0
    for _ in range(600):
        won = rng.multinomial(50, shares)
        found = mean_paired_difference(won[:, 0], won[:, 1], [50] * len(first))
        held += found.low <= truth <= found.high
    assert held / 600 > 0.92


tables = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(any), min_size=1, max_size=6
)


@settings(max_examples=60)
@given(tables)
def test_turning_a_comparison_round_turns_its_interval(counts: list[tuple[int, int, int]]) -> None:
    one, other, same = np.array(counts).T
    there = mean_paired_difference(one, other, one + other + same)
    back = mean_paired_difference(other, one, one + other + same)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert -1 <= there.low <= there.estimate <= there.high <= 1


@pytest.mark.parametrize(("won", "trials"), [([], []), ([1], [1, 2]), ([3], [2]), ([-1], [2]), ([0], [0])])
def test_impossible_counts_are_refused(won: list[int], trials: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        mean_rate(won, trials)
    with pytest.raises(InvalidInputError):
        mean_paired_difference(won, [0] * len(won), trials)


def test_more_discordant_than_shared_episodes_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        mean_paired_difference([6], [5], [10])
