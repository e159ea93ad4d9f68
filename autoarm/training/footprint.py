"""How much memory training needs, found out before it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import psutil
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from autoarm.training.config import TrainConfig
from autoarm.training.features import backbone_of
from autoarm.training.folding import folded_batch_norm
from autoarm.training.lean import lean_transformer
from autoarm.training.new_policy import new_policy, policy_config
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_COPIES: Final = 4
"""Copies of the weights in memory: themselves, their gradients and AdamW's two moments."""
_OVERHEAD: Final = 1.5
"""Work space of the kernels, what the allocator keeps, and the checkpoint being written; measured peaks lie between
1.0 and 1.5 of the sum: the presets cpu with batches of 32 to 512, cpu-diffusion with 64, full with 1 and 4."""


def training_bytes(config: TrainConfig) -> int:
    """Estimate of the memory of a training step: weights, gradients, moments, and what is kept for the backward pass.

    One and two samples are put through the network, without computing anything, and the tensors that autograd keeps
    are counted: some, such as weights in half precision, there are once a batch, the others once a sample. The
    libraries themselves and the dataset's columns come on top.
    """
    # The policy's losses are read as numbers, which tensors without content only have where shapes may be unknown.
    with torch.random.fork_rng(devices=[]), FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True):
        fields = {**config.policy, "pretrained_backbone_weights": None}
        policy = new_policy(policy_config(replace(config, policy=fields), "cpu")).train()
        weights = sum(parameter.numel() * parameter.element_size() for parameter in policy.parameters())
        largest = 0
        for phase in config.phases:
            # A frozen backbone's maps are computed beforehand, without a backward pass.
            backbone_of(policy).requires_grad_(phase.backbone == "trained")
            one, two = (_kept_bytes(policy, config, samples) for samples in (1, 2))
            largest = max(largest, one + (phase.batch_size - 1) * (two - one))
    return int(_OVERHEAD * (_COPIES * weights + largest))


def _kept_bytes(policy: Any, config: TrainConfig, samples: int) -> int:
    """What autograd keeps of one batch besides the parameters."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    own = {parameter.untyped_storage()._cdata for parameter in policy.parameters()}
    joints, chunk = len(spec.JOINTS), len(policy.config.action_delta_indices)
    history = (1,) if policy.config.observation_delta_indices else ()
    batch = {
        "observation.state": torch.zeros(samples, *history, joints),
        "action": torch.zeros(samples, chunk, joints),
        "action_is_pad": torch.zeros(samples, chunk, dtype=torch.bool),
        **{key: torch.zeros(samples, 3, *config.image_size) for key in policy.config.image_features},
    }
    with (
        folded_batch_norm(backbone_of(policy)),
        lean_transformer(policy),
        torch.autocast("cpu", torch.bfloat16, enabled=config.dtype == "bfloat16"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        loss, _ = policy.forward(batch)
    del loss
    return sum(size for storage, size in kept.items() if storage not in own)


def check_memory(config: TrainConfig, device: str = "cpu") -> int:
    """Refuse a run that will not fit into what is free on the device.

    Returns:
        Estimate of the bytes that a step needs.

    Raises:
        InvalidInputError: If there are not as many.
    """
    on_gpu = torch.device(device).type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    needed = training_bytes(config)
    if needed > free:
        raise InvalidInputError(
            f"a training step needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            field="batch_size",
            cure="lower it, choose the preset cpu, or use a bigger machine",
        )
    return needed
