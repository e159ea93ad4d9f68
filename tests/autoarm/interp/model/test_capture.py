"""Capturing sees what the policy computes in use, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import nn

from autoarm.interp.methods.recorder import record_attention
from autoarm.interp.model.capture import capture
from autoarm.interp.model.sites import sites
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_weights_of_each_head_equal_torchs_own(
    act: ACTPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = observe(act)
    names = [name for name in sites(act) if name.endswith("attention.weights")]
    captured = capture(act, [batch], names)
    seen: list[torch.Tensor] = []
    original = nn.MultiheadAttention.forward

    def forward(self: nn.MultiheadAttention, *args: Any, **named: Any) -> Any:
        seen.append(original(self, *args, **{**named, "need_weights": True, "average_attn_weights": False})[1])
        return original(self, *args, **named)

    monkeypatch.setattr(nn.MultiheadAttention, "forward", forward)
    act.predict_action_chunk(batch)
    assert len(seen) == len(names) == act.config.n_encoder_layers + 2 * act.config.n_decoder_layers
    for array, expected in zip(captured.values(), seen, strict=True):
        np.testing.assert_allclose(array.values, expected.numpy(), atol=1e-6, rtol=0)


def test_policy_is_bit_identical_afterwards(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    batch = observe(act)
    expected = act.predict_action_chunk(batch)
    act.select_action(batch)  # there is a queue now
    act.train()
    act.model.encoder.eval()
    with unchanged(act):
        capture(act, [batch], sites(act))
    assert torch.equal(act.predict_action_chunk(batch), expected)


def test_training_mode_does_not_leak_the_actions(new_act: Callable[..., ACTPolicy], observe: Observe) -> None:
    policy = new_act(cameras={"top": (32, 32)}, use_vae=True, dropout=0.5)
    batch = observe(policy)
    expected = capture(policy, [batch], ["tokens.in", "encoder.out", "action"])
    policy.train()
    labelled = batch | {"action": 100 * torch.randn(2, 5, 6), "action_is_pad": torch.zeros(2, 5, dtype=torch.bool)}
    for name, array in capture(policy, [labelled], expected).items():
        np.testing.assert_array_equal(array.values, expected[name].values)
    # The danger is real: in training mode the latent token does follow the actions.
    seen: list[torch.Tensor] = []
    handle = policy.model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0]))
    policy.forward(labelled)
    handle.remove()
    assert (seen[0].detach().numpy() - expected["tokens.in"].values[:, 0]).__abs__().max() > 0.1


def test_batches_are_put_one_after_another(two_cameras: ACTPolicy, observe: Observe) -> None:
    batches = [observe(two_cameras, seed, size) for seed, size in ((0, 1), (1, 3), (2, 2))]
    whole = capture(two_cameras, iter(batches), ["encoder.1.mlp", "backbone.top"])
    for name, array in whole.items():
        parts = [capture(two_cameras, [batch], [name])[name].values for batch in batches]
        np.testing.assert_array_equal(array.values, np.concatenate(parts))
        assert array.size("batch") == 6


def test_names_are_kept_as_given(two_cameras: ACTPolicy, observe: Observe) -> None:
    found = capture(two_cameras, [observe(two_cameras)], ["decoder.mlp.keys"])
    assert list(found) == ["decoder.mlp.keys"]
    assert found["decoder.mlp.keys"].axes == ("batch", "slot", "unit")
    assert (found["decoder.mlp.keys"].values >= 0).all()  # after the ReLU
    assert (found["decoder.mlp.keys"].values == 0).any()


def test_cameras_are_not_mixed_up(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    with torch.no_grad():
        expected = two_cameras.model.backbone(batch["observation.images.lateral"])["feature_map"]
    found = capture(two_cameras, [batch], ["backbone.lateral"])["backbone.lateral"]
    np.testing.assert_array_equal(found.values, expected.numpy())


def test_captured_values_are_the_callers_own(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    first = capture(two_cameras, [batch], ["action"])["action"].values
    first[:] = 0
    assert np.abs(capture(two_cameras, [batch], ["action"])["action"].values).max() > 0


def test_a_site_that_is_not_reached_is_noticed(
    two_cameras: ACTPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch, unchanged: Any
) -> None:
    monkeypatch.setattr(two_cameras.model.encoder.layers[1], "forward", lambda x, **named: x)
    with (
        unchanged(two_cameras),
        pytest.raises(AssertionError, match=r"2 of 3 .* encoder\.1\.attention, encoder\.1\.mlp"),
    ):
        capture(two_cameras, [observe(two_cameras)], ["encoder.0.mlp", "encoder.1.mlp", "encoder.1.attention"])


def test_a_call_that_asks_for_no_weights_is_seen_too(
    two_cameras: ACTPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch would have it for speed: its fused attention keeps no weights at all."""
    batch, names = observe(two_cameras), ["encoder.0.attention.weights", "decoder.cross_attention.weights"]
    expected = capture(two_cameras, [batch], names)
    original = nn.MultiheadAttention.forward

    def forward(self: nn.MultiheadAttention, *args: Any, **named: Any) -> Any:
        return original(self, *args, **named, need_weights=False)

    monkeypatch.setattr(nn.MultiheadAttention, "forward", forward)
    for name, array in capture(two_cameras, [batch], names).items():
        np.testing.assert_allclose(array.values, expected[name].values, atol=1e-6)


def test_others_who_listen_to_an_attention_hear_what_they_would(two_cameras: ACTPolicy, observe: Observe) -> None:
    heard: list[tuple[torch.Tensor, ...]] = []
    attention = two_cameras.model.encoder.layers[0].self_attn
    early = attention.register_forward_hook(lambda module, inputs, output: heard.append(output))
    two_cameras.predict_action_chunk(observe(two_cameras))
    early.remove()
    original, order = attention.forward, []

    def forward(*args: Any, **named: Any) -> Any:
        order.append(named.get("average_attn_weights", True))
        return original(*args, **named)

    attention.forward = forward
    with record_attention(two_cameras, encoder=True):
        late = attention.register_forward_hook(lambda module, inputs, output: heard.append(output))
        two_cameras.predict_action_chunk(observe(two_cameras))
        late.remove()
    assert order == [False]
    for one, other in zip(heard[0], heard[1], strict=False):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=0)


def test_bad_batches_are_refused(two_cameras: ACTPolicy, observe: Observe) -> None:
    with pytest.raises(InvalidInputError, match="no batch"):
        capture(two_cameras, [], ["action"])
    batch = observe(two_cameras)
    del batch["observation.images.lateral"]
    with pytest.raises(InvalidInputError, match=r"wants observation\.images\.lateral"):
        capture(two_cameras, [batch], ["action"])
    other = observe(two_cameras)
    other["observation.images.top"] = torch.zeros(2, 3, 96, 96)
    with pytest.raises(InvalidInputError, match="sizes differ"):
        capture(two_cameras, [observe(two_cameras), other], ["encoder.out"])
