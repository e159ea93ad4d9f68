from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoarm.data.dataset import demonstrations, episode_frames
from autoarm.policies.alignment import stretch
from autoarm.policies.describe import describe_policy
from autoarm.policies.loading import BASELINES, load_policy
from autoarm.policies.lookup import NearestPolicy, look, mean_trajectory, read_trajectories
from autoarm.policies.protocol import Policy
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError

IMAGE_SIZE = (96, 128)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOARM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def start():
    env = PickIntoBoxEnv(IMAGE_SIZE)
    yield env.reset(seed=3, options={"spot": "centre"})
    env.close()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_follows_the_protocol(name, tiny_dataset, start):
    policy = load_policy(name, tiny_dataset)
    assert isinstance(policy, Policy)
    assert (policy.name, describe_policy(policy).kind) == (name, "baseline")
    for _ in range(2):
        policy.reset(7, start[1])
        first = policy.act(*start)
        assert (first.ndim, first.shape[1], first.dtype) == (2, 6, np.float32)
        assert (first >= spec.ACTION_LOW).all()
        assert (first <= spec.ACTION_HIGH).all()
        again = policy.act(*start)
        assert len(again) >= 1
        # The same seed, the same actions: nothing of the last episode survives a reset.
        policy.reset(7, start[1])
        np.testing.assert_array_equal(policy.act(*start), first)


@pytest.mark.parametrize("name", ["expert", "no-op", "replay", "nearest"])
def test_a_finished_trajectory_rests_at_its_last_goal(name, tiny_dataset, start):
    policy = load_policy(name, tiny_dataset)
    policy.reset(0, start[1])
    last = policy.act(*start)[-1]
    np.testing.assert_array_equal(np.unique(policy.act(*start), axis=0), last[None])


def test_no_op_stays_where_the_arm_is(start):
    policy = load_policy("no-op")
    policy.reset(0, start[1])
    np.testing.assert_array_equal(policy.act(*start)[0], start[0]["agent_pos"])


def test_random_goals_differ_between_seeds_and_fill_the_limits(start):
    policy = load_policy("random")
    goals = []
    for seed in range(200):
        policy.reset(seed, start[1])
        goals.append(policy.act(*start)[0])
    fraction = (np.array(goals) - spec.ACTION_LOW) / (spec.ACTION_HIGH - spec.ACTION_LOW)
    assert (fraction.min(axis=0) < 0.1).all()
    assert (fraction.max(axis=0) > 0.9).all()


# -- Names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "meant"), [("exprt", "expert"), ("nearst", "nearest"), ("noop", "no-op")])
def test_an_unknown_policy_is_answered_with_the_closest_name(reference, meant):
    with pytest.raises(InvalidInputError, match=f"did you mean '{meant}'") as caught:
        load_policy(reference)
    assert all(name in str(caught.value) for name in BASELINES)


@pytest.mark.parametrize("name", ["replay", "nearest"])
def test_lookup_baselines_ask_for_demonstrations(name, tmp_path):
    with pytest.raises(InvalidInputError, match="--dataset"):
        load_policy(name)
    with pytest.raises(InvalidFileError, match="no such folder"):
        load_policy(name, tmp_path / "missing")


def test_a_users_own_class_is_found_beside_them(tmp_path, monkeypatch):
    (tmp_path / "my_own_policy.py").write_text(
        "import numpy as np\n"
        "class Mine:\n"
        "    name, needs_images = 'mine', False\n"
        "    def reset(self, seed, info): pass\n"
        "    def act(self, observation, info): return np.zeros((1, 6), np.float32)\n"
        "class NotOne: pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    policy = load_policy("my_own_policy:Mine")
    record = describe_policy(policy)
    assert (record.name, record.kind, record.config) == ("mine", "custom", {"class": "my_own_policy:Mine"})
    with pytest.raises(IncompatiblePolicyError, match="protocol"):
        load_policy("my_own_policy:NotOne")
    with pytest.raises(InvalidInputError, match="Missing"):
        load_policy("my_own_policy:Missing")
    with pytest.raises(InvalidInputError, match="no_such_module"):
        load_policy("no_such_module:Mine")


# -- Demonstrations ----------------------------------------------------------------------------------------------------


def test_the_trajectories_are_those_that_were_recorded(tiny_dataset):
    recorded = [demonstration.actions for demonstration in demonstrations(tiny_dataset)]
    read = read_trajectories(tiny_dataset)
    assert len(read) == len(recorded)
    for one, other in zip(read, recorded, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_demonstrations_own_first_observation_is_nearest_to_it(tiny_dataset):
    policy = NearestPolicy(tiny_dataset)
    for number, demonstration in enumerate(demonstrations(tiny_dataset)):
        pixels = {camera: episode_frames(tiny_dataset, number, camera)[0] for camera in spec.CAMERAS}
        observation = {"pixels": pixels, "agent_pos": demonstration.states[0]}
        assert policy.nearest(observation) == number


def test_the_nearest_demonstration_is_the_one_of_the_same_spot(tiny_dataset):
    policy = NearestPolicy(tiny_dataset)
    spots = [demonstration.spot for demonstration in demonstrations(tiny_dataset)]
    env = PickIntoBoxEnv((120, 160))  # frames of another size than the dataset's
    for seed in range(3):
        for number, spot in enumerate(spots):
            observation, _ = env.reset(seed=seed, options={"spot": spot})
            assert policy.nearest(observation) == number
    env.close()


def test_a_look_averages_the_views():
    pixels = {
        camera: np.full((48, 64, 3), shade, np.uint8) for camera, shade in zip(spec.CAMERAS, (10, 20), strict=True)
    }
    pixels["top"][:2, :2] = 90  # one cell of the thumbnail
    seen = look(pixels, np.arange(6, dtype=np.float32))
    views = seen[6:].reshape(2, 24, 32, 3)
    np.testing.assert_array_equal(seen[:6], np.arange(6))
    assert (views[0, 0, 0] == 90).all()
    assert views[0].sum() == 10 * 24 * 32 * 3 + 80 * 3
    assert (views[1] == 20).all()


trajectories = arrays.arrays(
    np.float32, st.tuples(st.integers(2, 30), st.just(6)), elements=st.floats(-100, 100, width=32)
)


@given(trajectories, st.integers(2, 60))
def test_stretching_keeps_the_ends_and_stays_within(trajectory, length):
    stretched = stretch(trajectory, length)
    assert stretched.shape == (length, 6)
    np.testing.assert_array_equal(stretched[[0, -1]], trajectory[[0, -1]])
    assert (stretched >= trajectory.min(axis=0) - 1e-4).all()
    assert (stretched <= trajectory.max(axis=0) + 1e-4).all()


def test_the_mean_of_one_motion_at_three_speeds_is_that_motion():
    motion = [np.linspace(0, 90, length)[:, None].repeat(6, axis=1).astype(np.float32) for length in (10, 21, 41)]
    np.testing.assert_allclose(mean_trajectory(motion), motion[1], atol=1e-4)
