"""The contract of `gym_autoarm/PickIntoBox-v0`: spaces, info, options, limits, errors."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gym_autoarm
from gym_autoarm import spec
from gym_autoarm.body_files import load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidActionError, InvalidInputError
from gym_autoarm.sampling import SPOT_JITTER, SceneDistribution
from gym_autoarm.scene import Cube, Scene

KEYS = {
    *("is_success", "stage", "clipped", "limited", "steps"),
    *("cube_pose", "box_pose", "gripper_pose", "cube_size", "body", "overloaded"),
    *("grasp_path", "cube_path", "joint_path"),
}


def hold(env: PickIntoBoxEnv) -> np.ndarray:
    return np.clip(np.asarray(env.scene.start), spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)


def test_gymnasium_finds_nothing_to_complain_about() -> None:
    env = gym.make(gym_autoarm.ENV_ID, image_size=(48, 64), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Advice for learners that draw actions from a Gaussian; the contract's units are a robot's.
        warnings.filterwarnings("ignore", ".*symmetric and normalized space")
        check_env(env.unwrapped)
    env.close()


def test_spaces_are_those_of_the_contract() -> None:
    env = gym.make(gym_autoarm.ENV_ID)
    assert env.action_space == spec.action_space()
    assert env.observation_space == spec.observation_space()
    observation, _ = env.reset(seed=0)
    for camera in spec.CAMERAS:
        assert observation["pixels"][camera].shape == (480, 640, 3)
        assert observation["pixels"][camera].dtype == np.uint8
    assert observation["agent_pos"].dtype == np.float32
    assert env.observation_space.contains(observation)
    env.close()


def documented(section: str) -> list[list[str]]:
    """Cells of the table below a heading of the class's docstring, without the two rows of its head."""
    text = (inspect.getdoc(PickIntoBoxEnv) or "").split(f"## {section}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in row] for row in rows[2:]]


def test_documented_bounds_are_those_of_the_spaces() -> None:
    actions = documented("Action space")
    assert [row[0] for row in actions] == [str(number) for number in range(len(spec.JOINTS))]
    assert [row[1] for row in actions] == list(spec.JOINTS)
    space, states = spec.action_space(), spec.observation_space()["agent_pos"]
    low, high = (np.array([row[column] for row in actions], np.float32) for column in (3, 4))
    np.testing.assert_array_equal(low, space.low)
    np.testing.assert_array_equal(high, space.high)
    observations = {row[0]: row for row in documented("Observation space")}
    assert list(observations) == [*(f"pixels/{camera}" for camera in spec.CAMERAS), "agent_pos"]
    for camera in spec.CAMERAS:
        assert observations[f"pixels/{camera}"][1:5] == ["uint8", "(height, width, 3)", "0", "255"]
    below, above = (
        float(observations["agent_pos"][column].split(" - " if column == 3 else " + ")[1]) for column in (3, 4)
    )
    np.testing.assert_array_equal(low - np.float32(below), states.low)
    np.testing.assert_array_equal(high + np.float32(above), states.high)


def test_documented_info_and_arguments_are_those_there_are(make_env: Any) -> None:
    assert {row[0] for row in documented("Info")} == KEYS
    parameters = inspect.signature(PickIntoBoxEnv).parameters
    assert {row[0]: row[1] for row in documented("Arguments")} == {
        name: str(parameter.default) for name, parameter in parameters.items()
    }


def test_actions_at_random_keep_observations_in_their_space(make_env: Any) -> None:
    env = make_env()
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(20):
        observation, *_ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)


def test_info_says_the_same_things_at_reset_and_at_every_step(blind: PickIntoBoxEnv) -> None:
    _, at_reset = blind.reset(seed=0)
    *_, at_step = blind.step(hold(blind))
    for info in (at_reset, at_step):
        assert info.keys() == KEYS
        assert info["is_success"] is False
        assert info["stage"] == "reach"
        assert info["clipped"].shape == (6,)
        assert info["clipped"].dtype == bool
        for pose in ("cube_pose", "box_pose", "gripper_pose"):
            assert info[pose].shape == (7,)
            assert np.linalg.norm(info[pose][3:]) == pytest.approx(1.0)
    assert (at_reset["steps"], at_step["steps"]) == (0, 1)
    np.testing.assert_allclose(at_step["cube_path"][-1], at_step["cube_pose"][:3], atol=1e-6)


