"""Where a point lies relative to the training spots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


def convex_hull(points: Sequence[Point]) -> NDArray[np.float64]:
    """Corners `(n, 2)` of the convex hull, counter-clockwise, without points on its edges (Andrew's monotone chain)."""
    ordered = sorted(set(points))

    def chain(along: Sequence[Point]) -> list[Point]:
        corners: list[Point] = []
        for point in along:
            while len(corners) >= 2 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]), np.float64)


def hull_distance(point: Point, hull: NDArray[np.float64]) -> float:
    """Distance of a point from the border of a hull (`convex_hull`), negative inside it."""
    starts, edges = hull, np.roll(hull, -1, axis=0) - hull
    offset = np.asarray(point) - starts
    along = np.clip((offset * edges).sum(axis=1) / np.square(edges).sum(axis=1), 0.0, 1.0)
    distance = float(np.linalg.norm(offset - along[:, None] * edges, axis=1).min())
    inside = (edges[:, 0] * offset[:, 1] - edges[:, 1] * offset[:, 0] >= 0).all()
    return -distance if inside else distance


def nearest_distance(point: Point, others: Sequence[Point]) -> float:
    """Distance from the nearest of `others`."""
    return float(np.linalg.norm(np.subtract(others, point), axis=1).min())


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
