"""The whole twin on its pseudo-terminals, met by LeRobot's unmodified drivers and Feetech's SDK."""

from __future__ import annotations

import json
import os
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scservo_sdk
from lerobot.motors.feetech import FeetechMotorsBus
from lerobot.robots.so_follower import SO101Follower, SOFollowerRobotConfig
from lerobot.teleoperators.so_leader import SO101Leader, SOLeaderTeleopConfig

from autoarm_hardware.twin import device, hand
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.faults import Incident, Noise
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import spec
from gym_autoarm.body_files import STIFF_BODY, shipped_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.task import TaskMonitor

GOAL = {"shoulder_pan": 10.0, "shoulder_lift": -20.0, "elbow_flex": 30.0, "wrist_flex": 40.0, "wrist_roll": -50.0}
ACTION = {f"{joint}.pos": value for joint, value in (GOAL | {"gripper": 60.0}).items()}

Running = Callable[..., AbstractContextManager[Twin]]


def follower(twin: Twin, **config: Any) -> SO101Follower:
    folder = twin.folder.path
    return SO101Follower(
        SOFollowerRobotConfig(
            port=str(folder / "follower"), id="follower", calibration_dir=folder / "calibration", **config
        )
    )


def leader(twin: Twin) -> SO101Leader:
    folder = twin.folder.path
    return SO101Leader(
        SOLeaderTeleopConfig(port=str(folder / "leader"), id="leader", calibration_dir=folder / "calibration")
    )


@contextmanager
def connected(arm: Any) -> Iterator[Any]:
    arm.connect(calibrate=False)
    try:
        yield arm
    finally:
        arm.disconnect()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_follower_connects_observes_and_acts(running: Running) -> None:
    stiff = Scene(body=shipped_body(STIFF_BODY))  # it comes to where it is sent
    with running(scene=stiff, speed=4.0) as twin, connected(follower(twin)) as robot:
        assert robot.is_calibrated
        observation = robot.get_observation()
        for joint, position in zip(spec.JOINTS, twin.follower.body.position, strict=True):
            assert observation[f"{joint}.pos"] == pytest.approx(position, abs=0.2)
        assert robot.send_action(ACTION) == ACTION
        wait_for(lambda: robot.get_observation() == pytest.approx(ACTION, abs=0.5))
        assert twin.follower.servos[0]["P_Coefficient"] == 16
        assert twin.follower.servos[5]["Max_Torque_Limit"] == 500
        assert twin.follower.servos[0]["Lock"] == 1
    assert twin.follower.servos[0]["Torque_Enable"] == 0  # as the driver leaves it


def test_connecting_does_not_move_the_arm(tmp_path: Path) -> None:
    twin = LockstepTwin(tmp_path, Settings(follower_hand=hand.rest), cameras=False)
    before = twin.arm.body.position
    with connected(twin.robot) as robot:
        twin.line.sleep(0.2)
        after = [robot.get_observation()[name] for name in spec.FEATURES]
    assert np.abs(before - after).max() < 0.5


def test_expert_places_the_cube_through_the_driver(tmp_path: Path) -> None:
    scene = SceneDistribution().sample(1)
    env = PickIntoBoxEnv(cameras=False)
    _, info = env.reset(options={"scene": scene})
    env.close()
    cube, box = info["cube_pose"], info["box_pose"]
    plan = Expert().plan(cube, box, scene.start, Style.sample(1), scene.cube.size, body=scene.body)
    twin = LockstepTwin(tmp_path, Settings(scene=scene), cameras=False)
    with connected(twin.robot) as robot:
        for goal in plan:
            robot.send_action(dict(zip(spec.FEATURES, map(float, goal), strict=True)))
            twin.line.sleep(1 / spec.FPS)
        monitor = TaskMonitor(twin.arm.body.model, scene)
        for _ in range(10):
            twin.line.sleep(1 / spec.FPS)
            monitor.update(twin.arm.body.data)
    assert monitor.is_success


def test_a_twin_that_is_behind_still_answers_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, cost = 0.0, 0.007  # seconds of this clock; what a step of one arm's physics takes on a busy machine
    monkeypatch.setattr(device, "time", SimpleNamespace(monotonic=lambda: now))
    twin = Twin(tmp_path / "twin", Settings(image_size=None))

    def advance(seconds: float) -> None:
        nonlocal now
        now += cost

    for arm in (twin.follower, twin.leader):
        monkeypatch.setattr(arm.body, "advance", advance)
    behind = twin._catch_up(device._LONGEST_GAP, device._SLICE)
    assert 0.0 < behind < device._LONGEST_GAP  # time is late
    assert now <= device._SLICE + 2 * cost  # and answers are not: after a slice and the step that was begun


def test_relative_limit_of_the_driver_works(running: Running) -> None:
    with running() as twin, connected(follower(twin, max_relative_target=1.0)) as robot:
        here = robot.get_observation()
        sent = robot.send_action({name: value + 30.0 for name, value in here.items()})
        assert all(abs(sent[name] - here[name]) < 1.5 for name in sent)


