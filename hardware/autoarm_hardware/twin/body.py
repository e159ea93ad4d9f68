"""The arm behind the servos: the physics of `PickIntoBoxEnv`, moved by drives and by hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.twin.calibration import Encoders
from autoarm_hardware.twin.hand import Hand
from autoarm_hardware.twin.servo import Drive, Motion
from gym_autoarm import spec
from gym_autoarm.actuation import take_up_play
from gym_autoarm.body import Body as SceneBody
from gym_autoarm.body_files import STIFF_BODY, shipped_body
from gym_autoarm.kinematics import from_radians, to_radians
from gym_autoarm.model import BOX, CUBE, TIMESTEP, compile_scene, yaw_quaternion
from gym_autoarm.scene import Scene
from gym_autoarm.servo import STALL_TORQUE

Vector = NDArray[np.float64]

# The coefficients that LeRobot writes when it connects: with them the gains are the scene's.
_P: Final = 16
_D: Final = 32
_FIRMWARE_STEPS: Final = 5
"""Physics steps from one turn of the servos' firmware to the next: its protections count in 10 ms."""


class Body:
    """A simulated arm, six joints on the servos' side, `advance` on the clock's.

    With LeRobot's coefficients it follows goals as the simulated environment of the same scene does, with delay and
    backlash; the body's protection is not used, because servos have registers for it. A joint whose motor is off moves
    freely, with the friction of its gears, or as a hand moves it. An arm in a hand collides with nothing: the hand
    holds it clear of the table.

    Args:
        scene: The table, the arm's body and its start.
        encoders: How its encoders are mounted.
        hand: The hand that moves joints whose motors are off, as stiffly as `STIFF_BODY`; `None` for no hand.

    Attributes:
        firmware: Called about every 10 ms with the seconds since the last time: what servos do by themselves.
    """

    def __init__(self, scene: Scene, encoders: Encoders, hand: Hand | None = None) -> None:
        self.scene = scene
        self.model = compile_scene(scene)
        self.data = mujoco.MjData(self.model)
        self.joints = tuple(BodyJoint(self, index) for index in range(len(spec.JOINTS)))
        self.firmware: Callable[[float], None] = lambda seconds: None
        self._encoders = encoders
        self._hand = hand
        if hand is not None:
            self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        actuators = slice(0, len(spec.JOINTS))
        self._gain = self.model.actuator_gainprm[actuators].copy()
        self._bias = self.model.actuator_biasprm[actuators].copy()
        self._torque = self.model.actuator_forcerange[actuators, 1].copy()
        self._full_torque, self._most = _motors(scene.body)
        self._delay = round(scene.body.delay / TIMESTEP)
        self._drives = [Drive(powered=False)] * len(spec.JOINTS)
        self._steps = 0
        self._goals: deque[tuple[int, int, float]] = deque()
        self._goal = np.asarray(scene.start, np.float64)
        self._setpoint = self._goal.copy()
        self._geared = self._goal.copy()
        # An encoder's ticks per radian, and its reading at zero radians.
        zero, one = from_radians(np.zeros(len(spec.JOINTS))), from_radians(np.ones(len(spec.JOINTS)))
        self._ticks_per_radian = encoders.scale * (one - zero)
        self._ticks_at_zero = encoders.zero + encoders.scale * zero
        self._remainder = 0.0
        self._place()
        for index, drive in enumerate(self._drives):
            self._set_motor(index, drive)

    @property
    def position(self) -> Vector:
        """Joint positions in the contract's units, `(6,)`."""
        return from_radians(self.data.qpos[: len(spec.JOINTS)])

    def advance(self, seconds: float) -> None:
        """Simulate whole physics steps; the rest of `seconds` is kept for the next call."""
        self._remainder += seconds
        # Sums of seconds are rounded: a step that lacks less than a hundredth is whole.
        while self._remainder >= 0.99 * TIMESTEP:
            self._remainder -= TIMESTEP
            self._step()

    def place_cube(self, x: float, y: float, yaw: float) -> None:
        """Put the cube on the table, at rest: metres, degrees. The arm stays as it is."""
        joint = self.model.joint(CUBE)
        start, velocity = joint.qposadr[0], joint.dofadr[0]
        self.data.qpos[start : start + 7] = x, y, self.scene.cube.size / 2, *yaw_quaternion(yaw)
        self.data.qvel[velocity : velocity + 6] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def place_box(self, x: float, y: float, yaw: float) -> None:
        """Put the box on the table: metres, degrees."""
        box = self.model.body(BOX)
        box.pos[:2], box.quat[:] = (x, y), yaw_quaternion(yaw)
        self.scene = replace(self.scene, box=replace(self.scene.box, x=x, y=y, yaw=yaw))
        mujoco.mj_forward(self.model, self.data)

    # -- The servos' side --------------------------------------------------------------------------------------------

    def motion(self, index: int) -> Motion:
        """What the sensors of a joint's servo measure."""
        scale = self._ticks_per_radian[index]
        return Motion(
            position=float(self._ticks_at_zero[index] + scale * self.data.qpos[index]),
            velocity=float(scale * self.data.qvel[index]),
            load=self._load(index),
        )

    def drive(self, index: int, drive: Drive) -> None:
        """Drive a joint: the motor at once, the goal after the body's delay."""
        before, self._drives[index] = self._drives[index], drive
        if drive.powered and not before.powered:
            self._goal[index] = self._setpoint[index] = self._geared[index] = self.position[index]
        if drive.goal is not None:
            goal = (drive.goal - self._encoders.zero[index]) / self._encoders.scale[index]
            self._goals.append((self._steps + self._delay, index, float(goal)))
        if (drive.powered, drive.p, drive.d, drive.torque) != (before.powered, before.p, before.d, before.torque):
            self._set_motor(index, drive)

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        cube = self.scene.cube
        start = self.model.joint(CUBE).qposadr[0]
        self.data.qpos[: len(spec.JOINTS)] = to_radians(self._setpoint)
        self.data.qpos[start : start + 7] = cube.x, cube.y, cube.size / 2, *yaw_quaternion(cube.yaw)
        self.data.ctrl[:] = to_radians(self._setpoint)
        mujoco.mj_forward(self.model, self.data)

    def _load(self, index: int) -> float:
        """The duty that a joint's goal asks of its motor; see `Motion`."""
        if not self._drives[index].powered:
            return 0.0
        bias = self.model.actuator_biasprm[index]
        torque = self.model.actuator_gainprm[index, 0] * self.data.ctrl[index]
        torque += bias[1] * self.data.qpos[index] + bias[2] * self.data.qvel[index]
        most = self._most[index]
        return float(min(max(torque / self._full_torque[index], -most), most))

    def _set_motor(self, index: int, drive: Drive) -> None:
        gain, bias = self._gain[index].copy(), self._bias[index].copy()
        torque = float(self._torque[index])
        servo = self.scene.body.servos[index]
        damping = servo.damping
        if drive.powered:
            gain[0] *= drive.p / _P
            bias[1] *= drive.p / _P
            bias[2] *= drive.d / _D
            torque = min(torque, drive.torque * float(self._full_torque[index]))
        else:
            # Back-EMF, which most of the friction of a powered motor is, is gone.
            damping = servo.damping if servo.damping_off is None else servo.damping_off
            gain[:], bias[:] = 0.0, 0.0
            if self._hand is not None:
                grip = shipped_body(STIFF_BODY).servos[index]
                gain[0], bias[1], bias[2], torque = grip.kp, -grip.kp, -grip.kv, STALL_TORQUE
        self.model.actuator_gainprm[index] = gain
        self.model.actuator_biasprm[index] = bias
        self.model.actuator_forcerange[index] = -torque, torque
        self.model.dof_damping[index] = damping

    def _step(self) -> None:
        while self._goals and self._goals[0][0] <= self._steps:
            _, index, goal = self._goals.popleft()
            self._goal[index] = goal
        for index, drive in enumerate(self._drives):
            if drive.powered:
                self._approach(index, drive)
        self._geared = take_up_play(self._geared, self._setpoint, self.scene.body.backlash)
        wanted = self._geared
        if self._hand is not None:
            powered = np.array([drive.powered for drive in self._drives])
            wanted = np.where(powered, wanted, self._hand(self.data.time))
        self.data.ctrl[:] = to_radians(wanted)
        mujoco.mj_step(self.model, self.data)
        self._steps += 1
        if self._steps % _FIRMWARE_STEPS == 0:
            self.firmware(_FIRMWARE_STEPS * TIMESTEP)

    def _approach(self, index: int, drive: Drive) -> None:
        step = drive.speed / self._encoders.scale[index] * TIMESTEP
        if drive.goal is None:
            low, high = spec.ACTION_LOW[index], spec.ACTION_HIGH[index]
            self._setpoint[index] = min(max(self._setpoint[index] + step, low), high)
        elif drive.speed == 0:
            self._setpoint[index] = self._goal[index]
        else:
            way = self._goal[index] - self._setpoint[index]
            self._setpoint[index] += min(max(way, -abs(step)), abs(step))


class BodyJoint:
    """One joint of a body, as its servo uses it."""

    def __init__(self, body: Body, index: int) -> None:
        self.motion = partial(body.motion, index)
        self.drive = partial(body.drive, index)


def _motors(body: SceneBody) -> tuple[Vector, Vector]:
    """Torque at full duty, N m, and the largest duty, of each motor, `(6,)`.

    A measured body's torque is its stiffness times the error at which the duty is full. One with the same numbers for
    all joints has stall torque there, however stiff it is, and a torque limit that is a limit of its duty.
    """
    if body.is_uniform:
        limits = np.array([servo.torque_limit for servo in body.servos])
        return np.full(len(limits), STALL_TORQUE), np.minimum(1.0, limits / STALL_TORQUE)
    full = np.array([servo.saturation * servo.kp for servo in body.servos])
    return full, np.ones(len(full))
