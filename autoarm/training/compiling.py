"""Compile a network for the time of its training: kernels that belong together become one, launched together.

Small kernels, and the time that the processor takes to launch them, are half of a step on a fast GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from autoarm.training.features import backbone_of

Compile = Literal["off", "default", "reduce-overhead"]
"""`default` joins kernels, `reduce-overhead` launches them together, too, as a CUDA graph."""


@contextmanager
def compiled(policy: Any, how: Compile) -> Iterator[None]:
    """Inside the block, a policy's backbone and network are compiled, the first time that they are used.

    Parameters and their names stay as they are, so checkpoints can be written inside the block.
    """
    if how == "off":
        yield
        return
    network = policy.model if policy.name == "act" else policy.diffusion
    modules = (backbone_of(policy), network)
    own = [vars(module).get("forward") for module in modules]
    for module in modules:
        # Batches of a phase are of one size.
        module.forward = torch.compile(module.forward, mode=None if how == "default" else how, dynamic=False)
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            del module.forward
            if forward is not None:
                module.forward = forward
