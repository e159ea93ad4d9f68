"""Pictures of the board from one of LeRobot's cameras, one at a time, while a person moves the board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoarm_hardware.alignment.board import Board
from autoarm_hardware.alignment.detection import find_corners
from autoarm_hardware.arm import camera_config
from autoarm_hardware.pictures import write_picture
from autoarm_hardware.views import MAX_AGE, CameraError, connect_camera
from gym_autoarm.errors import InvalidFileError

_TRIES: Final = 5
"""How often a picture without a readable board is taken again."""


def capture(
    name: str,
    configuration: Mapping[str, Any],
    board: Board,
    folder: Path,
    held: int,
    ask: Callable[[str], None],
    tell: Callable[[str], None],
) -> tuple[Path, list[Path]]:
    """Take a picture of the board on the table, and pictures of it in the hand, and write them to files.

    Args:
        name: The camera's name.
        configuration: The fields of LeRobot's camera configuration, with `type`.
        board: The board; pictures that do not show it are not kept.
        folder: The folder for the pictures.
        held: Number of pictures of the board in the hand.
        ask: Asks a person to do something, and returns when it is done.
        tell: Prints the result of a picture.

    Returns:
        The file of the board on the table, and those of the board in the hand.

    Raises:
        CameraError: If the camera cannot be connected or sends nothing.
        InvalidFileError: If the board is not found in `_TRIES` pictures, or a picture cannot be written.
    """
    from lerobot.cameras.utils import make_cameras_from_configs

    camera = make_cameras_from_configs({name: camera_config(name, configuration)})[name]
    connect_camera(name, camera)
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


def _take(
    camera: Any, name: str, board: Board, path: Path, wish: str, ask: Callable[[str], None], tell: Callable[[str], None]
) -> None:
    for attempt in range(_TRIES):
        ask(wish)
        try:
            frame = np.asarray(camera.read_latest(max_age_ms=MAX_AGE))
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
