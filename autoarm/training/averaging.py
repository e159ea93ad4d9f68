"""An exponential moving average of weights, which is what is kept of a run: steps back and forth cancel out.

Polyak and Juditsky 1992, doi:10.1137/0330046; the warm-up of its decay as in Diffusion Policy (arXiv:2303.04137).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gym_autoarm.errors import InvalidInputError


class WeightAverage:
    """The average of a module's weights over the steps of training.

    Args:
        module: Whose weights.
        decay: What remains of the average after a step. In the first steps it is less, `(1 + n) / (10 + n)`.

    Raises:
        InvalidInputError: If the decay does not lie between 0 and 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise InvalidInputError(f"{decay} of the average remains", field="average", cure="between 0 and 1: 0.999")
        self._decay = decay
        self._live = {name: parameter.data for name, parameter in module.named_parameters()}
        self._average = {name: value.clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, value in self._average.items():
            value.lerp_(self._live[name], weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block, the module has the averaged weights."""
        kept = {name: value.clone() for name, value in self._live.items()}
        self._copy(self._average)
        try:
            yield
        finally:
            self._copy(kept)

    def adopt(self) -> None:
        """Give the module the averaged weights for good."""
        self._copy(self._average)

    def tensors(self) -> dict[str, Tensor]:
        """The average, by the names of the weights."""
        return dict(self._average)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved average. Raises `KeyError` if one is missing."""
        for name, value in self._average.items():
            value.copy_(tensors[name])

    @torch.no_grad()
    def _copy(self, source: Mapping[str, Tensor]) -> None:
        for name, value in self._live.items():
            value.copy_(source[name])
