"""Attribution: how much each pixel and joint contributes to a number computed from the action, and tests of that.

Integrated gradients (Sundararajan et al., arXiv:1703.01365) and feature ablation come from Captum. The caller
chooses the number, such as the first goal of the shoulder. A map is faithful only as far as hiding the patches that it
ranks highest changes the number more than hiding random ones does: see the deletion and insertion curves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.interp.model.capture import Batch, to_numpy
from autoarm.interp.model.policy_state import state_kept
from autoarm.interp.model.tokens import TokenLayout, camera_name, check_act, check_batch, token_layout
from gym_autoarm.errors import InvalidInputError

Array = NDArray[np.float32]
Target = Callable[[Tensor], Tensor]
"""From normalised chunks `(batch, slot, action)` to one number an observation, `(batch,)`."""

COMPLETE: Final = 0.01
"""Largest error of integrated gradients' sum, as a share of the difference to the baseline."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """The contribution of each input to a number.

    Attributes:
        inputs: By the policy's name of the input, in its shape; from feature ablation a camera has a value for each
            patch, `(batch, row, column)`.
        value: The number, `(batch,)`.
        baseline: The number on the baseline, `(batch,)`.
        error: Difference between the contributions' sum and `value - baseline`, relative to that, `(batch,)`; NaN for
            ablation, whose contributions do not add up.
        steps: Steps of the integration; 0 for ablation.
    """

    inputs: dict[str, Array]
    value: Array
    baseline: Array
    error: Array
    steps: int = 0


def action_target(joint: int, slots: slice | int = 0) -> Target:
    """The goal of a joint, in one slot of the chunk or the mean over several."""

    def target(chunk: Tensor) -> Tensor:
        chosen = chunk[:, slots, joint]
        return chosen if chosen.ndim == 1 else chosen.mean(dim=1)

    return target


def integrated_gradients(
    policy: Any,
    batch: Batch,
    target: Target,
    baseline: Batch,
    steps: int = 32,
    most_steps: int = 1024,
    together: int = 4,
) -> Attribution:
    """Contributions of every pixel and joint, which sum to the difference between observation and baseline.

    The number of steps is doubled until the sum is within `COMPLETE`, or `most_steps` are reached: see `error`.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        target: Computes the number from the action.
        baseline: Where integration starts: one observation for all or as many, such as `mean_observation`.
        steps: Steps of the first attempt.
        most_steps: Most steps.
        together: Most observations in one forward and backward pass, which memory depends on.
    """
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    names, inputs, start = _prepare(policy, batch, baseline)
    with _function(policy, names, target) as function:
        with torch.no_grad():
            value, base = _in_parts(function, inputs, together), _in_parts(function, start, together)
        method = IntegratedGradients(function)
        while True:
            found = method.attribute(inputs, start, n_steps=steps, internal_batch_size=max(together, len(value)))
            total = sum(part.double().flatten(1).sum(dim=1) for part in found)
            error = ((total - (value - base).double()).abs() / (value - base).double().abs()).float()
            if bool((error <= COMPLETE).all()) or steps >= most_steps:
                break
            steps *= 2
    arrays = {name: to_numpy(part) for name, part in zip(names, found, strict=True)}
    return Attribution(arrays, to_numpy(value), to_numpy(base), to_numpy(error), steps)


def feature_ablation(policy: Any, batch: Batch, target: Target, baseline: Batch) -> Attribution:
    """How much the number falls when one patch of a camera, or one joint, is replaced by the baseline's.

    Patches are the image regions of the policy's own tokens.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations.
        target: Computes the number from the action.
        baseline: Source of the replacements: one observation for all or as many.
    """
    from captum.attr import FeatureAblation

    names, inputs, start = _prepare(policy, batch, baseline)
    layout = token_layout(policy, batch)
    masks = tuple(numbers[None] for numbers in _numbered(layout, names, inputs)[0])
    with torch.no_grad(), _function(policy, names, target) as function:
        found = FeatureAblation(function).attribute(inputs, start, feature_mask=masks)
        value, base = function(*inputs), function(*start)
    arrays = {}
    for name, part in zip(names, found, strict=True):
        grid = layout.grids.get(camera_name(name))
        # All pixels of a patch have the same value.
        arrays[name] = to_numpy(part) if grid is None else _corner_of_patches(to_numpy(part), grid)
    nothing = np.full(len(value), np.nan, np.float32)
    return Attribution(arrays, to_numpy(value), to_numpy(base), nothing)


def mean_observation(batch: Batch, policy: Any) -> dict[str, Any]:
    """The mean of the batch as one observation: a baseline without a distinct cube or pose."""
    return {key: batch[key].mean(dim=0, keepdim=True) for key in policy.config.input_features}


# -- Patches -----------------------------------------------------------------------------------------------------------


def patch_numbers(layout: TokenLayout, name: str, shape: Sequence[int]) -> NDArray[np.int64]:
    """Which patch each value of an input belongs to, `shape`: a camera's tokens row by row, each joint on its own."""
    grid = layout.grids.get(camera_name(name))
    if grid is None:
        return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(shape[-2:], grid, strict=True))
    return np.asarray(np.broadcast_to(rows[:, None] * grid[1] + columns, shape), np.int64)


