"""Failures of known kinds get their names; scenes come back from what differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm.evaluation.failure import EpisodeTrace, beside_box, failure_mode
from autoarm.evaluation.rollout import mean_squared_jerk
from gym_autoarm import spec
from gym_autoarm.body_files import DEFAULT_BODY, STIFF_BODY, body_names, load_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Box, Cube, Distractor, Light, Scene
from gym_autoarm.scene_data import restore_scene, scene_changes

CUBE = (0.21, 0.05, 0.015)
AWAY = (0.10, -0.10, 0.20)
BOX = (*spec.BOX_POSITION, 0.02)
BESIDE = (spec.BOX_POSITION[0], spec.BOX_POSITION[1] + 0.08, 0.015)


def ending(stage, grasp_end, cube_end, nearest=AWAY, **changes):
    grasp = np.array([AWAY, nearest, grasp_end])
    cube = np.array([CUBE, CUBE, cube_end])
    return EpisodeTrace(stage, grasp, cube, Scene(), **changes)


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        (ending("reach", AWAY, CUBE), "never-reached"),
        (ending("reach", AWAY, CUBE, nearest=(0.21, 0.05, 0.06)), "never-reached"),  # only above it
        (ending("reach", AWAY, CUBE, nearest=(0.21, 0.07, 0.02)), "missed-grasp"),
        (ending("grasp", AWAY, (0.22, 0.07, 0.015), nearest=CUBE), "missed-grasp"),
        (ending("lift", AWAY, (0.22, 0.0, 0.015), nearest=CUBE), "dropped"),
        (ending("lift", AWAY, BESIDE, nearest=CUBE), "missed-box"),
        (ending("place", AWAY, BESIDE, nearest=CUBE), "missed-box"),
        (ending("place", AWAY, (0.30, 0.1, 0.015), nearest=CUBE), "missed-box"),  # bounced off
        (ending("lift", (0.2, 0.0, 0.10), (0.2, 0.0, 0.095), nearest=CUBE), "timeout"),  # still carried
        (ending("place", AWAY, BOX, nearest=CUBE), "timeout"),  # in the box, but not yet at rest
        (ending("lift", AWAY, BOX, nearest=CUBE, broken=True), "error"),
    ],
)
def test_failures_of_a_known_kind(what, mode):
    assert failure_mode(what) == mode


def test_distance_from_the_box_turns_with_it():
    box = Box(x=0.0, y=0.0, inner=0.10)
    assert beside_box(np.array([0.0, 0.0, 0.0]), box) == pytest.approx(-0.05)
    assert beside_box(np.array([0.08, 0.0, 0.0]), box) == pytest.approx(0.03)
    assert beside_box(np.array([0.08, 0.09, 0.0]), box) == pytest.approx(0.05)
    corner = np.array([0.0, 0.05 * np.sqrt(2), 0.0])
    assert beside_box(corner, replace(box, yaw=45.0)) == pytest.approx(0.0, abs=1e-9)


def test_jerk_has_its_known_values():
    time = np.arange(30) / 30
    assert mean_squared_jerk(np.stack([time**3, 2 * time**2], axis=1), 30.0) == pytest.approx(18.0)  # mean of 6^2 and 0
    assert mean_squared_jerk(np.zeros((4, 5))) == 0.0
    assert mean_squared_jerk(np.zeros((3, 5))) is None


# -- Scenes as data ----------------------------------------------------------------------------------------------------


def test_the_usual_scene_says_no_more_than_its_body():
    assert scene_changes(Scene()) == {"body": {"name": DEFAULT_BODY}}
    assert scene_changes(Scene(body=load_body(STIFF_BODY))) == {}
    assert restore_scene({}) == Scene(body=load_body(STIFF_BODY))
    assert scene_changes(Scene(cube=Cube(x=0.2)))["cube"] == {"x": 0.2}


@given(st.integers(0, 2**32 - 1), st.sampled_from(body_names()), st.integers(0, 3))
def test_a_scene_comes_back_from_what_differs(seed, gains, count):
    scene = SceneDistribution().sample(seed)
    scene = replace(
        scene,
        distractors=tuple(Distractor(0.2, 0.01 * number) for number in range(count)),
        light=Light(diffuse=0.3, tint=(1.0, 0.9, 0.8)),
        body=replace(load_body(gains), delay=count / spec.FPS),
        top=replace(scene.top, roll=3.0),
        box=Box(x=0.2),
    )
    assert restore_scene(scene_changes(scene)) == scene


@pytest.mark.parametrize(
    ("changes", "where"),
    [({"sky": 1}, "scene"), ({"cube": {"z": 1}}, "scene.cube"), ({"cube": {"x": "left"}}, "scene.cube.x")],
)
def test_what_no_scene_has_is_refused(changes, where):
    with pytest.raises(InvalidInputError) as caught:
        restore_scene(changes)
    assert caught.value.field == where
