"""What an arm was told and what it did: the one form in which every recording is fitted and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError

Vector = NDArray[np.float64]

SHORTEST: Final = 1.0
"""Seconds that a motion must last: what an arm does in less is mostly how it started."""
_GAP: Final = 3.0
"""Periods without a row after which what follows is another motion: the arm was told things that nobody recorded."""
_RADIANS: Final = 3.3
"""Values that are all smaller are radians, the gripper's too: an arm in degrees does not stay so near its middle."""


@dataclass(frozen=True)
class Motion:
    """A recording.

    Attributes:
        name: Name for reports.
        times: Seconds, rising, `(n,)`.
        goals: Goal positions that were sent at these times, `(n, 6)` in the contract's units.
        positions: Where the joints were when those were sent, `(n, 6)`.
        compared: Joints whose motion nothing but the servos decided.
    """

    name: str
    times: Vector
    goals: Vector
    positions: Vector
    compared: tuple[str, ...] = spec.JOINTS

    @property
    def recording(self) -> str:
        """Name of the recording that it was cut from."""
        return self.name.partition("#")[0]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.times[-1] - self.times[0])

    def part(self, first: int, end: int) -> Motion:
        """The rows from `first` up to `end`."""
        rows = slice(first, end)
        return replace(self, times=self.times[rows], goals=self.goals[rows], positions=self.positions[rows])


def whole_motions(motion: Motion, file: Path) -> tuple[list[Motion], list[str]]:
    """A recording cut where rows are missing or its clock jumps, and what was found, in sentences.

    Rows with a value that is no number count as missing. Parts shorter than a second are left out.

    Raises:
        InvalidFileError: If nothing is left.
    """
    finite = (
        np.isfinite(motion.times) & np.isfinite(motion.goals).all(axis=1) & np.isfinite(motion.positions).all(axis=1)
    )
    kept = Motion(motion.name, motion.times[finite], motion.goals[finite], motion.positions[finite], motion.compared)
    steps = np.diff(kept.times)
    period = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    jumps = np.flatnonzero((steps <= 0) | (steps > _GAP * period)) + 1
    edges = [0, *(int(jump) for jump in jumps), len(kept.times)]
    parts = [kept.part(first, end) for first, end in pairwise(edges) if end > first]
    long = [part for part in parts if part.seconds >= SHORTEST]
    if not long:
        longest = max((part.seconds for part in parts), default=0.0)
        raise InvalidFileError(
            f"its longest part without a gap lasts {longest:.2f} s",
            file=file,
            field=motion.name,
            cure=f"record at least {SHORTEST:.0f} s",
        )
    if len(parts) == 1:
        return parts, []
    said = f"{motion.name}: cut into {len(long)} at gaps of more than {_GAP:.0f} periods, or a clock that jumps"
    if len(long) < len(parts):
        said += f"; {len(parts) - len(long)} parts shorter than {SHORTEST:.0f} s left out"
    return [replace(part, name=f"{motion.name}#{number}") for number, part in enumerate(long, start=1)], [said]


def check_units(values: Vector, file: Path) -> None:
    """Raise `InvalidFileError` if positions `(n, 6)` are radians, or no SO-101 has these degrees."""
    if np.nanmax(np.abs(values), initial=0.0) < _RADIANS:
        raise InvalidFileError(
            f"all values are within {_RADIANS} of 0: these are radians",
            file=file,
            cure="convert the arm to degrees and the gripper to 0..100",
        )
    low, high = spec.ACTION_LOW - _BEYOND, spec.ACTION_HIGH + _BEYOND
    for index, joint in enumerate(spec.JOINTS):
        outside = values[(values[:, index] < low[index]) | (values[:, index] > high[index]), index]
        if len(outside) > _FEW * len(values):
            raise InvalidFileError(
                f"reads {outside[0]:.0f}, which this arm does not reach",
                file=file,
                field=joint,
                cure="count degrees from the middle of the calibrated range, as LeRobot does since version 0.2",
            )


_BEYOND: Final = 40.0
"""Degrees by which positions may lie outside of the model's limits: calibrated ranges differ from arm to arm."""
_FEW: Final = 0.001
"""Share of rows that may be wrong: bits fall over on a serial line."""


def moving(motions: list[Motion], least: float) -> NDArray[np.bool_]:
    """Which joints move by more than `least` degrees in some motion that compares them, `(6,)`."""
    found = np.zeros(len(spec.JOINTS), bool)
    for motion in motions:
        compared = np.array([joint in motion.compared for joint in spec.JOINTS])
        found |= compared & (np.ptp(motion.positions, axis=0) > least)
    return found
