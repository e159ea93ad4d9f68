"""Small, quick environments and the expert's demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.expert import Expert, Style

SMALL = (48, 64)

MakeEnv = Callable[..., PickIntoBoxEnv]
Demonstrate = Callable[[PickIntoBoxEnv, int], NDArray[np.float32]]


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    """Makes environments with small frames, or none at all by `cameras=False`, and closes them."""
    made = []

    def make(**kwargs: object) -> PickIntoBoxEnv:
        made.append(PickIntoBoxEnv(**{"image_size": SMALL, **kwargs}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def blind(make_env: MakeEnv) -> PickIntoBoxEnv:
    """An environment that never draws."""
    return make_env(cameras=False)


@pytest.fixture(scope="session")
def expert() -> Expert:
    return Expert()


@pytest.fixture
def demonstrate(expert: Expert) -> Demonstrate:
    """Resets an environment to a seed and returns the expert's plan for it."""

    def plan(env: PickIntoBoxEnv, seed: int) -> NDArray[np.float32]:
        _, info = env.reset(seed=seed)
        return expert.plan(
            info["cube_pose"],
            info["box_pose"],
            np.asarray(env.scene.start),
            Style.sample(seed),
            env.scene.cube.size,
            env.scene.body,
        )

    return plan
