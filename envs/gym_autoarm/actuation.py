"""From the goals of an episode to what its servos are told: delay, play of the gears, and the gripper's protection."""

from __future__ import annotations

from collections import deque
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.kinematics import to_radians
from gym_autoarm.model import SUBSTEPS, TIMESTEP

Vector = NDArray[np.float64]

STEP_SECONDS: Final = SUBSTEPS * TIMESTEP


class Actuation:
    """Drives the joints of one simulated arm through one episode.

    Args:
        body: How the arm answers.
        start: Joint positions that the servos hold until the first goal arrives, in the contract's units, `(6,)`.
    """

    def __init__(self, body: Body, start: Vector) -> None:
        self._body = body
        self._delay = round(body.delay / TIMESTEP)
        self._tick = 0
        self._pending: deque[tuple[int, Vector]] = deque()
        self._geared = np.array(start, np.float64)
        self._overload = OverloadWatch(body)

    @property
    def is_overloaded(self) -> bool:
        """Whether the gripper's protection holds back its motor now."""
        return self._overload.is_active

    def hold(self, data: mujoco.MjData) -> None:
        """Tell the servos to stay where they are told to be."""
        data.ctrl[:] = to_radians(self._geared)

    def step(self, model: mujoco.MjModel, data: mujoco.MjData, goal: Vector) -> None:
        """One control step towards `goal`, `(6,)` in the contract's units."""
        self._pending.append((self._tick + self._delay, goal))
        end = self._tick + SUBSTEPS
        while self._pending and self._pending[0][0] < end:
            due, commanded = self._pending.popleft()
            self._run(model, data, due - self._tick)
            self._obey(data, commanded)
        self._run(model, data, end - self._tick)

    def _run(self, model: mujoco.MjModel, data: mujoco.MjData, ticks: int) -> None:
        if ticks > 0:
            mujoco.mj_step(model, data, ticks)
            self._tick += ticks

    def _obey(self, data: mujoco.MjData, commanded: Vector) -> None:
        self._geared = take_up_play(self._geared, commanded, self._body.backlash)
        data.ctrl[:] = to_radians(self._geared)
        data.ctrl[spec.GRIPPER] = self._overload.limit(data.ctrl[spec.GRIPPER], data.qpos[spec.GRIPPER])


def take_up_play(output: Vector, goal: Vector, play: float) -> Vector:
    """Where gears with `play` are sent that were sent to `output`: they move only once `goal` has crossed the gap."""
    return np.clip(output, goal - play / 2, goal + play / 2)


class OverloadWatch:
    """The gripper's protection: weaker after it has pressed too hard for too long (`gym_autoarm.servo.Protection`).

    It looks once a control step, when a goal arrives.
    """

    def __init__(self, body: Body) -> None:
        self._protection = body.protection
        # What a motor is limited to is all that it can be asked for.
        servo = body.servos[spec.GRIPPER]
        self._saturation = servo.saturation
        self._most = servo.torque_limit / (servo.kp * servo.saturation)
        self._pressed = 0.0
        self.is_active = False

    def limit(self, goal: float, position: float) -> float:
        """The goal that the motor follows, radians, where it is told `goal` and its joint is at `position`."""
        protection = self._protection
        if protection is None:
            return goal
        duty = min(abs(goal - position) / self._saturation, self._most)
        if duty <= protection.overload:
            self._pressed, self.is_active = 0.0, False
            return goal
        self._pressed += STEP_SECONDS
        self.is_active = self.is_active or self._pressed > protection.seconds
        if not self.is_active:
            return goal
        most = protection.protective * self._saturation
        return min(max(goal, position - most), position + most)
