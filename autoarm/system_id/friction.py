"""What a recording shows of a joint's friction by itself, without a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from autoarm.system_id.motion import Motion, Vector
from autoarm.system_id.simulation import gravity
from gym_autoarm.kinematics import to_radians
from gym_autoarm.servo import Servo

_SMOOTH: Final = 5
"""Rows over which a speed is taken: an encoder's tick in one period is 4 degrees a second."""
_SLOWEST: Final = 0.1
"""rad/s below which a joint may stick, where friction is whatever holds it."""
_BINS: Final = 14
_FEWEST: Final = 30
"""Rows of a bin that is shown."""
_STEADY: Final = 1.5
"""rad/s^2 above which inertia takes a share of the torque."""


def friction_points(motions: Sequence[Motion], joint: int, servo: Servo) -> Vector:
    """Medians over bins of speed, `(bins, 4)`: speed (rad/s), friction (N m), its quartiles' distance, number of rows.

    Friction is what is left, after gravity, of the motor's torque, which follows from goal and position; rows in which
    the joint speeds up or slows down are left out.
    """
    speeds, torques = [], []
    for motion in motions:
        if motion.seconds < 1.0 or len(motion.times) <= 2 * _SMOOTH:
            continue
        goal, angle = (to_radians(each)[:, joint] for each in (motion.goals, motion.positions))
        speed = _slope(angle, motion.times)
        steady = (np.abs(speed) > _SLOWEST) & (np.abs(_slope(speed, motion.times)) < _STEADY)
        if not steady.any():
            continue
        motor = np.clip(servo.kp * (goal - angle), -servo.torque_limit, servo.torque_limit)[steady]
        load = gravity(motion.positions[steady])[:, joint]
        speeds.append(np.abs(speed[steady]))
        torques.append((motor - load) * np.sign(speed[steady]))
    if not speeds:
        return np.empty((0, 4))
    all_speeds, all_torques = np.concatenate(speeds), np.concatenate(torques)
    edges = np.geomspace(_SLOWEST, max(float(np.quantile(all_speeds, 0.995)), 2 * _SLOWEST), _BINS + 1)
    found = []
    for low, high in pairwise(edges):
        rows = (all_speeds >= low) & (all_speeds < high)
        if rows.sum() >= _FEWEST:
            first, middle, last = np.quantile(all_torques[rows], (0.25, 0.5, 0.75))
            found.append((float(np.median(all_speeds[rows])), float(middle), float(last - first), float(rows.sum())))
    return np.array(found).reshape(-1, 4)


def _slope(values: Vector, times: Vector) -> Vector:
    """Central differences over several rows, `(n,)`."""
    found = np.zeros_like(values)
    found[_SMOOTH:-_SMOOTH] = (values[2 * _SMOOTH :] - values[: -2 * _SMOOTH]) / (
        times[2 * _SMOOTH :] - times[: -2 * _SMOOTH]
    )
    return found
