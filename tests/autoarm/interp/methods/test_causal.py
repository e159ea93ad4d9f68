"""Patches, knockouts, steering, absorption and masks, where the answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.methods.absorption import absorption, responsive_share, state_in_pixels, with_states
from autoarm.interp.methods.knockout import (
    ablation_edit,
    heads,
    knock_out_parts,
    mlps,
    random_units,
    state_token,
    units,
)
from autoarm.interp.methods.steering import fit_probe, random_directions, steer
from autoarm.interp.methods.token_mask import keep_tokens, mask_tokens, most_attended, token_attention
from autoarm.interp.methods.tracing import ALL, DECODER_PARTS, PARTS, trace
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import block, intervene
from autoarm.interp.model.tokens import token_layout
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_the_backbone_is_asked_once_and_nothing_changes(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    batch = observe(act)
    expected = act.predict_action_chunk(batch)
    with unchanged(act), precomputed_feature_maps(act, batch) as (shown,):
        assert torch.equal(act.predict_action_chunk(shown), expected)


def test_tracing_controls(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    with unchanged(act):
        found = trace(act, observe(act, 0), observe(act, 1), ["latent", ALL])
    assert found.encoder.shape == (2, act.config.n_encoder_layers + 1, len(found.groups), 3)
    stream = found.encoder[..., PARTS.index("stream")]
    np.testing.assert_allclose(stream[:, :, found.groups.index(ALL)], 1.0, atol=1e-5)
    # The latent is the same in both.
    np.testing.assert_array_equal(stream[:, 0, found.groups.index("latent")], 0.0)
    if act.config.n_decoder_layers == 1:
        parts = dict(zip(DECODER_PARTS, found.decoder.T, strict=True))
        np.testing.assert_array_equal(parts["self-attention"], 0.0)
        np.testing.assert_allclose(parts["cross-attention"], 1.0, atol=1e-5)
    assert np.isnan(found.encoder[:, 0, :, : PARTS.index("stream")]).all()
    assert all(np.isfinite(row["effect"]) for row in found.rows())


def test_a_dead_mlp_leaves_all_to_the_path_around_it(two_cameras: ACTPolicy, observe: Observe) -> None:
    with torch.no_grad():
        two_cameras.model.decoder.layers[0].linear2.weight.zero_()
    found = trace(two_cameras, observe(two_cameras, 0), observe(two_cameras, 1), [ALL])
    parts = dict(zip(DECODER_PARTS, found.decoder.T, strict=True))
    np.testing.assert_allclose(parts["mlp"], 0.0, atol=1e-9)
    np.testing.assert_allclose(parts["skip"], 1.0, atol=1e-5)


def test_what_the_state_alone_changes_enters_at_its_token(two_cameras: ACTPolicy, observe: Observe) -> None:
    clean = observe(two_cameras, 0)
    found = trace(two_cameras, clean, with_states(clean, torch.randn(2, 6)))
    stream = {name: found.encoder[:, 0, number, 2] for number, name in enumerate(found.groups)}
    np.testing.assert_allclose(stream["state"], 1.0, atol=1e-5)
    np.testing.assert_allclose(stream["top"], 0.0, atol=1e-5)


# -- Knockouts ---------------------------------------------------------------------------------------------------------


def test_knockouts_are_measured_part_by_part(two_cameras: ACTPolicy, observe: Observe) -> None:
    policy, rng = two_cameras, np.random.default_rng(0)
    layer = policy.model.decoder.layers[0]
    with torch.no_grad():
        layer.linear2.weight[:, [3, 4]] = 0.0  # units without a voice
    parts = [
        *mlps(policy),
        *heads(policy, "decoder.0.cross_attention"),
        state_token(policy),
        units("decoder.0.mlp", [3, 4], "mute"),
        random_units(policy, "decoder.0.mlp", 20, rng),
    ]
    found = knock_out_parts(policy, observe(policy, 0), observe(policy, 1, 4), parts, rng)
    assert found.effects.shape == (2, len(parts), 3)
    effects = dict(zip(found.parts, np.moveaxis(found.effects, 1, 0), strict=True))
    np.testing.assert_array_equal(effects.pop("mute"), 0.0)
    for name, values in effects.items():
        assert (values > 0).all(), name
    assert len(found.rows()) == 3 * len(parts)


def test_removals_that_cannot_be_are_refused(two_cameras: ACTPolicy) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="needs captured values"):
        ablation_edit(mlps(two_cameras)[0], "mean", None, rng)
    with pytest.raises(InvalidInputError, match="99 of 48 units"):
        random_units(two_cameras, "decoder.0.mlp", 99, rng)
    with pytest.raises(InvalidInputError, match="no units"):
        units("decoder.0.mlp", [])


# -- Steering ----------------------------------------------------------------------------------------------------------


def test_a_probes_direction_moves_the_action_as_the_cause_itself_does(two_cameras: ACTPolicy, observe: Observe) -> None:
    """The state enters by an affine map, which the probe must find, and its inverse gives the true source's tokens."""
    one = observe(two_cameras, 0, 1)
    many = {key: value.expand(40, *value.shape[1:]) for key, value in one.items()}
    states = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    tokens = capture(two_cameras, [with_states(many, states)], ["tokens.in"])["tokens.in"]
    probe = fit_probe(tokens, states.numpy(), alpha=1e-6)
    np.testing.assert_allclose(probe.read(tokens), states.numpy(), atol=1e-3)
    change = np.array([[1.0, -0.5, 0.3, 0.0, 0.8, -1.0]])
    source = with_states(one, one["observation.state"].numpy() + change)
    found = steer(two_cameras, one, source, "tokens.in", probe, change, np.random.default_rng(0), draws=6)
    np.testing.assert_allclose(found.effect, 1.0, atol=0.02)
    assert np.abs(found.control).max() < 0.7
    assert np.abs(found.control.mean()) < 0.35
    assert 0 < found.norm[0] < 1
    # The reading moves by exactly what was asked for.
    moved = probe.read(type(tokens)(tokens.axes, tokens.values[:1] + probe.steering_vector(change)))
    np.testing.assert_allclose(moved - probe.read(tokens)[:1], change, atol=1e-3)


