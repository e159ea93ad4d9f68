"""A policy with a detector beside it: it acts as it would anyway, and says once an episode what is strange."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.interp.ood.detectors import DETECTOR, fit_detector
from autoarm.interp.ood.watched_policy import WatchedPolicy
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError

SIZE = (64, 96)


def noise(seed: int, brightest: int = 255, count: int | None = None) -> dict[str, Any]:
    """Frames of noise, of a mean and a spread."""
    rng, shape = np.random.default_rng(seed), (*SIZE, 3) if count is None else (count, *SIZE, 3)
    joints = np.zeros(6 if count is None else (count, 6), np.float32)
    return {"pixels": {name: rng.integers(0, brightest, shape, np.uint8) for name in ("top", "lateral")},
            "agent_pos": joints}  # fmt: skip


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = LeRobotPolicy(checkpoint, image_size=SIZE)
    train, held = ([policy.batch(noise(seed, count=30))] for seed in (0, 1))
    made = tmp_path_factory.mktemp("ood")
    # A generous threshold, so that what is alike passes.
    detector = fit_detector(policy.policy, train, held, policy.describe().sha256 or "", 0.999)
    detector.save(made / DETECTOR)
    return made


def test_it_warns_once_an_episode_and_acts_as_ever(
    checkpoint: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = LeRobotPolicy(checkpoint, image_size=SIZE)
    watched = WatchedPolicy(str(checkpoint), folder, image_size=SIZE)
    assert watched.describe() == plain.describe()
    dark, usual = noise(7, 40), noise(1, count=30)
    for policy in (plain, watched):
        policy.reset(3, {})
    for _ in range(3):
        np.testing.assert_array_equal(watched.act(dark, {}), plain.act(dark, {}))
    said = capsys.readouterr().err
    assert said.count("seed 3, step 0: unlike the training data") == 1
    assert said.count("\n") == 1
    assert len(watched.scores) == 3
    watched.reset(4, {})
    held = {
        "pixels": {name: frames[4] for name, frames in usual["pixels"].items()},
        "agent_pos": np.zeros(6, np.float32),
    }
    watched.act(held, {})
    assert watched.scores[0] <= 1
    assert capsys.readouterr().err == ""


def test_it_travels_to_other_processes(checkpoint: Path, folder: Path) -> None:
    watched = WatchedPolicy(str(checkpoint), folder / DETECTOR, image_size=SIZE)
    again = pickle.loads(pickle.dumps(watched))  # noqa: S301
    for each in (watched, again):
        each.reset(0, {})
        each.act(noise(7, 40), {})
    assert again.scores == watched.scores


def test_a_detector_of_another_policy_is_refused(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError):
        WatchedPolicy(str(checkpoint), tmp_path / "none.npz", image_size=SIZE)
    with pytest.raises(IncompatiblePolicyError, match="no network"):
        WatchedPolicy("no-op", folder, image_size=SIZE)