def test_leader_is_read_while_a_hand_moves_it(running: Running) -> None:
    with running(leader_hand=hand.wave, speed=4.0) as twin, connected(leader(twin)) as teleoperator:
        read: list[float] = []

        def has_swung() -> bool:
            read.append(teleoperator.get_action()["shoulder_pan.pos"])
            return max(read) - min(read) > 20.0

        wait_for(has_swung)


def test_fresh_arm_is_calibrated_by_the_drivers_own_steps(running: Running) -> None:
    with running(calibrated=False, follower_hand=lambda _: hand.sweep(0.0), speed=8.0) as twin:
        with connected(follower(twin)) as robot:
            assert not robot.is_calibrated
            robot.bus.disable_torque()
            middle = np.array([50.0 if joint == "gripper" else 0.0 for joint in spec.JOINTS])
            middle[spec.JOINTS.index("wrist_roll")] = 2.8  # the middle of its uneven range
            wait_for(lambda: bool(np.abs(twin.follower.body.position - middle).max() < 0.5))
            offsets = robot.bus.set_half_turn_homings()
            centred = robot.bus.sync_read("Present_Position", normalize=False)
        assert {joint: abs(value - 2047) <= 6 for joint, value in centred.items()} == dict.fromkeys(centred, True)
        assert robot.bus.motors.keys() == offsets.keys()
        assert [servo["Homing_Offset"] for servo in twin.follower.servos] == list(offsets.values())


def test_bus_scan_finds_every_servo_at_its_baud_rate_only(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeetechMotorsBus, "available_baudrates", [128_000, 500_000, 1_000_000])
    with running() as twin:
        found = FeetechMotorsBus.scan_port(str(twin.folder.path / "follower"))
    assert found == {1_000_000: [1, 2, 3, 4, 5, 6]}


def test_new_servo_gets_its_id_and_baud_rate_from_the_driver(running: Running) -> None:
    with running() as twin:
        # A servo as delivered, alone on the line, but set to a slow baud rate.
        twin.follower.bus.servos = twin.follower.servos[:1]
        twin.follower.servos[0]["Baud_Rate"] = 1
        robot = follower(twin)
        robot.bus.setup_motor("gripper", initial_baudrate=500_000)
        robot.bus.port_handler.closePort()
        assert (twin.follower.servos[0]["ID"], twin.follower.servos[0]["Baud_Rate"]) == (6, 0)


def test_plain_sdk_client(running: Running) -> None:
    with running() as twin:
        port, sdk = scservo_sdk.PortHandler(str(twin.folder.path / "follower")), scservo_sdk.PacketHandler(0)
        assert port.openPort()
        assert sdk.ping(port, 3) == (777, scservo_sdk.COMM_SUCCESS, 0)
        assert sdk.ping(port, 77)[1] == scservo_sdk.COMM_RX_TIMEOUT
        assert sdk.write2ByteTxRx(port, 3, 48, 700) == (scservo_sdk.COMM_SUCCESS, 0)
        assert sdk.read2ByteTxRx(port, 3, 48) == (700, scservo_sdk.COMM_SUCCESS, 0)
        assert sdk.regWriteTxRx(port, 3, 41, 1, [9]) == (scservo_sdk.COMM_SUCCESS, 0)
        assert sdk.read1ByteTxRx(port, 3, 41)[0] == 0
        sdk.action(port, scservo_sdk.BROADCAST_ID)
        assert sdk.read1ByteTxRx(port, 3, 41)[0] == 9
        reader = scservo_sdk.GroupSyncRead(port, sdk, 3, 2)
        for servo in range(1, 7):
            reader.addParam(servo)
        assert reader.txRxPacket() == scservo_sdk.COMM_SUCCESS
        assert {reader.getData(servo, 3, 2) for servo in range(1, 7)} == {777}
        port.closePort()


# -- Faults ------------------------------------------------------------------------------------------------------------


def test_driver_reports_a_silent_servo(tmp_path: Path) -> None:
    twin = LockstepTwin(tmp_path, cameras=False)
    with connected(twin.robot) as robot:
        twin.arm.bus.silent.add(4)
        with pytest.raises(ConnectionError, match="Present_Position"):
            robot.bus.sync_read("Present_Position")
        twin.arm.bus.silent.clear()
        robot.bus.sync_read("Present_Position")


def test_driver_survives_some_noise_and_reads_nothing_wrong(tmp_path: Path) -> None:
    twin = LockstepTwin(tmp_path, Settings(noise=Noise(corrupted=0.01, truncated=0.005), seed=3), cameras=False)
    bus = twin.robot.bus
    bus.connect(handshake=False)
    read = [bus.sync_read("Present_Position", num_retry=5)["shoulder_pan"] for _ in range(100)]
    assert max(read) - min(read) < 1.0


