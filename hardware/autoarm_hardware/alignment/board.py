"""The ChArUco board: its geometry, the sheet it is printed on, and where the sheet lies on the table.

ChArUco boards are chessboards with ArUco markers in the white squares: the markers tell the corners apart, so that
hidden ones do no harm (Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial markers
under occlusion", Pattern Recognition 2014; OpenCV's `cv2.aruco`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.files import replacing

Points = NDArray[np.float64]
Picture = NDArray[np.uint8]
Paper = Literal["a4", "letter"]

DICTIONARY: Final = "DICT_4X4_50"
PAPERS: Final[dict[Paper, tuple[float, float]]] = {"a4": (0.297, 0.210), "letter": (0.2794, 0.2159)}
"""Width and height of the sheet, long edge down, metres."""

BASE_FRONT: Final = 0.0645
"""The front edge of the base's plate, metres ahead of the arm's origin (base plate in assets/so101.xml)."""
RULER: Final = 100.0
"""Length of the ruler that is printed on the sheet, millimetres."""
DPI: Final = 600

_TOP_MARGIN: Final = 0.012
_CUT_GAP: Final = 0.008
"""Metres of white between the board and the line along which the sheet is cut."""


@dataclass(frozen=True)
class Board:
    """A ChArUco board; lengths in metres, points in its own frame: x right, y up, z out of the paper, from its centre.

    Attributes:
        columns: Squares from left to right.
        rows: Squares from top to bottom.
        square: Edge of a square, metres.
        marker: Edge of a marker, as a share of a square's.
    """

    columns: int = 10
    rows: int = 7
    square: float = 0.025
    marker: float = 0.75

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, metres."""
        return self.columns * self.square, self.rows * self.square

    @cached_property
    def charuco(self) -> cv2.aruco.CharucoBoard:
        """The board as OpenCV's object."""
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker * self.square, dictionary)

    @cached_property
    def points(self) -> Points:
        """The inner corners `(n, 3)`, in OpenCV's order: row by row from the upper left."""
        width, height = self.size
        corners = np.asarray(self.charuco.getChessboardCorners(), np.float64)
        return np.column_stack([corners[:, 0] - width / 2, height / 2 - corners[:, 1], np.zeros(len(corners))])

    @cached_property
    def outline(self) -> Points:
        """The four outer corners `(4, 3)`, from the lower left, counter-clockwise."""
        width, height = self.size
        return np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * (width / 2, height / 2, 0.0)

    def draw(self, dpi: int = DPI) -> Picture:
        """The board without the sheet, grey uint8, at its size on paper."""
        # Whole pixels for every cell of a marker first: resizing then moves no edge by more than half a pixel.
        cell = 8 * 6
        exact = self.charuco.generateImage((self.columns * cell, self.rows * cell), marginSize=0, borderBits=1)
        width, height = (round(edge / 0.0254 * dpi) for edge in self.size)
        return np.asarray(cv2.resize(exact, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


@dataclass(frozen=True)
class Placement:
    """Where the board lies on the table, face up: its centre in metres, and its counter-clockwise turn in degrees.

    At 0 degrees its upper edge points away from the arm, so that a top camera sees it upright.
    """

    x: float
    y: float
    yaw: float = 0.0

    def on_table(self, points: Points) -> Points:
        """Points `(n, 3)` of the board in the arm's frame."""
        return np.asarray(points @ self.rotation.T + np.array([self.x, self.y, 0.0]))

    @property
    def rotation(self) -> Points:
        """The rotation matrix `(3, 3)` from the board's frame to the arm's."""
        return Rotation.from_euler("z", self.yaw - 90.0, degrees=True).as_matrix()


def against_base(board: Board) -> Placement:
    """The board's placement with the sheet's cut edge against the front of the arm's base, its mark at the middle."""
    return Placement(BASE_FRONT + _CUT_GAP + board.size[1] / 2, 0.0)


def scaled(board: Board, ruler: float) -> Board:
    """The board as printed, if the ruler on the sheet is `ruler` millimetres long.

    Raises:
        InvalidInputError: If the ruler is more than a tenth off its length.
    """
    if not (math.isfinite(ruler) and abs(ruler / RULER - 1) <= 0.1):
        raise InvalidInputError(
            f"{ruler:g} mm: the board was printed at another size, or measured in another unit",
            field="ruler",
            cure=f"print at 100 % ('actual size', not 'fit to page'); the ruler is then {RULER:g} mm long",
        )
    return Board(board.columns, board.rows, board.square * ruler / RULER, board.marker)


def draw_sheet(board: Board, paper: Paper = "a4", dpi: int = DPI) -> Picture:
    """The sheet to print, grey uint8, long edge down.

    Raises:
        InvalidInputError: If the resolution is below 72 or above 1200, or the board does not fit the paper.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not 72 <= dpi <= 1200:
        raise InvalidInputError(f"{dpi} dots per inch", field="dpi", cure="72 to 1200; printers have 300 or 600")
    sheet_width, sheet_height = PAPERS[paper]
    width, height = board.size
    if width > sheet_width or _TOP_MARGIN + height + _CUT_GAP > sheet_height:
        raise InvalidInputError(f"a board of {width:g} x {height:g} m does not fit", field="paper")

    def dots(metres: float) -> int:
        return round(metres / 0.0254 * dpi)

    sheet = Image.new("L", (dots(sheet_width), dots(sheet_height)), 255)
    left = (sheet_width - width) / 2
    sheet.paste(Image.fromarray(board.draw(dpi)), (dots(left), dots(_TOP_MARGIN)))
    pen = ImageDraw.Draw(sheet)
    hair, font = max(1, dots(0.0002)), ImageFont.load_default(dots(0.0032))

    def write(x: float, y: float, text: str, anchor: str) -> None:
        pen.text((dots(x), dots(y)), text, fill=0, font=font, anchor=anchor)

    def line(x0: float, y0: float, x1: float, y1: float) -> None:
        pen.line([dots(x0), dots(y0), dots(x1), dots(y1)], fill=0, width=hair)

    name = (
        f"AutoArm alignment board, {board.columns} x {board.rows} squares of {1000 * board.square:g} mm, {DICTIONARY}"
    )
    write(left, _TOP_MARGIN - 0.002, name, "ls")
    write(left + width, _TOP_MARGIN - 0.002, "away from the arm", "rs")
    middle, cut = sheet_width / 2, _TOP_MARGIN + height + _CUT_GAP
    line(0.0, cut, sheet_width, cut)
    line(middle, cut - 0.005, middle, cut + 0.002)
    write(middle + 0.002, cut - 0.0015, "middle of the base", "ls")
    write(left, cut - 0.0015, "cut here; lay this edge against the front of the arm's base", "ls")
    # Under the line, on what is cut off: measure before cutting.
    ruler, end = RULER / 1000, cut + 0.006
    line(left, end, left + ruler, end)
    for x in (left, left + ruler):
        line(x, end - 0.0015, x, end + 0.0015)
    write(left + ruler + 0.003, end, f"print at 100 %: this line is {RULER:g} mm long", "lm")
    return np.asarray(sheet)


def write_sheet(path: Path, board: Board, paper: Paper = "a4", dpi: int = DPI) -> None:
    """Write the sheet as PDF or PNG, at its size.

    Raises:
        InvalidInputError: If the name ends in neither .pdf nor .png; see also `draw_sheet`.
        InvalidFileError: If the file cannot be written.
    """
    from PIL import Image

    kind = path.suffix.lower()
    if kind not in (".pdf", ".png"):
        raise InvalidInputError(f"{path.name!r} is neither a .pdf nor a .png", field="out", cure="name one of the two")
    # Black and white only: what a PDF would otherwise compress as a photograph stays sharp.
    sheet = Image.fromarray(draw_sheet(board, paper, dpi)).convert("1", dither=Image.Dither.NONE)
    with replacing(path) as temporary:
        if kind == ".pdf":
            sheet.save(temporary, "PDF", resolution=float(dpi), title="AutoArm alignment board")
        else:
            sheet.save(temporary, "PNG", dpi=(dpi, dpi))