def test_true_poses_are_those_of_the_scene(blind: PickIntoBoxEnv) -> None:
    _, info = blind.reset(seed=0, options={"cube_xy": (0.2, 0.05), "cube_yaw": 30.0})
    np.testing.assert_allclose(info["cube_pose"][:3], [0.2, 0.05, spec.CUBE_SIZE / 2], atol=1e-3)
    assert np.degrees(2 * np.arctan2(info["cube_pose"][6], info["cube_pose"][3])) == pytest.approx(30.0, abs=0.5)
    np.testing.assert_allclose(info["box_pose"][:2], spec.BOX_POSITION)


def test_agent_pos_is_the_arm_in_the_contract_units(blind: PickIntoBoxEnv) -> None:
    observation, _ = blind.reset(seed=3)
    np.testing.assert_allclose(observation["agent_pos"], blind.scene.start, atol=0.5)


@pytest.mark.parametrize(("body", "within"), [("so101", 1.0), ("so101-12v", 4.0)])
def test_goals_are_reached(blind: PickIntoBoxEnv, body: str, within: float) -> None:
    """As well as the servos can: a measured arm hangs degrees below its goals."""
    goal = np.array([10.0, -40.0, 30.0, 60.0, 20.0, 70.0], np.float32)
    blind.reset(seed=0, options={"scene": Scene(body=load_body(body))})
    observation, *_ = blind.step_chunk(np.repeat(goal[None], 60, axis=0))
    np.testing.assert_allclose(observation["agent_pos"], goal, atol=within)


# -- Options ---------------------------------------------------------------------------------------------------------


def test_spot_option_puts_the_cube_at_the_spot(blind: PickIntoBoxEnv) -> None:
    for name, position in spec.SPOTS.items():
        blind.reset(seed=1, options={"spot": name})
        cube = blind.scene.cube
        assert max(abs(cube.x - position[0]), abs(cube.y - position[1])) <= SPOT_JITTER


def test_scene_option_is_used_as_it_is(blind: PickIntoBoxEnv) -> None:
    scene = Scene(cube=Cube(x=0.2, y=0.0, size=0.035))
    blind.reset(seed=1, options={"scene": scene})
    assert blind.scene == scene


def test_unknown_options_are_left_to_whom_they_concern(blind: PickIntoBoxEnv) -> None:
    blind.reset(seed=1)
    scene = blind.scene
    blind.reset(seed=1, options={"lerobot_new_rollout": True})
    assert blind.scene == scene


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spot": "attic"}, "attic.*near-right"),
        ({"scene": "kitchen"}, "str is not a Scene"),
        ({"cube_xy": (0.2,)}, "2 finite numbers"),
        ({"cube_xy": (0.2, float("nan"))}, "2 finite numbers"),
        ({"cube_xy": "ab"}, "2 finite numbers"),
        ({"cube_yaw": float("inf")}, "a finite number"),
    ],
)
def test_bad_options_are_refused(blind: PickIntoBoxEnv, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        blind.reset(seed=0, options=options)


def test_seedless_resets_differ_and_follow_from_the_first_seed(blind: PickIntoBoxEnv) -> None:
    def scenes() -> list[Scene]:
        blind.reset(seed=5)
        found = [blind.scene]
        for _ in range(2):
            blind.reset()
            found.append(blind.scene)
        return found

    first = scenes()
    assert len({scene.cube for scene in first}) == 3
    assert scenes() == first


# -- Arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"image_size": (0, 64)},
        {"image_size": (481, 640)},
        {"image_size": (48.5, 64)},
        {"image_size": (48, 64, 3)},
        {"image_size": "large"},
        {"image_size": 64},
        {"time_limit": 0},
        {"render_mode": "human"},
        {"distribution": {"cube": "nowhere"}},
        {"distribution": {"colour": "red"}},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PickIntoBoxEnv(**arguments)
    assert caught.value.cure
    assert caught.value.field


@pytest.mark.parametrize("size", [(1, 1), (48, 64), (240, 320), (241, 320), (480, 640)])
def test_any_size_up_to_the_contract_is_drawn(make_env: Any, size: tuple[int, int]) -> None:
    env = make_env(image_size=size)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert observation["pixels"]["top"].shape == (*size, 3)


def test_distribution_may_be_given_by_its_fields(blind: PickIntoBoxEnv) -> None:
    env = gym.make(gym_autoarm.ENV_ID, cameras=False, distribution={"cube": "spots", "spots": ("centre",)})
    env.reset(seed=0)
    assert env.unwrapped.scene == SceneDistribution(cube="spots", spots=("centre",)).sample(0)  # type: ignore[attr-defined]


# -- Actions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused_before_anything_moves(blind: PickIntoBoxEnv, value: float) -> None:
    blind.reset(seed=0)
    before = blind.data.qpos.copy(), blind.data.time
    actions = np.repeat(hold(blind)[None], 3, axis=0)
    actions[2, 1] = value
    with pytest.raises(InvalidActionError, match="shoulder_lift"):
        blind.step_chunk(actions)
    with pytest.raises(InvalidActionError, match="shoulder_lift"):
        blind.step(actions[2])
    np.testing.assert_array_equal(blind.data.qpos, before[0])
    assert blind.data.time == before[1]
    blind.step(actions[0])  # and the episode goes on


@pytest.mark.parametrize("shape", [(5,), (7,), (), (1, 6)])
def test_step_takes_one_action(blind: PickIntoBoxEnv, shape: tuple[int, ...]) -> None:
    blind.reset(seed=0)
    with pytest.raises(InvalidActionError, match="shape"):
        blind.step(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(0, 6), (6,), (2, 5), (1, 2, 6)])
