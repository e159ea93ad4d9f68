"""A small policy that is told where cube and box are: what the demonstrations teach one that need not see.

Where it succeeds and a policy with cameras does not, seeing is what fails. It is a known generaliser: the arm turns
about its base, so it is given positions as angle and distance there, in which the demonstrations are almost linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from autoarm.data.dataset import read_collection
from autoarm.policies.alignment import aligned
from autoarm.policies.lookup import DemonstrationPolicy, read_trajectories
from autoarm.policies.scripted import Actions
from autoarm.results.result import Role
from gym_autoarm import spec
from gym_autoarm.expert import yaw_of
from gym_autoarm.kinematics import pan_distance, radial_heading

Floats = NDArray[np.float64]

_DEGREE: Final = 2
_PENALTY: Final = 0.03
"""Penalty of ridge regression on standardised terms: five spots leave some of the terms undetermined."""


class PositionFedPolicy(DemonstrationPolicy):
    """Plans a whole trajectory by ridge regression on quadratic terms of the poses at the start."""

    name = "position-fed"
    needs_images = False
    role: Role = "control"

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        trajectories = aligned(read_trajectories(dataset))
        scenes = [record.scene for record in read_collection(dataset).episodes]
        inputs = np.stack(
            [
                scene_features(
                    scene["cube"]["x"], scene["cube"]["y"], scene["cube"]["yaw"], scene["box"]["x"], scene["box"]["y"]
                )
                for scene in scenes
            ]
        )
        self._length = trajectories.shape[1]
        self._model = make_pipeline(
            StandardScaler(), PolynomialFeatures(_DEGREE, include_bias=False), StandardScaler(), Ridge(_PENALTY)
        )
        self._model.fit(inputs, trajectories.reshape(len(trajectories), -1))

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        inputs = scene_features(*planar_pose(info["cube_pose"]), *planar_pose(info["box_pose"])[:2])
        flat = self._model.predict(inputs[None])[0]
        trajectory = np.asarray(flat, np.float32).reshape(self._length, len(spec.JOINTS))
        return np.clip(trajectory, spec.ACTION_LOW, spec.ACTION_HIGH)


def planar_pose(pose: NDArray[np.floating]) -> tuple[float, float, float]:
    """x and y (metres) and yaw (degrees) of a pose: position and quaternion w, x, y, z, `(7,)`."""
    return float(pose[0]), float(pose[1]), yaw_of(np.asarray(pose, np.float64))


def scene_features(x: float, y: float, yaw: float, box_x: float, box_y: float) -> Floats:
    """How the cube is turned, and direction (degrees) and distance (metres) of cube and box from the pan axis, `(5,)`.

    The turn, in degrees, is the least one: a cube that is turned by 90 degrees is the same cube.
    """
    turn = (yaw + 45.0) % 90.0 - 45.0
    places = ((x, y), (box_x, box_y))
    return np.array([turn, *(polar for place in places for polar in (radial_heading(*place), pan_distance(*place)))])
