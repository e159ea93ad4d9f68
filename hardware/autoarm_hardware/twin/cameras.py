"""The twin's cameras, served as LeRobot's `ZMQCamera` expects them: JPEG in base64 in JSON, from one port a camera."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Mapping
from threading import Event, Thread
from typing import Any, Final

import cv2
import mujoco
import numpy as np
import zmq
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.rendering import Frame, FrameRenderer, check_image_size

_HOST: Final = "127.0.0.1"
_QUALITY: Final = 95
"""Quality of the JPEG, out of 100: high, so that a policy sees almost the frames of the simulated environment."""

_log = logging.getLogger(__name__)


class Cameras:
    """Publishes frames of a model's cameras at `spec.FPS`, from a thread of its own.

    Each camera has its own port, because LeRobot's client takes any picture of a message that lacks the one it wants. A
    camera without clients is not drawn: software rendering at full size takes most of a core. The scene's image noise
    is left out.

    Args:
        model: The model to draw.
        image_size: Height and width of the frames.

    Attributes:
        frozen: Names of cameras that repeat their last picture.
        dead: Names of cameras that send nothing.
    """

    def __init__(self, model: mujoco.MjModel, image_size: tuple[int, int] = spec.IMAGE_SIZE) -> None:
        self.frozen: set[str] = set()
        self.dead: set[str] = set()
        self._model = model
        self._image_size = check_image_size(image_size)
        self._qpos: NDArray[np.float64] = model.qpos0.copy()
        self._stop = Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._ports: dict[str, int] = {}
        for camera in spec.CAMERAS:
            # An XPUB socket hears who subscribes, and is a PUB socket to them.
            socket = self._context.socket(zmq.XPUB)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 2)
            self._ports[camera] = socket.bind_to_random_port(f"tcp://{_HOST}")
            self._sockets[camera] = socket
        self._thread = Thread(target=self._run, name="twin-cameras", daemon=True)
        self._thread.start()

    def show(self, qpos: NDArray[np.float64]) -> None:
        """Set MuJoCo's positions `(nq,)` for the next pictures; any thread may call."""
        self._qpos = qpos.copy()

    def configuration(self) -> dict[str, dict[str, Any]]:
        """The fields of LeRobot's `ZMQCameraConfig`, by camera."""
        height, width = self._image_size
        return {
            camera: {
                "type": "zmq",
                "server_address": _HOST,
                "port": port,
                "camera_name": camera,
                "width": width,
                "height": height,
                "fps": spec.FPS,
                # Less than LeRobot waits for its reading thread before it closes the socket under it.
                "timeout_ms": 1000,
            }
            for camera, port in self._ports.items()
        }

    def close(self) -> None:
        """Stop serving. Safe to call twice."""
        self._stop.set()
        self._thread.join()
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        data = mujoco.MjData(self._model)
        renderer: FrameRenderer | None = None
        watchers = dict.fromkeys(self._sockets, 0)
        last: dict[str, str] = {}
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                # Frames that the machine was too slow for are lost, as a camera's are.
                due = max(due + 1 / spec.FPS, time.monotonic())
                for camera, socket in self._sockets.items():
                    watchers[camera] += _arrivals(socket)
                wanted = [camera for camera in self._sockets if watchers[camera] > 0 and camera not in self.dead]
                if not wanted:
                    continue
                renderer = renderer or FrameRenderer(self._model, self._image_size)
                data.qpos[:] = self._qpos
                mujoco.mj_forward(self._model, data)
                for camera in wanted:
                    if camera not in self.frozen or camera not in last:
                        last[camera] = _encode(renderer.render(data, camera))
                    _publish(self._sockets[camera], camera, last[camera])
        except Exception:
            # No more pictures are sent, which clients notice as they do with a camera that fails.
            _log.exception("the twin's cameras have failed")
        finally:
            if renderer is not None:
                renderer.close()


def camera_argument(configuration: Mapping[str, Mapping[str, Any]]) -> str:
    """The argument of LeRobot's commands for a follower's cameras."""
    return f"--robot.cameras={json.dumps(configuration)}"


def _arrivals(socket: zmq.Socket[bytes]) -> int:
    """By how many the clients of a camera have changed since the last call."""
    change = 0
    while socket.poll(0):
        change += 1 if socket.recv()[:1] == b"\x01" else -1
    return change


def _encode(frame: Frame) -> str:
    # RGB goes in where OpenCV takes BGR, as in LeRobot's own server: its client does not swap them back either.
    _, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(jpeg.tobytes()).decode("ascii")


def _publish(socket: zmq.Socket[bytes], camera: str, picture: str) -> None:
    message = {"timestamps": {camera: time.time()}, "images": {camera: picture}}
    socket.send_string(json.dumps(message))
