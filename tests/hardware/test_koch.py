"""An arm with other servos, other zero positions and links that nobody knows, behind the same interface."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from dynamixel_sdk.protocol2_packet_handler import Protocol2PacketHandler
from lerobot.motors.dynamixel.tables import MODEL_NUMBER_TABLE, X_SERIES_CONTROL_TABLE

from autoarm.commands.twin_check import TwinCheck
from autoarm.evaluation.backend import check_robot
from autoarm.evaluation.rollout import rollout
from autoarm.policies.scripted import ExpertPolicy, NoOpPolicy
from autoarm.suite.episodes import Episode
from autoarm_hardware import arm
from autoarm_hardware.config import RobotConfig, load_robot, write_robot
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.follower import describe
from autoarm_hardware.operator import Callbacks
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.teleop.rig import open_session
from autoarm_hardware.twin.bus import Reply
from autoarm_hardware.twin.line import VirtualLine, plug_in
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError
from gym_autoarm.scene import HOME, Scene

SIZE = (48, 64)
REST = (0.0, -60.0, 60.0, 50.0, 0.0, 5.0)
RANGES = {
    "shoulder_lift": (1024, 3072),
    "elbow_flex": (1100, 3100),
    "wrist_flex": (1000, 3000),
    "gripper": (2000, 3200),
}
"""Ticks; the others turn all the way round."""
ELBOW, GRIPPER = 3, 6


# -- Six servos that speak Robotis' protocol 2.0, with the control table of the X series (e-manual) --------------------

_HEADER: Final = b"\xff\xff\xfd\x00"
_STUFFED: Final = b"\xff\xff\xfd\xfd"
_PING, _READ, _WRITE, _STATUS, _SYNC_READ, _SYNC_WRITE = 0x01, 0x02, 0x03, 0x55, 0x82, 0x83
_BROADCAST: Final = 0xFE
_EEPROM: Final = 64
"""Registers below this can be written while the torque is off only."""
_ACCESS_ERROR, _ALERT = 0x07, 0x80
_SPEED: Final = 2000.0
"""Ticks a second: 176 degrees."""


@dataclass(frozen=True)
class Request:
    """An instruction packet."""

    id: int
    code: int
    parameters: bytes


class Requests:
    """Finds instruction packets in a stream of bytes."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Request]:
        """Those that are complete with `data`."""
        self._pending += data
        found = []
        while len(self._pending) >= 10 and self._pending.startswith(_HEADER):
            servo, length = struct.unpack_from("<BH", self._pending, 4)
            packet, self._pending = self._pending[: 7 + length], self._pending[7 + length :]
            assert _crc(packet[:-2]) == packet[-2:]
            body = packet[7:-2].replace(_STUFFED, _STUFFED[:3])
            found.append(Request(servo, body[0], body[1:]))
        return found


@dataclass
class Servo:
    """A servo of the X series.

    Attributes:
        id: On the line.
        model: As LeRobot calls it.
        position: Where it is, ticks.
    """

    id: int
    model: str
    position: float = 2048.0
    registers: bytearray = field(default_factory=lambda: bytearray(256))

    def __post_init__(self) -> None:
        self["Model_Number"] = MODEL_NUMBER_TABLE[self.model]
        self["Max_Position_Limit"] = 4095
        self["Present_Temperature"] = 30
        self["Present_Input_Voltage"] = 120 if self.model.startswith("xl430") else 50

    def __getitem__(self, register: str) -> int:
        address, length = X_SERIES_CONTROL_TABLE[register]
        return int.from_bytes(self.registers[address : address + length], "little", signed=length > 1)

    def __setitem__(self, register: str, value: int) -> None:
        address, length = X_SERIES_CONTROL_TABLE[register]
        self.registers[address : address + length] = value.to_bytes(length, "little", signed=length > 1)

    def advance(self, seconds: float) -> None:
        """Go towards the goal, with the torque on."""
        if self["Torque_Enable"]:
            goal = self["Goal_Position"] - self["Homing_Offset"]
            step = _SPEED * seconds
            self.position += min(max(goal - self.position, -step), step)
        self["Present_Position"] = round(self.position) + self["Homing_Offset"]

    def write(self, address: int, data: bytes) -> int:
        """Take what is written; the error number of the answer."""
        if address < _EEPROM and self["Torque_Enable"]:
            return _ACCESS_ERROR
        torque = self["Torque_Enable"]
        self.registers[address : address + len(data)] = data
        if self["Torque_Enable"] and not torque:
            self["Goal_Position"] = round(self.position) + self["Homing_Offset"]
        return 0


