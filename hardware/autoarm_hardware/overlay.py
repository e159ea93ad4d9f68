"""The overlay for the operator: the cube's place of this episode, drawn into the top camera's live picture."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from autoarm_hardware.vision import Points, View, find_cube, square
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene

TOLERANCE: Final = 0.005
"""Metres by which a cube placed by hand may miss its place: about `sampling.SPOT_JITTER`."""
_TARGET: Final = (40, 220, 60)
_BOX: Final = (90, 160, 255)
_TEXT: Final = (255, 255, 255)


def placement_error(frame: Frame, scene: Scene) -> float | None:
    """Metres between the cube and its place in the scene; `None` if the cube is not seen."""
    place = find_cube(frame, View(scene.top, (frame.shape[0], frame.shape[1])), scene.cube)
    return None if place is None else math.dist(place, (scene.cube.x, scene.cube.y))


def overlay(frame: Frame, scene: Scene) -> Frame:
    """A copy of the top camera's frame with the cube's place, its heading, the box, and what is still to do."""
    drawn = frame.copy()
    view = View(scene.top, (frame.shape[0], frame.shape[1]))
    cube, box = scene.cube, scene.box
    for height in (0.0, cube.size):
        _outline(drawn, view, square((cube.x, cube.y), cube.yaw, cube.size, height), _TARGET)
    # A line along the cube's heading.
    ahead = np.deg2rad(cube.yaw)
    tip = (cube.x + cube.size * math.cos(ahead), cube.y + cube.size * math.sin(ahead))
    ends = view.project(np.array([[cube.x, cube.y, cube.size], [*tip, cube.size]]))
    if np.isfinite(ends).all():
        start, end = (tuple(map(int, np.rint(end))) for end in ends)
        cv2.line(drawn, start, end, color=_TARGET, thickness=1)
    _outline(drawn, view, square((box.x, box.y), box.yaw, box.inner, 0.0), _BOX)
    off = placement_error(frame, scene)
    if off is None:
        advice = "put the cube into the green outline"
    elif off > TOLERANCE:
        advice = f"{1000 * off:.0f} mm off"
    else:
        advice = f"{1000 * off:.0f} mm off: good"
    lines = (f"cube x {1000 * cube.x:.0f} mm, y {1000 * cube.y:.0f} mm, turned {cube.yaw:.0f} degrees", advice)
    scale = frame.shape[0] / 480
    for number, line in enumerate(lines):
        place = (round(8 * scale), round((20 + 20 * number) * scale))
        cv2.putText(drawn, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * scale, _TEXT, 1, cv2.LINE_AA)
    return drawn


def _outline(frame: Frame, view: View, corners: Points, colour: tuple[int, int, int]) -> None:
    pixels = view.project(corners)
    if np.isfinite(pixels).all():
        cv2.polylines(frame, [np.rint(pixels).astype(np.int32)], isClosed=True, color=colour, thickness=1)
