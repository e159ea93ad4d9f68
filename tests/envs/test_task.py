"""Stages and success follow from physics: states are made by teleporting the cube."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.scene import HOME, Box, Cube, Scene
from gym_autoarm.task import REST_STEPS

ABOVE_FLOOR = 0.003 + spec.CUBE_SIZE / 2


def teleport(env: PickIntoBoxEnv, place: tuple[float, float, float], velocity: tuple[float, ...] = (0.0,) * 6) -> None:
    joint = env.model.joint("cube")
    start, speed = joint.qposadr[0], joint.dofadr[0]
    env.data.qpos[start : start + 7] = (*place, 1.0, 0.0, 0.0, 0.0)
    env.data.qvel[speed : speed + 6] = velocity
    mujoco.mj_forward(env.model, env.data)


def in_box(
    env: PickIntoBoxEnv, dx: float = 0.0, dy: float = 0.0, height: float = ABOVE_FLOOR
) -> tuple[float, float, float]:
    return env.scene.box.x + dx, env.scene.box.y + dy, height


def hold(env: PickIntoBoxEnv, steps: int = 20, gripper: float = HOME[spec.GRIPPER]) -> list[tuple[Any, ...]]:
    goal = np.array([*HOME[:5], gripper], np.float32)
    found = []
    for _ in range(steps):
        found.append(env.step(goal))
        if found[-1][2]:
            break
    return found


@pytest.fixture
def env(blind: PickIntoBoxEnv) -> PickIntoBoxEnv:
    blind.reset(seed=0, options={"scene": Scene()})
    return blind


def test_cube_at_rest_in_the_box_is_success(env: PickIntoBoxEnv) -> None:
    teleport(env, in_box(env))
    *before, last = hold(env)
    assert len(before) >= REST_STEPS - 1, "rest takes its time"
    assert [step[4]["is_success"] for step in before] == [False] * len(before)
    assert [step[1] for step in before] == [0.0] * len(before)
    _, reward, terminated, truncated, info = last
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["is_success"] is True
    assert info["stage"] == "place"


@pytest.mark.parametrize("offset", [(0.06, 0.0), (-0.06, 0.0), (0.0, 0.07), (0.0, -0.07)])
def test_cube_beside_the_box_is_not(env: PickIntoBoxEnv, offset: tuple[float, float]) -> None:
    teleport(env, in_box(env, 1.3 * offset[0], 1.3 * offset[1], spec.CUBE_SIZE / 2))
    assert not hold(env)[-1][4]["is_success"]


def test_cube_on_the_rim_is_not(env: PickIntoBoxEnv) -> None:
    # A cube as wide as the box cannot fall in.
    env.reset(seed=0, options={"scene": Scene(cube=Cube(size=0.04), box=Box(inner=0.036))})
    teleport(env, in_box(env, height=0.04 + 0.02))
    assert not hold(env)[-1][4]["is_success"]


def test_closed_gripper_is_not(env: PickIntoBoxEnv) -> None:
    hold(env, 30, gripper=0.0)
    teleport(env, in_box(env))
    assert not hold(env, gripper=0.0)[-1][4]["is_success"]
    assert hold(env, 40, gripper=60.0)[-1][4]["is_success"]


def test_moving_cube_is_not_yet(env: PickIntoBoxEnv) -> None:
    teleport(env, in_box(env), velocity=(0.0, 0.0, 1.0, 0.0, 0.0, 0.0))
    assert len(hold(env, 40)) > REST_STEPS + 4  # up and down again at 1 m/s takes 0.2 s
    env.reset(seed=0, options={"scene": Scene()})
    teleport(env, in_box(env, height=0.035))
    assert len(hold(env)) > REST_STEPS


def test_turned_box_is_judged_in_its_own_frame(env: PickIntoBoxEnv) -> None:
    corner = 0.062  # inside along the diagonal of a box turned by 45 degrees, outside of a straight one
    for yaw, inside in ((45.0, True), (0.0, False)):
        env.reset(seed=0, options={"scene": Scene(box=Box(yaw=yaw))})
        box = env.scene.box
        assert env._monitor.over_box(np.array([box.x + corner, box.y, 0.02])) is inside


def test_held_cube_is_not_placed_until_let_go(make_env: Any, demonstrate: Any) -> None:
    env = make_env(cameras=False)
    plan = demonstrate(env, 2)
    # The expert opens the gripper where the commanded opening last grows; stop just before.
    opening = np.flatnonzero(np.diff(plan[:-24, spec.GRIPPER]) > 0.01)
    last_held = max(step for step in opening if plan[step, spec.GRIPPER] < 15.5)
    _, _, terminated, _, info = env.step_chunk(plan[:last_held])
    assert not terminated
    assert env._monitor.over_box(info["cube_pose"][:3])
    *_, info = env.step_chunk(np.repeat(plan[last_held - 1][None], 30, axis=0))
    assert not info["is_success"]
    assert info["stage"] == "place"


def test_stages_come_in_order_and_never_go_back(make_env: Any, demonstrate: Any) -> None:
    for seed in range(3):
        env = make_env(cameras=False)
        stages = [env.step(action)[4]["stage"] for action in demonstrate(env, seed)[:240]]
        indices = [spec.STAGES.index(stage) for stage in stages]
        assert indices == sorted(indices)
        assert set(stages) == set(spec.STAGES)


def test_stage_survives_a_dropped_cube(make_env: Any, demonstrate: Any) -> None:
    env = make_env(cameras=False)
    for action in demonstrate(env, 0):
        *_, info = env.step(action)
        if info["stage"] == "lift":
            break
    teleport(env, (0.35, 0.2, spec.CUBE_SIZE / 2))
    assert hold(env, 5)[-1][4]["stage"] == "lift"


def test_resting_on_the_table_is_the_first_stage(env: PickIntoBoxEnv) -> None:
    assert {step[4]["stage"] for step in hold(env)} == {"reach"}


@pytest.mark.parametrize("name", ["fixed_pad", "moving_pad"])
def test_contact_with_either_jaw_is_seen(env: PickIntoBoxEnv, name: str) -> None:
    jaw = env.data.geom(name).xpos
    teleport(env, tuple(jaw))
    contacts = env._monitor.contacts(env.data)
    assert contacts.arm
    assert contacts.fixed_jaw if name == "fixed_pad" else contacts.moving_jaw
    teleport(env, (0.25, 0.1, spec.CUBE_SIZE / 2))
    assert not env._monitor.contacts(env.data).arm
