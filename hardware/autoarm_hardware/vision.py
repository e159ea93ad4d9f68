"""Where cube and box are, from the top camera's picture: by their colours, with a pinhole camera.

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

# Chosen on pictures of the simulated table; each of them separates the red cube from the orange arm.
_HUE: Final = 7
"""Largest distance of a pixel's hue from the colour's, in OpenCV's units: a full circle is 180."""
_LEAST_SATURATION: Final = 0.45
"""Smallest saturation of a pixel, as a share of the colour's own."""
_LEAST_VALUE: Final = 30
"""Smallest brightness of a pixel, out of 255: below it hue means nothing."""
_LEAST_AREA: Final = 0.25
"""Smallest share of the cube's area in the picture that must be seen for it to count as found."""


@dataclass(frozen=True)
class View:
    """A pinhole camera that maps points to pixels, and back.

    Args:
        camera: Its pose and field of view.
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
        """The points `(n, 3)` at a height above the table that pixels `(n, 2)` show."""
        pixels = np.asarray(pixels, np.float64)
        rows, columns = self.image_size
        rays = np.stack(
            [pixels[:, 0] - columns / 2, rows / 2 - pixels[:, 1], np.full(len(pixels), -self._focal())], axis=1
        )
        rays = rays @ self._axes().T
        position = np.asarray(self.camera.position)
        return np.asarray(position + rays * ((height - position[2]) / rays[:, 2:3]))

    def area(self, size: float, height: float, place: tuple[float, float]) -> float:
        """The area in the picture, in pixels, of a horizontal square of edge `size` at a height and place."""
        corners = square(place, 0.0, size, height)
        return float(cv2.contourArea(self.project(corners).astype(np.float32)))

    def _axes(self) -> Points:
        return Rotation.from_quat(camera_quaternion(self.camera), scalar_first=True).as_matrix()

    def _focal(self) -> float:
        return focal_length(self.camera.fovy, self.image_size)


def focal_length(fovy: float, image_size: tuple[int, int]) -> float:
    """Focal length in pixels, from the degrees of view from top to bottom."""
    return image_size[0] / 2 / math.tan(math.radians(fovy) / 2)


def square(place: tuple[float, float], yaw: float, size: float, height: float) -> Points:
    """Corners `(4, 3)` of a horizontal square turned by `yaw` degrees."""
    half = size / 2
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    turn = math.radians(yaw)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.column_stack([corners @ rotation.T + place, np.full(4, height)])


def colour_mask(frame: Frame, colour: RGB) -> Mask:
    """The pixels with a colour's hue that are saturated and bright enough, bool `(height, width)`."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    pixel = np.array([[[round(255 * part) for part in colour]]], np.uint8)
    wanted = cv2.cvtColor(pixel, cv2.COLOR_RGB2HSV)[0, 0]
    # Hue goes round at 180.
    distance = np.abs(hsv[..., 0].astype(np.int16) - int(wanted[0]))
    near = np.minimum(distance, 180 - distance) <= _HUE
    return np.asarray(near & (hsv[..., 1] >= _LEAST_SATURATION * int(wanted[1])) & (hsv[..., 2] >= _LEAST_VALUE))


def find_cube(frame: Frame, view: View, cube: Cube) -> tuple[float, float] | None:
    """Where the cube lies, `(x, y)` in metres: the centre of the largest patch of its colour; `None` if not found."""
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
    """Whether a place `(x, y)` lies over the box's floor."""
    turn = math.radians(box.yaw)
    dx, dy = place[0] - box.x, place[1] - box.y
    along = dx * math.cos(turn) + dy * math.sin(turn)
    across = dy * math.cos(turn) - dx * math.sin(turn)
    return max(abs(along), abs(across)) < box.inner / 2


def box_share(frame: Frame, camera: Camera, box: Box) -> float:
    """The share, 0 to 1, of the pixels where a camera should see the box's floor that have the box's colour."""
    corners = View(camera, (frame.shape[0], frame.shape[1])).project(square((box.x, box.y), box.yaw, box.inner, 0.0))
    if not np.isfinite(corners).all():
        return 0.0
    place = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillConvexPoly(place, np.rint(corners).astype(np.int32), 1)
    covered = place.astype(bool)
    return float(colour_mask(frame, box.colour)[covered].mean()) if covered.any() else 0.0


class PlacementDetector:
    """Decides from pictures whether the cube has come to rest in the box, with the gripper open.

    As in simulation that must hold in several pictures in a row: the cube over the box's floor, not moving.

    Args:
        scene: Cube, box and top camera.
        image_size: Height and width of the top camera's frames.
        looks: Number of pictures in a row.
        released: Smallest opening of an open gripper, 0 to 100.
        still: Metres that the cube may seem to move between pictures.

    Attributes:
        view: The top camera.
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
        """Whether the cube is at rest in the box."""
        return self._rest >= self._looks

    def update(self, frame: Frame, opening: float) -> None:
        """Take the next picture into account; `opening` is the gripper's, 0 to 100."""
        before, self._seen = self._seen, find_cube(frame, self.view, self._scene.cube)
        placed = (
            opening > self._released
            and self._seen is not None
            and in_box(self._seen, self._scene.box)
            and before is not None
            and math.dist(before, self._seen) < self._still
        )
        self._rest = self._rest + 1 if placed else 0
