"""The native vector environment: Gymnasium's rules, with models and GL contexts shared."""

from __future__ import annotations

from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import gym_autoarm
from gym_autoarm import scene_cache
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Cube, Scene
from gym_autoarm.vector import PickIntoBoxVectorEnv

MODES = list(AutoresetMode)


def make(count: int = 2, mode: str = "vector_entry_point", **kwargs: Any) -> Any:
    return gym.make_vec(gym_autoarm.ENV_ID, num_envs=count, vectorization_mode=mode, **kwargs)


def test_make_vec_uses_it_by_default() -> None:
    env = gym.make_vec(gym_autoarm.ENV_ID, num_envs=2, cameras=False)
    assert isinstance(env.unwrapped, PickIntoBoxVectorEnv)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    env.close()


@pytest.mark.parametrize("autoreset", MODES)
def test_autoreset_is_that_of_gymnasium(autoreset: AutoresetMode) -> None:
    ours = make(cameras=False, time_limit=3, autoreset_mode=autoreset)
    theirs = make(mode="sync", cameras=False, time_limit=3, vector_kwargs={"autoreset_mode": autoreset})
    assert ours.metadata["autoreset_mode"] is autoreset
    recorded = []
    for env in (ours, theirs):
        observation, info = env.reset(seed=5)
        found = [observation["agent_pos"], info["cube_pose"]]
        for _ in range(8):
            actions = observation["agent_pos"].clip(env.action_space.low, env.action_space.high)
            observation, reward, terminated, truncated, info = env.step(actions)
            found += [observation["agent_pos"], reward, terminated, truncated, info["cube_pose"], info["steps"]]
            if autoreset is AutoresetMode.DISABLED and truncated.any():
                observation, info = env.reset(options={"reset_mask": truncated})
                found += [observation["agent_pos"], info["cube_pose"]]
        recorded.append(found)
        env.close()
    for left, right in zip(*recorded, strict=True):
        np.testing.assert_array_equal(left, right)


def test_scenes_of_equal_structure_share_one_model_and_one_context() -> None:
    with (
        mock.patch.object(scene_cache, "compile_scene", wraps=scene_cache.compile_scene) as compiled,
        mock.patch.object(scene_cache, "FrameRenderer", wraps=scene_cache.FrameRenderer) as opened,
    ):
        env = make(3, image_size=(48, 64))
        env.reset(seed=0)
        env.step(env.action_space.sample())
        assert compiled.call_count == 1
        assert opened.call_count == 1
        env.close()


def test_scenes_of_different_structure_are_told_apart() -> None:
    sizes = [0.025, 0.03, 0.035]
    env = make(3, image_size=(48, 64))
    frames = {}
    for _ in range(2):  # the second time from the cache
        for single, size in zip(env.unwrapped.envs, sizes, strict=True):
            observation, _ = single.reset(seed=0, options={"scene": Scene(cube=Cube(size=size))})
            frame = observation["pixels"]["top"]
            np.testing.assert_array_equal(frames.setdefault(size, frame), frame)
    assert len({frame.tobytes() for frame in frames.values()}) == 3
    env.close()


def test_cache_forgets_the_structure_used_longest_ago() -> None:
    cache = scene_cache.SceneCache((48, 64), capacity=2)
    scenes = [Scene(cube=Cube(size=size)) for size in (0.025, 0.03, 0.035)]
    models = [cache.model(scene) for scene in scenes]
    assert cache.model(scenes[2]) is models[2]
    assert cache.model(scenes[1]) is models[1]
    assert cache.model(scenes[0]) is not models[0]
    cache.close()


def test_no_environment_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="num_envs"):
        PickIntoBoxVectorEnv(num_envs=0)
