"""The arm's links and what is around them: how near they are to each other, to the table, and to what stands on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from typing import Final

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gym_autoarm import spec
from gym_autoarm.kinematics import to_radians
from gym_autoarm.scene import Scene

Vector = NDArray[np.float64]

FAR: Final = 0.03
"""Metres from which on distances are not told apart."""
_FORWARD: Final = 0.09
"""Metres ahead of the base's centre beyond which the table counts as occupied; the base's front is at 64.5 mm."""
_REACH: Final = 0.5
"""Metres, more than the arm reaches."""
_MOVING: Final = ("upper_arm", "lower_arm", "wrist", "gripper", "moving_jaw_so101_v1")
_HAND: Final = ("wrist", "gripper", "moving_jaw_so101_v1")
_STANDING: Final = ("base", "shoulder", "upper_arm")
"""Links that the hand could touch; joint limits keep it from the lower arm."""
_IN_PLANE: Final = tuple(spec.JOINTS.index(joint) for joint in ("shoulder_lift", "elbow_flex", "wrist_flex"))
_TURN: Final = 0.1
"""Degrees by which a joint is turned to see how much higher the hand gets."""
_ONCE: Final = 5.0
"""Degrees by which a joint is turned at once to raise the hand."""
_TRIES: Final = 8
_TILT_WEIGHT: Final = 0.05
"""Metres that count as much as a radian of tilt on the way up: the hand may lean, if it only goes up."""


class Links:
    """The arm's links as boxes, the table, and a block for whatever stands on it.

    The block covers all of the table that the arm reaches: where the cube is in the end, nobody says.

    Args:
        height: Height of what stands on the table, metres; 0 for an empty one.
    """

    def __init__(self, height: float) -> None:
        self.height = height

    @cached_property
    def _model(self) -> mujoco.MjModel:
        with as_file(files("autoarm_assets") / "so101.xml") as path:
            scene = mujoco.MjSpec.from_file(str(path))
        world = scene.worldbody
        world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(2, 2, 0.1))
        if self.height > 0.0:
            world.add_geom(
                name="block",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=(_REACH / 2, _REACH, self.height / 2),
                pos=(_FORWARD + _REACH / 2, 0.0, self.height / 2),
            )
        return scene.compile()

    @cached_property
    def _data(self) -> mujoco.MjData:
        return mujoco.MjData(self._model)

    def _geoms(self, *links: str) -> list[int]:
        model = self._model
        solid = [geom for geom in range(model.ngeom) if model.geom_contype[geom]]
        return [geom for geom in solid if model.body(model.geom_bodyid[geom]).name in links]

    @cached_property
    def _around(self) -> list[tuple[int, int]]:
        obstacles = [self._model.geom("table").id, *([self._model.geom("block").id] if self.height > 0.0 else [])]
        return [(link, other) for link in self._geoms(*_MOVING) for other in obstacles]

    @cached_property
    def _within(self) -> list[tuple[int, int]]:
        return [(link, other) for link in self._geoms(*_HAND) for other in self._geoms(*_STANDING)]

    def clearances(self, position: ArrayLike) -> tuple[float, float]:
        """Least distance of the links from table and block, and of the hand from the other links, metres.

        Negative inside of them, and `FAR` at most.

        Args:
            position: Joint positions `(6,)`, in the contract's units.
        """
        self._place(position)
        return self._least(self._around), self._least(self._within)

    def lowest(self, position: ArrayLike) -> float:
        """Height of the lowest point of the hand (wrist, gripper and jaw), metres."""
        self._place(position)
        return self._lowest()

    def raised(self, position: ArrayLike, height: float) -> Vector:
        """A position near `position` `(6,)` with the hand's lowest point at least at `height`, if there is one nearby.

        Moves the three joints of the arm's plane only, as little as it can. Never lower than it was.
        """
        here = np.asarray(position, np.float64).copy()
        best, best_height = here, self.lowest(here)
        for _ in range(_TRIES):
            if best_height >= height:
                break
            slope = self._slope(best)
            if (norm := float(slope @ slope)) < 1e-12:
                break
            move = np.clip(slope * (height + 2e-4 - best_height) / norm, -_ONCE, _ONCE)
            tried = np.clip(best + move, spec.ACTION_LOW, spec.ACTION_HIGH)
            tried_height = self.lowest(tried)
            if tried_height <= best_height:
                break
            best, best_height = tried, tried_height
        return best

    def grasp_height(self, position: ArrayLike) -> float:
        """Height of the grasp site, metres."""
        self._place(position)
        return float(self._data.site("grasp").xpos[2])

    def straight_up(self, position: ArrayLike, way: float) -> Vector:
        """Joint positions `(6,)` with the grasp site `way` metres higher, as nearly straight above as joints allow."""
        here = np.asarray(position, np.float64).copy()
        self._place(here)
        site = self._model.site("grasp").id
        jacobian, turning = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, jacobian, turning, site)
        arm = list(range(spec.GRIPPER))
        matrix = np.vstack([jacobian[:, arm], _TILT_WEIGHT * turning[:, arm]])
        target = np.concatenate([[0.0, 0.0, way], np.zeros(3)])
        move = matrix.T @ np.linalg.solve(matrix @ matrix.T + 1e-6 * np.eye(6), target)
        here[spec.ARM] += np.rad2deg(move)
        return np.clip(here, spec.ACTION_LOW, spec.ACTION_HIGH)

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _place(self, position: ArrayLike) -> None:
        self._data.qpos[:] = to_radians(np.asarray(position, np.float64))
        mujoco.mj_kinematics(self._model, self._data)

    def _least(self, pairs: Sequence[tuple[int, int]]) -> float:
        least = FAR
        for one, other in pairs:
            least = min(least, mujoco.mj_geomDistance(self._model, self._data, one, other, least, None))
        return least

    def _lowest(self) -> float:
        frames = self._data.geom_xmat[self._hand].reshape(-1, 9)[:, 6:]
        reach = (np.abs(frames) * self._model.geom_size[self._hand]).sum(axis=1)
        return float((self._data.geom_xpos[self._hand, 2] - reach).min())

    @cached_property
    def _hand(self) -> list[int]:
        return self._geoms(*_HAND)

    def _slope(self, position: Vector) -> Vector:
        """How the lowest point's height changes with the joints of the arm's plane, metres a degree, `(6,)`."""
        slope, here = np.zeros(len(spec.JOINTS)), self.lowest(position)
        for joint in _IN_PLANE:
            moved = position.copy()
            moved[joint] += _TURN
            slope[joint] = (self.lowest(moved) - here) / _TURN
        return slope


def links_among(scene: Scene) -> Links:
    """The links of an arm, and a table with what stands on it in a scene."""
    return Links(max(scene.box.height, scene.cube.size))