def test_random_directions_are_as_long() -> None:
    change = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    random = random_directions(change, np.random.default_rng(1))
    np.testing.assert_allclose((random**2).sum(axis=(1, 2)), (change**2).sum(axis=(1, 2)), rtol=1e-5)
    assert not np.allclose(random, change)


# -- Absorption --------------------------------------------------------------------------------------------------------


def mute_encoder_attention(policy: ACTPolicy) -> None:
    with torch.no_grad():
        for layer in policy.model.encoder.layers:
            layer.self_attn.out_proj.weight.zero_()


def test_without_attention_in_the_encoder_the_state_goes_by_its_own_token(
    two_cameras: ACTPolicy, observe: Observe
) -> None:
    mute_encoder_attention(two_cameras)
    found = absorption(two_cameras, observe(two_cameras), torch.randn(2, 6))
    for name, share in (("direct", 1.0), ("indirect", 0.0), ("rest", 0.0), ("blocked", 1.0)):
        np.testing.assert_allclose(getattr(found, name), share, atol=1e-4, err_msg=name)
    assert responsive_share(found) == 1.0
    assert found.means()["direct"] == pytest.approx(1.0, abs=1e-4)


def test_a_state_that_is_seen_through_pixels_is_absorbed(two_cameras: ACTPolicy, observe: Observe) -> None:
    """The decoder is kept from the state's token, so that the state can only come by others."""
    layout = token_layout(two_cameras)
    batch, states = observe(two_cameras), torch.randn(2, 6)
    with intervene(two_cameras, {"decoder.cross_attention.weights": block({"token": layout.indices("state")})}):
        two_cameras.predict_action_chunk(batch)
        found = absorption(two_cameras, batch, states)
    np.testing.assert_allclose(found.direct, 0.0, atol=1e-3)
    np.testing.assert_allclose(found.blocked, 0.0, atol=1e-3)
    assert (found.indirect > 0.3).all()


