"""Everything a scene can vary has the effect that its name promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any, get_args

import mujoco
import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import STIFF_BODY, body_names, load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.kinematics import from_radians, to_radians
from gym_autoarm.scene import HOME, TOP, Box, Camera, Cube, Distractor, Light, Scene, Surface

STIFF = load_body(STIFF_BODY)


def begin(env: PickIntoBoxEnv, scene: Scene) -> dict[str, np.ndarray]:
    observation, _ = env.reset(seed=0, options={"scene": scene})
    return observation["pixels"]  # type: ignore[no-any-return]


def swing(steps: int = 12) -> np.ndarray:
    """Goals that start at home and swing one joint."""
    goals = np.repeat(np.asarray(HOME, np.float32)[None], steps, axis=0)
    goals[:, 0] += 10 * np.sin(np.arange(steps))
    return goals


# -- The arm ----------------------------------------------------------------------------------------------------------


def commands(env: PickIntoBoxEnv, body: Body, goals: np.ndarray) -> np.ndarray:
    """What reaches the servos after each goal, in the contract's units."""
    begin(env, Scene(body=body))
    found = []
    for goal in goals:
        env.step(goal)
        found.append(from_radians(env.data.ctrl))
    return np.array(found)


@pytest.mark.parametrize("latency", [1, 3])
def test_latency_delays_commands_by_so_many_steps(blind: PickIntoBoxEnv, latency: int) -> None:
    prompt = commands(blind, STIFF, swing())
    late = commands(blind, replace(STIFF, delay=latency / spec.FPS), swing())
    np.testing.assert_allclose(prompt, swing(), atol=1e-5)
    np.testing.assert_array_equal(late[latency:], prompt[:-latency])
    np.testing.assert_allclose(late[:latency], [HOME] * latency, atol=1e-9)


def test_delay_may_end_within_a_control_step(blind: PickIntoBoxEnv) -> None:
    tick = 1 / spec.FPS / 16
    paths = []
    for ticks in (0, 8, 16):
        begin(blind, Scene(body=replace(STIFF, delay=ticks * tick)))
        paths.append(blind.step_chunk(swing())[4]["joint_path"][:, 1])
    way = np.abs(np.diff(paths[0])).max()
    behind = [np.abs(path[1:] - paths[0][1:]).max() / way for path in paths]
    assert behind[0] == 0.0
    assert 0.3 < behind[1] < behind[2] <= 1.05


def test_latency_delays_motion(blind: PickIntoBoxEnv) -> None:
    goal = np.array(HOME, np.float32)
    goal[0] += 20
    moved = {}
    for latency in (0, 2):
        begin(blind, Scene(body=replace(STIFF, delay=latency / spec.FPS)))
        start = blind.data.qpos[0]
        moved[latency] = [abs(np.rad2deg((blind.step(goal), blind.data.qpos[0])[1] - start)) for _ in range(6)]
    assert max(moved[2][:2]) < 0.05
    np.testing.assert_allclose(moved[2][2:], moved[0][:4], atol=0.3)


def test_backlash_swallows_small_reversals(blind: PickIntoBoxEnv) -> None:
    goals = np.repeat(np.asarray(HOME, np.float32)[None], 4, axis=0)
    goals[:, 1] += [0.9, -0.9, 5.0, 4.0]
    output = commands(blind, replace(STIFF, backlash=2.0), goals)[:, 1] - HOME[1]
    # The gap is a degree either way: crossed only by the third goal, and not crossed back by the fourth.
    np.testing.assert_allclose(output, [0.0, 0.0, 4.0, 4.0], atol=1e-5)


