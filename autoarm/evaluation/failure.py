"""How an episode failed, told from where the gripper and the cube went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import FailureMode, Stage
from gym_autoarm.scene import Box, Scene
from gym_autoarm.task import LIFTED, in_box_frame

REACHED: Final = 0.015
"""Metres between the cube's surface and the grasp site from which the cube counts as reached: the distance from the
grasp site to the face of the fixed pad, so that the cube was between the jaws or touched by them."""
HELD: Final = 0.03
"""Metres between grasp site and cube up to which a cube in the air is in the gripper and not falling."""
NEAR_BOX: Final = 0.05
"""Metres beside the box's inner edge up to which a cube that was let go had been meant for the box."""


@dataclass(frozen=True)
class EpisodeTrace:
    """What is known of a failed episode.

    Attributes:
        stage: The furthest one entered.
        grasp: Way of the grasp site, metres `(n, 3)`; NaN if the arm's links are not known.
        cube: Way of the cube's middle at the same times, `(n, 3)`; NaN where it is not known.
        scene: Where it took place.
        broken: Whether the policy raised, or gave actions that must not be executed.
    """

    stage: Stage
    grasp: NDArray[np.floating]
    cube: NDArray[np.floating]
    scene: Scene
    broken: bool = False


def failure_mode(ending: EpisodeTrace) -> FailureMode:
    """The first of these that holds:

    - `error`: the policy broke.
    - `never-reached`: nothing was lifted, and the gripper never came near the cube.
    - `missed-grasp`: nothing was lifted, though the gripper was there.
    - `timeout`: at the end the cube was in the gripper, in the air, or lay in the box without the task being done
      (not let go, or not yet at rest).
    - `missed-box`: the cube was over the box, or lies right beside it.
    - `dropped`: it lies elsewhere.

    Of a real arm, which does not know where its cube is, only `error`, `never-reached`, and otherwise `unknown`: the
    cube does not leave the place where it was laid before the gripper comes near.
    """
    if ending.broken:
        return "error"
    size, box = ending.scene.cube.size, ending.scene.box
    if np.isnan(ending.cube).any():
        distance = np.linalg.norm(np.subtract(ending.grasp, ending.cube[0], dtype=np.float64), axis=1)
        return "never-reached" if distance.min() >= size / 2 + REACHED else "unknown"
    if ending.stage in ("reach", "grasp"):
        distance = np.linalg.norm(np.subtract(ending.grasp, ending.cube, dtype=np.float64), axis=1)
        return "missed-grasp" if distance.min() < size / 2 + REACHED else "never-reached"
    end = np.asarray(ending.cube[-1], np.float64)
    in_hand = float(np.linalg.norm(end - ending.grasp[-1])) < HELD and end[2] - size / 2 > LIFTED
    if in_hand or beside_box(end, box) < 0:
        return "timeout"
    return "missed-box" if ending.stage == "place" or beside_box(end, box) < NEAR_BOX else "dropped"


def beside_box(point: NDArray[np.floating], box: Box) -> float:
    """Horizontal distance of a point from the inside of a box, metres; negative over its floor."""
    beyond = np.abs(in_box_frame(float(point[0]) - box.x, float(point[1]) - box.y, box.yaw)) - box.inner / 2
    outside = np.linalg.norm(np.maximum(beyond, 0.0))
    return float(outside) if outside else float(beyond.max())
