"""An arm against its simulation: the numbers, and gains that are known found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.commands.twin_check import TwinCheck
from autoarm.system_id.response import Nobody, errors, lag, replay, simulate
from autoarm.system_id.trajectory import Recording, Trajectory, expert_trajectory, recorded, step_trajectory
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.servos import Limits
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import HOME, Body, Scene
from gym_autoarm.scene_files import load_body
from gym_autoarm.servo import ServoGains

SIZE = (48, 64)
SOFT = Body(ServoGains(kp=60.0, kv=1.2), latency=2, backlash=1.0)


def together() -> Trajectory:
    """All joints step at once, up and back: short."""
    start = np.asarray(HOME)
    away = start + np.array([-10, 10, -10, -8, 8, 10])
    goals = [start, away, start - (away - start) * (0.5, 0.0, -0.5, 0.5, 0.5, 0.5), start]
    return Trajectory("steps of all joints at once", start, np.concatenate([np.repeat(g[None], 12, 0) for g in goals]))


def on_twin(body: Body, trajectory: Trajectory, folder: Path, limits: Limits | None = None) -> Recording:
    """What a twin does, driven by LeRobot's driver through the guarded environment, in simulated time."""
    settings = Settings(scene=trajectory.scene(Scene(body=body)), image_size=SIZE)
    twin = LockstepTwin(folder, settings, cameras=False)
    env = PickIntoBoxEnv(
        robot=twin.robot, clock=twin.line, operator=Nobody(ask=False), image_size=SIZE, limits=limits,
        time_limit=len(trajectory.actions) + 1,
    )  # fmt: skip
    try:
        return replay(env, trajectory)
    finally:
        env.close()
        twin.close()


@given(st.floats(-5.0, 5.0), st.floats(-20.0, 20.0))
@settings(max_examples=30)
def test_lag_is_the_shift_whatever_the_offset(shift: float, offset: float) -> None:
    step = np.arange(150)
    assert lag(10 * np.sin(step / 9), offset + 10 * np.sin((step - shift) / 9)) == pytest.approx(shift, abs=0.1)


def test_errors_are_per_joint() -> None:
    first = np.zeros((60, 6))
    first[:, 0] = np.linspace(0, 40, 60) ** 1.5 / 4
    second = first + np.array([0.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    second[10, 2] = -3.0
    pan, lift, elbow, *_ = errors(first, second)
    assert (pan.rms, pan.most, pan.lag) == (0.0, 0.0, pytest.approx(0.0, abs=1.0))
    assert (lift.rms, lift.most) == (2.0, 2.0)
    assert np.isnan(lift.lag)
    assert (elbow.most, elbow.rms) == (3.0, pytest.approx(3.0 / np.sqrt(60)))


def test_trajectories_keep_within_limits_and_are_slow_enough_for_the_guard() -> None:
    for trajectory in (expert_trajectory(), step_trajectory()):
        assert (trajectory.actions >= spec.ACTION_LOW).all()
        assert (trajectory.actions <= spec.ACTION_HIGH).all()
        path = np.concatenate([trajectory.start[None], trajectory.actions])
        assert np.abs(np.diff(path, axis=0)).max() < Limits().step


def test_simulation_against_itself_has_no_error() -> None:
    trajectory = together()
    assert all(each.rms == 0.0 for each in errors(simulate(trajectory), simulate(trajectory, Body())))


def test_recorded_episode_is_what_the_simulation_does(tiny_dataset: Path, tmp_path: Path) -> None:
    recording = recorded(tiny_dataset, 1)
    assert "gripper" not in recording.compared
    # Recorded in simulation with these gains: but for a cube of 30 grams in the gripper, it is the same again.
    found = errors(simulate(recording.trajectory), recording.positions, recording.compared)
    assert max(each.rms for each in found) < 0.3
    assert TwinCheck(tmp_path / "out", dataset=tiny_dataset, episode=1).run() == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [each["joint"] for each in report["errors"]] == list(recording.compared)
    assert report["steps"] == len(recording.positions)
    assert (tmp_path / "out/joints.png").stat().st_size > 10_000
    assert not (tmp_path / "out/body.yaml").exists()
    with pytest.raises(InvalidInputError, match="episode 2"):
        recorded(tiny_dataset, 2)


def test_gains_of_a_twin_are_found_and_written_as_a_scene_loads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trajectory = together()
    recording = on_twin(SOFT, trajectory, tmp_path)
    late = errors(simulate(trajectory), recording.positions)
    assert all(40 < each.lag < 200 for each in late)
    monkeypatch.setattr("autoarm.system_id.trajectory.recorded", lambda folder, episode: recording)
    assert TwinCheck(tmp_path / "fit", dataset=tmp_path, fit=True).run() == 0
    body = load_body(tmp_path / "fit/body.yaml")
    assert body.latency == SOFT.latency
    assert body.gains.kp == pytest.approx(SOFT.gains.kp, rel=0.15)
    assert body.gains.kv == pytest.approx(SOFT.gains.kv, rel=0.2)
    assert body.backlash == pytest.approx(SOFT.backlash, abs=0.15)
    report = json.loads((tmp_path / "fit/report.json").read_text())
    assert report["fit"]["after"] < 0.15 < 10 * report["fit"]["after"] < report["fit"]["before"]
    assert report["fit"]["doubt"]["kp"] < 1.5
    assert max(each["rms"] for each in report["errors_fitted"]) < min(each["rms"] for each in report["errors"])
    assert f"latency: {SOFT.latency} control steps" in capsys.readouterr().out
    # Compared with the body that was found, little is left.
    assert TwinCheck(tmp_path / "again", dataset=tmp_path, body=tmp_path / "fit/body.yaml").run() == 0
    again = json.loads((tmp_path / "again/report.json").read_text())
    assert again["errors"] == report["errors_fitted"]


def test_trajectory_that_the_guard_holds_back_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="held back"):
        on_twin(Body(), together(), tmp_path, Limits(step=5.0))


def test_neither_arm_nor_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="robot"):
        TwinCheck(tmp_path).run()
    with pytest.raises(InvalidInputError, match="--yes"):
        Nobody().place(lambda: None, Scene())
