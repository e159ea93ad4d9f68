"""What counts as progress and as success, decided from physics alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.kinematics import from_radians
from gym_autoarm.model import BOX, CUBE
from gym_autoarm.scene import Scene

Vector = NDArray[np.float64]

LIFTED: Final = 0.02
"""Metres that a held cube's lowest point must be above the table to count as lifted."""
REST_SPEED: Final = 0.01
"""Speed, m/s, below which the cube is at rest; its angular speed must be below ten times this number, rad/s."""
REST_STEPS: Final = 6
"""Control steps for which the cube must be at rest: 0.2 s."""
RELEASED: Final = 15.0
"""Gripper opening, of 100, from which the gripper counts as open."""


@dataclass(frozen=True)
class Contacts:
    """What touches the cube."""

    fixed_jaw: bool
    moving_jaw: bool
    arm: bool

    @property
    def grasped(self) -> bool:
        """Whether both jaws touch the cube."""
        return self.fixed_jaw and self.moving_jaw


class TaskMonitor:
    """Follows one episode: the furthest stage entered and whether the task is done."""

    def __init__(self, model: mujoco.MjModel, scene: Scene) -> None:
        self._model = model
        self._scene = scene
        self._cube_geom = model.geom(CUBE).id
        self._cube_body = model.body(CUBE).id
        self._cube_velocity = slice(model.joint(CUBE).dofadr[0], model.joint(CUBE).dofadr[0] + 6)
        self._gripper = model.body("gripper").id
        self._jaw = model.body("moving_jaw_so101_v1").id
        links = {model.body("base").id}
        for body in range(model.nbody):
            if model.body_parentid[body] in links:
                links.add(body)
        self._arm = frozenset(links)
        self._stage = 0
        self._rest = 0

    @property
    def stage(self) -> str:
        """The furthest stage entered so far, one of `spec.STAGES`."""
        return spec.STAGES[self._stage]

    @property
    def is_success(self) -> bool:
        """Whether the cube has come to rest in the box, let go."""
        return self._rest >= REST_STEPS

    def update(self, data: mujoco.MjData) -> None:
        """Update stage and success from the state after one control step."""
        contacts = self.contacts(data)
        position = data.xpos[self._cube_body]
        if contacts.grasped:
            self._stage = max(self._stage, 1)
            if position[2] - self._scene.cube.size / 2 > LIFTED:
                self._stage = max(self._stage, 2)
        inside = self.over_box(position)
        if self._stage >= 2 and inside:
            self._stage = 3
        placed = inside and position[2] < self._scene.box.height and self._released(data) and not contacts.arm
        self._rest = self._rest + 1 if placed and self._at_rest(data) else 0
        if self.is_success:
            self._stage = len(spec.STAGES) - 1

    def contacts(self, data: mujoco.MjData) -> Contacts:
        """Which parts of the arm touch the cube now."""
        pairs = data.contact.geom
        geoms = pairs[(pairs == self._cube_geom).any(axis=1)]
        touching = set(self._model.geom_bodyid[geoms].ravel().tolist())
        return Contacts(self._gripper in touching, self._jaw in touching, bool(touching & self._arm))

    def over_box(self, position: Vector) -> bool:
        """Whether a point lies above the box's floor."""
        box = self._scene.box
        along, across = in_box_frame(position[0] - box.x, position[1] - box.y, box.yaw)
        return bool(max(abs(along), abs(across)) < box.inner / 2)

    def _at_rest(self, data: mujoco.MjData) -> bool:
        velocity = data.qvel[self._cube_velocity]
        return bool(np.linalg.norm(velocity[:3]) < REST_SPEED and np.linalg.norm(velocity[3:]) < 10 * REST_SPEED)

    def _released(self, data: mujoco.MjData) -> bool:
        return bool(from_radians(data.qpos[: len(spec.JOINTS)])[spec.GRIPPER] > RELEASED)


def in_box_frame(dx: float, dy: float, yaw: float) -> tuple[float, float]:
    """A horizontal offset from the box's centre, metres, along and across a box turned by `yaw` degrees."""
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return dx * cos + dy * sin, dy * cos - dx * sin


def body_pose(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> Vector:
    """Position and quaternion (w, x, y, z) of a body, `(7,)`."""
    body = model.body(name).id
    return np.concatenate([data.xpos[body], data.xquat[body]])


def box_pose(model: mujoco.MjModel, data: mujoco.MjData) -> Vector:
    """Position and quaternion (w, x, y, z) of the box, `(7,)`."""
    return body_pose(model, data, BOX)
