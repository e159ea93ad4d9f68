"""The same seed gives the same bits: in one process, in another, among any number, and by chunks."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import VectorEnv

import gym_autoarm
from gym_autoarm import spec
from gym_autoarm.body_files import DEFAULT_BODY, STIFF_BODY, load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.scene import HOME, Cube, Scene

BODIES = (STIFF_BODY, DEFAULT_BODY)
SEED, STEPS = 11, 12


def wave(steps: int = STEPS) -> np.ndarray:
    """Goals `(steps, 6)` that swing every joint."""
    phase = np.linspace(0.0, 2.0, steps)[:, None] + np.arange(6)
    return (np.asarray(HOME) + 12 * np.sin(phase)).clip(spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)


def digest(env: PickIntoBoxEnv) -> str:
    """Hash of the states and frames of a short episode."""
    found = hashlib.sha256()
    observation, _ = env.reset(seed=SEED)
    for action in [None, *wave()]:
        if action is not None:
            observation, *_ = env.step(action)
        for array in (env.data.qpos, env.data.qvel, observation["agent_pos"], *observation["pixels"].values()):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def test_episodes_do_not_depend_on_what_went_before(make_env: Any) -> None:
    env = make_env()
    first = digest(env)
    env.reset(seed=99, options={"scene": Scene(cube=Cube(size=0.04), surface="mat")})
    env.step_chunk(wave())
    assert digest(env) == first
    assert digest(make_env()) == first


def test_another_process_sees_the_same(make_env: Any) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_determinism import PickIntoBoxEnv, digest\n"
        "print(digest(PickIntoBoxEnv(image_size=(48, 64))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(make_env())


def test_frames_do_not_depend_on_which_were_drawn_before(make_env: Any) -> None:
    scene = Scene(image_noise=4.0)
    often, once = make_env(), make_env()
    for env in (often, once):
        env.reset(seed=SEED, options={"scene": scene})
    for action in wave():
        often.step(action)
        often.frame("lateral")
    once.step_chunk(wave())
    for camera in spec.CAMERAS:
        np.testing.assert_array_equal(often.frame(camera), once.frame(camera))


# -- Chunks -----------------------------------------------------------------------------------------------------------


def same(left: Any, right: Any) -> None:
    """Equal to the last bit, through dictionaries."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            same(left[key], right[key])
    else:
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("chunk", [1, 5, 12])
def test_chunks_are_steps(make_env: Any, chunk: int) -> None:
    stepper, chunker = make_env(), make_env()
    for env in (stepper, chunker):
        env.reset(seed=SEED)
    for start in range(0, STEPS, chunk):
        steps = [stepper.step(action) for action in wave()[start : start + chunk]]
        observation, reward, terminated, truncated, info = chunker.step_chunk(wave()[start : start + chunk])
        same(observation, steps[-1][0])
        assert (reward, terminated, truncated) == (sum(step[1] for step in steps), *steps[-1][2:4])
        assert info.pop("steps") == len(steps)
        for path in ("grasp_path", "cube_path", "joint_path"):
            np.testing.assert_array_equal(info.pop(path), np.concatenate([step[4][path] for step in steps]))
        same(info, {key: steps[-1][4][key] for key in info})
        for name in ("qpos", "qvel", "ctrl", "qacc_warmstart"):
            np.testing.assert_array_equal(getattr(stepper.data, name), getattr(chunker.data, name))


def test_chunk_stops_when_time_is_up(make_env: Any) -> None:
    env = make_env(cameras=False, time_limit=5)
    env.reset(seed=SEED)
    _, reward, terminated, truncated, info = env.step_chunk(wave())
    assert (reward, terminated, truncated, info["steps"]) == (0.0, False, True, 5)
    assert len(info["cube_path"]) == 5


def test_chunk_stops_at_success(make_env: Any, demonstrate: Any) -> None:
    stepper, chunker = make_env(cameras=False), make_env(cameras=False)
    plan = demonstrate(stepper, 3)
    demonstrate(chunker, 3)
    taken = 0
    for action in plan:
        _, reward, terminated, *_ = stepper.step(action)
        taken += 1
        if terminated:
            break
    _, chunk_reward, chunk_terminated, truncated, info = chunker.step_chunk(plan)
    assert (chunk_reward, chunk_terminated, truncated, info["steps"]) == (reward, terminated, False, taken)
    assert (chunk_reward, chunk_terminated) == (1.0, True)
    np.testing.assert_array_equal(stepper.data.qpos, chunker.data.qpos)


