"""Table tops made by a rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.pattern import KINDS, PIXELS, Kind, Pattern, pattern_pixels
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import restore_scene, scene_changes

DARK, LIGHT = (0.1, 0.2, 0.3), (0.8, 0.7, 0.6)


@pytest.mark.parametrize("kind", KINDS)
def test_it_lies_between_its_two_colours(kind: Kind) -> None:
    pixels = pattern_pixels(Pattern(kind, DARK, LIGHT)) / 255
    assert pixels.shape == (PIXELS, PIXELS, 3)
    assert (pixels >= np.subtract(DARK, 0.01)).all()
    assert (pixels <= np.add(LIGHT, 0.01)).all()
    assert np.ptp(pixels[..., 0]) > 0.4
    # One number says how much of each colour a pixel has.
    share = (pixels - DARK) / np.subtract(LIGHT, DARK)
    np.testing.assert_allclose(share[..., 0], share[..., 2], atol=0.02)


@pytest.mark.parametrize("kind", ["clouds", "grain"])
def test_opposite_edges_fit(kind: Kind) -> None:
    pixels = pattern_pixels(Pattern(kind, DARK, LIGHT, seed=3)).astype(float)
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        inside = abs(np.diff(turned, axis=0)).mean()
        assert abs(turned[0] - turned[-1]).mean() < 2 * inside


def test_the_seed_decides() -> None:
    one = Pattern("speckles", DARK, LIGHT, seed=1)
    np.testing.assert_array_equal(pattern_pixels(one), pattern_pixels(one))
    assert (pattern_pixels(one) != pattern_pixels(replace(one, seed=2))).any()


def test_a_scene_with_one_is_drawn_and_comes_back_from_data() -> None:
    checks = Pattern("checks", (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), repeat=0.2)
    scene = Scene(surface=checks)
    assert restore_scene(scene_changes(scene)) == scene
    env = PickIntoBoxEnv((96, 128))
    pixels = env.reset(seed=0, options={"scene": scene})[0]["pixels"]["top"].astype(int)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    assert ((green > 80) & (red < 30)).mean() > 0.2
    assert ((blue > 80) & (red < 30)).mean() > 0.2
    plain = env.reset(seed=0, options={"scene": Scene()})[0]["agent_pos"]
    np.testing.assert_array_equal(env.reset(seed=0, options={"scene": scene})[0]["agent_pos"], plain)
    env.close()
