"""The real environment against the simulated one, and through LeRobot's driver against the twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import autoarm_hardware
import gym_autoarm
from autoarm_hardware import safety, views
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.operator import Callbacks
from autoarm_hardware.pacing import LateError, Pacer
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.lockstep import LockstepTwin
from autoarm_hardware.twin.table import SimulatedOperator
from autoarm_hardware.views import CameraError
from autoarm_hardware.vision import View, find_cube
from gym_autoarm import spec
from gym_autoarm.errors import InvalidActionError, InvalidInputError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.kinematics import ArmKinematics, GraspPose
from gym_autoarm.scene import HOME

SIZE = (48, 64)


class Bench:
    """A lockstep twin, a bystander, and the environment on them."""

    def __init__(self, folder: Path, cameras: bool = False, size: tuple[int, int] = SIZE, **options: Any) -> None:
        self.twin = LockstepTwin(folder, Settings(image_size=size), cameras=cameras)
        options = {"operator": SimulatedOperator(self.twin.arm.body)} | options
        self.env = gym.make(
            autoarm_hardware.ENV_ID, robot=self.twin.robot, clock=self.twin.line, image_size=size, **options
        )
        self.real: Any = self.env.unwrapped

    def reset(self, seed: int, **options: Any) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed, options=options)

    def plan(self, observation: Any, info: dict[str, Any], seed: int) -> Any:
        start = observation["agent_pos"].astype(float)
        return Expert().plan(
            info["cube_pose"], info["box_pose"], start, Style.sample(seed), info["cube_size"], body=info["body"]
        )

    def close(self) -> None:
        self.env.close()
        self.twin.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def layout(value: Any) -> Any:
    """Keys, types, shapes and dtypes, without the values."""
    if isinstance(value, dict):
        return {key: layout(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype
    return type(value)


def test_contract_is_the_simulated_one(make: Callable[..., Bench]) -> None:
    bench = make()
    simulated = gym.make(gym_autoarm.ENV_ID, cameras=False, image_size=SIZE)
    assert bench.env.observation_space == simulated.observation_space
    assert bench.env.action_space == simulated.action_space
    assert bench.env.metadata == simulated.metadata
    for name in ("task", "task_description", "_max_episode_steps", "render_mode"):
        assert bench.env.get_wrapper_attr(name) == simulated.get_wrapper_attr(name)
    options = {"spot": "far-left", "cube_yaw": 5.0, "lerobot_new_rollout": True}
    pairs = [bench.reset(3, **options), simulated.reset(seed=3, options=options)]
    assert layout(pairs[0]) == layout(pairs[1])
    for key in ("body", "overloaded"):
        assert pairs[0][1][key] == pairs[1][1][key]
    for key in ("cube_pose", "box_pose", "cube_size"):
        assert pairs[0][1][key] == pytest.approx(pairs[1][1][key], abs=1e-3)
    # Dry friction holds each joint a degree before or beyond its goal, depending on where it came from.
    assert pairs[0][1]["gripper_pose"] == pytest.approx(pairs[1][1]["gripper_pose"], abs=0.03)
    goals = np.repeat(np.array([HOME]), 4, axis=0)
    chunks = [env.unwrapped.step_chunk(goals) for env in (bench.env, simulated)]  # type: ignore[attr-defined]
    steps = [env.step(env.action_space.sample()) for env in (bench.env, simulated)]
    for ours, theirs in (chunks, steps):
        assert layout(ours) == layout(theirs)
        assert bench.env.observation_space.contains(ours[0])
    assert np.isnan(chunks[0][4]["cube_path"]).all()
    assert chunks[0][4]["grasp_path"] == pytest.approx(chunks[1][4]["grasp_path"], abs=0.01)


def test_expert_places_the_cube_through_driver_and_servos(make: Callable[..., Bench]) -> None:
    bench = make()
    for seed in range(3):
        observation, info = bench.reset(seed)
        plan = bench.plan(observation, info, seed)
        *_, terminated, truncated, info = bench.real.step_chunk(plan)
        while not (terminated or truncated):
            *_, terminated, truncated, info = bench.real.step_chunk(np.repeat(plan[-1:], 10, axis=0))
        assert terminated
        assert info["is_success"]
        assert info["stage"] == "place"
        assert not info["overloaded"]
    bench.env.close()
    assert not any(servo["Torque_Enable"] for servo in bench.twin.arm.servos)


def test_gripper_that_presses_hard_weakens_after_two_seconds_and_the_arm_goes_on(make: Callable[..., Bench]) -> None:
    bench = make(time_limit=1000)
    observation, info = bench.reset(1)
    plan = bench.plan(observation, info, 1)
    cube = bench.twin.arm.body.data.body("cube")
    held = 0
    while cube.xpos[2] < 0.05:
        *_, info = bench.real.step(plan[held])
        held += 1
    assert not info["overloaded"]
    gripper = bench.twin.arm.servos[spec.GRIPPER]
    goal = plan[held].copy()
    goal[spec.GRIPPER] = 0.0
    reports = []
    for _ in range(90):
        *_, info = bench.real.step(goal)
        reports.append(info["overloaded"])
    # Protection_Time, and the steps until the guard has looked at this register again.
    assert 2 * spec.FPS <= reports.index(True) <= 2 * spec.FPS + 6
    assert all(reports[2 * spec.FPS + 6 :])
    assert gripper["Present_Load"] == -200  # Protective_Torque
    assert cube.xpos[2] > 0.04  # which holds the cube
    for _ in range(6):
        *_, info = bench.real.step(plan[held])
    assert not info["overloaded"]


def test_vision_sees_success_that_the_arm_hides(make: Callable[..., Bench]) -> None:
    bench = make(cameras=True, size=(72, 96), success="vision")
    bench.real._operator.verdict = lambda: None  # who lays the cube here does not say what became of it
    observation, info = bench.reset(1)
    plan = bench.plan(observation, info, 1)
    *_, terminated, truncated, info = bench.real.step_chunk(plan)
    assert not truncated
    while not (terminated or truncated):
        *_, terminated, truncated, info = bench.real.step_chunk(np.repeat(plan[-1:], 10, axis=0))
    assert terminated
    assert info["is_success"]
    # And not where there is none: the cube stays on the table.
    bench.reset(1)
    *_, terminated, truncated, info = bench.real.step_chunk(np.repeat(np.array([HOME]), 30, axis=0))
    assert (terminated, truncated, info["is_success"]) == (False, False, False)


def test_reset_shows_the_operator_where_the_cube_goes(make: Callable[..., Bench]) -> None:
    seen: list[Any] = []
    bench = make(cameras=True, size=(240, 320), operator=Callbacks(on_place=lambda look: seen.append(look())))
    bench.twin.arm.body.place_cube(2.0, 2.0, 0.0)
    bench.env.reset(seed=0, options={"spot": "centre"})
    plain = bench.twin.frame("top", (240, 320))
    changed = (seen[0] != plain).any(axis=2)
    place = spec.SPOTS["centre"]
    column, row = View(bench.real.scene.top, (240, 320)).project(np.array([[*place, 0.0]]))[0]
    assert changed[round(row) - 12 : round(row) + 12, round(column) - 12 : round(column) + 12].any()
    assert find_cube(plain, View(bench.real.scene.top, (240, 320)), bench.real.scene.cube) is None


def test_operator_ends_an_episode(make: Callable[..., Bench]) -> None:
    said: list[Any] = []
    bench = make(operator=Callbacks(on_verdict=lambda: said.pop() if said else None))
    for word, terminated, truncated in (("success", True, False), ("failure", False, True)):
        said.append("failure")  # before the episode: not about it
        bench.env.reset(seed=0)
        assert bench.env.step(np.array(HOME, np.float32))[2:4] == (False, False)
        said.append(word)
        assert bench.env.step(np.array(HOME, np.float32))[2:4] == (terminated, truncated)


def test_time_limit_truncates(make: Callable[..., Bench]) -> None:
    bench = make(time_limit=5)
    bench.reset(0)
    *_, terminated, truncated, info = bench.real.step_chunk(np.repeat(np.array([HOME]), 9, axis=0))
    assert (terminated, truncated, info["steps"]) == (False, True, 5)


def test_commands_keep_to_limits_and_say_so(make: Callable[..., Bench]) -> None:
    bench = make(limits=Limits(step=5.0))
    bench.reset(0)
    goal = np.array(HOME)
    goal[0] -= 60.0
    *_, info = bench.real.step_chunk(goal[None])
    assert info["clipped"].tolist() == [True, *[False] * 5]
    assert abs(info["joint_path"][0, 0] - HOME[0]) < 8.0


def test_limits_that_changed_a_goal_are_counted(make: Callable[..., Bench]) -> None:
    bench = make(limits=Limits(floor=0.0), time_limit=1000)
    _, info = bench.reset(0)
    assert info["limited"] == dict.fromkeys(spec.LIMITS, 0)
    far = np.array(HOME)
    far[0] += 500.0
    *_, info = bench.real.step_chunk(np.stack([far, far, HOME]))
    assert info["limited"]["range"] == 2
    assert info["limited"]["speed"] == 3  # out, on, and back
    assert info["limited"]["floor"] == 0


def test_arm_that_is_sent_into_the_table_presses_a_little(make: Callable[..., Bench]) -> None:
    """A goal 15 cm below the table: without a floor the arm presses with 20 N and more, until a servo weakens."""
    pressed = {}
    for floor in (None, 0.0, -0.01):
        bench = make(limits=Limits(floor=floor), time_limit=1000, park=False)
        bench.reset(0)
        body = bench.twin.arm.body
        body.place_cube(2.0, 2.0, 0.0)
        above = np.append(ArmKinematics().inverse(GraspPose((0.22, 0.03, 0.06))), 30.0)
        bench.real._mover.go(bench.real._guard, above, bench.real._links)
        down = above.copy()
        down[1] += 40.0
        for _ in range(40):
            *_, info = bench.real.step(down)
            if floor is not None:
                assert bench.real._links.lowest(bench.real._mover.sent) > floor - 1e-3
        assert info["limited"]["floor"] == (floor is not None)
        pressed[floor] = _on_the_table(body)
        bench.close()
    assert pressed[None] > 20.0
    assert pressed[0.0] < pressed[-0.01] < 12.0


def _on_the_table(body: Any) -> float:
    """How hard the arm presses on the table, N."""
    total, force = 0.0, np.zeros(6)
    for index, contact in enumerate(body.data.contact[: body.data.ncon]):
        names = {body.model.body(body.model.geom_bodyid[int(geom)]).name for geom in (contact.geom1, contact.geom2)}
        if "world" in names and names & {"gripper", "moving_jaw_so101_v1", "wrist"}:
            mujoco.mj_contactForce(body.model, body.data, index, force)
            total += float(force[0])
    return total


def test_goals_keep_to_the_speed(make: Callable[..., Bench]) -> None:
    bench = make(limits=Limits(speed=90.0), time_limit=1000)
    bench.reset(0)
    goal, sent = np.array(HOME), []
    goal[[0, 1, 5]] = -60.0, 0.0, 100.0
    for _ in range(40):
        bench.real.step(goal)
        sent.append(bench.real._mover.sent)
    # A goal is at most half a period late, where a reading had to be repeated.
    assert np.abs(np.diff(sent, axis=0)).max() <= 90.0 / spec.FPS * 1.5 + 1e-6
    assert np.abs(np.diff(sent, axis=0)).max(axis=1)[:10].sum() == pytest.approx(90.0 * 10 / spec.FPS, rel=0.1)


@pytest.mark.parametrize("release", [True, False])
def test_arm_is_parked_before_the_end_above_the_box(make: Callable[..., Bench], release: bool) -> None:
    bench = make(release=release, time_limit=1000)
    observation, info = bench.reset(1)
    plan = bench.plan(observation, info, 1)
    *_, terminated, _, _ = bench.real.step_chunk(plan)
    assert terminated
    body = bench.twin.arm.body
    assert np.abs(body.position - HOME).max() > 30
    lowest = []
    advance = bench.twin.line._advance
    bench.twin.line._advance = lambda seconds: (advance(seconds), lowest.append(body.position))[0]
    bench.env.close()
    assert [bool(servo["Torque_Enable"]) for servo in bench.twin.arm.servos] == [not release] * 6
    before = body.position
    advance(1.0)
    assert np.abs(body.position - HOME).max() < 6
    assert np.abs(body.position - before).max() < 5  # it rests, released or not
    assert body.data.body("cube").xpos[2] < 0.03  # where it was put


def test_arm_that_fails_or_was_asked_not_to_is_not_moved(make: Callable[..., Bench]) -> None:
    out = np.array([0.0, 0.0, 0.0, 60.0, 0.0, 20.0])
    for options, fails in (({"park": False}, False), ({}, True)):
        bench = make(**options)
        bench.reset(0)
        for part in np.linspace(0, 1, 60):
            bench.real.step(np.array(HOME) + part * (out - HOME))
        goals = [servo["Goal_Position"] for servo in bench.twin.arm.servos]
        if fails:
            bench.twin.arm.bus.silent.add(4)
            with pytest.raises(ServoError):
                bench.real.step(out)
        else:
            bench.env.close()
        now = [servo["Goal_Position"] for servo in bench.twin.arm.servos]
        assert np.abs(np.subtract(now, goals)).max() < 150  # ticks, 13 degrees: held where it was


def test_reset_moves_slowly_and_up_before_round(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.reset(0)
    reach = np.array([-40.0, 20.0, 0.0, 60.0, 0.0, 30.0])
    for part in np.linspace(0, 1, 60):
        bench.real.step_chunk((np.array(HOME) + part * (reach - HOME))[None])
    path = []
    advance = bench.twin.line._advance
    bench.twin.line._advance = lambda seconds: (advance(seconds), path.append(bench.twin.arm.body.position))[0]
    bench.reset(1)
    track = np.array(path)
    lifted = int(np.argmax(track[:, 1] < -85))
    assert abs(track[lifted, 0] - track[0, 0]) < 5.0
    assert np.abs(track[-1] - bench.real.scene.start)[: spec.GRIPPER].max() < 3.0


@pytest.mark.parametrize("bad", [np.full(6, np.nan), np.zeros(7), np.zeros((2, 6))])
def test_actions_for_another_body_move_nothing(make: Callable[..., Bench], bad: Any) -> None:
    bench = make()
    bench.reset(0)
    goals = [servo["Goal_Position"] for servo in bench.twin.arm.servos]
    with pytest.raises(InvalidActionError):
        bench.real.step(bad)
    assert [servo["Goal_Position"] for servo in bench.twin.arm.servos] == goals


def test_exception_stops_the_arm_and_reset_connects_again(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.reset(0)
    bench.twin.arm.bus.silent.add(4)
    with pytest.raises(ServoError, match=r"servo 4 \(wrist_flex\)"):
        bench.env.step(np.array(HOME, np.float32))
    assert not any(servo["Torque_Enable"] for servo in bench.twin.arm.servos if servo.id != 4)
    with pytest.raises(InvalidInputError, match="reset"):
        bench.real.step(np.array(HOME, np.float32))
    bench.twin.arm.bus.silent.clear()
    bench.reset(1)
    bench.env.step(np.array(HOME, np.float32))


def test_dry_run_moves_nothing(make: Callable[..., Bench]) -> None:
    said: list[str] = []
    bench = make(dry_run=said.append)
    bench.reset(0)
    before = bench.twin.arm.body.position
    bench.env.step(np.array(HOME, np.float32) + np.float32(8))
    assert any("Goal_Position: shoulder_pan" in line for line in said)
    assert np.abs(bench.twin.arm.body.position - before).max() < 0.5


def test_frozen_camera_is_noticed_once_the_arm_has_moved(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.twin.frame = lambda camera, size: np.full((*size, 3), 7, np.uint8)  # type: ignore[method-assign]
    bench.reset(0)
    bench.env.step(np.array(HOME, np.float32))  # at rest, pictures may well be the same
    goals = np.repeat(np.array([HOME]), 20, axis=0)
    goals[:, 0] -= 20.0
    with pytest.raises(CameraError, match="frozen") as caught:
        bench.real.step_chunk(goals)
    assert caught.value.cure


@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize("moment", ["between exchanges", "in an exchange"])
def test_machine_that_was_asleep_stops_the_arm_and_blames_no_cable(
    make: Callable[..., Bench], steps: int, moment: str
) -> None:
    bench = make(retries=0)
    bench.reset(0)
    line = bench.twin.line
    line.sleep(60.0)  # a policy may take its time
    goals = np.repeat(np.array([HOME]), steps, axis=0)
    bench.real.step_chunk(goals)
    if moment == "between exchanges":
        wait = bench.real._mover._pacer.wait
        bench.real._mover._pacer.wait = lambda: (wait(), line.sleep(0.3))
    else:
        line.hold_up(0.2, 0.3)
        is_over = line.isPacketTimeout
        line.isPacketTimeout = lambda: (line.sleep(0.3), is_over())[1]
    with pytest.raises(LateError, match=r"limits\.gap.*asleep") as caught:
        bench.real.step_chunk(goals)
    assert "cable" not in str(caught.value)
    assert not any(servo["Torque_Enable"] for servo in bench.twin.arm.servos)


def test_servo_that_does_not_answer_is_no_sleeping_machine(make: Callable[..., Bench]) -> None:
    bench = make(retries=9)
    bench.reset(0)
    line, silent = bench.twin.line, bench.twin.arm.bus.silent
    advance, start = line._advance, line.now()
    line._advance = lambda seconds: (advance(seconds), silent.clear() if line.now() > start + 0.4 else None)[0]
    silent.add(4)
    bench.real.step_chunk(np.array([HOME]))  # for longer than the limit, in vain
    assert line.now() - start > 2 * Limits().gap
    line._advance = advance
    silent.add(4)
    with pytest.raises(ServoError, match="cable"):
        bench.real.step_chunk(np.array([HOME]))


def test_pacing_keeps_the_rate_and_reports_jitter() -> None:
    class Clock:
        time = 0.0

        def now(self) -> float:
            return self.time

        def sleep(self, seconds: float) -> None:
            self.time += seconds + 0.001  # late, always

    clock = Clock()
    pacer = Pacer(10.0, clock)
    pacer.start()
    for work in (0.0, 0.05, 0.02, 0.25, 0.0):
        clock.time += work
        pacer.wait()
    timing = pacer.timing()
    assert timing.steps == 4
    assert timing.missed == 1
    assert timing.median_jitter < 0.06
    # Lateness does not add up: the third tick is as late as the first.
    steady = Pacer(10.0, clock)
    start = clock.time
    steady.start()
    for _ in range(50):
        steady.wait()
    assert clock.time - start == pytest.approx(5.0, abs=0.002)
    with pytest.raises(InvalidInputError):
        Pacer(0.0)


def test_real_port_and_cameras(
    running: Callable[..., AbstractContextManager[Twin]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a pseudo-terminal and LeRobot's ZMQ cameras, as a user connects."""
    # The machine may be too busy to draw and to answer in time; on a simulated clock neither is (test_safety.py).
    monkeypatch.setattr(views, "MAX_AGE", 30_000)
    monkeypatch.setattr(safety, "_FRESH", 30.0)
    with running(image_size=SIZE) as twin:
        assert twin.cameras is not None
        options = {
            "port": str(twin.folder.path / "follower"),
            "calibration_dir": twin.folder.path / "calibration",
            "cameras": twin.cameras.configuration(),
            "image_size": SIZE,
            "operator": Callbacks(),
            "limits": Limits(gap=30.0),
        }
        env = PickIntoBoxEnv(**options)
        observation, _ = env.reset(seed=0)
        assert observation["pixels"]["top"].max() > 50
        assert not np.array_equal(observation["pixels"]["top"], observation["pixels"]["lateral"])
        goal = np.array(HOME, np.float32)
        goal[0] -= 10
        for _ in range(20):
            observation, *_ = env.step(goal)
        assert observation["agent_pos"][0] == pytest.approx(goal[0], abs=3.0)
        assert env.timing.steps > 20
        env.close()
