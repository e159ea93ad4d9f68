"""What a suite says is what is drawn, and a suite that says nonsense is refused with its place."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoarm.evaluation.engine import run_episodes
from autoarm.evaluation.source import PolicySource
from autoarm.results.result import level_intervals
from autoarm.suite.draw import episode, plan_suite
from autoarm.suite.episodes import Episode
from autoarm.suite.geometry import convex_hull, hull_distance, nearest_distance
from autoarm.suite.suite import SIZES, Suite, load_suite, suite_names
from gym_autoarm import spec
from gym_autoarm.body_files import STIFF_BODY, shipped_body
from gym_autoarm.errors import AutoArmError, InvalidFileError, InvalidInputError
from gym_autoarm.scene import LATERAL, TOP, Box, Cube, Light, Scene

AXES = (
    *("seen", "fresh", "interpolation", "extrapolation", "yaw", "object", "distractors"),
    *("lighting", "texture", "camera", "box", "arm", "all"),
)


@pytest.fixture(scope="module")
def five() -> Suite:
    return load_suite("five-spots-v1")


@pytest.fixture(scope="module")
def planned(five: Suite) -> dict[str, list[Episode]]:
    return {size: plan_suite(five, five.counts(size, None)) for size in SIZES}


# -- The shipped suite -------------------------------------------------------------------------------------------------


def test_the_suite_is_of_the_training_spots_and_of_every_axis(five):
    assert suite_names() == ["five-spots-v1", "five-spots-v2"]
    assert five.spots == spec.SPOTS
    assert tuple(five.axes) == AXES
    assert five.image_size == spec.IMAGE_SIZE
    assert five.time_limit == spec.TIME_LIMIT


def test_sizes_are_what_is_promised(planned):
    totals = {size: len(episodes) for size, episodes in planned.items()}
    assert totals["quick"] <= 170
    assert 600 <= totals["standard"] <= 800
    assert totals["full"] >= 2000


def test_a_size_begins_with_the_smaller_one(planned):
    for small, large in (("quick", "standard"), ("standard", "full")):
        first = {(each.group, each.level): 0 for each in planned[large]}
        for each in planned[small]:
            first[each.group, each.level] += 1
        cut = [each for each in planned[large] if each.index < first[each.group, each.level]]
        assert cut == planned[small]


def test_no_two_episodes_share_a_seed(planned):
    seeds = [each.seed for each in planned["full"]]
    assert len(set(seeds)) == len(seeds)


def test_an_episode_does_not_depend_on_what_else_is_run(five):
    alone = plan_suite(five, five.counts("custom", 2, ["camera"]))
    together = plan_suite(five, five.counts("custom", 3))
    assert {each.key for each in alone} <= {each.key for each in together}
    assert [each for each in together if each.group == "camera" and each.index < 2] == alone


def drawn(suite: Suite, axis: str, level: str, count: int = 30) -> list[Scene]:
    return [episode(suite, axis, level, index).scene for index in range(count)]


def place(scene: Scene) -> tuple[float, float]:
    return scene.cube.x, scene.cube.y


def test_seen_fresh_and_between_are_what_they_are_called(five):
    spots = list(spec.SPOTS.values())
    for scene in drawn(five, "seen", ""):
        assert place(scene) in spots
        assert scene.cube.yaw == 0.0
    for scene in drawn(five, "fresh", ""):
        assert 0 < nearest_distance(place(scene), spots) <= 0.003 * math.sqrt(2)
        assert abs(scene.cube.yaw) <= 8
    for scene in drawn(five, "interpolation", ""):
        assert hull_distance(place(scene), five.hull) < 0
        assert nearest_distance(place(scene), spots) >= 0.025
        assert abs(scene.cube.yaw) <= 8
    assert [place(scene) for scene in drawn(five, "seen", "", 5)] == spots


@pytest.mark.parametrize(("level", "low", "high"), [("1-2cm", 1, 2), ("2-4cm", 2, 4), ("4-6cm", 4, 6)])
def test_beyond_is_as_far_as_the_level_says(five, level, low, high):
    for scene in drawn(five, "extrapolation", level):
        assert low <= 100 * hull_distance(place(scene), five.hull) <= high
        assert five.area.holds(place(scene))


def test_turns_go_both_ways_by_what_the_level_says(five):
    turns = [scene.cube.yaw for scene in drawn(five, "yaw", "30deg")]
    assert set(turns) == {-30.0, 30.0}


def test_what_an_axis_varies_is_all_that_differs(five):
    """Cube, start and noise seed differ between any two episodes; beside them only what the axis is about."""
    usual = Scene(body=shipped_body(STIFF_BODY))

    def without(scene: Scene, **same: Any) -> Scene:
        return replace(scene, start=usual.start, noise_seed=0, cube=usual.cube, **same)

    about = {
        "distractors": {"distractors": ()},
        "lighting": {"light": Light()},
        "texture": {"surface": "oak"},
        "camera": {"top": TOP, "lateral": LATERAL},
        "box": {"box": Box()},
        "arm": {"body": usual.body, "image_noise": 0.0},
    }
    for axis in set(AXES) - {"all"}:
        for level in five.axes[axis].levels:
            for scene in drawn(five, axis, level, 3):
                assert without(scene, **about.get(axis, {})) == usual, (axis, level)
                bare = replace(scene.cube, x=0.0, y=0.0, yaw=0.0)
                assert (bare == Cube(0.0, 0.0)) is (axis != "object"), (axis, level)
                if axis in about:
                    assert without(scene) != usual, (axis, level)


def test_levels_have_the_strength_they_are_named_after(five):
    for level, metres in (("1cm", 0.01), ("2cm", 0.02), ("4cm", 0.04)):
        for scene in drawn(five, "camera", level, 5):
            for camera, usual in ((scene.top, TOP), (scene.lateral, LATERAL)):
                assert math.dist(camera.position, usual.position) == pytest.approx(metres)
                assert math.dist(camera.target, usual.target) == pytest.approx(metres)
                assert abs(camera.roll) == pytest.approx(100 * metres)
    for level, metres in (("2cm", 0.02), ("4cm", 0.04), ("6cm", 0.06)):
        for scene in drawn(five, "box", level, 5):
            assert math.dist((scene.box.x, scene.box.y), (Box().x, Box().y)) == pytest.approx(metres)
    for number, level in enumerate(("one", "two", "three"), start=1):
        assert {len(scene.distractors) for scene in drawn(five, "distractors", level, 5)} == {number}
    dark = [
        np.mean([scene.light.diffuse for scene in drawn(five, "lighting", name)])
        for name in five.axes["lighting"].levels
    ]
    assert dark == sorted(dark, reverse=True)
    assert drawn(five, "arm", "gains-so100-soft", 1)[0].body == shipped_body("so100-soft")


def test_distractors_leave_room_for_the_jaws_and_for_each_other(five):
    for scene in drawn(five, "distractors", "three") + drawn(five, "all", "strong"):
        things = [(each.x, each.y) for each in scene.distractors]
        assert all(math.dist(place(scene), thing) > 0.07 for thing in things)
        assert min(math.dist(a, b) for a in things for b in things if a != b) > 0.043
        box = scene.box
        assert all(max(abs(x - box.x), abs(y - box.y)) > box.inner / 2 + 0.02 for x, y in things)


@pytest.mark.slow
def test_the_expert_can_do_the_standard_suite(five):
    planned = plan_suite(five, five.counts("standard", None))
    source = PolicySource("expert")
    rows = [done.row for done in run_episodes(source, source.load(), planned)]
    assert sum(row.success for row in rows) >= 0.99 * len(rows)
    assert all(interval.rate > 0.85 for interval in level_intervals(rows).values())


# -- Geometry ----------------------------------------------------------------------------------------------------------

points = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


def test_distances_from_a_square_have_their_known_values():
    square = convex_hull([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5), (0.5, 0.0)])
    assert square.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert hull_distance((0.5, 0.4), square) == pytest.approx(-0.4)
    assert hull_distance((2.0, 0.5), square) == pytest.approx(1.0)
    assert hull_distance((2.0, 2.0), square) == pytest.approx(math.sqrt(2))
    assert nearest_distance((0.0, 3.0), [(0.0, 0.0), (4.0, 3.0)]) == 3.0


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=9),
    st.lists(st.floats(0.01, 1), min_size=9, max_size=9),
)
def test_a_mean_of_points_is_not_outside_their_hull(corners, weights):
    hull = convex_hull([(float(x), float(y)) for x, y in corners])
    if len(hull) == 0:
        return  # all on one line
    mean = np.average(corners, axis=0, weights=weights[: len(corners)])
    assert hull_distance((float(mean[0]), float(mean[1])), hull) <= 1e-9


# -- Suites that are wrong ---------------------------------------------------------------------------------------------


def test_a_good_file_loads_and_layout_does_not_matter(small, write_suite, data):
    again = load_suite(write_suite(data))
    assert again.sha256 == small.sha256
    data["axes"]["still"]["seed"] = 7
    assert load_suite(write_suite(data)).sha256 != small.sha256


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("axes", "still", "seed"), 2, "axes.far.seed"),
        (("axes", "still", "seed"), -1, "axes.still.seed"),
        (("axes", "still", "surprise"), 1, "axes.still.surprise"),
        (("axes", "far", "levels", "near", "cube", "distence"), 1, "axes.far.levels.near.cube.distence"),
        (("axes", "far", "levels", "near", "cube", "at"), "inside", "axes.far.levels.near.cube"),
        (("axes", "far", "levels", "near", "cube", "distance"), [0.02, 0.01], "axes.far.levels.near.cube"),
        (("axes", "far", "levels", "near", "body"), {"gains": "so999"}, "axes.far.levels.near.body.gains"),
        (("axes", "far", "levels", "near", "body"), {"name": "so999"}, "axes.far.levels.near.body.name"),
        (("axes", "far", "levels", "near", "start"), 46, "axes.far.levels.near.start"),
        (("axes", "far", "levels", "near", "latency"), {"steps": 3}, "axes.far.levels.near.latency.chunk"),
        (("axes", "far", "levels", "near", "latency"), {"steps": -1, "chunk": 2}, "axes.far.levels.near.latency.steps"),
        (("body",), "so999", "body"),
        (("streams",), 3, "streams"),
        (("axes", "far", "levels", "near", "surface"), ["ice"], "axes.far.levels.near.surface.0"),
        (("axes", "far", "levels", "near", "distractors"), "many", "axes.far.levels.near.distractors"),
        (("axes", "far", "episodes"), {"quick": 3, "standard": 2, "full": 9}, "axes.far.episodes"),
        (("axes", "far", "levels"), {}, "axes.far.levels"),
        (("axes",), {}, "axes"),
        (("spots", "left"), [0.17, 0.01], "spots.left"),
        (("spots", "left"), [0.10, 0.02], "spots.left"),
        (("area", "x"), [0.15, 0.45], "area"),
        (("area", "x"), [0.31, 0.15], "area"),
        (("version",), 0, "version"),
        (("name",), "No spaces!", "name"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(write_suite, data, path, value, field):
    place = data
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    file = write_suite(data)
    with pytest.raises(InvalidFileError) as caught:
        load_suite(file)
    assert (caught.value.file, caught.value.field) == (str(file), field)
    assert caught.value.cure


def test_a_pose_out_of_reach_is_refused(write_suite, data):
    data["spots"]["far"], data["area"]["x"] = [0.44, 0.05], [0.15, 0.44]
    with pytest.raises(InvalidFileError, match="cannot reach") as caught:
        load_suite(write_suite(data))
    assert caught.value.field == "spots.far"


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every mapping of nested data is."""
    if not isinstance(data, dict):
        return []
    found = [path]
    for name, value in data.items():
        found += paths(value, (*path, name))
    return found


