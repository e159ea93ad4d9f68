"""What a training run leaves behind: LeRobot's checkpoint folder, and the state that continues the run exactly.

OUT/train.json                 the configuration and the dataset it belongs to
OUT/pretrained_model/          what LeRobot loads
OUT/state/                     optimiser and random state of the newest checkpoint, safetensors only
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autoarm.policies.trained_on import TrainedOn
from autoarm.runtime.files import replace_folder, write_text
from autoarm.training.averaging import WeightAverage
from autoarm.training.processors import Pipelines
from gym_autoarm.errors import InvalidFileError

POLICY_FOLDER = "pretrained_model"
STATE_FOLDER = "state"
RECORD = "train.json"
POLICY_MARK = "config.json"
"""A file that every folder of a policy has."""
_STEP = "step.json"


def save_policy(folder: Path, policy: Any, processors: Pipelines, trained_on: TrainedOn | None = None) -> None:
    """Write a checkpoint folder that `lerobot-eval --policy.path` takes; an older one is replaced as a whole.

    With `trained_on` the folder says what the policy was trained on, which decides its track.
    """

    def fill(temporary: Path) -> None:
        policy.save_pretrained(temporary)
        for pipeline in processors:
            pipeline.save_pretrained(temporary)
        if trained_on is not None:
            trained_on.save(temporary)

    replace_folder(folder, fill, POLICY_MARK)


def save_state(
    folder: Path,
    step: int,
    weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
) -> None:
    """Write all that continues the run: weights, their average, optimiser moments, random state, step."""
    tensors = {f"weights/{name}": value.detach().clone().contiguous() for name, value in weights.items()}
    if average is not None:
        tensors |= {f"average/{name}": value.clone().contiguous() for name, value in average.tensors().items()}
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value.clone().contiguous() for slot, value in slots.items()}
    tensors["random"] = torch.get_rng_state()
    if (device := _device_of(weights.values())).type == "cuda":
        tensors["random on the GPU"] = torch.cuda.get_rng_state(device)

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / "state.safetensors")
        write_text(temporary / _STEP, json.dumps({"step": step}))

    replace_folder(folder, fill, _STEP)


def saved_step(folder: Path) -> int:
    """The number of steps that a saved run has taken. Raises `InvalidFileError` if the folder is damaged."""
    path = folder / _STEP
    try:
        return int(json.loads(path.read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFileError(
            f"cannot be continued from: {error}", file=path, cure=f"delete {folder} to start over"
        ) from error


def load_state(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    average: WeightAverage | None = None,
) -> None:
    """Put a saved run back; without an optimiser the weights, their average and the random state alone.

    Raises:
        InvalidFileError: If the folder is damaged or belongs to another model.
    """
    try:
        tensors = load_file(folder / "state.safetensors")
        model.load_state_dict({name[8:]: value for name, value in tensors.items() if name.startswith("weights/")})
        if average is not None:
            average.load({name[8:]: value for name, value in tensors.items() if name.startswith("average/")})
        torch.set_rng_state(tensors["random"])
        device = _device_of(model.parameters())
        if device.type == "cuda" and "random on the GPU" in tensors:
            torch.cuda.set_rng_state(tensors["random on the GPU"], device)
        if optimizer is None:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, slot = name.split("/")
                slots.setdefault(int(index), {})[slot] = _laid_out_like(parameters[int(index)], value)
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    except Exception as error:  # a damaged file fails in as many ways as there are libraries reading it
        raise InvalidFileError(
            f"cannot be continued from: {error}", file=folder, cure="delete it to start over"
        ) from error


def _device_of(tensors: Iterable[Tensor]) -> torch.device:
    return next(iter(tensors)).device


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    # The fused optimiser walks through memory, so that moments must have the strides of their parameter: channels last.
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
