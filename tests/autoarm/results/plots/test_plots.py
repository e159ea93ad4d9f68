"""Figures: the markers are the data, nothing is cut off, and the data lies beside the picture."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from autoarm.figures.style import FAILURE, SUCCESS, save_figure
from autoarm.interp.figures.attention import attention_figure
from autoarm.interp.methods.attention import CrossAttention, TokenLayout
from autoarm.results.plots.rates import rates
from autoarm.results.plots.success_map import success_map
from autoarm.results.result import Result
from autoarm.statistics import wilson_interval
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene_data import restore_scene

MakeResult = Callable[..., Result]
LONG_NAME = "act-five-spots-with-a-rather-long-name"


def cut_off(figure: Figure) -> bool:
    """Whether anything that is drawn lies outside the figure."""
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return bool(min(drawn.x0, drawn.y0) < -0.01 or drawn.x1 > width + 0.01 or drawn.y1 > height + 0.01)


def test_a_cut_off_label_would_be_noticed() -> None:
    figure = Figure(figsize=(2, 2))
    assert not cut_off(figure)
    figure.text(0.9, 0.5, "too far to the right")
    assert cut_off(figure)


@pytest.fixture
def results(make_result: MakeResult) -> list[Result]:
    return [
        make_result(LONG_NAME, "spots", [True] * 8 + [False] * 2),
        make_result(LONG_NAME, "everywhere", [True, False] * 5),
        make_result("expert", "spots", [True] * 10),
        make_result("expert", "everywhere", [True] * 10),
    ]


def test_map_shows_each_cube_where_it_lay(results: list[Result]) -> None:
    figure, rows = success_map(results[:2])
    points = {c.get_label().split(" ")[0]: np.asarray(c.get_offsets()) for c in figure.axes[0].collections}
    for name, success in (("success", True), ("failure", False)):
        episodes = [row for result in results[:2] for row in result.rows if row.success is success]
        cubes = [restore_scene(row.scene).cube for row in episodes]
        np.testing.assert_allclose(points[name], [(cube.y, cube.x) for cube in cubes])
    assert len(rows) == 20
    assert "13 of 20" in " ".join(figure.axes[0].get_title().split())


def test_map_is_turned_like_the_top_camera(results: list[Result]) -> None:
    # Left in the picture is the arm's left, +y; up is ahead, +x.
    axes = success_map(results[:1])[0].axes[0]
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    assert left > 0.14
    assert right < -0.2
    assert low < 0 < 0.27 < high
    assert axes.get_aspect() == 1.0


def test_outcomes_differ_in_shape_and_in_brightness(results: list[Result]) -> None:
    axes = success_map(results[:2])[0].axes[0]
    shapes = {
        c.get_label().split(" ")[0]: len(c.get_paths()[0].vertices)
        for c in axes.collections
        if "(" in str(c.get_label())
    }
    assert shapes["success"] != shapes["failure"]
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (SUCCESS, FAILURE)])
    assert np.abs(rgb[0] - rgb[1]).max() > 0.5


def test_map_with_one_outcome_only(make_result: MakeResult) -> None:
    figure, rows = success_map([make_result("expert", "spots", [True] * 5)])
    assert [row["success"] for row in rows] == [True] * 5
    assert not cut_off(figure)


def test_rates_are_those_of_the_results(results: list[Result]) -> None:
    figure, rows = rates(results)
    assert [(row["successes"], row["episodes"]) for row in rows] == [(8, 10), (5, 10), (10, 10), (10, 10)]
    low, high = wilson_interval(8, 10)
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((low, high))
    lines = [axes.containers[0] for axes in figure.axes]
    drawn = [container.lines[2][0].get_segments()[0] for container in lines]
    np.testing.assert_allclose(drawn[0][:, 0], [low, high])
    np.testing.assert_allclose(drawn[1][:, 0], wilson_interval(5, 10))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "At the training spots",
        "Anywhere in the work area",
    ]


@pytest.mark.parametrize("name", ["map", "rates", "attention"])
def test_nothing_is_cut_off(name: str, results: list[Result]) -> None:
    drawers = {
        "map": lambda: success_map(results[:2]),
        "rates": lambda: rates(results),
        "attention": lambda: attention_figure(*attention()),
    }
    assert not cut_off(drawers[name]()[0])


def test_saved_with_its_data_and_equal_every_time(results: list[Result], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        path = save_figure(*saved_as(success_map(results[:2]), tmp_path / folder / "map"))
    assert sorted(file.name for file in path.parent.iterdir()) == ["map.csv", "map.png", "map.svg"]
    for name in ("map.csv", "map.png", "map.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    with Image.open(path) as image:
        assert image.size == (832, 800)
    with (path.parent / "map.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    rows = [row for result in results[:2] for row in result.rows]
    assert [float(line["cube_x"]) for line in table] == [restore_scene(row.scene).cube.x for row in rows]
    assert [line["success"] == "True" for line in table] == [row.success for row in rows]
    assert [int(line["seed"]) for line in table] == [row.seed for row in rows]


def saved_as(drawn: tuple[Figure, list[dict[str, object]]], stem: Path) -> tuple[Figure, Path, list[dict[str, object]]]:
    return drawn[0], stem, drawn[1]


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        success_map([])
    with pytest.raises(InvalidInputError):
        rates([])
    with pytest.raises(InvalidInputError):
        save_figure(Figure(), tmp_path / "empty", [])
    assert list(tmp_path.iterdir()) == []


def attention() -> tuple[dict[str, np.ndarray], CrossAttention]:
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.5, size=(2, 5, 26)).astype(np.float32)
    weights /= weights.sum(axis=-1, keepdims=True)
    layout = TokenLayout(("latent", "state"), {"top": (3, 4), "lateral": (3, 4)})
    frames = {camera: np.full((48, 64, 3), 90, np.uint8) for camera in layout.grids}
    return frames, CrossAttention(weights, layout)


def test_attention_rows_are_the_whole_attention() -> None:
    frames, weights = attention()
    figure, rows = attention_figure(frames, weights)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0, abs=1e-5)
    cell = next(row for row in rows if (row["token"], row["row"], row["column"]) == ("lateral", 1, 2))
    assert cell["share"] == pytest.approx(float(weights.weights[..., 2 + 12 + 4 + 2].mean()), abs=1e-7)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels.count("share of the attention per patch") == 1


def test_large_grids_carry_no_numbers() -> None:
    layout = TokenLayout(("latent", "state"), {"top": (15, 20)})
    weights = np.full((1, 1, 302), 1 / 302, np.float32)
    figure, _ = attention_figure({"top": np.zeros((48, 64, 3), np.uint8)}, CrossAttention(weights, layout))
    assert not figure.axes[0].texts
