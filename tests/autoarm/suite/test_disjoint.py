"""What is drawn at random for training is nothing that a suite sets."""

from __future__ import annotations

import pytest

from autoarm.suite.draw import plan_suite
from autoarm.suite.suite import load_suite
from gym_autoarm.body_files import body_name
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene


@pytest.mark.parametrize("name", ["five-spots-v1", "five-spots-v2"])
def test_random_scenes_share_nothing_with_a_suite_but_the_usual(name: str) -> None:
    suite = load_suite(name)
    tested = [episode.scene for episode in plan_suite(suite, dict.fromkeys(suite.axes, 5))]
    drawn = [SceneDistribution(vary=("all",)).sample(seed) for seed in range(600)]
    usual = Scene()

    def other(scenes: list[Scene], part: str) -> set[object]:
        return {getattr(scene, part) for scene in scenes} - {getattr(usual, part)}

    for part in ("surface", "light", "top", "lateral", "start", "image_noise"):
        assert other(drawn, part)
        assert not other(tested, part) & other(drawn, part)
    assert {scene.surface for scene in drawn if isinstance(scene.surface, str)} == {"oak"}
    colours = {scene.cube.colour for scene in tested} | {each.colour for scene in tested for each in scene.distractors}
    colours.discard(usual.cube.colour)
    assert not colours & {scene.cube.colour for scene in drawn}
    assert not colours & {each.colour for scene in drawn for each in scene.distractors}
    assert {scene.cube.shape for scene in drawn} == {"cube"}
    assert not {scene.cube.size for scene in tested if scene.cube.size != usual.cube.size} & {
        scene.cube.size for scene in drawn
    }
    assert {body_name(scene.body) for scene in drawn} == {body_name(usual.body), ""}
