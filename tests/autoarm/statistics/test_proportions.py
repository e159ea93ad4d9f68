from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm.statistics import mcnemar_exact, wilson_interval
from gym_autoarm.errors import InvalidInputError

Z = 1.959963984540054  # the normal quantile of 0.975


def wilson_by_hand(successes: int, trials: int) -> tuple[float, float]:
    rate = successes / trials
    middle = (rate + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2))
    return middle - half, middle + half


# R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
NEWCOMBE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0, 0.1611),
    (1, 29): (0.0061, 0.1718),
}


@pytest.mark.parametrize(("counts", "published"), NEWCOMBE.items())
def test_intervals_match_the_published_examples(counts, published):
    assert wilson_interval(*counts) == pytest.approx(published, abs=5e-5)


counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_is_its_closed_form_and_holds_the_rate(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert (low, high) == pytest.approx(wilson_by_hand(successes, trials), abs=1e-9)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


@given(counts)
def test_intervals_of_failures_mirror_those_of_successes(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_more_confidence_is_wider():
    narrow, wide = wilson_interval(7, 10, 0.8), wilson_interval(7, 10, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("count", [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(count):
    with pytest.raises(InvalidInputError, match="successes"):
        wilson_interval(*count)


def test_confidence_of_one_is_refused():
    with pytest.raises(InvalidInputError, match="confidence"):
        wilson_interval(1, 2, 1.0)


def test_mcnemar_counts_coin_flips():
    # One policy wins 8 of the 9 episodes on which they differ: 2 (C(9,0) + C(9,1)) / 2^9.
    first = [True] * 8 + [False] + [True] * 5 + [False] * 3
    second = [False] * 8 + [True] + [True] * 5 + [False] * 3
    test = mcnemar_exact(first, second)
    assert (test.only_first, test.only_second) == (8, 1)
    assert test.p_value == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar_exact(second, first).p_value == pytest.approx(test.p_value)


def test_policies_that_never_differ_are_no_evidence():
    assert mcnemar_exact([True, False], [True, False]) == (1.0, 0, 0)


@pytest.mark.parametrize(("first", "second"), [([1, 0], [1]), ([], []), ([[1]], [[0]])])
def test_outcomes_that_do_not_pair_are_refused(first, second):
    with pytest.raises(InvalidInputError, match="pair up"):
        mcnemar_exact(first, second)
