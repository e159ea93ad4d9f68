"""Out-of-distribution detection: two scores of how unlike its training data an observation is to a policy.

The first is the Mahalanobis distance of the backbone's features, averaged over each camera's view, with a Ledoit-Wolf
covariance (Lee et al., arXiv:1807.03888, for classifiers). The other is the reconstruction error of a
sparse autoencoder of the policy's activations. Both are high for unfamiliar observations; neither predicts failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from autoarm.figures.style import csv_text
from autoarm.interp.autoencoder.activations import site_activations
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.model.arrays import save_arrays
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.tokens import camera_name, check_act
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy
    from autoarm.suite.suite import Suite
    from gym_autoarm.scene import Scene

Scores = NDArray[np.float64]

QUANTILE: Final = 0.95
"""Share of the observations of held-out training episodes that count as familiar."""
DETECTOR: Final = "detector.npz"
_LEAST: Final = 20
_CURE: Final = "fit it again with `autoarm interp ood`"


class Scorer(Protocol):
    """A score of observations."""

    def scores(self, policy: Any, batches: Iterable[Batch]) -> Scores:
        """Scores, higher for less familiar observations, `(n,)`.

        Args:
            policy: A LeRobot `ACTPolicy`.
            batches: Observations as its preprocessor returns them.
        """
        ...


@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """Distance from the training data's features, in standard deviations; usually about the root of their number.

    Attributes:
        mean: Mean features, `(feature,)`.
        precision: Inverse of the shrunk covariance, `(feature, feature)`.
        shrinkage: Between 0, the covariance as it is, and 1, a multiple of the identity.
        cameras: Cameras, in the order of their features.
    """

    mean: Scores
    precision: Scores
    shrinkage: float
    cameras: tuple[str, ...]

    @classmethod
    def fit(cls, policy: Any, batches: Iterable[Batch]) -> Self:
        """Fit mean and covariance to training data. Raises `InvalidInputError` for too few observations."""
        from sklearn.covariance import LedoitWolf

        features, cameras = pooled_features(policy, batches)
        if len(features) < _LEAST:
            raise InvalidInputError(
                f"{len(features)} observations", field="frames", cure=f"take at least {_LEAST}, better hundreds"
            )
        fitted = LedoitWolf().fit(features)
        return cls(
            np.asarray(fitted.location_, np.float64),
            np.asarray(fitted.precision_, np.float64),
            float(fitted.shrinkage_),
            cameras,
        )

    def scores(self, policy: Any, batches: Iterable[Batch]) -> Scores:
        features, cameras = pooled_features(policy, batches)
        if cameras != self.cameras or features.shape[1] != len(self.mean):
            raise IncompatiblePolicyError(
                f"it has cameras {', '.join(cameras)} and {features.shape[1]} features, not {', '.join(self.cameras)}"
                f" and {len(self.mean)}",
                field="policy",
                cure=_CURE,
            )
        return mahalanobis(features, self.mean, self.precision)


@dataclass(frozen=True, eq=False)
class ReconstructionError:
    """Share of the activations that an autoencoder fails to reconstruct: squared error over squared distance from its
    mean, over all tokens of an observation."""

    autoencoder: SparseAutoencoder

    def scores(self, policy: Any, batches: Iterable[Batch]) -> Scores:
        found = []
        for values in site_activations(policy, batches, self.autoencoder.site).values:
            tokens = torch.from_numpy(np.array(values))
            error = ((self.autoencoder.reconstruct(tokens) - tokens) ** 2).sum(dtype=torch.float64)
            size = ((tokens - self.autoencoder.mean) ** 2).sum(dtype=torch.float64)
            found.append(float(error / size.clamp_min(1e-12)))
        return np.asarray(found, np.float64)


@dataclass(frozen=True, eq=False)
class Detector:
    """A distance and its threshold, as saved to a file.

    Attributes:
        distance: The score.
        threshold: Observations above it are unfamiliar: a quantile of the scores of held-out training episodes.
        quantile: That quantile.
        weights: Hash of the policy's weights; another policy has other features.
    """

    distance: FeatureDistance
    threshold: float
    quantile: float
    weights: str

    def strange(self, policy: Any, batches: Iterable[Batch]) -> NDArray[np.bool_]:
        """Which observations are unfamiliar, `(n,)`."""
        return self.distance.scores(policy, batches) > self.threshold

    def save(self, path: Path) -> None:
        """Write npz."""
        arrays: dict[str, Any] = {
            "mean": self.distance.mean,
            "precision": self.distance.precision,
            "shrinkage": self.distance.shrinkage,
            "cameras": np.array(self.distance.cameras, np.str_),
            "threshold": self.threshold,
            "quantile": self.quantile,
            "weights": np.array(self.weights, np.str_),
        }
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, weights: str | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            path: The file.
            weights: Hash of the weights of the policy that it is to be used with; not checked if None.

        Raises:
            InvalidFileError: If it is something else.
            IncompatiblePolicyError: If it was fitted to another policy.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                distance = FeatureDistance(
                    np.asarray(found["mean"], np.float64),
                    np.asarray(found["precision"], np.float64),
                    float(found["shrinkage"]),
                    tuple(map(str, found["cameras"])),
                )
                own = cls(distance, float(found["threshold"]), float(found["quantile"]), str(found["weights"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidFileError(f"no detector: {error}", file=path, cure=_CURE) from error
        if weights is not None and own.weights != weights:
            raise IncompatiblePolicyError("it was fitted to another policy", file=path, field="weights", cure=_CURE)
        return own


def pooled_features(policy: Any, batches: Iterable[Batch]) -> tuple[Scores, tuple[str, ...]]:
    """The backbone's features, each camera's averaged over its view, side by side.

    Returns:
        `(n, cameras * channels)`, and the cameras.
    """
    cameras = tuple(camera_name(key) for key in check_act(policy).config.image_features)
    if not cameras:
        raise IncompatiblePolicyError("it has no camera", field="policy", cure="use a policy with a camera")
    parts = []
    for batch in batches:  # one at a time: whole maps of all would fill the memory
        maps = capture(policy, [batch], [f"backbone.{camera}" for camera in cameras])
        parts.append(np.concatenate([found.values.mean(axis=(2, 3)) for found in maps.values()], axis=1))
    if not parts:
        raise InvalidInputError("there is no batch", field="batches", cure="give at least one")
    return np.concatenate(parts).astype(np.float64), cameras


def mahalanobis(features: ArrayLike, mean: ArrayLike, precision: ArrayLike) -> Scores:
    """Distance of each row `(n, d)` from a mean, in standard deviations."""
    distances = cdist(np.asarray(features), np.asarray(mean)[None], "mahalanobis", VI=np.asarray(precision))
    return np.asarray(distances[:, 0], np.float64)


def auroc(seen: ArrayLike, other: ArrayLike) -> float:
    """AUROC: how often an unfamiliar observation scores higher than a familiar one, ties half; 0.5 is chance."""
    low, high = np.asarray(seen, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    if not len(low) or not len(high):
        raise InvalidInputError("nothing to compare", field="scores", cure="give both kinds")
    return float(roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high])))


def fit_detector(
    policy: Any, train: Iterable[Batch], held_out: Iterable[Batch], weights: str = "", quantile: float = QUANTILE
) -> Detector:
    """Fit the distance on some training episodes, and its threshold on others.

    Args:
        policy: A LeRobot `ACTPolicy`.
        train: Observations as its preprocessor returns them.
        held_out: Observations of other episodes, of which a share of `1 - quantile` will count as unfamiliar.
        weights: Hash of the policy's weights.
        quantile: Quantile of the held-out scores for the threshold, between 0 and 1.
    """
    if not 0 < quantile < 1:
        raise InvalidInputError(f"{quantile} is out of range", field="quantile", cure="between 0 and 1")
    distance = FeatureDistance.fit(policy, train)
    scores = distance.scores(policy, held_out)
    return Detector(distance, float(np.quantile(scores, quantile)), quantile, weights)


def scene_observations(scenes: Sequence[Scene], image_size: tuple[int, int] = spec.IMAGE_SIZE) -> list[dict[str, Any]]:
    """The first observation of each scene, as the environment returns it."""
    from gym_autoarm.env import PickIntoBoxEnv

    env = PickIntoBoxEnv(image_size)
    try:
        return [env.reset(seed=number, options={"scene": scene})[0] for number, scene in enumerate(scenes)]
    finally:
        env.close()


def score_scenes(
    policy: LeRobotPolicy,
    scorers: Mapping[str, Scorer],
    scenes: Mapping[str, Sequence[Scene]],
    seen: str,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> list[dict[str, Any]]:
    """How well each score tells the first view of other scenes from that of scenes as in training.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        scorers: Scorers by name.
        scenes: Scenes by name of their distribution.
        seen: Name of the training distribution among these.
        image_size: Height and width of the frames.

    Returns:
        A row for each score and distribution: number of scenes, median score, AUROC against `seen`.
    """
    if seen not in scenes:
        raise InvalidInputError(f"no scenes {seen!r}", field="seen", cure=f"choose from {', '.join(scenes)}")
    batches = {
        name: [policy.batch(observation) for observation in scene_observations(each, image_size)]
        for name, each in scenes.items()
    }
    rows = []
    for name, scorer in scorers.items():
        scores = {distribution: scorer.scores(policy.policy, given) for distribution, given in batches.items()}
        for distribution, values in scores.items():
            rows.append(
                {
                    "score": name,
                    "scenes": distribution,
                    "count": len(values),
                    "median": float(np.median(values)),
                    "auroc": auroc(scores[seen], values),
                }
            )
    return rows


def suite_scenes(suite: Suite, count: int) -> dict[str, list[Scene]]:
    """Scenes of each axis of a suite, spread over its levels; the first axis is that of training."""
    from autoarm.suite.draw import plan_suite

    found = {}
    for axis, about in suite.axes.items():
        planned = plan_suite(suite, {axis: max(1, -(-count // len(about.levels)))})
        chosen = np.unique(np.linspace(0, len(planned) - 1, min(count, len(planned))).round().astype(int))
        found[axis] = [planned[number].scene for number in chosen]
    return found


def run_ood(
    policy: LeRobotPolicy,
    dataset: Path,
    out: Path,
    *,
    suite: str | None = None,
    scenes: int = 20,
    autoencoder: Path | None = None,
    frames: int = 2000,
    quantile: float = QUANTILE,
    seed: int = 0,
) -> tuple[Detector, list[dict[str, Any]]]:
    """Fit a detector to a dataset, and measure how well it tells a suite's other axes from its first, that of training.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        dataset: LeRobotDataset folder that it was trained on.
        out: Folder for `detector.npz` and `scenes.csv`.
        suite: Name of the suite; no scenes are scored if None.
        scenes: Number of scenes of each axis, spread over its levels.
        autoencoder: Folder or file of an autoencoder of this policy, for a second score.
        frames: Number of frames of the dataset, spread over its episodes.
        quantile: See `fit_detector`.
        seed: Random seed that chooses the held-out episodes.

    Returns:
        The detector, and the rows of `score_scenes`.
    """

    from autoarm.interp.autoencoder.features import WEIGHTS
    from autoarm.interp.observations.dataset_sample import sample_dataset
    from autoarm.runtime.files import check_writable, write_text
    from autoarm.suite.suite import load_suite
    from gym_autoarm.rng import stream

    check_writable(out / DETECTOR)
    scorers: dict[str, Scorer] = {}
    if autoencoder is not None:
        file = autoencoder / WEIGHTS if autoencoder.is_dir() else autoencoder
        scorers["reconstruction error"] = ReconstructionError(SparseAutoencoder.load(file))
    plan = None if suite is None else load_suite(suite)
    sample = sample_dataset(policy, dataset, frames)
    train, held = sample.split(0.2, stream(seed, "held out"))
    detector = fit_detector(
        policy.policy,
        sample.batches(policy, train),
        sample.batches(policy, held),
        policy.describe().sha256 or "",
        quantile,
    )
    detector.save(out / DETECTOR)
    if plan is None:
        return detector, []
    places = suite_scenes(plan, scenes)
    seen = next(iter(places))
    rows = score_scenes(policy, {"feature distance": detector.distance, **scorers}, places, seen, plan.image_size)
    write_text(out / "scenes.csv", csv_text(rows))
    return detector, rows
