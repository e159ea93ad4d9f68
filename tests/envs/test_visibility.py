"""Both cameras see the cube, the box and the working gripper, wherever in the work area they are."""

from __future__ import annotations

from itertools import product
from typing import Any

import mujoco
import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.kinematics import ArmKinematics, GraspPose, radial_heading, to_radians
from gym_autoarm.scene import Cube, Scene

GRID = list(product(np.linspace(*spec.WORK_AREA[0], 4), np.linspace(*spec.WORK_AREA[1], 5)))
HEIGHT, WIDTH = spec.IMAGE_SIZE


@pytest.fixture(scope="module")
def env() -> PickIntoBoxEnv:
    env = PickIntoBoxEnv(cameras=False)
    env.reset(seed=0, options={"scene": Scene()})
    return env


def project(env: PickIntoBoxEnv, camera: str, points: np.ndarray) -> np.ndarray:
    """Columns and rows `(n, 2)` of points `(n, 3)` in a frame of the contract's size, by the pinhole's formula."""
    view = env.data.camera(camera)
    right, up, back = ((points - view.xpos) @ view.xmat.reshape(3, 3)).T
    assert (back < 0).all(), "in front of the camera"
    scale = HEIGHT / 2 / np.tan(np.deg2rad(env.model.camera(camera).fovy[0]) / 2)
    return np.stack([WIDTH / 2 + scale * right / -back, HEIGHT / 2 - scale * up / -back], axis=1)


def corners(centre: np.ndarray, half: np.ndarray, yaw: float) -> np.ndarray:
    signs = np.array(list(product((-1, 1), repeat=3)))
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return centre + (signs * half) @ turn.T


def in_frame(pixels: np.ndarray, margin: float = 4.0) -> bool:
    return bool((pixels >= margin).all() and (pixels <= np.array([WIDTH, HEIGHT]) - margin).all())


@pytest.mark.parametrize("camera", spec.CAMERAS)
def test_cube_is_in_the_frame_everywhere(env: PickIntoBoxEnv, camera: str) -> None:
    half = np.full(3, spec.CUBE_SIZE / 2)
    for (x, y), yaw in product(GRID, (0.0, np.pi / 4)):
        assert in_frame(project(env, camera, corners(np.array([x, y, half[2]]), half, yaw))), (x, y)


@pytest.mark.parametrize("camera", spec.CAMERAS)
def test_box_is_in_the_frame(env: PickIntoBoxEnv, camera: str) -> None:
    box = env.scene.box
    outer = box.inner / 2 + box.wall
    centre, half = np.array([box.x, box.y, box.height / 2]), np.array([outer, outer, box.height / 2])
    assert in_frame(project(env, camera, corners(centre, half, 0.0)))


@pytest.mark.parametrize("camera", spec.CAMERAS)
def test_grasping_gripper_is_in_the_frame(env: PickIntoBoxEnv, camera: str) -> None:
    arm = ArmKinematics()
    places = [*GRID, spec.BOX_POSITION]
    for (x, y), height in product(places, (0.02, 0.08)):
        for tilt in (0.0, 16.0, 32.0, 40.0):
            try:
                joints = arm.inverse(GraspPose((float(x), float(y), height), tilt, radial_heading(x, y) + 90))
                break
            except UnreachablePoseError:
                continue
        else:
            pytest.fail(f"no lean reaches ({x}, {y})")
        env.data.qpos[:6] = to_radians(np.append(joints, 30.0))
        mujoco.mj_forward(env.model, env.data)
        pads = [env.data.geom(name).xpos for name in ("fixed_pad", "moving_pad")]
        assert in_frame(project(env, camera, np.array([*pads, env.data.site("grasp").xpos]))), (x, y, height)


def pixels_of_cube(renderer: mujoco.Renderer, env: PickIntoBoxEnv, camera: str, groups: list[int]) -> np.ndarray:
    """Columns and rows `(n, 2)`, in the contract's pixels, where the cube is drawn among geoms of some groups."""
    option = mujoco.MjvOption()
    option.geomgroup[:] = groups
    renderer.update_scene(env.data, camera, option)
    seen = renderer.render()
    cube = (seen[..., 0] == env.model.geom("cube").id) & (seen[..., 1] == mujoco.mjtObj.mjOBJ_GEOM)
    return 2 * np.argwhere(cube)[:, ::-1] + 1.0


@pytest.mark.parametrize("camera", spec.CAMERAS)
def test_cube_is_seen_at_the_start_wherever_it_is(camera: str) -> None:
    env = PickIntoBoxEnv(cameras=False)
    env.reset(seed=0, options={"scene": Scene()})
    shares = []
    with mujoco.Renderer(env.model, HEIGHT // 2, WIDTH // 2) as renderer:
        renderer.enable_segmentation_rendering()
        for x, y in GRID:
            env.reset(seed=0, options={"scene": Scene(cube=Cube(x=float(x), y=float(y)))})
            alone = pixels_of_cube(renderer, env, camera, [1, 0, 0, 0, 0, 0])
            shares.append(len(pixels_of_cube(renderer, env, camera, [1, 1, 1, 0, 0, 0])) / len(alone))
            # The projection used above agrees with what is drawn.
            expected = project(env, camera, env.data.body("cube").xpos[None])[0]
            assert np.linalg.norm(alone.mean(axis=0) - expected) < 10, (x, y)
    # Close to the base the folded arm hides a part of it from above.
    assert min(shares) > 0.2
    assert np.mean(shares) > 0.9


def test_start_pose_is_clear_of_the_cube_at_every_place(make_env: Any) -> None:
    env = make_env(cameras=False, distribution={"home_noise": 3.0})
    for seed in range(40):
        env.reset(seed=seed)
        assert not env._monitor.contacts(env.data).arm
        cube, scene = env.data.body("cube").xpos, env.scene.cube
        np.testing.assert_allclose(cube, [scene.x, scene.y, scene.size / 2], atol=1e-3)
