"""Cross-attention of ACT's decoder in one forward pass, by head, token and camera.

The attention of every slot of the chunk (one future action) sums to 1 over the encoder's tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.model.tokens import TokenLayout, check_act, token_layout
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor

Weights = NDArray[np.float32]
Frame = NDArray[np.uint8]

OVERLAY_COLOUR: Final = (0, 255, 200)
"""RGB colour, unlike that of table, arm, cube and box, and brighter than all of them."""
OVERLAY_OPACITY: Final = 0.65
"""Opacity at the top of the scale; 0 at its bottom."""


@dataclass(frozen=True)
class CrossAttention:
    """Cross-attention of one decoder layer in one forward pass.

    Attributes:
        weights: `(heads, slots, tokens)`; sums to 1 over the tokens.
        layout: Layout of the tokens.
    """

    weights: Weights
    layout: TokenLayout

    def __post_init__(self) -> None:
        if self.weights.ndim != 3 or self.weights.shape[-1] != self.layout.size:
            raise InvalidInputError(
                f"weights of shape {self.weights.shape} for {self.layout.size} tokens", field="weights"
            )

    def token(self, name: str) -> Weights:
        """Attention to the `latent`, `state` or `environment` token, `(heads, slots)`."""
        return self.weights[..., self.layout.token(name)]

    def camera(self, name: str) -> Weights:
        """Attention to a camera's grid, `(heads, slots, height, width)`."""
        return self.weights[..., self.layout.camera(name)]

    def maps(self) -> dict[str, Weights]:
        """Each camera's grid, mean over heads and slots, `(height, width)`: comparable between cameras."""
        return {name: self.camera(name).mean(axis=(0, 1)) for name in self.layout.grids}

    def shares(self) -> dict[str, float]:
        """Share of the attention on each camera and each other token, mean over heads and slots; sums to 1."""
        shares = {name: float(self.token(name).mean()) for name in self.layout.vectors}
        return shares | {name: float(grid.sum()) for name, grid in self.maps().items()}


@dataclass(frozen=True)
class Capture:
    """One forward pass: the normalised chunk `(slots, action size)`, and each decoder layer's cross-attention."""

    actions: Weights
    layers: tuple[CrossAttention, ...]


def capture_cross_attention(policy: Any, batch: Mapping[str, Tensor]) -> Capture:
    """Predict a chunk and capture the decoder's cross-attention. The policy and its action queue are left as they were.

    Args:
        policy: A LeRobot `ACTPolicy`, of any size.
        batch: One observation as the policy's preprocessor returns it.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: If the batch lacks an input of the policy, or holds more than one observation.
    """
    from autoarm.interp.model.capture import capture

    layers = range(len(check_act(policy).model.decoder.layers))
    found = capture(policy, [batch], ["action", *(f"decoder.{layer}.cross_attention.weights" for layer in layers)])
    actions = found.pop("action").values
    if len(actions) != 1:
        raise InvalidInputError(f"{len(actions)} observations in the batch", field="batch", cure="give one")
    layout = token_layout(policy, batch)
    return Capture(actions[0], tuple(CrossAttention(layer.values[0], layout) for layer in found.values()))


def shared_scale(maps: Sequence[Weights]) -> float:
    """The largest value of several maps, for one colour scale."""
    return max((float(grid.max()) for grid in maps), default=0.0)


def overlay(frame: Frame, grid: Weights, scale: float) -> Frame:
    """Colour a camera's frame where a map is high; each token tints just the pixels it stands for.

    Args:
        frame: RGB uint8 `(height, width, 3)`, the whole view that the policy was shown.
        grid: `(rows, columns)`, not negative.
        scale: The value that gets the full colour; one for all cameras, so that they can be compared.

    Returns:
        A new RGB uint8 frame of the same size.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
        raise InvalidInputError(f"{frame.dtype} of shape {frame.shape} is no RGB frame", field="frame")
    if not scale > 0:
        raise InvalidInputError(f"{scale} is no scale", field="scale", cure="give a positive number")
    rows = np.arange(frame.shape[0]) * grid.shape[0] // frame.shape[0]
    columns = np.arange(frame.shape[1]) * grid.shape[1] // frame.shape[1]
    opacity = OVERLAY_OPACITY * np.clip(grid[rows[:, None], columns] / scale, 0.0, 1.0)[..., None]
    mixed = (1 - opacity) * frame + opacity * np.asarray(OVERLAY_COLOUR, np.float64)
    tinted: Frame = np.rint(mixed).astype(np.uint8)
    return tinted
