"""Demonstrations brought to one clock, so that they can be averaged and interpolated.

They differ in speed. Stretched as a whole, one still reaches for the cube when another has closed the gripper already,
and the mean of the two does neither. Here they are stretched piece by piece between the moments that matter: when the
gripper starts to close, and when it starts to open again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec

Trajectory = NDArray[np.float32]

_GRIPPER = spec.JOINTS.index("gripper")


def aligned(trajectories: Sequence[Trajectory]) -> NDArray[np.float32]:
    """Trajectories `(steps, 6)` of any lengths as one array `(n, steps, 6)`.

    Each piece gets its median length. If the gripper does not close in one of them, all are stretched as a whole.
    """
    moments = [grasp(trajectory) for trajectory in trajectories]
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(trajectories):
        length = round(float(np.median([len(trajectory) for trajectory in trajectories])))
        return np.stack([stretch(trajectory, length) for trajectory in trajectories])
    pieces = [np.split(trajectory, moment) for trajectory, moment in zip(trajectories, known, strict=True)]
    lengths = np.median([[len(piece) for piece in own] for own in pieces], axis=0).round().astype(int)
    return np.stack(
        [
            np.concatenate([stretch(piece, int(length)) for piece, length in zip(own, lengths, strict=True)])
            for own in pieces
        ]
    )


def grasp(trajectory: Trajectory) -> tuple[int, int] | None:
    """The step at which the gripper's goal starts to be closed for longest, and the first one after that.

    Closed is what lies below the middle of the goals' range. None if that is all or nothing of the trajectory.
    """
    goals = trajectory[:, _GRIPPER]
    closed = goals < (goals.min() + goals.max()) / 2
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]])))
    if not len(edges):
        return None
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    start, end = int(starts[longest]), int(ends[longest])
    return (start, end) if start > 0 and end < len(trajectory) else None


def stretch(trajectory: Trajectory, length: int) -> Trajectory:
    """The trajectory `(steps, d)` resampled linearly in time to `(length, d)`, both ends kept."""
    old, new = np.linspace(0.0, 1.0, len(trajectory)), np.linspace(0.0, 1.0, length)
    return np.stack([np.interp(new, old, column) for column in trajectory.T], axis=1).astype(np.float32)
