from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gym_autoarm import spec
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.kinematics import (
    GRIPPER_CLOSED,
    GRIPPER_OPEN,
    ArmKinematics,
    GraspPose,
    from_radians,
    radial_heading,
    to_radians,
    wrap,
)

KINEMATICS = ArmKinematics()
positions = arrays(np.float64, 6, elements=st.floats(-180, 180))


@given(positions)
def test_units_round_trip(position: np.ndarray) -> None:
    np.testing.assert_allclose(from_radians(to_radians(position)), position, atol=1e-9)


@given(arrays(np.float64, (3, 6), elements=st.floats(-180, 180)))
def test_units_convert_rows_alike(block: np.ndarray) -> None:
    np.testing.assert_array_equal(to_radians(block), [to_radians(row) for row in block])


def test_units_are_degrees_and_per_cent_of_the_gripper() -> None:
    np.testing.assert_allclose(
        to_radians(np.array([90, -90, 45, 0, 180, 0.0]))[:5], np.pi * np.array([0.5, -0.5, 0.25, 0, 1])
    )
    assert to_radians(np.zeros(6))[spec.GRIPPER] == GRIPPER_CLOSED
    assert to_radians(np.full(6, 100.0))[spec.GRIPPER] == pytest.approx(GRIPPER_OPEN)


def test_units_leave_their_argument_alone() -> None:
    position = np.arange(6.0)
    to_radians(position)
    from_radians(position)
    np.testing.assert_array_equal(position, np.arange(6.0))


@given(st.floats(-1e4, 1e4), st.sampled_from([90.0, 360.0]))
def test_wrap_keeps_the_angle_modulo_its_period(degrees: float, period: float) -> None:
    wrapped = wrap(degrees, period)
    assert -period / 2 <= wrapped <= period / 2
    assert math.isclose(math.sin(math.tau * wrapped / period), math.sin(math.tau * degrees / period), abs_tol=1e-6)
    assert math.isclose(math.cos(math.tau * wrapped / period), math.cos(math.tau * degrees / period), abs_tol=1e-6)


@settings(max_examples=60)
@given(
    x=st.floats(*spec.WORK_AREA[0]),
    y=st.floats(*spec.WORK_AREA[1]),
    z=st.floats(0.02, 0.06),
    turn=st.floats(-45, 45),
    tilt=st.floats(-5, 40),
)
def test_inverse_then_forward_is_the_pose_asked_for(x: float, y: float, z: float, turn: float, tilt: float) -> None:
    pose = GraspPose((x, y, z), tilt, radial_heading(x, y) + 90 + turn)
    try:
        arm = KINEMATICS.inverse(pose)
    except UnreachablePoseError:
        return
    assert (spec.ACTION_LOW[spec.ARM] - 1e-3 <= arm).all()
    assert (arm <= spec.ACTION_HIGH[spec.ARM] + 1e-3).all()
    position, rotation = KINEMATICS.forward(np.append(arm, 0.0))
    assert np.linalg.norm(position - pose.position) < 1e-3
    approach, jaws = -rotation[:, 2], rotation[:, 0]
    # Away from the base; the gripper moves in a plane beside the pan axis, and so only nearly along the radius.
    ahead = math.radians(radial_heading(x, y))
    outwards = approach @ np.array([math.cos(ahead), math.sin(ahead), 0.0])
    assert math.degrees(math.atan2(outwards, -approach[2])) == pytest.approx(tilt, abs=3.0)
    heading = math.degrees(math.atan2(jaws[1], jaws[0]))
    # The jaws' axis is tilted too, which turns its shadow on the table a little.
    assert abs(wrap(heading - pose.heading, 360.0)) < 3.0


@settings(max_examples=40)
@given(x=st.floats(*spec.WORK_AREA[0]), y=st.floats(*spec.WORK_AREA[1]), turn=st.floats(-45, 45))
def test_some_lean_reaches_every_place_of_the_work_area(x: float, y: float, turn: float) -> None:
    for tilt in (0.0, 16.0, 32.0, 40.0):
        try:
            KINEMATICS.inverse(GraspPose((x, y, 0.025), tilt, radial_heading(x, y) + 90 + turn))
        except UnreachablePoseError:
            continue
        return
    pytest.fail(f"no lean reaches ({x}, {y})")


@pytest.mark.parametrize("position", [(0.6, 0.0, 0.03), (0.2, 0.0, 0.9), (-0.5, 0.3, 0.1)])
def test_out_of_reach_says_so(position: tuple[float, float, float]) -> None:
    with pytest.raises(UnreachablePoseError, match="cannot reach") as caught:
        KINEMATICS.inverse(GraspPose(position))
    assert caught.value.cure
