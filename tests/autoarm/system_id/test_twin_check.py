"""`autoarm twin-check`: an arm against its simulation, from recordings and through LeRobot's driver."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoarm.commands.twin_check import TwinCheck
from autoarm.system_id.check import compare, cross_validate
from autoarm.system_id.identify import identify
from autoarm.system_id.motion import Motion
from autoarm.system_id.on_arm import Nobody, follow, with_steps
from autoarm.system_id.trajectory import Trajectory, expert_trajectory, replayed, step_trajectory
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.servos import Limits
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, load_body, read_body_file, shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import HOME, Scene

SIZE = (48, 64)


def together() -> Trajectory:
    """All joints step at once, up and back: short."""
    start = np.asarray(HOME)
    away = start + np.array([-10, 10, -10, -8, 8, 10])
    goals = [start, away, start - (away - start) * (0.5, 0.0, -0.5, 0.5, 0.5, 0.5), start]
    return Trajectory("steps of all joints at once", start, np.concatenate([np.repeat(g[None], 12, 0) for g in goals]))


def on_twin(body: Body, trajectory: Trajectory, folder: Path, limits: Limits | None = None) -> Motion:
    """What a twin does, driven by LeRobot's driver through the guarded environment, in simulated time."""
    settings = Settings(scene=trajectory.scene(Scene(body=body)), image_size=SIZE)
    twin = LockstepTwin(folder, settings, cameras=False)
    env = PickIntoBoxEnv(
        robot=twin.robot, clock=twin.line, operator=Nobody(ask=False), image_size=SIZE,
        limits=with_steps(limits or Limits(), trajectory), time_limit=len(trajectory.actions) + 1,
    )  # fmt: skip
    try:
        return follow(env, trajectory)
    finally:
        env.close()
        twin.close()


def test_trajectories_keep_within_limits_and_are_slow_enough_for_the_guard() -> None:
    for trajectory in (expert_trajectory(), step_trajectory()):
        assert (trajectory.actions >= spec.ACTION_LOW).all()
        assert (trajectory.actions <= spec.ACTION_HIGH).all()


def test_fit_of_a_folder_of_motions(
    tmp_path: Path,
    planted: Body,
    planted_motions: list[Motion],
    write_motion: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "motions", tmp_path / "out"
    folder.mkdir()
    for motion in planted_motions:
        write_motion(folder / f"{motion.name}.parquet", motion)
    assert TwinCheck(out, motions=folder, fit=True, folds=3, about="planted", source="a test").run() == 0
    split = json.loads((out / "split.json").read_text())
    assert len(split["held_out"]) == 1
    assert sorted(split["held_out"] + split["fitted"]) == [motion.name for motion in planted_motions]
    report = json.loads((out / "report.json").read_text())
    assert report["judged"]["recordings"] == split["held_out"]
    assert report["seen"]["recordings"] == split["fitted"]
    errors = report["judged"]["errors"]
    assert list(errors) == ["perfect servo", "so101", DEFAULT_BODY, "fitted"]
    assert errors["fitted"]["mean"] < 0.1 < errors[DEFAULT_BODY]["mean"] < errors["perfect servo"]["mean"]
    assert len(report["folds"]) == 3
    assert max(fold["mean"] for fold in report["folds"]) < 0.15
    low, high = report["fit"]["shoulder_lift"]["intervals"]["kp"]
    assert low < report["fit"]["shoulder_lift"]["kp"] < high
    for picture in ("joints", "errors", "friction"):
        assert (out / f"{picture}.png").stat().st_size > 10_000
    file = read_body_file(out / "body.yaml")
    assert (file.about, file.source) == ("planted", "a test")
    assert file.measured is not None
    assert file.measured.held_out == tuple(split["held_out"])
    assert file.measured.joints["shoulder_pan"].kp is None
    assert file.body().servos[1].kp == pytest.approx(planted.servos[1].kp, rel=0.05)
    said = capsys.readouterr().out
    assert "wrist_roll: kp is assumed" in said
    # What was written is a body like any other.
    assert TwinCheck(tmp_path / "again", motions=folder, body=str(out / "body.yaml")).run() == 0
    again = json.loads((tmp_path / "again/report.json").read_text())
    assert again["judged"]["errors"]["body"]["mean"] < 0.1
    assert not (tmp_path / "again/body.yaml").exists()


def test_cross_validation_notices_a_recording_of_another_arm(planted_motions: list[Motion]) -> None:
    body = shipped_body(DEFAULT_BODY)
    # The last arm's own servos are not those that the others show.
    other = compare(planted_motions[-1:], {"other": body}).paths["other"][0]
    motions = [*planted_motions[:-1], Motion("other", planted_motions[-1].times, planted_motions[-1].goals, other)]
    errors = cross_validate(motions, identify(motions, body), 4)
    means = sorted(float(np.mean([each.rms for each in fold])) for fold in errors)
    assert means[-1] > 3 * means[0]


def test_twin_is_recorded_through_driver_and_guard(tmp_path: Path, planted: Body) -> None:
    motion = on_twin(planted, together(), tmp_path)
    assert len(motion.times) == len(together().actions) + 1
    answers = compare([motion], {"planted": planted, "default": shipped_body(DEFAULT_BODY)})
    mean = {name: float(np.mean([each.rms for each in errors])) for name, errors in answers.errors.items()}
    assert mean["planted"] < 0.3 < mean["perfect servo"]
    assert mean["planted"] < mean["default"]


def test_trajectory_that_the_guard_holds_back_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="held back"):
        on_twin(shipped_body(DEFAULT_BODY), together(), tmp_path, Limits(step=5.0))


def test_episode_is_replayed_as_it_was_commanded(
    tmp_path: Path, planted_motions: list[Motion], write_dataset: Callable[..., Path]
) -> None:
    from autoarm.system_id.arm_dataset import open_arm_dataset

    dataset = open_arm_dataset(write_dataset(tmp_path / "d", planted_motions[:2]))
    trajectory = replayed(dataset, 1)
    np.testing.assert_allclose(trajectory.actions, planted_motions[1].goals, atol=1e-4)
    np.testing.assert_allclose(trajectory.start, planted_motions[1].positions[0], atol=1e-4)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="robot"):
        TwinCheck(tmp_path).run()
    with pytest.raises(InvalidInputError, match="motions"):
        TwinCheck(tmp_path, motions=tmp_path, dataset=tmp_path).run()
    with pytest.raises(InvalidInputError, match="--yes"):
        Nobody().place(lambda: None, Scene())
    with pytest.raises(InvalidInputError, match="there is no body"):
        load_body("nobody")
