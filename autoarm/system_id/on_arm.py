"""Let an arm follow a trajectory, through the same guarded environment as any policy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from autoarm.system_id.motion import Motion, Vector
from autoarm.system_id.trajectory import Trajectory
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Scene

_SPARE: Final = 1.5
"""How much quicker than its goals an arm may go: a control step may be shorter than its nominal length."""
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


def with_steps(limits: Any, trajectory: Trajectory) -> Any:
    """The limits of a real arm, `autoarm_hardware.servos.Limits`, with a speed that lets a trajectory's goals through.

    A step is as quick as can be, which is what it is for, and no longer than `Limits.step` allows.
    """
    return replace(limits, speed=max(limits.speed, _SPARE * trajectory.speed))


def follow(
    env: Any, trajectory: Trajectory, on_progress: Callable[[int, int], None] = lambda done, wanted: None
) -> Motion:
    """What an arm does; `env` is the real environment, with an operator that never says it is over.

    Raises:
        InvalidInputError: If the limits held back part of the trajectory, or it was cut short.
        AutoArmError: Whatever the environment raises; the arm has stopped then.
    """
    info = env.reset(seed=0, options={"scene": trajectory.scene(env.distribution.base)})[1]
    paths: list[Vector] = [np.asarray(info["joint_path"], np.float64)[-1:]]
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
    if len(positions) != len(trajectory.actions) + 1:
        raise InvalidInputError(
            f"the arm stopped after {len(positions) - 1} of {len(trajectory.actions)} steps",
            field="trajectory",
            cure="leave the keys alone while it moves, and repeat it",
        )
    # The last position is known after the last action; nothing is sent then.
    goals = np.concatenate([trajectory.actions, trajectory.actions[-1:]])
    return Motion(trajectory.name, np.arange(len(positions)) / spec.FPS, goals, positions)
