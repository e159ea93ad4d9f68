"""What simulation, robot, dataset and policy must agree on: joints, cameras, units, limits, spaces.

Units are LeRobot's: degrees around the middle of each joint's calibrated range, and 0 (closed) to 100 (open)
for the gripper. An action is a goal position in the same units, so state and action share one space.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

JOINTS: Final = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
CAMERAS: Final = ("top", "lateral")
FEATURES: Final = tuple(f"{joint}.pos" for joint in JOINTS)
"""Names of the components of state and action in a LeRobotDataset."""

GRIPPER: Final = JOINTS.index("gripper")
ARM: Final = slice(0, GRIPPER)

FPS: Final = 30
IMAGE_SIZE: Final = (480, 640)
"""Height and width, in pixels, of a camera frame."""

TASK: Final = "pick up the cube and put it in the box"
ROBOT_TYPE: Final = "so101_follower"
STAGES: Final = ("reach", "grasp", "lift", "place")
"""The phases of an episode, in order; `info["stage"]` is the furthest one entered so far."""

LIMITS: Final = ("range", "floor", "speed", "step")
"""What may change a goal before a real arm is sent there: see `autoarm_hardware.servos.Limits`. Simulation has
the first."""

TIME_LIMIT: Final = 300
"""Steps before an episode is truncated: ten seconds."""

# Limits of the joints: TheRobotStudio's so101_new_calib.xml, in degrees; the gripper's are LeRobot's.
ACTION_LOW: Final[NDArray[np.float32]] = np.array([-110.0, -100.0, -96.8299, -95.0, -157.2109, 0.0], np.float32)
ACTION_HIGH: Final[NDArray[np.float32]] = np.array([110.0, 100.0, 96.8299, 95.0, 162.7891, 100.0], np.float32)
ACTION_LOW.setflags(write=False)
ACTION_HIGH.setflags(write=False)

STATE_MARGIN: Final = 15.0
"""How far states may lie outside of the limits of actions: real servos are read a little past their limits."""

SPOTS: Final[dict[str, tuple[float, float]]] = {
    "near-right": (0.17, 0.0),
    "near-left": (0.17, 0.11),
    "far-right": (0.25, 0.0),
    "far-left": (0.24, 0.11),
    "centre": (0.21, 0.055),
}
"""The five training spots of the cube, (x, y) in metres from the arm's base; x ahead, y to its left."""

Area = tuple[tuple[float, float], tuple[float, float]]
"""Bounds of x and of y, metres."""
WORK_AREA: Final[Area] = ((0.15, 0.27), (-0.06, 0.14))
"""Bounds of x and of y, in metres, between which the cube may lie: 12 x 20 cm."""

BOX_POSITION: Final = (0.17, -0.155)
"""Centre of the box, (x, y) in metres."""
CUBE_SIZE: Final = 0.03
"""Edge of the cube, metres."""


def action_space() -> spaces.Box:
    """Goal positions, float32 `(6,)`."""
    return spaces.Box(ACTION_LOW, ACTION_HIGH, dtype=np.float32)


def observation_space(image_size: tuple[int, int] = IMAGE_SIZE) -> spaces.Dict:
    """`pixels`: a uint8 `(height, width, 3)` frame of each camera; `agent_pos`: float32 `(6,)` joint positions."""
    frame = spaces.Box(0, 255, (*image_size, 3), np.uint8)
    return spaces.Dict(
        {
            "pixels": spaces.Dict(dict.fromkeys(CAMERAS, frame)),
            "agent_pos": spaces.Box(ACTION_LOW - STATE_MARGIN, ACTION_HIGH + STATE_MARGIN, dtype=np.float32),
        }
    )
