"""How two responses of a joint differ: by how much, how late, and how far a held joint hangs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.system_id.motion import Motion, Vector
from gym_autoarm import spec

_LARGEST_LAG: Final = 0.4
"""Seconds by which an answer may come later, or earlier, to be found at all."""
_RATE: Final = 100.0
"""Rows a second at which answers are laid over each other."""
_STILL: Final = 2.0
"""Degrees that a joint must move for its lag to mean anything."""
_QUICK: Final = 15.0
"""Degrees a second, root mean square, from which a motion of a joint counts as quick."""
_WINDOW: Final = 10.0
"""Seconds over which a lag is looked for."""
_HELD: Final = 1.0
"""Seconds for which a goal must stay where it is for the joint to count as held."""
_REST: Final = 2.0
"""Degrees a second below which a held joint has come to rest."""


@dataclass(frozen=True)
class JointError:
    """How a simulation of a joint differs from what was recorded: degrees, the gripper in hundredths of its range.

    Attributes:
        joint: Name of the joint.
        rms: Root mean square of the difference.
        most: Largest absolute difference.
        lag: Milliseconds by which the arm came after its goals in quick motions; `None` if it made none.
        lag_simulated: That of the simulation.
        sag: How far the arm stayed from its goal where it was held, on average, with its sign; `None` if it was not.
        sag_simulated: That of the simulation.
        sag_error: Root mean square difference of the two, held pose by held pose.
    """

    joint: str
    rms: float
    most: float
    lag: float | None
    lag_simulated: float | None
    sag: float | None
    sag_simulated: float | None
    sag_error: float | None


def joint_errors(motions: Sequence[Motion], paths: Sequence[Vector]) -> list[JointError]:
    """How simulated paths `(n, 6)` of motions differ from what was recorded, over all motions alike."""
    found = []
    for column, joint in enumerate(spec.JOINTS):
        pairs = [(m, path[:, column]) for m, path in zip(motions, paths, strict=True) if joint in m.compared]
        if not pairs:
            continue
        differences = [path - motion.positions[:, column] for motion, path in pairs]
        lags, sags, apart = [], [], []
        for motion, path in pairs:
            goals, real = motion.goals[:, column], motion.positions[:, column]
            lags += quick_lags(motion.times, goals, real, path)
            held = held_rows(motion.times, goals, real) & held_rows(motion.times, goals, path)
            if held.any():
                sags.append((float(np.mean((real - goals)[held])), float(np.mean((path - goals)[held]))))
                apart.append(float(np.mean(np.square((path - real)[held]))))
        lag, lag_simulated = _means(lags)
        sag, sag_simulated = _means(sags)
        found.append(
            JointError(
                joint,
                # Every motion counts alike, however long it is.
                float(np.sqrt(np.mean([np.mean(np.square(each)) for each in differences]))),
                max(float(np.abs(each).max()) for each in differences),
                None if lag is None else 1000 * lag,
                None if lag_simulated is None else 1000 * lag_simulated,
                sag,
                sag_simulated,
                float(np.sqrt(np.mean(apart))) if apart else None,
            )
        )
    return found


def mean_rms(errors: Sequence[JointError]) -> float:
    """The mean of the joints' errors."""
    return float(np.mean([each.rms for each in errors]))


def rms(difference: NDArray[np.float64]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(difference))))


def quick_lags(times: Vector, goals: Vector, real: Vector, path: Vector) -> list[tuple[float, float]]:
    """Seconds by which two answers `(n,)` come after their goals `(n,)`, for every ten seconds with quick goals."""
    found = []
    for start in np.arange(times[0], times[-1], _WINDOW):
        rows = (times >= start) & (times < start + _WINDOW)
        if rows.sum() < 10 or times[rows][-1] - times[rows][0] < 4 * _LARGEST_LAG:
            continue
        grid = np.arange(times[rows][0], times[rows][-1], 1 / _RATE)
        sent, one, other = (np.interp(grid, times[rows], each[rows]) for each in (goals, real, path))
        if rms(np.diff(sent) * _RATE) < _QUICK:
            continue
        pair = lag(sent, one) / _RATE, lag(sent, other) / _RATE
        if np.isfinite(pair).all():
            found.append(pair)
    return found


def lag(first: Vector, second: Vector) -> float:
    """Rows by which `second` comes after `first`, both `(n,)` at 100 a second; NaN if they hardly move.

    The shift that leaves the least difference, offset aside; a fraction of a row by a parabola through the three shifts
    around it. NaN, too, if that is at the end of the shifts that are tried.
    """
    if min(np.ptp(first), np.ptp(second)) < _STILL:
        return float("nan")
    most = min(round(_LARGEST_LAG * _RATE), len(first) // 4)
    shifts = np.arange(-most, most + 1)
    # Over the same rows of the first for every shift.
    middle = first[most : len(first) - most]
    left = np.array([np.var(second[most + shift : len(second) - most + shift] - middle) for shift in shifts])
    best = int(np.argmin(left))
    if not 0 < best < len(shifts) - 1:
        return float("nan")
    before, here, after = left[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float(shifts[best] + (0.5 * (before - after) / bend if bend > 0 else 0.0))


def held_rows(times: Vector, goals: Vector, path: Vector) -> NDArray[np.bool_]:
    """Rows in which the goal has stayed where it is for a second, and the joint has come to rest, `(n,)`."""
    changes = np.flatnonzero(np.diff(goals) != 0) + 1
    last = np.zeros(len(goals), int)
    last[changes] = changes
    unchanged = times - times[np.maximum.accumulate(last)] >= _HELD
    return np.asarray(unchanged & (np.abs(np.gradient(path, times)) < _REST))


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    if not pairs:
        return None, None
    first, second = np.mean(pairs, axis=0)
    return float(first), float(second)