# -- Vectors ----------------------------------------------------------------------------------------------------------


def rollout(env: VectorEnv[Any, Any, Any], seed: int = SEED) -> list[Any]:
    observation, info = env.reset(seed=seed)
    found = [(observation, info["cube_pose"])]
    for action in wave(4):
        observation, *rest, info = env.step(np.repeat(action[None], env.num_envs, axis=0))
        found.append((observation, *rest, info["cube_pose"], info["stage"]))
    env.close()
    return found


@pytest.fixture(scope="module")
def singles() -> list[list[Any]]:
    """The same rollout in single environments, one for each seed."""
    found = []
    for index in range(3):
        env = PickIntoBoxEnv(image_size=(48, 64))
        observation, info = env.reset(seed=SEED + index)
        episode = [(observation, info["cube_pose"])]
        for action in wave(4):
            observation, *rest, info = env.step(action)
            episode.append((observation, *rest, info["cube_pose"], info["stage"]))
        env.close()
        found.append(episode)
    return found


@pytest.mark.parametrize(
    ("mode", "count"),
    [("vector_entry_point", 1), ("vector_entry_point", 3), ("sync", 1), ("sync", 3), ("async", 2)],
)
def test_vector_environments_agree_with_single_ones(singles: list[list[Any]], mode: str, count: int) -> None:
    # GL contexts do not survive a fork.
    kwargs: dict[str, Any] = {"vector_kwargs": {"context": "spawn"}} if mode == "async" else {}
    env = gym.make_vec(gym_autoarm.ENV_ID, num_envs=count, vectorization_mode=mode, image_size=(48, 64), **kwargs)
    for step, batch in enumerate(rollout(env)):
        for index in range(count):
            single = singles[index][step]
            for camera in spec.CAMERAS:
                np.testing.assert_array_equal(batch[0]["pixels"][camera][index], single[0]["pixels"][camera])
            np.testing.assert_array_equal(batch[0]["agent_pos"][index], single[0]["agent_pos"])
            for ours, theirs in zip(batch[1:], single[1:], strict=True):
                np.testing.assert_array_equal(ours[index], theirs)


# -- Golden -----------------------------------------------------------------------------------------------------------


def golden(body: str) -> Path:
    return Path(__file__).parent / f"physics_golden_{body}.npz"


def golden_scene(body: str) -> Scene:
    return Scene(cube=Cube(x=0.2, y=0.03, yaw=20.0), body=load_body(body))


def golden_states(scene: Scene, actions: np.ndarray) -> np.ndarray:
    """Positions and velocities after every action, `(steps, nq + nv)`."""
    env = PickIntoBoxEnv(cameras=False)
    env.reset(seed=0, options={"scene": scene})
    states = []
    for action in actions:
        env.step(action)
        states.append(np.concatenate([env.data.qpos, env.data.qvel]))
    return np.array(states)


@pytest.mark.parametrize("body", BODIES)
def test_physics_has_not_changed(body: str) -> None:
    recorded = np.load(golden(body))
    states = golden_states(golden_scene(body), recorded["actions"])
    assert len(states) == 100
    assert states[-1, 8] > 0.03, "the recorded actions lift the cube, so that contacts are part of the record"
    # One MuJoCo release on one architecture repeats itself but for the last bits of the maths library.
    tolerance = 1e-6 if platform.machine() in ("x86_64", "AMD64") else 1e-3
    np.testing.assert_allclose(states, recorded["states"], atol=tolerance)


if __name__ == "__main__":  # records the golden states of the bodies named, after an intended change of the physics
    import sys

    from gym_autoarm.expert import Expert

    for _body in sys.argv[1:]:
        _scene = golden_scene(_body)
        _env = PickIntoBoxEnv(cameras=False)
        _, _info = _env.reset(seed=0, options={"scene": _scene})
        _plan = Expert().plan(_info["cube_pose"], _info["box_pose"], np.asarray(HOME), body=_scene.body)[:100]
        np.savez_compressed(golden(_body), actions=_plan, states=golden_states(_scene, _plan))
