"""Lenses show what is there: the last layer is the policy itself, and a planted picture is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.image_lens import image_lens, small_frames
from autoarm.interp.methods.lens import action_lens, early_output
from autoarm.interp.methods.translator import _Moments, fit_translators
from autoarm.interp.model.capture import capture
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_after_all_layers_the_lens_is_the_policy(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    batch = observe(act)
    with unchanged(act):
        lens = action_lens(act, batch)
    depth = act.config.n_encoder_layers
    assert lens.layers == tuple(range(depth + 1))
    np.testing.assert_allclose(lens.chunks[-1], act.predict_action_chunk(batch).numpy(), atol=1e-6)
    assert (lens.distance()[:-1] > 1e-6).all()
    np.testing.assert_array_equal(lens.distance()[-1], 0.0)
    whole = capture(act, [batch], ["encoder.out"])["encoder.out"].values
    np.testing.assert_allclose(early_output(act, batch, depth), whole, atol=1e-6)
    with pytest.raises(InvalidInputError, match="layers"):
        early_output(act, batch, depth + 1)
    with pytest.raises(InvalidInputError, match="no translators"):
        lens.distance(translated=True)


def test_skipping_layers_is_as_if_they_were_not_there(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    lens = action_lens(two_cameras, batch)
    two_cameras.model.encoder.layers = two_cameras.model.encoder.layers[:1]
    np.testing.assert_allclose(lens.chunks[1], two_cameras.predict_action_chunk(batch).numpy(), atol=1e-5)


def test_translators_bring_early_layers_nearer(two_cameras: ACTPolicy, observe: Observe) -> None:
    translators = fit_translators(two_cameras, [observe(two_cameras, seed, 16) for seed in range(3)])
    assert list(translators) == [0, 1]
    assert translators[1].error < translators[0].error < 1.0
    lens = action_lens(two_cameras, observe(two_cameras, 9, 8), translators)
    raw, translated = lens.distance().mean(axis=1), lens.distance(translated=True).mean(axis=1)
    assert (translated[:2] < raw[:2]).all()
    assert translated[2] == 0.0


def test_a_translator_is_the_affine_map_that_was_planted() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(8, 8)), rng.normal(size=8)
    moments = _Moments()
    for _ in range(4):
        x = rng.normal(size=(50, 8))
        moments.add(x, x @ weight + bias)
    found = moments.solve(1e-9)
    np.testing.assert_allclose(found.weight, weight, atol=1e-5)
    np.testing.assert_allclose(found.bias, bias, atol=1e-5)
    assert found.error < 1e-6


def test_a_planted_picture_is_drawn_and_a_shuffled_one_is_not() -> None:
    rng = np.random.default_rng(0)
    hidden, groups = rng.normal(size=(60, 4)), np.arange(60) // 6
    patterns = rng.normal(size=(4, 2 * 6 * 8 * 3))
    frames = np.clip(128 + 15 * hidden @ patterns, 0, 255).astype(np.uint8).reshape(60, 2, 6, 8, 3)
    features = (hidden @ rng.normal(size=(4, 30))).astype(np.float32)
    lens = image_lens(features, frames, groups)
    assert lens.tested.all()
    assert lens.explained > 0.97
    assert lens.error.mean() < 0.2 * lens.mean_error.mean()
    assert lens.drawn.shape == frames.shape
    shuffled = image_lens(features[rng.permutation(60)], frames, groups)
    assert shuffled.explained < 0.1
    assert shuffled.error.mean() > 0.8 * lens.mean_error.mean()


def test_frames_are_made_small() -> None:
    frames = np.zeros((2, 2, 96, 128, 3), np.uint8)
    frames[..., 0] = 200
    small = small_frames(frames)
    assert small.shape == (2, 2, 48, 64, 3)
    assert (small[..., 0] == 200).all()
    with pytest.raises(InvalidInputError, match="frames"):
        small_frames(frames[0])
    with pytest.raises(InvalidInputError, match="3 rows"):
        image_lens(np.zeros((3, 2)), small, np.zeros(2))
