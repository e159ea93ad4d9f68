"""A lookup table has slope 0 and a follower slope 1, in all of it and part by part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.slope import inside_hull, slope, split_changes, split_slopes
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def chunks(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of the nearest demonstration and of the expert, at 9 positions."""
    nearest, expert = np.random.default_rng(seed).normal(size=(2, 9, 5, 6))
    return nearest, expert


def test_a_lookup_table_copies_and_an_expert_follows() -> None:
    nearest, expert = chunks()
    for predicted, expected in ((nearest, 0.0), (expert, 1.0), ((nearest + expert) / 2, 0.5)):
        found = slope(predicted, nearest, expert)
        assert found.overall == pytest.approx(expected, abs=1e-12)
        np.testing.assert_allclose(found.each, expected, atol=1e-12)
        assert found.low == pytest.approx(expected, abs=1e-12)
        assert found.high == pytest.approx(expected, abs=1e-12)


@given(st.floats(-1, 2), st.integers(0, 99))
def test_what_is_aside_of_the_way_does_not_count(share: float, seed: int) -> None:
    nearest, expert = chunks(seed)
    way = (expert - nearest).reshape(9, -1)
    aside = np.random.default_rng(seed + 1).normal(size=way.shape)
    aside -= way * ((aside * way).sum(axis=1) / (way**2).sum(axis=1))[:, None]
    found = slope(nearest + (share * way + aside).reshape(nearest.shape), nearest, expert, draws=10)
    assert found.overall == pytest.approx(share, abs=1e-9)


def test_the_interval_is_over_positions() -> None:
    nearest, expert = chunks()
    share = np.linspace(0, 1, 9)[:, None, None]
    found = slope(nearest + share * (expert - nearest), nearest, expert)
    np.testing.assert_allclose(found.each, share[:, 0, 0], atol=1e-12)
    assert 0.0 < found.low < found.overall < found.high < 1.0


def test_where_there_is_nothing_to_follow() -> None:
    nearest, expert = chunks()
    expert[3] = nearest[3]
    assert np.isnan(slope(nearest, nearest, expert).each[3])
    with pytest.raises(InvalidInputError, match="nothing to follow"):
        slope(expert, nearest, nearest)
    with pytest.raises(InvalidInputError, match="shapes"):
        slope(expert[:2], nearest, expert)


def test_slopes_of_the_parts_sum_to_that_of_the_action(two_cameras: ACTPolicy, observe: Observe) -> None:
    here, there = (split_action(two_cameras, observe(two_cameras, seed, 6)) for seed in (0, 1))
    changes = split_changes(here, there)
    np.testing.assert_allclose(sum(changes.values()), here.action - there.action, atol=1e-5)
    wanted = np.random.default_rng(0).normal(size=here.action.shape)
    parts = split_slopes(changes, wanted)
    whole = slope(here.action, there.action, there.action + wanted)
    assert sum(part.overall for part in parts.values()) == pytest.approx(whole.overall, abs=1e-5)
    np.testing.assert_allclose(sum(part.each for part in parts.values()), whole.each, atol=1e-5)
    with pytest.raises(InvalidInputError, match="pairs"):
        split_changes(here, split_action(two_cameras, observe(two_cameras, 0, 2)))


def test_inside_and_outside_of_the_demonstrations() -> None:
    square = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert inside_hull([(0.5, 0.5), (0.9, 0.1), (1.1, 0.5), (-0.1, -0.1)], square).tolist() == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(InvalidInputError, match="no area"):
        inside_hull([(0, 0)], [(0, 0), (1, 1), (2, 2)])
