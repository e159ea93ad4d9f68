"""`train`: from a dataset folder to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from numpy.typing import NDArray

from autoarm.data.dataset import check_dataset, joint_columns
from autoarm.data.frames import JoinedFrames, cached_frames, dataset_digest, joint_digest
from autoarm.policies.trained_on import IMAGENET, RANDOM, UNKNOWN, Demonstrations, TrainedOn
from autoarm.runtime.bars import Bars
from autoarm.runtime.files import check_replaceable
from autoarm.training.backbone import load_backbone, load_into, made_by
from autoarm.training.checkpoint import RECORD
from autoarm.training.compiling import Compile
from autoarm.training.config import TrainConfig, with_backbone
from autoarm.training.data import ChunkDataset
from autoarm.training.devices import find_device
from autoarm.training.features import backbone_of, digest_of
from autoarm.training.footprint import check_memory
from autoarm.training.new_policy import new_policy, policy_config
from autoarm.training.sampling import check_shares
from autoarm.training.schedule import Progress
from autoarm.training.success_curve import Measure, run_measured
from autoarm.training.trainer import Trainer
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError


def train(
    dataset: Path | Sequence[Path],
    out: Path,
    config: TrainConfig,
    device: str = "auto",
    save_every: int = 500,
    quiet: bool = False,
    backbone: Path | None = None,
    train_backbone: bool = False,
    command: Sequence[str] = (),
    measure: Measure | None = None,
    measure_every: int = 0,
    compile_mode: Compile = "off",
) -> Path:
    """Train a policy on demonstrations; continues where an earlier call with the same arguments stopped.

    Args:
        dataset: Folder of a LeRobotDataset v3 with this project's joints and cameras, or of several.
        out: Folder of the run.
        config: What decides the weights; see `autoarm.training.presets.preset`.
        device: Torch device; `auto` takes a CUDA device where there is one.
        save_every: Steps between checkpoints.
        quiet: No progress bars.
        backbone: Folder of a backbone to start from; see `autoarm.training.backbone`.
        train_backbone: Whether to train it further, where the phases say so, rather than to leave it as it is.
        command: The command line, for the record.
        measure: Runs a checkpoint, now and then; see `autoarm.training.success_curve`.
        measure_every: Steps between these.
        compile_mode: How the network is compiled; see `autoarm.training.compiling`.

    Returns:
        The checkpoint folder, which LeRobot loads too.

    Raises:
        InvalidFileError: If the dataset or an earlier run in `out` cannot be used.
        InvalidInputError: If an option is wrong.
    """
    device = find_device(device)
    check_replaceable(out, RECORD)
    weights, origin = None, None
    if backbone is not None:
        weights, origin = load_backbone(backbone), made_by(backbone)
        config = with_backbone(config, digest_of(weights), train_backbone)
    elif train_backbone:
        raise InvalidInputError("there is none to start from", field="train_backbone", cure="give --backbone FOLDER")
    folders = [dataset] if isinstance(dataset, Path) else list(dataset)
    if not folders:
        raise InvalidInputError("there is none", field="dataset", cure="give a folder, or several")
    if config.shares:
        check_shares(config.shares, len(folders))
    infos = [check_dataset(folder) for folder in folders]
    if weights is not None:
        fields = {**config.policy, "pretrained_backbone_weights": None}
        load_into(backbone_of(new_policy(policy_config(replace(config, policy=fields), "cpu"))), weights)
    step_bytes = check_memory(config, device)
    if describe_backbone(config, origin) == IMAGENET:
        new_policy(policy_config(config, "cpu"))  # has the weights downloaded: minutes of decoding would be in vain
    each_stats = [LeRobotDatasetMetadata(f"local/{each.resolve().name}", root=each).stats for each in folders]
    stats = each_stats[0] if len(folders) == 1 else aggregate_stats(each_stats)
    chunk = len(policy_config(config, device).action_delta_indices)
    columns = [_columns(folder, chunk) for folder in folders]
    with Bars(quiet=quiet) as bars:
        decoding = bars.add_task("decode frames", total=None)

        def decoded(done: int, total: int) -> None:
            bars.update(decoding, completed=done, total=total)

        parts = [cached_frames(info, config.image_size, decoded) for info in infos]
        frames = parts[0] if len(parts) == 1 else JoinedFrames(parts)
        bars.update(decoding, completed=1, total=1, note=f"{len(frames)} x {len(spec.CAMERAS)}")
        data = ChunkDataset(
            frames,
            *_joined(columns),
            chunk,
            config.cameras,
            config.demonstrations,
            [len(part) for part in parts],
        )
        digests = [dataset_digest(folder) for folder in folders]
        digest = joint_digest(digests)
        began = describe_backbone(config, origin)
        demonstrations = [Demonstrations.of(*each) for each in zip(folders, digests, strict=True)]
        trained_on = TrainedOn(demonstrations=demonstrations[0], further=tuple(demonstrations[1:]), backbone=began)
        trainer = Trainer(
            config, data, stats, out, digest, device, weights, command, origin, trained_on, compile_mode, step_bytes
        )
        training = bars.add_task("train", total=config.steps, completed=trainer.step, note="")

        def trained(now: Progress) -> None:
            bars.update(training, completed=now.step, note=now.note)

        computing = bars.add_task("compute features", total=None, visible=False)

        def computed(done: int, total: int) -> None:
            bars.update(computing, completed=done, total=total, visible=True)

        if measure is None:
            return trainer.run(trained, save_every, computed=computed)
        options = {"progress": trained, "save_every": save_every, "computed": computed}
        return run_measured(trainer, out, measure_every, measure, **options)


Columns = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


def _columns(dataset: Path, chunk: int) -> Columns:
    """States, actions and episode of every frame. Raises `InvalidFileError` if no episode is as long as a chunk."""
    states, actions, episodes = joint_columns(dataset)
    longest = int(np.bincount(episodes).max())
    if longest < chunk:
        raise InvalidFileError(
            f"the longest episode has {longest} frames, a chunk {chunk}",
            file=dataset,
            field="chunk_size",
            cure="record longer episodes or choose a shorter chunk",
        )
    return states, actions, episodes


def _joined(columns: Sequence[Columns]) -> Columns:
    """The columns of several datasets as those of one: episodes are numbered on."""
    states, actions, episodes = zip(*columns, strict=True)
    firsts = np.cumsum([0, *(each[-1] + 1 for each in episodes)])
    numbered = [each + first for each, first in zip(episodes, firsts[:-1], strict=True)]
    return np.concatenate(states), np.concatenate(actions), np.concatenate(numbered)


def describe_backbone(config: TrainConfig, origin: str | None) -> str:
    """What the backbone begins as, given how the folder that it comes from says it was made."""
    if config.backbone is not None:
        return origin or UNKNOWN
    # LeRobot's policies take ImageNet's weights, unless they are told not to.
    named = config.policy.get("pretrained_backbone_weights", "IMAGENET")
    return RANDOM if named is None else IMAGENET if "IMAGENET" in named else str(named)
