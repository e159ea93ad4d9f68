"""Pieces of work: each gives its rows whole, or none."""

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
    """What to measure.

    Attributes:
        arm: Recipe or control.
        seed: Of training; 0 for a control.
        variant: Further, where a stage does several things to a policy; its conditions are those of all rows.
    """

    arm: str
    seed: int
    variant: dict[str, Condition] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As in rows."""
        return "/".join(map(str, [self.arm, self.seed, *self.variant.values()]))

    def row(self, metric: str, at: dict[str, Any], value: float | np.floating | None) -> Row:
        """A row of this unit; what is not finite is not defined."""
        number = None if value is None or not math.isfinite(float(value)) else float(value)
        return Row(unit=self.name, arm=self.arm, seed=self.seed, metric=metric, at={**self.variant, **at}, value=number)


def mean_or_none(values: ArrayLike) -> float | None:
    """Mean of what is finite; None if nothing is."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if finite.size else None
