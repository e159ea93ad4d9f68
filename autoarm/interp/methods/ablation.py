"""Ablation: which parts of a policy matter to the actions it predicts, each replaced in turn, open loop.

A part is ablated in three ways, because each alone misleads: zeros may be far from any value of the part, its mean may
be near none of them, and a resampled value is a real one, but of another observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, Places, chosen, predict_chunks, replace
from autoarm.interp.model.named_array import NamedArray
from gym_autoarm.errors import InvalidInputError

Effects = NDArray[np.float64]

NOISE: Final = 1e-4
"""Root mean square between two normalised chunks below which they count as equal; float32 rounding stays below 1e-5."""


def resample(reference: NamedArray, rng: np.random.Generator, at: Places | None = None) -> Edit:
    """Replace the values by captured ones of other observations, drawn anew for each observation of each forward pass.

    Args:
        reference: As `capture` returns it, of the whole site.
        rng: Draws the observations; all places of one observation get values of the same other one.
        at: Which places; all if None.
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
        edits: Edits by site, such as `zero()`, `mean(reference)` or `resample(reference, rng)`.

    Returns:
        For each site the root mean square over slots and joints, `(batch,)`; 0 is no effect.
    """
    clean = predict_chunks(policy, [batch])
    return {name: chunk_distance(predict_chunks(policy, [batch], {name: edit}), clean) for name, edit in edits.items()}


def patch(
    policy: Any, clean: Batch, source: Batch, sites: Iterable[str], at: Places | None = None
) -> dict[str, Effects]:
    """Activation patching: how far each site alone moves the prediction towards that of other observations.

    Meng et al., arXiv:2202.05262. A site in the stream carries what those before it do: effects do not add up.

    Args:
        policy: A LeRobot `ACTPolicy`.
        clean: Observations, whose forward pass is patched.
        source: As many others, whose values are put in.
        sites: Sites to patch, one at a time.
        at: Which places; all if None.

    Returns:
        For each site the `normalised_effect`, `(batch,)`.
    """
    found = capture(policy, [source], [*sites])
    target, start = predict_chunks(policy, [source]), predict_chunks(policy, [clean])
    if len(target) != len(start):
        raise InvalidInputError(f"{len(target)} observations for {len(start)}", field="source", cure="give as many")
    return {
        name: normalised_effect(
            start, predict_chunks(policy, [clean], {name: replace(np.array(chosen(values, at)), at)}), target
        )
        for name, values in found.items()
    }


def normalised_effect(clean: ArrayLike, patched: ArrayLike, source: ArrayLike) -> Effects:
    """How far `patched` is on the way from `clean` (0) to `source` (1), projected on that way.

    Args:
        clean: Actions `(batch, slot, action)`.
        patched: As many.
        source: As many.

    Returns:
        `(batch,)`; NaN where clean and source are nearer than `NOISE`.
    """
    start, reached, target = (np.asarray(values, np.float64) for values in (clean, patched, source))
    if not start.shape == reached.shape == target.shape:
        raise InvalidInputError(f"shapes {start.shape}, {reached.shape} and {target.shape} differ", field="patched")
    axes = tuple(range(1, start.ndim))
    way = target - start
    length = (way**2).sum(axis=axes)
    covered = ((reached - start) * way).sum(axis=axes)
    enough = chunk_distance(target, start) >= NOISE
    effects: Effects = np.full(len(start), np.nan)
    np.divide(covered, length, out=effects, where=enough)
    return effects


def chunk_distance(one: ArrayLike, other: ArrayLike) -> Effects:
    """Root mean square over slots and joints between two arrays of chunks, `(batch, slot, action)` each: `(batch,)`."""
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return np.asarray(np.sqrt((difference**2).mean(axis=tuple(range(1, difference.ndim)))), np.float64)
