from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.body_files import body_names, load_body
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.expert import Expert, Style, ease
from gym_autoarm.kinematics import from_radians
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import HOME, Cube, Scene


def succeeds(env: Any, demonstrate: Any, seed: int) -> bool:
    plan = demonstrate(env, seed)
    assert (plan >= spec.ACTION_LOW).all()
    assert (plan <= spec.ACTION_HIGH).all()
    _, _, terminated, _, info = env.step_chunk(plan)
    assert 100 <= info["steps"] <= 260
    return bool(terminated and info["is_success"])


def test_expert_succeeds(make_env: Any, demonstrate: Any) -> None:
    env = make_env(cameras=False)
    failed = [seed for seed in range(40) if not succeeds(env, demonstrate, seed)]
    assert failed == []


@pytest.mark.slow
def test_expert_succeeds_in_99_of_100_scenes(make_env: Any, demonstrate: Any) -> None:
    env = make_env(cameras=False)
    failed = [seed for seed in range(1000, 1300) if not succeeds(env, demonstrate, seed)]
    assert len(failed) <= 3, failed


@pytest.mark.parametrize("x", spec.WORK_AREA[0])
@pytest.mark.parametrize("y", spec.WORK_AREA[1])
@pytest.mark.parametrize("yaw", [-45.0, 0.0, 45.0])
def test_expert_succeeds_at_the_corners_of_the_work_area(
    make_env: Any, expert: Expert, x: float, y: float, yaw: float
) -> None:
    env = make_env(cameras=False)
    _, info = env.reset(seed=0, options={"scene": Scene(cube=Cube(x=x, y=y, yaw=yaw))})
    *_, info = env.step_chunk(expert.plan(info["cube_pose"], info["box_pose"], np.asarray(HOME)))
    assert info["is_success"]


# Eased motion at a mean speed of up to 2.1 degrees a step peaks at pi / 2 times that.
FASTEST = 2.1 * np.pi / 2


def test_trajectory_is_smooth_and_starts_where_the_arm_is(expert: Expert, blind: Any) -> None:
    _, info = blind.reset(seed=6)
    plan = expert.plan(info["cube_pose"], info["box_pose"], np.asarray(blind.scene.start), Style.sample(6))
    path = np.concatenate([np.asarray(blind.scene.start)[None], plan])
    assert np.abs(np.diff(path[:, spec.ARM], axis=0)).max() < FASTEST + 1e-3
    np.testing.assert_allclose(plan[-1], HOME, atol=1e-4)


@pytest.mark.parametrize("body", [name for name in body_names() if not load_body(name).is_uniform])
def test_measured_arm_follows_the_same_path(expert: Expert, blind: Any, body: str) -> None:
    """Its goals lie elsewhere, its joints where they shall: within half a control step, or as late as goals arrive."""
    scene = replace(SceneDistribution().sample(6), body=load_body(body))
    _, info = blind.reset(seed=6, options={"scene": scene})
    start = blind.data.qpos[:6].copy()
    wanted = expert.plan(info["cube_pose"], info["box_pose"], from_radians(start), Style.sample(6))
    goals = expert.plan(info["cube_pose"], info["box_pose"], from_radians(start), Style.sample(6), body=scene.body)
    path = blind.step_chunk(goals[:60])[4]["joint_path"]
    late = round(scene.body.delay * spec.FPS)
    off = 0.5 + abs(scene.body.delay * spec.FPS - late)
    assert np.abs(path[late:] - wanted[: 60 - late])[:, spec.ARM].max() < off * FASTEST + scene.body.backlash / 2
    assert np.abs(np.diff(goals[:, spec.ARM], axis=0)).max() < 2 * FASTEST


def test_same_style_gives_the_same_trajectory_and_others_differ(expert: Expert, blind: Any) -> None:
    _, info = blind.reset(seed=0, options={"scene": Scene()})

    def plan(seed: int) -> np.ndarray:
        return expert.plan(info["cube_pose"], info["box_pose"], np.asarray(HOME), Style.sample(seed))

    np.testing.assert_array_equal(plan(1), plan(1))
    plans = [plan(seed) for seed in range(6)]
    for first in range(6):
        for second in range(first):
            left, right = plans[first], plans[second]
            shortest = min(len(left), len(right))
            assert np.abs(left[:shortest] - right[:shortest]).max() > 2.0
    assert len({len(each) for each in plans}) > 1


def test_a_fresh_expert_plans_like_a_used_one(expert: Expert, blind: Any, demonstrate: Any) -> None:
    used = demonstrate(blind, 8)
    _, info = blind.reset(seed=8)
    start = np.asarray(blind.scene.start)
    fresh = Expert().plan(info["cube_pose"], info["box_pose"], start, Style.sample(8), body=info["body"])
    np.testing.assert_array_equal(used, fresh)


@pytest.mark.parametrize("place", [(0.5, 0.0), (0.25, 0.45), (-0.3, 0.0)])
def test_cube_out_of_reach_says_so(expert: Expert, blind: Any, place: tuple[float, float]) -> None:
    _, info = blind.reset(seed=0, options={"cube_xy": place})
    with pytest.raises(UnreachablePoseError) as caught:
        expert.plan(info["cube_pose"], info["box_pose"], np.asarray(HOME))
    assert caught.value.cure


def test_cube_in_the_box_leaves_the_jaws_no_room(expert: Expert, blind: Any) -> None:
    _, info = blind.reset(seed=0, options={"cube_xy": spec.BOX_POSITION})
    with pytest.raises(UnreachablePoseError, match="room"):
        expert.plan(info["cube_pose"], info["box_pose"], np.asarray(HOME))


@pytest.mark.parametrize("size", [0.025, 0.035])
def test_other_sizes_of_cube(make_env: Any, expert: Expert, size: float) -> None:
    env = make_env(cameras=False)
    _, info = env.reset(seed=0, options={"scene": Scene(cube=Cube(size=size))})
    *_, info = env.step_chunk(expert.plan(info["cube_pose"], info["box_pose"], np.asarray(HOME), size=size))
    assert info["is_success"]


def test_ease_is_at_rest_at_both_ends() -> None:
    start, goal = np.zeros(6), np.array([40.0, -20.0, 0.0, 0.0, 5.0, 60.0])
    path = np.concatenate([start[None], ease(start, goal, speed=2.0, least_steps=5)])
    assert len(path) == 21
    np.testing.assert_allclose(path[-1], goal)
    steps = np.diff(path[:, 0])
    assert (steps > 0).all()
    assert max(steps[0], steps[-1]) < steps.max() / 5
    np.testing.assert_allclose(steps, steps[::-1])
    assert len(ease(start, goal, speed=100.0, least_steps=5)) == 5
