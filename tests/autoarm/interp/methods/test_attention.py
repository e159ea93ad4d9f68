"""Attention maps: equal to torch's own, true to the token order, and drawn where they belong."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import Tensor, nn

from autoarm.interp.methods.attention import (
    OVERLAY_COLOUR,
    OVERLAY_OPACITY,
    Capture,
    CrossAttention,
    TokenLayout,
    capture_cross_attention,
    overlay,
    shared_scale,
)
from autoarm.interp.model.attention_math import head_weights
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

CHUNK = 7


def make_policy(sizes: dict[str, tuple[int, int]], **changes: Any) -> ACTPolicy:
    torch.manual_seed(0)
    images = {
        f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, *size)) for name, size in sizes.items()
    }
    options = {"dim_model": 32, "dim_feedforward": 48, "n_heads": 4, "n_encoder_layers": 1, "use_vae": False}
    config = ACTConfig(
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **images},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        pretrained_backbone_weights=None,
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        **{**options, **changes},
    )
    return ACTPolicy(config).eval()


def make_batch(policy: ACTPolicy, seed: int = 0, size: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = policy.config.input_features
    return {key: torch.randn(size, *feature.shape, generator=generator) for key, feature in features.items()}


@pytest.fixture(scope="module")
def policy() -> ACTPolicy:
    return make_policy({"top": (64, 96), "lateral": (64, 96)})


@pytest.mark.parametrize(
    ("sizes", "grids", "changes"),
    [
        ({"top": (64, 96), "lateral": (64, 96)}, {"top": (2, 3), "lateral": (2, 3)}, {}),
        ({"wrist": (100, 40)}, {"wrist": (4, 2)}, {"n_decoder_layers": 3}),
        (
            {"a": (32, 64), "b": (64, 96), "c": (96, 32)},
            {"a": (1, 2), "b": (2, 3), "c": (3, 1)},
            {"n_heads": 2, "pre_norm": True, "n_decoder_layers": 2},
        ),
        ({"top": (64, 64)}, {"top": (2, 2)}, {"use_vae": True, "n_vae_encoder_layers": 1}),
    ],
)
def test_any_number_of_layers_cameras_heads_and_sizes(
    sizes: dict[str, tuple[int, int]], grids: dict[str, tuple[int, int]], changes: dict[str, Any]
) -> None:
    policy = make_policy(sizes, **changes)
    capture = capture_cross_attention(policy, make_batch(policy))
    assert len(capture.layers) == policy.config.n_decoder_layers
    for layer in capture.layers:
        assert dict(layer.layout.grids) == grids
        assert layer.layout.vectors == ("latent", "state")
        assert layer.weights.shape == (policy.config.n_heads, CHUNK, 2 + sum(h * w for h, w in grids.values()))
        np.testing.assert_allclose(layer.weights.sum(axis=-1), 1.0, atol=1e-5)
        assert sum(layer.shares().values()) == pytest.approx(1.0, abs=1e-5)
        # The parts are the whole: nothing is counted twice, nothing is left out.
        parts = [layer.token(name)[..., None] for name in layer.layout.vectors]
        parts += [layer.camera(name).reshape(*layer.weights.shape[:2], -1) for name in grids]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), layer.weights)


def test_environment_state_has_a_token_of_its_own() -> None:
    policy = make_policy({"top": (32, 32)})
    config = copy.deepcopy(policy.config)
    config.input_features["observation.environment_state"] = PolicyFeature(FeatureType.ENV, (4,))
    policy = ACTPolicy(config)
    layer = capture_cross_attention(policy, make_batch(policy)).layers[0]
    assert list(layer.shares()) == ["latent", "state", "environment", "top"]
    assert layer.weights.shape[-1] == 4


@settings(max_examples=25)
@given(
    heads=st.sampled_from([1, 2, 4]),
    slots=st.integers(1, 5),
    tokens=st.integers(1, 9),
    batch=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_heads_equal_torchs_own(heads: int, slots: int, tokens: int, batch: int, seed: int) -> None:
    torch.manual_seed(seed)
    attention = nn.MultiheadAttention(8, heads).eval()
    nn.init.normal_(attention.in_proj_bias)
    query, key = torch.randn(slots, batch, 8), torch.randn(tokens, batch, 8)
    _, expected = attention(query, key, key, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(head_weights(attention, query, key), expected, atol=1e-6, rtol=0)


def test_captured_heads_equal_torchs_own_in_the_policy(policy: ACTPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(policy)
    captured = capture_cross_attention(policy, batch).layers[0]
    attention = policy.model.decoder.layers[0].multihead_attn
    asked = attention.forward
    seen: list[Tensor] = []

    def forward(*args: Any, **named: Any) -> Any:
        seen.append(asked(*args, **named, need_weights=True, average_attn_weights=False)[1])
        return asked(*args, **named)

    monkeypatch.setattr(attention, "forward", forward)
    policy.predict_action_chunk(batch)
    np.testing.assert_allclose(captured.weights, seen[0][0].numpy(), atol=1e-6, rtol=0)


def test_policy_is_left_as_it_was(policy: ACTPolicy) -> None:
    batch = make_batch(policy)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    expected = policy.predict_action_chunk(batch)
    policy.reset()
    policy.select_action(batch)
    queue = [action.clone() for action in policy._action_queue]
    policy.train()
    policy.model.encoder.eval()
    modes = [module.training for module in policy.modules()]

    capture = capture_cross_attention(policy, batch)

    np.testing.assert_array_equal(capture.actions, expected[0].numpy())
    assert [module.training for module in policy.modules()] == modes
    assert all(torch.equal(one, other) for one, other in zip(queue, policy._action_queue, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert not any(module._forward_hooks for module in policy.modules())
    policy.eval()
    assert torch.equal(policy.predict_action_chunk(batch), expected)


def test_hooks_go_even_if_the_policy_fails(policy: ACTPolicy) -> None:
    batch = make_batch(policy)
    batch["observation.state"] = torch.zeros(1, 5)
    with pytest.raises(RuntimeError):
        capture_cross_attention(policy, batch)
    assert not any(module._forward_hooks for module in policy.modules())


def test_a_hook_that_does_not_fire_is_noticed(policy: ACTPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = policy.model.decoder.layers[0]
    monkeypatch.setattr(layer, "forward", lambda x, *_, **__: x)
    with pytest.raises(AssertionError, match=r"did not fire: decoder\.0\.cross_attention\.weights"):
        capture_cross_attention(policy, make_batch(policy))


@pytest.mark.parametrize("camera", ["top", "lateral"])
@pytest.mark.parametrize("cell", [(0, 0), (1, 2), (0, 1)])
def test_attention_built_into_a_policy_is_found_at_its_camera_and_cell(
    monkeypatch: pytest.MonkeyPatch, camera: str, cell: tuple[int, int]
) -> None:
    """A policy that can look nowhere else than at one token, chosen through the keys that its decoder gets."""
    policy = make_policy({"top": (64, 96), "lateral": (64, 96)})
    layer = policy.model.decoder.layers[0]
    width = policy.config.dim_model
    token = 2 + (6 if camera == "lateral" else 0) + 3 * cell[0] + cell[1]  # counted by hand from LeRobot's order
    with torch.no_grad():
        # Queries are the bias: all ones. Keys pass unchanged.
        layer.multihead_attn.in_proj_weight[:width] = 0.0
        layer.multihead_attn.in_proj_bias[:width] = 1.0
        layer.multihead_attn.in_proj_weight[width : 2 * width] = torch.eye(width)
        layer.multihead_attn.in_proj_bias[width : 2 * width] = 0.0
    original = layer.forward

    def mark(x: Tensor, encoder_out: Tensor, **named: Any) -> Any:
        marked = torch.zeros_like(encoder_out)
        marked[token] = 100.0
        return original(x, marked, decoder_pos_embed=named["decoder_pos_embed"], encoder_pos_embed=None)

    monkeypatch.setattr(layer, "forward", mark)
    found = capture_cross_attention(policy, make_batch(policy)).layers[0]
    maps = found.maps()
    assert maps[camera][cell] == pytest.approx(1.0, abs=1e-6)
    assert found.shares()[camera] == pytest.approx(1.0, abs=1e-6)

    frames = {name: np.full((480, 640, 3), 40, np.uint8) for name in maps}
    scale = shared_scale(list(maps.values()))
    coloured = {name: (overlay(frames[name], maps[name], scale) != frames[name]).any(axis=-1) for name in maps}
    expected = np.zeros((480, 640), bool)
    row, column = cell
    expected[row * 240 : (row + 1) * 240, int(np.ceil(column * 640 / 3)) : int(np.ceil((column + 1) * 640 / 3))] = True
    np.testing.assert_array_equal(coloured[camera], expected)
    assert not coloured[{"top": "lateral", "lateral": "top"}[camera]].any()


def test_other_policies_and_batches_are_refused(policy: ACTPolicy) -> None:
    with pytest.raises(IncompatiblePolicyError, match="Linear is no ACT policy"):
        capture_cross_attention(nn.Linear(1, 1), {})
    with pytest.raises(InvalidInputError, match=r"wants observation\.state"):
        capture_cross_attention(policy, {})
    with pytest.raises(InvalidInputError, match="2 observations"):
        capture_cross_attention(policy, make_batch(policy, size=2))


def test_unknown_names_are_refused(policy: ACTPolicy) -> None:
    layer = capture_cross_attention(policy, make_batch(policy)).layers[0]
    with pytest.raises(InvalidInputError, match="choose from top, lateral"):
        layer.camera("wrist")
    with pytest.raises(InvalidInputError, match="choose from latent, state"):
        layer.token("environment")
    with pytest.raises(InvalidInputError, match="for 3 tokens"):
        CrossAttention(np.ones((1, 1, 2), np.float32), TokenLayout(("latent",), {"top": (1, 2)}))


def test_maps_depend_on_the_input(policy: ACTPolicy) -> None:
    captures: list[Capture] = [capture_cross_attention(policy, make_batch(policy, seed)) for seed in (0, 1)]
    first, second = (capture.layers[0].weights for capture in captures)
    assert np.abs(first - second).max() > 1e-6


# -- Overlays ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    frame=hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40).map(lambda s: (*s, 3))
    ),
    grid=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1, width=32)
    ),
)
def test_overlay_blends_each_pixel_with_its_cell(frame: np.ndarray, grid: np.ndarray) -> None:
    before = frame.copy()
    mixed = overlay(frame, grid, 0.5)
    assert mixed.shape == frame.shape
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(frame, before)
    height, width = frame.shape[:2]
    for row in {0, height // 2, height - 1}:
        for column in {0, width // 2, width - 1}:
            value = grid[int(row / height * grid.shape[0] + 1e-9), int(column / width * grid.shape[1] + 1e-9)]
            share = OVERLAY_OPACITY * min(float(value) / 0.5, 1.0)
            expected = [(1 - share) * c + share * o for c, o in zip(frame[row, column], OVERLAY_COLOUR, strict=True)]
            np.testing.assert_allclose(mixed[row, column], expected, atol=0.51)


def test_overlay_keeps_the_order_of_colours() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_array_equal(overlay(red, np.zeros((2, 2), np.float32), 1.0), red)
    full = overlay(red, np.ones((2, 2), np.float32), 1.0)[0, 0]
    expected = [0.35 * 200, 0.65 * 255, 0.65 * 200]
    np.testing.assert_allclose(full, expected, atol=0.51)


def test_one_scale_makes_cameras_comparable() -> None:
    weak, strong = np.full((1, 1), 0.1, np.float32), np.full((1, 1), 0.4, np.float32)
    grey = np.full((2, 2, 3), 128, np.uint8)
    scale = shared_scale([weak, strong])
    changes = [np.abs(overlay(grey, grid, scale).astype(int) - 128).sum() for grid in (weak, strong)]
    assert scale == pytest.approx(0.4)
    assert changes[0] == pytest.approx(changes[1] / 4, rel=0.05)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_overlay_refuses_a_scale_that_is_none(scale: float) -> None:
    with pytest.raises(InvalidInputError, match="scale"):
        overlay(np.zeros((2, 2, 3), np.uint8), np.ones((1, 1), np.float32), scale)


def test_overlay_refuses_frames_in_floats() -> None:
    with pytest.raises(InvalidInputError, match="no RGB frame"):
        overlay(np.zeros((2, 2, 3)), np.ones((1, 1), np.float32), 1.0)  # type: ignore[arg-type]
