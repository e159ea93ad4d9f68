"""A policy's backbone by itself, for `autoarm train --backbone`.

Run with `python benchmarks/ablations/backbone_of.py POLICY OUT`. With it, changes of the transformer can be compared on
a backbone that is there, without training it again for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tyro
from safetensors.torch import load_file

from autoarm.policies.lerobot import WEIGHTS, checkpoint_folder
from autoarm.training.backbone import save_backbone
from gym_autoarm.errors import InvalidInputError

PREFIX: Final = "model.backbone."


def backbone_of(policy: Path, out: Path, /) -> None:
    """Take the backbone out of a policy.

    Example: python benchmarks/ablations/backbone_of.py assets/policies/act-five-spots outputs/backbone-of-act

    Args:
        policy: A training run of ACT, or its checkpoint folder.
        out: Folder to make.
    """
    weights = load_file(checkpoint_folder(policy) / WEIGHTS)
    own = {name.removeprefix(PREFIX): value for name, value in weights.items() if name.startswith(PREFIX)}
    if not own:
        raise InvalidInputError(f"{policy} has no {PREFIX[:-1]}", field="policy", cure="give a policy of LeRobot's ACT")
    save_backbone(out, own, {"made_by": f"taking it out of {policy}"})


if __name__ == "__main__":
    tyro.cli(backbone_of)
