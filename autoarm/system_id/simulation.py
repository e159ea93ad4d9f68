"""What a body does with the goals of a motion: the same physics as the environment's, the arm alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from autoarm.system_id.motion import Motion, Vector
from gym_autoarm import spec
from gym_autoarm.actuation import take_up_play
from gym_autoarm.body import Body
from gym_autoarm.kinematics import ArmKinematics, from_radians, to_radians
from gym_autoarm.model import CUBE, TIMESTEP, compile_scene
from gym_autoarm.scene import Scene

_BATCH: Final = 64
"""Motions that are simulated at once: ten seconds of each take 32 MB."""
_JOINTS: Final = len(spec.JOINTS)
_THREADS: Final = os.cpu_count() or 1


def simulate(
    motions: Sequence[Motion], body: Body, on_progress: Callable[[int], None] = lambda done: None
) -> list[Vector]:
    """Where the joints of `body` are at the times of each motion, `(n, 6)`; it starts at rest where the arm was.

    Nothing is in the arm's way, not even the table, and its gripper's protection does not act: recordings from which an
    arm is known are made in free air.

    Args:
        motions: What the arm is told.
        body: How it answers.
        on_progress: Told how many motions are done.
    """
    model = arm_model(body)
    found: dict[int, Vector] = {}
    # Motions of one batch take as long as its longest.
    order = sorted(range(len(motions)), key=lambda index: len(motions[index].times))
    with Rollout(nthread=_THREADS) as rollout:
        for chosen in _batches(order):
            found.update(
                zip(chosen, _together(rollout, model, [motions[index] for index in chosen], body), strict=True)
            )
            on_progress(len(found))
    return [found[index] for index in range(len(motions))]


def arm_model(body: Body) -> mujoco.MjModel:
    """The arm by itself, touching nothing, compiled with a body's servos."""

    def alone(model_spec: mujoco.MjSpec) -> None:
        model_spec.delete(model_spec.body(CUBE))
        model_spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT

    return compile_scene(Scene(surface="plain", body=body), alone)


def gravity(positions: Vector) -> Vector:
    """Torque that holds the arm against gravity, N m, `(n, 6)`, at joint positions `(n, 6)`."""
    return ArmKinematics().torques(to_radians(positions))


def _batches(order: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(order), _BATCH):
        yield order[first : first + _BATCH]


def _together(rollout: Rollout, model: mujoco.MjModel, motions: Sequence[Motion], body: Body) -> list[Vector]:
    ticks = [np.rint((motion.times - motion.times[0]) / TIMESTEP).astype(int) for motion in motions]
    length = max(int(each[-1]) for each in ticks)
    data = mujoco.MjData(model)
    start = np.empty((len(motions), mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)))
    control = np.empty((len(motions), length, _JOINTS))
    for row, (motion, at) in enumerate(zip(motions, ticks, strict=True)):
        data.qpos[:] = to_radians(motion.positions[0])
        mujoco.mj_getState(model, data, start[row], mujoco.mjtState.mjSTATE_FULLPHYSICS)
        control[row] = _control(motion, at, length, body)
    workers = [mujoco.MjData(model) for _ in range(_THREADS)]
    states, _ = rollout.rollout(model, workers, start, control)
    # A state is the time, then the joints' angles and velocities.
    angles = np.concatenate([start[:, None, 1 : 1 + _JOINTS], states[:, :, 1 : 1 + _JOINTS]], axis=1)
    return [from_radians(angles[row, at]) for row, at in enumerate(ticks)]


def _control(motion: Motion, ticks: NDArray[np.int_], length: int, body: Body) -> Vector:
    """What the servos follow at each tick, radians, `(length, 6)`: the goals with the body's delay and play."""
    goals = with_play(motion.goals, motion.positions[0], body.backlash) if body.backlash else motion.goals
    arrival = ticks + round(body.delay / TIMESTEP)
    latest = np.searchsorted(arrival, np.arange(length), side="right") - 1
    return np.asarray(to_radians(goals)[np.maximum(latest, 0)])


def with_play(goals: Vector, start: Vector, play: float) -> Vector:
    """Where gears with `play` are sent, `(n, 6)`, that follow goals `(n, 6)` from `start`."""
    behind = np.empty_like(goals)
    geared = start
    for row, goal in enumerate(goals):
        geared = take_up_play(geared, goal, play)
        behind[row] = geared
    return behind
