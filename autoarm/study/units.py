"""Units of work: the rows of a unit are written all together, or not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autoarm.study.plan import Condition
from autoarm.study.rows import Row


@dataclass(frozen=True)
class Unit:
    """A piece of work: one stage on one policy, or one variant of that.

    Attributes:
        recipe: Name of a recipe or of a control.
        seed: Training seed; 0 for a control.
        variant: Which of several changes a stage makes to the policy; these conditions stand in all of its rows.
    """

    recipe: str
    seed: int
    variant: dict[str, Condition] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the unit in rows, such as `end-to-end/0`."""
        return "/".join(map(str, [self.recipe, self.seed, *self.variant.values()]))

    def row(self, metric: str, at: dict[str, Any], value: float | np.floating | None) -> Row:
        """A row of this unit; a value that is not finite becomes None (not defined)."""
        number = None if value is None or not math.isfinite(float(value)) else float(value)
        return Row(
            unit=self.name, arm=self.recipe, seed=self.seed, metric=metric, at={**self.variant, **at}, value=number
        )


def mean_or_none(values: ArrayLike) -> float | None:
    """Mean of the finite values; None if there are none."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if finite.size else None
