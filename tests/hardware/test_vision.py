"""The top camera as a measuring instrument, against what the simulation knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm_hardware.overlay import TOLERANCE, overlay, placement_error
from autoarm_hardware.vision import PlacementDetector, View, box_share, colour_mask, find_cube, in_box
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.scene import LATERAL, TOP, Box, Cube, Scene

SIZE = (240, 320)
places = st.tuples(st.floats(0.1, 0.3), st.floats(-0.2, 0.2), st.floats(0.0, 0.1))


@pytest.fixture(scope="module")
def env() -> PickIntoBoxEnv:
    return PickIntoBoxEnv(image_size=SIZE)


@given(places, st.sampled_from([TOP, LATERAL]))
@settings(max_examples=50)
def test_pixels_and_points_belong_together(place: tuple[float, float, float], camera: object) -> None:
    view = View(camera, SIZE)  # type: ignore[arg-type]
    pixels = view.project(np.array([place]))
    assert np.allclose(view.on_plane(pixels, place[2]), [place], atol=1e-9)


def test_camera_looks_where_it_should() -> None:
    # The target is in the middle; ahead of the arm is up in the top view, the arm's left is left.
    view = View(TOP, SIZE)
    centre, ahead, left = view.project(np.array([TOP.target, (0.25, 0.0, 0.0), (0.2, 0.05, 0.0)]))
    assert np.allclose(centre, (160, 120))
    assert ahead[1] < 119
    assert left[0] < 159
    # 36 degrees of height at 0.72 m.
    edge = view.project(np.array([(0.2 + 0.72 * np.tan(np.deg2rad(18)), 0.0, 0.0)]))
    assert np.allclose(edge, [(160, 0)])


def test_cube_is_found_where_it_lies(env: PickIntoBoxEnv) -> None:
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        found = find_cube(observation["pixels"]["top"], View(TOP, SIZE), env.scene.cube)
        assert found is not None
        assert np.linalg.norm(np.subtract(found, info["cube_pose"][:2])) < 0.003


def test_arm_and_box_are_not_the_cube(env: PickIntoBoxEnv) -> None:
    env.reset(seed=0, options={"cube_xy": (2.0, 2.0)})
    assert find_cube(env.frame("top"), View(TOP, SIZE), Cube()) is None
    assert not colour_mask(np.zeros((4, 4, 3), np.uint8), Cube().colour).any()


def test_box_tells_the_cameras_apart(env: PickIntoBoxEnv) -> None:
    observation, _ = env.reset(seed=0)
    top, lateral = observation["pixels"]["top"], observation["pixels"]["lateral"]
    assert min(box_share(top, TOP, Box()), box_share(lateral, LATERAL, Box())) > 0.9
    assert max(box_share(lateral, TOP, Box()), box_share(top, LATERAL, Box())) < 0.1


def test_overlay_shows_the_place_and_how_far_off_the_cube_is(env: PickIntoBoxEnv) -> None:
    env.reset(seed=0, options={"cube_xy": (0.2, 0.05)})
    frame = env.frame("top")
    here, elsewhere = (Scene(cube=Cube(x=0.2, y=y)) for y in (0.05, 0.09))
    off = placement_error(frame, here)
    assert off is not None
    assert off < TOLERANCE
    assert placement_error(frame, elsewhere) == pytest.approx(0.04, abs=0.004)
    drawn = overlay(frame, elsewhere)
    assert drawn.shape == frame.shape
    changed = np.argwhere((drawn != frame).any(axis=2))
    corner = View(TOP, SIZE).project(np.array([[0.215, 0.105, 0.0]]))[0]
    assert np.abs(changed[:, ::-1] - corner).sum(axis=1).min() < 3


@pytest.mark.parametrize(
    ("place", "opening", "placed"),
    [((0.17, -0.155), 40.0, True), ((0.17, -0.155), 5.0, False), ((0.2, 0.05), 40.0, False)],
)
def test_placed_means_in_the_box_and_let_go(
    env: PickIntoBoxEnv, place: tuple[float, float], opening: float, placed: bool
) -> None:
    env.reset(seed=0, options={"cube_xy": place})
    watch = PlacementDetector(Scene(), SIZE, looks=3, released=15.0)
    frame = env.frame("top")
    verdicts = []
    for _ in range(5):
        watch.update(frame, opening)
        verdicts.append(watch.is_placed)
    assert verdicts == [False, False, False, placed, placed]


def test_place_over_the_floor_of_a_turned_box() -> None:
    box = Box(x=0.2, y=-0.1, yaw=45.0, inner=0.1)
    assert in_box((0.2 + 0.065, -0.1), box)
    assert not in_box((0.2 + 0.045, -0.1 + 0.045), box)
