"""Servos that are known, found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoarm.system_id.fit import Linearised
from autoarm.system_id.identify import Fit, identify
from autoarm.system_id.intervals import covariance
from autoarm.system_id.motion import Motion
from autoarm.system_id.response import joint_errors
from autoarm.system_id.simulation import simulate
from autoarm.system_id.stretches import Stretch, cut
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, STIFF_BODY, shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

LOADED = ("shoulder_lift", "elbow_flex", "wrist_flex")


@pytest.fixture(scope="module")
def found(planted_motions: list[Motion]) -> Fit:
    return identify(planted_motions, shipped_body(DEFAULT_BODY))


def test_simulation_is_the_environments(planted: Body, planted_motions: list[Motion]) -> None:
    for each in joint_errors(planted_motions, simulate(planted_motions, planted)):
        # Half a tick of the encoder, and the three steps for which the environment holds the arm before it starts.
        assert each.rms < 0.06


def test_servos_of_every_joint_are_found(planted: Body, found: Fit) -> None:
    for joint, true, servo in zip(spec.JOINTS, planted.servos, found.body.servos, strict=True):
        assert servo.kp == pytest.approx(true.kp, rel=0.03), joint
        assert servo.damping == pytest.approx(true.damping, rel=0.05), joint
        assert servo.frictionloss == pytest.approx(true.frictionloss, rel=0.08, abs=0.01), joint
        known = found.joints[joint].intervals
        assert ("kp" in known) == (joint in LOADED)
        assert any("assumed" in note for note in found.joints[joint].notes) == (joint not in LOADED)
    gripper = found.body.servos[spec.GRIPPER]
    assert gripper.torque_limit == pytest.approx(1.2, rel=0.03)
    assert found.body.servos[0].torque_limit == planted.servos[0].torque_limit


def test_joint_that_rests_keeps_its_servo(planted_motions: list[Motion]) -> None:
    def still(motion: Motion) -> Motion:
        positions = motion.positions.copy()
        positions[:, 4] = 3.0
        return replace(motion, positions=positions)

    body = shipped_body(DEFAULT_BODY)
    fit = identify([still(planted_motions[0])], body)
    assert fit.body.servos[4].damping == pytest.approx(body.servos[4].damping)
    assert "does not move" in fit.joints["wrist_roll"].notes[0]
    assert not fit.joints["wrist_roll"].intervals


def test_nothing_that_moves_is_refused(planted_motions: list[Motion]) -> None:
    motion = planted_motions[0]
    resting = replace(motion, positions=np.repeat(motion.positions[:1], len(motion.times), axis=0))
    with pytest.raises(InvalidInputError, match="no joint moves"):
        identify([resting], shipped_body(DEFAULT_BODY))


def test_stiffness_that_does_not_show_is_not_given_as_measured(planted_motions: list[Motion]) -> None:
    # A servo that is where it is told to be: only that it is stiff can be said.
    fit = identify([replace(planted_motions[0], positions=planted_motions[0].goals)], shipped_body(STIFF_BODY))
    for joint in LOADED:
        assert "kp" not in fit.joints[joint].intervals
        assert fit.joints[joint].notes


def test_stuck_joint_in_one_stretch_hardly_changes_the_fit(planted: Body, planted_motions: list[Motion]) -> None:
    positions = planted_motions[3].positions.copy()
    positions[:, 4] = positions[0, 4]
    stuck = replace(planted_motions[3], positions=positions)
    fit = identify([*planted_motions[:3], stuck], shipped_body(DEFAULT_BODY))
    assert fit.body.servos[4].damping == pytest.approx(planted.servos[4].damping, rel=0.2)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = stream(0, "test", "coverage")
    count, length, held = 12, 200, 0
    times = np.arange(length) / 50
    nothing = np.zeros((length, 6))
    stretches = [Stretch(Motion(str(i), times, nothing, nothing), str(i), 0) for i in range(count)]
    repeats = 400
    for _ in range(repeats):
        slopes = [rng.normal(size=(1, 1)) + np.sin(times + rng.uniform(0, 6))[:, None] for _ in range(count)]
        noise = []
        for _ in range(count):
            white = rng.normal(size=length)
            for row in range(1, length):
                white[row] += 0.97 * white[row - 1]
            noise.append(white)
        inner = sum(float(a[:, 0] @ a[:, 0]) for a in slopes)
        estimate = sum(float(a[:, 0] @ e) for a, e in zip(slopes, noise, strict=True)) / inner
        left = [e - a[:, 0] * estimate for a, e in zip(slopes, noise, strict=True)]
        spread, clusters = covariance(Linearised(left, slopes, np.ones(count)), stretches, 0)
        assert clusters == count
        held += abs(estimate) < 2.2 * np.sqrt(spread[0, 0])  # Student's t for 11 degrees of freedom
    assert 0.90 < held / repeats < 0.985


def test_stretches_compare_every_row_once(planted_motions: list[Motion]) -> None:
    motion = planted_motions[0]
    stretches = cut([motion], length=2.0)
    assert len(stretches) > 2
    compared = np.concatenate([each.motion.times[each.warm_up :] for each in stretches])
    np.testing.assert_array_equal(compared, motion.times)
    assert all(each.warm_up * np.diff(motion.times)[0] == pytest.approx(1.0, abs=0.05) for each in stretches[1:])
