"""Where on the table a chunk of actions aims: linear in the chunk, so that its parts' aims add up to its aim.

The chunks for two cube positions differ in timing as well as in place, and how fast a demonstration goes is chance. So
only the 41st to the 50th action are read: there, in most demonstrations, the gripper is over the cube or comes down on
it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.observations.rendered import ActionScale, expert_chunks
from autoarm.policies.alignment import grasp
from autoarm.study.workspace import PairedObservations
from gym_autoarm import spec
from gym_autoarm.kinematics import ArmKinematics

Floats = NDArray[np.float64]

_END: Final = 50
"""Number of actions before the gripper closes; a shorter chunk is used whole."""
_LAST: Final = 0.2
"""Share of these actions, counted from the last, whose mean is the aim."""
_STEP: Final = 0.5
"""Step of the central differences that give the Jacobian, degrees."""


class Aim:
    """Reads the aim of chunks, linearised for each pair of observations.

    Args:
        pairs: The observations, and which two make a pair.
        scale: Units of the chunks that are given.

    Attributes:
        wanted: How far the aim should move: between the places where the expert grasps, metres `(pair, 2)`.
    """

    def __init__(self, pairs: PairedObservations, scale: ActionScale) -> None:
        self._scale = scale
        poses = np.stack([_grasping(plan) for plan in expert_chunks(pairs.frames, spec.TIME_LIMIT)])
        # Half way between the two positions the linear reading is right to second order.
        middle = (poses[pairs.position] + poses[pairs.nearest]) / 2
        kinematics = ArmKinematics()
        self._maps = np.stack([_jacobian(kinematics, pose) for pose in middle])
        self.wanted = self._read(poses[pairs.position] - poses[pairs.nearest])

    def change(self, difference: Floats) -> Floats:
        """How far the aim moves, metres `(pair, 2)`, by differences of normalised chunks `(pair, action, 6)`."""
        return self._read(_end(difference) * self._scale.spread)

    def _read(self, degrees: Floats) -> Floats:
        return np.asarray(np.einsum("pxj,pj->px", self._maps, degrees), np.float64)


def _end(chunks: Floats) -> Floats:
    slots = min(_END, chunks.shape[1])
    return np.asarray(chunks[:, slots - max(1, round(_LAST * slots)) : slots].mean(axis=1), np.float64)


def _grasping(plan: Floats) -> Floats:
    """The last goal before the gripper closes, `(6,)`."""
    moments = grasp(plan.astype(np.float32))
    assert moments is not None, "the expert always grasps"
    return np.asarray(plan[moments[0] - 1], np.float64)


def _jacobian(kinematics: ArmKinematics, pose: Floats) -> Floats:
    """Jacobian of the grasp site's x and y, metres per degree of each joint, `(2, 6)`; that of the gripper is 0."""
    columns = np.zeros((2, len(spec.JOINTS)))
    for joint in range(spec.GRIPPER):
        step = np.zeros(len(spec.JOINTS))
        step[joint] = _STEP
        ahead, behind = (kinematics.forward(pose + sign * step)[0][:2] for sign in (1, -1))
        columns[:, joint] = (ahead - behind) / (2 * _STEP)
    return columns
