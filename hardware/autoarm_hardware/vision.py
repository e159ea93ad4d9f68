"""Where things are on the table, from the top camera's picture: a pinhole camera and colours.

Points are metres in the arm's frame, pixels `(column, row)`, frames RGB uint8 `(height, width, 3)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gym_autoarm.model import camera_quaternion
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import RGB, Box, Camera, Cube, Scene

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Chosen on pictures of the simulated table: the red cube is told from the orange arm by every one of them.
_HUE: Final = 7
"""Largest distance of a pixel's hue from the colour's, of OpenCV's 180."""
_LEAST_SATURATION: Final = 0.45
"""Least saturation, of the colour's own."""
_LEAST_VALUE: Final = 30
"""Least brightness, of 255: below it hue means nothing."""
_LEAST_AREA: Final = 0.25
"""Least part of a thing's size in the picture that must be seen for it to count as found."""


@dataclass(frozen=True)
class View:
    """A camera as it maps points to pixels.

    Args:
        camera: Where it is and looks.
        image_size: Height and width of its frames.
    """

    camera: Camera
    image_size: tuple[int, int]

    def project(self, points: Points) -> Points:
        """Pixels `(n, 2)` of points `(n, 3)`; NaN for those behind the camera."""
        seen = (np.asarray(points, np.float64) - self.camera.position) @ self._axes()
        depth = np.where(seen[:, 2] < 0, -seen[:, 2], np.nan)
        height, width = self.image_size
        column = width / 2 + self._focal() * seen[:, 0] / depth
        row = height / 2 - self._focal() * seen[:, 1] / depth
        return np.stack([column, row], axis=1)

    def on_plane(self, pixels: Points, height: float) -> Points:
        """Points `(n, 3)` at a height above the table that are seen at pixels `(n, 2)`."""
        pixels = np.asarray(pixels, np.float64)
        rows, columns = self.image_size
        rays = np.stack(
            [pixels[:, 0] - columns / 2, rows / 2 - pixels[:, 1], np.full(len(pixels), -self._focal())], axis=1
        )
        rays = rays @ self._axes().T
        position = np.asarray(self.camera.position)
        return np.asarray(position + rays * ((height - position[2]) / rays[:, 2:3]))

    def area(self, size: float, height: float, place: tuple[float, float]) -> float:
        """Pixels that a horizontal square of a size covers at a height and place."""
        corners = square(place, 0.0, size, height)
        return float(cv2.contourArea(self.project(corners).astype(np.float32)))

    def _axes(self) -> Points:
        return Rotation.from_quat(camera_quaternion(self.camera), scalar_first=True).as_matrix()

    def _focal(self) -> float:
        return self.image_size[0] / 2 / math.tan(math.radians(self.camera.fovy) / 2)


def square(place: tuple[float, float], yaw: float, size: float, height: float) -> Points:
    """Corners `(4, 3)` of a horizontal square turned by `yaw` degrees."""
    half = size / 2
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    turn = math.radians(yaw)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.column_stack([corners @ rotation.T + place, np.full(4, height)])


def colour_mask(frame: Frame, colour: RGB) -> Mask:
    """Which pixels have a colour's hue, are not much paler, and bright enough to tell."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    pixel = np.array([[[round(255 * part) for part in colour]]], np.uint8)
    wanted = cv2.cvtColor(pixel, cv2.COLOR_RGB2HSV)[0, 0]
    # Hue goes round at 180.
    distance = np.abs(hsv[..., 0].astype(np.int16) - int(wanted[0]))
    near = np.minimum(distance, 180 - distance) <= _HUE
    return np.asarray(near & (hsv[..., 1] >= _LEAST_SATURATION * int(wanted[1])) & (hsv[..., 2] >= _LEAST_VALUE))


def find_cube(frame: Frame, view: View, cube: Cube) -> tuple[float, float] | None:
    """Where the cube lies, metres `(x, y)`: the middle of the largest patch of its colour. `None` if there is none."""
    mask = colour_mask(frame, cube.colour).astype(np.uint8)
    count, _, statistics, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    ((x, y, _),) = view.on_plane(centres[largest : largest + 1].astype(np.float64), cube.size / 2)
    if statistics[largest, cv2.CC_STAT_AREA] < _LEAST_AREA * view.area(cube.size, cube.size, (x, y)):
        return None
    return float(x), float(y)


def in_box(place: tuple[float, float], box: Box) -> bool:
    """Whether a place lies over the box's floor."""
    turn = math.radians(box.yaw)
    dx, dy = place[0] - box.x, place[1] - box.y
    along = dx * math.cos(turn) + dy * math.sin(turn)
    across = dy * math.cos(turn) - dx * math.sin(turn)
    return max(abs(along), abs(across)) < box.inner / 2


def box_share(frame: Frame, camera: Camera, box: Box) -> float:
    """How much of the place where a camera should see the box's floor has the box's colour: 0 to 1."""
    corners = View(camera, (frame.shape[0], frame.shape[1])).project(square((box.x, box.y), box.yaw, box.inner, 0.0))
    if not np.isfinite(corners).all():
        return 0.0
    place = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillConvexPoly(place, np.rint(corners).astype(np.int32), 1)
    covered = place.astype(bool)
    return float(colour_mask(frame, box.colour)[covered].mean()) if covered.any() else 0.0


class PlacedWatch:
    """Decides from pictures whether the cube has come to rest in the box, let go.

    As in simulation it must stay so for a few looks: seen over the box's floor, not moving, the gripper open.

    Args:
        scene: Cube, box and top camera.
        image_size: Of the top camera's frames.
        looks: How many looks in a row.
        released: Least opening of the gripper.
        still: Metres that it may seem to move between looks.

    Attributes:
        view: The top camera's.
    """

    def __init__(
        self, scene: Scene, image_size: tuple[int, int], looks: int, released: float, still: float = 0.004
    ) -> None:
        self._scene = scene
        self.view = View(scene.top, image_size)
        self._looks = looks
        self._released = released
        self._still = still
        self._seen: tuple[float, float] | None = None
        self._rest = 0

    @property
    def is_placed(self) -> bool:
        """The verdict so far."""
        return self._rest >= self._looks

    def update(self, frame: Frame, opening: float) -> None:
        """Look once more, while the gripper is open by `opening`, of 100."""
        before, self._seen = self._seen, find_cube(frame, self.view, self._scene.cube)
        placed = (
            opening > self._released
            and self._seen is not None
            and in_box(self._seen, self._scene.box)
            and before is not None
            and math.dist(before, self._seen) < self._still
        )
        self._rest = self._rest + 1 if placed else 0
