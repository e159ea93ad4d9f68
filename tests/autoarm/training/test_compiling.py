"""A compiled network trains like the usual one, and is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from autoarm.training.compiling import compiled
from autoarm.training.config import TrainConfig
from autoarm.training.features import backbone_of, feature_maps, images_are_feature_maps
from autoarm.training.folding import folded_batch_norm
from autoarm.training.lean import lean_transformer
from autoarm.training.new_policy import new_policy, policy_config


def test_a_compiled_network_learns_the_same_and_is_compiled_once(
    small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = torch.compile

    def traced(function: Callable[..., Any], mode: str | None, dynamic: bool) -> Any:
        # Traced as for a GPU; a C++ compiler would take minutes.
        assert mode is None
        return usual(function, backend="aot_eager", dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", traced)
    generator = torch.Generator().manual_seed(2)
    images = [torch.randn(2, 3, 32, 48, generator=generator) for _ in range(2)]
    joints = {
        "observation.state": torch.randn(2, 6, generator=generator),
        "action": torch.randn(2, 8, 6, generator=generator),
        "action_is_pad": torch.zeros(2, 8, dtype=torch.bool),
    }

    def losses(how: Any) -> tuple[list[float], list[str], list[str]]:
        torch.manual_seed(0)
        policy: Any = new_policy(policy_config(small_config, "cpu")).train()
        backbone = backbone_of(policy)
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.001)
        found = []
        with folded_batch_norm(backbone), lean_transformer(policy), compiled(policy, how):
            for _ in range(3):
                maps = dict(zip(policy.config.image_features, feature_maps(backbone, images), strict=True))
                with images_are_feature_maps(policy):
                    loss, _ = policy.forward({**joints, **maps})
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                found.append(loss.item())
            names = list(policy.state_dict())
        return found, names, [name for name, module in policy.named_modules() if "forward" in vars(module)]

    expected, names, _ = losses("off")
    counters.clear()
    found, compiled_names, changed = losses("default")
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(set(found)) == 3
    assert compiled_names == names
    assert not changed
    assert counters["stats"]["unique_graphs"] == 2  # the backbone and the network, whole
    assert not counters["graph_break"]
