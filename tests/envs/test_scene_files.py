"""Cameras and bodies from files, and what is wrong with those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.scene import LATERAL, Body, Camera, Scene
from gym_autoarm.scene_files import (
    BodyFile,
    BodyMeasurement,
    CameraFile,
    LensFile,
    load_body,
    load_camera,
    load_scene,
    read_camera_file,
    write_file,
)
from gym_autoarm.servo import PRESETS

CAMERA = CameraFile(
    position=(0.21, -0.01, 0.7), target=(0.2, 0.01, 0.0), fovy=40.5, roll=-3.0,
    lens=LensFile(image_size=(480, 640), centre=(1.5, -2.0), distortion=(-0.1, 0.01)),
)  # fmt: skip
BODY = Body(PRESETS["so100-menagerie"], latency=2, backlash=0.7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_file(tmp_path / "top.yaml", CAMERA, "a camera")
    assert read_camera_file(tmp_path / "top.yaml") == CAMERA
    assert load_camera(tmp_path / "top.yaml") == Camera((0.21, -0.01, 0.7), (0.2, 0.01, 0.0), 40.5, -3.0)
    measured = BodyMeasurement(trajectory="steps", steps=10, error_before=1.0, error_after=0.1)
    write_file(tmp_path / "body.yaml", BodyFile.of(BODY, measured), "a body")
    assert load_body(tmp_path / "body.yaml") == BODY


def test_environment_uses_the_files(tmp_path: Path) -> None:
    write_file(tmp_path / "top.yaml", CAMERA, "a camera")
    write_file(tmp_path / "body.yaml", BodyFile.of(BODY), "a body")
    base = load_scene(top=tmp_path / "top.yaml", body=tmp_path / "body.yaml")
    env = PickIntoBoxEnv(cameras=False, distribution={"base": base})
    env.reset(seed=0)
    assert (env.scene.top, env.scene.lateral, env.scene.body) == (CAMERA.camera(), LATERAL, BODY)
    assert env.model.camera("top").fovy[0] == pytest.approx(40.5)


def test_what_a_person_leaves_out_is_as_usual(tmp_path: Path) -> None:
    (tmp_path / "body.yaml").write_text("gains: {kp: 60, kv: 1.2}\n")
    body = load_body(tmp_path / "body.yaml")
    assert (body.gains.kp, body.latency, body.backlash) == (60.0, 0, 0.0)
    assert body.gains.torque_limit == Scene().body.gains.torque_limit


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("position: [0, 0, 1]\ntarget: [0, 0, 0]\n", "fovy"),
        ("position: [0, 0, 1]\ntarget: [0, 0, 0]\nfovy: 200\n", "fovy"),
        ("position: [0, 0]\ntarget: [0, 0, 0]\nfovy: 40\n", "position.2"),
        ("position: [0, 0, .nan]\ntarget: [0, 0, 0]\nfovy: 40\n", "position.2"),
        ("position: [0, 0, 0]\ntarget: [0, 0, 0]\nfovy: 40\n", "looks nowhere"),
        ("position: [0, 0, 1]\ntarget: [0, 0, 0]\nfovy: 40\nzoom: 2\n", "zoom"),
        ("position: [0, 0\n", "not YAML"),
        ("just words\n", "align"),
    ],
)
def test_bad_camera_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "top.yaml"
    path.write_text(text)
    with pytest.raises(InvalidFileError, match=named) as caught:
        load_camera(path)
    assert str(path) in str(caught.value)


def test_missing_and_wrong_bodies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="no such file"):
        load_scene(body=tmp_path / "body.yaml")
    (tmp_path / "body.yaml").write_text("gains: {kp: -1, kv: 0}\n")
    with pytest.raises(InvalidFileError, match=r"gains\.kp"):
        load_body(tmp_path / "body.yaml")
