"""Arrays with named axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class NamedArray:
    """Values, and the name of each of their axes, such as `("batch", "token", "channel")`."""

    axes: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.axes) != self.values.ndim:
            raise InvalidInputError(f"{len(self.axes)} names for {self.values.ndim} axes", field="axes")

    def axis(self, name: str) -> int:
        """The number of an axis. Raises `InvalidInputError` for an unknown one."""
        return axis_number(self.axes, name)

    def size(self, name: str) -> int:
        """The length of an axis."""
        return self.values.shape[self.axis(name)]

    def mean(self, name: str) -> NamedArray:
        """The mean over an axis, which is dropped."""
        number = self.axis(name)
        rest = tuple(axis for axis in self.axes if axis != name)
        return NamedArray(rest, np.asarray(self.values.mean(axis=number, dtype=np.float64), np.float32))


def axis_number(axes: tuple[str, ...], name: str) -> int:
    """The index of `name` in `axes`. Raises `InvalidInputError` if it is not among them."""
    if name not in axes:
        raise InvalidInputError(f"there is no axis {name!r}", field="axis", cure=f"choose from {', '.join(axes)}")
    return axes.index(name)
