"""A policy's changing state (modes, queue, ensemble, random numbers), put back after a block."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def state_kept(policy: Any) -> Iterator[None]:
    """Put the policy in evaluation mode; afterwards modes, queued actions and random state are as they were."""
    modes = {module: module.training for module in policy.modules()}
    memory = _memory(policy)
    device = next(policy.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        policy.eval()
        for (owner, name), value in memory.items():
            setattr(owner, name, _copy(value))
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for (owner, name), value in memory.items():
                setattr(owner, name, value)


def _memory(policy: Any) -> dict[tuple[Any, str], Any]:
    """What ACT remembers between calls of `select_action`."""
    if policy.config.temporal_ensemble_coeff is not None:
        ensembler = policy.temporal_ensembler
        names = ("ensembled_actions", "ensembled_actions_count")
        return {(ensembler, name): getattr(ensembler, name) for name in names}
    return {(policy, "_action_queue"): policy._action_queue}


def _copy(value: Any) -> Any:
    # A deque is copied with its bound; the ensembler works in place on its tensors.
    return value.clone() if isinstance(value, Tensor) else deque(value, value.maxlen) if value is not None else None
