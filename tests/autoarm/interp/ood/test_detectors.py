"""Out-of-distribution scores: known distances, thresholds that hold, what differs is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoarm.interp.ood.detectors import (
    Detector,
    FeatureDistance,
    auroc,
    fit_detector,
    mahalanobis,
    pooled_features,
    scene_observations,
    score_scenes,
)
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Light, Scene

SIZE = (64, 96)


@pytest.fixture(scope="module")
def policy(checkpoint: Path) -> LeRobotPolicy:
    return LeRobotPolicy(checkpoint, image_size=SIZE)


@pytest.fixture(scope="module")
def detector(policy: LeRobotPolicy) -> Detector:
    return fit_detector(policy.policy, views(policy, 40, 0), views(policy, 40, 1), "a hash")


def views(policy: LeRobotPolicy, count: int, seed: int, brightness: float = 1.0) -> list[dict[str, torch.Tensor]]:
    """Noise of a mean and a spread."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(4):
        pixels = {
            name: rng.integers(0, int(255 * brightness), (count // 4, *SIZE, 3), np.uint8)
            for name in ("top", "lateral")
        }
        batches.append(policy.batch({"pixels": pixels, "agent_pos": np.zeros((count // 4, 6), np.float32)}))
    return batches


def test_mahalanobis_is_known() -> None:
    # Standard deviations 1 and 2, and a turn that must not matter.
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    covariance = turn @ np.diag([1.0, 4.0]) @ turn.T
    distances = mahalanobis([[1, 1], turn[:, 0] + 1, 4 * turn[:, 1] + 1], [1, 1], np.linalg.inv(covariance))
    np.testing.assert_allclose(distances, [0, 1, 2], atol=1e-9)


def test_auroc_is_known() -> None:
    assert auroc([1, 2, 3], [4, 5]) == 1
    assert auroc([4, 5], [1, 2, 3]) == 0
    assert auroc([1, 1], [1, 1, 1]) == 0.5
    assert auroc([1, 3], [2, 4]) == 0.75
    with pytest.raises(InvalidInputError, match="nothing to compare"):
        auroc([], [1])


def test_features_are_the_means_of_the_maps(policy: LeRobotPolicy) -> None:
    batch = views(policy, 8, 5)[0]
    found, cameras = pooled_features(policy.policy, [batch, batch])
    assert cameras == ("top", "lateral")
    assert found.shape == (4, 1024)
    with torch.no_grad():
        maps = policy.policy.model.backbone(batch["observation.images.lateral"])["feature_map"]
    np.testing.assert_allclose(found[:2, 512:], maps.mean(dim=(2, 3)).numpy(), rtol=1e-4, atol=1e-5)


def test_what_was_seen_passes_and_what_is_dark_does_not(policy: LeRobotPolicy, detector: Detector) -> None:
    assert 0 <= detector.distance.shrinkage <= 1
    assert detector.strange(policy.policy, views(policy, 40, 1)).mean() <= 1 - detector.quantile + 1e-9
    assert detector.strange(policy.policy, views(policy, 40, 2)).mean() < 0.3
    assert detector.strange(policy.policy, views(policy, 8, 3, 0.2)).all()


def test_it_survives_its_file(policy: LeRobotPolicy, detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.npz"
    detector.save(path)
    again = Detector.load(path, "a hash")
    given = views(policy, 4, 3)
    np.testing.assert_array_equal(
        again.distance.scores(policy.policy, given), detector.distance.scores(policy.policy, given)
    )
    assert (again.threshold, again.quantile) == (detector.threshold, detector.quantile)
    with pytest.raises(IncompatiblePolicyError, match="another policy"):
        Detector.load(path, "another hash")
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidFileError, match=r"detector\.npz"):
        Detector.load(path)


def test_scenes_in_the_dark_are_told_from_others(policy: LeRobotPolicy, detector: Detector) -> None:
    usual = [SceneDistribution(cube="spots").sample(seed) for seed in range(6)]
    seen = [policy.batch(observation) for observation in scene_observations(usual, SIZE)]
    distance = FeatureDistance.fit(policy.policy, seen * 4)
    dark = [Scene(light=Light(diffuse=0.1, ambient=0.05)) for _ in range(2)]
    rows = score_scenes(policy, {"distance": distance}, {"usual": usual, "dark": dark}, "usual", SIZE)
    assert [row["auroc"] for row in rows] == [0.5, 1.0]
    with pytest.raises(InvalidInputError, match="choose from usual"):
        score_scenes(policy, {}, {"usual": usual}, "other", SIZE)


def test_too_little_data(policy: LeRobotPolicy) -> None:
    with pytest.raises(InvalidInputError, match="at least 20"):
        fit_detector(policy.policy, views(policy, 8, 0), views(policy, 8, 1))
    with pytest.raises(InvalidInputError, match="quantile"):
        fit_detector(policy.policy, [], [], quantile=1.0)
