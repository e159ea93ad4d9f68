"""Whether a dataset counts joints in degrees, or from -100 to 100 of their calibrated range as LeRobot does by default.

Encoders tell: positions come in steps of one tick, which is 360 / 4096 of a degree, or in the other unit 200 / (number
of ticks in the range). The size of the tick tells the range, too, so that degrees can be made of the other unit without
the arm's calibration.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from autoarm.system_id.motion import Vector
from gym_autoarm import spec

Units = Literal["degrees", "percent"]

TICK: Final = 360.0 / 4096.0
"""Degrees of an encoder's tick."""
_NOISE: Final = 1e-3
"""Differences that single precision makes, and no encoder."""
_FEWEST: Final = 20
"""Different positions that a joint must show for its tick to be found."""
_ON_GRID: Final = 0.95
"""Share of differences that must be whole ticks."""
_OFF: Final = 0.06
"""Ticks by which a difference may be off; averages of readings are off by more."""
_ALIKE: Final = 0.004
"""Relative difference of ticks that are the same: LeRobot counts 4095 of them, others 4096."""
_HALF: Final = np.array([110.0, 100.0, 96.83, 95.0, 180.0])
"""Half of the calibrated range of the arm's joints, degrees, where ticks do not show it: the model's limits; the
wrist's roll turns freely, and LeRobot gives it the full turn."""


def tick(positions: Vector) -> float | None:
    """The step in which one joint's positions `(n,)` come, or `None` if they come in none."""
    gaps = np.diff(np.unique(positions))
    gaps = gaps[gaps > _NOISE]
    if len(gaps) < _FEWEST:
        return None
    step = float(gaps.min())
    # The least gap carries all its rounding; all gaps together do not.
    for _ in range(2):
        whole = np.rint(gaps / step)
        step = float((gaps @ whole) / (whole @ whole))
    off = np.abs(gaps / step - np.rint(gaps / step))
    return step if np.mean(off < _OFF) >= _ON_GRID else None


def units_of(positions: Vector) -> Units | None:
    """The unit of positions `(n, 6)`, or `None` if they do not tell."""
    arm = positions[:, spec.ARM]
    if np.abs(arm).max() > 100.5:
        return "degrees"
    ticks = [step for column in arm.T if (step := tick(column)) is not None]
    if not ticks:
        return None
    same = [abs(step / TICK - 1) < _ALIKE for step in ticks]
    # A single joint's range may have as many ticks as would make its steps look like degrees.
    return "percent" if not all(same) else "degrees" if len(ticks) > 1 else None


def half_ranges(positions: Vector) -> Vector:
    """Half of each arm joint's calibrated range, degrees `(5,)`, from positions `(n, 6)` in percent."""
    found = _HALF.copy()
    for index, column in enumerate(positions[:, spec.ARM].T):
        step = tick(column)
        if step is not None:
            found[index] = 100.0 / step * TICK
    return found


def to_degrees(values: Vector, half: Vector) -> Vector:
    """Positions `(n, 6)` in percent as degrees; the gripper has 0 to 100 in both."""
    found = values.copy()
    found[:, spec.ARM] *= half / 100.0
    return found
