"""Finding the board's corners in a picture, or the reason why they cannot be found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.alignment.board import DICTIONARY, Board, Picture
from gym_autoarm.errors import InvalidFileError

Ids = NDArray[np.int64]
Pixels = NDArray[np.float64]

LEAST_CORNERS: Final = 12
"""Smallest number of corners in a picture: with fewer, a pose depends on single corners."""
_SMALL: Final = 1200
"""Width in pixels below which markers are also looked for in the picture at twice its size."""
_BLURRED: Final = 4.0
"""Pixels over which an edge may rise; about twice what a sharp picture has after a camera's own smoothing."""
_BLURRED_SHARE: Final = 0.1
"""Share of a square's edge over which an edge may rise: in a large picture a few pixels do no harm."""
_SOFT: Final = 2.2
"""Pixels from which on blur is named as a possible reason for missing corners."""
_SOFT_SHARE: Final = 0.05
"""Share of a square's edge from which on blur is named as a possible reason for missing corners."""
_SAMPLES: Final = 80
"""Samples of a profile across an edge."""
_OTHERS: Final = ("DICT_5X5_50", "DICT_6X6_50", "DICT_7X7_50", "DICT_ARUCO_ORIGINAL", "DICT_APRILTAG_36H11")
"""Families of markers that are looked for to tell that a picture shows another board."""
_CURES: Final = "the whole sheet in view, flat, in even light, in focus, and nothing over it but the arm"


@dataclass(frozen=True)
class Corners:
    """Corners found in one picture.

    Attributes:
        name: The picture's name, for messages.
        ids: Numbers of the corners, `(n,)`: rows of `Board.points`.
        pixels: Columns and rows of the corners, `(n, 2)`, from the upper left corner of the picture, so that the middle
            of the first pixel is at 0.5.
        image_size: Height and width of the picture.
    """

    name: str
    ids: Ids
    pixels: Pixels
    image_size: tuple[int, int]


def read_picture(path: Path) -> Picture:
    """A picture file, RGB uint8 `(height, width, 3)`. Raises `InvalidFileError`."""
    if not path.is_file():
        raise InvalidFileError("there is no such file", file=path, cure="name pictures, PNG or JPEG")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InvalidFileError("is no picture", file=path, cure="name pictures, PNG or JPEG")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def find_corners(picture: Picture, board: Board, name: str, least: int = LEAST_CORNERS) -> Corners:
    """The board's inner corners in a picture, RGB or grey.

    Raises:
        InvalidFileError: If it shows no board, another board or too few corners, or is blurred; `name` is its file.
    """
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture, np.uint8)
    ids, pixels = _detect(grey, board, 1)
    if len(ids) < len(board.points) and grey.shape[1] <= _SMALL:
        ids, pixels = max((ids, pixels), _detect(grey, board, 2), key=lambda found: len(found[0]))
    square = _square_pixels(ids, pixels, board) if len(ids) >= 4 else 0.0
    if not square:
        raise _nothing(grey, board, name)
    pixels = _refine(grey, ids, pixels, board, square)
    width = edge_width(grey, ids, pixels, board)
    if width > max(_BLURRED, _BLURRED_SHARE * square):
        raise InvalidFileError(
            f"is blurred: edges are {width:.1f} pixels wide, of squares {square:.0f} pixels wide",
            file=name,
            cure="focus the camera, hold still, and give it light",
        )
    if len(ids) < least:
        soft = (
            f", and is blurred: edges are {width:.1f} pixels wide" if width > max(_SOFT, _SOFT_SHARE * square) else ""
        )
        raise InvalidFileError(
            f"shows {len(ids)} of the board's {len(board.points)} corners, at least {least} are needed{soft}",
            file=name,
            cure=_CURES,
        )
    height, columns = grey.shape
    return Corners(name, ids, pixels + 0.5, (height, columns))


def same_size(pictures: Sequence[Corners]) -> tuple[int, int]:
    """Height and width of all pictures. Raises `InvalidFileError` for one that differs."""
    first = pictures[0]
    for other in pictures:
        if other.image_size != first.image_size:
            raise InvalidFileError(
                f"has {other.image_size} pixels, {first.name} has {first.image_size} (height, width)",
                file=other.name,
                cure="take all pictures with one camera at one resolution, and do not crop them",
            )
    return first.image_size


def mean_corners(pictures: Sequence[Corners], board: Board) -> Corners:
    """The corners of several pictures of one view, averaged: those that more than half of them show.

    Raises:
        InvalidFileError: If board or camera moved between them.
    """
    first = pictures[0]
    if len(pictures) == 1:
        return first
    same_size(pictures)
    places = np.full((len(pictures), len(board.points), 2), np.nan)
    for row, each in zip(places, pictures, strict=True):
        row[each.ids] = each.pixels
    for row, each in zip(places[1:], pictures[1:], strict=True):
        moved = float(np.nanmedian(np.linalg.norm(row - places[0], axis=1)))
        if not moved <= 1.0:
            raise InvalidFileError(
                f"shows the board {moved:.1f} pixels away from where {first.name} does: something has moved",
                file=each.name,
                cure="leave camera and board as they are between pictures on the table",
            )
    (ids,) = np.nonzero(np.isfinite(places[..., 0]).sum(axis=0) > len(pictures) / 2)
    return Corners(first.name, ids, np.nanmean(places[:, ids], axis=0), first.image_size)


