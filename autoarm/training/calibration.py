"""Give a randomly initialised backbone with frozen batch normalisation the statistics of the data.

LeRobot's ACT freezes the backbone's batch normalisation. With downloaded weights it holds ImageNet's statistics; over
random weights it is the identity, and nothing is normalised. One pass over data sets it once, before training.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d


@torch.no_grad()
def calibrate_batch_norm(backbone: nn.Module, batches: Iterable[Tensor]) -> int:
    """Set mean and variance of every frozen batch norm in `backbone` from normalised images `(b, 3, h, w)`.

    Returns:
        How many layers were set.
    """
    frozen = {name: module for name, module in backbone.named_modules() if isinstance(module, FrozenBatchNorm2d)}
    live: dict[str, nn.BatchNorm2d] = {}
    for name, module in frozen.items():
        # Momentum None averages over all batches; in training mode each layer sees normalised input from those before.
        live[name] = nn.BatchNorm2d(len(module.weight), eps=module.eps, momentum=None).to(module.weight)
        _replace(backbone, name, live[name])
    try:
        for norm in live.values():
            norm.train()
        for images in batches:
            backbone(images)
    finally:
        for name, module in frozen.items():
            _replace(backbone, name, module)
    for name, module in frozen.items():
        mean, variance = live[name].running_mean, live[name].running_var
        assert mean is not None
        assert variance is not None
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
    return len(frozen)


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, module)
