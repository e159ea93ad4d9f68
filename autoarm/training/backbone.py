"""A backbone by itself: a folder with its weights and a record of where they come from.

FOLDER/backbone.safetensors    weights and buffers, named as in torchvision's ResNet without its last layer
FOLDER/backbone.json           how it was made
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from autoarm.runtime.files import replace_folder
from gym_autoarm.errors import InvalidFileError, InvalidInputError

WEIGHTS: Final = "backbone.safetensors"
RECORD: Final = "backbone.json"

PRETRAINING: Final = "pretraining on rendered scenes"
"""`made_by` in the record of a backbone from `autoarm pretrain`."""

_PLACES: Final = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
"""Index of each of torchvision's layers in a sequence of all of them."""


def save_backbone(folder: Path, weights: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write the folder; an older one is replaced as a whole."""

    def fill(temporary: Path) -> None:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary / WEIGHTS)
        (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    replace_folder(folder, fill, RECORD)


def load_backbone(folder: Path) -> dict[str, Tensor]:
    """Weights and buffers by name. Raises `InvalidFileError`."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise InvalidFileError(
            f"there is no {WEIGHTS} in it", file=folder, cure="make a backbone with `autoarm pretrain`"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidFileError(f"damaged: {error}", file=path, cure="make it again with `autoarm pretrain`") from error


def made_by(folder: Path) -> str | None:
    """How a backbone was made, as its record says; None if it does not say. Raises `InvalidFileError`."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("made_by")
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidFileError(f"damaged: {error}", file=path, cure="make it again with `autoarm pretrain`") from error
    return None if found is None else str(found)


def load_into(backbone: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a policy's backbone its weights, whichever way the policy has cut the ResNet. Raises `InvalidInputError`."""
    if isinstance(backbone, nn.Sequential):
        weights = {
            ".".join([_PLACES[name.split(".")[0]], *name.split(".")[1:]]): each for name, each in weights.items()
        }
    own = backbone.state_dict()
    wrong = sorted(
        name
        for name in own.keys() | weights.keys()
        if not name.endswith("num_batches_tracked")  # batch norm counts, frozen batch norm does not
        and (name not in own or name not in weights or own[name].shape != weights[name].shape)
    )
    if wrong:
        raise InvalidInputError(
            f"the weights are of another network: {wrong[0]} differs",
            field="backbone",
            cure="use the policy's ResNet-18",
        )
    backbone.load_state_dict(dict(weights), strict=False)
