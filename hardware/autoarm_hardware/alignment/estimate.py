"""From corners in pictures to a camera: a pinhole model, least squares on pixels, and standard deviations.

One picture shows the board on the table, at a known place: it gives the pose. Others, of the board held in the hand,
tell focal length from distance: a camera that looks straight at a single board sees the same picture from twice the
distance with twice the focal length (Zhang, "A flexible new technique for camera calibration", IEEE TPAMI
2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from autoarm_hardware.alignment.board import Board, Placement
from autoarm_hardware.alignment.detection import Corners, same_size
from autoarm_hardware.alignment.lens import Lens, bend, distort, field_of_view
from autoarm_hardware.vision import View, focal_length
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.model import camera_quaternion
from gym_autoarm.scene import Camera

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LEAST_PICTURES: Final = 4
"""Fewest pictures to estimate a focal length from: the one on the table and three others."""
LEAST_FOR_LENS: Final = 8
"""Fewest pictures to estimate the lens from."""
FOVY_SD: Final = 0.5
"""Largest standard deviation of the field of view, degrees, with which an estimate is accepted."""
_MISFIT: Final = 2.0
"""Largest root mean square error of a flat board's corners, in pixels of a picture 640 pixels wide."""
_FOVY: Final = 50.0
"""Field of view at which the search begins, degrees."""


@dataclass(frozen=True)
class Estimate:
    """A camera, and how well it is known.

    Attributes:
        camera: Its pose in the arm's frame and its field of view.
        lens: The lens; `None` unless it was asked for.
        error: Root mean square distance between corners found and expected in all pictures, pixels.
        errors: Root mean square distance in each picture, the one on the table first, pixels.
        corners: Number of corners found in all pictures.
        position_sd: Standard deviation of the position, metres, from the scatter of the corners alone: systematic
            errors, above all of the board's place on the table, are not in it.
        fovy_sd: Standard deviation of the field of view, degrees; `None` if it was given.
    """

    camera: Camera
    lens: Lens | None
    error: float
    errors: tuple[float, ...]
    corners: int
    position_sd: float
    fovy_sd: float | None


def estimate(
    table: Corners,
    held: Sequence[Corners],
    board: Board,
    placement: Placement,
    *,
    fovy: float | None = None,
    lens: bool = False,
) -> Estimate:
    """The camera that took pictures of a board.

    Args:
        table: Corners in the picture of the board on the table.
        held: Corners in pictures of the board elsewhere, tilted, taken by the same camera.
        board: The board.
        placement: Where the board lay on the table.
        fovy: Vertical field of view in degrees, if known; otherwise it is estimated.
        lens: Whether centre and distortion of the lens are estimated, too.

    Raises:
        InvalidInputError: If there are too few pictures for what is asked.
        InvalidFileError: If pictures differ in size, are too alike, or do not show a flat board.
    """
    pictures = [table, *held]
    image_size = same_size(pictures)
    _check_count(pictures, fovy, lens)
    model = _Model(pictures, board, image_size, fovy, lens)
    start = model.start()
    fit = least_squares(model.residuals, start, model.jacobian, x_scale="jac", max_nfev=100)
    focal, optics, poses = model.split(fit.x)
    errors = _errors(fit.fun, pictures)
    worst = max(range(len(errors)), key=errors.__getitem__)
    if errors[worst] > _MISFIT * image_size[1] / 640:
        raise InvalidFileError(
            f"does not fit: corners are {errors[worst]:.1f} pixels from where a flat board has them",
            file=pictures[worst].name,
            cure="lay the sheet on something flat; a wide lens needs --lens; leave this picture out if others fit",
        )
    covariance = _covariance(np.asarray(fit.jac), fit.fun)
    fovy_sd = None
    if fovy is None:
        slope = _slope(lambda x: np.array([field_of_view(model.split(x)[0], image_size)]), fit.x)
        fovy_sd = math.sqrt(float((slope @ covariance @ slope.T)[0, 0]))
        if not fovy_sd <= FOVY_SD:
            raise InvalidFileError(
                "and the other pictures are too alike: the field of view would be "
                f"{field_of_view(focal, image_size):.1f} +- {fovy_sd:.1f} degrees",
                file=table.name,
                cure="hold the board at various slants of 20 to 45 degrees, filling half of the picture; or say --fovy",
            )
    slope = _slope(lambda x: _position(model.split(x)[2][0], placement), fit.x)
    position_sd = math.sqrt(float(np.trace(slope @ covariance @ slope.T)))
    return Estimate(
        camera=_camera(poses[0], placement, field_of_view(focal, image_size) if fovy is None else fovy, table.name),
        lens=Lens((float(optics[0]), float(optics[1])), (float(optics[2]), float(optics[3]))) if lens else None,
        error=float(np.sqrt(np.mean(np.sum(fit.fun.reshape(-1, 2) ** 2, axis=1)))),
        errors=errors,
        corners=sum(len(each.ids) for each in pictures),
        position_sd=position_sd,
        fovy_sd=fovy_sd,
    )


