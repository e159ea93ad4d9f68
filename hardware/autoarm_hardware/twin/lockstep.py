"""A follower on a simulated clock: LeRobot's driver on a virtual line, with physics and cameras behind it.

For tests and measurements that must come out the same on every machine; `device.Twin` runs in real time.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from autoarm_hardware.arm import make_robot
from autoarm_hardware.twin.calibration import follower_calibration, write_calibration
from autoarm_hardware.twin.device import Arm, Settings
from autoarm_hardware.twin.line import VirtualLine, plug_in
from gym_autoarm import spec
from gym_autoarm.files import write_text
from gym_autoarm.rendering import Frame, FrameRenderer


class LockstepTwin:
    """A twin's follower on a virtual line.

    Args:
        folder: Where the calibration file is written that LeRobot needs.
        settings: Its scene, the follower's hand, noise, seed and image size are used.
        cameras: `False` makes all pictures black, except for one pixel, and does not use OpenGL.

    Attributes:
        arm: Body, servos, bus.
        line: The serial line, and the clock.
        robot: LeRobot's driver, not connected, cameras included.
    """

    def __init__(self, folder: Path, settings: Settings | None = None, cameras: bool = True) -> None:
        settings = settings or Settings()
        self.arm = Arm("follower", settings, follower_calibration(), settings.follower_hand)
        write_calibration(self.arm.servos, self.arm.calibration)
        content = {joint: asdict(values) for joint, values in self.arm.calibration.items()}
        write_text(folder / "follower.json", json.dumps(content))
        self.line = VirtualLine(self.arm.bus, self.arm.body.advance)
        self.robot: Any = make_robot(spec.ROBOT_TYPE, "a virtual line", "follower", folder)
        plug_in(self.robot.bus, self.line)
        size = settings.image_size or spec.IMAGE_SIZE
        self._count = count()
        self._renderer = FrameRenderer(self.arm.body.model, size) if cameras else None
        self.robot.cameras = {name: BodyCamera(self, name, size) for name in spec.CAMERAS}

    def frame(self, camera: str, size: tuple[int, int]) -> Frame:
        """What a camera sees now."""
        if self._renderer is None:
            # The one pixel changes from picture to picture: a camera whose pictures never change counts as frozen.
            dark = np.zeros((*size, 3), np.uint8)
            dark[0, 0, :2] = divmod(next(self._count) % 2**16, 256)
            return dark
        return self._renderer.render(self.arm.body.data, camera)

    def close(self) -> None:
        """Free the GL context."""
        if self._renderer is not None:
            self._renderer.close()


class BodyCamera:
    """A camera with the methods of LeRobot's `Camera` that are used here; draws the lockstep twin as it is now."""

    def __init__(self, twin: LockstepTwin, name: str, image_size: tuple[int, int]) -> None:
        self.height, self.width = image_size
        self.is_connected = False
        self._twin = twin
        self._name = name

    def connect(self) -> None:
        """Nothing to wait for."""
        self.is_connected = True

    def disconnect(self) -> None:
        """See `connect`."""
        self.is_connected = False

    def read_latest(self, max_age_ms: int = 0) -> Frame:
        """RGB uint8 `(height, width, 3)`."""
        return self._twin.frame(self._name, (self.height, self.width))
