"""What an arm is asked to do while it is watched: goal positions at the contract's rate, with nothing to bump into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.dataset import joint_columns
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style, ease
from gym_autoarm.model import yaw_quaternion
from gym_autoarm.sampling import spot_position
from gym_autoarm.scene import HOME, Cube, Scene

Positions = NDArray[np.float64]

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
    start: Positions
    actions: Positions

    def scene(self, scene: Scene | None = None) -> Scene:
        """A scene in which to follow it: the arm at its start, and no cube in its way."""
        scene = scene or Scene(surface="plain")
        start = tuple(float(value) for value in np.clip(self.start, spec.ACTION_LOW, spec.ACTION_HIGH))
        return replace(scene, cube=replace(scene.cube, x=_AWAY, y=_AWAY), start=start)


@dataclass(frozen=True)
class Recording:
    """What an arm did.

    Attributes:
        trajectory: What it was asked to do.
        positions: Where it was after every action, `(steps, 6)`.
        compared: Joints whose motion nothing but the servos decided.
    """

    trajectory: Trajectory
    positions: Positions
    compared: tuple[str, ...] = spec.JOINTS


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


def recorded(folder: str | Path, episode: int) -> Recording:
    """An episode of a dataset: what was asked for, and what the arm did that recorded it.

    The gripper is not compared, which holds something now and then. The last action's outcome is not recorded.

    Raises:
        InvalidFileError: If the folder is not a dataset of this arm.
        InvalidInputError: If there is no such episode, or it is too short.
    """
    states, actions, numbers = joint_columns(folder)
    chosen = numbers == episode
    if not chosen.any():
        raise InvalidInputError(f"there is no episode {episode}", field="episode", cure=f"0 to {int(numbers.max())}")
    states, actions = states[chosen].astype(np.float64), actions[chosen].astype(np.float64)
    if len(states) < spec.FPS:
        raise InvalidInputError(
            f"episode {episode} has {len(states)} steps", field="episode", cure="choose a longer one"
        )
    trajectory = Trajectory(f"episode {episode} of {Path(folder).name}", states[0], actions[:-1])
    return Recording(trajectory, states[1:], tuple(joint for joint in spec.JOINTS if joint != "gripper"))
