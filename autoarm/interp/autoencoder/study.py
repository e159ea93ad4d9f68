"""Train a sparse autoencoder, measure it beside its controls, and save its features for the explorer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from autoarm.interp.autoencoder.activations import TokenActivations, site_activations
from autoarm.interp.autoencoder.features import (
    ACTIVATIONS,
    FEATURES,
    OBSERVATIONS,
    WEIGHTS,
    FeatureActivations,
    FeatureRank,
    camera_grids,
    feature_activations,
    rank_features,
)
from autoarm.interp.autoencoder.metrics import ActionLoss, Quality, action_loss, quality, recorded_chunks
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.autoencoder.train import TrainOptions, train_autoencoder
from autoarm.interp.methods.probes import random_weights
from autoarm.interp.model.tokens import check_act
from autoarm.interp.observations.dataset_sample import DatasetSample, sample_dataset
from autoarm.interp.observations.rendered import action_scale
from autoarm.runtime.files import check_writable, replacing, write_text
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy

METRICS: Final = "metrics.json"

MEMORISED: Final = 0.2
"""A feature counts as memorised if its memorisation exceeds chance by more than this."""
_JPEG: Final = 85


@dataclass(frozen=True, eq=False)
class Trained:
    """One autoencoder, with its quality on episodes that it was not trained on.

    Attributes:
        autoencoder: The autoencoder.
        quality: How well it reconstructs activations.
        action: The policy's error with its reconstruction; None for the control with random weights.
        ranks: Statistics of its features, over all observations.
        memorised: Share of the active features whose memorisation exceeds chance by `MEMORISED`.
    """

    autoencoder: SparseAutoencoder
    quality: Quality
    action: ActionLoss | None
    ranks: list[FeatureRank]
    memorised: float

    def row(self) -> dict[str, float]:
        """Its numbers."""
        action = {} if self.action is None else {f"action_{name}": value for name, value in self.action.row().items()}
        return {**self.quality.row(), **action, "memorised": self.memorised}


@dataclass(frozen=True, eq=False)
class AutoencoderStudy:
    """Result of `study_autoencoder`.

    Attributes:
        trained: The autoencoder of the policy first, then the controls, by name.
        activations: Activations of the policy's autoencoder's features.
        sample: The observations.
    """

    trained: Mapping[str, Trained]
    activations: FeatureActivations
    sample: DatasetSample

    @property
    def own(self) -> Trained:
        """The autoencoder of the policy itself."""
        return self.trained[OWN]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each autoencoder."""
        names = list(self.own.row())
        return [
            {"autoencoder": name, **{key: each.row().get(key, float("nan")) for key in names}}
            for name, each in self.trained.items()
        ]


OWN: Final = "trained policy"


