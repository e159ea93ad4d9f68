"""Where on the table a chunk of actions aims: a linear reading of it, so that parts of a chunk have parts of an aim.

Chunks of two positions differ in when the arm does something as well as in where, and how fast a demonstration goes is
chance. From the 41st to the 50th action the gripper is over the cube or comes down on it, in most demonstrations.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.observations.rendered import ActionScale, expert_chunks
from autoarm.policies.alignment import grasp
from autoarm.study.workspace import Looks
from gym_autoarm import spec
from gym_autoarm.kinematics import ArmKinematics

Floats = NDArray[np.float64]

_END: Final = 50
"""Slots, from the first, before the gripper closes; in fewer, all of a chunk."""
_LAST: Final = 0.2
"""Share of those slots, from their end, that says where a chunk aims."""
_STEP: Final = 0.5
"""Degrees, of the differences that the Jacobian is taken from."""


class Aim:
    """The reading of the chunks of all pairs.

    Args:
        looks: The pairs.
        scale: In whose units chunks are given.

    Attributes:
        wanted: How far the aim should move: from where the expert grasps to where it grasps, metres `(pair, 2)`.
    """

    def __init__(self, looks: Looks, scale: ActionScale) -> None:
        self._scale = scale
        poses = np.stack([_grasping(plan) for plan in expert_chunks(looks.frames, spec.TIME_LIMIT)])
        # Half way between the two positions the linear reading is right to second order.
        middle = (poses[looks.here] + poses[looks.there]) / 2
        kinematics = ArmKinematics()
        self._maps = np.stack([_jacobian(kinematics, pose) for pose in middle])
        self.wanted = self._read(poses[looks.here] - poses[looks.there])

    def change(self, difference: Floats) -> Floats:
        """How far differences of normalised chunks `(pair, slot, 6)` move the aim, metres `(pair, 2)`."""
        return self._read(_end(difference) * self._scale.spread)

    def _read(self, degrees: Floats) -> Floats:
        return np.asarray(np.einsum("pxj,pj->px", self._maps, degrees), np.float64)


def _end(chunks: Floats) -> Floats:
    slots = min(_END, chunks.shape[1])
    return np.asarray(chunks[:, slots - max(1, round(_LAST * slots)) : slots].mean(axis=1), np.float64)


def _grasping(plan: Floats) -> Floats:
    """The goal at which the gripper is about to close, `(6,)`."""
    moments = grasp(plan.astype(np.float32))
    assert moments is not None, "the expert always grasps"
    return np.asarray(plan[moments[0] - 1], np.float64)


def _jacobian(kinematics: ArmKinematics, pose: Floats) -> Floats:
    """Of the grasp site's x and y by the joints, metres a degree, `(2, 6)`; the gripper's opening moves nothing."""
    columns = np.zeros((2, len(spec.JOINTS)))
    for joint in range(spec.GRIPPER):
        step = np.zeros(len(spec.JOINTS))
        step[joint] = _STEP
        ahead, behind = (kinematics.forward(pose + sign * step)[0][:2] for sign in (1, -1))
        columns[:, joint] = (ahead - behind) / (2 * _STEP)
    return columns
