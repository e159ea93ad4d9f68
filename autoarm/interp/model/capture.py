"""What a policy computes inside: activations at named sites, as arrays with named axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.interp.model.hooks import attached
from autoarm.interp.model.named_array import NamedArray
from autoarm.interp.model.policy_state import state_kept
from autoarm.interp.model.sites import Site, resolve
from autoarm.interp.model.tokens import check_batch
from gym_autoarm.errors import InvalidInputError

Values = NDArray[np.float32]
Batch = Mapping[str, Any]
"""Observations as the policy's preprocessor returns them."""


def capture(policy: Any, batches: Iterable[Batch], sites: Iterable[str]) -> dict[str, NamedArray]:
    """Run a policy on batches and return its activations at some sites.

    Meanwhile the policy is in evaluation mode: without dropout, and with the latent zero, as at inference (in training
    mode it would be encoded from the batch's actions). Afterwards the policy is as it was.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them; batches of any size, with images all of one size.
        sites: Names as `autoarm.interp.model.sites` lists them.

    Returns:
        For each name as given, in the order of a forward pass, values in float32 with all batches along `batch`.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: For an unknown site, no batch at all, or a batch that lacks an input of the policy.
        AssertionError: If a site was not reached.
    """
    found = resolve(policy, sites)
    parts: dict[str, list[Values]] = {name: [] for name in found}
    for values in capture_each(policy, batches, found):
        for name, array in values.items():
            parts[name].append(array)
    return {name: NamedArray(site.axes, np.concatenate(parts[name])) for name, site in found.items()}


def capture_each(policy: Any, batches: Iterable[Batch], found: Mapping[str, Site]) -> Iterator[dict[str, Values]]:
    """Capture batch by batch, for activations that do not fit in memory all at once.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations.
        found: Sites as `autoarm.interp.model.sites.resolve` returns them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for batch in batches:
        # Hooks are removed between batches, so that the caller may use the policy there.
        values = _capture_one(policy, batch, found)
        for name, array in values.items():
            if shapes.setdefault(name, array.shape[1:]) != array.shape[1:]:
                raise InvalidInputError(
                    f"{array.shape[1:]} after {shapes[name]} at {name!r}: the frames' sizes differ between batches",
                    field="batches",
                    cure="capture them apart",
                )
        yield values
    if not shapes and found:
        raise InvalidInputError("there is no batch", field="batches", cure="give at least one")


def _capture_one(policy: Any, batch: Batch, found: Mapping[str, Site]) -> dict[str, Values]:
    check_batch(policy, batch)
    seen: dict[str, Tensor] = {}
    callbacks = {name: partial(seen.__setitem__, name) for name in found}
    with state_kept(policy), torch.no_grad(), attached(policy, found, callbacks):
        # The class's own method: a recorder sits in front of the policy's, and this is no step of an episode.
        type(policy).predict_action_chunk(policy, dict(batch))
    return {name: to_numpy(seen[name]) for name in found}


def to_numpy(tensor: Tensor) -> Values:
    """A float32 copy in main memory."""
    return np.array(tensor.detach().float().cpu().numpy(), np.float32, order="C")