def test_an_unused_state_is_not_called_absorbed(two_cameras: ACTPolicy, observe: Observe) -> None:
    with torch.no_grad():
        two_cameras.model.encoder_robot_state_input_proj.weight.zero_()
    found = absorption(two_cameras, observe(two_cameras), torch.randn(2, 6))
    np.testing.assert_array_equal(found.total, 0.0)
    assert np.isnan(found.direct).all()
    assert np.isnan(found.means()["indirect"])
    assert responsive_share(found) == 0.0


def test_the_state_is_read_off_pixels_only_where_attention_brought_it(two_cameras: ACTPolicy, observe: Observe) -> None:
    one = observe(two_cameras, 0, 1)
    batch = {key: value.expand(60, *value.shape[1:]) for key, value in one.items()}  # one view, which shows no arm
    own, given = torch.randn(2, 60, 6, generator=torch.Generator().manual_seed(2))
    scores = state_in_pixels(two_cameras, {**batch, "observation.state": own}, given, np.arange(60) // 5)
    assert list(scores) == ["tokens.in", "encoder.0.out", "encoder.1.out"]
    assert scores["tokens.in"][0] < 0.1
    assert scores["encoder.0.out"][0] > 0.7
    assert all(replaced < 0.1 for _, replaced in scores.values())


def test_absorption_refuses_what_it_cannot_measure(
    new_act: Callable[..., ACTPolicy], two_cameras: ACTPolicy, observe: Observe
) -> None:
    blind = new_act(cameras={}, environment=9)
    with pytest.raises(InvalidInputError, match="a camera"):
        absorption(blind, observe(blind), torch.randn(2, 6))
    with pytest.raises(InvalidInputError, match="states"):
        absorption(two_cameras, observe(two_cameras), torch.randn(2, 5))


# -- Masks -------------------------------------------------------------------------------------------------------------


def test_masking_is_blocking(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    seen = np.zeros((2, 14), bool)
    seen[:, [1, 5, 6]] = True
    site = "decoder.0.cross_attention.weights"
    chunks = []
    for edit in (keep_tokens(seen), keep_tokens(seen[0]), block({"token": np.flatnonzero(~seen[0])})):
        with intervene(two_cameras, {site: edit}):
            chunks.append(two_cameras.predict_action_chunk(batch))
    assert torch.equal(chunks[0], chunks[1])
    torch.testing.assert_close(chunks[0], chunks[2])


def test_tokens_are_kept_and_hidden(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    found = mask_tokens(two_cameras, batch, [1, 5, 14], np.random.default_rng(0), draws=3)
    np.testing.assert_allclose(found.attention[:, -1], 1.0, atol=1e-5)
    assert (np.diff(found.attention, axis=1) > 0).all()
    for kept in (found.keep_top[:, -1], found.keep_random[:, -1]):
        np.testing.assert_allclose(kept, 0.0, atol=1e-6)
    assert np.isnan(found.hide_top[:, -1]).all()
    assert (found.keep_top[:, 0] > 1e-4).all()
    assert found.hide_random.shape == (2, 3, 3)
    assert len(found.rows()) == 3
    with pytest.raises(InvalidInputError, match="counts"):
        mask_tokens(two_cameras, batch, [15], np.random.default_rng(0))


def test_attention_to_one_token_is_found_to_be_all_that_matters(two_cameras: ACTPolicy, observe: Observe) -> None:
    """All other tokens are the same, so that only how much attention the state's token gets can change the action."""
    attention = token_attention(two_cameras, observe(two_cameras))
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, atol=1e-5)
    planted = attention.copy()
    planted[0, 7], planted[1, 2] = 5.0, 5.0
    assert most_attended(planted, 1).nonzero()[1].tolist() == [7, 2]
