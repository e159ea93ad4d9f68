"""A dataset in memory gives batches as LeRobot's data loader does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoarm.data.frames import JoinedFrames
from autoarm.training.data import ChunkDataset
from gym_autoarm.errors import InvalidInputError

CHUNK = 8


def test_batches_look_like_lerobots(demonstrations: ChunkDataset) -> None:
    batch = demonstrations.batch(np.array([0, 13]))
    assert batch["observation.images.top"].shape == (2, 3, 32, 48)
    assert batch["observation.images.top"].is_contiguous(memory_format=torch.channels_last)
    assert (
        0 <= float(batch["observation.images.lateral"].min()) <= float(batch["observation.images.lateral"].max()) <= 1
    )
    assert batch["action"].shape == (2, CHUNK, 6)
    assert batch["action_is_pad"].tolist() == [[False] * CHUNK, [False] + [True] * (CHUNK - 1)]


def test_fewer_demonstrations_are_spread_over_the_dataset() -> None:
    joints = np.repeat(np.arange(10, dtype=np.float32), 5)[:, None] * np.ones(6, np.float32)
    frames = np.zeros((50, 2, 4, 4, 3), np.uint8)
    data = ChunkDataset(frames, joints, joints, np.repeat(np.arange(10), 5), 8, demonstrations=5)
    assert len(data) == 25
    batch = data.batch(np.arange(25))
    assert batch["observation.state"][:, 0].unique().tolist() == [0, 2, 4, 6, 8]
    assert torch.equal(batch["action"][:, :, 0], batch["observation.state"][:, :1].expand(-1, 8))
    for wrong in (0, 11):
        with pytest.raises(InvalidInputError, match="from 1 to 10"):
            ChunkDataset(frames, joints, joints, np.repeat(np.arange(10), 5), 8, demonstrations=wrong)


def test_kept_frames_are_the_frames() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (count, 2, 8, 12, 3), np.uint8) for count in (20, 10)]
    joints = np.zeros((30, 6), np.float32)
    for cameras in (("top", "lateral"), ("lateral",)):
        data = ChunkDataset(JoinedFrames(parts), joints, joints, np.repeat(np.arange(6), 5), 2, cameras, 3, [20, 10])
        places = rng.integers(0, len(data), 9)
        before = data.images(places)
        for rows in data.frames.values():
            assert not rows.are_kept
            assert rows.nbytes == len(data) * 8 * 12 * 3
            rows.keep()
        after = data.images(places)
        assert before.keys() == after.keys() == {f"observation.images.{camera}" for camera in cameras}
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        for rows in data.frames.values():
            assert rows.are_kept
            rows.let_go()
            assert not rows.are_kept
