"""A robot's file: what it says arrives, what it must not say is refused, and a twin writes one that works."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoarm_hardware.config import load_robot, write_robot
from autoarm_hardware.twin.calibration import follower_calibration
from autoarm_hardware.twin.device import Twin
from autoarm_hardware.twin.table import TableClient
from gym_autoarm.body_files import DEFAULT_BODY, STIFF_BODY, BodyFile, shipped_body, write_body_file
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.scene import TOP, Box, Camera, Scene
from gym_autoarm.scene_files import CameraFile, write_file

CAMERA = {"type": "opencv", "index_or_path": 0, "width": 64, "height": 48, "fps": 30}
ROBOT: dict[str, Any] = {
    "type": "so101_follower",
    "port": "/dev/ttyACM7",
    "id": "mine",
    "cameras": {"top": CAMERA, "lateral": CAMERA | {"index_or_path": 2}},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in (ROBOT | changes).items() if value is not None}))
    return path


def test_what_it_says_reaches_the_environment(tmp_path: Path) -> None:
    place = tmp_path / "calibration"
    place.mkdir()
    content = {joint: vars(entry) for joint, entry in follower_calibration().items()}
    (place / "mine.json").write_text(json.dumps(content))
    changes = {"calibration_dir": "calibration", "success": "vision", "limits": {"step": 12.0}, "box": {"x": 0.2}}
    robot = load_robot(write(tmp_path, **changes))
    env = robot.make_env(time_limit=7)
    assert env.image_size == robot.image_size == (48, 64)
    assert env._robot.config.port == "/dev/ttyACM7"
    assert env._robot.calibration_fpath == place / "mine.json"  # relative to the file
    assert env._robot.cameras["lateral"].index_or_path == 2
    assert env._guarding["limits"].step == 12.0
    assert env._max_episode_steps == 7
    assert env.distribution.base.box == Box(x=0.2)


def test_port_beside_the_file_is_found_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "follower").touch()
    leader = {"port": "follower", "id": "leader"}
    robot = load_robot(write(tmp_path, port="follower", leader=leader))
    assert robot.port == str(tmp_path / "follower")
    assert robot.leader is not None
    assert robot.leader.port == robot.port
    assert load_robot(write(tmp_path, port="COM3")).port == "COM3"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("release", 1), ("retries", True), ("retries", 2.5), ("limits", {"step": True}), ("id", 7)),
        *(("id", "../x"), ("id", "a\0b"), ("limits", {"floor": -30.0}), ("box", {"x": float("nan")})),
        ("cameras", {"top": CAMERA | {"width": {"a": 1}}, "lateral": CAMERA}),
        ("cameras", {"top": CAMERA | {"fps": "x"}, "lateral": CAMERA}),
    ],
)
def test_what_is_of_another_kind_is_named(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(InvalidFileError, match=field):
        load_robot(write(tmp_path, **{field: value}))


def test_table_moves_cameras_and_a_box_that_the_scene_leaves_alone(tmp_path: Path) -> None:
    camera = Camera((0.2, 0.01, 0.8), (0.2, 0.0, 0.0), 40.0)
    write_file(tmp_path / "top.yaml", CameraFile(position=camera.position, target=camera.target, fovy=40.0), "mine")
    robot = load_robot(write(tmp_path, camera_files={"top": "top.yaml"}, box={"x": 0.2, "y": -0.1, "yaw": 5.0}))
    scene = robot.scene()
    assert (scene.top, scene.lateral, scene.box) == (camera, Scene().lateral, Box(0.2, -0.1, 5.0))
    moved = Scene(box=Box(0.15, -0.15), top=TOP)
    assert robot.scene(moved).box == moved.box  # the episode says where it stands


def test_body_of_the_arm_by_name_or_by_a_file_beside_it(tmp_path: Path) -> None:
    soft = replace(shipped_body(DEFAULT_BODY), backlash=0.7)
    write_body_file(tmp_path / "mine.yaml", BodyFile.of(soft), "mine")
    for given, body in ((None, Scene().body), (STIFF_BODY, shipped_body(STIFF_BODY)), ("mine.yaml", soft)):
        robot = load_robot(write(tmp_path, body=given))
        assert robot.scene().body == body
    assert robot.scene(Scene(body=shipped_body(STIFF_BODY))).body == soft  # the arm's, whatever the episode says
    again = tmp_path / "again" / "robot.yaml"
    again.parent.mkdir()
    write_robot(again, robot, "a copy")
    assert load_robot(again).scene().body == soft
    (tmp_path / "mine.yaml").unlink()
    with pytest.raises(InvalidFileError, match=r"mine\.yaml"):
        robot.scene()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"port": None}, "port"),
        ({"body": "strong"}, "body: .*so101-12v"),
        ({"prot": "/dev/ttyACM0"}, "prot"),
        ({"type": "so102_follower"}, "type"),
        ({"success": "luck"}, "success"),
        ({"operator": "robot"}, "operator"),
        ({"limits": {"step": -1.0}}, "step"),
        ({"cameras": {"top": CAMERA}}, "lateral missing"),
        ({"cameras": {"top": CAMERA, "lateral": CAMERA | {"width": 128}}}, "one height and width"),
        ({"leader": {"id": "mine"}}, "leader.port"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidFileError, match=says) as error:
        load_robot(write(tmp_path, **changes))
    assert str(tmp_path / "robot.yaml") in str(error.value)
    assert error.value.cure


@pytest.mark.parametrize(
    ("text", "says"), [("port: [1", "is not YAML"), ("just words", "no fields"), ("", "no fields")]
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "robot.yaml").write_text(text)
    with pytest.raises(InvalidFileError, match=says):
        load_robot(tmp_path / "robot.yaml")
    with pytest.raises(InvalidFileError, match="no such file"):
        load_robot(tmp_path / "none.yaml")


def test_twin_writes_one_and_its_hand_lays_what_is_asked_for(
    running: Callable[..., AbstractContextManager[Twin]],
) -> None:
    with running(image_size=(48, 64)) as twin:
        file = twin.folder.path / "robot.yaml"
        robot = load_robot(file)
        assert robot.is_twin
        assert robot.image_size == (48, 64)
        assert robot.body == DEFAULT_BODY
        assert Path(robot.port) == twin.folder.path / "follower"
        robot.make_env()  # its calibration is found, its cameras are LeRobot's
        assert robot.leader is not None
        assert robot.leader.make_teleoperator().config.port == str(twin.folder.path / "leader")
        operator = robot.make_operator()
        assert isinstance(operator, TableClient)
        operator.place(lambda: pytest.fail("nobody looks"), robot.scene(Scene(box=Box(0.15, -0.17))))
        body = twin.follower.body
        cube = body.data.body("cube").xpos
        assert tuple(cube[:2]) == pytest.approx((Scene().cube.x, Scene().cube.y), abs=1e-3)
        assert tuple(body.data.body("box").xpos[:2]) == (0.15, -0.17)
        assert operator.verdict() is None
        body.place_cube(0.15, -0.17, 0.0)  # into the box, and the gripper is open
        end = time.monotonic() + 20.0
        while operator.verdict() != "success":
            assert time.monotonic() < end
            time.sleep(0.02)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(5.0)
            line.sendto(b"nonsense", ("127.0.0.1", operator._port))
            assert b"error" in line.recv(4096)
    assert not file.exists()


def test_robots_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InvalidFileError, match="is not a twin's"):
        Twin(tmp_path)
    assert load_robot(tmp_path / "robot.yaml").id == "mine"


def test_absent_twin_is_an_error_that_says_so() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = TableClient(port)
    with pytest.raises(InvalidInputError, match="no twin answers"):
        client.verdict()
