"""The command, and LeRobot's own commands against what it plugs in."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autoarm_hardware.config import load_robot
from autoarm_hardware.twin import hand
from autoarm_hardware.twin.bus import Bus, Reply
from autoarm_hardware.twin.calibration import follower_calibration
from autoarm_hardware.twin.control_table import REGISTERS
from autoarm_hardware.twin.device import Twin
from autoarm_hardware.twin.protocol import Instruction, Packet
from autoarm_hardware.twin.servo import Servo
from gym_autoarm import spec
from gym_autoarm.body_files import DEFAULT_BODY, BodyFile, shipped_body, write_body_file
from gym_autoarm.kinematics import ArmKinematics
from gym_autoarm.task import TaskMonitor

Running = Callable[..., AbstractContextManager[Twin]]

# The joints that the wave moves: the others only show how far the weight of the arm bends its servos.
WAVED = [0, 3, 4, 5]

# What has LeRobot's own commands, unmodified, wait longer for a servo: a busy machine may take the 50 ms they set.
PATIENCE = Path(__file__).parent / "patience"


class Command:
    """A program that talks: what it has said so far, and a way to press Enter."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(PATIENCE)},
        )
        self.said = ""
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 4096):
            self.said += data.decode(errors="replace")

    def wait_for(self, text: str, times: int = 1, seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while self.said.count(text) < times:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def press_enter(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def finish(self, seconds: float = 120.0) -> int:
        code = self.process.wait(seconds)
        self._listener.join()
        return code

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.finish()


@contextmanager
def started(*command: str) -> Iterator[Command]:
    program = Command(list(command))
    try:
        yield program
    finally:
        program.stop()


def lerobot(name: str) -> str:
    return str(Path(sys.executable).with_name(f"lerobot-{name}"))


def arguments(twin: Twin, arm: str) -> list[str]:
    note = json.loads((twin.folder.path / "twin.json").read_text())
    return list(note[arm]["arguments"])


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_and_clears_up(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "twin"
    write_body_file(tmp_path / "mine.yaml", BodyFile.of(shipped_body(DEFAULT_BODY)), "mine")
    options = ["--dir", str(folder), "--leader", "wave", "--body", os.path.relpath(tmp_path / "mine.yaml")]
    with started(sys.executable, "-m", "autoarm.cli", "twin", *options) as command:
        command.wait_for("--teleop.calibration_dir")
        assert load_robot(folder / "robot.yaml").body == (tmp_path / "mine.yaml").resolve()
        assert (folder / "follower").resolve().is_char_device()
        assert json.loads((folder / "twin.json").read_text())["pid"] == command.process.pid
        with started(sys.executable, "-m", "autoarm_hardware.twin", "--dir", str(folder)) as second:
            assert second.finish() == 2
            assert "still runs" in second.said
        command.process.send_signal(number)
        assert command.finish(10.0) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (["--incidents", "fire"], "incidents"),
        (["--speed", "0"], "speed"),
        (["--noise.lost", "2"], "lost"),
        (["--body", "strong"], "body"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_made(tmp_path: Path, bad: list[str], field: str) -> None:
    command = [sys.executable, "-m", "autoarm_hardware.twin", "--dir", str(tmp_path / "twin"), *bad]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert field in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


class Looks:
    """How often whoever is on an arm's line has asked where its joints are."""

    def __init__(self, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        answer = bus.answer

        def count(request: Packet, baud_rate: int) -> list[Reply]:
            self.taken += request.code == Instruction.SYNC_READ
            return answer(request, baud_rate)

        monkeypatch.setattr(bus, "answer", count)


class Operator:
    """A hand that holds an arm in the middle, and once it is `watched` sweeps no faster than it is looked at.

    By time alone, it would have left a joint's end again before a busy machine's LeRobot has read it.
    """

    PER_LOOK = 0.04  # seconds of the sweep: it stays at a joint's end for 0.25
    watched: Looks | None = None
    start = swept = 0.0

    def __call__(self, seconds: float) -> NDArray[np.float64]:
        if self.watched is None:
            self.start = seconds
        else:
            self.swept = min(seconds - self.start, self.PER_LOOK * self.watched.taken)
        return hand.sweep(self.swept)


def test_lerobot_calibrate(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Operator()
    with running(calibrated=False, follower_hand=operator, speed=4.0) as twin:
        with started(lerobot("calibrate"), *arguments(twin, "follower")) as command:
            command.wait_for("press ENTER")
            command.press_enter()
            command.wait_for("Recording positions")
            operator.watched = Looks(twin.follower.bus, monkeypatch)
            while operator.swept < hand.SWEEP_PERIOD:
                assert command.process.poll() is None, command.said
                time.sleep(0.05)
            command.press_enter()
            assert command.finish() == 0, command.said
        found = json.loads((twin.folder.path / "calibration/follower.json").read_text())
        for joint, entry in follower_calibration().items():
            # The middle of wrist_roll's uneven range is 32 ticks from where our calibration has it.
            assert abs(found[joint]["homing_offset"] - entry.homing_offset) < (40 if joint == "wrist_roll" else 8)
            assert abs(found[joint]["range_min"] - entry.range_min) < 20
            assert abs(found[joint]["range_max"] - entry.range_max) < 20
        assert [servo["Homing_Offset"] for servo in twin.follower.servos] == [
            found[joint]["homing_offset"] for joint in spec.JOINTS
        ]


def distance_behind(leader: NDArray[Any], follower: NDArray[Any]) -> float:
    """How far a follower is from the leader's motion, in the mean over its poses `(time, joints)`, however late it is.

    Each pose is compared with one that the leader had by then, never an earlier one than the pose before was (dynamic
    time warping): how late a follower is says only how busy the machine is. One that stands still is late, not wrong.
    """
    total = np.zeros(len(leader))
    for now, pose in enumerate(follower):
        apart = np.abs(leader - pose).mean(axis=1)
        total = np.where(np.arange(len(leader)) <= now, np.minimum.accumulate(total) + apart, np.inf)
    return float(total.min() / len(follower))


def test_distance_behind() -> None:
    time = np.linspace(0, 10, 300)
    leader = np.sin(time + np.arange(6)[:, None]).T * 20
    late = leader[np.maximum(0, np.arange(300) - 40 - np.arange(300) % 7)]
    assert distance_behind(leader, leader) == 0
    assert distance_behind(leader, late) < 2
    for wrong in (-leader, leader[::-1], leader * 0.5, leader + 10):
        assert distance_behind(leader, wrong) > 4


def test_lerobot_teleoperate(running: Running) -> None:
    with running(leader_hand=hand.wave) as twin:
        command_line = [*arguments(twin, "follower"), *arguments(twin, "leader"), "--fps=30", "--teleop_time_s=6"]
        with started(lerobot("teleoperate"), *command_line) as command:
            command.wait_for("Teleop loop time")
            pairs = []
            while command.process.poll() is None:
                pairs.append((twin.leader.body.position, twin.follower.body.position))
                time.sleep(0.02)
            assert command.finish() == 0, command.said
    leader, follower = np.array(pairs).transpose(1, 0, 2)
    assert np.ptp(follower[:, 0]) > 25
    assert distance_behind(leader[:, WAVED], follower[:, WAVED]) < 3


@pytest.mark.skipif(find_spec("placo") is None, reason="LeRobot computes kinematics with placo: tox run -e kinematics")
def test_lerobot_find_joint_limits(running: Running, tmp_path: Path) -> None:
    kinematics = ArmKinematics()
    with as_file(files("autoarm_assets") / "so101.xml") as path:
        (tmp_path / "arm.urdf").write_text(urdf(mujoco.MjModel.from_xml_path(str(path))))
    options = [f"--urdf_path={tmp_path / 'arm.urdf'}", "--target_frame_name=gripper_link"]
    options += ["--warmup_time_s=1", "--teleop_time_s=6"]
    with running(leader_hand=hand.wave) as twin:
        command_line = [*arguments(twin, "follower"), *arguments(twin, "leader"), *options]
        with started(lerobot("find-joint-limits"), *command_line) as command:
            command.wait_for("RECORDING STARTED")
            seen, placed = [], []
            while "Time limit reached" not in command.said:
                seen.append(twin.follower.body.position)
                placed.append(kinematics.body_pose(seen[-1], "gripper")[0])
                time.sleep(0.02)
            assert command.finish() == 0, command.said
    told = {name: ast.literal_eval(text) for name, text in re.findall(r"(\w+_\w+) = (\[.*\])", command.said)}
    for side, edge in (("min", np.min), ("max", np.max)):
        np.testing.assert_allclose(told[f"{side}_pos"], edge(seen, axis=0), atol=1.5)
        np.testing.assert_allclose(told[f"{side}_ee"], edge(placed, axis=0), atol=0.01)


def urdf(model: mujoco.MjModel) -> str:
    """The arm's joints, and no more, in the format that LeRobot's kinematics reads."""
    parts = []
    for index in range(1, model.nbody):
        body = model.body(index)
        parts.append(f'<link name="{body.name}_link"/>')
        if body.parentid[0] == 0:
            continue
        xyz = " ".join(map(str, body.pos))
        rpy = " ".join(
            map(str, Rotation.from_quat(body.quat, scalar_first=True).as_euler("xyz", suppress_warnings=True))
        )
        joint = model.joint(body.jntadr[0])
        parts.append(
            f'<joint name="{joint.name}" type="revolute"><parent link="{model.body(body.parentid[0]).name}_link"/>'
            f'<child link="{body.name}_link"/><origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="0 0 1"/>'
            '<limit lower="-3.2" upper="3.2" effort="3" velocity="10"/></joint>'
        )
    return f'<robot name="arm">{"".join(parts)}</robot>'


def test_lerobot_setup_motors(running: Running) -> None:
    with running(calibrated=False) as twin:
        new = [Servo(joint) for joint in twin.follower.body.joints]  # as delivered: all of them have id 1
        twin.follower.bus.servos = ()
        with started(lerobot("setup-motors"), *arguments(twin, "follower")[:2]) as command:
            for count, joint in enumerate(reversed(spec.JOINTS)):
                command.wait_for("and press enter", count + 1)
                twin.follower.bus.servos = (new[spec.JOINTS.index(joint)],)
                command.press_enter()
            assert command.finish() == 0, command.said
        assert [servo["ID"] for servo in new] == [1, 2, 3, 4, 5, 6]


def test_lerobot_record_and_replay(running: Running, tmp_path: Path) -> None:
    dataset = ["--dataset.repo_id=local/wave", f"--dataset.root={tmp_path / 'wave'}"]
    # At twice the speed, and for long: a busy machine records a quarter of the frames, and the hand waves more slowly.
    with running(leader_hand=hand.wave, speed=2.0) as twin:
        options = ["--dataset.single_task=wave", "--dataset.num_episodes=1", "--dataset.episode_time_s=8"]
        options += ["--dataset.reset_time_s=0", "--dataset.push_to_hub=false", "--play_sounds=false"]
        command_line = [*arguments(twin, "follower"), *arguments(twin, "leader"), *dataset, *options]
        with started(lerobot("record"), *command_line) as command:
            assert command.finish() == 0, command.said
        recorded = LeRobotDataset("local/wave", root=tmp_path / "wave")
        actions = np.array([frame["action"].numpy() for frame in recorded])
        states = np.array([frame["observation.state"].numpy() for frame in recorded])
        assert recorded.features["action"]["names"] == list(spec.FEATURES)
        assert len(actions) >= 60
        assert np.ptp(states[:, 0]) > 25
        assert distance_behind(actions[:, WAVED], states[:, WAVED]) < 3

        command_line = [*arguments(twin, "follower"), *dataset, "--dataset.episode=0", "--play_sounds=false"]
        with started(lerobot("replay"), *command_line) as command:
            command.wait_for("Replaying episode")
            seen = []
            while command.process.poll() is None:
                seen.append(twin.follower.body.position)
                time.sleep(0.05)
            assert command.finish() == 0, command.said
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    assert low[0] == pytest.approx(actions[:, 0].min(), abs=4)
    assert high[0] == pytest.approx(actions[:, 0].max(), abs=4)


@pytest.mark.slow
def test_lerobot_record_with_cameras(running: Running, tmp_path: Path) -> None:
    with running(leader_hand=hand.wave, image_size=(96, 128)) as twin:
        arms = [*arguments(twin, "follower"), *arguments(twin, "cameras"), *arguments(twin, "leader")]
        options = ["--dataset.repo_id=local/seen", f"--dataset.root={tmp_path / 'seen'}", "--dataset.single_task=wave"]
        options += ["--dataset.num_episodes=1", "--dataset.episode_time_s=3", "--dataset.reset_time_s=0"]
        options += ["--dataset.push_to_hub=false", "--play_sounds=false"]
        with started(lerobot("record"), *arms, *options) as command:
            assert command.finish() == 0, command.said
    recorded = LeRobotDataset("local/seen", root=tmp_path / "seen")
    assert len(recorded) >= 30
    for camera in spec.CAMERAS:
        first, last = (recorded[index][f"observation.images.{camera}"] for index in (0, len(recorded) - 1))
        assert tuple(first.shape) == (3, 96, 128)
        assert float((first - last).abs().mean()) > 1e-3  # the arm waves


@pytest.mark.slow
def test_lerobot_rollout_with_the_reference_policy(running: Running) -> None:
    policy = Path(str(files("autoarm_assets"))) / "policies/act-five-spots"
    with running() as twin:
        arm = [*arguments(twin, "follower"), *arguments(twin, "cameras")]
        options = [f"--policy.path={policy}", "--strategy.type=base", "--duration=15", "--device=cpu"]
        options += [f"--task={spec.TASK}", "--play_sounds=false"]
        body = twin.follower.body
        monitor = TaskMonitor(body.model, body.scene)
        with started(lerobot("rollout"), *arm, *options) as command:
            while command.process.poll() is None:
                monitor.update(body.data)
                time.sleep(1 / spec.FPS)
            assert command.finish() == 0, command.said
    assert monitor.is_success, command.said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "release"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGINT, 130, False),
        (signal.SIGTERM, 143, True),
        (signal.SIGHUP, 129, True),
    ],
)
def test_signal_stops_the_arm_of_an_evaluation(
    running: Running, tmp_path: Path, number: signal.Signals, code: int, release: bool
) -> None:
    goals: list[float] = []
    with running(image_size=(48, 64)) as twin:
        answer, body = twin.follower.bus.answer, twin.follower.body

        def witness(request: Packet, baud_rate: int) -> Any:
            if request.code == Instruction.SYNC_WRITE and request.parameters[0] == REGISTERS["Goal_Position"].address:
                goals.append(time.monotonic())
            return answer(request, baud_rate)

        twin.follower.bus.answer = witness  # type: ignore[method-assign]
        robot = tmp_path / "arm.yaml"
        text = (twin.folder.path / "robot.yaml").read_text()
        robot.write_text(f"{text}park: false\nrelease: {str(release).lower()}\n")
        arguments = ["eval", "random", "--episodes", "1", "--body", "real", "--robot", str(robot)]
        with started(sys.executable, "-m", "autoarm.cli", *arguments) as command:
            end = time.monotonic() + 120.0
            while not goals or goals[-1] - goals[0] < 5.0:
                assert command.process.poll() is None, command.said
                assert time.monotonic() < end
                time.sleep(0.01)
            sent = time.monotonic()
            command.process.send_signal(number)
            assert command.finish() == code, command.said
        assert goals[-1] - sent < 0.1
        before = body.position
        time.sleep(0.5)
        if not release:
            assert np.abs(body.position - before).max() < 2.0  # it holds
        assert {servo["Torque_Enable"] for servo in twin.follower.servos} == ({0} if release else {1})
