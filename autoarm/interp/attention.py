"""Where the decoder of a LeRobot ACT policy looks: its cross-attention, head by head, sorted by what the tokens are.

Every slot of the chunk (one future action) spreads an attention of 1 over the encoder's tokens. Their order is that of
LeRobot's `ACT.forward`: latent, arm state, environment state where there is one, then each camera's grid row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = NDArray[np.float32]
Frame = NDArray[np.uint8]

LATENT: Final = "latent"
STATE: Final = "state"
ENVIRONMENT: Final = "environment"

OVERLAY_COLOUR: Final = (255, 0, 170)
"""RGB; a hue that neither table, arm, cube nor box has."""
OVERLAY_OPACITY: Final = 0.65
"""At the top of the scale; nought at its bottom."""

_TOLERANCE: Final = 1e-5
"""Largest difference between our mean over heads and torch's own, for float32."""


@dataclass(frozen=True)
class TokenLayout:
    """What the encoder's tokens are.

    Attributes:
        vectors: Names of the tokens that are not pixels, in order.
        grids: Height and width of each camera's grid, by camera, in order.
    """

    vectors: tuple[str, ...]
    grids: Mapping[str, tuple[int, int]]

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.vectors) + sum(height * width for height, width in self.grids.values())

    def camera(self, name: str) -> slice:
        """Where a camera's tokens are. Raises `InvalidInputError` for an unknown camera."""
        start = len(self.vectors)
        for camera, (height, width) in self.grids.items():
            if camera == name:
                return slice(start, start + height * width)
            start += height * width
        raise InvalidInputError(f"there is no {name!r}", field="camera", cure=f"choose from {', '.join(self.grids)}")


@dataclass(frozen=True)
class CrossAttention:
    """Cross-attention of one decoder layer in one forward pass.

    Attributes:
        weights: `(heads, slots, tokens)`; sums to 1 over the tokens.
        layout: What the tokens are.
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
        if name not in self.layout.vectors:
            raise InvalidInputError(
                f"there is no {name!r}", field="token", cure=f"choose from {', '.join(self.layout.vectors)}"
            )
        return self.weights[..., self.layout.vectors.index(name)]

    def camera(self, name: str) -> Weights:
        """Attention to a camera's grid, `(heads, slots, height, width)`."""
        grid = self.weights[..., self.layout.camera(name)]
        return grid.reshape(*grid.shape[:2], *self.layout.grids[name])

    def maps(self) -> dict[str, Weights]:
        """Each camera's grid, mean over heads and slots, `(height, width)`: comparable between cameras."""
        return {name: self.camera(name).mean(axis=(0, 1)) for name in self.layout.grids}

    def shares(self) -> dict[str, float]:
        """How the attention divides between tokens and cameras, mean over heads and slots; sums to 1."""
        shares = {name: float(self.token(name).mean()) for name in self.layout.vectors}
        return shares | {name: float(grid.sum()) for name, grid in self.maps().items()}


@dataclass(frozen=True)
class Capture:
    """One forward pass: the normalised chunk `(slots, action size)`, and each decoder layer's cross-attention."""

    actions: Weights
    layers: tuple[CrossAttention, ...]


def capture_cross_attention(policy: Any, batch: Mapping[str, Tensor]) -> Capture:
    """Predict a chunk and keep where the decoder looked. The policy, its action queue included, is left as it was.

    Args:
        policy: A LeRobot `ACTPolicy`, of any size.
        batch: One observation as the policy's preprocessor returns it.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: If the batch holds more than one observation.
    """
    from lerobot.policies.act.modeling_act import ACTPolicy

    if not isinstance(policy, ACTPolicy):
        raise IncompatiblePolicyError(f"{type(policy).__name__} is no ACT policy", cure="give an ACT policy")
    grids: list[tuple[int, int]] = []
    weights: list[Tensor] = []

    def keep_grid(module: nn.Module, inputs: tuple[Any, ...], output: Mapping[str, Tensor]) -> None:
        height, width = output["feature_map"].shape[-2:]
        grids.append((height, width))

    def keep_weights(
        module: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: tuple[Tensor, Tensor]
    ) -> None:
        each = head_weights(module, named["query"], named["key"])  # (batch, heads, slots, tokens)
        # Torch returns the mean over heads: a recomputation that disagreed would be of something else.
        difference = float((each.mean(dim=1) - output[1]).abs().max())
        assert difference <= _TOLERANCE, f"recomputed attention is off by {difference}"
        weights.append(each)

    # ACT calls its backbone once a camera, in the order of the configuration.
    cameras = [key.removeprefix("observation.images.") for key in policy.config.image_features]
    layers = policy.model.decoder.layers
    hooks = [layer.multihead_attn.register_forward_hook(keep_weights, with_kwargs=True) for layer in layers]
    if cameras:
        hooks.append(policy.model.backbone.register_forward_hook(keep_grid))
    try:
        with _training_mode_kept(policy):
            actions = policy.predict_action_chunk(dict(batch))  # (batch, slots, action size)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(weights) == len(layers), f"{len(weights)} of {len(layers)} attention hooks fired"
    assert len(grids) == len(cameras), f"{len(grids)} grids of {len(cameras)} cameras"
    if len(actions) != 1:
        raise InvalidInputError(f"{len(actions)} observations in the batch", field="batch", cure="give one")
    layout = TokenLayout(_vectors(policy.config), dict(zip(cameras, grids, strict=True)))
    return Capture(_array(actions[0]), tuple(CrossAttention(_array(each[0]), layout) for each in weights))


def head_weights(attention: nn.MultiheadAttention, query: Tensor, key: Tensor) -> Tensor:
    """The attention of each head, from the projections: LeRobot's own call keeps only their mean.

    Args:
        attention: Without masks, in evaluation mode, queries and keys of equal width: as in ACT's decoder.
        query: `(slots, batch, width)`.
        key: `(tokens, batch, width)`.

    Returns:
        `(batch, heads, slots, tokens)`.
    """
    import torch
    from torch.nn import functional

    heads = attention.num_heads
    weight_q, weight_k, _ = attention.in_proj_weight.chunk(3)
    bias_q, bias_k, _ = attention.in_proj_bias.chunk(3)
    with torch.no_grad():
        q = functional.linear(query, weight_q, bias_q).reshape(*query.shape[:2], heads, -1).permute(1, 2, 0, 3)
        k = functional.linear(key, weight_k, bias_k).reshape(*key.shape[:2], heads, -1).permute(1, 2, 3, 0)
        weights: Tensor = (q @ k / attention.head_dim**0.5).softmax(dim=-1)
    return weights


def shared_scale(maps: Sequence[Weights]) -> float:
    """The top of one scale for several maps: their largest value."""
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


def _vectors(config: Any) -> tuple[str, ...]:
    present = {LATENT: True, STATE: config.robot_state_feature, ENVIRONMENT: config.env_state_feature}
    return tuple(name for name, feature in present.items() if feature)


def _array(tensor: Tensor) -> Weights:
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)


@contextmanager
def _training_mode_kept(policy: nn.Module) -> Iterator[None]:
    """`predict_action_chunk` switches to evaluation mode and leaves it so."""
    modes = {module: module.training for module in policy.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
