from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_autoarm import spec
from gym_autoarm.body_files import load_body
from gym_autoarm.model import compile_scene
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Box, Camera, Cube, Distractor, Light, Scene

STATE = [
    {"cube": Cube(x=0.2, y=0.1, yaw=20.0)},
    {"start": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)},
    {"image_noise": 3.0},
    {"noise_seed": 9},
]
STRUCTURE = [
    {"cube": Cube(size=0.035)},
    {"cube": Cube(shape="sphere")},
    {"cube": Cube(colour=(0.0, 0.0, 1.0))},
    {"cube": Cube(mass=0.05)},
    {"box": Box(x=0.2)},
    {"distractors": (Distractor(0.2, 0.1),)},
    {"light": Light(diffuse=0.2)},
    {"surface": "mat"},
    {"top": Camera((0.2, 0.0, 0.8), (0.2, 0.0, 0.0), 36.0)},
    {"lateral": Camera((0.5, 0.3, 0.3), (0.2, 0.0, 0.0), 36.0)},
    {"body": load_body("so100-soft")},
]


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_sampled_scenes_share_their_structure(first: int, second: int) -> None:
    one, other = SceneDistribution().sample(first), SceneDistribution().sample(second)
    assert one.structure() == other.structure()
    assert hash(one.structure()) == hash(other.structure())
    assert one.structure().structure() == one.structure()


@pytest.mark.parametrize("change", STATE, ids=lambda change: next(iter(change)))
def test_state_is_not_structure(change: dict[str, object]) -> None:
    assert replace(Scene(), **change).structure() == Scene().structure()  # type: ignore[arg-type]


@pytest.mark.parametrize("change", STRUCTURE, ids=str)
def test_everything_else_is_structure(change: dict[str, object]) -> None:
    assert replace(Scene(), **change).structure() != Scene().structure()  # type: ignore[arg-type]


def test_scenes_of_equal_structure_compile_to_the_same_model() -> None:
    saved = []
    for seed in (1, 2):
        model = compile_scene(SceneDistribution().sample(seed))
        saved.append(np.zeros(mujoco.mj_sizeModel(model), np.uint8))
        mujoco.mj_saveModel(model, None, saved[-1])
    assert saved[0].tobytes() == saved[1].tobytes()


def test_box_is_clear_of_the_work_area() -> None:
    box, (_, (y_low, _)) = Scene().box, spec.WORK_AREA
    half_diagonal = spec.CUBE_SIZE / 2 * 2**0.5
    assert box.y + box.inner / 2 + box.wall < y_low - half_diagonal
