"""Units whose fields, triggers and episodes are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.memory_units import episode_spread, field_scores, triggers, unit_activations
from autoarm.interp.model.capture import capture
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_answers_are_the_keys_put_together(two_cameras: ACTPolicy, observe: Observe) -> None:
    batches = [observe(two_cameras, seed, 3) for seed in range(3)]
    keys = capture(two_cameras, batches, ["decoder.mlp.keys"])["decoder.mlp.keys"].values
    found = unit_activations(two_cameras, batches)
    np.testing.assert_allclose(found.mean, keys.mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found.peak, keys.max(axis=1))
    first = triggers(found, 2)
    for unit in (0, 7, 30):
        frame, slot = first.frame[unit, 0], first.slot[unit, 0]
        assert first.answer[unit, 0] == keys[frame, slot, unit] == keys[:, :, unit].max()
    assert (np.diff(first.answer, axis=1) <= 0).all()
    with pytest.raises(InvalidInputError, match="10 of 9"):
        triggers(found, 10)


def test_smooth_fields_are_told_from_lookups() -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(0.1, 0.3, (80, 2))
    centred = (positions - 0.2) / 0.1
    smooth = 1 + centred[:, 0] - 2 * centred[:, 1] + centred[:, 0] * centred[:, 1]
    lookup = rng.normal(size=80)  # each place its own
    same = np.ones(80)
    scores = field_scores(np.stack([smooth, lookup, same], axis=1), positions, np.arange(80))
    assert scores[0] > 0.99
    assert scores[1] < 0.2
    assert np.isnan(scores[2])


def test_episodes_that_a_unit_serves() -> None:
    episode = np.repeat(np.arange(4), [3, 5, 2, 9])
    answers = np.stack([episode == 2, np.ones(19), episode < 2, np.zeros(19)], axis=1).astype(float)
    found = episode_spread(answers, episode)
    np.testing.assert_allclose(found.effective[:3], [1, 4, 2])
    assert found.share[0].tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(found.share[1], 0.25)
    assert np.isnan(found.share[3]).all()