def test_late_answer_is_a_missed_one(tmp_path: Path) -> None:
    twin = LockstepTwin(tmp_path, Settings(noise=Noise(late=1.0, lateness=5.0)), cameras=False)
    bus = twin.robot.bus
    bus.connect(handshake=False)
    with pytest.raises(ConnectionError, match="no status packet"):
        bus.sync_read("Present_Position", normalize=False)


def test_incidents_happen_when_they_should(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    let_happen = Twin._let_happen
    monkeypatch.setattr(Twin, "_let_happen", lambda twin, now: None)  # the test says what time it is
    incidents = (Incident.parse("overheat:elbow_flex@1.5-3"),)
    with running(incidents=incidents) as twin, connected(follower(twin)) as robot:
        let_happen(twin, 1.4)
        assert robot.bus.read("Present_Temperature", "elbow_flex") == 30
        let_happen(twin, 1.5)
        with pytest.raises(RuntimeError, match="Overheat"):
            robot.bus.read("Present_Temperature", "elbow_flex")
        assert robot.bus.read("Torque_Enable", "wrist_flex") == 1
        let_happen(twin, 3.0)
        assert robot.bus.read("Present_Temperature", "elbow_flex") == 30
        assert robot.bus.read("Torque_Enable", "elbow_flex") == 0  # it stays off until it is switched on again


def test_unplugged_arm_is_gone_and_the_other_lives(running: Running) -> None:
    with running(incidents=(Incident.parse("unplug@1"),)) as twin:
        robot = follower(twin)
        robot.bus.connect(handshake=False)
        wait_for(lambda: not (twin.folder.path / "follower").is_symlink())
        with pytest.raises((OSError, termios.error)):
            robot.get_observation()
        with connected(leader(twin)) as teleoperator:
            teleoperator.get_action()


# -- The folder --------------------------------------------------------------------------------------------------------


def test_folder_is_left_as_it_was_found(tmp_path: Path) -> None:
    with Twin(tmp_path / "new") as twin:
        note = json.loads((tmp_path / "new/twin.json").read_text())
        assert note["pid"] == os.getpid()
        assert (tmp_path / "new/follower").resolve().is_char_device()
        assert f"--robot.port={twin.folder.path / 'follower'}" in note["follower"]["arguments"]
        assert len(list((tmp_path / "new/calibration").iterdir())) == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with Twin(tmp_path / "empty"):
        pass
    assert list((tmp_path / "empty").iterdir()) == []


def test_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidFileError, match=r"thesis\.tex"):
        Twin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "thesis.tex").rename(tmp_path / "follower")
    with pytest.raises(InvalidFileError, match="is no link"):
        Twin(tmp_path)
    (tmp_path / "leader").symlink_to("follower")
    with pytest.raises(InvalidFileError, match="is no link"):
        Twin(tmp_path)
    assert (tmp_path / "leader").read_text() == "years of work"
    with pytest.raises(InvalidFileError, match="cannot be used"):
        Twin(tmp_path / "follower")


def test_folder_of_a_running_twin_is_refused_and_of_a_dead_one_taken(tmp_path: Path) -> None:
    with Twin(tmp_path / "twin"):
        with pytest.raises(InvalidFileError, match=f"process {os.getpid()}"):
            Twin(tmp_path / "twin")
        assert (tmp_path / "twin/follower").is_symlink()
    (tmp_path / "twin").mkdir()
    dead = 2**22 + 1  # above what Linux gives to processes
    (tmp_path / "twin/twin.json").write_text(json.dumps({"pid": dead}))
    (tmp_path / "twin/follower").symlink_to("/dev/pts/nowhere")
    with Twin(tmp_path / "twin"):
        assert (tmp_path / "twin/follower").resolve().is_char_device()


def test_calibration_that_lerobot_wrote_stays_and_counts_next_time(tmp_path: Path) -> None:
    file = tmp_path / "twin/calibration/follower.json"
    with Twin(tmp_path / "twin"):
        calibration = json.loads(file.read_text())
        calibration["gripper"]["range_max"] = 2500
        file.write_text(json.dumps(calibration))
    assert [path.name for path in (tmp_path / "twin").rglob("*")] == ["calibration", "follower.json"]
    with Twin(tmp_path / "twin") as twin:
        assert twin.follower.servos[5]["Max_Position_Limit"] == 2500
    assert json.loads(file.read_text()) == calibration


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({joint: {"id": 1} for joint in spec.JOINTS})])
def test_other_calibration_files_are_refused_and_left(tmp_path: Path, content: str) -> None:
    file = tmp_path / "twin/calibration/follower.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(InvalidFileError, match=r"follower\.json"), Twin(tmp_path / "twin"):
        pass
    assert [path.name for path in (tmp_path / "twin").rglob("*")] == ["calibration", "follower.json"]
    assert file.read_text() == content


@pytest.mark.parametrize("speed", [0.0, -1.0, 100.0])
def test_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(InvalidInputError, match="speed"):
        Settings(speed=speed)