def test_softer_servos_lag_and_sag(blind: PickIntoBoxEnv) -> None:
    errors = {}
    goal = np.array([20.0, -20.0, 0.0, 60.0, 90.0, 45.0], np.float32)
    for name in body_names():
        begin(blind, Scene(body=load_body(name)))
        observation, *_ = blind.step_chunk(np.repeat(goal[None], 90, axis=0))
        errors[name] = float(np.abs(observation["agent_pos"] - goal)[:3].max())
    assert errors["so101"] < 0.5
    assert errors["so100-soft"] > 3 * errors["so101"]
    assert errors["so101-12v"] > 3 * errors["so101"]
    assert all(np.isfinite(error) and error < 20 for error in errors.values())


def test_dry_friction_of_a_measured_arm_holds(blind: PickIntoBoxEnv) -> None:
    """Held below its goal, it moves by no more than two hundredths of a degree in five seconds."""
    goal = np.array([20.0, -20.0, 0.0, 60.0, 90.0, 45.0], np.float32)
    begin(blind, Scene())
    path = blind.step_chunk(np.repeat(goal[None], 240, axis=0))[4]["joint_path"]
    assert np.abs(path[-1] - path[90])[:5].max() < 0.02
    assert np.abs(path[-1] - goal)[1:3].max() > 0.5


def test_start_is_where_the_arm_is(blind: PickIntoBoxEnv) -> None:
    start = (-20.0, -60.0, 50.0, 40.0, 10.0, 80.0)
    observation, _ = blind.reset(options={"scene": Scene(start=start)})
    np.testing.assert_allclose(observation["agent_pos"], start, atol=0.5)


# -- Objects ----------------------------------------------------------------------------------------------------------


def visible(env: PickIntoBoxEnv, geom: str, camera: str) -> np.ndarray:
    """Rows and columns of the pixels in which a camera sees a geom, `(n, 2)`, from MuJoCo's own segmentation."""
    with mujoco.Renderer(env.model, 120, 160) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(env.data, camera)
        seen = renderer.render()
    found = (seen[..., 0] == env.model.geom(geom).id) & (seen[..., 1] == mujoco.mjtObj.mjOBJ_GEOM)
    return np.argwhere(found)


def test_distractor_is_seen_and_is_solid(make_env: Any) -> None:
    env = make_env()
    without = begin(env, Scene())
    distractor = Distractor(0.24, 0.1, yaw=20.0, size=0.04)
    scene = Scene(distractors=(distractor,))
    frames = begin(env, scene)
    for camera in spec.CAMERAS:
        assert len(visible(env, "distractor0", camera)) > 20
        assert (frames[camera] != without[camera]).any()
    cube = env.model.joint("cube").qposadr[0]
    env.data.qpos[cube : cube + 3] = (distractor.x, distractor.y, 0.08)
    for _ in range(20):
        env.step(np.asarray(HOME, np.float32))
    assert env.data.body("cube").xpos[2] == pytest.approx(distractor.size + spec.CUBE_SIZE / 2, abs=2e-3)


@pytest.mark.parametrize("shape", ["cube", "cylinder", "sphere"])
def test_shape_and_size_of_the_object(make_env: Any, shape: Any) -> None:
    env = make_env()
    begin(env, Scene(cube=Cube(shape=shape, size=0.036)))
    geom = env.model.geom("cube")
    kinds = {"cube": "BOX", "cylinder": "CYLINDER", "sphere": "SPHERE"}
    assert geom.type[0] == getattr(mujoco.mjtGeom, f"mjGEOM_{kinds[shape]}")
    for _ in range(10):
        env.step(np.asarray(HOME, np.float32))
    # It lies on the table, at half its size, where it was put.
    np.testing.assert_allclose(env.data.body("cube").xpos, [Cube().x, Cube().y, 0.018], atol=1e-3)


def test_colour_and_mass_of_the_cube(make_env: Any) -> None:
    env = make_env(image_size=(120, 160))
    for colour, channel in (((0.9, 0.05, 0.05), 0), ((0.05, 0.8, 0.05), 1), ((0.05, 0.05, 0.9), 2)):
        frames = begin(env, Scene(cube=Cube(colour=colour, mass=0.02)))
        rows, columns = visible(env, "cube", "top").T
        assert frames["top"][rows, columns].mean(axis=0).argmax() == channel
        assert env.model.body("cube").mass[0] == pytest.approx(0.02)


