"""Knockouts and patches, against effects that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.ablation import knock_out, normalised_effect, patch, resample
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import intervene, mean, zero
from autoarm.interp.model.tokens import token_layout
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_patching_controls(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    clean, source = observe(act, 0), observe(act, 1)
    with unchanged(act):
        effects = patch(act, clean, source, ["decoder.0.norm1", "encoder.0.mlp", "encoder.out", "decoder.out"])
    np.testing.assert_array_equal(effects["decoder.0.norm1"], 0.0)
    np.testing.assert_allclose(effects["encoder.out"], 1.0, atol=1e-12)
    np.testing.assert_allclose(effects["decoder.out"], 1.0, atol=1e-12)
    assert (np.abs(effects["encoder.0.mlp"] - 0.5) < 0.5).any()


def test_patched_tokens_carry_what_they_alone_know(two_cameras: ACTPolicy, observe: Observe) -> None:
    """Only the state differs between the observations: at the encoder's input its token carries everything."""
    clean, source = observe(two_cameras, 0), observe(two_cameras, 0)
    source["observation.state"] = torch.randn(2, 6)
    layout = token_layout(two_cameras)
    effect = {
        group: patch(two_cameras, clean, source, ["tokens.in"], {"token": layout.indices(group)})["tokens.in"]
        for group in layout.groups
    }
    np.testing.assert_allclose(effect.pop("state"), 1.0, atol=1e-5)
    for values in effect.values():
        np.testing.assert_allclose(values, 0.0, atol=1e-5)


def test_knocking_out_what_does_nothing_has_no_effect(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    with torch.no_grad():
        two_cameras.model.encoder.layers[0].linear2.weight.zero_()
        two_cameras.model.encoder.layers[0].linear2.bias.zero_()
    reference = capture(
        two_cameras, [observe(two_cameras, 3)], ["encoder.0.mlp", "encoder.1.mlp", "encoder.0.mlp.keys"]
    )
    for edit in (lambda r: zero(), mean, lambda r: resample(r, np.random.default_rng(0))):
        effects = knock_out(two_cameras, batch, {name: edit(values) for name, values in reference.items()})
        np.testing.assert_array_equal(effects["encoder.0.mlp"], 0.0)
        np.testing.assert_array_equal(effects["encoder.0.mlp.keys"], 0.0)
        assert (effects["encoder.1.mlp"] > 1e-4).all()
        assert effects["encoder.1.mlp"].shape == (2,)


def test_knockouts_are_measured_in_the_normalised_action(two_cameras: ACTPolicy, observe: Observe) -> None:
    effects = knock_out(two_cameras, observe(two_cameras), {"action": zero()})
    action = two_cameras.predict_action_chunk(observe(two_cameras)).numpy()
    np.testing.assert_allclose(effects["action"], np.sqrt((action**2).mean(axis=(1, 2))), rtol=1e-5)


def test_resampled_values_are_somebody_elses_whole(two_cameras: ACTPolicy, observe: Observe) -> None:
    reference = capture(two_cameras, [observe(two_cameras, 5, 7)], ["encoder.0.out"])["encoder.0.out"]
    places = {"token": [0, 3, 9]}
    batch = observe(two_cameras, 0, 40)
    clean = capture(two_cameras, [batch], ["encoder.0.out"])["encoder.0.out"].values

    def resampled(seed: int) -> np.ndarray:
        with intervene(two_cameras, {"encoder.0.out": resample(reference, np.random.default_rng(seed), places)}):
            return capture(two_cameras, [batch], ["encoder.0.out"])["encoder.0.out"].values

    found = resampled(1)
    rest = [token for token in range(14) if token not in places["token"]]
    np.testing.assert_array_equal(found[:, rest], clean[:, rest])
    candidates = reference.values[:, places["token"]]
    drawn = [
        int(np.flatnonzero([np.array_equal(row, candidate) for candidate in candidates])[0])
        for row in found[:, places["token"]]
    ]
    assert set(drawn) == set(range(7))
    np.testing.assert_array_equal(found, resampled(1))
    assert not np.array_equal(found, resampled(2))


@given(st.floats(-2, 3), st.floats(-5, 5), st.integers(0, 1000))
def test_normalised_effect_is_where_on_the_way(share: float, aside: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clean, source, other = rng.normal(size=(3, 2, 4, 3))
    way = source - clean
    other -= way * ((other * way).sum(axis=(1, 2)) / (way**2).sum(axis=(1, 2)))[:, None, None]  # at right angles
    effect = normalised_effect(clean, clean + share * way + aside * other, source)
    np.testing.assert_allclose(effect, share, atol=1e-9)


def test_what_is_below_the_noise_is_not_divided() -> None:
    clean = np.zeros((2, 3, 4))
    source = clean + np.array([1e-6, 1.0])[:, None, None]
    effect = normalised_effect(clean, source, source)
    assert np.isnan(effect[0])
    assert effect[1] == 1.0


def test_bad_input_is_refused(two_cameras: ACTPolicy, observe: Observe) -> None:
    with pytest.raises(InvalidInputError, match="3 observations for 2"):
        patch(two_cameras, observe(two_cameras), observe(two_cameras, size=3), ["encoder.out"])
    with pytest.raises(InvalidInputError, match="differ"):
        normalised_effect(np.zeros((1, 2)), np.zeros((1, 3)), np.zeros((1, 2)))