def patch_sums(attribution: Mapping[str, Array], layout: TokenLayout) -> dict[str, Array]:
    """Contributions summed over each patch of the cameras, `(batch, row, column)`; joints as they are."""
    sums = {}
    for name, values in attribution.items():
        grid = layout.grids.get(camera_name(name))
        if grid is None or values.ndim == 3:
            sums[name] = values
            continue
        numbers = patch_numbers(layout, name, values.shape[1:]).ravel()
        flat = [np.bincount(numbers, each.ravel(), grid[0] * grid[1]) for each in values]
        sums[name] = np.asarray(flat, np.float32).reshape(-1, *grid)
    return sums


# -- Faithfulness ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curves:
    """The number as patches and joints are hidden or shown: 0 is the baseline's, 1 the observation's.

    Attributes:
        fraction: Share of patches and joints hidden or shown, `(point,)`.
        deletion: The highest ranked are hidden first: 1 at the start, 0 at the end.
        insertion: The highest ranked are shown first: 0 at the start, 1 at the end.
        random_deletion: Deletion in random orders, `(draw, point)`.
        random_insertion: Insertion in random orders, `(draw, point)`.
    """

    fraction: Array
    deletion: Array
    insertion: Array
    random_deletion: Array
    random_insertion: Array

    def area(self, name: str) -> float:
        """The area under a curve; a faithful map has a small one for deletion and a large one for insertion."""
        curve = getattr(self, name)
        mean = curve.mean(axis=0) if curve.ndim == 2 else curve
        return float(np.trapezoid(mean, self.fraction))


