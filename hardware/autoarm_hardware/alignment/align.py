"""From picture files to a camera's file: what `autoarm align camera` and `autoarm align check` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoarm_hardware.alignment.board import Board, Placement, against_base
from autoarm_hardware.alignment.comparison import compare
from autoarm_hardware.alignment.detection import Corners, find_corners, mean_corners, read_picture, same_size
from autoarm_hardware.alignment.estimate import Estimate, estimate, reprojection_error
from autoarm_hardware.alignment.lens import Lens
from autoarm_hardware.pictures import write_picture
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import HOME
from gym_autoarm.scene_files import CameraFile, CameraMeasurement, LensFile, read_camera_file, write_file


@dataclass(frozen=True)
class Alignment:
    """A camera that was estimated from pictures.

    Attributes:
        estimate: The camera and its uncertainty.
        pictures: The corners found in each picture, that of the board on the table first.
        view: The picture of the board on the table.
        board: The board.
        placement: Where the board lay on the table.
    """

    estimate: Estimate
    pictures: tuple[Corners, ...]
    view: Frame
    board: Board
    placement: Placement


def align(
    table: Sequence[Path],
    held: Sequence[Path],
    board: Board | None = None,
    placement: Placement | None = None,
    *,
    fovy: float | None = None,
    lens: bool = False,
) -> Alignment:
    """The camera that took pictures of a board.

    Args:
        table: Pictures of the board on the table; their corners are averaged.
        held: Pictures of it in the hand.
        board: `Board()` if nothing is given.
        placement: Where the board lay on the table; against the arm's base if nothing is given.
        fovy: Vertical field of view in degrees, if known.
        lens: Whether centre and distortion of the lens are estimated, too.

    Raises:
        InvalidInputError: If there are too few pictures, or one is given twice.
        InvalidFileError: Naming the picture that cannot be used.
    """
    board = board or Board()
    placement = placement or against_base(board)
    if not table:
        raise InvalidInputError(
            "is missing: it tells where the camera is", field="table", cure="give a picture of the board on the table"
        )
    seen: set[Path] = set()
    for path in (*table, *held):
        if path.resolve() in seen:
            raise InvalidFileError("is given twice", file=path, cure="give every picture once")
        seen.add(path.resolve())
    views = [read_picture(path) for path in table]
    lying = [find_corners(view, board, str(path)) for view, path in zip(views, table, strict=True)]
    pictures = (mean_corners(lying, board), *(find_corners(read_picture(path), board, str(path)) for path in held))
    same_size(pictures)
    found = estimate(pictures[0], pictures[1:], board, placement, fovy=fovy, lens=lens)
    return Alignment(found, pictures, views[0], board, placement)


def check_out(out: Path, overlay: Path) -> None:
    """Check the names of the files to write, before the work begins.

    Raises:
        InvalidInputError: If a name does not end as it must.
        InvalidFileError: If one is a folder.
    """
    for path, kinds, field in ((out, (".yaml", ".yml"), "out"), (overlay, (".png",), "overlay")):
        if path.suffix.lower() not in kinds:
            raise InvalidInputError(f"{path.name!r} is no {kinds[0]}", field=field, cure=f"name a {kinds[0]} file")
        if path.is_dir():
            raise InvalidFileError("is a folder", file=path, cure="name a file in it")


def save(out: Path, overlay: Path, name: str, aligned: Alignment, arm: tuple[float, ...] | None = None) -> None:
    """Write the camera's file, and the picture of the real and the simulated view together.

    Raises:
        RenderingError: If the simulated view cannot be drawn.
        InvalidFileError: If a file cannot be written.
    """
    found, table = aligned.estimate, aligned.pictures[0]
    camera, lens = found.camera, found.lens
    together = compare(aligned.view, camera, lens, aligned.board, aligned.placement, arm or HOME)
    measured = CameraMeasurement(
        pictures=tuple(each.name for each in aligned.pictures),
        corners=found.corners,
        image_size=table.image_size,
        reprojection_error=found.error,
        position_sd=found.position_sd,
        fovy_sd=found.fovy_sd,
        board=(aligned.placement.x, aligned.placement.y, aligned.placement.yaw),
        square=aligned.board.square,
    )
    file = CameraFile(
        position=camera.position,
        target=camera.target,
        fovy=camera.fovy,
        roll=camera.roll,
        lens=None
        if lens is None
        else LensFile(image_size=table.image_size, centre=lens.centre, distortion=lens.distortion),
        measured=measured,
    )
    write_file(
        out, file, f"The {name} camera, measured by `autoarm align camera`: metres and degrees, in the arm's frame."
    )
    write_picture(overlay, together)


def check(path: Path, picture: Path, board: Board, placement: Placement) -> tuple[float, int]:
    """Root mean square distance, in pixels, between the corners in a picture of the board on the table and where a
    camera's file has them; and the picture's width.

    Raises:
        InvalidFileError: If the file or the picture cannot be used, or they differ in size.
    """
    file = read_camera_file(path)
    corners = find_corners(read_picture(picture), board, str(picture))
    sizes = {each.image_size for each in (file.measured, file.lens) if each is not None}
    if sizes and sizes != {corners.image_size}:
        raise InvalidFileError(
            f"has {corners.image_size} pixels, the camera was measured with {sorted(sizes)[0]} (height, width)",
            file=picture,
            cure="take the picture at the same resolution, and do not crop it",
        )
    lens = None if file.lens is None else Lens(file.lens.centre, file.lens.distortion)
    return reprojection_error(corners, board, placement, file.camera(), lens), corners.image_size[1]
