from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.statistics import holm
from gym_autoarm.errors import InvalidInputError


def test_agrees_with_r() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_is_bonferroni_over_all_intersections(p_values: list[float]) -> None:
    # R. Marcus, E. Peritz and K. R. Gabriel, Biometrika 63 (1976): a hypothesis falls if all intersections with it do.
    every = range(len(p_values))
    subsets = [subset for size in every for subset in combinations(every, size + 1)]
    closed = [
        max(min(1.0, len(subset) * min(p_values[each] for each in subset)) for subset in subsets if own in subset)
        for own in every
    ]
    assert holm(p_values) == pytest.approx(closed)


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [float("nan")], [[0.5]]])
def test_what_is_no_probability_is_refused(p_values: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="p_values"):
        holm(p_values)


def test_nothing_stays_nothing() -> None:
    assert holm([]).size == 0
