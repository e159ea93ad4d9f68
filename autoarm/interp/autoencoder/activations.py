"""Activations of a site at each token or slot, as rows of channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.sites import resolve
from gym_autoarm.errors import InvalidInputError

Rows = NDArray[np.float32]

_GRID: Final = ("batch", "channel", "row", "column")
_VECTORS: Final = (("batch", "token"), ("batch", "slot"))


@dataclass(frozen=True, eq=False)
class TokenActivations:
    """Activations of one site.

    Attributes:
        site: Its name.
        values: `(observation, token, channel)`; slots of the chunk and cells of a feature map are tokens here too.
    """

    site: str
    values: Rows

    @property
    def rows(self) -> Rows:
        """All tokens of all observations, `(row, channel)`."""
        return self.values.reshape(-1, self.values.shape[-1])

    def at(self, observations: NDArray[np.integer] | slice) -> TokenActivations:
        """The activations of some observations."""
        return TokenActivations(self.site, self.values[observations])


def site_activations(policy: Any, batches: Iterable[Batch], site: str) -> TokenActivations:
    """Capture a site's activations, a vector for each token.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them.
        site: A site with a vector for each token, slot or cell of a feature map.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: For an unknown site, or one that holds no such vectors.
    """
    axes = site_axes(policy, site)
    return TokenActivations(
        site, np.asarray(to_tokens(torch.from_numpy(capture(policy, batches, [site])[site].values), axes).numpy())
    )


def site_axes(policy: Any, site: str) -> tuple[str, ...]:
    """Names of a site's axes. Raises `InvalidInputError` unless it holds a vector for each token."""
    axes = resolve(policy, [site])[site].axes
    if axes != _GRID and not (len(axes) == 3 and axes[:2] in _VECTORS):
        raise InvalidInputError(
            f"{site!r} has axes {', '.join(axes)}: no vector for each token",
            field="site",
            cure="choose one such as encoder.out, decoder.mlp or backbone.top",
        )
    return axes


def to_tokens(values: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Values of a site to `(batch, token, channel)`; cells of a feature map in reading order."""
    return values.flatten(2).transpose(1, 2) if axes == _GRID else values


def from_tokens(tokens: Tensor, axes: tuple[str, ...], like: Tensor) -> Tensor:
    """The inverse of `to_tokens`, to the shape of `like`."""
    return tokens.transpose(1, 2).reshape(like.shape) if axes == _GRID else tokens


def shuffled(rows: Rows, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Endless batches of rows, in a new random order in each epoch."""
    if len(rows) < size:
        raise InvalidInputError(
            f"{len(rows)} activations for batches of {size}",
            field="frames",
            cure="take more frames, or smaller batches",
        )
    source = torch.from_numpy(np.ascontiguousarray(rows))
    while True:
        order = rng.permutation(len(rows))
        for first in range(0, len(rows) - size + 1, size):
            yield source[order[first : first + size]]
