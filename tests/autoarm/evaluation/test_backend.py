"""The same commands on another body: evaluation and suites through LeRobot's driver, on a twin in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from autoarm.cli import main
from autoarm.commands.eval import result_table
from autoarm.evaluation.backend import REAL_ENV_ID, check_robot, choose_robot
from autoarm.evaluation.bench import bench
from autoarm.evaluation.engine import Progress
from autoarm.evaluation.evaluate import evaluate
from autoarm.evaluation.verify import verify
from autoarm.leaderboard.entries import load_boards
from autoarm.policies.loading import load_policy
from autoarm.policies.scripted import NoOpPolicy, RandomPolicy
from autoarm.results.journal import journal_path
from autoarm.results.result import Result
from autoarm.suite.real_table import doable_axes, left_out
from autoarm.suite.suite import load_suite
from autoarm_hardware.config import RobotConfig
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from autoarm_hardware.twin.table import SimulatedOperator
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError
from gym_autoarm.scene import HOME, Box, Scene

SIZE = (48, 64)


@dataclass
class LockstepRobot:
    """A robot whose arm is a lockstep twin; every environment is a fresh one."""

    folder: Path
    type: str = "so101_follower"
    id: str = "follower"
    is_twin: bool = True
    has_model: bool = True
    rest: tuple[float, ...] = HOME
    success: Literal["operator", "vision"] = "operator"
    dry_run: bool = False
    image_size: tuple[int, int] = SIZE
    box: Box = field(default_factory=Box)
    made: list[PickIntoBoxEnv] = field(default_factory=list)
    twins: list[LockstepTwin] = field(default_factory=list)

    def scene(self, scene: Scene | None = None) -> Scene:
        scene = scene or Scene()
        return replace(scene, box=self.box) if scene.box == Box() else scene

    def make_env(self, **changes: Any) -> PickIntoBoxEnv:
        twin = LockstepTwin(self.folder, Settings(image_size=SIZE), cameras=False)
        self.twins.append(twin)
        operator = SimulatedOperator(twin.arm.body)
        self.made.append(PickIntoBoxEnv(robot=twin.robot, clock=twin.line, operator=operator, **changes))
        return self.made[-1]

    @property
    def is_released(self) -> bool:
        return not any(servo["Torque_Enable"] for twin in self.twins for servo in twin.arm.servos)


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[LockstepRobot]:
    (tmp_path / "arm").mkdir()
    made = LockstepRobot(tmp_path / "arm")
    yield made
    for env in made.made:
        env.close()


class Still(NoOpPolicy):
    """Stands still, and raises what it is told to at its n-th question, of all episodes."""

    def __init__(self, problem: BaseException | None = None, at: int = 1) -> None:
        self._problem, self._at, self._asked = problem, at, 0

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        self._asked += 1
        if self._problem is not None and self._asked >= self._at:
            raise self._problem
        return super().act(observation, info)


def test_expert_on_another_body_fills_the_same_rows(robot: LockstepRobot, tmp_path: Path) -> None:
    result = evaluate("expert", episodes=2, seed=3, image_size=SIZE, robot=robot)
    simulated = evaluate("expert", episodes=2, seed=3, image_size=SIZE)
    assert [row.key for row in result.rows] == [row.key for row in simulated.rows]
    assert [row.scene for row in result.rows] == [row.scene for row in simulated.rows]
    assert result.overall.successes == 2
    row = result.rows[0]
    assert (row.stage, row.failure, row.closest) == ("place", None, None)
    assert row.path_length == pytest.approx(simulated.rows[0].path_length or 0.0, rel=0.15)
    assert result.setting.env_id == REAL_ENV_ID
    assert str(result.platform.body) == "twin so101_follower follower"
    assert "twin so101_follower" in str(result_table(result).title)
    assert [column.header for column in result_table(result).columns] == ["cube at", "success", "rate", "95 % interval"]
    assert robot.is_released
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
    with pytest.raises(InvalidInputError, match="does not move twice alike"):
        verify(tmp_path / "result.json")
    # A simulated result says nothing of a body: files from before there was one keep their digests.
    assert "body" not in simulated.model_dump(mode="json")["platform"]


def test_what_a_real_arm_cannot_know_is_left_open(robot: LockstepRobot) -> None:
    result = evaluate(Still(), episodes=1, image_size=SIZE, time_limit=3, robot=robot)
    row = result.rows[0]
    assert (row.success, row.stage, row.closest, row.failure) == (False, "reach", None, "never-reached")
    row = evaluate(Still(ValueError("no idea")), episodes=1, image_size=SIZE, time_limit=3, robot=robot).rows[0]
    assert (row.failure, row.error) == ("error", "ValueError: no idea")


def test_interrupted_evaluation_stops_the_arm_and_goes_on(robot: LockstepRobot, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    options: dict[str, Any] = {"episodes": 4, "image_size": SIZE, "time_limit": 2, "robot": robot, "out": out}
    # Two questions an episode: the third episode is interrupted.
    with pytest.raises(KeyboardInterrupt):
        evaluate(Still(KeyboardInterrupt(), at=5), **options)
    assert robot.made
    assert robot.is_released
    assert len(journal_path(out).read_text().splitlines()) == 3
    seen: list[Progress] = []
    result = evaluate(Still(), progress=seen.append, **options)
    assert [now.done for now in seen] == [2, 3, 4]
    assert [now.row for now in seen[1:]] == result.rows[2:]
    assert len(result.rows) == 4
    assert not journal_path(out).exists()
    assert len(robot.made) == 2


def test_suite_goes_on_tomorrow_with_the_axes_that_can_be_laid(robot: LockstepRobot, tmp_path: Path) -> None:
    out = tmp_path / "still.json"
    seen: list[int] = []

    def stop_after(rows: int) -> Callable[[Progress], None]:
        def advance(done: Progress) -> None:
            seen.append(done.done)
            if done.row is not None and done.done == rows:
                raise KeyboardInterrupt

        return advance

    suite = load_suite("five-spots-v1").model_copy(update={"time_limit": 2})
    options: dict[str, Any] = {"axes": ["seen", "box"], "episodes": 1, "out": out, "robot": robot}
    with pytest.raises(KeyboardInterrupt):
        bench(Still(), suite, progress=stop_after(2), **options)
    assert journal_path(out).is_file()
    assert robot.is_released
    seen.clear()
    result = bench(Still(), suite, progress=stop_after(100), **options)
    assert seen == [2, 3, 4]
    assert not journal_path(out).exists()
    assert [row.group for row in result.rows] == ["seen", "box", "box", "box"]
    # The operator has put the box where the episode wants it.
    assert robot.made[-1]._robot is robot.twins[-1].robot
    box = robot.twins[-1].arm.body.scene.box
    assert {"x": box.x, "y": box.y} == result.rows[-1].scene["box"]
    (tmp_path / "arm/follower.json").unlink()
    (board,) = load_boards(tmp_path)
    assert board.entries[0].name == "no-op on twin so101_follower follower"


def test_axes_that_only_a_simulation_can_do_are_named() -> None:
    suite = load_suite("five-spots-v1")
    assert doable_axes(suite) == ["seen", "fresh", "interpolation", "extrapolation", "yaw", "box"]
    assert left_out(suite)["arm"] == "another arm, other cameras"
    assert not set(left_out(suite)) & set(doable_axes(suite))
    with pytest.raises(InvalidInputError, match=r"axis 'lighting' takes the lamp moved: only a simulation"):
        doable_axes(suite, ["fresh", "lighting"])


def test_box_elsewhere_is_told_to_policies_and_not_written_into_the_plan(robot: LockstepRobot) -> None:
    robot.box = Box(0.19, -0.16)
    told: list[Any] = []

    class Asks(Still):
        def reset(self, seed: int, info: Mapping[str, Any]) -> None:
            told.append((info["box_pose"][:2].tolist(), np.isnan(info["cube_pose"]).any()))
            super().reset(seed, info)

    result = evaluate(Asks(), episodes=1, image_size=SIZE, time_limit=2, robot=robot)
    assert told == [([0.19, -0.16], False)]
    assert "box" not in result.rows[0].scene


@pytest.mark.parametrize(
    ("wish", "says"),
    [({"workers": 2}, "workers"), ({"ray": "auto"}, "ray"), ({"videos": Path("films")}, "videos")],
)
def test_wishes_that_one_arm_cannot_fulfil_are_refused(robot: LockstepRobot, wish: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        evaluate(Still(), episodes=1, robot=robot, **wish)
    assert robot.made == []


def test_policy_that_is_told_the_cube_at_every_step_is_refused(robot: LockstepRobot) -> None:
    policy = Still()
    policy.needs_poses = True  # type: ignore[attr-defined]
    with pytest.raises(IncompatiblePolicyError, match="told where the cube is"):
        evaluate(policy, episodes=1, robot=robot)
    assert robot.made == []


def test_policy_of_another_arm_is_refused(robot: LockstepRobot) -> None:
    policy = load_policy("act-five-spots", image_size=SIZE)
    check_robot(robot, policy)
    check_robot(robot, RandomPolicy())  # it was trained on nothing
    robot.rest = (0.0, -98.0, 72.0, 0.0, 90.0, 45.0)
    with pytest.raises(IncompatiblePolicyError, match=r"wrist_flex between 58 and 95, .* starts at 0"):
        check_robot(robot, policy)


def test_dry_run_measures_nothing(robot: LockstepRobot) -> None:
    robot.dry_run = True
    check_robot(robot, RandomPolicy())
    with pytest.raises(InvalidInputError, match="dry_run"):
        check_robot(robot, RandomPolicy(), kept=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--body", "real"], "robot: is missing"),
        (["--robot", "arm.yaml"], "robot: is named, and the simulated arm"),
        (["--body", "real", "--robot", "arm.yaml"], "arm.yaml: there is no such file"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "bench", "interp attention"])
def test_commands_say_what_the_robot_lacks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, options: list[str], says: str
) -> None:
    out = ["--live"] if command.startswith("interp") else ["--out", str(tmp_path / "out.json")]
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "act-five-spots", *out, *options])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_robot_of_a_file_is_what_evaluation_asks_for(tmp_path: Path) -> None:
    camera = "{type: opencv, index_or_path: 0, width: 64, height: 48, fps: 30}"
    (tmp_path / "arm.yaml").write_text(
        f"port: /dev/null\nid: mine\ncameras:\n  top: {camera}\n  lateral: {camera}\n", encoding="utf-8"
    )
    robot = choose_robot("real", tmp_path / "arm.yaml")
    assert isinstance(robot, RobotConfig)
    assert (robot.is_twin, robot.image_size, robot.dry_run, robot.success) == (False, (48, 64), False, "operator")
    assert choose_robot("sim", None) is None
    assert robot.type == spec.ROBOT_TYPE