def test_slippery_cube_slides_further(blind: PickIntoBoxEnv) -> None:
    ways = []
    for friction in (0.2, 1.0):
        begin(blind, Scene(cube=Cube(friction=friction)))
        dof = blind.model.joint("cube").dofadr[0]
        blind.data.qvel[dof] = 0.5
        for _ in range(20):
            blind.step(np.asarray(HOME, np.float32))
        ways.append(blind.data.body("cube").xpos[0] - Cube().x)
    # Way of a sliding body: v^2 / (2 mu g).
    assert ways[0] == pytest.approx(0.5**2 / (2 * 0.2 * 9.81), rel=0.15)
    assert 0 < ways[1] < ways[0] / 3


def test_slippery_cube_slips_from_the_grip(make_env: Any, demonstrate: Any) -> None:
    outcomes = []
    for friction in (1.0, 0.005):
        env = make_env(cameras=False, distribution={"base": Scene(cube=Cube(friction=friction))})
        outcomes.append(env.step_chunk(demonstrate(env, 0))[4]["is_success"])
    assert outcomes == [True, False]


def test_box_is_where_and_as_large_as_said(blind: PickIntoBoxEnv) -> None:
    box = Box(x=0.2, y=-0.17, yaw=20.0, inner=0.08, height=0.05)
    begin(blind, Scene(box=box))
    geoms = [i for i in range(blind.model.ngeom) if blind.model.geom_bodyid[i] == blind.model.body("box").id]
    corners = np.concatenate([blind.data.geom_xpos[g] + np.abs(blind.model.geom_size[g]) for g in geoms]).reshape(-1, 3)
    assert corners[:, 2].max() == pytest.approx(0.05)
    turn = np.deg2rad(20)
    # A ball of the inner size less a hair stays where it is; it touches no wall.
    across = blind.data.geom_xpos[geoms[1:3], :2] - [box.x, box.y]
    np.testing.assert_allclose(np.abs(across @ [np.cos(turn), np.sin(turn)]) - box.wall / 2, box.inner / 2, atol=1e-9)


# -- Pictures ---------------------------------------------------------------------------------------------------------


def test_every_surface_looks_different(make_env: Any) -> None:
    env = make_env()
    frames = [begin(env, Scene(surface=surface))["top"].astype(float) for surface in get_args(Surface)]
    for first, second in combinations(frames, 2):
        assert np.abs(first - second).mean() > 5


def test_light_brightens_tints_and_casts_shadows(make_env: Any) -> None:
    env = make_env()

    def mean(light: Light) -> np.ndarray:
        return begin(env, Scene(light=light, surface="plain"))["top"].mean(axis=(0, 1))  # type: ignore[no-any-return]

    normal = mean(Light())
    assert (mean(Light(diffuse=0.3)) < normal - 10).all()
    assert (mean(Light(ambient=0.2)) < normal - 10).all()
    red = mean(Light(tint=(1.0, 0.7, 0.7))) / normal
    assert red[0] == pytest.approx(1.0, abs=0.02)
    assert (red[1:] < 0.85).all()
    assert (mean(Light(shadow=False)) > normal + 0.5).all()


def test_shadow_falls_away_from_the_light(make_env: Any) -> None:
    env = make_env(image_size=(120, 160))
    lit = begin(env, Scene(surface="plain", light=Light(shadow=False)))["top"].astype(int)
    dark = []
    for slant in (0.4, -0.4):
        light = Light(direction=(0.0, slant, -0.9))
        bright = begin(env, Scene(surface="plain", light=replace(light, shadow=False)))["top"].astype(int)
        shaded = begin(env, Scene(surface="plain", light=light))["top"].astype(int)
        dark.append(np.argwhere((bright - shaded).sum(axis=2) > 60)[:, 1].mean())
    # Light that travels to the arm's left casts shadows to its left, which is the left of the top view.
    assert dark[0] < dark[1]
    assert lit.mean() > 0


