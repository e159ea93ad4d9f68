"""Baselines made from demonstrations: what each does with one it knows, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm.data.dataset import demonstrations, episode_frames, joint_columns, read_collection
from autoarm.policies.alignment import aligned, grasp
from autoarm.policies.blind import BlindPolicy, mean_first_frames
from autoarm.policies.describe import describe_policy
from autoarm.policies.loading import load_policy
from autoarm.policies.lookup import read_trajectories
from autoarm.policies.nearest import CHUNK, NearestImagePolicy, NearestStatePolicy, Standardised, thumbnails
from autoarm.policies.position_fed import PositionFedPolicy, planar_pose, scene_features
from autoarm.policies.rbf import RbfPolicy
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("AUTOARM_CACHE", str(folder))
        yield folder


def seen(dataset, episode: int, step: int):
    """What was seen at a step of a demonstration."""
    pixels = {camera: episode_frames(dataset, episode, camera)[step] for camera in spec.CAMERAS}
    return {"pixels": pixels, "agent_pos": demonstrations(dataset)[episode].states[step]}


# -- Nearest neighbours ------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 8))
def test_the_nearest_row_is_the_one_at_the_least_distance(seed, count, size):
    rng = np.random.default_rng(seed)
    rows, value = rng.normal(size=(count, size)).astype(np.float32), rng.normal(size=size).astype(np.float32)
    least = np.full(size, 1e-3, np.float32)
    scale = np.maximum(rows.std(axis=0), least)
    distances = np.linalg.norm((rows - value) / scale, axis=1)
    assert distances[Standardised(rows, least).nearest(value)] == pytest.approx(distances.min(), rel=1e-2, abs=1e-2)


@pytest.mark.parametrize("policy_class", [NearestStatePolicy, NearestImagePolicy])
def test_at_a_moment_it_has_seen_it_goes_on_as_then(policy_class, tiny_dataset):
    policy = policy_class(tiny_dataset)
    policy.reset(0, {})
    for episode, step in ((0, 30), (1, 60)):
        actions = demonstrations(tiny_dataset)[episode].actions
        chunk = policy.act(seen(tiny_dataset, episode, step), {})
        # The arm moves slowly, and so a neighbour in time may be as near.
        offsets = [np.abs(actions[step + shift : step + shift + CHUNK] - chunk).max() for shift in range(-2, 3)]
        assert min(offsets) == 0


def test_one_looks_and_the_other_does_not(tiny_dataset):
    """From the same joints, the cube alone says which demonstration to follow."""
    states, _, _ = joint_columns(tiny_dataset)
    blind, looking = NearestStatePolicy(tiny_dataset), NearestImagePolicy(tiny_dataset)
    starts = [{**seen(tiny_dataset, episode, 0), "agent_pos": states[0]} for episode in (0, 1)]
    assert np.array_equal(*(blind.act(start, {}) for start in starts))
    assert not np.array_equal(*(looking.act(start, {}) for start in starts))


def test_thumbnails_are_means_of_cells():
    frames = np.zeros((1, 2, 96, 128, 3), np.uint8)
    frames[0, 1, 4:8, 8:12, 2] = 80
    small = thumbnails(frames).reshape(2, 24, 32, 3)
    assert small[1, 1, 2, 2] == 80
    assert small.sum() == 80


# -- Interpolation -----------------------------------------------------------------------------------------------------


def test_interpolation_goes_through_the_demonstrations_and_between_them(tiny_dataset, monkeypatch):
    monkeypatch.setattr("autoarm.policies.rbf.SMOOTHING", 0.0)
    policy = RbfPolicy(tiny_dataset)
    recorded = aligned(read_trajectories(tiny_dataset))
    for episode, trajectory in enumerate(recorded):
        policy.reset(0, {})
        planned = policy.act(seen(tiny_dataset, episode, 0), {})
        np.testing.assert_allclose(planned, trajectory, atol=1.0)
    first, second = (seen(tiny_dataset, episode, 0) for episode in (0, 1))
    mixed = {
        camera: ((first["pixels"][camera].astype(int) + second["pixels"][camera]) // 2).astype(np.uint8)
        for camera in spec.CAMERAS
    }
    policy.reset(0, {})
    between = policy.act({"pixels": mixed, "agent_pos": (first["agent_pos"] + second["agent_pos"]) / 2}, {})
    apart = np.abs(recorded[0] - recorded[1]).max()
    assert np.abs(between - recorded.mean(axis=0)).max() < 0.2 * apart


# -- Given the position ------------------------------------------------------------------------------------------------


def test_a_known_position_gives_its_demonstration(tiny_dataset):
    policy = PositionFedPolicy(tiny_dataset)
    recorded = aligned(read_trajectories(tiny_dataset))
    for record, trajectory in zip(read_collection(tiny_dataset).episodes, recorded, strict=True):
        cube, box = record.scene["cube"], record.scene["box"]
        turn = np.radians(cube["yaw"]) / 2
        info = {
            "cube_pose": np.array([cube["x"], cube["y"], 0.015, np.cos(turn), 0, 0, np.sin(turn)]),
            "box_pose": np.array([box["x"], box["y"], 0, 1, 0, 0, 0]),
        }
        policy.reset(0, info)
        # Two demonstrations leave much undetermined: ridge regression stays a little short of them.
        assert np.abs(policy.act({}, info) - trajectory).max() < 3.0


def test_demonstrations_meet_when_the_gripper_closes_and_opens(tiny_dataset):
    recorded = aligned(read_trajectories(tiny_dataset))
    assert len({grasp(trajectory) for trajectory in recorded}) == 1
    start, end = grasp(recorded[0])
    assert 20 < start < end < recorded.shape[1] - 5


def test_without_a_grasp_all_is_stretched():
    still = [np.zeros((length, 6), np.float32) for length in (4, 8, 9)]
    assert aligned(still).shape == (3, 8, 6)
    assert grasp(still[0]) is None


def test_a_quarter_turn_of_the_cube_changes_nothing():
    pose = np.array([0.2, 0.1, 0.015, np.cos(np.radians(15)), 0, 0, np.sin(np.radians(15))])
    assert planar_pose(pose) == pytest.approx((0.2, 0.1, 30.0))
    one, other = (scene_features(0.2, 0.1, yaw, 0.17, -0.15) for yaw in (30.0, 120.0))
    np.testing.assert_allclose(one, other, atol=1e-12)


# -- Blind -------------------------------------------------------------------------------------------------------------


class Shade:
    """Answers with the mean brightness of what it is shown."""

    name, needs_images = "shade", True

    def reset(self, seed, info):
        self.seed = seed

    def act(self, observation, info):
        return np.full((1, 6), np.mean([view.mean() for view in observation["pixels"].values()]), np.float32)


def test_the_blind_see_the_mean_of_the_first_frames(tiny_dataset):
    policy = BlindPolicy(Shade(), tiny_dataset, (48, 64))
    policy.reset(3, {})
    dark = {"agent_pos": np.zeros(6, np.float32)}  # no frame is drawn for it
    firsts = [seen(tiny_dataset, episode, 0)["pixels"] for episode in (0, 1)]
    mean = np.mean([first[camera].mean() for first in firsts for camera in spec.CAMERAS])
    assert policy.act(dark, {})[0, 0] == pytest.approx(mean, abs=1.0)
    assert {view.shape for view in mean_first_frames(tiny_dataset, (48, 64)).values()} == {(48, 64, 3)}
    record = describe_policy(policy)
    assert (record.name, record.role) == ("blind:shade", "control")
    assert record.config["dataset"] == str(tiny_dataset)
    assert not policy.needs_images


def test_only_those_who_look_can_be_blinded(tiny_dataset):
    with pytest.raises(InvalidInputError, match="anyway"):
        load_policy("blind:expert", tiny_dataset)
    with pytest.raises(InvalidInputError, match="there is no policy 'nobody'"):
        load_policy("blind:nobody", tiny_dataset)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("expert", "ceiling"),
        ("no-op", "floor"),
        ("random", "floor"),
        ("replay", "floor"),
        ("nearest-state", "floor"),
        ("nearest", "control"),
    ],
)
def test_a_record_says_what_a_policy_is_for(name, role, tiny_dataset):
    assert describe_policy(load_policy(name, tiny_dataset)).role == role
