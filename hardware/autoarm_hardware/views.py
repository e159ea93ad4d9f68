"""The cameras of the real environment, checked: not swapped, of the right size, sending new frames."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.servos import first_line
from autoarm_hardware.vision import box_share
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene

MAX_AGE: Final = 500
"""Milliseconds after which a camera's last frame is too old to be used."""
_MOVED: Final = 10.0
"""Degrees that a joint must have moved for a picture that has not changed in a single bit to count as frozen."""
_BOX_SEEN: Final = 0.5
"""Smallest share of the box's floor in the box's colour by which a camera is recognised."""
_TIMEOUT: Final = 5.0
"""Seconds to wait for the first picture of a camera that is served over the network."""


class CameraError(AutoArmError, RuntimeError):
    """A camera that is missing, swapped, frozen or silent; `field` names it."""


class Views:
    """Both cameras of an arm.

    Args:
        cameras: LeRobot's camera objects, by name.
        image_size: Height and width that their frames must have.

    Raises:
        InvalidInputError: If a camera of the contract is missing, or one is configured for another size.
    """

    def __init__(self, cameras: Mapping[str, Any], image_size: tuple[int, int]) -> None:
        for name in spec.CAMERAS:
            if name not in cameras:
                raise InvalidInputError(
                    "is missing", field=f"camera {name}", cure=f"give both cameras: {', '.join(spec.CAMERAS)}"
                )
            camera = cameras[name]
            size = (camera.height, camera.width)
            if None not in size and size != image_size:
                raise InvalidInputError(
                    f"is set to frames of {size}, not {image_size}",
                    field=f"camera {name}",
                    cure="give height, width of the camera and image_size of the environment alike",
                )
        self._cameras = {name: cameras[name] for name in spec.CAMERAS}
        self._image_size = image_size
        self._kept: dict[str, tuple[Frame, NDArray[np.float64]]] = {}

    def connect(self, scene: Scene) -> None:
        """Connect both, and check by the box in the scene that they are not swapped.

        Raises:
            CameraError: If a camera cannot be connected, or the two are swapped.
        """
        for name, camera in self._cameras.items():
            connect_camera(name, camera)
        frames = self.frames()
        views = {"top": scene.top, "lateral": scene.lateral}
        as_named = min(box_share(frames[name], views[name], scene.box) for name in spec.CAMERAS)
        first, second = spec.CAMERAS
        swapped = min(
            box_share(frames[first], views[second], scene.box), box_share(frames[second], views[first], scene.box)
        )
        if swapped > _BOX_SEEN > as_named:
            raise self._error(
                f"{first} and {second}", "are swapped: each sees the box where the other should", "exchange them"
            )

    def frames(self) -> dict[str, Frame]:
        """Both cameras' latest frames, RGB uint8 `(height, width, 3)`. Raises `CameraError`."""
        return {name: self.frame(name) for name in self._cameras}

    def frame(self, name: str) -> Frame:
        """One camera's latest frame, RGB uint8 `(height, width, 3)`. Raises `CameraError`."""
        try:
            frame = np.asarray(self._cameras[name].read_latest(max_age_ms=MAX_AGE))
        except Exception as error:
            raise self._error(
                name, f"sends no pictures: {error}", "check its cable, and that no other program uses it"
            ) from error
        if frame.shape != (*self._image_size, 3) or frame.dtype != np.uint8:
            raise self._error(
                name,
                f"sends frames of {frame.shape[:2]}, not {self._image_size}",
                "give height and width that the camera has, and image_size alike",
            )
        return frame

    def watch(self, frames: Mapping[str, Frame], position: NDArray[np.float64]) -> None:
        """Raise `CameraError` if a camera still sends the frame that it sent before the arm moved."""
        for name, frame in frames.items():
            before, where = self._kept.get(name, (None, position))
            if before is None or not np.array_equal(before, frame):
                self._kept[name] = frame.copy(), position.copy()
            elif np.abs(position - where).max() > _MOVED:
                raise self._error(
                    name,
                    "is frozen: the arm has moved and the picture has not changed",
                    "unplug it and plug it in again",
                )

    def close(self) -> None:
        """Disconnect. Safe to call twice."""
        for camera in self._cameras.values():
            with suppress(Exception):
                if camera.is_connected:
                    camera.disconnect()

    @staticmethod
    def _error(name: str, message: str, cure: str) -> CameraError:
        return CameraError(message, field=f"camera {name}", cure=cure)


def connect_camera(name: str, camera: Any) -> None:
    """Connect one of LeRobot's cameras. Raises `CameraError`, which calls it `name`."""
    try:
        _connect(camera)
    except Exception as error:  # LeRobot and its camera libraries raise kinds of their own
        raise CameraError(
            f"cannot be connected: {first_line(error)}",
            field=f"camera {name}",
            cure="plug it in, close other programs that use it, and look with lerobot-find-cameras",
        ) from error


def _connect(camera: Any) -> None:
    if camera.is_connected:
        return
    if getattr(getattr(camera, "config", None), "type", None) != "zmq":
        camera.connect()
        return
    # LeRobot's own warm-up waits one second, then closes the socket while its thread still reads from it, and ZMQ may
    # abort the process.
    camera.connect(warmup=False)
    end = time.monotonic() + _TIMEOUT
    while True:
        try:
            camera.read_latest(max_age_ms=MAX_AGE)
            return
        except Exception:
            if time.monotonic() > end:
                raise
        time.sleep(0.02)
