"""Units of the joints, forward kinematics and inverse kinematics of the arm.

Inverse kinematics solves for the five arm joints from five numbers: the position of the grasp site, the tilt of the
gripper from the vertical, and the heading of the axis along which the jaws close.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from gym_autoarm import spec
from gym_autoarm.errors import UnreachablePoseError

Vector = NDArray[np.float64]

# The gripper's joint range, radians (TheRobotStudio's so101_new_calib.xml); LeRobot calls it 0 to 100.
GRIPPER_CLOSED: Final = -0.17453297762778586
GRIPPER_OPEN: Final = 1.7453291995659765

PAN_AXIS: Final = (0.0388353, 0.0)
"""Where the axis of shoulder_pan meets the table, metres."""

# The axis of shoulder_lift: distance from the pan axis and height; then the length of the arm from it to the grasp site
# (facts of so101.xml: 116 + 135 + 64 + 89 mm, and the site's 5 mm beside the roll axis).
_LIFT_AXIS: Final = (0.0304, 0.1166)
_LONGEST_REACH: Final = 0.41
_WORK_AREA_CURE: Final = f"stay within x {spec.WORK_AREA[0]} and y {spec.WORK_AREA[1]}"

POSITION_TOLERANCE: Final = 5e-4
"""Largest error of a solution of inverse kinematics, metres."""
ANGLE_TOLERANCE: Final = math.radians(1.0)
"""Largest error of tilt and heading of a solution, radians."""
# Radians that weigh as much as a metre: a gripper's length turns an angle into a distance at the fingertips.
_ANGLE_WEIGHT: Final = 0.1


def to_radians(position: NDArray[np.floating]) -> Vector:
    """Joint positions `(..., 6)` from the contract's units to radians."""
    out = np.deg2rad(np.asarray(position, np.float64))
    fraction = np.asarray(position, np.float64)[..., spec.GRIPPER] / 100.0
    out[..., spec.GRIPPER] = GRIPPER_CLOSED + fraction * (GRIPPER_OPEN - GRIPPER_CLOSED)
    return out


def from_radians(angle: NDArray[np.floating]) -> Vector:
    """Joint positions `(..., 6)` from radians to the contract's units."""
    out = np.rad2deg(np.asarray(angle, np.float64))
    opening = np.asarray(angle, np.float64)[..., spec.GRIPPER] - GRIPPER_CLOSED
    out[..., spec.GRIPPER] = 100.0 * opening / (GRIPPER_OPEN - GRIPPER_CLOSED)
    return out


@dataclass(frozen=True)
class GraspPose:
    """A pose of the gripper.

    Attributes:
        position: Position of the grasp site, metres `(3,)`.
        tilt: Degrees from straight down; positive leans the fingertips away from the base.
        heading: Direction from the fixed jaw to the moving one, degrees about the vertical.
    """

    position: tuple[float, float, float]
    tilt: float = 0.0
    heading: float = 90.0


def pan_distance(x: float, y: float) -> float:
    """Horizontal distance from the axis of shoulder_pan, metres."""
    return math.hypot(x - PAN_AXIS[0], y - PAN_AXIS[1])


def radial_heading(x: float, y: float) -> float:
    """Direction from the axis of shoulder_pan to a point, degrees."""
    return math.degrees(math.atan2(y - PAN_AXIS[1], x - PAN_AXIS[0]))


