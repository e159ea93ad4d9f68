"""Change what a policy computes inside, in single calls and in whole rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from autoarm.interp.hooks import Passes, attached
from autoarm.interp.named_array import NamedArray, axis_number
from autoarm.interp.policy_state import state_kept
from autoarm.interp.ports import Callback
from autoarm.interp.sites import Site, resolve
from gym_autoarm.errors import InvalidInputError

Places = Mapping[str, Sequence[SupportsIndex] | NDArray[np.integer]]
"""Some places by the name of an axis, such as `{"slot": [0, 1], "unit": [7]}`: all combinations of these."""


@dataclass(frozen=True)
class Edit:
    """A change of the values at a site.

    Attributes:
        change: From the values at the chosen places, batch first, to new ones of the same shape.
        at: Where; everywhere if None. Tokens by name: `{"token": token_layout(policy).indices("state")}`.
    """

    change: Callable[[Tensor], Tensor]
    at: Places | None = None


def zero(at: Places | None = None) -> Edit:
    """Put zeros."""
    return Edit(torch.zeros_like, at)


def replace(values: NamedArray | ArrayLike | Tensor, at: Places | None = None) -> Edit:
    """Put given values.

    Args:
        values: Of the shape of the chosen places; without the batch axis, or with one row, the same for all of it.
        at: Where.
    """
    new = torch.as_tensor(_plain(values))

    def change(old: Tensor) -> Tensor:
        fits = new.shape == old.shape or new.shape == old.shape[1:] or new.shape == (1, *old.shape[1:])
        # What does not fit is returned as it is, for the one refusal of wrong shapes.
        moved = new.to(old)
        return moved.expand(old.shape) if fits else moved

    return Edit(change, at)


def mean(reference: NamedArray, at: Places | None = None) -> Edit:
    """Put the mean over the batch of captured values: for each token or slot its own.

    Args:
        reference: As `capture` returns it, of the whole site.
        at: Where.
    """
    average = reference.mean("batch")
    values = torch.as_tensor(average.values)
    if at is not None:
        values = values[_grid(average.axes, values.shape, at, torch.device("cpu"))]
    return replace(values, at)


@contextmanager
def intervene(policy: Any, edits: Mapping[str, Edit | Callable[[Tensor], Tensor]]) -> Iterator[Passes]:
    """Edit the values at some sites in every forward pass of the block.

    An edit acts when a chunk is predicted. So that it acts from the first action on, the policy begins the block with
    an empty queue; after it, the queue is what it was before, as are modes, random state, hooks and weights. The policy
    is in evaluation mode meanwhile. Edits of one attention combine: weights first, then heads, then its output.

    Args:
        policy: A LeRobot `ACTPolicy`; a `LeRobotPolicy` acts edited while its attribute `policy` is.
        edits: By site. A plain function is an edit everywhere.

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


def _callback(name: str, site: Site, edit: Edit | Callable[[Tensor], Tensor], problems: list[Exception]) -> Callback:
    chosen = edit if isinstance(edit, Edit) else Edit(edit)
    if chosen.at is not None:
        for axis in chosen.at:
            axis_number(site.axes, axis)

    def change(values: Tensor) -> Tensor:
        try:
            return _apply(name, site, chosen, values)
        except Exception as problem:
            problems.append(problem)
            raise

    return change


def _apply(name: str, site: Site, edit: Edit, values: Tensor) -> Tensor:
    if edit.at is None:
        return _checked(name, site, edit.change(values), values)
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


def _grid(axes: tuple[str, ...], shape: Sequence[int], at: Places, device: torch.device) -> tuple[slice | Tensor, ...]:
    """Indices of all combinations of places, every axis staying where it is."""
    grid = []
    for number, (axis, length) in enumerate(zip(axes, shape, strict=True)):
        chosen = np.arange(length) if axis not in at else np.asarray(at[axis], np.int64).ravel()
        outside = chosen[(chosen < -length) | (chosen >= length)]
        if outside.size:
            raise InvalidInputError(f"there is no {outside[0]} among {length}", field=axis, cure=f"0 to {length - 1}")
        index = torch.as_tensor(chosen, device=device)
        grid.append(index.reshape([-1 if other == number else 1 for other in range(len(axes))]))
    return tuple(grid)


def _plain(values: NamedArray | ArrayLike | Tensor) -> Any:
    if isinstance(values, Tensor):
        return values.detach()
    # A copy: of a mapped file, which torch must not write to, and of a caller's array that may change.
    return np.array(values.values if isinstance(values, NamedArray) else values, np.float32)
