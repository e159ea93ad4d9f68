"""Training on several datasets at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autoarm.data.dataset import check_dataset
from autoarm.data.frames import JoinedFrames, cached_frames
from autoarm.policies.track import track_of_training
from autoarm.policies.trained_on import read_trained_on
from autoarm.training.config import TrainConfig
from autoarm.training.data import ChunkDataset
from autoarm.training.run import train
from autoarm.training.sampling import MixedSampler
from gym_autoarm.errors import InvalidInputError


@pytest.mark.parametrize("shares", [[1.0, 1.0, 1.0], [6.0, 3.0, 1.0]])
def test_each_dataset_has_its_share(shares: list[float]) -> None:
    counts = [5, 40, 11]
    sampler = MixedSampler(counts, shares, 16, seed=1)
    seen = np.concatenate([sampler.batch(step) for step in range(500)])
    assert set(seen) == set(range(56))
    for start, count, share in zip((0, 5, 45), counts, shares, strict=True):
        own = np.bincount(seen, minlength=56)[start : start + count]
        assert own.sum() / len(seen) == pytest.approx(share / sum(shares), abs=0.03)
        assert own.min() > own.mean() / 2
    np.testing.assert_array_equal(MixedSampler(counts, shares, 16, seed=1).batch(7), sampler.batch(7))
    assert (MixedSampler(counts, shares, 16, seed=2).batch(7) != sampler.batch(7)).any()


@pytest.mark.parametrize("shares", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 1.0, 1.0]])
def test_shares_that_do_not_fit(shares: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="does not fit 2 datasets"):
        MixedSampler([3, 4], shares, 2, 0)


def test_joined_frames_are_the_frames_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (count, 2, 4, 6, 3), np.uint8) for count in (5, 3, 7)]
    joined, whole = JoinedFrames(parts), np.concatenate(parts)
    rows = rng.permutation(15)
    for camera in (0, 1):
        np.testing.assert_array_equal(joined[rows, camera], whole[rows, camera])
    assert len(joined) == 15
    assert joined[np.array([], np.int64), 0].shape == (0, 4, 6, 3)


def test_samples_of_each_dataset_are_counted_where_episodes_are_left_out() -> None:
    joints = np.zeros((20, 6), np.float32)
    episodes = np.repeat(np.arange(4), 5)
    frames = np.zeros((20, 2, 4, 6, 3), np.uint8)
    assert ChunkDataset(frames, joints, joints, episodes, 2).dataset_sizes == (20,)
    assert ChunkDataset(frames, joints, joints, episodes, 2, datasets=[15, 5]).dataset_sizes == (15, 5)
    half = ChunkDataset(frames, joints, joints, episodes, 2, demonstrations=2, datasets=[15, 5])
    assert half.dataset_sizes == (10, 0)


@pytest.fixture
def two(tiny_dataset: Path, tmp_path: Path) -> Sequence[Path]:
    other = tmp_path / "other"
    shutil.copytree(tiny_dataset, other)
    (other / "meta" / "extra.txt").write_text("another dataset")
    return tiny_dataset, other


def test_a_run_on_two_says_both_and_goes_on(
    two: Sequence[Path], tmp_path: Path, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    config = replace(small_config, shares=(3.0, 1.0))
    checkpoint = train(two, tmp_path / "run", config, "cpu", quiet=True)
    found = read_trained_on(checkpoint)
    assert found is not None
    assert len({found.demonstrations.sha256, *(each.sha256 for each in found.further)}) == 2
    assert track_of_training(found) == "open"
    assert train(two, tmp_path / "run", config, "cpu", quiet=True) == checkpoint
    frames = [cached_frames(check_dataset(each), config.image_size) for each in two]
    assert len(frames[0]) == len(frames[1])


def test_a_dataset_twice_is_learnt_like_once(
    two: Sequence[Path], tmp_path: Path, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    folders = [train(each, tmp_path / f"{i}", small_config, "cpu", quiet=True) for i, each in enumerate(two)]
    one, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(one[name], other[name]) for name in one)
    joint = read_stats(train(two, tmp_path / "both", small_config, "cpu", quiet=True))
    single = read_stats(folders[0])
    for name, value in single.items():
        torch.testing.assert_close(joint[name], value, rtol=1e-4, atol=1e-4)


def read_stats(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Means and standard deviations that a checkpoint normalises with."""
    (file,) = checkpoint.glob("policy_preprocessor_step_*_normalizer_processor.safetensors")
    return {
        name: value
        for name, value in load_file(file).items()
        if name.endswith((".mean", ".std")) and "image" not in name
    }


@pytest.mark.parametrize("shares", [(1.0,), (1.0, 1.0, 1.0)])
def test_shares_are_checked_before_anything_is_read(
    two: Sequence[Path], tmp_path: Path, small_config: TrainConfig, shares: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidInputError, match="for 2 datasets"):
        train(two, tmp_path / "run", replace(small_config, shares=shares), "cpu", quiet=True)
    assert not (tmp_path / "run").exists()
