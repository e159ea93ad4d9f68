"""The twin's cameras, as LeRobot's unmodified client sees them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from lerobot.cameras.zmq import ZMQCamera, ZMQCameraConfig
from numpy.typing import NDArray

from autoarm_hardware.twin.device import Twin
from autoarm_hardware.twin.faults import Incident, IncidentKind
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.scene import Scene

Running = Callable[..., AbstractContextManager[Twin]]
SIZE = (96, 128)


@contextmanager
def client(twin: Twin, camera: str, **changes: Any) -> Iterator[ZMQCamera]:
    note = json.loads((twin.folder.path / "twin.json").read_text())
    config = {key: value for key, value in note["cameras"][camera].items() if key != "type"} | changes
    reader = ZMQCamera(ZMQCameraConfig(**config))
    # Without its warm-up, which gives every frame one second; on a busy machine the first may take longer.
    reader.connect(warmup=False)
    try:
        yield reader
    finally:
        reader.disconnect()


def frame(reader: ZMQCamera) -> NDArray[np.uint8]:
    return np.asarray(reader.async_read(timeout_ms=20_000))


def test_both_cameras_show_what_the_simulated_environment_shows(running: Running) -> None:
    env = PickIntoBoxEnv(image_size=SIZE)
    expected = env.reset(seed=0, options={"scene": Scene()})[0]["pixels"]
    env.close()
    with running(image_size=SIZE) as twin:
        for camera in spec.CAMERAS:
            with client(twin, camera) as reader:
                seen = frame(reader).astype(float)
            errors = {name: np.abs(seen - expected[name]).mean() for name in spec.CAMERAS}
            assert seen.shape == (*SIZE, 3)
            # The arm sags a little with its motors off, and JPEG leaves its marks; colours swapped would be far worse.
            assert errors[camera] < 6.0
            assert errors[camera] < 0.5 * min(error for name, error in errors.items() if name != camera)
            assert errors[camera] < 0.7 * np.abs(seen[..., ::-1] - expected[camera]).mean()


def test_dead_camera_sends_nothing_and_the_other_lives_on(running: Running) -> None:
    with (
        running(image_size=SIZE, incidents=(Incident(IncidentKind.DIE, 0.0, "top"),)) as twin,
        client(twin, "lateral") as lateral,
        client(twin, "top", timeout_ms=200) as top,
    ):
        frame(lateral)
        with pytest.raises(TimeoutError):
            top.async_read(timeout_ms=500)
        frame(lateral)


def test_frozen_camera_repeats_its_picture(running: Running) -> None:
    with running(image_size=SIZE) as twin, client(twin, "top") as top, client(twin, "lateral") as lateral:
        before = frame(top), frame(lateral)
        assert twin.cameras is not None
        twin.cameras.frozen.add("top")
        time.sleep(0.2)
        before = frame(top), frame(lateral)
        # The cube is moved: the one that lives sees it.
        cube = twin.follower.body.model.joint("cube").qposadr[0]
        twin.follower.body.data.qpos[cube : cube + 2] = 0.21, 0.055
        end = time.monotonic() + 20.0
        while np.array_equal(after := frame(lateral), before[1]):
            assert time.monotonic() < end
        assert np.array_equal(frame(top), before[0])
        assert not np.array_equal(after, before[1])


def test_twin_without_cameras_says_nothing_of_them(running: Running) -> None:
    with running(image_size=None) as twin:
        assert "cameras" not in json.loads((twin.folder.path / "twin.json").read_text())
