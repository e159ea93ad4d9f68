"""A real lens's differences from a pinhole, which a simulated camera is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.vision import focal_length
from gym_autoarm.rendering import Frame

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Lens:
    """A lens with an optical axis off the picture's middle, and radial distortion.

    Attributes:
        centre: Where the optical axis meets the picture: column and row, pixels from the picture's middle.
        distortion: k1 and k2 of Brown's radial model ("Close-range camera calibration", 1971), as in OpenCV.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    distortion: tuple[float, float] = (0.0, 0.0)


def field_of_view(focal: float, image_size: tuple[int, int]) -> float:
    """Vertical field of view in degrees, from the focal length in pixels."""
    return 2 * math.degrees(math.atan(image_size[0] / 2 / focal))


def distort(pixels: Pixels, fovy: float, lens: Lens, image_size: tuple[int, int]) -> Pixels:
    """Pixels `(n, 2)` of a lens's picture for those `(n, 2)` of a pinhole's."""
    focal = focal_length(fovy, image_size)
    middle = np.array([image_size[1], image_size[0]]) / 2
    plane = (np.asarray(pixels, np.float64) - middle) / focal
    return np.asarray(bend(plane, lens.distortion) * focal + middle + np.array(lens.centre))


def bend(plane: Pixels, distortion: tuple[float, float]) -> Pixels:
    """Points `(n, 2)` at distance 1 from a pinhole, moved by radial distortion."""
    square = np.sum(plane**2, axis=1, keepdims=True)
    k1, k2 = distortion
    return np.asarray(plane * (1 + k1 * square + k2 * square**2))


def rectify(frame: Frame, fovy: float, lens: Lens) -> Frame:
    """The frame that a pinhole would have taken; black where the lens's picture ends."""
    height, width = frame.shape[:2]
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = distort(np.column_stack([columns.ravel(), rows.ravel()]), fovy, lens, (height, width)) - 0.5
    column, row = (each.astype(np.float32).reshape(height, width) for each in places.T)
    return np.asarray(cv2.remap(frame, column, row, cv2.INTER_LINEAR), np.uint8)


def largest_shift(fovy: float, lens: Lens, image_size: tuple[int, int]) -> float:
    """Largest distance, in pixels, between a point in a lens's picture and in a pinhole's."""
    height, width = image_size
    columns, rows = np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 25))
    pixels = np.column_stack([columns.ravel(), rows.ravel()])
    return float(np.linalg.norm(distort(pixels, fovy, lens, image_size) - pixels, axis=1).max())
