"""The sheet for the table is true to scale, and shows everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from autoarm_hardware.alignment.board import BASE_FRONT
from autoarm_hardware.alignment.command import PrintSheet
from autoarm_hardware.alignment.table_sheet import draw_page, pages, write_table_sheet
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Box, Scene

PAPERS = {"a3": (420.0, 297.0, 1), "a4": (210.0, 297.0, 2), "letter": (215.9, 279.4, 2)}


@pytest.mark.parametrize("paper", PAPERS)
def test_a_pixel_of_ink_is_where_the_cube_goes(paper: Any) -> None:
    scene = Scene()
    width, height, count = PAPERS[paper]
    found: set[str] = set()
    sheets = pages(paper, scene.box)
    assert len(sheets) == count
    for page in sheets:
        canvas = FigureCanvasAgg(draw_page(page, scene))
        canvas.figure.set_dpi(254)  # ten pixels a millimetre
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., 0]
        assert picture.shape == pytest.approx((10 * height, 10 * width), abs=2)

        def ink(right: float, ahead: float, page: Any = page, picture: Any = picture) -> bool:
            row = len(picture) - 10_000 * (ahead - BASE_FRONT + 0.012)
            column = 10_000 * (right - page.left)
            if not (5 <= row < len(picture) - 5 and 5 <= column < picture.shape[1] - 5):
                return False
            return bool((picture[int(row) - 4 : int(row) + 5, int(column) - 4 : int(column) + 5] < 128).any())

        for name, (x, y) in spec.SPOTS.items():
            if ink(-y, x) and all(ink(-y + side, x + 0.004) for side in (-0.015, 0.015)):
                assert not ink(-y + 0.0165, x + 0.004)
                assert not ink(-y + 0.0135, x + 0.004)
                found.add(name)
        for side in (-0.053, 0.053):
            if ink(-scene.box.y + side, scene.box.x):
                found.add(f"box {side}")
    assert found == {*spec.SPOTS, "box -0.053", "box 0.053"}


def test_a_pdf_is_as_large_as_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for paper, (width, height, count) in PAPERS.items():
        out = tmp_path / f"{paper}.pdf"
        assert PrintSheet(out, paper).run() == 0  # type: ignore[arg-type]
        boxes = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", out.read_bytes())
        assert len(boxes) == count
        for box in boxes:
            sides = np.array([float(number) for number in box.split()])[2:] / 72 * 25.4
            assert sides == pytest.approx((width, height), abs=0.2)
    assert "100 mm" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not fit"):
        write_table_sheet(tmp_path / "sheet.pdf", "a4", Scene(box=Box(y=-0.35)))
    with pytest.raises(InvalidInputError, match=r"\.pdf"):
        write_table_sheet(tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []
