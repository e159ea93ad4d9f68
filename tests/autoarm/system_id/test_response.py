"""Lag, sag and errors with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.system_id.motion import Motion
from autoarm.system_id.response import held_rows, joint_errors, lag, quick_lags
from gym_autoarm import spec


@given(st.floats(-15.0, 15.0), st.floats(-20.0, 20.0))
@settings(max_examples=30)
def test_lag_is_the_shift_whatever_the_offset(shift: float, offset: float) -> None:
    row = np.arange(500)
    assert lag(10 * np.sin(row / 30), offset + 10 * np.sin((row - shift) / 30)) == pytest.approx(shift, abs=0.1)


def test_lag_of_a_joint_that_rests_is_unknown() -> None:
    assert np.isnan(lag(np.zeros(500), 10 * np.sin(np.arange(500) / 30)))


@pytest.mark.parametrize("fps", [15, 30, 50])
def test_lags_of_quick_motions_are_seconds_at_any_rate(fps: int) -> None:
    times = np.arange(20 * fps) / fps
    quick, slow = 20 * np.sin(3 * times), 20 * np.sin(0.3 * times)
    pairs = quick_lags(times, quick, 20 * np.sin(3 * (times - 0.1)), 20 * np.sin(3 * (times - 0.05)))
    assert len(pairs) == 2
    np.testing.assert_allclose(np.mean(pairs, axis=0), (0.1, 0.05), atol=0.003)
    assert quick_lags(times, slow, slow, slow) == []


def test_held_rows_begin_a_second_after_the_last_change_and_end_with_it() -> None:
    times = np.arange(200) / 50
    goals = np.where(times < 2.0, 10.0, 30.0)
    held = held_rows(times, goals, goals - 3.0)
    # The step itself is no rest.
    np.testing.assert_array_equal(np.flatnonzero(held), [*range(50, 99), *range(150, 200)])


def test_errors_lag_and_sag_of_each_joint() -> None:
    times = np.arange(600) / 50
    goals = np.zeros((600, 6))
    goals[:, 1] = 20.0
    goals[:, 2] = 20 * np.sin(3 * times)
    real, path = goals.copy(), goals.copy()
    real[:, 1] -= 3.0
    path[:, 1] -= 2.5
    real[:, 2] = 20 * np.sin(3 * (times - 0.12))
    path[:, 2] = 20 * np.sin(3 * (times - 0.10))
    path[10, 4] = 5.0
    motion = Motion("m", times, goals, real, spec.JOINTS[:5])
    pan, lift, elbow, _, roll = joint_errors([motion], [path])
    assert (pan.rms, pan.most, pan.lag) == (0.0, 0.0, None)
    assert (lift.rms, lift.sag, lift.sag_simulated, lift.sag_error) == pytest.approx((0.5, -3.0, -2.5, 0.5))
    assert elbow.lag == pytest.approx(120, abs=3)
    assert elbow.lag_simulated == pytest.approx(100, abs=3)
    assert elbow.sag is None
    assert (roll.most, roll.rms) == (5.0, pytest.approx(5.0 / np.sqrt(600)))


def test_every_motion_counts_alike_however_long() -> None:
    def still(rows: int) -> Motion:
        return Motion(str(rows), np.arange(rows) / 50, np.zeros((rows, 6)), np.zeros((rows, 6)))

    errors = joint_errors([still(100), still(1000)], [np.full((100, 6), 2.0), np.zeros((1000, 6))])
    assert errors[0].rms == pytest.approx(np.sqrt(2.0))
