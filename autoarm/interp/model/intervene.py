"""Change what a policy computes inside, in single calls and in whole rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, SupportsIndex

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.hook_points import Callback, Weights
from autoarm.interp.model.hooks import Passes, attached
from autoarm.interp.model.named_array import NamedArray, axis_number
from autoarm.interp.model.policy_state import state_kept
from autoarm.interp.model.sites import Site, resolve
from gym_autoarm.errors import InvalidInputError

_CPU: Final = torch.device("cpu")

Places = Mapping[str, Sequence[SupportsIndex] | NDArray[np.integer]]
"""Some places by the name of an axis, such as `{"slot": [0, 1], "unit": [7]}`: all combinations of these."""


@dataclass(frozen=True)
class Edit:
    """A change of the values at a site.

    Attributes:
        change: Maps the values at the chosen places, batch first, to new ones of the same shape.
        at: Which places; all if None. Tokens by name: `{"token": token_layout(policy).indices("state")}`.
        renormalise: Whether the last axis sums to 1 again afterwards, as attention does.
    """

    change: Callable[[Tensor], Tensor]
    at: Places | None = None
    renormalise: bool = False


def zero(at: Places | None = None) -> Edit:
    """Replace the values by zeros."""
    return Edit(torch.zeros_like, at)


def block(at: Places) -> Edit:
    """Keep attention away from some tokens, as if they had been masked: what is left sums to 1 again.

    Setting weights to zero alone would leave the other weights as small as before.

    Args:
        at: Places at a site that ends in `.weights`, such as `{"query": pixels, "token": state}`.
    """
    return Edit(torch.zeros_like, at, renormalise=True)


def replace(values: NamedArray | ArrayLike | Tensor, at: Places | None = None) -> Edit:
    """Replace the values by given ones.

    Args:
        values: In the shape of the chosen places; without the batch axis, or with one row, the same for all.
        at: Which places; all if None.
    """
    new = torch.as_tensor(_plain(values))

    def change(old: Tensor) -> Tensor:
        fits = new.shape == old.shape or new.shape == old.shape[1:] or new.shape == (1, *old.shape[1:])
        # What does not fit is returned as it is, for the one refusal of wrong shapes.
        moved = new.to(old)
        return moved.expand(old.shape) if fits else moved

    return Edit(change, at)


def mean(reference: NamedArray, at: Places | None = None) -> Edit:
    """Replace the values by the mean of captured ones over the batch: each token or slot by its own.

    Args:
        reference: As `capture` returns it, of the whole site.
        at: Which places; all if None.
    """
    average = reference.mean("batch")
    return replace(chosen(average, at), at)


@contextmanager
def intervene(policy: Any, edits: Mapping[str, Edit | Callable[[Tensor], Tensor]]) -> Iterator[Passes]:
    """Edit the values at some sites in every forward pass of the block.

    An edit acts when a chunk is predicted. So that it acts from the first action on, the policy begins the block with
    an empty queue; after it, the queue is what it was before, as are modes, random state, hooks and weights. The policy
    is in evaluation mode meanwhile. Edits of one attention combine: weights first, then heads, then its output.
    What is captured or recorded within the block is edited; a recording begun before it sees values before their edit.

    Args:
        policy: A LeRobot `ACTPolicy`; a `LeRobotPolicy` acts edited while its attribute `policy` is.
        edits: Edits by site; a plain function edits all places.

    Yields:
        The number of edited forward passes so far.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: For an unknown site or axis, values of a wrong shape, or a block without a forward pass.
        AssertionError: If a site was not reached.
    """
    found = resolve(policy, edits)
    for name, site in found.items():
        if not site.editable:
            raise InvalidInputError(f"{name!r} can only be read", field="site", cure="edit what comes before it")
    problems: list[Exception] = []
    callbacks = {name: _callback(name, site, edits[name], problems) for name, site in found.items()}
    with state_kept(policy), attached(policy, found, callbacks) as passes:
        policy.reset()
        yield passes
        if problems:
            # Somebody, such as a rollout that goes on, has caught it.
            raise problems[0]
        if not passes.count:
            raise InvalidInputError(
                "nothing was edited: no chunk was predicted in this block", field="edits", cure="call the policy in it"
            )


def predict_chunks(
    policy: Any, batches: Iterable[Batch], edits: Mapping[str, Edit] | None = None
) -> NDArray[np.float32]:
    """The normalised chunks that a policy predicts, with or without edits inside; the policy is left as it was.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them.
        edits: Edits by site; none by default.

    Returns:
        `(observation, slot, action)`.
    """
    with intervene(policy, edits) if edits else nullcontext():
        return capture(policy, batches, ["action"])["action"].values


def chosen(values: NamedArray, at: Places | None) -> NDArray[np.float32]:
    """The values at some places; all combinations of these, every axis staying where it is."""
    if at is None:
        return values.values
    for axis in at:
        values.axis(axis)
    places = _grid(values.axes, values.values.shape, at, _CPU)
    return np.asarray(values.values[tuple(index.numpy() for index in places)], np.float32)


def _callback(name: str, site: Site, edit: Edit | Callable[[Tensor], Tensor], problems: list[Exception]) -> Callback:
    whole = edit if isinstance(edit, Edit) else Edit(edit)
    if whole.at is not None:
        for axis in whole.at:
            axis_number(site.axes, axis)
    if whole.renormalise and not isinstance(site.hook_point, Weights):
        raise InvalidInputError("only attention can be blocked", field=name, cure="choose a site that ends in .weights")

    def change(values: Tensor) -> Tensor:
        try:
            return _apply(name, site, whole, values)
        except Exception as problem:
            problems.append(problem)
            raise

    return change


def _apply(name: str, site: Site, edit: Edit, values: Tensor) -> Tensor:
    edited = _apply_at(name, site, edit, values)
    if not edit.renormalise:
        return edited
    sums = edited.sum(dim=-1, keepdim=True)
    if not (sums > 0).all():
        raise InvalidInputError("no attention is left for some queries", field=name, cure="block fewer tokens")
    return edited / sums


def _apply_at(name: str, site: Site, edit: Edit, values: Tensor) -> Tensor:
    if edit.at is None:
        # A copy: a function that works in place would reach the other uses of these values too.
        return _checked(name, site, edit.change(values.clone()), values)
    places = _grid(site.axes, values.shape, edit.at, values.device)
    old = values[places]
    edited = values.clone()
    edited[places] = _checked(name, site, edit.change(old), old)
    return edited


def _checked(name: str, site: Site, new: Any, old: Tensor) -> Tensor:
    if not isinstance(new, Tensor) or new.shape != old.shape:
        got = f"shape {tuple(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
        raise InvalidInputError(
            f"{got} for values of shape {tuple(old.shape)} ({', '.join(site.axes)})", field=name, cure="keep the shape"
        )
    return new.to(old)


def _grid(axes: tuple[str, ...], shape: Sequence[int], at: Places, device: torch.device) -> tuple[Tensor, ...]:
    """Indices of all combinations of places, every axis staying where it is."""
    grid = []
    for number, (axis, length) in enumerate(zip(axes, shape, strict=True)):
        places = np.arange(length) if axis not in at else np.asarray(at[axis], np.int64).ravel()
        outside = places[(places < -length) | (places >= length)]
        if outside.size:
            raise InvalidInputError(f"there is no {outside[0]} among {length}", field=axis, cure=f"0 to {length - 1}")
        index = torch.as_tensor(places, device=device)
        grid.append(index.reshape([-1 if other == number else 1 for other in range(len(axes))]))
    return tuple(grid)


def _plain(values: NamedArray | ArrayLike | Tensor) -> Any:
    if isinstance(values, Tensor):
        return values.detach()
    # A copy: of a mapped file, which torch must not write to, and of a caller's array that may change.
    return np.array(values.values if isinstance(values, NamedArray) else values, np.float32)
