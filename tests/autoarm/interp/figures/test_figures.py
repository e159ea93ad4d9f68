"""Figures of the methods show their numbers, cut nothing off, and have a row of data for each mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from autoarm.figures.style import save_figure
from autoarm.interp.figures.absorption import absorption_bars
from autoarm.interp.figures.attribution import attribution_overlay, faithfulness_curves
from autoarm.interp.figures.lens import action_lens_curves, image_lens_strip
from autoarm.interp.figures.memory import unit_fields, unit_histogram
from autoarm.interp.figures.probes import channel_histogram, probe_table
from autoarm.interp.figures.slope import slope_map, slope_scatter
from autoarm.interp.figures.tracing import tracing_grid
from autoarm.interp.methods.absorption import Absorption
from autoarm.interp.methods.attribution import Curves
from autoarm.interp.methods.image_lens import image_lens
from autoarm.interp.methods.lens import ActionLens
from autoarm.interp.methods.probes import ChannelScores, ProbeScore
from autoarm.interp.methods.slope import slope
from autoarm.interp.methods.tracing import Trace
from autoarm.interp.model.arrays import arrays_of, save_arrays
from gym_autoarm.errors import InvalidInputError

Drawn = tuple[Figure, list[dict[str, Any]]]
RNG = np.random.default_rng(0)


def cut_off(figure: Figure) -> bool:
    """Whether anything that is drawn lies outside the figure."""
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return bool(min(drawn.x0, drawn.y0) < -0.02 or drawn.x1 > width + 0.02 or drawn.y1 > height + 0.02)


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def a_probe_table() -> Drawn:
    sites, targets = ["input.state", "encoder.0.out", "untrained encoder.0.out"], ["cube", "grasped"]
    scores = [
        ProbeScore(site, target, split, "r2", value, -3.0)
        for split in ("spot", "episode")
        for site, value in zip(sites, (0.12, 0.87, -2.0), strict=True)
        for target in targets
    ]
    figure, rows = probe_table(scores)
    assert len(rows) == 12
    assert {"0.12", "0.87", "< −1"} <= texts(figure)
    assert rows[2]["selectivity"] == 0.87
    return figure, rows


def a_channel_histogram() -> Drawn:
    figure, rows = channel_histogram(ChannelScores(np.array([0.5, 1.0, 0.9]), np.array([0.5, 1.0, 0.45])))
    assert [row["grouped"] for row in rows] == [0.5, 1.0, 0.45]
    return figure, rows


def a_tracing_grid() -> Drawn:
    encoder = RNG.uniform(size=(3, 3, 4, 3))
    encoder[:, 0, :, :2] = np.nan
    encoder[1] = np.nan  # an observation that acts like its source
    figure, rows = tracing_grid(
        Trace(("input", "0", "1"), ("latent", "state", "top", "all"), encoder, RNG.uniform(size=(3, 4)))
    )
    assert len(rows) == 4 * (1 + 2 * 3) + 4
    assert f"{np.nanmean(encoder[:, 2, 1, 0]):.2f}" in texts(figure)
    return figure, rows


def a_slope_scatter() -> Drawn:
    nearest, expert = RNG.normal(size=(2, 6, 5, 2))
    slopes = {"lookup": slope(nearest, nearest, expert), "act": slope((nearest + expert) / 2, nearest, expert)}
    figure, rows = slope_scatter(slopes, np.linspace(0, 0.05, 6), [True] * 4 + [False] * 2)
    assert [row["slope"] for row in rows] == pytest.approx([0.0] * 6 + [0.5] * 6)
    return figure, rows


def a_slope_map() -> Drawn:
    nearest, expert = RNG.normal(size=(2, 4, 5))
    return slope_map(slope(expert, nearest, expert), RNG.uniform(0.15, 0.2, (4, 2)), [(0.17, 0.0), (0.21, 0.05)])


def an_action_lens() -> Drawn:
    chunks = RNG.normal(size=(3, 5, 4, 2))
    lenses = {"seen": ActionLens((0, 1, 2), chunks, chunks / 2), "new": ActionLens((0, 1, 2), 2 * chunks)}
    figure, rows = action_lens_curves(lenses)
    assert len(rows) == 9
    assert rows[2]["distance"] == 0.0
    return figure, rows


def an_image_lens() -> Drawn:
    frames = RNG.integers(0, 255, (20, 2, 12, 16, 3), dtype=np.uint8)
    lens = image_lens(RNG.normal(size=(20, 3)).astype(np.float32), frames, np.arange(20) // 4)
    figure, rows = image_lens_strip({"encoder.out": lens, "a site with a rather long name": lens}, frames, [0, 9, 19])
    assert len(rows) == 6
    assert rows[1]["error"] == lens.error[9]
    return figure, rows


def absorption_of_two() -> Drawn:
    found = Absorption(*RNG.uniform(size=(5, 7)))
    unused = Absorption(np.zeros(7), *np.full((4, 7), np.nan))
    figure, rows = absorption_bars({"act-five-spots": found, "unused": unused})
    assert rows[0]["share"] == pytest.approx(found.direct.mean())
    return figure, rows


def an_attribution() -> Drawn:
    frames = {name: np.full((48, 64, 3), 128, np.uint8) for name in ("top", "lateral")}
    patches = {name: RNG.normal(size=(3, 4)).astype(np.float32) for name in frames}
    figure, rows = attribution_overlay(frames, patches, "the goal of shoulder_pan")
    assert len(rows) == 24
    return figure, rows


def faithfulness() -> Drawn:
    fraction = np.linspace(0, 1, 5, dtype=np.float32)
    curves = Curves(fraction, 1 - fraction, fraction, np.stack([1 - fraction] * 3), np.stack([fraction] * 3))
    assert curves.area("deletion") == pytest.approx(0.5)
    return faithfulness_curves({"integrated gradients": curves, "feature ablation": curves})


def fields_of_units() -> Drawn:
    figure, rows = unit_fields(RNG.uniform(size=(9, 20)), RNG.uniform(0.15, 0.2, (9, 2)), [3, 7, 11], np.zeros(20))
    assert len(rows) == 27
    return figure, rows


def a_unit_histogram() -> Drawn:
    figure, rows = unit_histogram([0.1, np.nan, 0.9], "R² of the field")
    assert len(rows) == 3
    return figure, rows


@pytest.mark.parametrize(
    "draw",
    [
        a_probe_table,
        a_channel_histogram,
        a_tracing_grid,
        a_slope_scatter,
        a_slope_map,
        an_action_lens,
        an_image_lens,
        absorption_of_two,
        an_attribution,
        faithfulness,
        fields_of_units,
        a_unit_histogram,
    ],
)
def test_figure(draw: Callable[[], Drawn]) -> None:
    figure, rows = draw()
    assert rows
    assert len({tuple(row) for row in rows}) == 1
    assert not cut_off(figure)


def test_a_figure_is_saved_with_its_data(tmp_path: Path) -> None:
    figure, rows = a_unit_histogram()
    save_figure(figure, tmp_path / "units", rows)
    assert {path.name for path in tmp_path.iterdir()} == {"units.png", "units.svg", "units.csv"}


def test_figures_of_nothing_are_refused() -> None:
    for draw in (
        lambda: probe_table([]),
        lambda: absorption_bars({}),
        lambda: faithfulness_curves({}),
        lambda: action_lens_curves({}),
        lambda: attribution_overlay({}, {}, ""),
        lambda: unit_histogram([np.nan], ""),
        lambda: slope_scatter({}, [], []),
    ):
        with pytest.raises(InvalidInputError):
            draw()


def test_results_are_saved_as_arrays(tmp_path: Path) -> None:
    trace = Trace(("input",), ("all",), np.ones((2, 1, 1, 3)), np.zeros((2, 4)))
    save_arrays(tmp_path / "trace.npz", arrays_of(trace))
    with np.load(tmp_path / "trace.npz", allow_pickle=False) as found:
        assert list(found) == ["layers", "groups", "encoder", "decoder"]
        assert found["layers"].tolist() == ["input"]
        np.testing.assert_array_equal(found["encoder"], trace.encoder)
    with pytest.raises(ValueError, match="objects"):
        save_arrays(tmp_path / "broken.npz", {"x": [{}]})
    assert not (tmp_path / "broken.npz").exists()
