"""Contributions add up, are nought where nothing is used, and hide what matters first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.attribution import (
    COMPLETE,
    action_target,
    curves,
    feature_ablation,
    integrated_gradients,
    mean_observation,
    patch_numbers,
    patch_sums,
)
from autoarm.interp.model.tokens import token_layout
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]

TARGET = action_target(2, slice(0, 3))


def number(policy: ACTPolicy, observation: dict[str, torch.Tensor]) -> float:
    """`TARGET`, read off LeRobot's own prediction."""
    return float(policy.predict_action_chunk(observation)[0, :3, 2].mean())


@pytest.fixture
def small(new_act: Callable[..., ACTPolicy]) -> ACTPolicy:
    return new_act(cameras={"top": (32, 64), "side": (64, 32)}, n_encoder_layers=1, dim_model=16, n_heads=2)


@pytest.mark.lengthy
def test_integrated_gradients_are_complete(small: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    batch, baseline = observe(small, 0, 2), mean_observation(observe(small, 1, 3), small)
    with unchanged(small):
        found = integrated_gradients(small, batch, TARGET, baseline)
    assert (found.error <= COMPLETE).all()
    total = sum(values.reshape(2, -1).sum(axis=1) for values in found.inputs.values())
    expected = small.predict_action_chunk(batch)[:, :3, 2].mean(dim=1).numpy()
    np.testing.assert_allclose(found.value, expected, atol=1e-5)
    np.testing.assert_allclose(total, found.value - found.baseline, rtol=0.011)
    for name, values in found.inputs.items():
        assert values.shape == batch[name].shape
    sums = patch_sums(found.inputs, token_layout(small))
    assert sums["observation.images.top"].shape == (2, 1, 2)
    np.testing.assert_allclose(sum(v.reshape(2, -1).sum(axis=1) for v in sums.values()), total, rtol=1e-4)


def test_what_is_not_used_contributes_nothing(small: ACTPolicy, observe: Observe) -> None:
    with torch.no_grad():
        small.model.encoder_robot_state_input_proj.weight[:, 3] = 0.0
    batch, baseline = observe(small, 0, 1), observe(small, 1, 1)
    for found in (
        integrated_gradients(small, batch, TARGET, baseline, most_steps=32),
        feature_ablation(small, batch, TARGET, baseline),
    ):
        state = found.inputs["observation.state"][0]
        assert state[3] == 0.0
        assert (np.abs(np.delete(state, 3)) > 0).all()


def test_ablation_is_the_difference_that_a_patch_makes(small: ACTPolicy, observe: Observe) -> None:
    batch, baseline = observe(small, 0, 1), observe(small, 1, 1)
    found = feature_ablation(small, batch, TARGET, baseline)
    assert found.inputs["observation.images.top"].shape == (1, 1, 2)
    hidden = {**batch, "observation.images.top": batch["observation.images.top"].clone()}
    hidden["observation.images.top"][..., 32:] = baseline["observation.images.top"][..., 32:]
    without = small.predict_action_chunk(hidden)[:, :3, 2].mean(dim=1).numpy()
    np.testing.assert_allclose(found.inputs["observation.images.top"][0, 0, 1], found.value - without, atol=1e-5)
    assert np.isnan(found.error).all()


def test_patches_are_the_tokens(two_cameras: ACTPolicy) -> None:
    numbers = patch_numbers(token_layout(two_cameras), "observation.images.top", (3, 64, 96))
    assert numbers.shape == (3, 64, 96)
    assert sorted(np.unique(numbers, return_counts=True)[1]) == [3 * 32 * 32] * 6
    assert numbers[0, 40, 70] == 5
    assert patch_numbers(token_layout(two_cameras), "observation.state", (6,)).tolist() == list(range(6))


def test_curves_hide_and_show_the_ranked_first(small: ACTPolicy, observe: Observe) -> None:
    batch, baseline = observe(small, 0, 1), observe(small, 1, 1)
    importance = feature_ablation(small, batch, TARGET, baseline).inputs
    found = curves(small, batch, TARGET, baseline, importance, np.random.default_rng(0), points=6, draws=4)
    for curve in (found.deletion, *found.random_deletion, 1 - found.insertion, *(1 - found.random_insertion)):
        assert curve.shape == (6,)
        assert curve[[0, -1]].tolist() == [1.0, 0.0]
    # What ablation ranks high does more than what chance does.
    assert found.area("deletion") < found.area("random_deletion")
    assert found.area("insertion") > found.area("random_insertion")


def test_points_of_a_curve_are_the_policys_own_numbers(small: ACTPolicy, observe: Observe) -> None:
    batch, baseline = observe(small, 0, 1), observe(small, 1, 1)
    # The joints first, then the cameras' patches: of ten, the first six go by three fifths of the way.
    joints, top, side = "observation.state", "observation.images.top", "observation.images.side"
    base = number(small, baseline)
    span = number(small, batch) - base
    importance = {joints: np.arange(10, 4, -1), top: np.arange(4, 2, -1), side: np.arange(2, 0, -1)}
    scores = {name: (np.sign(span) * values)[None].astype(np.float32) for name, values in importance.items()}
    found = curves(small, batch, TARGET, baseline, scores, np.random.default_rng(0), points=6, draws=1)
    hidden, shown = {**batch, joints: baseline[joints]}, {**baseline, joints: batch[joints]}
    for curve, observation in ((found.deletion, hidden), (found.insertion, shown)):
        assert curve[3] * span == pytest.approx(number(small, observation) - base, abs=1e-6)
        assert abs(curve[3] * span) > 1e-5
    shortest = curves(small, batch, TARGET, baseline, scores, np.random.default_rng(0), points=2, draws=1)
    assert shortest.deletion.tolist() == [1.0, 0.0]


def test_bad_input_is_refused(small: ACTPolicy, observe: Observe) -> None:
    batch = observe(small, 0, 1)
    with pytest.raises(InvalidInputError, match="the policy wants"):
        integrated_gradients(small, batch, TARGET, {})
    with pytest.raises(InvalidInputError, match="one observation"):
        curves(small, observe(small), TARGET, batch, {}, np.random.default_rng(0))
    importance = {name: np.zeros((1, 2), np.float32) for name in small.config.input_features}
    with pytest.raises(InvalidInputError, match="contributions"):
        curves(small, batch, TARGET, observe(small, 1, 1), importance, np.random.default_rng(0))