def test_step_chunk_takes_rows_of_actions(blind: PickIntoBoxEnv, shape: tuple[int, ...]) -> None:
    blind.reset(seed=0)
    with pytest.raises(InvalidActionError, match="shape"):
        blind.step_chunk(np.zeros(shape, np.float32))


def test_actions_outside_the_limits_are_clipped_and_reported(blind: PickIntoBoxEnv) -> None:
    far = np.array([500.0, 0.0, -500.0, 10.0, 0.0, 101.0], np.float32)
    states = []
    for action in (far, np.clip(far, spec.ACTION_LOW, spec.ACTION_HIGH)):
        blind.reset(seed=0)
        *_, info = blind.step(action)
        states.append((blind.data.qpos.copy(), info["clipped"].tolist(), info["limited"]))
    np.testing.assert_array_equal(states[0][0], states[1][0])
    assert states[0][1] == [True, False, True, False, False, True]
    assert states[1][1] == [False] * 6
    assert [each[2] for each in states] == [dict.fromkeys(spec.LIMITS, 0) | {"range": number} for number in (1, 0)]


# -- Time, frames, copies ---------------------------------------------------------------------------------------------


def test_time_limit_truncates(make_env: Any) -> None:
    env = make_env(cameras=False, time_limit=4)
    env.reset(seed=0)
    outcomes = [env.step(hold(env))[1:4] for _ in range(4)]
    assert outcomes == [(0.0, False, False)] * 3 + [(0.0, False, True)]
    env.reset(seed=0)
    assert env.step(hold(env))[3] is False


def test_render_shows_both_views_side_by_side(make_env: Any) -> None:
    env = make_env(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(
        env.render(), np.concatenate([observation["pixels"][camera] for camera in spec.CAMERAS], axis=1)
    )
    assert make_env().render() is None


def test_close_is_safe_to_repeat_and_frames_can_be_drawn_again(make_env: Any) -> None:
    env = make_env()
    observation, _ = env.reset(seed=0)
    env.close()
    env.close()
    np.testing.assert_array_equal(env.frame("top"), observation["pixels"]["top"])


def test_frames_of_an_observation_are_not_overwritten_later(make_env: Any) -> None:
    env = make_env()
    observation, _ = env.reset(seed=0)
    kept = copy.deepcopy(observation)
    env.reset(seed=1)
    np.testing.assert_array_equal(observation["pixels"]["top"], kept["pixels"]["top"])


@pytest.mark.parametrize("duplicate", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])  # noqa: S301
def test_copy_goes_on_like_its_original(make_env: Any, duplicate: Any) -> None:
    env = make_env(distribution={"home_noise": 3.0}, render_mode="rgb_array")
    env.reset(seed=4)
    actions = [hold(env) + np.float32(delta) for delta in (3.0, 6.0, 9.0)]
    env.step(actions[0])
    twin = duplicate(env)
    assert twin.scene == env.scene
    for action in actions[1:]:
        ours, theirs = env.step(action), twin.step(action)
        np.testing.assert_array_equal(env.data.qpos, twin.data.qpos)
        np.testing.assert_array_equal(ours[0]["pixels"]["lateral"], theirs[0]["pixels"]["lateral"])
    env.reset()
    twin.reset()
    assert env.scene == twin.scene
    twin.close()


def test_unused_environment_pickles() -> None:
    env = pickle.loads(pickle.dumps(gym.make(gym_autoarm.ENV_ID, cameras=False, time_limit=7)))  # noqa: S301
    env.reset(seed=0)
    assert env.unwrapped._max_episode_steps == 7
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec  # noqa: S301