def test_no_speckles_on_the_bare_table(make_env: Any) -> None:
    # A table that casts a shadow on itself does so in dots, most of all in the corner towards the light.
    env = make_env(image_size=(480, 640))
    for direction in (Light().direction, (0.4, -0.3, -0.8), (0.2, 0.5, -0.7)):
        frame = begin(env, Scene(surface="plain", light=Light(direction=direction)))["top"].astype(int)
        bare = np.concatenate([frame[:150, :300].reshape(-1, 3), frame[:100, 560:].reshape(-1, 3)])
        assert np.ptp(bare, axis=0).max() < 12, direction


def test_moved_camera_sees_the_scene_moved(make_env: Any) -> None:
    env = make_env()
    begin(env, Scene())
    before = visible(env, "cube", "top").mean(axis=0)
    begin(env, Scene(top=replace(TOP, position=(0.2, 0.05, 0.72), target=(0.2, 0.05, 0.0))))
    after = visible(env, "cube", "top").mean(axis=0)
    assert after[1] > before[1] + 5  # the camera went to the arm's left, and the cube to the right of the picture
    begin(env, Scene(top=replace(TOP, roll=90.0)))
    turned = visible(env, "cube", "top").mean(axis=0) - [60, 80]
    expected = before - [60, 80]
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(expected), abs=2)
    assert abs(turned @ expected) < 0.2 * np.linalg.norm(expected) ** 2
    begin(env, Scene(top=replace(TOP, fovy=60.0)))
    assert np.linalg.norm(visible(env, "cube", "top").mean(axis=0) - [60, 80]) < np.linalg.norm(expected)


def test_camera_at_the_zenith_has_ahead_on_top() -> None:
    from gym_autoarm.model import camera_quaternion

    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, camera_quaternion(Camera((0.1, 0.2, 1.0), (0.1, 0.2, 0.0), 40.0)))
    right, up, back = matrix.reshape(3, 3).T
    np.testing.assert_allclose([right, up, back], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_image_noise_has_its_level_and_is_its_own(make_env: Any) -> None:
    env = make_env(image_size=(120, 160))
    clean = begin(env, Scene(surface="plain"))
    noisy = begin(env, Scene(surface="plain", image_noise=4.0, noise_seed=1))
    other = begin(env, Scene(surface="plain", image_noise=4.0, noise_seed=2))
    again = begin(env, Scene(surface="plain", image_noise=4.0, noise_seed=1))
    for camera in spec.CAMERAS:
        noise = noisy[camera].astype(float) - clean[camera]
        inner = (clean[camera] > 20) & (clean[camera] < 235)  # where nothing is clipped
        assert noise[inner].std() == pytest.approx(4.0, rel=0.1)
        assert abs(noise[inner].mean()) < 0.1
        assert (noisy[camera] != other[camera]).any()
        np.testing.assert_array_equal(noisy[camera], again[camera])
    noises = [noisy[camera].astype(float) - clean[camera] for camera in spec.CAMERAS]
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.05


def test_variations_leave_the_physics_alone_where_they_should(make_env: Any) -> None:
    env = make_env()
    states = []
    for scene in (
        Scene(),
        Scene(surface="mat", light=Light(diffuse=0.2), image_noise=3.0),
        Scene(top=replace(TOP, fovy=50.0), box=Box(colour=(0.1, 0.1, 0.1))),
    ):
        begin(env, scene)
        env.step_chunk(swing(10))
        states.append(env.data.qpos.copy())
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])
    assert np.abs(states[0][:6] - to_radians(np.asarray(HOME))).max() > 0.01
