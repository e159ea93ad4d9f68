"""Goals that bring an arm to where it is wanted, although its servos are soft, late and rub.

A person who steers by sight sends the arm further than it shall go, until it is there. Here the model tells how far:
what gravity, inertia and friction ask of each motor, divided by its stiffness, is how far a goal must lie ahead.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.kinematics import ArmKinematics, from_radians, to_radians

Vector = NDArray[np.float64]

_MOVING: Final = 0.01
"""Speed, rad/s, from which a joint counts as moving: its dry friction then stands against it."""
_TURN: Final = 0.25
"""Share of the dry friction by which the compensation may change in a control step, where a joint turns back."""


class Compensation:
    """The goals with which an arm without its load follows a path.

    Args:
        body: How the arm answers.
        kinematics: The arm's model.
    """

    def __init__(self, body: Body, kinematics: ArmKinematics | None = None) -> None:
        self.body = body
        self._kinematics = kinematics or ArmKinematics()

    def goals(self, path: Vector, start: Vector) -> Vector:
        """Goal positions `(steps, 6)` that bring the joints to `path` `(steps, 6)`, from rest at `start` `(6,)`.

        Positions are in the contract's units. Goals may lie outside of its limits.
        """
        angle = to_radians(np.concatenate([np.asarray(start)[None], path]))
        speed = np.gradient(angle, axis=0) * spec.FPS
        acceleration = np.gradient(speed, axis=0) * spec.FPS
        torque = self._kinematics.torques(angle, speed, acceleration)
        side = _sides(speed)
        goals = np.empty_like(angle)
        for joint, servo in enumerate(self.body.servos):
            damping = servo.damping + (0.0 if servo.damping_ratio else servo.kv)
            wanted = torque[:, joint] + servo.armature * acceleration[:, joint]
            wanted += damping * speed[:, joint] + servo.frictionloss * side[:, joint]
            goals[:, joint] = angle[:, joint] + wanted / servo.kp
        return (from_radians(goals) + side * self.body.backlash / 2)[1:]


def _sides(speed: Vector) -> Vector:
    """How much of its dry friction stands against each joint, -1 to 1, `(steps, 6)`; at rest it stays as it was."""
    found = np.zeros_like(speed)
    side: Vector = np.zeros(speed.shape[1])
    for step, now in enumerate(speed):
        wanted = np.where(np.abs(now) > _MOVING, np.sign(now), side)
        side = side + np.clip(wanted - side, -_TURN, _TURN)
        found[step] = side
    return found
