"""What an arm is asked to do while it is watched: goal positions at the contract's rate, with nothing to bump into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoarm.system_id.arm_dataset import ArmDataset
from autoarm.system_id.motion import Vector
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style, ease
from gym_autoarm.model import yaw_quaternion
from gym_autoarm.sampling import spot_position
from gym_autoarm.scene import HOME, Cube, Scene

_SPEED: Final = 1.8
"""Degrees a step; the expert's."""
_STEP: Final = 10.0
"""Degrees, and hundredths of the gripper's range, that a joint is sent away at once: a third of what the guard lets."""
_HOLD: Final = 12
"""Control steps between two of them: 0.4 s, in which soft gains have answered."""
_RAISED: Final = (0.0, -40.0, 20.0, 60.0, 90.0, 40.0)
"""Where the arm is meanwhile: joints far from their limits, the gripper 17 cm over the table."""
_AWAY: Final = 1.5
"""Metres to where the cube is put in simulation: out of the arm's reach."""


@dataclass(frozen=True)
class Trajectory:
    """Goal positions to follow from a start.

    Attributes:
        name: Name for reports.
        start: Where the arm begins, at rest, `(6,)` in the contract's units.
        actions: Goal positions, `(steps, 6)`.
    """

    name: str
    start: Vector
    actions: Vector

    @property
    def speed(self) -> float:
        """Largest speed of its goals, degrees a second."""
        goals = np.concatenate([self.start[None], self.actions])
        return float(np.abs(np.diff(goals, axis=0)).max() * spec.FPS)

    def scene(self, scene: Scene | None = None) -> Scene:
        """A scene in which to follow it: the arm at its start, and no cube in its way."""
        scene = scene or Scene(surface="plain")
        start = tuple(float(value) for value in np.clip(self.start, spec.ACTION_LOW, spec.ACTION_HIGH))
        return replace(scene, cube=replace(scene.cube, x=_AWAY, y=_AWAY), start=start)


def expert_trajectory(spot: str = "centre", seed: int = 0) -> Trajectory:
    """The scripted expert's, for a cube at a spot (a name, or x:y in metres); it closes its gripper on nothing.

    Raises:
        InvalidInputError: For an unknown spot.
        UnreachablePoseError: For one that the arm cannot reach.
    """
    x, y = spot_position(spot)
    cube = np.array([x, y, Cube().size / 2, *yaw_quaternion(0.0)])
    box = np.array([*spec.BOX_POSITION, 0.0, *yaw_quaternion(0.0)])
    actions = Expert().plan(cube, box, np.asarray(HOME), Style.sample(seed))
    return Trajectory(f"the expert's, cube at {spot}, seed {seed}", np.asarray(HOME), actions.astype(np.float64))


def step_trajectory() -> Trajectory:
    """Joint after joint is sent away at once, to either side and back, with the arm raised: what shows gains best."""
    start = np.asarray(HOME)
    raised = np.asarray(_RAISED)
    actions = [ease(start, raised, _SPEED, 30), np.repeat(raised[None], _HOLD, axis=0)]
    for joint in range(len(spec.JOINTS)):
        for offset in (_STEP, -_STEP, 0.0):
            goal = raised.copy()
            goal[joint] += offset
            actions.append(np.repeat(goal[None], _HOLD, axis=0))
    return Trajectory("steps of every joint", start, np.concatenate(actions))


def replayed(dataset: ArmDataset, episode: int) -> Trajectory:
    """The actions of a dataset's episode, from where its arm was.

    Raises:
        InvalidInputError: If there is no such episode, or it was recorded at another rate than the arm is driven at.
    """
    if dataset.fps != spec.FPS:
        raise InvalidInputError(
            f"it has {dataset.fps} frames a second", field="dataset", cure=f"use one with {spec.FPS}"
        )
    motion = dataset.recorded(episode)
    return Trajectory(motion.name, motion.positions[0], motion.goals)
