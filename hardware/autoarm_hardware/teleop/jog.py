"""Jogging: small movements of the gripper, along and about the table's axes, as goal positions of the joints."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.kinematics import ArmKinematics, GraspPose, wrap

Vector = NDArray[np.float64]

_MOST_PENDING: Final = 4
"""Ticks of movement at full speed that may be pending; more is dropped, so that the arm stops soon."""
_FURTHEST: Final = 20.0
"""Degrees that a joint may turn in a tick; further would be another solution of inverse kinematics."""
_LEANS: Final = (0.0, 3.0, -3.0)
"""Degrees by which the gripper may tilt in a tick to make a movement possible, in order of preference."""


@dataclass(frozen=True)
class Movement:
    """A movement of the gripper.

    Attributes:
        x: Ahead, metres.
        y: To the left, metres.
        z: Up, metres.
        tilt: Fingertips away from the base, degrees.
        roll: About the vertical, counter-clockwise from above, degrees.
        gripper: Opening, of 100.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0
    gripper: float = 0.0

    def array(self) -> Vector:
        """As `(6,)`, in the order of the attributes."""
        return np.array([self.x, self.y, self.z, self.tilt, self.roll, self.gripper])


FASTEST: Final = Movement(x=0.005, y=0.005, z=0.005, tilt=3.0, roll=3.0, gripper=4.0)
"""Largest movement of a tick: 15 cm, 90 degrees and 1.2 times the gripper's range a second, about half as fast as the
expert."""


class Jog:
    """Turns movements of the gripper into goal positions of the joints, at the speed `FASTEST` at most.

    If the arm can make a movement only with the gripper tilted, it tilts. A movement that it cannot make is dropped.
    """

    def __init__(self) -> None:
        self._kinematics = ArmKinematics()
        self._pending: Vector = np.zeros(6)
        self.start(np.zeros(len(spec.JOINTS)))

    def start(self, goal: NDArray[np.floating]) -> None:
        """Begin from the goal positions `(6,)` that the arm has now."""
        self._goal: Vector = np.array(goal, np.float64)
        self._pose = grasp_pose(self._kinematics, self._goal)
        self._pending[:] = 0.0

    def move(self, movement: Movement) -> None:
        """Add a movement to those that are pending."""
        most = _MOST_PENDING * FASTEST.array()
        self._pending = np.clip(self._pending + movement.array(), -most, most)

    def tick(self) -> Vector:
        """The goal positions `(6,)` of the next control step."""
        fastest = FASTEST.array()
        now = np.clip(self._pending, -fastest, fastest)
        self._pending -= now
        if now[:5].any():
            self._move_arm(now)
        opening = self._goal[spec.GRIPPER] + now[5]
        self._goal[spec.GRIPPER] = np.clip(opening, spec.ACTION_LOW[spec.GRIPPER], spec.ACTION_HIGH[spec.GRIPPER])
        return self._goal.copy()

    def _move_arm(self, now: Vector) -> None:
        for lean in _LEANS if now[:3].any() else (0.0,):
            wanted = moved(self._pose, now, lean)
            try:
                arm = self._kinematics.inverse(wanted, self._goal[spec.ARM])
            except UnreachablePoseError:
                continue
            if np.abs(arm - self._goal[spec.ARM]).max() <= _FURTHEST:
                self._pose = wanted
                self._goal[spec.ARM] = arm
                return
        self._pending[:5] = 0.0


def moved(pose: GraspPose, by: Vector, lean: float = 0.0) -> GraspPose:
    """A pose after a movement (`Movement.array`), leaning `lean` degrees further."""
    x, y, z = np.add(pose.position, by[:3])
    return replace(
        pose,
        position=(float(x), float(y), float(z)),
        tilt=pose.tilt + float(by[3]) + lean,
        heading=wrap(pose.heading + float(by[4]), 360.0),
    )


def grasp_pose(kinematics: ArmKinematics, position: NDArray[np.floating]) -> GraspPose:
    """The pose of the gripper at joint positions `(6,)`: what `ArmKinematics.inverse` takes."""
    place, rotation = kinematics.forward(position)
    approach = -rotation[:, 2]
    pan = math.radians(float(position[0]))
    ahead = float(approach @ np.array([math.cos(pan), -math.sin(pan), 0.0]))
    return GraspPose(
        (float(place[0]), float(place[1]), float(place[2])),
        tilt=math.degrees(math.atan2(ahead, -float(approach[2]))),
        heading=math.degrees(math.atan2(float(rotation[1, 0]), float(rotation[0, 0]))),
    )
