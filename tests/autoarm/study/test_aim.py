"""The reading of where a chunk aims: linear, in metres, and right about the expert."""

from __future__ import annotations

import numpy as np
import pytest

from autoarm.interp.observations.rendered import ActionScale, RenderedFrames
from autoarm.study.aim import Aim
from autoarm.study.workspace import PairedObservations
from gym_autoarm import spec
from gym_autoarm.scene import HOME, Scene

POINTS = [(0.20, 0.03), (0.17, 0.0), (0.25, 0.05)]


@pytest.fixture(scope="module")
def pairs() -> PairedObservations:
    cube = np.array([[x, y, 0.015, 1.0, 0.0, 0.0, 0.0] for x, y in POINTS])
    box = np.tile([*spec.BOX_POSITION, 0.0, 1.0, 0.0, 0.0, 0.0], (len(POINTS), 1))
    states = np.tile(np.asarray(HOME, np.float32), (len(POINTS), 1))
    return PairedObservations(
        RenderedFrames({}, states, cube, box, Scene().body),
        POINTS,
        np.array([0, 2]),
        np.array([1, 0]),
        ["inside", "inside"],
    )


@pytest.fixture(scope="module")
def aim(pairs: PairedObservations) -> Aim:
    return Aim(pairs, ActionScale(np.zeros(6), np.full(6, 2.0)))


def test_the_aim_should_move_with_the_cube(pairs: PairedObservations, aim: Aim) -> None:
    points = np.asarray(POINTS)
    # Linear over centimetres of a turning arm, and the expert grasps a little beside the middle.
    assert aim.wanted == pytest.approx(points[pairs.position] - points[pairs.nearest], abs=0.004)


def test_the_aim_of_a_sum_is_the_sum_of_aims(aim: Aim) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 2, 50, 6))
    assert aim.change(one + other) == pytest.approx(aim.change(one) + aim.change(other), abs=1e-12)


def test_only_the_end_of_the_chunk_and_the_arm_count(aim: Aim) -> None:
    early = np.zeros((2, 50, 6))
    early[:, :40] = 1.0
    gripper = np.zeros((2, 50, 6))
    gripper[..., spec.GRIPPER] = 1.0
    assert not aim.change(early).any()
    assert not aim.change(gripper).any()
    # Two degrees of pan, twenty centimetres out, are seven millimetres.
    pan = np.zeros((2, 50, 6))
    pan[..., 0] = 1.0
    assert np.linalg.norm(aim.change(pan), axis=1) == pytest.approx([0.007, 0.008], abs=0.002)
