"""The second suite: a measured arm, late answers, other starts, crossed axes."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from autoarm.suite.draw import episode, plan_suite
from autoarm.suite.geometry import hull_distance, nearest_distance
from autoarm.suite.real_table import doable_axes
from autoarm.suite.suite import SIZES, Suite, load_suite
from gym_autoarm import spec
from gym_autoarm.body_files import read_body_file, shipped_body
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.kinematics import to_radians
from gym_autoarm.model import CUBE, compile_scene
from gym_autoarm.sampling import HOME_NOISE
from gym_autoarm.scene import HOME, LATERAL, TOP, Box, Cube, Light, Scene
from gym_autoarm.scene_data import restore_scene, scene_changes

VARIANTS = Path(__file__).parents[3] / "benchmarks/arms/so101-12v/variants.py"
ARMS = ("soft", "stiff", "late", "worn", "low-voltage")


@pytest.fixture(scope="module")
def first() -> Suite:
    return load_suite("five-spots-v1")


@pytest.fixture(scope="module")
def second() -> Suite:
    return load_suite("five-spots-v2")


def drawn(suite: Suite, axis: str, level: str, count: int = 10) -> list[Scene]:
    return [episode(suite, axis, level, index).scene for index in range(count)]


# -- What is measured --------------------------------------------------------------------------------------------------


def test_it_keeps_the_axes_and_levels_of_the_first_but_for_the_arm(first, second):
    assert (second.spots, second.area, second.time_limit) == (first.spots, first.area, first.time_limit)
    assert set(second.axes) == {
        *first.axes,
        *("noise", "latency", "start", "lighting-texture", "camera-interpolation"),
    }
    for name in set(first.axes) - {"arm", "all"}:
        assert second.axes[name].levels == first.axes[name].levels
        assert second.axes[name].seed != first.axes[name].seed


def test_sizes_are_what_is_promised(second):
    totals = [len(plan_suite(second, second.counts(size, None))) for size in SIZES]
    assert totals == [189, 945, 2835]


def test_no_two_episodes_share_a_seed(second):
    seeds = [each.seed for each in plan_suite(second, second.counts("full", None))]
    assert len(set(seeds)) == len(seeds)


def test_the_arm_is_the_measured_one_unless_an_axis_is_about_it(second):
    for each in plan_suite(second, second.counts("quick", None)):
        assert (each.scene.body == shipped_body("so101-12v")) is (each.group not in ("arm", "all"))


def test_what_an_axis_varies_is_all_that_differs(second):
    """Cube, start and noise seed differ between any two episodes; beside them only what the axis is about."""
    usual = Scene()
    about = {
        "distractors": {"distractors": ()},
        "lighting": {"light": Light()},
        "texture": {"surface": "oak"},
        "camera": {"top": TOP, "lateral": LATERAL},
        "box": {"box": Box()},
        "arm": {"body": usual.body},
        "noise": {"image_noise": 0.0},
        "lighting-texture": {"light": Light(), "surface": "oak"},
        "camera-interpolation": {"top": TOP, "lateral": LATERAL},
    }
    for each in plan_suite(second, second.counts("quick", None)):
        if each.group in ("all", "object"):
            continue
        same = replace(each.scene, start=usual.start, noise_seed=0, cube=usual.cube)
        changed = {field for field in about.get(each.group, {}) if getattr(same, field) != getattr(usual, field)}
        assert changed == set(about.get(each.group, {})), each.key
        assert replace(same, **about.get(each.group, {})) == usual, each.key
        assert replace(each.scene.cube, x=0.0, y=0.0, yaw=0.0) == Cube(0.0, 0.0)
        assert (each.latency is not None) is (each.group == "latency")


def test_crossed_axes_change_both(second):
    for scene in drawn(second, "lighting-texture", "medium"):
        assert scene.light != Light()
        assert scene.surface != "oak"
    for scene in drawn(second, "camera-interpolation", "2cm"):
        place = scene.cube.x, scene.cube.y
        assert np.linalg.norm(np.subtract(scene.top.position, TOP.position)) == pytest.approx(0.02)
        assert hull_distance(place, second.hull) < 0
        assert nearest_distance(place, list(second.spots.values())) >= 0.025


def test_latencies_are_those_that_levels_are_named_after(second):
    for name, level in second.axes["latency"].levels.items():
        latency = episode(second, "latency", name, 0).latency
        assert latency is not None
        assert 1000 * latency.steps / spec.FPS == level.value == float(name.removesuffix("ms"))
        assert latency.chunk == 25


def test_a_real_arm_answers_late_as_well_but_does_not_begin_elsewhere(second):
    assert "latency" in doable_axes(second)
    assert "start" not in doable_axes(second)


# -- Where the arm begins ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned_starts(second):
    return plan_suite(second, second.counts("full", None, ["start"]))


def test_joints_are_displaced_by_what_the_level_says(second, planned_starts):
    for each in planned_starts:
        most = second.axes["start"].levels[each.level].value
        moved = np.abs(np.subtract(each.scene.start, HOME))
        noise = 6 * HOME_NOISE
        assert (moved[spec.ARM] < most + noise).all()
        assert (moved[spec.ARM] > most / 2 - noise).all()
        assert moved[spec.GRIPPER] < noise
        assert (np.asarray(each.scene.start) < spec.ACTION_HIGH).all()
        assert (np.asarray(each.scene.start) > spec.ACTION_LOW).all()


def test_every_start_is_clear_of_table_box_cube_and_base(planned_starts):
    """By all shapes of the arm, also those that only cameras see."""
    model = compile_scene(Scene())
    data = mujoco.MjData(model)
    links = [model.body(int(body)).name for body in model.geom_bodyid]
    shapes = {
        "table": [number for number, link in enumerate(links) if link == "world"],
        "things": [number for number, link in enumerate(links) if link in ("box", CUBE)],
        "base": [number for number, link in enumerate(links) if link in ("base", "shoulder")],
        "moving": [
            n for n, link in enumerate(links) if link in ("lower_arm", "wrist", "gripper", "moving_jaw_so101_v1")
        ],
        "far": [number for number, link in enumerate(links) if link in ("wrist", "gripper", "moving_jaw_so101_v1")],
    }
    cube = model.joint(CUBE).qposadr[0]

    def distance(one: str, other: str) -> float:
        return min(
            mujoco.mj_geomDistance(model, data, a, b, 1.0, np.zeros(6)) for a in shapes[one] for b in shapes[other]
        )

    assert len(planned_starts) == 135
    for each in planned_starts:
        data.qpos[:6] = to_radians(np.asarray(each.scene.start))
        data.qpos[cube : cube + 3] = each.scene.cube.x, each.scene.cube.y, each.scene.cube.size / 2
        mujoco.mj_kinematics(model, data)
        assert distance("table", "moving") > 0.02, each.key
        assert distance("things", "moving") > 0.01, each.key
        assert distance("base", "far") > 0.005, each.key


# -- Bodies around the measured one ------------------------------------------------------------------------------------


def test_bodies_are_what_is_made_of_the_measured_one():
    """After a change of so101-12v.yaml run benchmarks/arms/so101-12v/variants.py."""
    made = dict(runpy.run_path(str(VARIANTS))["variants"]())
    assert tuple(made) == ARMS
    for name, file in made.items():
        assert read_body_file(f"so101-12v-{name}") == file
        assert file.source


def test_bodies_differ_from_the_measured_one_as_they_are_named():
    usual = shipped_body("so101-12v")
    soft, stiff, late, worn, low = (shipped_body(f"so101-12v-{name}") for name in ARMS)

    def numbers(body, field):
        return np.array([getattr(servo, field) for servo in body.servos])

    assert (numbers(soft, "kp") == 8.9).all()
    assert numbers(stiff, "kp") == pytest.approx(2 * numbers(usual, "kp"), rel=1e-3)
    assert numbers(low, "kp") == pytest.approx(7.4 / 12 * numbers(usual, "kp"), rel=1e-3)
    assert numbers(low, "torque_limit") == pytest.approx(7.4 / 12 * numbers(usual, "torque_limit"), rel=1e-3)
    assert (numbers(low, "damping") == numbers(usual, "damping")).all()
    assert replace(late, delay=usual.delay) == usual
    assert late.delay - usual.delay == pytest.approx(0.124)
    assert worn.backlash == 1.0
    assert (numbers(worn, "frictionloss") >= 0.4).all()


def test_rows_name_the_body_and_give_it_back(second):
    for level in second.axes["arm"].levels:
        scene = drawn(second, "arm", level, 1)[0]
        assert scene_changes(scene)["body"]["name"].startswith("so101-12v")
        assert restore_scene(scene_changes(scene)) == scene


# -- Its file ----------------------------------------------------------------------------------------------------------


def test_the_numbers_of_its_bodies_belong_to_its_digest(second, monkeypatch):
    other = replace(shipped_body("so101-12v"), backlash=0.1)
    before = second.sha256
    monkeypatch.setattr("autoarm.suite.suite.shipped_body", lambda name: other)
    assert load_suite("five-spots-v2").sha256 != before


def test_bodies_are_named_in_one_way_only(write_suite, data):
    data["axes"]["far"]["levels"]["near"]["body"] = {"name": "so101-12v"}
    with pytest.raises(InvalidFileError, match=r"body\.name"):
        load_suite(write_suite(data))
    data["body"] = "so101-12v-soft"
    suite = load_suite(write_suite(data))
    assert drawn(suite, "still", "", 1)[0].body == shipped_body("so101-12v-soft")
    assert drawn(suite, "far", "near", 1)[0].body == shipped_body("so101-12v")
    data["axes"]["far"]["levels"]["near"]["body"] = {"gains": "so101"}
    with pytest.raises(InvalidFileError, match=r"body\.gains"):
        load_suite(write_suite(data))


def test_a_change_of_the_body_comes_on_top_of_its_own(write_suite, data):
    data["body"] = "so101-12v-late"
    data["axes"]["far"]["levels"]["near"]["body"] = {"latency": 3, "backlash": 0.5}
    body = drawn(load_suite(write_suite(data)), "far", "near", 1)[0].body
    assert body.delay == pytest.approx(0.124 + 0.1)
    assert body.backlash == 0.5
