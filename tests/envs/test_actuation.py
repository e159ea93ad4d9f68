"""The gripper's protection: how hard it may press, and for how long."""

from __future__ import annotations

import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.body_files import body_names, load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.expert import Expert, Style
from gym_autoarm.scene import Cube, Scene
from gym_autoarm.servo import SATURATION

SCENE = Scene(cube=Cube(x=0.21, y=0.055))


@pytest.fixture
def holding() -> tuple[PickIntoBoxEnv, np.ndarray]:
    """An environment whose arm has lifted the cube, and the goal that holds it."""
    env = PickIntoBoxEnv(cameras=False, time_limit=1000)
    _, info = env.reset(seed=0, options={"scene": SCENE})
    plan = Expert().plan(info["cube_pose"], info["box_pose"], np.array(SCENE.start), Style(), body=SCENE.body)
    lifted = 0
    while info["stage"] != "lift":
        *_, info = env.step(plan[lifted])
        lifted += 1
    assert not info["overloaded"]
    return env, plan[lifted]


def pressing(env: PickIntoBoxEnv, goal: np.ndarray, degrees: float, steps: int) -> list[bool]:
    """Whether the protection was active after each step, the gripper's goal so far below where it is."""
    found = []
    for _ in range(steps):
        now = env.step(_closed(env, goal, degrees))[4]
        found.append(now["overloaded"])
    return found


def _closed(env: PickIntoBoxEnv, goal: np.ndarray, degrees: float) -> np.ndarray:
    closed = goal.copy()
    where = env.data.qpos[spec.GRIPPER]
    low, high = env.model.joint("gripper").range
    closed[spec.GRIPPER] = 100 * (where - np.radians(degrees) - low) / (high - low)
    return closed


def test_pressing_within_a_quarter_of_the_duty_lasts(holding: tuple[PickIntoBoxEnv, np.ndarray]) -> None:
    env, goal = holding
    quarter = np.degrees(SATURATION) / 4
    assert not any(pressing(env, goal, 0.95 * quarter, 150))


def test_pressing_harder_ends_after_two_seconds(holding: tuple[PickIntoBoxEnv, np.ndarray]) -> None:
    env, goal = holding
    quarter = np.degrees(SATURATION) / 4
    active = pressing(env, goal, 1.2 * quarter, 90)
    assert 2 * spec.FPS - 2 <= active.index(True) <= 2 * spec.FPS + 2
    force = abs(env.data.actuator_force[spec.GRIPPER])
    assert force <= 0.21 * SCENE.body.servos[spec.GRIPPER].kp * SATURATION
    # A goal that asks for less lifts it.
    assert not env.step(_closed(env, goal, 0.5 * quarter))[4]["overloaded"]


@pytest.mark.parametrize("body", [name for name in body_names() if load_body(name).protection])
def test_demonstrations_stay_below_it(body: str) -> None:
    env = PickIntoBoxEnv(cameras=False, distribution={"base": Scene(body=load_body(body))})
    for seed in range(2):
        observation, info = env.reset(seed=seed)
        plan = Expert().plan(
            info["cube_pose"], info["box_pose"], observation["agent_pos"], Style.sample(seed), body=info["body"]
        )
        assert not any(env.step(action)[4]["overloaded"] for action in plan)
