"""How much memory training needs, found out before it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import psutil
import torch
from torch import Tensor

from autoarm.train.config import TrainConfig
from autoarm.train.features import backbone_of
from autoarm.train.folding import folded_batch_norm
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_COPIES: Final = 4
"""Of the weights: themselves, their gradients and AdamW's two moments."""
_OVERHEAD: Final = 1.3
"""Work space of the kernels, and what the allocator keeps; measured peaks lie between 1.1 and 1.3 of the sum."""


def training_bytes(config: TrainConfig) -> int:
    """Estimate of the memory of a training step: weights, gradients, moments, and what is kept for the way back.

    One sample is put through the network, and the tensors that autograd keeps are counted. The libraries themselves and
    the dataset's columns come on top.
    """
    from autoarm.train.trainer import new_policy, policy_config

    with torch.random.fork_rng(devices=[]):
        fields = {**config.policy, "pretrained_backbone_weights": None}
        policy = new_policy(policy_config(replace(config, policy=fields), "cpu")).train()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = sum(parameter.numel() * parameter.element_size() for parameter in policy.parameters())
    own = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}
    joints = len(spec.JOINTS)
    batch = {
        "observation.state": torch.zeros((1, 1, joints) if policy.config.observation_delta_indices else (1, joints)),
        "action": torch.zeros(1, len(policy.config.action_delta_indices), joints),
        "action_is_pad": torch.zeros(1, len(policy.config.action_delta_indices), dtype=torch.bool),
        **{key: torch.zeros(1, 3, *config.image_size) for key in policy.config.image_features},
    }
    enabled = config.dtype == "bfloat16"
    with (
        folded_batch_norm(backbone_of(policy)),
        torch.random.fork_rng(devices=[]),
        torch.autocast("cpu", torch.bfloat16, enabled=enabled),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        loss, _ = policy.forward(batch)
    del loss
    sample = sum(size for storage, size in kept.items() if storage not in own)
    # With kept feature maps little is left to remember, and the convolutions come by in batches without a way back.
    largest = max((phase.batch_size for phase in config.phases if phase.backbone == "trained"), default=0)
    return int(_OVERHEAD * (_COPIES * weights + largest * sample))


def check_memory(config: TrainConfig) -> None:
    """Refuse a run that will not fit. Raises `InvalidInputError`."""
    needed, free = training_bytes(config), psutil.virtual_memory().available
    if needed > free:
        raise InvalidInputError(
            f"a training step needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            field="batch_size",
            cure="lower it, choose the preset cpu, or use a bigger machine",
        )
