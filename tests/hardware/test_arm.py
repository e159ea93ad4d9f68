"""What does not fit is found, named and explained before anything moves."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoarm_hardware import arm
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.operator import Callbacks
from autoarm_hardware.park import Park
from autoarm_hardware.port import check_port, disconnect_bus
from autoarm_hardware.release import Release
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import ServoError
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.lockstep import LockstepTwin
from autoarm_hardware.twin.servo import Condition
from autoarm_hardware.views import Views
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidFileError, InvalidInputError
from gym_autoarm.scene import HOME, Scene

SIZE = (48, 64)


@pytest.fixture
def twin(tmp_path: Path) -> LockstepTwin:
    return LockstepTwin(tmp_path, Settings(image_size=SIZE), cameras=False)


def renumber(twin: LockstepTwin, servo: int, number: int) -> None:
    twin.arm.servos[servo - 1]["ID"] = number


def silence(twin: LockstepTwin, *servos: int) -> None:
    twin.arm.bus.silent |= set(servos)


def be_another_model(twin: LockstepTwin, servo: int) -> None:
    victim = twin.arm.servos[servo - 1]
    read = victim.read
    victim.read = lambda address, length: b"\x09\x0b" if address == 3 else read(address, length)  # type: ignore[method-assign]


def be_calibrated_otherwise(twin: LockstepTwin, joint: str) -> None:
    twin.arm.servos[spec.JOINTS.index(joint)]["Homing_Offset"] = 5


def be_uncalibrated(twin: LockstepTwin) -> None:
    twin.robot.calibration.clear()


def overheat(twin: LockstepTwin, servo: int) -> None:
    twin.arm.servos[servo - 1].condition = Condition(temperature=80.0)


def pull_the_plug(twin: LockstepTwin) -> None:
    twin.line.is_plugged = False


@dataclass(frozen=True)
class Case:
    wrong: Callable[[LockstepTwin], None]
    names: tuple[str, ...]


CASES = {
    "silent servo": Case(lambda twin: silence(twin, 4), ("servo 4 (wrist_flex)", "ID", "plugs")),
    "no power": Case(lambda twin: silence(twin, *range(1, 7)), ("servos 1 to 6", "power supply")),
    "wrong id": Case(lambda twin: renumber(twin, 3, 9), ("servo 3 (elbow_flex)", "lerobot-setup-motors")),
    "duplicate id": Case(lambda twin: renumber(twin, 3, 2), ("servo 2 (shoulder_lift)", "more than one")),
    "wrong model": Case(lambda twin: be_another_model(twin, 5), ("servo 5 (wrist_roll)", "Model_Number", "2825")),
    "uncalibrated": Case(be_uncalibrated, ("follower.json", "lerobot-calibrate")),
    "other arm's calibration": Case(
        lambda twin: be_calibrated_otherwise(twin, "gripper"), ("servo 6 (gripper)", "Homing_Offset", "another arm")
    ),
    "hot servo": Case(lambda twin: overheat(twin, 2), ("servo 2 (shoulder_lift)", "Status", "cool")),
    "unplugged": Case(pull_the_plug, ("port a virtual line", "lerobot-find-port")),
}


@pytest.mark.parametrize("name", CASES)
def test_arm_that_does_not_fit_is_refused_before_anything_moves(twin: LockstepTwin, name: str) -> None:
    case = CASES[name]
    case.wrong(twin)
    written: list[Any] = []
    for servo in twin.arm.servos:
        write = servo.write
        servo.write = lambda *data, write=write: (written.append(data), write(*data))[1]  # type: ignore[method-assign]
    with pytest.raises(AutoArmError) as caught:
        arm.connect_bus(twin.robot)
    for part in case.names:
        assert part in str(caught.value)
    assert caught.value.cure
    assert written == []
    assert not twin.robot.bus.is_connected


def test_arm_that_fits_is_connected(twin: LockstepTwin) -> None:
    arm.connect_bus(twin.robot)
    Guard(twin.robot.bus, sleep=twin.line.sleep, now=twin.line.now).check()
    disconnect_bus(twin.robot)
    disconnect_bus(twin.robot)
    assert not twin.robot.bus.is_connected


def test_arm_that_is_switched_on_stays_where_it_is(twin: LockstepTwin) -> None:
    """Whatever goal its servos remember from another program."""
    for servo in twin.arm.servos:
        servo["Goal_Position"] = 3000
        servo._switch = lambda was_on: None  # type: ignore[method-assign]  # one that keeps it through a pause
    before = twin.arm.body.position
    arm.connect_bus(twin.robot)
    twin.line.sleep(0.5)
    assert all(servo["Torque_Enable"] for servo in twin.arm.servos)
    assert np.abs(twin.arm.body.position - before).max() < 2.0


# -- Releasing ---------------------------------------------------------------------------------------------------------


def left_holding(twin: LockstepTwin) -> None:
    arm.connect_bus(twin.robot, release=False)
    disconnect_bus(twin.robot)
    assert all(servo["Torque_Enable"] for servo in twin.arm.servos)


@pytest.mark.parametrize("wrong", [lambda twin: None, be_uncalibrated, lambda twin: be_another_model(twin, 5)])
def test_arm_is_released_whatever_does_not_fit(twin: LockstepTwin, wrong: Callable[[LockstepTwin], None]) -> None:
    left_holding(twin)
    wrong(twin)
    arm.release(twin.robot)
    assert not any(servo["Torque_Enable"] for servo in twin.arm.servos)
    assert not twin.robot.bus.is_connected


def test_release_names_the_servo_that_may_still_be_on(twin: LockstepTwin) -> None:
    left_holding(twin)
    silence(twin, 4)
    with pytest.raises(ServoError, match=r"servo 4 \(wrist_flex\)") as caught:
        arm.release(twin.robot)
    assert "power supply" in (caught.value.cure or "")
    assert [servo["Torque_Enable"] for servo in twin.arm.servos] == [0, 0, 0, 1, 0, 0]
    left = twin.arm.servos[5]
    twin.arm.bus.silent.clear()
    left_holding(twin)
    left.write = lambda *data: None  # type: ignore[method-assign]
    with pytest.raises(ServoError, match=r"servo 6 \(gripper\).*still on"):
        arm.release(twin.robot)


def test_command_releases_an_arm(
    running: Callable[..., AbstractContextManager[Twin]], capsys: pytest.CaptureFixture[str]
) -> None:
    with running(image_size=SIZE) as twin:
        for servo in twin.follower.servos:
            servo["Torque_Enable"] = 1
        assert Release(twin.folder.path / "robot.yaml").run() == 0
        assert not any(servo["Torque_Enable"] for servo in twin.follower.servos)
    assert "Hold the arm" in capsys.readouterr().out


def test_command_parks_an_arm(
    running: Callable[..., AbstractContextManager[Twin]], capsys: pytest.CaptureFixture[str]
) -> None:
    with running(image_size=SIZE, scene=Scene(start=(0.0, -20.0, 0.0, 60.0, 0.0, 20.0))) as twin:
        robot = twin.folder.path / "robot.yaml"
        assert Park(robot).run() == 0
        assert np.abs(twin.follower.body.position - HOME).max() < 6
        assert not any(servo["Torque_Enable"] for servo in twin.follower.servos)
        robot.write_text(robot.read_text() + "release: false\n")
        assert Park(robot).run() == 0
        assert all(servo["Torque_Enable"] for servo in twin.follower.servos)
    said = capsys.readouterr().out
    assert "motors are off" in said
    assert "motors hold" in said


# -- Ports -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[str]:
    host, device = pty.openpty()
    name = os.ttyname(device)
    os.close(device)
    yield name
    os.close(host)


def test_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no such port.*lerobot-find-port"):
        check_port(str(tmp_path / "ttyACM0"))
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="no serial port"):
        check_port(str(tmp_path / "file"))


def test_port_without_permission(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_port(port)
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs tests as root may do everything
    with pytest.raises(InvalidInputError, match=r"no permission.*dialout"):
        check_port(port)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who has a file open")
def test_port_that_another_program_uses(port: str) -> None:
    other = subprocess.Popen(
        [sys.executable, "-Sc", f"f = open({port!r}, 'rb', buffering=0); print('open', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=True,
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InvalidInputError, match=f"process {other.pid}"):
            check_port(port)
    finally:
        other.communicate(b"\n")


def test_answer_that_the_sdk_stumbles_over_is_asked_for_again(
    twin: LockstepTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = twin.robot.bus
    ping, asked = bus.packet_handler.ping, []

    def stumbling(port: Any, servo: int) -> Any:
        asked.append(servo)
        if len(asked) == 2:
            raise IndexError("list index out of range")  # as it does for an answer that is too short
        return ping(port, servo)

    monkeypatch.setattr(bus.packet_handler, "ping", stumbling)
    arm.connect_bus(twin.robot)
    assert asked == [1, 2, 2, 3, 4, 5, 6]
    monkeypatch.setattr(bus.packet_handler, "ping", ping)
    disconnect_bus(twin.robot)


# -- Configuration -----------------------------------------------------------------------------------------------------


def test_unknown_robots_and_cameras_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="these joints"):
        arm.make_robot("lekiwi", "port", "arm", tmp_path)
    size = {"width": 64, "height": 48}
    for camera in ({"type": "pinhole", "fps": 30}, {"fps": 30}, {"type": "zmq", "server": "here", "fps": 30}):
        with pytest.raises(InvalidInputError, match="top"):
            arm.make_robot("so101_follower", "port", "arm", tmp_path, {"top": camera | size})
    with pytest.raises(InvalidInputError, match=r"top.*fps missing"):
        arm.make_robot("so101_follower", "port", "arm", tmp_path, {"top": {"type": "zmq"} | size})
    for robot_type in ("so100_follower", "so101_follower"):
        assert arm.make_robot(robot_type, "port", "arm", tmp_path).bus.motors.keys() == set(spec.JOINTS)
    (tmp_path / "arm.json").write_text("{")
    with pytest.raises(InvalidFileError, match=r"arm\.json"):
        arm.make_robot("so101_follower", "port", "arm", tmp_path)
    (tmp_path / "arm.json").write_text(json.dumps({}))
    with pytest.raises(InvalidFileError, match="lerobot-calibrate"):
        arm.check_calibration(arm.make_robot("so101_follower", "port", "arm", tmp_path))


def test_servos_with_other_registers_are_refused() -> None:
    bus = SimpleNamespace(
        motors={joint: SimpleNamespace(model="xm430-w350") for joint in spec.JOINTS},
        model_ctrl_table={"xm430-w350": {"Torque_Enable": (64, 1), "Goal_Position": (116, 4)}},
    )
    with pytest.raises(InvalidInputError, match=r"xm430-w350.*so101_follower"):
        Guard(bus)


@pytest.mark.parametrize("bad", [{"success": "hope"}, {"time_limit": 0}, {"render_mode": "human"}, {"retries": -1}])
def test_bad_options_are_refused(twin: LockstepTwin, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        PickIntoBoxEnv(robot=twin.robot, image_size=SIZE, operator=Callbacks(), clock=twin.line, **bad)
    with pytest.raises(InvalidInputError, match="port"):
        PickIntoBoxEnv()


# -- Cameras -----------------------------------------------------------------------------------------------------------


class Camera:
    """A camera that shows one picture."""

    def __init__(self, frame: Any, size: tuple[int, int] | None = None) -> None:
        self.height, self.width = size or frame.shape[:2]
        self.frame = frame
        self.is_connected = False

    def connect(self) -> None:
        if self.frame is None:
            raise ConnectionError("Failed to open it")
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def read_latest(self, max_age_ms: int) -> Any:
        return self.frame


@pytest.fixture(scope="module")
def pictures() -> dict[str, Any]:
    from gym_autoarm.env import PickIntoBoxEnv as SimulatedEnv

    env = SimulatedEnv(image_size=SIZE)
    pixels: dict[str, Any] = env.reset(seed=0)[0]["pixels"]
    return pixels


def test_cameras_that_fit_are_connected(pictures: dict[str, Any]) -> None:
    views = Views({name: Camera(frame) for name, frame in pictures.items()}, SIZE)
    views.connect(Scene())
    assert np.array_equal(views.frames()["top"], pictures["top"])
    views.close()


def test_cameras_that_do_not_fit_are_refused(pictures: dict[str, Any]) -> None:
    top, lateral = pictures["top"], pictures["lateral"]
    cases: list[tuple[dict[str, Camera], str]] = [
        ({"top": Camera(top)}, "camera lateral: is missing"),
        ({"top": Camera(top), "lateral": Camera(lateral, (480, 640))}, r"camera lateral.*\(480, 640\)"),
        ({"top": Camera(top), "lateral": Camera(lateral[:40], SIZE)}, r"camera lateral.*\(40, 64\)"),
        ({"top": Camera(None, SIZE), "lateral": Camera(lateral)}, "camera top.*lerobot-find-cameras"),
        ({"top": Camera(lateral), "lateral": Camera(top)}, "swapped"),
    ]
    for cameras, message in cases:
        with pytest.raises(AutoArmError, match=message) as caught:
            Views(cameras, SIZE).connect(Scene())
        assert caught.value.cure
