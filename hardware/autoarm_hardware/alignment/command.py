"""`autoarm align`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from autoarm_hardware.alignment.board import Board, Placement

Placed = tuple[float, float, float]


@dataclass
class PrintBoard:
    """Write the board to a file for printing: print it at 100 %, and measure the ruler on it.

    Example: autoarm align board --out board.pdf --paper a4
    """

    out: Path
    """File to write, .pdf or .png."""
    paper: Literal["a4", "letter"] = "a4"
    """Paper size."""
    dpi: int = 600
    """Resolution in dots per inch."""

    def run(self) -> int:
        """Write the file and print how to use it."""
        from autoarm_hardware.alignment.board import RULER, Board, write_sheet

        board = Board()
        write_sheet(self.out, board, self.paper, self.dpi)
        print(f"board: {self.out}, {self.paper}, {self.dpi} dots per inch")
        print(f"print it at 100 %: the ruler on it must be {RULER:g} mm long (otherwise say --ruler), then cut it")
        return 0


@dataclass
class AlignCamera:
    """Estimate a camera's pose and field of view; write a file for the simulated scene, and an overlay picture.

    One picture shows the board on the table, its cut edge against the arm's base, the mark at its middle; three or
    more show it in the hand, slanted. The camera must not move. Pictures are files, or are taken now with --robot.

    Example: autoarm align camera top --table table.png --held a.png b.png c.png d.png --out top.yaml
    """

    camera: tyro.conf.Positional[Literal["top", "lateral"]]
    """The camera."""
    out: Path
    """File to write for the camera (.yaml)."""
    table: tuple[Path, ...] = ()
    """Picture of the board on the table; the corners of several are averaged."""
    held: tuple[Path, ...] = ()
    """Pictures of the board in the hand, for the field of view."""
    robot: Path | None = None
    """Robot's file (see docs/hardware.md) whose camera takes the pictures now."""
    shots: int = 8
    """With --robot: number of pictures of the board in the hand."""
    keep: Path | None = None
    """With --robot: folder for the pictures; by default OUT without its ending."""
    fovy: float | None = None
    """Vertical field of view in degrees, if known: then one picture is enough."""
    lens: bool = False
    """Estimate centre and distortion of the lens, too, from eight pictures or more."""
    placed: Placed | None = None
    """The board's centre (x, y in metres) and turn (degrees) on the table, if it is not against the base."""
    ruler: float = 100.0
    """Measured length of the ruler on the sheet, millimetres."""
    overlay: Path | None = None
    """File for the picture of the real and the simulated view together; OUT as .png by default."""
    arm: tuple[float, float, float, float, float, float] | None = None
    """Joint positions in the picture of the table, for the overlay; folded by default."""

    def run(self) -> int:
        """Estimate the camera, write the files, and print how well it fits."""
        from autoarm_hardware.alignment.align import align, check_out, save
        from autoarm_hardware.alignment.lens import largest_shift

        overlay = self.overlay or self.out.with_suffix(".png")
        check_out(self.out, overlay)
        board, placement = _setting(self.ruler, self.placed)
        table, held = (self.table, self.held) if self.robot is None else self._take(self.robot, board)
        aligned = align(table, held, board, placement, fovy=self.fovy, lens=self.lens)
        save(self.out, overlay, self.camera, aligned, self.arm)
        estimate = aligned.estimate
        found, size = estimate.camera, aligned.pictures[0].image_size
        print("position: " + ", ".join(f"{value:.4f}" for value in found.position)
              + f" m, +- {1000 * estimate.position_sd:.1f} mm")  # fmt: skip
        print(
            "looks at: " + ", ".join(f"{value:.4f}" for value in found.target) + f" m, rolled {found.roll:.2f} degrees"
        )
        sure = "as given" if estimate.fovy_sd is None else f"+- {estimate.fovy_sd:.2f}"
        print(f"field of view: {found.fovy:.2f} degrees, {sure}")
        if estimate.lens is not None:
            shift = largest_shift(found.fovy, estimate.lens, size)
            print(f"lens: moves points by up to {shift:.1f} pixels; the simulated camera does not")
        print(f"reprojection error: {estimate.error:.2f} pixels over {estimate.corners} corners")
        for corners, error in zip(aligned.pictures, estimate.errors, strict=True):
            print(f"  {corners.name}: {len(corners.ids)} corners, {error:.2f} pixels")
        print(f"camera: {self.out}")
        print(f"overlay: {overlay}")
        return 0

    def _take(self, robot: Path, board: Board) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        from autoarm_hardware.alignment.capture import capture
        from autoarm_hardware.config import load_robot
        from gym_autoarm.errors import InvalidInputError

        if self.table or self.held:
            raise InvalidInputError("pictures are given as files too", field="robot", cure="give one of the two")
        configuration = load_robot(robot).cameras[self.camera]
        folder = self.keep or self.out.with_suffix("")
        held = 0 if self.fovy is not None and not self.lens else self.shots
        table, pictures = capture(self.camera, configuration, board, folder, held, _ask, print)
        return (table,), tuple(pictures)


