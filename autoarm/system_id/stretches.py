"""Motions cut into stretches that are simulated side by side, each from where the arm was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from autoarm.system_id.motion import Motion, Vector
from gym_autoarm import spec

_LENGTH: Final = 10.0
"""Seconds of a stretch."""
_WARM_UP: Final = 1.0
"""Seconds at its start that are not compared: there the arm was moving, and the simulation begins at rest."""
_SENT: Final = 2.0
"""Degrees by which a goal must change for a joint to count as sent somewhere."""


@dataclass(frozen=True)
class Stretch:
    """A part of a motion.

    Attributes:
        motion: The part, warm-up included.
        source: Name of the recording that it was cut from.
        warm_up: Rows that are not compared.
    """

    motion: Motion
    source: str
    warm_up: int

    def residual(self, path: Vector, joint: str) -> Vector:
        """A simulated path `(n, 6)` minus what was recorded, of one joint, degrees; empty if it is not compared."""
        if joint not in self.motion.compared:
            return np.empty(0)
        column = spec.JOINTS.index(joint)
        return np.asarray(path[self.warm_up :, column] - self.motion.positions[self.warm_up :, column])

    def sends(self, joint: str) -> bool:
        """Whether the joint is sent somewhere."""
        return bool(np.ptp(self.motion.goals[:, spec.JOINTS.index(joint)]) > _SENT)


def cut(motions: Sequence[Motion], length: float = _LENGTH) -> list[Stretch]:
    """The stretches of all motions; each but a motion's first overlaps the one before by its warm-up."""
    found = []
    for motion in motions:
        elapsed = motion.times - motion.times[0]
        count = max(1, round((elapsed[-1] - _WARM_UP) / length))
        edges = np.linspace(0.0, elapsed[-1] + 1e-9, count + 1)
        for start, end in pairwise(edges):
            # A motion begins at rest: its first seconds count.
            first = int(np.searchsorted(elapsed, max(0.0, start - _WARM_UP)))
            compared, last = int(np.searchsorted(elapsed, start)), int(np.searchsorted(elapsed, end))
            found.append(Stretch(motion.part(first, last), motion.recording, compared - first))
    return found
