"""Follow a trajectory, in simulation or on an arm, and compare what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.system_id.trajectory import Positions, Recording, Trajectory
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Body, Scene

_LARGEST_LAG: Final = 0.4
"""Seconds by which an answer may come later, or earlier, to be found at all."""
_STILL: Final = 2.0
"""Degrees that a joint must move for its lag to mean anything."""
_CHUNK: Final = 15
"""Actions between two looks at a real arm's cameras: half a second."""


class Nobody:
    """An operator of the real environment who lays no cube, and never says that it is over.

    Args:
        ask: Whether a person is asked first if the table is empty.
    """

    def __init__(self, ask: bool = True) -> None:
        self._ask = ask

    def place(self, look: Callable[[], Any], scene: Scene) -> None:
        """See `autoarm_hardware.operator.Operator`."""
        if not self._ask:
            return
        if not sys.stdin.isatty():
            raise InvalidInputError(
                "nobody is at the terminal to say that the table is empty", field="yes", cure="clear it, and say --yes"
            )
        input("The arm will move. Clear the table, keep away, and press Enter. ")

    def verdict(self) -> None:
        """See `autoarm_hardware.operator.Operator`."""


@dataclass(frozen=True)
class JointError:
    """How two responses of a joint differ: degrees, the gripper in hundredths of its range.

    Attributes:
        joint: Name of the joint.
        rms: Root mean square of the difference.
        most: Largest absolute difference.
        lag: Milliseconds by which the second comes after the first, where that explains most of it; NaN for a joint
            that hardly moves.
    """

    joint: str
    rms: float
    most: float
    lag: float


def simulate(trajectory: Trajectory, body: Body | None = None) -> Positions:
    """Where the simulated arm is after every action, `(steps, 6)`."""
    scene = trajectory.scene(Scene(surface="plain", body=body or Body()))
    env = PickIntoBoxEnv(cameras=False, time_limit=len(trajectory.actions) + 1)
    env.reset(seed=0, options={"scene": scene})
    info = env.step_chunk(trajectory.actions)[4]
    return np.asarray(info["joint_path"], np.float64)


def replay(
    env: Any, trajectory: Trajectory, on_progress: Callable[[int, int], None] = lambda done, wanted: None
) -> Recording:
    """Where an arm is after every action; `env` is the real environment, with an operator that never says it is over.

    Raises:
        InvalidInputError: If the limits held back part of the trajectory, or it was cut short.
        AutoArmError: Whatever the environment raises; the arm has stopped then.
    """
    env.reset(seed=0, options={"scene": trajectory.scene(env.distribution.base)})
    paths: list[Positions] = []
    clipped = np.zeros(len(spec.JOINTS), bool)
    for first in range(0, len(trajectory.actions), _CHUNK):
        info = env.step_chunk(trajectory.actions[first : first + _CHUNK])[4]
        paths.append(np.asarray(info["joint_path"], np.float64))
        clipped |= np.asarray(info["clipped"], bool)
        on_progress(min(first + _CHUNK, len(trajectory.actions)), len(trajectory.actions))
    if clipped.any():
        names = ", ".join(joint for joint, held in zip(spec.JOINTS, clipped, strict=True) if held)
        raise InvalidInputError(
            f"the arm was held back by its limits: {names}", field="trajectory", cure="choose a slower trajectory"
        )
    positions = np.concatenate(paths)
    if len(positions) != len(trajectory.actions):
        raise InvalidInputError(
            f"the arm stopped after {len(positions)} of {len(trajectory.actions)} steps",
            field="trajectory",
            cure="leave the keys alone while it moves, and repeat it",
        )
    return Recording(trajectory, positions)


def errors(first: Positions, second: Positions, joints: tuple[str, ...] = spec.JOINTS) -> list[JointError]:
    """How two responses `(steps, 6)` to the same actions differ, joint by joint."""
    found = []
    for joint in joints:
        index = spec.JOINTS.index(joint)
        one, other = first[:, index], second[:, index]
        difference = other - one
        found.append(
            JointError(joint, rms(difference), float(np.abs(difference).max()), 1000 * lag(one, other) / spec.FPS)
        )
    return found


def rms(difference: NDArray[np.float64]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(difference))))


def lag(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Control steps by which `second` comes after `first`, both `(steps,)`; NaN if they hardly move.

    The shift that leaves the least difference, offset aside; a fraction of a step by a parabola through the three
    shifts around it.
    """
    if min(np.ptp(first), np.ptp(second)) < _STILL:
        return float("nan")
    most = min(round(_LARGEST_LAG * spec.FPS), len(first) // 4)
    shifts = np.arange(-most, most + 1)
    # Over the same steps of the first for every shift.
    middle = slice(most, len(first) - most)
    left = np.array([np.var(np.roll(second, -shift)[middle] - first[middle]) for shift in shifts])
    best = int(np.argmin(left))
    if not 0 < best < len(shifts) - 1:
        return float(shifts[best])
    before, here, after = left[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float(shifts[best] + (0.5 * (before - after) / bend if bend > 0 else 0.0))
