"""Where a point lies relative to the training spots, computed alike on every processor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Point = tuple[float, float]


def convex_hull(points: Sequence[Point]) -> NDArray[np.float64]:
    """Corners `(n, 2)` of the convex hull, counter-clockwise, without points on its edges; none if all are in line."""
    given = np.asarray(points, np.float64)
    try:
        return given[ConvexHull(given).vertices]
    except (QhullError, ValueError):  # in line, or fewer than three
        return np.empty((0, 2))


def hull_distance(point: Point, hull: NDArray[np.float64]) -> float:
    """Distance of a point from the border of a hull (`convex_hull`), negative inside it."""
    corners = [(float(x), float(y)) for x, y in hull]
    x, y = point
    nearest, inside = math.inf, True
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        along_x, along_y, offset_x, offset_y = x1 - x0, y1 - y0, x - x0, y - y0
        share = (offset_x * along_x + offset_y * along_y) / (along_x * along_x + along_y * along_y)
        share = min(max(share, 0.0), 1.0)
        nearest = min(nearest, math.dist((offset_x, offset_y), (share * along_x, share * along_y)))
        inside = inside and along_x * offset_y - along_y * offset_x >= 0
    return -nearest if inside else nearest


def nearest_distance(point: Point, others: Sequence[Point]) -> float:
    """Distance from the nearest of `others`."""
    return min(math.dist(point, other) for other in others)
