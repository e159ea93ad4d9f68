"""ACT's transformer with less work computes the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from autoarm.training.config import TrainConfig
from autoarm.training.features import images_are_feature_maps
from autoarm.training.lean import lean_transformer
from autoarm.training.new_policy import new_policy, policy_config

CHUNK = 8


@pytest.mark.parametrize(
    "fields", [{}, {"pre_norm": True}, {"n_decoder_layers": 2}, {"use_vae": True}, {"feedforward_activation": "gelu"}]
)
def test_a_lean_transformer_has_the_same_losses_and_gradients(
    fields: dict[str, object], small_config: TrainConfig
) -> None:
    torch.manual_seed(0)
    policy: Any = new_policy(policy_config(replace(small_config, policy={**small_config.policy, **fields}), "cpu"))
    policy.train()
    # Untrained, biases of zero would hide what passes through the decoder's first self-attention.
    for parameter in policy.model.decoder.parameters():
        nn.init.normal_(parameter, std=0.1)
    batch = {
        "observation.state": torch.randn(3, 6),
        "action": torch.randn(3, CHUNK, 6),
        "action_is_pad": torch.arange(CHUNK)[None] >= torch.tensor([8, 5, 3])[:, None],
        **{key: torch.randn(3, 512, 1, 2).relu() for key in policy.config.image_features},
    }
    names = policy.state_dict().keys()

    def run() -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(1)  # the VAE's draw
        policy.zero_grad()
        with images_are_feature_maps(policy):
            loss, _ = policy.forward(batch)
        loss.backward()
        return loss.item(), {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}

    expected, gradients = run()
    with lean_transformer(policy) as applied:
        loss, lean_gradients = run()
        assert policy.state_dict().keys() == names
    assert applied
    assert loss == pytest.approx(expected, rel=1e-6)
    assert lean_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(lean_gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    again, _ = run()
    assert again == expected


def test_dropout_draws_for_every_sample_and_is_not_simplified(small_config: TrainConfig) -> None:
    policy = new_policy(policy_config(replace(small_config, policy={**small_config.policy, "dropout": 0.1}), "cpu"))
    with lean_transformer(policy) as applied:
        assert not applied
