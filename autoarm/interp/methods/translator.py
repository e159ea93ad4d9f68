"""Tuned lens: for each encoder layer an affine map to the last layer's output (Belrose et al., arXiv:2303.08112).

Each is one map for all tokens, fitted by ridge regression from sums that are collected batch by batch, so that memory
does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.model.capture import Batch, capture_each
from autoarm.interp.model.sites import resolve
from autoarm.interp.model.tokens import check_act

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Translator:
    """An affine map of each token: values times weight, plus bias.

    Attributes:
        weight: Weights, `(channel, channel)`.
        bias: Biases, `(channel,)`.
        error: Share of the last layer's variance that was not explained, on the data it was fitted to.
    """

    weight: Floats
    bias: Floats
    error: float

    def __call__(self, tokens: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tokens `(..., channel)`, mapped to the last layer's output."""
        return np.asarray(tokens @ self.weight + self.bias, np.float32)


def fit_translators(policy: Any, batches: Iterable[Batch], alpha: float = 1e-3) -> dict[int, Translator]:
    """A translator from the encoder's input, and from the output of each layer but the last.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations to fit to, other than those of the lens.
        alpha: Ridge strength, relative to the mean square of a layer's channels.

    Returns:
        Translators by the number of layers before them, as `autoarm.interp.methods.lens.action_lens` takes them.
    """
    encoder = check_act(policy).model.encoder
    depth = len(encoder.layers)
    sites = ["tokens.in", *(f"encoder.{number}.out" for number in range(depth - 1)), "encoder.out"]
    found = resolve(policy, sites)
    sums = [_Moments() for _ in range(depth)]
    for values in capture_each(policy, batches, found):
        last = values["encoder.out"].reshape(-1, values["encoder.out"].shape[-1]).astype(np.float64)
        for moments, site in zip(sums, sites[:-1], strict=True):
            early = _normed(encoder, values[site])
            moments.add(early.reshape(len(last), -1).astype(np.float64), last)
    return {layers: moments.solve(alpha) for layers, moments in enumerate(sums)}


def _normed(encoder: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    device = next(encoder.parameters()).device
    with torch.no_grad():
        normed: NDArray[np.float32] = encoder.norm(torch.from_numpy(values).to(device)).cpu().numpy()
    return normed


class _Moments:
    """Sums over rows that a regression needs."""

    def __init__(self) -> None:
        self._count = 0
        self._parts: list[Floats] = []

    def add(self, x: Floats, y: Floats) -> None:
        new = [x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y, (y**2).sum(axis=0)]
        self._parts = [old + more for old, more in zip(self._parts, new, strict=True)] if self._count else new
        self._count += len(x)

    def solve(self, alpha: float) -> Translator:
        n = self._count
        sum_x, sum_y, xx, xy, yy = self._parts
        mean_x, mean_y = sum_x / n, sum_y / n
        inner, cross = xx - n * np.outer(mean_x, mean_x), xy - n * np.outer(mean_x, mean_y)
        strength = alpha * max(float(np.trace(inner)) / len(inner), 1e-30)
        weight = np.linalg.solve(inner + strength * np.eye(len(inner)), cross)
        spread = (yy - n * mean_y**2).sum()
        left = spread - 2 * (weight * cross).sum() + np.einsum("ij,ik,kj->", weight, inner, weight, optimize=True)
        return Translator(
            np.asarray(weight, np.float64), mean_y - mean_x @ weight, float(left / spread) if spread > 0 else 0.0
        )
