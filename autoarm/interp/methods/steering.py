"""Steering: change what a probe reads, to test whether the policy uses that direction or only represents it.

A linear probe reads a quantity, such as the cube's position, off a site. The smallest change of the activations that
makes it read another value is added to them; the policy should then act as if it saw that value (Li et al.,
arXiv:2210.13382). Changes as large in random directions are the control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.ablation import normalised_effect
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, predict_chunks
from autoarm.interp.model.named_array import NamedArray
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Reads `k` numbers off a site: values as one row, times weight, plus bias.

    Attributes:
        weight: Weights, `(d, k)`.
        bias: Biases, `(k,)`.
        shape: Shape of the site's values, without the batch.
    """

    weight: Floats
    bias: Floats
    shape: tuple[int, ...]

    def read(self, values: NamedArray) -> Floats:
        """The probe's output, `(batch, k)`."""
        return np.asarray(values.values.reshape(len(values.values), -1) @ self.weight + self.bias, np.float64)

    def steering_vector(self, change: ArrayLike) -> NDArray[np.float32]:
        """The smallest changes of the site's values that change the probe's output by `(n, k)`: `(n, *shape)`."""
        wanted = np.atleast_2d(np.asarray(change, np.float64))
        solved = wanted @ np.linalg.pinv(self.weight)
        return np.asarray(solved.reshape(len(wanted), *self.shape), np.float32)


def fit_probe(values: NamedArray, targets: ArrayLike, alpha: float = 10.0) -> LinearProbe:
    """Fit a linear probe to all of a site's values, by ridge regression.

    Args:
        values: As `capture` returns them.
        targets: What the probe is to read, `(n, k)`.
        alpha: Regularisation strength, for values whose mean square is 1.
    """
    y = np.asarray(targets, np.float64)
    if y.ndim != 2 or len(y) != len(values.values) or len(y) < 2:
        raise InvalidInputError(f"targets {y.shape} for {len(values.values)} observations", field="targets")
    x = values.values.reshape(len(values.values), -1).astype(np.float64)
    mean, offset = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean
    # In the span of the observations, which is where the ridge's solution lies: there are fewer of them than values.
    gram = centred @ centred.T
    strength = alpha * max(float((centred**2).mean()), 1e-30)
    weight = centred.T @ np.linalg.solve(gram + strength * np.eye(len(x)), y - offset)
    return LinearProbe(weight, offset - mean @ weight, values.values.shape[1:])


def add(change: ArrayLike) -> Edit:
    """Add the same `(*shape)` to all observations of a forward pass, or `(n, *shape)` one by one."""
    extra = torch.as_tensor(np.array(change, np.float32))
    return Edit(lambda values: values + extra.to(values))


@dataclass(frozen=True, eq=False)
class Steering:
    """Normalised effects on the action: 0 is none, 1 is the source's action.

    Attributes:
        effect: Effect of the probe's direction, `(batch,)`.
        control: Effect of random directions of the same length, `(batch, draw)`.
        norm: Length of the change relative to the site's values, `(batch,)`.
        towards_expert: The effect measured from the clean action to a given one, such as the expert's, `(batch,)`; NaN
            without one.
    """

    effect: Floats
    control: Floats
    norm: Floats
    towards_expert: Floats


def steer(
    policy: Any,
    clean: Batch,
    source: Batch,
    site: str,
    probe: LinearProbe,
    change: ArrayLike,
    rng: np.random.Generator,
    draws: int = 5,
    expert: ArrayLike | None = None,
) -> Steering:
    """Move a site's values along a probe's direction, and measure how far the action follows.

    Args:
        policy: A LeRobot `ACTPolicy`.
        clean: Observations.
        source: The same observations with the quantity really changed, such as the cube elsewhere.
        site: The probe's site.
        probe: A probe of that site.
        change: By how much the probe's output is to change, `(batch, k)`.
        rng: Draws the random directions.
        draws: Number of random directions.
        expert: Normalised chunks for `Steering.towards_expert`, `(batch, slot, action)`.
    """
    push = probe.steering_vector(change)
    with precomputed_feature_maps(policy, clean, source) as (start, goal):
        found = capture(policy, [start], [site, "action"])
        first, target = found["action"].values, predict_chunks(policy, [goal])
        if len(push) != len(first) or push.shape[1:] != found[site].values.shape[1:]:
            raise InvalidInputError(f"change {push.shape} at {found[site].values.shape}", field="change")

        def moved(by: NDArray[np.float32]) -> NDArray[np.float32]:
            return predict_chunks(policy, [start], {site: add(by)})

        reached = moved(push)
        control = [normalised_effect(first, moved(random_directions(push, rng)), target) for _ in range(draws)]
    size = _lengths(found[site].values)
    return Steering(
        effect=normalised_effect(first, reached, target),
        control=np.stack(control, axis=1) if control else np.empty((len(first), 0)),
        norm=_lengths(push) / np.where(size > 0, size, np.nan),
        towards_expert=np.full(len(first), np.nan) if expert is None else normalised_effect(first, reached, expert),
    )


def random_directions(change: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Random directions, each of the same length as its row of `change`."""
    noise = rng.normal(size=change.shape)
    scale = _lengths(change) / _lengths(noise)
    return np.asarray(noise * scale.reshape(-1, *[1] * (change.ndim - 1)), np.float32)


def _lengths(values: NDArray[np.floating]) -> Floats:
    return np.asarray(np.sqrt((values.astype(np.float64) ** 2).sum(axis=tuple(range(1, values.ndim)))), np.float64)