@given(st.data(), st.text("abcdefghijklmnop_", min_size=3, max_size=12))
def test_an_unknown_key_anywhere_is_refused(write_suite, make_data, draw, name):
    # Names of spots, axes and levels are free, and there `True` is not what belongs.
    data = make_data()
    path = draw.draw(st.sampled_from(paths(data)))
    place = data
    for part in path:
        place = place[part]
    assume(name not in (*place, "surface", "object", "light", "camera", "box", "body", "image_noise", "value"))
    assume(name not in ("start", "latency", "streams"))
    place[name] = True
    with pytest.raises(InvalidFileError) as caught:
        load_suite(write_suite(data))
    assert name in str(caught.value.field)


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n", "a: [", "name: x\nname: y\n", "\x00"])
def test_a_file_that_is_no_suite_is_refused(tmp_path, text):
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(InvalidFileError) as caught:
        load_suite(file)
    assert caught.value.file == str(file)


def test_a_suite_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(InvalidFileError, match="no such file"):
        load_suite(tmp_path / "missing.yaml")
    with pytest.raises(InvalidInputError, match="no suite 'fife-spots-v1'") as caught:
        load_suite("fife-spots-v1")
    assert "five-spots-v1" in str(caught.value.cure)


def test_axes_and_sizes_that_do_not_exist_are_refused(small):
    with pytest.raises(InvalidInputError, match="no axis 'dark'"):
        small.counts("quick", None, ["dark"])
    with pytest.raises(InvalidInputError, match="measure nothing"):
        small.counts("custom", 0)


def test_what_cannot_be_placed_is_said(write_suite, data):
    data["axes"]["far"]["levels"]["near"]["cube"]["distance"] = [0.4, 0.5]
    suite = load_suite(write_suite(data))
    with pytest.raises(AutoArmError, match="no place"):
        plan_suite(suite, suite.counts("quick", None))
