"""The action is exactly the sum of what the path around the MLP and each of its units bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import Tensor, nn

from autoarm.interp.methods.memory import split_action
from autoarm.interp.model.intervene import intervene, zero
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_parts_sum_to_the_action(act: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    batch = observe(act, size=3)
    with unchanged(act):
        split = split_action(act, batch)
    np.testing.assert_array_equal(split.action, act.predict_action_chunk(batch).double().numpy())
    assert split.error < 1e-5
    np.testing.assert_allclose(split.contributions().sum(axis=2), split.mlp, atol=1e-9)
    parts = split.skip + split.contributions().sum(axis=2) + split.constant
    np.testing.assert_allclose(parts, split.action, atol=1e-5)
    assert split.values().shape == (3, act.config.chunk_size, act.config.dim_feedforward, split.action.shape[-1])
    # None of the parts is nothing.
    assert min(np.abs(part).max() for part in (split.skip, split.mlp, split.constant)) > 1e-2


def freeze_norms(policy: ACTPolicy, batch: dict[str, Tensor], patch: pytest.MonkeyPatch) -> None:
    """Let the norms behind the last MLP go on with the scales that they have for a batch."""
    layer = policy.model.decoder.layers[-1]
    for norm in [policy.model.decoder.norm] if policy.config.pre_norm else [layer.norm3, policy.model.decoder.norm]:
        seen: list[Tensor] = []
        handle = norm.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0].double()))
        policy.predict_action_chunk(batch)
        handle.remove()
        scale = (seen[0].var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()

        def forward(x: Tensor, norm: nn.Module = norm, scale: Tensor = scale) -> Tensor:
            centred = x.double() - x.double().mean(dim=-1, keepdim=True)
            return (norm.weight * centred / scale + norm.bias).float()

        patch.setattr(norm, "forward", forward)


def test_a_unit_brings_what_is_missing_without_it(
    act: ACTPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured by taking it away from the policy itself, whose norms are held still."""
    batch = observe(act)
    split = split_action(act, batch)
    freeze_norms(act, batch, monkeypatch)
    whole = act.predict_action_chunk(batch)
    np.testing.assert_allclose(whole.numpy(), split.action, atol=1e-5)
    last = f"decoder.{act.config.n_decoder_layers - 1}.mlp"
    for units in ([0], [5, 17], list(range(act.config.dim_feedforward))):
        with intervene(act, {f"{last}.keys": zero({"unit": units})}):
            missing = whole - act.predict_action_chunk(batch)
        np.testing.assert_allclose(split.contributions(units).sum(axis=2), missing.numpy(), atol=1e-5)


def test_norms_are_felt_when_they_are_free(two_cameras: ACTPolicy, observe: Observe) -> None:
    """Taking much away for real differs from the split, so that the test above can fail."""
    batch = observe(two_cameras)
    split = split_action(two_cameras, batch)
    with intervene(two_cameras, {"decoder.mlp.keys": zero()}):
        missing = split.action - two_cameras.predict_action_chunk(batch).numpy()
    assert np.abs(split.mlp - missing).max() > 1e-3


def test_a_unit_with_a_planted_value_is_found(two_cameras: ACTPolicy, observe: Observe) -> None:
    layer = two_cameras.model.decoder.layers[0]
    with torch.no_grad():
        layer.linear2.weight.mul_(1e-3)
        layer.linear2.weight[:, 11] = torch.randn(32)
        layer.linear1.bias[11] = 10.0
    split = split_action(two_cameras, observe(two_cameras))
    size = np.abs(split.contributions()).sum(axis=(0, 1, 3))
    assert size.argmax() == 11
    assert size[11] > 0.9 * size.sum()
    assert split.error < 1e-5


def test_bad_input_is_refused(two_cameras: ACTPolicy) -> None:
    with pytest.raises(IncompatiblePolicyError):
        split_action(nn.Linear(1, 1), {})
    with pytest.raises(InvalidInputError, match="the policy wants"):
        split_action(two_cameras, {})
