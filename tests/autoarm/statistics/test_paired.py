from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from autoarm.statistics import paired_difference
from gym_autoarm.errors import InvalidInputError


def outcomes(won: int, lost: int, trials: int) -> tuple[list[int], list[int]]:
    rest = trials - won - lost
    return [1] * won + [0] * lost + [1] * rest, [0] * won + [1] * lost + [1] * rest


def test_is_its_closed_form() -> None:
    first, second = 13 / 52, 6 / 52  # one more of each, of two more in all
    half = 1.959963984540054 * math.sqrt((first + second - (first - second) ** 2) / 52)
    expected = (7 / 50, first - second - half, first - second + half)
    assert paired_difference(*outcomes(12, 5, 50)) == pytest.approx(expected)


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.3, 0.1), (0.02, 0.0), (0.5, 0.0), (0.05, 0.2)])
def test_holds_the_difference_about_as_often_as_it_says(shares: tuple[float, float]) -> None:
    trials, held = 30, 0.0
    for won in range(trials + 1):
        for lost in range(trials + 1 - won):
            chance = stats.multinomial.pmf([won, lost, trials - won - lost], trials, [*shares, 1 - sum(shares)])
            if chance < 1e-9:
                continue
            found = paired_difference(*outcomes(won, lost, trials))
            held += chance * (found.low <= shares[0] - shares[1] <= found.high)
    assert held > 0.93


def test_agreement_throughout_is_not_certainty() -> None:
    found = paired_difference(*outcomes(0, 0, 20))
    assert found.estimate == 0.0
    assert found.low == -found.high
    assert 0.05 < found.high < 0.2


def test_stays_within_what_can_be() -> None:
    assert paired_difference(*outcomes(3, 0, 3)).high == 1.0
    assert np.isclose(paired_difference(*outcomes(0, 3, 3)).low, -1.0)


def test_numbers_that_are_no_outcomes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="neither 0 nor 1"):
        paired_difference([0.5, 1], [0, 1])
