"""What a real lens does that a pinhole does not, which is all that a simulated camera is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gym_autoarm.rendering import Frame

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Lens:
    """A lens that is not centred, and bends straight lines.

    Attributes:
        centre: Of the optical axis in the picture: column and row, pixels from the picture's middle.
        distortion: k1 and k2 of Brown's radial model ("Close-range camera calibration", 1971), as OpenCV has them.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    distortion: tuple[float, float] = (0.0, 0.0)


def focal_length(fovy: float, image_size: tuple[int, int]) -> float:
    """Pixels, from the degrees of view from top to bottom."""
    return image_size[0] / 2 / math.tan(math.radians(fovy) / 2)


def field_of_view(focal: float, image_size: tuple[int, int]) -> float:
    """Degrees of view from top to bottom, from the focal length in pixels."""
    return 2 * math.degrees(math.atan(image_size[0] / 2 / focal))


def distort(pixels: Pixels, fovy: float, lens: Lens, image_size: tuple[int, int]) -> Pixels:
    """Where a lens puts what a pinhole has at pixels `(n, 2)`."""
    focal = focal_length(fovy, image_size)
    middle = np.array([image_size[1], image_size[0]]) / 2
    plane = (np.asarray(pixels, np.float64) - middle) / focal
    return np.asarray(bend(plane, lens.distortion) * focal + middle + np.array(lens.centre))


def bend(plane: Pixels, distortion: tuple[float, float]) -> Pixels:
    """Points `(n, 2)` at distance 1 from a pinhole, as radial distortion moves them."""
    square = np.sum(plane**2, axis=1, keepdims=True)
    k1, k2 = distortion
    return np.asarray(plane * (1 + k1 * square + k2 * square**2))


def rectify(frame: Frame, fovy: float, lens: Lens) -> Frame:
    """The frame that a pinhole would have taken, as far as the lens has seen it; black beyond."""
    height, width = frame.shape[:2]
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = distort(np.column_stack([columns.ravel(), rows.ravel()]), fovy, lens, (height, width)) - 0.5
    column, row = (each.astype(np.float32).reshape(height, width) for each in places.T)
    return np.asarray(cv2.remap(frame, column, row, cv2.INTER_LINEAR), np.uint8)


def largest_shift(fovy: float, lens: Lens, image_size: tuple[int, int]) -> float:
    """Pixels between a lens' picture and a pinhole's, where they differ most."""
    height, width = image_size
    columns, rows = np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 25))
    pixels = np.column_stack([columns.ravel(), rows.ravel()])
    return float(np.linalg.norm(distort(pixels, fovy, lens, image_size) - pixels, axis=1).max())
