"""Cameras and bodies from files, and what is wrong with those that are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gym_autoarm.body_files import BodyFile, write_body_file
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.scene import LATERAL, Camera, Scene
from gym_autoarm.scene_files import (
    CameraFile,
    LensFile,
    load_camera,
    load_scene,
    read_camera_file,
    write_file,
)

CAMERA = CameraFile(
    position=(0.21, -0.01, 0.7), target=(0.2, 0.01, 0.0), fovy=40.5, roll=-3.0,
    lens=LensFile(image_size=(480, 640), centre=(1.5, -2.0), distortion=(-0.1, 0.01)),
)  # fmt: skip
BODY = replace(Scene().body, delay=0.05, backlash=0.7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_file(tmp_path / "top.yaml", CAMERA, "a camera")
    assert read_camera_file(tmp_path / "top.yaml") == CAMERA
    assert load_camera(tmp_path / "top.yaml") == Camera((0.21, -0.01, 0.7), (0.2, 0.01, 0.0), 40.5, -3.0)


def test_environment_uses_the_files(tmp_path: Path) -> None:
    write_file(tmp_path / "top.yaml", CAMERA, "a camera")
    write_body_file(tmp_path / "body.yaml", BodyFile.of(BODY), "a body")
    base = load_scene(top=tmp_path / "top.yaml", body=tmp_path / "body.yaml")
    env = PickIntoBoxEnv(cameras=False, distribution={"base": base})
    env.reset(seed=0)
    assert (env.scene.top, env.scene.lateral, env.scene.body) == (CAMERA.camera(), LATERAL, BODY)
    assert env.model.camera("top").fovy[0] == pytest.approx(40.5)


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