@dataclass
class CheckCamera:
    """Check whether a camera has moved: whether its file still fits a picture of the board on the table.

    The exit code is 1 if the reprojection error is larger than --most.

    Example: autoarm align check top.yaml --table now.png
    """

    file: tyro.conf.Positional[Path]
    """The camera's file."""
    table: Path
    """Picture of the board on the table."""
    placed: Placed | None = None
    """The board's centre (x, y in metres) and turn (degrees) on the table, if it is not against the base."""
    ruler: float = 100.0
    """Measured length of the ruler on the sheet, millimetres."""
    most: float = 2.0
    """Largest reprojection error, in pixels of a picture 640 pixels wide."""

    def run(self) -> int:
        """Measure the reprojection error and compare it with the largest."""
        from autoarm_hardware.alignment.align import check

        board, placement = _setting(self.ruler, self.placed)
        error, width = check(self.file, self.table, board, placement)
        fits = error <= self.most * width / 640
        print(
            f"reprojection error: {error:.2f} pixels" + ("" if fits else ": camera or board has moved; align it again")
        )
        return 0 if fits else 1


@dataclass
class Example:
    """Draw pictures of the board as a simulated camera sees it, to try `align camera` without a camera.

    Example: autoarm align example --out outputs/board-pictures
    """

    out: Path
    """Folder for table.png, held-01.png, ... ."""
    camera: Literal["top", "lateral"] = "top"
    """The camera that is simulated."""
    held: int = 9
    """Number of pictures of the board in the hand."""
    noise: float = 2.0
    """Standard deviation of the pictures' noise, grey levels."""
    seed: int = 0
    """Seed of the noise, and of the board's poses in the hand."""

    def run(self) -> int:
        """Draw the pictures and print the command that uses them."""
        from autoarm_hardware.alignment.board import Board, against_base
        from autoarm_hardware.alignment.rendered import BoardRenderer
        from autoarm_hardware.pictures import write_picture
        from gym_autoarm.scene import LATERAL, TOP

        board, names = Board(), [self.out / f"held-{number + 1:02d}.png" for number in range(self.held)]
        view = TOP if self.camera == "top" else LATERAL
        with BoardRenderer(view, board, noise=self.noise, seed=self.seed) as studio:
            write_picture(self.out / "table.png", studio.on_table(against_base(board)))
            for name in names:
                write_picture(name, studio.in_hand())
        print(f"autoarm align camera {self.camera} --table {self.out / 'table.png'} --held {self.out}/held-*.png "
              f"--out {self.out / f'{self.camera}.yaml'}")  # fmt: skip
        return 0


@dataclass
class PrintSheet:
    """Write a sheet that lies before the arm: the five spots, the box and the work area at their true size.

    Example: autoarm align sheet --out sheet.pdf --paper a3
    """

    out: Path
    """File to write (.pdf)."""
    paper: Literal["a3", "a4", "letter"] = "a3"
    """Paper size; on A4 and letter, two sheets lie side by side."""
    robot: Path | None = None
    """Robot's file (see docs/hardware.md), if its box stands elsewhere."""

    def run(self) -> int:
        """Write the file and print how to use it."""
        from autoarm_hardware.alignment.board import RULER
        from autoarm_hardware.alignment.table_sheet import write_table_sheet
        from autoarm_hardware.config import load_robot

        scene = None if self.robot is None else load_robot(self.robot).scene()
        count = write_table_sheet(self.out, self.paper, scene)
        print(f"sheet: {self.out}, {count} x {self.paper}")
        print(f"print it at 100 %: the ruler on it must be {RULER:g} mm long; then cut it along the line")
        return 0


Command = (
    Annotated[PrintBoard, tyro.conf.subcommand("board")]
    | Annotated[PrintSheet, tyro.conf.subcommand("sheet")]
    | Annotated[AlignCamera, tyro.conf.subcommand("camera")]
    | Annotated[CheckCamera, tyro.conf.subcommand("check")]
    | Annotated[Example, tyro.conf.subcommand("example")]
)


@dataclass
class Align:
    """Measure where the real cameras are and what they see, so that the simulated ones see the same.

    Example: autoarm align camera top --table table.png --held a.png b.png c.png d.png --out top.yaml
    """

    command: tyro.conf.OmitSubcommandPrefixes[Command]

    def run(self) -> int:
        """Run the subcommand."""
        return self.command.run()


def _setting(ruler: float, placed: Placed | None) -> tuple[Board, Placement]:
    from autoarm_hardware.alignment.board import Board, Placement, against_base, scaled

    board = scaled(Board(), ruler)
    return board, against_base(board) if placed is None else Placement(*placed)


def _ask(wish: str) -> None:
    import sys

    from gym_autoarm.errors import InvalidInputError

    if not sys.stdin.isatty():
        raise InvalidInputError(
            "nobody is at the terminal to hold the board", field="robot", cure="give pictures: --table and --held"
        )
    input(f"{wish}, then press Enter. ")
