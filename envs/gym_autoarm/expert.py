"""A scripted expert: from the true poses of cube and box to a trajectory of goal positions.

The trajectory passes through ten waypoints, joined by cosine-eased motion of all joints. How fast it goes, from where
it approaches, how it grips and where it lets go vary with a seed, so that demonstrations are not copies of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.compensation import Compensation
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.kinematics import (
    ArmKinematics,
    GraspPose,
    from_radians,
    radial_heading,
    wrap,
)
from gym_autoarm.rng import stream
from gym_autoarm.scene import HOME
from gym_autoarm.task import in_box_frame

Vector = NDArray[np.float64]

_PAD_TO_SITE: Final = 0.015
"""Metres from the face of the fixed pad to the grasp site (assets/so101.xml)."""
_CLEARANCE: Final = 0.006
"""Metres left between the fixed pad and the cube while descending."""
_CLOSED_ON_CUBE: Final = 17.0
"""Gripper opening around a 3 cm cube, of 100."""
_OPENING_PER_METRE: Final = 690.0
"""Further opening for a larger object: 13.2 rad/m at the pads (facts of the jaw's kinematics) over a 1.92 rad range."""
_SQUEEZE: Final = 0.15
"""Duty with which the gripper presses, as a share; its protection lets it press with a quarter for good. With the
P_Coefficient that LeRobot writes, its goal lies three hundredths of its range below the cube's width."""
_SQUEEZE_UNIFORM: Final = 9.0
"""That, for a body with one servo's numbers for all joints: its torque limit decides the force."""
_RELEASE: Final = 14.0
"""How far above the cube's width the gripper opens inside the box, of 100; further would push against its walls."""
_RELEASE_HEIGHT: Final = 0.052
"""Height of the grasp site when letting go, metres: the fingertips stay just inside the walls."""
_LEANS: Final = (0.0, 8.0, -8.0, 16.0, -16.0, 24.0, -24.0, 32.0, 40.0)
"""Degrees by which the gripper may lean more when it cannot reach a place otherwise, in order of preference."""
_FIXED_JAW_ROOM: Final = 0.019
_MOVING_JAW_ROOM: Final = 0.036
"""Metres beside the cube that the open jaws take up."""
_BOX_HALF: Final = 0.053
"""Half the outer width of the box, metres."""


@dataclass(frozen=True)
class Style:
    """What varies between demonstrations.

    Attributes:
        speed: Mean speed of the fastest joint, degrees a step.
        hover: Height of the grasp site above the table before and after the grasp, metres.
        grasp_height: Height of the grasp site when closing, metres.
        along: Offset of the grasp along the pads' width, metres.
        heading: Error of the jaws' direction, degrees.
        tilt: Lean of the gripper, degrees.
        opening: Opening of the gripper while approaching, of 100.
        drop: Offset of the release from the middle of the box, metres `(2,)`.
        carry: Height at which the cube travels, metres.
        dwell: Least number of steps for closing and for opening.
    """

    speed: float = 1.8
    hover: float = 0.085
    grasp_height: float = 0.0205
    along: float = 0.0
    heading: float = 0.0
    tilt: float = 0.0
    opening: float = 36.0
    drop: tuple[float, float] = (0.0, 0.0)
    carry: float = 0.10
    dwell: int = 10

    @classmethod
    def sample(cls, seed: int) -> Style:
        """Draw a style; the same seed gives the same style."""

        def uniform(name: str, low: float, high: float) -> float:
            return float(stream(seed, "expert", name).uniform(low, high))

        return cls(
            speed=uniform("speed", 1.5, 2.1),
            hover=uniform("hover", 0.07, 0.10),
            grasp_height=uniform("grasp height", 0.019, 0.023),
            along=uniform("along", -0.002, 0.002),
            heading=uniform("heading", -3.0, 3.0),
            tilt=uniform("tilt", -4.0, 4.0),
            opening=uniform("opening", 33.0, 40.0),
            drop=(uniform("drop x", -0.012, 0.012), uniform("drop y", -0.012, 0.012)),
            carry=uniform("carry", 0.09, 0.11),
            dwell=int(stream(seed, "expert", "dwell").integers(9, 14)),
        )


@dataclass(frozen=True)
class _Waypoint:
    arm: Vector
    gripper: float
    least_steps: int


class Expert:
    """Plans demonstrations. One instance may plan any number of episodes."""

    def __init__(self) -> None:
        self._kinematics = ArmKinematics()
        self._last: Compensation | None = None

    def plan(
        self,
        cube_pose: NDArray[np.floating],
        box_pose: NDArray[np.floating],
        start: NDArray[np.floating],
        style: Style | None = None,
        size: float = spec.CUBE_SIZE,
        body: Body | None = None,
    ) -> NDArray[np.float32]:
        """Goal positions `(steps, 6)` of one demonstration, the return to the home pose included.

        Args:
            cube_pose: Position and quaternion (w, x, y, z) of the cube, `(7,)`.
            box_pose: Position and quaternion of the box, `(7,)`.
            start: Present joint positions, `(6,)`.
            style: Speed, heights and offsets; by default `Style()`, which has no errors.
            size: Edge of the cube, metres.
            body: How the arm answers; by default, and where `Body.is_uniform`, it is taken to follow its goals, as the
                arm of the suite five-spots-v1 does.

        Raises:
            UnreachablePoseError: If the arm cannot reach the cube or the box.
        """
        style = style or Style()
        body = None if body is None or body.is_uniform else body
        squeeze = _SQUEEZE_UNIFORM if body is None else _squeeze(body)
        waypoints = self._waypoints(np.asarray(cube_pose), np.asarray(box_pose), style, size, squeeze)
        current = np.asarray(start, np.float64)
        pieces = []
        for waypoint in waypoints:
            goal = np.append(waypoint.arm, waypoint.gripper)
            pieces.append(ease(current, goal, style.speed, waypoint.least_steps))
            current = goal
        trajectory = np.concatenate(pieces)
        if body is not None:
            trajectory = self._compensation(body).goals(trajectory, np.asarray(start, np.float64))
        return np.clip(trajectory, spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)

    def plan_for(
        self, info: Mapping[str, Any], start: NDArray[np.floating], style: Style | None = None
    ) -> NDArray[np.float32]:
        """The plan for what an environment's `info` says of cube, box and arm; otherwise as `plan`."""
        return self.plan(info["cube_pose"], info["box_pose"], start, style, info["cube_size"], info["body"])

    def _waypoints(self, cube: Vector, box: Vector, style: Style, size: float, squeeze: float) -> list[_Waypoint]:
        closed = _CLOSED_ON_CUBE + _OPENING_PER_METRE * (size - spec.CUBE_SIZE)
        opening = style.opening + closed - _CLOSED_ON_CUBE
        grip = max(0.0, closed - squeeze)
        above, beside, around, lift = self._grasp(cube, box, style, size)
        over, inside = self._release(box, style, size)
        home = np.asarray(HOME)
        return [
            _Waypoint(above, opening, 26),
            _Waypoint(beside, opening, 20),
            _Waypoint(around, grip, style.dwell),
            _Waypoint(around, grip, 4),
            _Waypoint(lift, grip, 18),
            _Waypoint(over, grip, 30),
            _Waypoint(inside, grip, 14),
            _Waypoint(inside, closed + _RELEASE, style.dwell),
            _Waypoint(over, closed + _RELEASE, 12),
            _Waypoint(home[spec.ARM], float(home[spec.GRIPPER]), 24),
        ]

    def _compensation(self, body: Body) -> Compensation:
        # Episodes of one body usually follow each other.
        if self._last is None or self._last.body != body:
            self._last = Compensation(body, self._kinematics)
        return self._last

    def _grasp(self, cube: Vector, box: Vector, style: Style, size: float) -> tuple[Vector, Vector, Vector, Vector]:
        """Joints above the cube, beside it with open jaws, around it, and holding it up."""
        x, y = float(cube[0]), float(cube[1])
        height = style.grasp_height + max(0.0, size / 2 - _PAD_TO_SITE)
        last: UnreachablePoseError | None = None
        for square_on in _headings(x, y, yaw_of(cube)):
            if self._blocked(x, y, square_on, size, box):
                continue
            heading = math.radians(square_on + style.heading)
            jaws, aside = (
                np.array([math.cos(heading), math.sin(heading)]),
                np.array([-math.sin(heading), math.cos(heading)]),
            )
            centre = np.array([x, y]) + style.along * aside
            touching = centre + (_PAD_TO_SITE - size / 2) * jaws
            clear = touching - _CLEARANCE * jaws
            try:
                return (
                    self._reach(clear, height + style.hover, style.tilt, math.degrees(heading)),
                    self._reach(clear, height, style.tilt, math.degrees(heading)),
                    self._reach(touching, height, style.tilt, math.degrees(heading)),
                    self._reach(touching, height + style.hover, style.tilt, math.degrees(heading)),
                )
            except UnreachablePoseError as error:
                last = last or error
        raise last or UnreachablePoseError(
            f"the box leaves the jaws no room around the cube at ({x:.3f}, {y:.3f}) m",
            cure="move the cube away from the box",
        )

    def _release(self, box: Vector, style: Style, size: float) -> tuple[Vector, Vector]:
        """Joints over the box and lowered into it."""
        place = box[:2] + style.drop
        heading = radial_heading(*place) + 90.0
        return (
            self._reach(place, style.carry, 0.0, heading),
            self._reach(place, _RELEASE_HEIGHT + max(0.0, size / 2 - _PAD_TO_SITE), 0.0, heading),
        )

    def _reach(self, place: Vector, height: float, tilt: float, heading: float) -> Vector:
        """Joints for a grasp pose with the least lean beyond `tilt` that the arm can reach."""
        last: UnreachablePoseError | None = None
        for lean in _LEANS:
            try:
                pose = GraspPose((float(place[0]), float(place[1]), height), tilt + lean, heading)
                return self._kinematics.inverse(pose)
            except UnreachablePoseError as error:
                last = last or error
        assert last is not None
        raise last

    @staticmethod
    def _blocked(x: float, y: float, heading: float, size: float, box: Vector) -> bool:
        """Whether an open jaw would come down on the box."""
        direction = np.array([math.cos(math.radians(heading)), math.sin(math.radians(heading))])
        for reach in (-(size / 2 + _FIXED_JAW_ROOM), size / 2 + _MOVING_JAW_ROOM):
            offset = np.array([x, y]) + reach * direction - box[:2]
            along, across = in_box_frame(offset[0], offset[1], yaw_of(box))
            if max(abs(along), abs(across)) < _BOX_HALF:
                return True
        return False


def _headings(x: float, y: float, yaw: float) -> list[float]:
    """Directions square to the cube's faces, the one nearest to the tangent (moving jaw on the left) first."""
    tangent = radial_heading(x, y) + 90.0
    first = tangent + wrap(yaw - tangent, 90.0)
    return sorted((first + turn for turn in (0.0, 90.0, 180.0, 270.0)), key=lambda h: abs(wrap(h - tangent, 360.0)))


def _squeeze(body: Body) -> float:
    """How far below the cube's width the gripper is commanded, of 100."""
    low, high = from_radians(np.zeros(len(spec.JOINTS))), from_radians(np.ones(len(spec.JOINTS)))
    return _SQUEEZE * body.servos[spec.GRIPPER].saturation * float((high - low)[spec.GRIPPER])


def ease(start: Vector, goal: Vector, speed: float, least_steps: int) -> Vector:
    """Positions `(n, d)` after `start` up to and including `goal`, at rest at both ends.

    `n` is at least `least_steps`, and enough for a mean speed of at most `speed` degrees a step in every joint.
    """
    steps = max(least_steps, math.ceil(float(np.abs(goal - start)[spec.ARM].max()) / speed))
    phase = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, steps + 1) / steps)
    return start + phase[:, None] * (goal - start)


def yaw_of(pose: Vector) -> float:
    """Turn about the vertical, in degrees, of a pose (position, quaternion w, x, y, z)."""
    w, x, y, z = pose[3:7]
    return math.degrees(math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