class Arm:
    """Six servos with ids 1 to 6, as a bus for `VirtualLine`."""

    def __init__(self, models: list[str]) -> None:
        self.servos = [Servo(number, model) for number, model in enumerate(models, 1)]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for servo in self.servos:
            servo.advance(seconds)

    def answer(self, request: Request, baud_rate: int) -> list[Reply]:
        """What comes back of a request."""
        self.advance(0.0)
        parameters = request.parameters
        if request.code == _SYNC_READ:
            address, length = struct.unpack_from("<HH", parameters)
            return [self._status(self._servo(servo), 0, address, length) for servo in parameters[4:]]
        if request.code == _SYNC_WRITE:
            address, length = struct.unpack_from("<HH", parameters)
            for start in range(4, len(parameters), length + 1):
                self._servo(parameters[start]).write(address, parameters[start + 1 : start + 1 + length])
            return []
        if request.id == _BROADCAST or request.id > len(self.servos):
            return []
        servo = self._servo(request.id)
        match request.code:
            case 0x01:  # ping: model number and version of the firmware
                return [self._status(servo, 0, 0, 3)]
            case 0x02:  # read
                return [self._status(servo, 0, *struct.unpack_from("<HH", parameters))]
            case 0x03:  # write
                (address,) = struct.unpack_from("<H", parameters)
                return [self._status(servo, servo.write(address, parameters[2:]), 0, 0)]
        return []

    def _servo(self, number: int) -> Servo:
        return self.servos[number - 1]

    @staticmethod
    def _status(servo: Servo, error: int, address: int, length: int) -> Reply:
        error |= _ALERT if servo["Hardware_Error_Status"] else 0
        data = bytes(servo.registers[address : address + length]).replace(_STUFFED[:3], _STUFFED)
        body = bytes((_STATUS, error)) + data
        packet = _HEADER + struct.pack("<BH", servo.id, len(body) + 2) + body
        return Reply(packet + _crc(packet))


def _crc(packet: bytes) -> bytes:
    handler: Any = Protocol2PacketHandler()
    return int(handler.updateCRC(0, list(packet), len(packet))).to_bytes(2, "little")


# -- An arm of them ----------------------------------------------------------------------------------------------------


class Koch:
    """LeRobot's driver of a Koch follower, on a virtual line with six servos."""

    def __init__(self, folder: Path, kind: str = "koch_follower") -> None:
        models = ["xl430-w250", "xl430-w250"] + ["xl330-m288"] * 4
        self.arm = Arm(models)
        calibration = {}
        for servo, joint in zip(self.arm.servos, spec.JOINTS, strict=True):
            low, high = RANGES.get(joint, (0, 4095))
            servo["Homing_Offset"], servo["Min_Position_Limit"], servo["Max_Position_Limit"] = 10 * servo.id, low, high
            calibration[joint] = {
                "id": servo.id, "drive_mode": 0, "homing_offset": 10 * servo.id, "range_min": low, "range_max": high,
            }  # fmt: skip
        (folder / "mine.json").write_text(json.dumps(calibration))
        self.line = VirtualLine(self.arm, self.arm.advance, Requests())
        self.robot = arm.make_robot(kind, "a virtual line", "mine", folder)
        plug_in(self.robot.bus, self.line)
        frames = count(1)
        self.robot.cameras = {name: Dark(frames) for name in spec.CAMERAS}

    def guard(self, **options: Any) -> Guard:
        known = describe(self.robot, REST)
        clock = {"sleep": self.line.sleep, "now": self.line.now}
        return Guard(self.robot.bus, low=known.low, high=known.high, **clock, **options)

    def env(self, **options: Any) -> PickIntoBoxEnv:
        options = {"home": REST, "operator": Callbacks(), "image_size": SIZE} | options
        return PickIntoBoxEnv(robot=self.robot, clock=self.line, **options)


class Dark:
    """A camera that sees next to nothing, and never the same."""

    def __init__(self, frames: Iterator[int]) -> None:
        (self.height, self.width), self.is_connected = SIZE, False
        self._frames = frames

    def connect(self) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def read_latest(self, max_age_ms: int) -> Any:
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[0, 0, :2] = divmod(next(self._frames) % 2**16, 256)
        return frame


@pytest.fixture
def koch(tmp_path: Path) -> Koch:
    return Koch(tmp_path)