def study_autoencoder(
    policy: LeRobotPolicy,
    sample: DatasetSample,
    site: str,
    options: TrainOptions | None = None,
    *,
    held_out: float = 0.2,
    controls: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> AutoencoderStudy:
    """Train on some episodes, measure on the others, and collect the features' activations over all.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        sample: Observations, as `autoarm.interp.observations.dataset_sample.sample_dataset` takes them from a dataset.
        site: Site of the activations.
        options: Training options; their seed also chooses the held-out episodes.
        held_out: Share of the episodes to hold out.
        controls: Also train one on a policy with random weights, and one with a frozen decoder.
        progress: Called with the name of the autoencoder, the activations seen so far and their total.

    Raises:
        IncompatiblePolicyError: If the policy is no ACT.
        InvalidInputError: For an unknown site, too few episodes or frames, or if SAELens is not installed.
    """
    options = options or TrainOptions()
    act = check_act(policy.policy)
    rng = stream(options.seed, "held out")
    train, test = sample.split(held_out, rng)
    here = site_activations(act, sample.batches(policy), site)
    if len(train) * here.values.shape[1] < options.batch:
        raise InvalidInputError(
            f"{len(train) * here.values.shape[1]} activations for batches of {options.batch}",
            field="frames",
            cure="take more frames, or smaller batches",
        )
    jobs: dict[str, tuple[Any, TokenActivations, TrainOptions]] = {OWN: (act, here, options)}
    if controls:
        other = random_weights(act, options.seed)
        jobs["random weights"] = (None, site_activations(other, sample.batches(policy), site), options)
        jobs["frozen decoder"] = (act, here, replace(options, frozen_decoder=True))
    trained = {name: _train(name, policy, sample, (train, test), *job, progress=progress) for name, job in jobs.items()}
    grids = camera_grids(act, site, sample.batch(policy, [0]))
    return AutoencoderStudy(trained, feature_activations(trained[OWN].autoencoder, here, grids), sample)


def run_autoencoder(
    policy: LeRobotPolicy,
    dataset: Path,
    site: str,
    out: Path,
    options: TrainOptions | None = None,
    *,
    frames: int = 2000,
    controls: bool = True,
    episodes: int = 0,
    reference: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `study_autoencoder` on a dataset, and save the result in a folder that the feature explorer can open.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        dataset: LeRobotDataset folder.
        site: Site of the activations.
        out: Folder for weights, features, activations, observations and metrics.
        options: Training options.
        frames: Number of frames, spread over the episodes.
        controls: See `study_autoencoder`.
        episodes: Simulated episodes, run with the activations and again with their reconstruction; none if 0.
        reference: Name of the policy for `load_policy`, needed for the episodes.
        progress: See `study_autoencoder`.

    Returns:
        The content of the metrics file.
    """
    options = options or TrainOptions()
    for name in (WEIGHTS, ACTIVATIONS, FEATURES, OBSERVATIONS, METRICS):
        check_writable(out / name)
    sample = sample_dataset(policy, dataset, frames)
    study = study_autoencoder(policy, sample, site, options, controls=controls, progress=progress)
    metrics: dict[str, Any] = {
        "policy": policy.name,
        "weights": policy.describe().sha256,
        "dataset": Path(dataset).name,
        "site": site,
        "options": asdict(options),
        "observations": len(sample),
        "tokens": study.activations.shape[1],
        "autoencoders": study.rows(),
    }
    if episodes:
        metrics["closed_loop"] = closed_loop(reference, study.own.autoencoder, episodes, options.seed)
    save_study(study, out)
    write_text(out / METRICS, json.dumps(_json(metrics), indent=1) + "\n")
    return metrics


def closed_loop(reference: str, autoencoder: SparseAutoencoder, episodes: int, seed: int) -> dict[str, Any]:
    """Success of a policy with and without the reconstruction inside, in the same scenes at the training spots.

    Args:
        reference: Name of the policy for `load_policy`.
        autoencoder: An autoencoder of one of its sites.
        episodes: Number of episodes.
        seed: Random seed of the scenes.
    """
    from autoarm.evaluation.evaluate import evaluate
    from autoarm.interp.autoencoder.splice import Reconstruct
    from autoarm.interp.methods.edited_policy import EditedPolicy
    from autoarm.statistics.paired import mcnemar_exact

    clean = evaluate(reference, episodes=episodes, seed=seed)
    spliced = evaluate(EditedPolicy(reference, [Reconstruct(autoencoder)]), episodes=episodes, seed=seed)
    outcomes = [[row.success for row in result.rows] for result in (clean, spliced)]
    return {
        "episodes": episodes,
        "clean": clean.overall.model_dump(),
        "spliced": spliced.overall.model_dump(),
        "mcnemar_p": float(mcnemar_exact(*outcomes).p_value),
    }


def save_study(study: AutoencoderStudy, out: Path) -> None:
    """Write weights, features, their activations, and the observations with small images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    study.own.autoencoder.save(out / WEIGHTS)
    study.activations.save(out / ACTIVATIONS)
    sample = study.sample
    observations: dict[str, Any] = {
        "frame": sample.index,
        "episode": sample.episode,
        "step": sample.step,
        "spot": sample.spot,
        "cube_x": sample.cube[:, 0],
        "cube_y": sample.cube[:, 1],
    }
    for place, camera in enumerate(spec.CAMERAS):
        observations[camera] = [jpeg(frame) for frame in sample.pixels[:, place]]
    for name, table in (
        (FEATURES, pa.Table.from_pylist([asdict(rank) for rank in study.own.ranks])),
        (OBSERVATIONS, pa.table(observations)),
    ):
        with replacing(out / name) as temporary:
            pq.write_table(table, temporary)


def jpeg(frame: Any) -> bytes:
    """An RGB frame as JPEG."""
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=_JPEG)
    return data.getvalue()


def _train(
    name: str,
    policy: LeRobotPolicy,
    sample: DatasetSample,
    split: tuple[Any, Any],
    act: Any,
    activations: TokenActivations,
    options: TrainOptions,
    progress: Callable[[str, int, int], None] | None,
) -> Trained:
    train, test = split
    watch = None if progress is None else lambda done, total: progress(name, done, total)
    autoencoder = train_autoencoder(activations.at(train), options, watch)
    loss = None
    if act is not None:
        chunks, valid = recorded_chunks(sample.actions, sample.episodes, sample.index[test], act.config.chunk_size)
        targets = action_scale(policy).normalise(chunks)
        loss = action_loss(act, autoencoder, sample.batches(policy, test), targets, valid)
    spots = sample.spot if (sample.spot >= 0).all() else None
    rng = stream(options.seed, "chance")
    ranks = rank_features(feature_activations(autoencoder, activations), sample.episode, spots, rng=rng)
    return Trained(autoencoder, quality(autoencoder, activations.at(test)), loss, ranks, memorised_part(ranks))


def memorised_part(ranks: list[FeatureRank]) -> float:
    """Share of the active features whose memorisation exceeds chance by `MEMORISED`."""
    there = [rank for rank in ranks if rank.frequency > 0]
    if not there:
        return float("nan")
    return float(np.mean([rank.memorisation - rank.chance > MEMORISED for rank in there]))


def _json(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
