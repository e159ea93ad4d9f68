"""Pictures of the board from one of LeRobot's cameras, one at a time, while a person moves the board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from autoarm_hardware.alignment.board import Board
from autoarm_hardware.alignment.detection import find_corners
from autoarm_hardware.arm import camera_config
from autoarm_hardware.views import CameraError
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.files import replacing
from gym_autoarm.rendering import Frame

_MAX_AGE: Final = 500
"""Milliseconds after which a frame is no view of the present any more."""
_TRIES: Final = 5
"""Pictures of one request that may be of no use before a person is told to give up."""


def capture(
    name: str,
    configuration: Mapping[str, Any],
    board: Board,
    folder: Path,
    held: int,
    ask: Callable[[str], None],
    tell: Callable[[str], None],
) -> tuple[Path, list[Path]]:
    """Take a picture of the board on the table, and others of it in the hand, and keep them.

    Args:
        name: Of the camera.
        configuration: LeRobot's of it: its fields with `type`.
        board: What to look for: pictures that do not show it are not kept.
        folder: For the pictures.
        held: How many in the hand.
        ask: Tells a person what to do, and returns when it is done.
        tell: Tells a person what came of it.

    Returns:
        The picture of the board on the table, and those of it in the hand.

    Raises:
        CameraError: If the camera cannot be connected or sends nothing.
        InvalidFileError: If the board is not found again and again, or a picture cannot be written.
    """
    from lerobot.cameras.utils import make_cameras_from_configs

    camera = make_cameras_from_configs({name: camera_config(name, configuration)})[name]
    try:
        camera.connect()
    except Exception as error:  # LeRobot and its camera libraries raise kinds of their own
        raise CameraError(
            f"cannot be connected: {error}",
            field=f"camera {name}",
            cure="plug it in, close other programs that use it, and look with lerobot-find-cameras",
        ) from error
    try:
        table = folder / f"{name}-table.png"
        _take(camera, name, board, table, "Lay the board on the table, its cut edge against the arm's base", ask, tell)
        pictures = [folder / f"{name}-held-{number + 1:02d}.png" for number in range(held)]
        for number, path in enumerate(pictures):
            wish = f"Hold the board before the camera, slanted otherwise than before ({number + 1} of {held})"
            _take(camera, name, board, path, wish, ask, tell)
        return table, pictures
    finally:
        camera.disconnect()


def write_picture(path: Path, frame: Frame) -> None:
    """Write an RGB frame as PNG. Raises `InvalidFileError`."""
    _, content = cv2.imencode(".png", np.ascontiguousarray(frame[..., ::-1]))
    with replacing(path) as temporary:
        temporary.write_bytes(content.tobytes())


def _take(
    camera: Any, name: str, board: Board, path: Path, wish: str, ask: Callable[[str], None], tell: Callable[[str], None]
) -> None:
    for attempt in range(_TRIES):
        ask(wish)
        try:
            frame = np.asarray(camera.read_latest(max_age_ms=_MAX_AGE))
        except Exception as error:
            raise CameraError(f"sends no pictures: {error}", field=f"camera {name}", cure="check its cable") from error
        try:
            corners = find_corners(frame, board, str(path))
        except InvalidFileError as error:
            if attempt == _TRIES - 1:
                raise
            tell(f"not kept: {error.message} ({error.cure})")
            continue
        write_picture(path, frame)
        tell(f"{len(corners.ids)} of {len(board.points)} corners: {path}")
        return