def test_arm_follows_within_its_own_ranges(koch: Koch) -> None:
    arm.connect_bus(koch.robot)
    lowest = -(RANGES["elbow_flex"][1] - RANGES["elbow_flex"][0]) / 2 * 360 / 4095
    with koch.guard() as guard:
        for goal in (np.array(REST), np.array([200.0, 0.0, -95.0, 0.0, 0.0, 100.0])):
            for _ in range(60):
                sent = guard.send(goal)
                guard.watch()
                koch.line.sleep(1 / spec.FPS)
            assert guard.position() == pytest.approx(sent, abs=0.2)
    # The elbow stays where it was moved through at calibration; the pan, which turns all round, within the contract.
    assert sent == pytest.approx([110.0, 0.0, lowest, 0.0, 0.0, 100.0], abs=0.01)


@pytest.mark.parametrize(
    ("servo", "register", "raw", "says"),
    [
        (ELBOW, "Hardware_Error_Status", 0x20, r"servo 3 \(elbow_flex\): Hardware_Error_Status: .*overloaded"),
        (1, "Torque_Enable", 0, r"shoulder_pan\): Torque_Enable"),
        (2, "Present_Temperature", 68, r"reads 68 °C"),
        (GRIPPER, "Present_Input_Voltage", 38, r"gripper\): Present_Input_Voltage: reads 3.8 V"),
    ],
)
def test_servos_are_watched(koch: Koch, servo: int, register: str, raw: int, says: str) -> None:
    arm.connect_bus(koch.robot)
    guard = koch.guard()
    guard.check()
    koch.arm.servos[servo - 1][register] = raw
    with pytest.raises(ServoError, match=says) as error:
        guard.check()
    assert error.value.cure


@pytest.mark.parametrize(("servo", "raw"), [(ELBOW, -1450), (1, 980)])
def test_what_presses_for_long_is_stopped(koch: Koch, servo: int, raw: int) -> None:
    # A current of the XL330, in mA; a share of full torque, in tenths of a per cent, of the XL430.
    arm.connect_bus(koch.robot)
    guard = koch.guard(limits=Limits(load_time=0.5))
    guard.position()
    koch.arm.servos[servo - 1]["Present_Current"] = raw
    guard.check()
    koch.line.sleep(0.6)
    with pytest.raises(ServoError, match=r"Present_Current: reads 0\.98"):
        guard.check()


def test_gripper_may_hold_what_it_holds(koch: Koch) -> None:
    arm.connect_bus(koch.robot)
    guard = koch.guard(limits=Limits(load_time=0.5))
    guard.position()
    koch.arm.servos[GRIPPER - 1]["Present_Current"] = 1470
    for _ in range(3):
        guard.check()
        koch.line.sleep(0.6)


def test_complaining_servo_is_named_before_anything_moves(koch: Koch) -> None:
    koch.arm.servos[4]["Hardware_Error_Status"] = 0x04
    with pytest.raises(ServoError, match=r"servo 5 \(wrist_roll\): Hardware_Error_Status: reads 4: it is too hot"):
        arm.connect_bus(koch.robot)
    assert not any(servo["Torque_Enable"] for servo in koch.arm.servos)


def test_other_calibration_and_other_servos_are_refused(koch: Koch) -> None:
    koch.arm.servos[1]["Homing_Offset"] = 7
    with pytest.raises(InvalidFileError, match=r"servo 2 \(shoulder_lift\): Homing_Offset"):
        arm.connect_bus(koch.robot)
    koch.arm.servos[3]["Model_Number"] = 1190
    with pytest.raises(InvalidInputError, match=r"servo 4 .*reads 1190, not 1200 \(xl330-m288\)"):
        arm.connect_bus(koch.robot)


def test_lost_line_stops_without_a_further_error(koch: Koch) -> None:
    arm.connect_bus(koch.robot)
    guard = koch.guard()
    guard.send(np.array(REST))
    koch.line.is_plugged = False
    with pytest.raises(ServoError, match="no answer"):
        guard.send(np.array(REST))
    guard.stop()


