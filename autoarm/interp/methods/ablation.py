"""What parts of a policy matter to the actions it predicts: each replaced in turn, open loop.

Three ways to take a part out, because each alone misleads: zeros may be far from anything the part ever says, its mean
may be near to nothing it says, and a resampled value says something true of another moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autoarm.interp.model.capture import Batch, capture, to_numpy
from autoarm.interp.model.intervene import Edit, Places, chosen, intervene, replace
from autoarm.interp.model.named_array import NamedArray
from gym_autoarm.errors import InvalidInputError

Effects = NDArray[np.float64]

NOISE: Final = 1e-4
"""Root mean square between two normalised chunks below which there is no effect to be divided: float32 rounding, which
stays below 1e-5, and some."""


def resample(reference: NamedArray, rng: np.random.Generator, at: Places | None = None) -> Edit:
    """Put captured values of other observations, drawn anew for each observation of each forward pass.

    Args:
        reference: As `capture` returns it, of the whole site.
        rng: Draws the observations; one for all places, so that what is put together was seen together.
        at: Where.
    """
    rows = torch.as_tensor(np.array(chosen(reference, at)))

    def change(old: Tensor) -> Tensor:
        return rows[rng.integers(len(rows), size=len(old))].to(old)

    return Edit(change, at)


def knock_out(policy: Any, batch: Batch, edits: Mapping[str, Edit]) -> dict[str, Effects]:
    """How far each edit alone moves the normalised chunk.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations as its preprocessor returns them.
        edits: By site, such as `zero()`, `mean(reference)` or `resample(reference, rng)`.

    Returns:
        For each site the root mean square over slots and joints, `(batch,)`; 0 is no effect.
    """
    clean = _chunks(policy, batch, {})
    return {name: _distance(_chunks(policy, batch, {name: edit}), clean) for name, edit in edits.items()}


def patch(
    policy: Any, clean: Batch, source: Batch, sites: Iterable[str], at: Places | None = None
) -> dict[str, Effects]:
    """How much of the way from one prediction to another each site carries alone: activation patching.

    Meng et al., arXiv:2202.05262. A site in the stream carries what those before it do: effects do not add up.

    Args:
        policy: A LeRobot `ACTPolicy`.
        clean: Observations into whose forward pass values are put.
        source: As many others, whose values are put there.
        sites: Each is patched alone.
        at: At which tokens or slots; everywhere if None.

    Returns:
        For each site the `normalised_effect`, `(batch,)`.
    """
    found = capture(policy, [source], [*sites])
    target, start = _chunks(policy, source, {}), _chunks(policy, clean, {})
    if len(target) != len(start):
        raise InvalidInputError(f"{len(target)} observations for {len(start)}", field="source", cure="give as many")
    return {
        name: normalised_effect(
            start, _chunks(policy, clean, {name: replace(np.array(chosen(values, at)), at)}), target
        )
        for name, values in found.items()
    }


def normalised_effect(clean: ArrayLike, patched: ArrayLike, source: ArrayLike) -> Effects:
    """How far `patched` is on the way from `clean` (0) to `source` (1), seen along that way.

    Args:
        clean: Actions `(batch, slot, action)`.
        patched: As many.
        source: As many.

    Returns:
        `(batch,)`; NaN where clean and source are nearer than `NOISE`: what is not there cannot be divided.
    """
    start, reached, target = (np.asarray(values, np.float64) for values in (clean, patched, source))
    if not start.shape == reached.shape == target.shape:
        raise InvalidInputError(f"shapes {start.shape}, {reached.shape} and {target.shape} differ", field="patched")
    axes = tuple(range(1, start.ndim))
    way = target - start
    length = (way**2).sum(axis=axes)
    covered = ((reached - start) * way).sum(axis=axes)
    enough = _distance(target, start) >= NOISE
    effects: Effects = np.full(len(start), np.nan)
    np.divide(covered, length, out=effects, where=enough)
    return effects


def _distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> Effects:
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return np.asarray(np.sqrt((difference**2).mean(axis=tuple(range(1, difference.ndim)))), np.float64)


def _chunks(policy: Any, batch: Batch, edits: Mapping[str, Edit]) -> NDArray[np.float32]:
    if not edits:
        return capture(policy, [batch], ["action"])["action"].values
    with intervene(policy, edits):
        return to_numpy(policy.predict_action_chunk(dict(batch)))
