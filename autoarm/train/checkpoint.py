"""What a training run leaves behind: LeRobot's checkpoint folder, and the state that continues the run exactly.

OUT/train.json                 the configuration and the dataset it belongs to
OUT/pretrained_model/          what LeRobot loads
OUT/state/                     optimiser and random state of the newest checkpoint, safetensors only
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autoarm.files import replace_folder, write_text
from autoarm.train.processors import Pipelines
from gym_autoarm.errors import InvalidFileError

POLICY_FOLDER = "pretrained_model"
STATE_FOLDER = "state"


def save_policy(folder: Path, policy: Any, processors: Pipelines) -> None:
    """Write a checkpoint folder that `lerobot-eval --policy.path` takes; an older one is replaced as a whole."""

    def fill(temporary: Path) -> None:
        policy.save_pretrained(temporary)
        for pipeline in processors:
            pipeline.save_pretrained(temporary)

    replace_folder(folder, fill)


def save_state(folder: Path, step: int, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Write all that continues the run: weights, optimiser moments, random state, step."""
    tensors = {f"weights/{name}": value.detach().clone().contiguous() for name, value in weights.items()}
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value.clone().contiguous() for slot, value in slots.items()}
    tensors["random"] = torch.get_rng_state()

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / "state.safetensors")
        write_text(temporary / "step.json", json.dumps({"step": step}))

    replace_folder(folder, fill)


def load_state(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put a saved run back. Returns the number of steps taken.

    Raises:
        InvalidFileError: If the folder is damaged or belongs to another model.
    """
    try:
        step = int(json.loads((folder / "step.json").read_text())["step"])
        tensors = load_file(folder / "state.safetensors")
        model.load_state_dict({name[8:]: value for name, value in tensors.items() if name.startswith("weights/")})
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, slot = name.split("/")
                slots.setdefault(int(index), {})[slot] = _laid_out_like(parameters[int(index)], value)
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random"])
    except Exception as error:  # a damaged file fails in as many ways as there are libraries reading it
        raise InvalidFileError(
            f"cannot be continued from: {error}", file=folder, cure="delete it to start over"
        ) from error
    return step


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    # The fused optimiser walks through memory, so that moments must have the strides of their parameter: channels last.
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