def test_environment_is_the_contract_without_what_nobody_knows(koch: Koch) -> None:
    env = koch.env()
    observation, info = env.reset(seed=4, options={"spot": "centre"})
    scene_start = np.asarray(env.scene.start)
    assert observation["agent_pos"] == pytest.approx(scene_start, abs=0.2)
    assert np.abs(scene_start - REST).max() < 15.0
    assert env.observation_space.contains(observation)
    assert np.isfinite(info["cube_pose"]).all()
    goal = scene_start.astype(np.float32)
    goal[0] += 10.0
    for _ in range(30):
        observation, _, terminated, truncated, info = env.step(goal)
    assert observation["agent_pos"] == pytest.approx(goal, abs=0.2)
    assert not terminated
    assert not truncated
    assert not info["clipped"].any()
    assert np.isnan(info["gripper_pose"]).all()
    assert np.isnan(info["grasp_path"]).all()
    assert info["joint_path"][-1] == pytest.approx(goal, abs=0.2)
    env.close()
    assert not any(servo["Torque_Enable"] for servo in koch.arm.servos)


def test_rows_leave_out_what_nobody_knows(koch: Koch) -> None:
    env = koch.env(time_limit=9)
    row = rollout(env, NoOpPolicy(), Episode("centre", 0, 4, Scene())).row
    env.close()
    assert (row.steps, row.failure, row.path_length, row.closest) == (9, "unknown", None, None)


def test_simulated_arm_starts_where_it_is_told(koch: Koch) -> None:
    known = describe(koch.robot, REST)
    assert known.start(HOME) == pytest.approx(REST)
    start = np.add(HOME, (2.0, -3.0, 1.0, 0.0, -1.0, 2.0))
    assert np.subtract(known.start(start.tolist()), REST) == pytest.approx(start - HOME)
    # Not beyond a limit: shoulder_lift was moved through 180 degrees.
    assert describe(koch.robot, (0.0, -89.0, 0.0, 0.0, 0.0, 0.0)).start(start.tolist())[1] == pytest.approx(
        -90, abs=0.1
    )


def test_any_arm_may_rest_elsewhere(tmp_path: Path) -> None:
    robot = arm.make_robot("so101_follower", "port", "nobody", tmp_path)
    assert describe(robot).start(HOME) == HOME
    assert describe(robot, REST).start(HOME) == pytest.approx(REST)


@pytest.mark.parametrize("home", [None, (0.0, -95.0, 0.0, 0.0, 0.0, 0.0), (0.0, np.nan, 0.0, 0.0, 0.0, 0.0), (0.0,)])
def test_rest_position_must_be_given_and_be_one(koch: Koch, home: Any) -> None:
    with pytest.raises(InvalidInputError, match="home") as error:
        koch.env(home=home)
    assert error.value.cure


def test_arm_without_calibration_is_refused(tmp_path: Path) -> None:
    robot = arm.make_robot("koch_follower", "port", "nobody", tmp_path)
    with pytest.raises(InvalidFileError, match="lerobot-calibrate"):
        describe(robot, REST)


# -- Through the robot's file ------------------------------------------------------------------------------------------


@pytest.fixture
def file(koch: Koch, tmp_path: Path) -> Path:
    camera = {
        "type": "zmq",
        "server_address": "127.0.0.1",
        "port": 5555,
        "fps": 30,
        "width": SIZE[1],
        "height": SIZE[0],
    }
    path = tmp_path / "koch.yaml"
    content = {
        "type": "koch_follower", "port": "/dev/ttyACM9", "id": "mine", "calibration_dir": tmp_path, "home": REST,
        "cameras": dict.fromkeys(spec.CAMERAS, camera), "leader": {"type": "koch_leader", "port": "/dev/ttyACM8"},
    }  # fmt: skip
    write_robot(path, RobotConfig.model_validate(content), "A Koch.")
    return path


def test_file_describes_follower_and_leader(file: Path) -> None:
    robot = load_robot(file)
    env = robot.make_env()
    assert env._robot.name == "koch_follower"
    assert robot.leader is not None
    leader = robot.leader.make_teleoperator()
    assert leader.name == "koch_leader"
    modes = {joint: motor.norm_mode.value for joint, motor in leader.bus.motors.items()}
    follower = {joint: motor.norm_mode.value for joint, motor in env._robot.bus.motors.items()}
    assert modes == follower
    assert modes["elbow_flex"] == "degrees"


def test_what_needs_the_simulated_arm_is_refused(file: Path, tmp_path: Path) -> None:
    robot = load_robot(file)
    check_robot(robot, NoOpPolicy())
    with pytest.raises(IncompatiblePolicyError, match="'expert' plans with the links"):
        check_robot(robot, ExpertPolicy())
    with pytest.raises(InvalidInputError, match="teleop"):
        open_session("keyboard", body="real", robot=file)
    with pytest.raises(InvalidInputError, match="no simulation of a koch_follower"):
        TwinCheck(out=tmp_path / "check", robot=file, trajectory="steps", yes=True).run()