def reprojection_error(
    corners: Corners, board: Board, placement: Placement, camera: Camera, lens: Lens | None = None
) -> float:
    """Root mean square distance between corners found on the table and where a camera would have them, pixels."""
    points = placement.on_table(board.points[corners.ids])
    seen = View(camera, corners.image_size).project(points)
    if lens is not None:
        seen = distort(seen, camera.fovy, lens, corners.image_size)
    return float(np.sqrt(np.mean(np.sum((seen - corners.pixels) ** 2, axis=1))))


# -- The model -------------------------------------------------------------------------------------------------------


class _Model:
    """The pinhole model and its parameters: the logarithm of the focal length unless it is given; the optical axis
    `(2,)`, k1 and k2 if the lens is estimated; and a pose `(6,)` for each picture.

    A pose is a rotation vector and a translation from the board's frame to OpenCV's camera frame: x right, y down, z
    ahead.
    """

    def __init__(
        self, pictures: Sequence[Corners], board: Board, image_size: tuple[int, int], fovy: float | None, lens: bool
    ) -> None:
        self._pictures, self._board, self._size = pictures, board, image_size
        self._fovy, self._lens = fovy, lens
        self._middle = np.array([image_size[1], image_size[0]]) / 2

    def split(self, x: Vector) -> tuple[float, Vector, Matrix]:
        """Focal length in pixels, centre and distortion `(4,)`, and poses `(n, 6)`."""
        given = self._fovy is not None
        focal = focal_length(self._fovy, self._size) if self._fovy is not None else math.exp(float(x[0]))
        rest = x if given else x[1:]
        optics = rest[:4] if self._lens else np.zeros(4)
        return focal, optics, (rest[4:] if self._lens else rest).reshape(-1, 6)

    def residuals(self, x: Vector) -> Vector:
        """Expected minus found corners, `(2 n,)` pixels."""
        focal, optics, poses = self.split(x)
        apart = [self._apart(each, pose, focal, optics) for each, pose in zip(self._pictures, poses, strict=True)]
        return np.concatenate(apart)

    def jacobian(self, x: Vector) -> Matrix:
        """Derivatives `(2 n, parameters)` of the residuals; a pose moves only the corners of its own picture."""
        focal, optics, poses = self.split(x)
        own = len(x) - poses.size
        jacobian = np.zeros((2 * sum(len(each.ids) for each in self._pictures), len(x)))
        jacobian[:, :own] = _slope(lambda shared: self.residuals(np.concatenate([shared, x[own:]])), x[:own])
        row = 0
        for number, (each, pose) in enumerate(zip(self._pictures, poses, strict=True)):
            rows, columns = slice(row, row + 2 * len(each.ids)), slice(own + 6 * number, own + 6 * number + 6)
            jacobian[rows, columns] = _slope(partial(self._apart, each, focal=focal, optics=optics), pose)
            row = rows.stop
        return jacobian

    def _apart(self, corners: Corners, pose: Vector, focal: float, optics: Vector) -> Vector:
        expected = self._project(self._board.points[corners.ids], pose, focal, optics)
        return np.asarray((expected - corners.pixels).ravel())

    def start(self) -> Vector:
        """Parameters to begin with: the best of a few focal lengths, and the poses for it."""
        tries = [_FOVY, 20.0, 35.0, 70.0, 90.0] if self._fovy is None else [self._fovy]
        found = []
        for fovy in tries:
            focal = focal_length(fovy, self._size)
            poses = [self._pose(each, focal) for each in self._pictures]
            x = np.concatenate([[] if self._fovy is not None else [math.log(focal)], np.zeros(4 * self._lens), *poses])
            found.append((float(np.sum(self.residuals(x) ** 2)), x))
        return min(found, key=lambda each: each[0])[1]

    def _pose(self, corners: Corners, focal: float) -> Vector:
        """The pose `(6,)` in one picture, for a pinhole with this focal length."""
        points = self._board.points[corners.ids]
        matrix = np.array([[focal, 0, self._middle[0]], [0, focal, self._middle[1]], [0, 0, 1.0]])
        # A flat board has two solutions; the wrong one is mirrored in depth.
        _, turns, shifts, errors = cv2.solvePnPGeneric(
            points, corners.pixels, matrix, np.zeros(4), flags=cv2.SOLVEPNP_IPPE
        )
        best = int(np.argmin(np.ravel(errors)))
        return np.concatenate([turns[best].ravel(), shifts[best].ravel()])

    def _project(self, points: Matrix, pose: Vector, focal: float, optics: Vector) -> Matrix:
        seen = Rotation.from_rotvec(pose[:3]).apply(points) + pose[3:]
        plane = seen[:, :2] / np.where(seen[:, 2:] > 1e-6, seen[:, 2:], 1e-6)
        return focal * bend(plane, (optics[2], optics[3])) + self._middle + optics[:2]