def curves(
    policy: Any,
    batch: Batch,
    target: Target,
    baseline: Batch,
    importance: Mapping[str, Array],
    rng: np.random.Generator,
    points: int = 11,
    draws: int = 5,
    together: int = 4,
) -> Curves:
    """Hide and show patches and joints in the order of their contribution, and at random.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: One observation.
        target: Computes the number from the action.
        baseline: One observation, which replaces what is hidden.
        importance: As `patch_sums` or `feature_ablation` gives them. Where the number is below the baseline's,
            contributions that lower it rank highest.
        rng: Draws the random orders.
        points: Points of each curve, both ends included.
        draws: Number of random orders.
        together: Most observations in one forward pass.
    """
    names, inputs, start = _prepare(policy, batch, baseline)
    if len(inputs[0]) != 1 or points < 2:
        raise InvalidInputError("one observation and two points are needed", field="batch", cure="give one")
    layout = token_layout(policy, batch)
    numbers, count = _numbered(layout, names, inputs)
    scores = np.concatenate([np.asarray(importance[name], np.float64)[0].ravel() for name in names])
    if len(scores) != count:
        raise InvalidInputError(f"{len(scores)} contributions for {count} patches and joints", field="importance")
    fraction = np.linspace(0, 1, points)
    # The ends are known: observation and baseline. In a batch of another size they would be rounded differently, which
    # a small difference between the two magnifies.
    between = fraction[1:-1]
    with torch.no_grad(), _function(policy, names, target) as function:
        value, base = float(function(*inputs)), float(function(*start))
        if abs(value - base) < np.finfo(np.float32).eps:
            raise InvalidInputError("the baseline gives the same number", field="baseline", cure="choose another")

        def curve(order: NDArray[np.int64], show: bool) -> Array:
            first, last = (0.0, 1.0) if show else (1.0, 0.0)
            if not len(between):
                return np.asarray([first, last], np.float32)
            rank = torch.empty(count, dtype=torch.long)
            rank[torch.from_numpy(np.array(order))] = torch.arange(count)
            found = []
            for share in between:
                chosen = rank < round(share * count)
                keep = [(chosen if show else ~chosen)[each.cpu()].to(each.device) for each in numbers]
                found.append([torch.where(k[None], x, b) for k, x, b in zip(keep, inputs, start, strict=True)])
            stacked = tuple(torch.cat([each[i] for each in found]) for i in range(len(names)))
            outputs = _in_parts(function, stacked, together)
            shares = (to_numpy(outputs) - np.float32(base)) / np.float32(value - base)
            return np.concatenate([[first], shares, [last]], dtype=np.float32)

        ranked = np.argsort(-scores * np.sign(value - base), kind="stable")
        orders = [rng.permutation(count) for _ in range(draws)]
        return Curves(
            fraction=fraction.astype(np.float32),
            deletion=curve(ranked, show=False),
            insertion=curve(ranked, show=True),
            random_deletion=np.stack([curve(order, show=False) for order in orders]),
            random_insertion=np.stack([curve(order, show=True) for order in orders]),
        )


# -- Inside ------------------------------------------------------------------------------------------------------------


@contextmanager
def _function(policy: Any, names: Sequence[str], target: Target) -> Iterator[Callable[..., Tensor]]:
    """The target as a function of the policy's inputs, differentiable, in evaluation mode."""
    images = list(policy.config.image_features)

    def function(*inputs: Tensor) -> Tensor:
        batch: dict[str, Any] = dict(zip(names, inputs, strict=True))
        if images:
            batch["observation.images"] = [batch[name] for name in images]
        # Not the policy's own method, which keeps no gradients.
        chunk, _ = policy.model(batch)
        return target(chunk)

    with state_kept(policy):
        yield function


def _prepare(policy: Any, batch: Batch, baseline: Batch) -> tuple[list[str], tuple[Tensor, ...], tuple[Tensor, ...]]:
    check_act(policy)
    for given in (batch, baseline):
        check_batch(policy, given)
    names = list(policy.config.input_features)
    inputs = tuple(batch[name].detach().float() for name in names)
    start = []
    for name, values in zip(names, inputs, strict=True):
        base = baseline[name].detach().float()
        if base.shape[1:] != values.shape[1:] or len(base) not in (1, len(values)):
            raise InvalidInputError(f"{tuple(base.shape)} for {tuple(values.shape)}", field=f"baseline {name}")
        start.append(base.expand_as(values).clone())
    return names, inputs, tuple(start)


def _numbered(layout: TokenLayout, names: Sequence[str], inputs: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """The patch or joint of each value of the inputs, numbered through all of them, and how many there are."""
    numbers, count = [], 0
    for name, values in zip(names, inputs, strict=True):
        mask = patch_numbers(layout, name, tuple(values.shape[1:])) + count
        numbers.append(torch.from_numpy(mask).to(values.device))
        count = int(mask.max()) + 1
    return numbers, count


def _in_parts(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], together: int) -> Tensor:
    parts = [
        function(*(values[first : first + together] for values in inputs))
        for first in range(0, len(inputs[0]), together)
    ]
    return torch.cat(parts)


def _corner_of_patches(values: Array, grid: tuple[int, int]) -> Array:
    rows, columns = (-(-np.arange(cells) * side // cells) for cells, side in zip(grid, values.shape[-2:], strict=True))
    return np.asarray(values[:, 0][:, rows[:, None], columns], np.float32)
