"""The leaderboard's figures: what is drawn are the results, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from autoarm.figures.style import save_figure
from autoarm.leaderboard.ranking import standings
from autoarm.leaderboard.ranking_figure import ranking
from autoarm.results.plots.axis_curves import MOST, axis_curves
from autoarm.results.plots.failures import failures
from autoarm.results.plots.success_map import success_map
from autoarm.results.result import Result
from gym_autoarm.errors import InvalidInputError

MakeSuiteResult = Callable[..., Result]
Drawn = tuple[Figure, list[dict[str, object]]]
LONG_NAME = "act-five-spots-with-a-rather-long-name"


@pytest.fixture(scope="module")
def results(make_suite_result: MakeSuiteResult) -> list[Result]:
    return [
        make_suite_result(LONG_NAME, 0.7, 0.2),
        make_suite_result("part", 0.4, 0.1, axes=["seen", "yaw"]),
        make_suite_result("no-op", -1.0, 0.0, role="floor"),
    ]


@pytest.fixture(scope="module")
def drawn(results: list[Result]) -> dict[str, Drawn]:
    return {
        "curves": axis_curves(results),
        "one curve": axis_curves(results[:1]),
        "ranking": ranking(standings(results)),
        "outcomes": failures(results),
        "map": success_map(results[:1]),
    }


@pytest.mark.parametrize("name", ["curves", "one curve", "ranking", "map", "outcomes"])
def test_nothing_is_cut_off(name: str, drawn: dict[str, Drawn]) -> None:
    figure = drawn[name][0]
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01


def test_curves_go_through_the_rates_of_the_levels(results: list[Result], drawn: dict[str, Drawn]) -> None:
    figure, rows = drawn["one curve"]
    panel = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Turned cube")
    (line,) = panel.lines
    levels = {name: own for name, own in results[0].levels.items() if name.startswith("yaw/")}
    np.testing.assert_allclose(line.get_xdata(), [15, 30, 45])
    np.testing.assert_allclose(line.get_ydata(), [own.rate for own in levels.values()])
    (band,) = panel.collections
    bounds = {round(float(y), 6) for y in band.get_paths()[0].vertices[:, 1]}
    assert {round(own.low, 6) for own in levels.values()} | {round(own.high, 6) for own in levels.values()} <= bounds
    assert len(rows) == sum(len(axis.levels) for axis in results[0].setting.suite.axes.values())  # type: ignore[union-attr]


def test_map_shows_the_box_once(drawn: dict[str, Drawn]) -> None:
    # The suite moves it in many episodes.
    assert [text.get_text() for text in drawn["map"][0].axes[0].texts].count("box") == 1


def test_outcomes_add_up(results: list[Result], drawn: dict[str, Drawn]) -> None:
    _, rows = drawn["outcomes"]
    for result in results:
        own = [row for row in rows if row["bar"] == result.policy.name]
        assert sum(int(str(row["episodes"])) for row in own) == len(result.rows)
        succeeded = next(row for row in own if row["outcome"] == "success")
        assert succeeded["episodes"] == result.overall.successes


def test_ranking_shows_those_who_have_a_score(drawn: dict[str, Drawn]) -> None:
    assert [(row["policy"], row["rank"]) for row in drawn["ranking"][1]] == [(LONG_NAME, 1), ("no-op", "")]


def test_saved_with_the_data_beside_it(drawn: dict[str, Drawn], tmp_path: Path) -> None:
    figure, rows = drawn["ranking"]
    save_figure(figure, tmp_path / "ranking", rows)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ranking.csv", "ranking.png", "ranking.svg"]


def test_what_cannot_be_drawn_is_refused(results: list[Result]) -> None:
    with pytest.raises(InvalidInputError):
        axis_curves([])
    with pytest.raises(InvalidInputError):
        failures([])
    with pytest.raises(InvalidInputError):
        ranking([])
    with pytest.raises(InvalidInputError, match="told apart"):
        axis_curves(results[:1] * (MOST + 1))