def _check_count(pictures: Sequence[Corners], fovy: float | None, lens: bool) -> None:
    if fovy is not None and not 5.0 <= fovy <= 150.0:
        raise InvalidInputError(f"{fovy:g} degrees are no field of view", field="fovy", cure="degrees, top to bottom")
    if fovy is None and len(pictures) < LEAST_PICTURES:
        raise InvalidInputError(
            f"{len(pictures)} picture{'s' if len(pictures) > 1 else ''} cannot tell focal length from distance",
            field="held",
            cure=f"add at least {LEAST_PICTURES - 1} pictures of the board in the hand, slanted; or say --fovy",
        )
    if lens and len(pictures) < LEAST_FOR_LENS:
        raise InvalidInputError(
            f"{len(pictures)} pictures are too few to tell how a lens bends",
            field="held",
            cure=f"add pictures of the board in the hand, slanted, in all corners: {LEAST_FOR_LENS - 1} or more",
        )


def _errors(residuals: Vector, pictures: Sequence[Corners]) -> tuple[float, ...]:
    squares = np.sum(residuals.reshape(-1, 2) ** 2, axis=1)
    ends = np.cumsum([len(each.ids) for each in pictures])
    return tuple(float(np.sqrt(part.mean())) for part in np.split(squares, ends[:-1]))


def _covariance(jacobian: Matrix, residuals: Vector) -> Matrix:
    """Covariance of the parameters if corners scatter independently."""
    freedom = max(1, len(residuals) - jacobian.shape[1])
    return np.asarray(np.linalg.pinv(jacobian.T @ jacobian) * (residuals @ residuals) / freedom)


def _slope(function: Callable[[Vector], Vector], x: Vector) -> Matrix:
    """Derivatives `(m, n)` of a function from `(n,)` to `(m,)`."""
    if not len(x):
        return np.empty((len(function(x)), 0))
    step = 1e-6
    return np.stack([(function(x + change) - function(x - change)) / (2 * step) for change in step * np.eye(len(x))], 1)


# -- Cameras ---------------------------------------------------------------------------------------------------------


def _position(pose: Vector, placement: Placement) -> Vector:
    """The camera's position `(3,)` in the arm's frame."""
    place = -Rotation.from_rotvec(pose[:3]).inv().apply(pose[3:])
    return placement.on_table(place[None]).ravel()


def _camera(pose: Vector, placement: Placement, fovy: float, name: str) -> Camera:
    position = _position(pose, placement)
    # Columns: the camera's axes in the arm's frame. OpenCV's look along z with y down, MuJoCo's along -z with y up.
    axes = placement.rotation @ Rotation.from_rotvec(pose[:3]).as_matrix().T @ np.diag([1.0, -1.0, -1.0])
    if position[2] <= 0:
        raise InvalidFileError(
            "shows the board from below", file=name, cure="give the picture of the board on the table first"
        )
    return camera_from_axes(position, axes, fovy)


def camera_from_axes(position: Vector, axes: Matrix, fovy: float) -> Camera:
    """The camera at a position `(3,)` with axes `(3, 3)`, whose columns point right, up and back.

    Its target is where its axis meets the table, or half a metre ahead if it does not look down.
    """
    ahead = -axes[:, 2]
    distance = float(-position[2] / ahead[2]) if ahead[2] < -0.05 else 0.5
    target = position + distance * ahead
    places = [tuple(float(value) for value in point) for point in (position, target)]
    camera = Camera(places[0], places[1], fovy)  # type: ignore[arg-type]  # three numbers each
    level = Rotation.from_quat(camera_quaternion(camera), scalar_first=True).as_matrix()
    right = axes[:, 0]
    roll = math.degrees(math.atan2(float(right @ level[:, 1]), float(right @ level[:, 0])))
    return Camera(camera.position, camera.target, fovy, roll)
