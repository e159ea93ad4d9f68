"""Cameras found again from pictures of the board: computed ones, drawn ones, and ones that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from autoarm_hardware.alignment.align import align, check
from autoarm_hardware.alignment.board import (
    BASE_FRONT,
    PAPERS,
    Board,
    Placement,
    against_base,
    draw_sheet,
    scaled,
    write_sheet,
)
from autoarm_hardware.alignment.capture import capture
from autoarm_hardware.alignment.command import AlignCamera, CheckCamera, PrintBoard
from autoarm_hardware.alignment.comparison import compare
from autoarm_hardware.alignment.detection import Corners, edge_width, find_corners, mean_corners
from autoarm_hardware.alignment.estimate import camera_from_axes, estimate
from autoarm_hardware.alignment.lens import Lens, distort, largest_shift, rectify
from autoarm_hardware.alignment.rendered import BoardRenderer
from autoarm_hardware.pictures import write_picture
from autoarm_hardware.vision import View
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.model import camera_quaternion
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import LATERAL, TOP, Camera
from gym_autoarm.scene_files import load_scene

BOARD = Board()
PLACED = against_base(BOARD)
SIZE = (480, 640)


def axes(camera: Camera) -> Any:
    return Rotation.from_quat(camera_quaternion(camera), scalar_first=True)


def apart(one: Camera, other: Camera) -> tuple[float, float]:
    """Millimetres and degrees between two cameras."""
    turn = (axes(one) * axes(other).inv()).magnitude()
    return 1000 * float(np.linalg.norm(np.subtract(one.position, other.position))), float(np.rad2deg(turn))


def computed(camera: Camera, held: int, noise: float = 0.0, lens: Lens | None = None, seed: int = 0) -> list[Corners]:
    """Corners as a camera has them by projection alone: on the table, then of the board held before it."""
    rng = np.random.default_rng(seed)
    ids = np.arange(len(BOARD.points))
    places = [PLACED.on_table(BOARD.points)]
    for _ in range(held):
        about = rng.uniform(0, 2 * np.pi)
        tilt = Rotation.from_rotvec(np.deg2rad(rng.uniform(20, 40)) * np.array([np.cos(about), np.sin(about), 0]))
        distance = rng.uniform(0.35, 0.5)
        centre = np.array([*rng.uniform(-0.04, 0.04, 2), -distance])
        places.append(axes(camera).apply(tilt.apply(BOARD.points) + centre) + camera.position)
    found = []
    for number, points in enumerate(places):
        pixels = View(camera, SIZE).project(points)
        if lens is not None:
            pixels = distort(pixels, camera.fovy, lens, SIZE)
        found.append(Corners(f"picture {number}", ids, pixels + rng.normal(0, noise, pixels.shape), SIZE))
    return found


# -- The board -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_sheet_has_its_size_and_its_squares_theirs(tmp_path: Path, paper: Any) -> None:
    assert PrintBoard(tmp_path / "board.png", paper, 300).run() == 0
    with Image.open(tmp_path / "board.png") as sheet:
        assert np.divide(sheet.size, sheet.info["dpi"]) * 0.0254 == pytest.approx(PAPERS[paper], abs=1e-4)
        drawn = np.asarray(sheet.convert("L"))
    found = find_corners(drawn, BOARD, "the sheet", least=len(BOARD.points))
    metres = found.pixels / 300 * 0.0254
    # OpenCV numbers them as our points are numbered: x to the right, y up.
    expected = BOARD.points[found.ids, :2] * (1, -1)
    assert np.abs((metres - metres.mean(axis=0)) - (expected - expected.mean(axis=0))).max() < 1e-4
    # The cut line, across the whole sheet, is where `against_base` believes it to be.
    (cut,) = np.nonzero((drawn < 128).all(axis=1))
    below = cut.mean() / 300 * 0.0254 - metres[:, 1].mean()
    assert pytest.approx(PLACED.x - below, abs=2e-4) == BASE_FRONT
    assert metres[:, 0].mean() == pytest.approx(PAPERS[paper][0] / 2, abs=2e-4)


def test_pdf_page_is_the_paper(tmp_path: Path) -> None:
    write_sheet(tmp_path / "board.pdf", BOARD, dpi=150)
    content = (tmp_path / "board.pdf").read_bytes()
    box = content.split(b"/MediaBox [", 1)[1].split(b"]", 1)[0].split()
    assert np.array(box, float)[2:] / 72 * 0.0254 == pytest.approx(PAPERS["a4"], abs=1e-4)


def test_boards_that_cannot_be_printed_are_refused(tmp_path: Path) -> None:
    for wrong in (lambda: write_sheet(tmp_path / "board.docx", BOARD), lambda: draw_sheet(BOARD, dpi=10),
                  lambda: draw_sheet(replace(BOARD, square=0.05))):  # fmt: skip
        with pytest.raises(InvalidInputError):
            wrong()
    assert not list(tmp_path.iterdir())


def test_ruler_tells_the_scale() -> None:
    assert scaled(BOARD, 98.0).square == pytest.approx(0.0245)
    for length in (10.0, 120.0, float("nan")):
        with pytest.raises(InvalidInputError, match="ruler"):
            scaled(BOARD, length)


def test_board_lies_upright_before_the_top_camera() -> None:
    pixels = View(TOP, SIZE).project(PLACED.on_table(BOARD.outline))
    lower_left, lower_right, upper_right, _ = pixels
    assert lower_left[0] < lower_right[0]
    assert lower_right[1] > upper_right[1]
    turned = replace(PLACED, yaw=90.0)
    # A turn to the left: what was away from the arm is now on the arm's left.
    assert turned.on_table(np.array([[0.0, 0.1, 0.0]]))[0] == pytest.approx((PLACED.x, 0.1, 0.0))


# -- Numbers ---------------------------------------------------------------------------------------------------------

directions = st.floats(-1.0, 1.0)


@given(st.tuples(directions, directions, st.floats(0.2, 1.0)), st.floats(-170, 170))
@settings(max_examples=50)
def test_a_camera_is_its_axes(place: tuple[float, float, float], roll: float) -> None:
    camera = Camera(place, (0.2, 0.0, 0.0), 40.0, roll)
    again = camera_from_axes(np.array(place), axes(camera).as_matrix(), 40.0)
    distance, angle = apart(again, camera)
    assert distance < 1e-6
    assert angle < 1e-4


@pytest.mark.parametrize("camera", [TOP, replace(LATERAL, roll=7.0, fovy=55.0)])
def test_exact_corners_give_the_exact_camera(camera: Camera) -> None:
    table, *held = computed(camera, 4)
    found = estimate(table, held, BOARD, PLACED)
    distance, angle = apart(found.camera, camera)
    assert distance < 0.01
    assert angle < 1e-3
    assert found.camera.fovy == pytest.approx(camera.fovy, abs=1e-3)
    assert found.error < 1e-3


def test_told_field_of_view_needs_one_picture() -> None:
    (table,) = computed(LATERAL, 0)
    found = estimate(table, [], BOARD, PLACED, fovy=LATERAL.fovy)
    assert apart(found.camera, LATERAL) == pytest.approx((0.0, 0.0), abs=0.01)
    assert found.fovy_sd is None


def test_standard_deviations_are_those_of_repetitions() -> None:
    found = [estimate(*_split(computed(LATERAL, 4, noise=0.2, seed=seed)), BOARD, PLACED) for seed in range(12)]
    scatter = np.std([each.camera.position for each in found], axis=0, ddof=1)
    assert float(np.linalg.norm(scatter)) == pytest.approx(np.mean([each.position_sd for each in found]), rel=0.6)
    assert float(np.std([each.camera.fovy for each in found])) < 3 * float(np.mean([each.fovy_sd for each in found]))


def test_lens_is_found_and_taken_out() -> None:
    lens = Lens((4.0, -3.0), (-0.15, 0.03))
    table, *held = computed(LATERAL, 8, lens=lens)
    found = estimate(table, held, BOARD, PLACED, lens=True)
    assert found.lens is not None
    assert found.lens.centre == pytest.approx(lens.centre, abs=0.3)
    assert found.lens.distortion[0] == pytest.approx(-0.15, abs=0.01)
    assert apart(found.camera, LATERAL)[0] < 0.3
    assert largest_shift(LATERAL.fovy, lens, SIZE) > 5
    # A white dot where the lens puts a point comes back to where a pinhole has it.
    point = np.array([[150.5, 380.5]])
    frame = np.zeros((*SIZE, 3), np.uint8)
    column, row = np.rint(distort(point, LATERAL.fovy, lens, SIZE)[0] - 0.5).astype(int)
    cv2.circle(frame, (int(column), int(row)), 3, (255, 255, 255), -1)
    rows, columns = np.nonzero(rectify(frame, LATERAL.fovy, lens)[..., 0] > 128)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(tuple(point[0]), abs=1.0)


def test_too_little_to_tell_is_refused() -> None:
    table, *held = computed(TOP, 7)
    with pytest.raises(InvalidInputError, match="focal length"):
        estimate(table, [], BOARD, PLACED)
    with pytest.raises(InvalidInputError, match="lens bends"):
        estimate(table, held[:4], BOARD, PLACED, lens=True)
    with pytest.raises(InvalidInputError, match="fovy"):
        estimate(table, [], BOARD, PLACED, fovy=0.0)
    # The same view again and again: a top camera twice as high sees the same through half the angle.
    rng = np.random.default_rng(0)
    alike = [
        replace(table, name=str(n), pixels=table.pixels + rng.normal(0, 0.2, table.pixels.shape)) for n in range(5)
    ]
    with pytest.raises(InvalidFileError, match="too alike"):
        estimate(alike[0], alike[1:], BOARD, PLACED)


def test_board_that_is_not_flat_is_refused() -> None:
    table, *held = computed(LATERAL, 4)
    bent = replace(held[2], pixels=held[2].pixels + np.where(held[2].ids[:, None] % 9 > 5, 12.0, 0.0))
    with pytest.raises(InvalidFileError, match="picture 3: does not fit"):
        estimate(table, [*held[:2], bent, held[3]], BOARD, PLACED)


def _split(corners: list[Corners]) -> tuple[Corners, list[Corners]]:
    return corners[0], corners[1:]


# -- Pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[Frame]]:
    """Of each camera: the board on the table, then in the hand."""
    taken = {}
    for name, camera in (("top", TOP), ("lateral", replace(LATERAL, position=(0.57, 0.3, 0.3), roll=4.0))):
        with BoardRenderer(camera, BOARD, noise=3.0) as studio:
            taken[name] = [studio.on_table(PLACED), *(studio.in_hand() for _ in range(4))]
    return taken


@pytest.fixture
def files(tmp_path: Path, pictures: dict[str, list[Frame]]) -> Callable[[str], tuple[Path, list[Path]]]:
    def write(name: str) -> tuple[Path, list[Path]]:
        paths = [tmp_path / f"{name}-{number}.png" for number in range(len(pictures[name]))]
        for path, frame in zip(paths, pictures[name], strict=True):
            write_picture(path, frame)
        return paths[0], paths[1:]

    return write


@pytest.mark.parametrize(
    ("name", "camera", "millimetres", "degrees"),
    [("top", TOP, 8.0, 0.7), ("lateral", replace(LATERAL, position=(0.57, 0.3, 0.3), roll=4.0), 3.0, 0.3)],
)
def test_drawn_pictures_give_the_camera_that_drew_them(
    files: Callable[[str], tuple[Path, list[Path]]], name: Any, camera: Camera, millimetres: float, degrees: float
) -> None:
    table, held = files(name)
    out = table.with_name("camera.yaml")
    assert AlignCamera(name, out, (table,), tuple(held)).run() == 0
    # Straight down, a little tilt looks like a little shift: what counts is where things on the table are seen.
    found = load_scene(top=out).top
    distance, angle = apart(found, camera)
    assert distance < millimetres
    assert angle < degrees
    assert found.fovy == pytest.approx(camera.fovy, abs=0.15)
    points = PLACED.on_table(BOARD.points)
    assert np.linalg.norm(View(found, SIZE).project(points) - View(camera, SIZE).project(points), axis=1).max() < 0.6
    overlay = cv2.imread(str(out.with_suffix(".png")))
    assert overlay is not None
    assert overlay.shape == (480, 1280, 3)
    assert CheckCamera(out, table).run() == 0
    assert CheckCamera(out, table, placed=(PLACED.x + 0.01, PLACED.y, 0.0)).run() == 1


def test_overlay_lies_on_what_it_shows(pictures: dict[str, list[Frame]]) -> None:
    def lit(camera: Camera) -> float:
        """How much brighter or darker the picture becomes along the simulated edges: on an edge, much."""
        left = compare(real, camera, None, BOARD, PLACED)[:, :640].astype(int)
        edges = (left == (255, 0, 200)).all(axis=2)
        slope = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        return float(slope[edges].mean())

    real = pictures["top"][0]
    grey = cv2.cvtColor(real, cv2.COLOR_RGB2GRAY)
    assert lit(TOP) > 1.3 * lit(replace(TOP, position=(0.22, 0.02, 0.72), target=(0.22, 0.02, 0.0)))


def test_files_that_are_no_pictures_of_the_board_are_refused(
    tmp_path: Path, files: Callable[[str], tuple[Path, list[Path]]], pictures: dict[str, list[Frame]]
) -> None:
    table, held = files("lateral")
    frame = pictures["lateral"][0]
    other = cv2.aruco.CharucoBoard((7, 5), 0.04, 0.03, cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_6X6_50))
    covered = frame.copy()
    covered[:330] = 90
    wrong = {
        "no such file": None,
        "no picture": b"GIF of sorts",
        "no board": np.full((480, 640, 3), 120, np.uint8),
        "another board": np.repeat(other.generateImage((640, 480))[..., None], 3, axis=2),
        "blurred|no board": cv2.GaussianBlur(frame, (0, 0), 4.0),
        "corners, at least|no board": covered,
        "height, width": cv2.resize(pictures["lateral"][1], (800, 600)),
        "given twice": frame,
    }
    for number, (message, content) in enumerate(wrong.items()):
        path = tmp_path / f"wrong-{number}.png"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            write_picture(path, np.asarray(content, np.uint8))
        repeated = [path] if message == "given twice" else []
        with pytest.raises(InvalidFileError, match=message) as caught:
            align([table], [*held, path, *repeated])
        assert str(path) in str(caught.value)
        assert caught.value.cure
    with pytest.raises(InvalidInputError, match="table"):
        align([], held)
    for out, overlay in (("top.png", None), ("top.yaml", "top.yaml")):
        command = AlignCamera("top", tmp_path / out, (table,), tuple(held), overlay=overlay and tmp_path / overlay)
        with pytest.raises(InvalidInputError, match="name a"):
            command.run()
    assert not list(tmp_path.glob("*.yaml"))


def test_blur_is_measured(pictures: dict[str, list[Frame]]) -> None:
    large = cv2.resize(pictures["top"][1], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    sharp = find_corners(np.asarray(large, np.uint8), BOARD, "large")
    for sigma in (4.0, 6.0):
        blurred = cv2.cvtColor(cv2.GaussianBlur(large, (0, 0), sigma), cv2.COLOR_RGB2GRAY)
        # An ideal edge under a Gaussian rises over sqrt(2 pi) sigma; this one was four pixels wide before.
        ideal = np.sqrt(2 * np.pi * sigma**2 + 16)
        assert edge_width(blurred, sharp.ids, sharp.pixels - 0.5, BOARD) == pytest.approx(ideal, rel=0.35)
    with pytest.raises(InvalidFileError, match="is blurred"):
        find_corners(np.asarray(cv2.GaussianBlur(large, (0, 0), 11.0), np.uint8), BOARD, "large")


def test_table_pictures_are_averaged_unless_something_moved() -> None:
    table = computed(TOP, 0)[0]
    half = replace(table, name="half", ids=table.ids[:30], pixels=table.pixels[:30] + 0.4)
    mean = mean_corners([table, half, replace(table, pixels=table.pixels + 0.2)], BOARD)
    assert len(mean.ids) == len(table.ids)
    assert mean.pixels[:30] - table.pixels[:30] == pytest.approx(0.2)
    with pytest.raises(InvalidFileError, match="moved"):
        mean_corners([table, replace(table, name="later", pixels=table.pixels + 3.0)], BOARD)


def test_camera_that_was_moved_does_not_fit_any_more(
    tmp_path: Path, files: Callable[[str], tuple[Path, list[Path]]]
) -> None:
    table, _ = files("lateral")
    told = tmp_path / "lateral.yaml"
    assert AlignCamera("lateral", told, (table,), fovy=LATERAL.fovy).run() == 0
    error, width = check(told, table, BOARD, PLACED)
    assert (error < 1.0, width) == (True, 640)
    error, _ = check(told, table, BOARD, Placement(PLACED.x, PLACED.y, 3.0))
    assert error > 3.0


def test_pictures_are_taken_until_the_board_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: dict[str, list[Frame]]
) -> None:
    class Shown:
        """LeRobot's camera, as far as it is used."""

        def __init__(self) -> None:
            self.frames = [pictures["top"][0], np.full((480, 640, 3), 90, np.uint8), *pictures["top"][1:3]]
            self.is_connected = False

        def connect(self) -> None:
            self.is_connected = True

        def disconnect(self) -> None:
            self.is_connected = False

        def read_latest(self, max_age_ms: int) -> Frame:
            return self.frames.pop(0)

    shown = Shown()
    monkeypatch.setattr("lerobot.cameras.utils.make_cameras_from_configs", lambda configs: {"top": shown})
    wishes: list[str] = []
    told: list[str] = []
    settings = {"type": "opencv", "index_or_path": 0, "width": 640, "height": 480, "fps": 30}
    table, held = capture("top", settings, BOARD, tmp_path, 2, wishes.append, told.append)
    assert len(wishes) == 4
    assert [told[1].startswith("not kept"), told[2].startswith("not kept")] == [True, False]
    assert not shown.is_connected
    assert len(align([table], held, BOARD, PLACED, fovy=TOP.fovy).pictures) == 3
