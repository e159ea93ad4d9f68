"""Labels are what was true in the recorded frames, and observations can be drawn anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoarm.data.dataset import demonstrations
from autoarm.interp.observations import probe_data
from autoarm.interp.observations.probe_data import (
    FrameLabels,
    dataset_batches,
    dataset_frames,
    frame_labels,
    input_size,
)
from autoarm.interp.observations.rendered import (
    action_scale,
    demonstration_chunks,
    expert_chunks,
    grid_positions,
    nearest_positions,
    predicted_chunks,
    rendered_frames,
)
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.expert import Expert

SIZE = (64, 96)


@pytest.fixture(scope="module")
def labels(tiny_dataset: Path) -> FrameLabels:
    return frame_labels(tiny_dataset)


@pytest.fixture(scope="module")
def policy(checkpoint: Path) -> LeRobotPolicy:
    return LeRobotPolicy(checkpoint, image_size=SIZE)


def test_labels_tell_the_episodes_story(labels: FrameLabels, tiny_dataset: Path) -> None:
    first, second = demonstrations(tiny_dataset)
    np.testing.assert_array_equal(labels.state, np.concatenate([first.states, second.states]))
    np.testing.assert_array_equal(labels.action, np.concatenate([first.actions, second.actions]))
    for number, episode in enumerate((first, second)):
        story = labels.select(labels.episode == number)
        np.testing.assert_allclose(story.start, np.tile(episode.cube_xy, (len(story), 1)), atol=1e-6)
        np.testing.assert_allclose(story.cube[0], episode.cube_xy, atol=1e-3)
        # Held in the middle, and in the box at the end.
        assert not story.grasped[0]
        assert story.grasped[len(story) // 2]
        np.testing.assert_allclose(story.cube[-1], spec.BOX_POSITION, atol=0.05)
        assert (np.diff(story.stage) >= 0).all()
        assert {0, 1, 2} <= set(story.stage)
        assert (np.abs(story.yaw) <= 45).all()
    assert labels.spot[0] != labels.spot[-1]


def test_frames_are_thinned_within_episodes(labels: FrameLabels) -> None:
    thin = labels.every(7)
    assert set(thin.step % 7) == {0}
    assert set(thin.episode) == {0, 1}
    assert thin.target("joints") is thin.state
    with pytest.raises(InvalidInputError, match="stride"):
        labels.every(0)


def test_a_replay_that_goes_astray_is_refused(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = probe_data.joint_columns

    def other(folder: Path) -> tuple[np.ndarray, ...]:
        states, actions, index = columns(folder)
        return states, actions + 3.0, index

    monkeypatch.setattr(probe_data, "joint_columns", other)
    with pytest.raises(InvalidFileError, match="does not replay"):
        frame_labels(tiny_dataset, [1])


def test_unknown_episodes_are_refused(tiny_dataset: Path) -> None:
    with pytest.raises(InvalidInputError, match="no episode 9"):
        frame_labels(tiny_dataset, [9])


def test_batches_are_what_the_policy_would_be_given(
    labels: FrameLabels, policy: LeRobotPolicy, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path))
    frames = dataset_frames(tiny_dataset, input_size(policy, SIZE))
    thin = labels.every(40)
    batches = list(dataset_batches(policy, frames, thin, size=3))
    assert sum(len(batch["observation.state"]) for batch in batches) == len(thin)
    seen = {camera: frames[thin.index[4], number] for number, camera in enumerate(spec.CAMERAS)}
    alone = policy.batch({"pixels": seen, "agent_pos": thin.state[4]})
    for key in policy.policy.config.input_features:
        np.testing.assert_allclose(batches[1][key][1], alone[key][0], atol=1e-6)


def test_the_cube_is_drawn_where_it_is_asked_for(policy: LeRobotPolicy) -> None:
    positions = [(0.17, 0.0), (0.25, 0.11)]
    drawn = rendered_frames(positions, image_size=SIZE)
    np.testing.assert_allclose(drawn.xy, positions, atol=1e-3)
    top = drawn.pixels["top"].astype(int)
    red = (top[..., 0] > 120) & (top[..., 1] < 80) & (top[..., 2] < 80)
    rows, columns = zip(*(np.argwhere(each).mean(axis=0) for each in red), strict=True)
    assert rows[1] < rows[0]  # x ahead is up
    assert columns[1] < columns[0]  # y to the left
    np.testing.assert_allclose(drawn.states[0], drawn.states[1], atol=0.2)
    moved = rendered_frames(positions[:1], states=np.asarray(drawn.states[0]) + 5.0, image_size=SIZE)
    np.testing.assert_allclose(moved.states[0] - drawn.states[0], 5.0, atol=2.0)
    assert predicted_chunks(policy, drawn).shape == (2, 5, 6)


def test_the_experts_chunk_is_its_plan(policy: LeRobotPolicy) -> None:
    drawn = rendered_frames([(0.2, 0.05)], image_size=SIZE)
    plan = Expert().plan(drawn.cube[0], drawn.box[0], drawn.states[0], body=drawn.body)
    np.testing.assert_allclose(expert_chunks(drawn, 30)[0], plan[:30])
    whole = expert_chunks(drawn, 400)[0]
    np.testing.assert_allclose(whole[len(plan) :], np.tile(plan[-1], (400 - len(plan), 1)))


def test_actions_are_normalised_as_the_policy_does(policy: LeRobotPolicy) -> None:
    drawn = rendered_frames([(0.2, 0.05)], image_size=SIZE)
    observation = {"pixels": {c: f[0] for c, f in drawn.pixels.items()}, "agent_pos": drawn.states[0]}
    scale, predicted = action_scale(policy), predicted_chunks(policy, drawn)[0]
    acted = policy.act(observation, {})
    np.testing.assert_allclose(scale.normalise(acted), predicted, atol=1e-3)


def test_positions_and_demonstrations() -> None:
    grid = grid_positions(3, 4)
    assert grid.shape == (12, 2)
    np.testing.assert_allclose(np.stack([grid.min(axis=0), grid.max(axis=0)], axis=1), spec.WORK_AREA)
    assert nearest_positions([(0, 0), (9, 9)], [(10, 10), (1, 0), (0, 2)]).tolist() == [1, 0]
    trajectories = [np.arange(3.0)[:, None], np.arange(10.0, 20)[:, None]]
    assert demonstration_chunks(trajectories, [1, 0], 5)[..., 0].tolist() == [[10, 11, 12, 13, 14], [0, 1, 2, 2, 2]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="positions"):
        rendered_frames([0.1, 0.2])
    with pytest.raises(InvalidInputError, match="states"):
        rendered_frames([(0.2, 0.0)], states=[1.0, 2.0])
    with pytest.raises(InvalidInputError, match="no known"):
        nearest_positions([(0, 0)], np.empty((0, 2)))