def edge_width(grey: Picture, ids: Ids, pixels: Pixels, board: Board) -> float:
    """Pixels over which an edge between black and white rises, median over the board; about 1 in a sharp picture.

    It is contrast divided by steepest slope, on profiles across the edges between neighbouring corners. A Gaussian blur
    of sigma pixels makes it about 2.5 sigma.
    """
    found = dict(zip(ids.tolist(), pixels, strict=True))
    across = board.columns - 1
    widths = []
    for number, start in found.items():
        for step in (1, across):
            if step == 1 and (number + 1) % across == 0:
                continue
            end = found.get(number + step)
            if end is None:
                continue
            edge = end - start
            length = float(np.linalg.norm(edge))
            normal = np.array([-edge[1], edge[0]]) / length
            # A marker begins an eighth of a square beyond the edge, but what is steepest is the edge between squares
            # or the marker's, and both are as sharp as the picture.
            offsets = np.linspace(-0.3 * length, 0.3 * length, _SAMPLES)
            points = (start + 0.5 * edge + offsets[:, None] * normal).astype(np.float32)
            profile = cv2.remap(grey, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR)[0]
            profile = np.asarray(profile, np.float64)
            slope = float(np.abs(np.diff(profile)).max() / (offsets[1] - offsets[0]))
            contrast = float(profile.max() - profile.min())
            if slope > 0:
                widths.append(contrast / slope)
    return float(np.median(widths)) if widths else 0.0


# -- Inside ----------------------------------------------------------------------------------------------------------


def _detect(grey: Picture, board: Board, scale: int) -> tuple[Ids, Pixels]:
    """Numbers and approximate places of the corners; the middle of the first pixel is at 0, as in OpenCV."""
    large = grey if scale == 1 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    places, ids, _, _ = cv2.aruco.CharucoDetector(board.charuco).detectBoard(large)
    if ids is None or places is None:
        return np.empty(0, np.int64), np.empty((0, 2))
    pixels = (np.asarray(places, np.float64).reshape(-1, 2) + 0.5) / scale - 0.5
    return np.asarray(ids, np.int64).ravel(), pixels


def _refine(grey: Picture, ids: Ids, pixels: Pixels, board: Board, square: float) -> Pixels:
    """The places of corners to a fraction of a pixel, searched for in a rectified picture of the board.

    In it the search window fits between corner and marker however obliquely the board is seen. OpenCV's own search uses
    the slanted picture, and its place of the first pixel's middle depends on its version.
    """
    edge = int(np.clip(round(1.5 * square), 40, 200))
    width, height = board.size
    plane = np.column_stack([board.points[ids, 0] + width / 2, height / 2 - board.points[ids, 1]])
    plane *= edge / board.square
    homography, _ = cv2.findHomography(pixels, plane, cv2.RANSAC, 0.1 * edge)
    if homography is None:
        return pixels
    flatten = np.asarray(homography, np.float64)
    flat = cv2.warpPerspective(grey, flatten, (board.columns * edge, board.rows * edge), flags=cv2.INTER_CUBIC)
    start = cv2.perspectiveTransform(pixels[:, None], flatten).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-4)
    found = cv2.cornerSubPix(flat, start, (edge // 10, edge // 10), (-1, -1), stop).astype(np.float64)
    return np.asarray(cv2.perspectiveTransform(found, np.linalg.inv(flatten)), np.float64).reshape(-1, 2)


def _square_pixels(ids: Ids, pixels: Pixels, board: Board) -> float:
    """Approximate length of a square's edge in pixels; 0 if the corners lie on a line."""
    if np.linalg.matrix_rank(board.points[ids, :2] - board.points[ids, :2].mean(axis=0)) < 2:
        return 0.0
    apart = np.linalg.norm(board.points[ids[:, None]] - board.points[ids], axis=-1)
    seen = np.linalg.norm(pixels[:, None] - pixels, axis=-1)
    return float(board.square * np.median(seen[apart > 0] / apart[apart > 0]))


def _nothing(grey: Picture, board: Board, name: str) -> InvalidFileError:
    """Why there is no board in a picture."""
    for other in (DICTIONARY, *_OTHERS):
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, other))
        _, ids, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(grey)
        if ids is not None and len(ids) >= 6:
            return InvalidFileError(
                f"shows another board: {len(ids)} markers of {other}, not as they are on ours",
                file=name,
                cure="print ours with `autoarm align board`",
            )
    return InvalidFileError("shows no board that can be read", file=name, cure=_CURES)
