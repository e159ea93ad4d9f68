"""Scenes that differ from the usual one in anything, drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import restore_scene, scene_changes
from gym_autoarm.variation import APPEARANCE, SHARE, VARIATIONS, check_variations, vary

FIELDS = {
    "object": ("cube",),
    "light": ("light",),
    "surface": ("surface",),
    "camera": ("top", "lateral"),
    "box": ("box",),
    "start": ("start",),
    "noise": ("image_noise",),
    "body": ("body",),
    "distractors": ("distractors",),
}
"""The scene's fields that each variation may change."""
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.sampled_from(list(VARIATIONS)))
def test_a_variation_changes_its_own_fields_alone(seed: int, name: str) -> None:
    varied = vary(Scene(), [name], seed)
    assert replace(varied, **{field: getattr(Scene(), field) for field in FIELDS[name]}) == Scene()


@given(seeds)
def test_one_more_variation_leaves_the_others_as_they_are(seed: int) -> None:
    alone, both = vary(Scene(), ["camera"], seed), vary(Scene(), ["light", "camera"], seed)
    assert (alone.top, alone.lateral) == (both.top, both.lateral)
    assert vary(Scene(), ["light"], seed).light == both.light


@pytest.mark.parametrize("name", VARIATIONS)
def test_every_quantity_is_the_usual_in_a_share_of_the_scenes(name: str) -> None:
    usual = sum(vary(Scene(), [name], seed) == Scene() for seed in range(400))
    assert usual / 400 == pytest.approx(1 - SHARE, abs=0.1)


@given(seeds)
@settings(max_examples=50)
def test_what_is_drawn_is_a_scene_that_can_be(seed: int) -> None:
    scene = SceneDistribution(vary=("all",)).sample(seed)
    assert restore_scene(scene_changes(scene)) == scene
    assert scene == SceneDistribution(vary=tuple(VARIATIONS)).sample(seed)
    assert scene.light.diffuse + scene.light.ambient <= 1
    assert all(
        low <= joint <= high for low, joint, high in zip(spec.ACTION_LOW, scene.start, spec.ACTION_HIGH, strict=True)
    )
    red = Scene().cube.colour
    for distractor in scene.distractors:
        assert math.dist((distractor.x, distractor.y), (scene.cube.x, scene.cube.y)) > 0.07
    if scene.distractors:
        assert scene.cube.colour == red  # which one is meant can be seen
    if not isinstance(scene.surface, str):
        assert math.dist(scene.surface.dark, scene.cube.colour) >= 0.3


@given(seeds)
@settings(max_examples=30)
def test_appearance_leaves_the_physics_alone(seed: int) -> None:
    varied = vary(Scene(), APPEARANCE, seed)
    for field in ("cube", "box", "start", "body", "distractors"):
        assert getattr(varied, field) == getattr(Scene(), field)


@pytest.mark.parametrize(
    ("names", "wrong"), [(("colour",), "colour"), (("camera", "all"), "all"), (("camera", "Light"), "Light")]
)
def test_a_name_that_no_scene_has(names: tuple[str, ...], wrong: str) -> None:
    with pytest.raises(InvalidInputError, match=wrong) as caught:
        SceneDistribution(vary=names)
    assert "distractors" in str(caught.value)
    assert check_variations(["noise", "object"]) == ("object", "noise")


def test_the_expert_succeeds_in_nearly_all() -> None:
    distribution: Any = SceneDistribution(vary=("all",), area=((0.15, 0.31), (-0.06, 0.17)))
    env, expert, successes = PickIntoBoxEnv((16, 16), cameras=False), Expert(), 0
    for seed in range(20):
        observation, info = env.reset(seed=seed, options={"scene": distribution.sample(seed)})
        way = expert.plan_for(info, observation["agent_pos"], Style.sample(seed))
        successes += bool(env.step_chunk(way)[2])
    assert successes >= 17
