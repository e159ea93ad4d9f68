"""A sheet to print that lies on the table before the arm: where the cube and the box go, at their true size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.alignment.board import BASE_FRONT, PAPERS, RULER
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.files import replacing
from gym_autoarm.scene import Box, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TablePaper = Literal["a3", "a4", "letter"]

_INCH: Final = 0.0254
_MARGIN: Final = 0.012
"""Metres of paper that stay free: few printers reach the edge."""
_OVERLAP: Final = 0.012
"""Metres by which two sheets overlap, for the glue."""
_INK: Final = "0.15"
_PALE: Final = "0.6"


@dataclass(frozen=True)
class Page:
    """A sheet of paper: what of the table it shows, metres, seen from behind the arm: ahead is up.

    Attributes:
        left: Its left edge, to the right of the arm's middle.
        width: Its width.
        height: Its height; the lower edge is `_MARGIN` before the front of the base.
        is_last: Whether no sheet follows on its right.
    """

    left: float
    width: float
    height: float
    is_last: bool


_PAPERS: Final[dict[TablePaper, tuple[float, float, int]]] = {
    "a3": (0.420, 0.297, 1),
    "a4": (*PAPERS["a4"][::-1], 2),
    "letter": (*PAPERS["letter"][::-1], 2),
}
"""Width and height of a sheet, metres, and how many lie side by side."""


def pages(paper: TablePaper, box: Box) -> list[Page]:
    """The sheets that show work area and box.

    Raises:
        InvalidInputError: If the box does not fit on them.
    """
    width, height, count = _PAPERS[paper]
    whole = count * width - (count - 1) * (_MARGIN + _OVERLAP)
    corners = _box_corners(box)
    left = min(corners[:, 0].min(), -spec.WORK_AREA[1][1]) - _MARGIN
    right = max(corners[:, 0].max(), -spec.WORK_AREA[1][0]) + _MARGIN
    top = max(corners[:, 1].max(), spec.WORK_AREA[0][1]) + _MARGIN
    if right - left > whole or top > BASE_FRONT - _MARGIN + height or corners[:, 1].min() < BASE_FRONT:
        raise InvalidInputError(
            f"a box at x {box.x:g}, y {box.y:g} does not fit on it", field="paper", cure="choose a3, or move the box"
        )
    start = (left + right - whole) / 2
    step = width - _MARGIN - _OVERLAP
    return [Page(start + index * step, width, height, index == count - 1) for index in range(count)]


def draw_page(page: Page, scene: Scene) -> Figure:
    """A sheet as a figure whose size is the paper's."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon, Rectangle

    figure = Figure(figsize=(page.width / _INCH, page.height / _INCH))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    bottom = BASE_FRONT - _MARGIN
    axes.set(xlim=(page.left, page.left + page.width), ylim=(bottom, bottom + page.height))
    axes.set_axis_off()
    (low_x, high_x), (low_y, high_y) = spec.WORK_AREA
    area = Rectangle((-high_y, low_x), high_y - low_y, high_x - low_x, fill=False, ls=(0, (4, 4)), ec=_PALE)
    axes.add_patch(area)
    axes.text(-high_y + 0.002, high_x - 0.002, "work area", va="top", color=_PALE, size=8, clip_on=True)
    axes.add_patch(Polygon(_box_corners(scene.box), fill=False, ec=_INK, lw=1.2))
    axes.text(-scene.box.y, scene.box.x, "box", ha="center", va="center", color=_INK, size=12, clip_on=True)
    half = scene.cube.size / 2
    for name, (x, y) in spec.SPOTS.items():
        axes.add_patch(Rectangle((-y - half, x - half), 2 * half, 2 * half, fill=False, ec=_INK, lw=0.8))
        axes.plot([-y - 0.003, -y + 0.003], [x, x], color=_INK, lw=0.6)
        axes.plot([-y, -y], [x - 0.003, x + 0.003], color=_INK, lw=0.6)
        axes.text(-y, x - 0.6 * half, name, ha="center", va="center", color=_INK, size=7, clip_on=True)
    _draw_edges(axes, page)
    _draw_ruler(axes, page)
    return figure


def write_table_sheet(path: Path, paper: TablePaper = "a3", scene: Scene | None = None) -> int:
    """Write the sheets to a PDF; returns their number.

    Raises:
        InvalidInputError: If the file is no `.pdf`, or the box does not fit.
        InvalidFileError: If the file cannot be written.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    if path.suffix.lower() != ".pdf":
        raise InvalidInputError("is no .pdf", file=path, field="out", cure="name a .pdf: it keeps its size")
    scene = scene or Scene()
    drawn = [draw_page(page, scene) for page in pages(paper, scene.box)]
    with replacing(path) as temporary, PdfPages(temporary, metadata={"CreationDate": None}) as file:
        for figure in drawn:
            file.savefig(figure)
    return len(drawn)


# -- Inside ------------------------------------------------------------------------------------------------------------


def _box_corners(box: Box) -> NDArray[np.float64]:
    """The outer corners of the box on paper, `(4, 2)`: to the right, and ahead."""
    half, turn = box.inner / 2 + box.wall, math.radians(box.yaw)
    along = half * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    x = box.x + along[:, 0] * math.cos(turn) - along[:, 1] * math.sin(turn)
    y = box.y + along[:, 0] * math.sin(turn) + along[:, 1] * math.cos(turn)
    return np.column_stack([-y, x])


def _draw_edges(axes: Axes, page: Page) -> None:
    """The line along which the sheet is cut, the mark for the base's middle, and where the next sheet goes."""
    right = page.left + page.width
    axes.plot([page.left, right], [BASE_FRONT, BASE_FRONT], color=_INK, lw=0.6)
    text = "cut here; lay this edge against the front of the base, the mark at its middle"
    axes.text(page.left + _MARGIN, BASE_FRONT - 0.002, text, va="top", color=_INK, size=6, clip_on=True)
    axes.plot([0.0, 0.0], [BASE_FRONT, BASE_FRONT + 0.012], color=_INK, lw=1.2)
    if not page.is_last:
        seam = right - _MARGIN - _OVERLAP
        axes.plot([seam, seam], [BASE_FRONT, BASE_FRONT - _MARGIN + page.height], color=_PALE, lw=0.5, ls=":")
        axes.text(
            seam + 0.002, BASE_FRONT + 0.1, "the next sheet's left edge", rotation=90, color=_PALE, size=6, clip_on=True
        )


def _draw_ruler(axes: Axes, page: Page) -> None:
    start, height = page.left + _MARGIN, BASE_FRONT - 2 * _MARGIN + page.height
    end = start + RULER / 1000
    axes.plot([start, end], [height, height], color=_INK, lw=0.8)
    for tick in np.linspace(start, end, 11):
        axes.plot([tick, tick], [height - 0.002, height], color=_INK, lw=0.6)
    axes.text(start, height - 0.003, f"{RULER:g} mm, if printed at 100 %", va="top", color=_INK, size=6, clip_on=True)
