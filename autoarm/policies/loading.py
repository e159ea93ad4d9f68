"""From a name to a policy: a baseline, a shipped reference policy, a checkpoint folder, or a user's own class."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from autoarm.policies.protocol import Policy
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError, did_you_mean

_OWN_CLASS: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Baseline:
    """A line of help about a baseline, and the function that makes it from a dataset."""

    summary: str
    build: Callable[[Path | None], Policy]


def _expert(_: Path | None) -> Policy:
    from autoarm.policies.scripted import ExpertPolicy

    return ExpertPolicy()


def _random(_: Path | None) -> Policy:
    from autoarm.policies.scripted import RandomPolicy

    return RandomPolicy()


def _no_op(_: Path | None) -> Policy:
    from autoarm.policies.scripted import NoOpPolicy

    return NoOpPolicy()


def _replay(dataset: Path | None) -> Policy:
    from autoarm.policies.lookup import ReplayPolicy

    return ReplayPolicy(_required(dataset, "replay"))


def _nearest(dataset: Path | None) -> Policy:
    from autoarm.policies.lookup import NearestPolicy

    return NearestPolicy(_required(dataset, "nearest"))


def _nearest_state(dataset: Path | None) -> Policy:
    from autoarm.policies.nearest import NearestStatePolicy

    return NearestStatePolicy(_required(dataset, "nearest-state"))


def _nearest_image(dataset: Path | None) -> Policy:
    from autoarm.policies.nearest import NearestImagePolicy

    return NearestImagePolicy(_required(dataset, "nearest-image"))


def _rbf(dataset: Path | None) -> Policy:
    from autoarm.policies.rbf import RbfPolicy

    return RbfPolicy(_required(dataset, "rbf"))


def _position_fed(dataset: Path | None) -> Policy:
    from autoarm.policies.position_fed import PositionFedPolicy

    return PositionFedPolicy(_required(dataset, "position-fed"))


def _required(dataset: Path | None, name: str) -> Path:
    if dataset is None:
        raise InvalidInputError(
            f"the baseline {name!r} is made from demonstrations", field="dataset", cure="name a folder with --dataset"
        )
    return dataset


BASELINES: Final[dict[str, Baseline]] = {
    "expert": Baseline("plans from the true poses", _expert),
    "random": Baseline("uniformly drawn goals, each held for half a second", _random),
    "no-op": Baseline("holds the start position", _no_op),
    "replay": Baseline("the mean demonstration, whatever it sees; needs a dataset", _replay),
    "nearest": Baseline("the demonstration that began most alike; needs a dataset", _nearest),
    "nearest-state": Baseline("what followed the nearest joint positions; needs a dataset", _nearest_state),
    "nearest-image": Baseline("what followed the most similar look; needs a dataset", _nearest_image),
    "rbf": Baseline("interpolates the demonstrations by their first looks; needs a dataset", _rbf),
    "position-fed": Baseline("a regression on the true poses; needs a dataset", _position_fed),
}
BLIND: Final = "blind:"
"""Before the name of a checkpoint: the same, shown one constant picture."""


def load_policy(
    reference: str, dataset: Path | None = None, device: str = "cpu", image_size: tuple[int, int] = spec.IMAGE_SIZE
) -> Policy:
    """The policy that `reference` names.

    Args:
        reference: One of `BASELINES`, the name of a shipped policy, a LeRobot checkpoint folder, either of these two
            after `blind:`, or `module:Class` of a class that takes no arguments and follows the `Policy` protocol.
        dataset: LeRobotDataset folder, for the baselines that are made from one.
        device: Torch device, for a checkpoint.
        image_size: Height and width of the frames that the policy will be shown.

    Raises:
        InvalidInputError: If there is no such policy.
        InvalidFileError: If the checkpoint or dataset is damaged.
        IncompatiblePolicyError: If the policy was made for another robot.
    """
    if reference in BASELINES:
        return BASELINES[reference].build(dataset)
    if reference.startswith(BLIND):
        seeing = load_policy(reference.removeprefix(BLIND), dataset, device, image_size)
        from autoarm.policies.blind import BlindPolicy

        return BlindPolicy(seeing, _required(dataset, BLIND), image_size)
    shipped = shipped_policies()
    folder = shipped.get(reference, Path(reference))
    if folder.exists():
        from autoarm.policies.lerobot import LeRobotPolicy

        return LeRobotPolicy(folder, device, image_size, reference)
    if _OWN_CLASS.fullmatch(reference):
        return _own_policy(reference)
    raise _unknown(reference)


def check_reference(reference: str) -> None:
    """Raise `InvalidInputError` for what `load_policy` would not know, without loading anything."""
    name = reference.removeprefix(BLIND)
    known = name in BASELINES or name in shipped_policies() or Path(name).exists() or _OWN_CLASS.fullmatch(name)
    if not known:
        raise _unknown(name)


def _unknown(reference: str) -> InvalidInputError:
    if len(Path(reference).parts) > 1:
        return InvalidInputError(
            f"there is no folder {reference!r}", field="policy", cure="name the folder of a checkpoint"
        )
    names = [*BASELINES, *shipped_policies()]
    return InvalidInputError(
        f"there is no policy {reference!r}",
        field="policy",
        cure=f"{did_you_mean(reference, names)}choose from {', '.join(names)}, a checkpoint folder, or module:Class",
    )


def shipped_policies() -> dict[str, Path]:
    """The reference policies that this installation carries: name and checkpoint folder."""
    folder = Path(str(files("autoarm_assets"))) / "policies"
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}


def _own_policy(reference: str) -> Policy:
    module_name, class_name = reference.split(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the console script leaves it out, and that is where people keep their own
    try:
        made = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidInputError(
            f"cannot make {reference!r}: {error}", field="policy", cure="give module:Class"
        ) from error
    if not isinstance(made, Policy):
        raise IncompatiblePolicyError(
            f"{reference!r} does not follow the policy protocol",
            field="policy",
            cure="it needs name, needs_images, reset(seed, info) and act(observation, info)",
        )
    return made
