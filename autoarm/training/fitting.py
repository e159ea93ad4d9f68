"""A plain training loop that goes on where it was left: what pretraining and distillation have in common."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from autoarm.runtime.files import write_text
from autoarm.training.checkpoint import STATE_FOLDER, load_state, save_state, saved_step
from autoarm.training.config import Phase
from autoarm.training.schedule import Progress, learning_rate

_SAVE_EVERY: Final = 500
_REPORT_EVERY: Final = 10
_CONFIG: Final = "config.json"
_WEIGHT_DECAY: Final = 1e-4
_CLIP: Final = 10.0


def fit(
    module: nn.Module,
    loss_of: Callable[[int], Tensor],
    phase: Phase,
    folder: Path,
    config: dict[str, Any],
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Train a module with AdamW, from the state in a folder if it is this run's, saving it there on the way.

    Args:
        module: What is trained, all of it.
        loss_of: The loss of a step, counted from 0.
        phase: Steps, batch size and learning rate.
        folder: Where the state is kept.
        config: What decides the weights, as JSON data: the state of another run is not gone on with.
        progress: Called every ten steps.
    """
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=phase.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True)
    begun, state, text = folder / _CONFIG, folder / STATE_FOLDER, json.dumps(config, sort_keys=True)
    first = 0
    if state.is_dir() and begun.is_file() and begun.read_text(encoding="utf-8") == text:
        first = saved_step(state)
        load_state(state, module, optimizer)
    clock = time.perf_counter()
    for step in range(first, phase.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, phase)
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimizer.step()
        if progress is not None and (step + 1) % _REPORT_EVERY == 0:
            rate = _REPORT_EVERY * phase.batch_size / (time.perf_counter() - clock)
            progress(Progress(step + 1, phase.steps, float(loss.detach()), rate))
            clock = time.perf_counter()
        if (step + 1) % _SAVE_EVERY == 0:
            write_text(begun, text)
            save_state(state, step + 1, module.state_dict(), optimizer)
