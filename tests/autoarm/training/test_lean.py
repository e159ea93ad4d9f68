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


def test_dropout_is_the_same_where_it_is_off_and_draws_for_every_sample(small_config: TrainConfig) -> None:
    torch.manual_seed(0)
    policy: Any = new_policy(
        policy_config(replace(small_config, policy={**small_config.policy, "dropout": 0.5}), "cpu")
    ).eval()
    batch = {
        "observation.state": torch.randn(1, 6).expand(400, -1),
        "observation.images": [torch.randn(1, 512, 1, 2).expand(400, -1, -1, -1)] * 2,
    }

    def actions() -> torch.Tensor:
        with images_are_feature_maps(policy), torch.no_grad():
            found: torch.Tensor = policy.model(batch)[0]
            return found

    usual = actions()
    policy.train()
    drawn = actions()
    with lean_transformer(policy):
        lean_drawn = actions()
        policy.eval()
        torch.testing.assert_close(actions(), usual)
    # Equal samples differ by their draws alone, and as much as LeRobot's own do.
    assert (drawn.std(dim=0) > 0).all()
    torch.testing.assert_close(lean_drawn.mean(0), drawn.mean(0), rtol=0, atol=6 * float(drawn.std(0).max()) / 20)
    torch.testing.assert_close(lean_drawn.std(0), drawn.std(0), rtol=0.35, atol=0)
