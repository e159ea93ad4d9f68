"""Attention over an episode: what is kept, saved and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from autoarm.interp.methods.attention import capture_cross_attention, overlay
from autoarm.interp.methods.attention_video import (
    AttentionTrack,
    Scale,
    Selection,
    dataset_attention,
    live_attention,
    tint,
    write_video,
)
from autoarm.interp.model.tokens import TokenLayout
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution

STEPS = 19
LAYOUT = TokenLayout(("latent", "state"), {"top": (2, 3), "lateral": (2, 3)})


@pytest.fixture(scope="module")
def policy(checkpoint: Path) -> LeRobotPolicy:
    return LeRobotPolicy(checkpoint, image_size=(64, 96))


@pytest.fixture(scope="module")
def episode() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    frames = {name: rng.integers(0, 256, (STEPS, 64, 96, 3), np.uint8) for name in LAYOUT.grids}
    return rng.normal(size=(STEPS, 6)).astype(np.float32), frames


@pytest.fixture
def track() -> AttentionTrack:
    weights = np.random.default_rng(1).dirichlet(np.ones(LAYOUT.size), STEPS).astype(np.float32)
    return AttentionTrack(weights, np.full((STEPS, 4), 3.0, np.float32), LAYOUT, Selection(head=2))


@pytest.mark.parametrize("selection", [Selection(), Selection(head=1), Selection(slot=3), Selection(0, 2, 0)])
def test_each_frame_gets_the_attention_of_its_own_forward_pass(
    policy: LeRobotPolicy, episode: Any, selection: Selection
) -> None:
    states, frames = episode
    track = dataset_attention(policy, states, frames, selection)
    assert len(track) == STEPS
    for step in (0, 15, 16, STEPS - 1):  # on both sides of a batch's end
        batch = policy.batch({"agent_pos": states[step], "pixels": {name: frames[name][step] for name in frames}})
        weights = capture_cross_attention(policy.policy, batch).layers[selection.layer].weights
        heads = slice(None) if selection.head is None else selection.head
        slots = slice(None) if selection.slot is None else selection.slot
        expected = weights[heads][None] if selection.head is not None else weights
        expected = expected[:, slots].reshape(-1, weights.shape[-1]).mean(axis=0)
        np.testing.assert_allclose(track.weights[step], expected, atol=1e-5)
    np.testing.assert_allclose(sum(track.shares().values()), 1, atol=1e-5)
    assert track.effective.min() >= 1
    assert track.effective.max() <= track.layout.size


@pytest.mark.parametrize("bad", [Selection(layer=1), Selection(head=4), Selection(slot=5)])
def test_a_part_the_policy_lacks_is_named(policy: LeRobotPolicy, episode: Any, bad: Selection) -> None:
    with pytest.raises(InvalidInputError, match="the policy has no"):
        dataset_attention(policy, *episode, bad)


def test_a_track_survives_its_file(track: AttentionTrack, tmp_path: Path) -> None:
    track.save(tmp_path / "track.npz")
    again = AttentionTrack.load(tmp_path / "track.npz")
    assert (again.layout, again.selection) == (track.layout, track.selection)
    np.testing.assert_array_equal(again.weights, track.weights)
    np.testing.assert_array_equal(again.maps("lateral"), track.maps("lateral"))
    (tmp_path / "other.npz").write_text("nothing")
    with pytest.raises(InvalidFileError, match=r"other\.npz"):
        AttentionTrack.load(tmp_path / "other.npz")


def test_colour_begins_at_the_smallest_value_unless_told_otherwise(track: AttentionTrack) -> None:
    each = track.ranges("camera")
    for name in LAYOUT.grids:
        assert each[name] == (pytest.approx(track.maps(name).min()), pytest.approx(track.maps(name).max()))
    lows, tops = zip(*each.values(), strict=True)
    assert set(track.ranges("shared").values()) == {(min(lows), max(tops))}
    assert set(track.ranges("shared", from_zero=True).values()) == {(0.0, max(tops))}


def test_nearly_even_attention_shows_its_structure() -> None:
    frame, grid = np.full((4, 4, 3), 90, np.uint8), np.array([[0.020, 0.021]], np.float32)
    low, top = tint(frame, grid, 0.021, 0.020)[0, [0, -1]].astype(int)
    assert (low == 90).all()
    assert np.abs(top - low).max() > 50


@pytest.mark.parametrize("size", [(64, 96), (50, 71)])
def test_the_quick_tint_is_the_overlay(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    frame, grid = rng.integers(0, 256, (*size, 3), np.uint8), rng.random((2, 3)).astype(np.float32)
    exact = overlay(frame, grid, 0.9).astype(int)
    assert np.abs(tint(frame, grid, 0.9).astype(int) - exact).max() <= 2
    np.testing.assert_array_equal(tint(frame, np.zeros((2, 3), np.float32), 0.0), frame)


@pytest.mark.parametrize("scale", ["shared", "camera"])
def test_a_video_has_every_step_in_true_colours(track: AttentionTrack, scale: Scale, tmp_path: Path) -> None:
    frames = {name: np.full((STEPS, 64, 96, 3), (200, 40, 40), np.uint8) for name in LAYOUT.grids}
    write_video(tmp_path / "a.mp4", track, frames, scale)
    with av.open(str(tmp_path / "a.mp4")) as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(shown) == STEPS
    assert shown[0].shape[1] == 2 * 96
    # The frame is red and the tint green to blue: in swapped channels blue would lead where there is least colour.
    assert shown[0][40:].reshape(-1, 3).max(axis=0)[0] > 150


def test_frames_must_be_those_of_the_track(track: AttentionTrack, tmp_path: Path) -> None:
    frames = {name: np.zeros((STEPS - 1, 64, 96, 3), np.uint8) for name in LAYOUT.grids}
    with pytest.raises(InvalidInputError, match="frames"):
        write_video(tmp_path / "a.mp4", track, frames)
    assert not list(tmp_path.iterdir())


def test_a_live_run_is_recorded_at_every_step(policy: LeRobotPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    # An untrained policy: what it says must still be something that may reach the motors.
    home = np.zeros((5, 6), np.float32)
    act = policy.act
    monkeypatch.setattr(policy, "act", lambda *given: home + 0 * act(*given))
    track, frames, success = live_attention(policy, SceneDistribution().sample(0), 0, image_size=(64, 96), time_limit=7)
    assert len(track) == len(frames["top"]) == len(frames["lateral"]) == 7
    assert not success
    again = dataset_attention(policy, np.zeros((1, 6), np.float32), {name: video[:1] for name, video in frames.items()})
    assert again.weights.shape == track.weights[:1].shape
