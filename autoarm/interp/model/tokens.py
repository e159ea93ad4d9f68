"""The tokens of ACT's encoder: their names, and where each camera's tokens lie in the sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

LATENT: Final = "latent"
STATE: Final = "state"
ENVIRONMENT: Final = "environment"

IMAGE_PREFIX: Final = "observation.images."

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TokenLayout:
    """What the encoder's tokens are: those that are not pixels first, then the cameras' grids.

    Attributes:
        vectors: Names of the tokens that are not pixels, in order.
        grids: Height and width of each camera's grid, by camera, in order.
        interleaved: Whether each row of all cameras comes before the next row, as LeRobot had it before 2025-03-18;
            now each camera's grid is whole. Encoder and decoder do not care about the order, so that a checkpoint from
            then works as it did; what was recorded from it then is in that order.
    """

    vectors: tuple[str, ...]
    grids: Mapping[str, tuple[int, int]]
    interleaved: bool = False

    def __post_init__(self) -> None:
        if self.interleaved and len({height for height, _ in self.grids.values()}) > 1:
            raise InvalidInputError(
                f"grids of different heights {dict(self.grids)} cannot be interleaved", field="interleaved"
            )

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.vectors) + sum(height * width for height, width in self.grids.values())

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all tokens that are not pixels and of all cameras."""
        return (*self.vectors, *self.grids)

    def camera(self, name: str) -> Indices:
        """Where a camera's tokens are, `(height, width)`. Raises `InvalidInputError` for an unknown camera."""
        if name not in self.grids:
            cameras = ", ".join(self.grids) or "none: this policy has no camera"
            raise InvalidInputError(f"there is no {name!r}", field="camera", cure=f"choose from {cameras}")
        height, width = self.grids[name]
        before = list(self.grids)[: list(self.grids).index(name)]
        if self.interleaved:
            stride = sum(columns for _, columns in self.grids.values())
            start = len(self.vectors) + sum(self.grids[camera][1] for camera in before)
        else:
            stride = width
            start = len(self.vectors) + sum(rows * columns for rows, columns in map(self.grids.__getitem__, before))
        return start + stride * np.arange(height, dtype=np.int64)[:, None] + np.arange(width, dtype=np.int64)

    def token(self, name: str) -> int:
        """Where a token that is not a pixel is. Raises `InvalidInputError` for an unknown one."""
        if name not in self.vectors:
            raise InvalidInputError(
                f"there is no {name!r}", field="token", cure=f"choose from {', '.join(self.vectors)}"
            )
        return self.vectors.index(name)

    def indices(self, group: str) -> Indices:
        """Where the tokens of any group are, in one dimension. Raises `InvalidInputError` for an unknown group."""
        if group in self.vectors:
            return np.array([self.token(group)], np.int64)
        if group not in self.grids:
            raise InvalidInputError(
                f"there is no {group!r}", field="group", cure=f"choose from {', '.join(self.groups)}"
            )
        return self.camera(group).ravel()


def token_layout(policy: Any, batch: Mapping[str, Any] | None = None, *, interleaved: bool = False) -> TokenLayout:
    """The tokens of an ACT policy.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations; without them the frames have the sizes that its configuration declares, which a resizing
            step in the preprocessor can make untrue.
        interleaved: Describe the order of LeRobot before 2025-03-18.
    """
    config = check_act(policy).config
    if batch is not None:
        check_batch(policy, batch)
    # torchvision's ResNets halve the size five times, rounding up; a dilated last stage does not halve it.
    stride = 16 if config.replace_final_stride_with_dilation else 32
    grids = {}
    for key, feature in config.image_features.items():
        height, width = (feature if batch is None else batch[key]).shape[-2:]
        grids[camera_name(key)] = (-(-height // stride), -(-width // stride))
    present = {LATENT: True, STATE: config.robot_state_feature, ENVIRONMENT: config.env_state_feature}
    return TokenLayout(tuple(name for name, feature in present.items() if feature), grids, interleaved)


def camera_name(key: str) -> str:
    """The name of the camera in the key of an image feature of LeRobot."""
    return key.removeprefix(IMAGE_PREFIX)


def check_act(policy: Any) -> Any:
    """The policy, if it is LeRobot's ACT. Raises `IncompatiblePolicyError` otherwise."""
    from lerobot.policies.act.modeling_act import ACTPolicy

    if not isinstance(policy, ACTPolicy):
        inside = isinstance(getattr(policy, "policy", None), ACTPolicy)
        cure = "give its attribute `policy`" if inside else "give LeRobot's ACTPolicy"
        raise IncompatiblePolicyError(f"{type(policy).__name__} is no ACT policy", field="policy", cure=cure)
    return policy


def check_batch(policy: Any, batch: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` unless a batch has every input of the policy."""
    missing = [key for key in policy.config.input_features if key not in batch]
    if missing:
        raise InvalidInputError(
            f"the policy wants {', '.join(missing)}, which the batch has not: it has {', '.join(map(str, batch))}",
            field="batch",
            cure="use a dataset with these features, and the policy's own preprocessor",
        )