class ArmKinematics:
    """Forward and inverse kinematics on a MuJoCo model of the arm alone."""

    @cached_property
    def _model(self) -> mujoco.MjModel:
        with as_file(files("autoarm_assets") / "so101.xml") as path:
            return mujoco.MjModel.from_xml_path(str(path))

    @cached_property
    def _data(self) -> mujoco.MjData:
        return mujoco.MjData(self._model)

    def forward(self, position: NDArray[np.floating], site: str = "grasp") -> tuple[Vector, Vector]:
        """Position `(3,)` and rotation matrix `(3, 3)` of a site at joint positions `(6,)` in the contract's units."""
        self._place(to_radians(position))
        frame = self._data.site(site)
        return frame.xpos.copy(), frame.xmat.reshape(3, 3).copy()

    def body_pose(self, position: NDArray[np.floating], body: str) -> tuple[Vector, Vector]:
        """Position `(3,)` and quaternion `(4,)` (w, x, y, z) of a link."""
        self._place(to_radians(position))
        frame = self._data.body(body)
        return frame.xpos.copy(), frame.xquat.copy()

    def torques(self, angle: Vector, speed: Vector | None = None, acceleration: Vector | None = None) -> Vector:
        """What gravity and inertia ask of the joints, N m, `(n, 6)`, at angles `(n, 6)` in radians.

        Args:
            angle: Joint angles.
            speed: Their speeds, rad/s; by default at rest.
            acceleration: Their accelerations, rad/s^2, likewise. Rotors do not count: `Servo.armature`.
        """
        data, found = self._data, np.empty_like(angle)
        for row, each in enumerate(angle):
            data.qpos[:] = each
            data.qvel[:] = 0.0 if speed is None else speed[row]
            data.qacc[:] = 0.0 if acceleration is None else acceleration[row]
            mujoco.mj_fwdPosition(self._model, data)
            mujoco.mj_fwdVelocity(self._model, data)
            mujoco.mj_rne(self._model, data, 1, found[row])
        return found

    def _place(self, angle: Vector) -> None:
        self._data.qpos[:] = angle
        mujoco.mj_kinematics(self._model, self._data)

    def inverse(self, pose: GraspPose, guess: NDArray[np.floating] | None = None) -> Vector:
        """Arm joint positions `(5,)`, in degrees, that bring the grasp site to `pose`.

        Raises:
            UnreachablePoseError: If no solution within the joint limits is closer than half a millimetre and a degree.
        """
        x, y, z = pose.position
        # Solving takes milliseconds when there is a solution and hundreds of them when there is none.
        if math.hypot(pan_distance(x, y) - _LIFT_AXIS[0], z - _LIFT_AXIS[1]) > _LONGEST_REACH:
            raise UnreachablePoseError(
                f"the arm cannot reach ({x:.3f}, {y:.3f}, {z:.3f}) m: it is further than the arm is long",
                cure=_WORK_AREA_CURE,
            )
        low, high = (to_radians(bound)[spec.ARM] for bound in (spec.ACTION_LOW, spec.ACTION_HIGH))
        start = self._seed(pose) if guess is None else to_radians(np.append(guess, 0.0))[spec.ARM]
        target = _Target.of(pose)
        angle = np.zeros(6)

        def residual(arm: Vector) -> Vector:
            angle[spec.ARM] = arm
            self._place(angle)
            frame = self._data.site("grasp")
            return target.residual(frame.xpos, frame.xmat.reshape(3, 3), arm[0])

        solution = least_squares(residual, np.clip(start, low + 1e-6, high - 1e-6), bounds=(low, high), method="dogbox")
        error = residual(solution.x)
        if np.linalg.norm(error[:3]) > POSITION_TOLERANCE or np.abs(error[3:]).max() > _ANGLE_WEIGHT * ANGLE_TOLERANCE:
            raise UnreachablePoseError(
                f"the arm cannot reach ({x:.3f}, {y:.3f}, {z:.3f}) m with the gripper tilted {pose.tilt:.0f} degrees:"
                f" it stays {1000 * float(np.linalg.norm(error[:3])):.1f} mm away",
                cure=_WORK_AREA_CURE,
            )
        return np.rad2deg(solution.x)

    def _seed(self, pose: GraspPose) -> Vector:
        x, y, _ = pose.position
        pan = -math.radians(radial_heading(x, y))
        # Elbow up, gripper down: the other branch folds the arm into the table.
        reach = (pan_distance(x, y) - 0.10) / 0.15
        return np.array([pan, -0.6 + 1.1 * reach, 1.0 - 1.2 * reach, 1.1, math.radians(wrist_roll(pose))])


def wrist_roll(pose: GraspPose) -> float:
    """Degrees of wrist_roll, to within a few, that point the jaws along `pose.heading`; in [-180, 180)."""
    x, y, _ = pose.position
    return wrap(pose.heading - radial_heading(x, y), 360.0)


def wrap(degrees: float, period: float) -> float:
    """The equivalent of an angle in [-period / 2, period / 2)."""
    return (degrees + period / 2) % period - period / 2


@dataclass(frozen=True)
class _Target:
    position: Vector
    tilt: float
    heading: Vector

    @classmethod
    def of(cls, pose: GraspPose) -> _Target:
        heading = math.radians(pose.heading)
        across = np.array([-math.sin(heading), math.cos(heading), 0.0])
        return cls(np.asarray(pose.position), math.radians(pose.tilt), across)

    def residual(self, position: Vector, rotation: Vector, pan: float) -> Vector:
        """Errors `(5,)`: position in metres, then tilt and heading scaled to metres."""
        approach = -rotation[:, 2]
        ahead = np.array([math.cos(pan), -math.sin(pan), 0.0])
        tilt = math.atan2(float(approach @ ahead), -float(approach[2]))
        # The jaws close along the gripper's x axis; it lies in the wanted vertical plane when its component across
        # that plane is zero.
        turned = float(rotation[:, 0] @ self.heading)
        return np.append(position - self.position, _ANGLE_WEIGHT * np.array([tilt - self.tilt, turned]))
