"""Train chosen parts of a policy on new demonstrations, with all that comes before them computed once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from autoarm.data.dataset import check_dataset, joint_columns
from autoarm.data.frames import cached_frames, dataset_digest
from autoarm.policies.describe import describe_policy
from autoarm.policies.lerobot import LeRobotPolicy, checkpoint_folder, resized_to
from autoarm.policies.track import track_of
from autoarm.policies.trained_on import Beginning, Demonstrations, TrainedOn
from autoarm.runtime.files import write_text
from autoarm.training import checkpoint
from autoarm.training.config import Phase
from autoarm.training.data import ChunkDataset
from autoarm.training.features import backbone_of, feature_maps, images_are_feature_maps
from autoarm.training.folding import folded_batch_norm
from autoarm.training.lean import lean_transformer
from autoarm.training.parts import BEHIND_ATTENTION, LORA, add_lora, merge_lora, train_only
from autoarm.training.sampling import BatchSampler
from autoarm.training.schedule import Progress, learning_rate
from gym_autoarm.errors import IncompatiblePolicyError, InvalidFileError, InvalidInputError

RECORD: Final = "finetune.json"
_BATCH: Final = 64


@dataclass(frozen=True)
class FinetuneConfig:
    """Options of fine-tuning.

    Attributes:
        parts: What is trained; see `autoarm.training.parts.part_names`.
        training: Steps, batch size and learning rate.
        demonstrations: How many of the dataset's episodes are learnt from, evenly spread over it; None for all.
        rank: Rank of the adapters, for the part `lora`.
        cached: Whether to compute what comes before the trained parts only once; off for comparison.
        dtype: Arithmetic of the forward pass, and what is kept; bfloat16 is autocast, and keeps half precision.
        seed: Seed of the order of samples and all other random numbers.
    """

    parts: tuple[str, ...] = ("decoder-mlp",)
    training: Phase = field(default_factory=lambda: Phase(600, 64, 3e-4, warmup=20))
    demonstrations: int | None = None
    rank: int = 16
    cached: bool = True
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    seed: int = 0


def finetune(
    policy: Path,
    dataset: Path,
    out: Path,
    config: FinetuneConfig | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: Sequence[str] = (),
) -> Path:
    """Fine-tune a checkpoint of LeRobot's ACT on demonstrations.

    Args:
        policy: A checkpoint folder, or a training run; its normalisation stays as it is.
        dataset: Folder of a LeRobotDataset v3 with this project's joints and cameras.
        out: Folder of the run, new; the policy lands in its `pretrained_model`.
        config: What decides the weights.
        progress: Called every ten steps.
        command: The command line, for the record.

    Returns:
        The checkpoint folder.

    Raises:
        InvalidFileError: If the checkpoint or the dataset cannot be used, or `out` holds something.
        InvalidInputError: If an option is wrong.
        IncompatiblePolicyError: If the policy is not ACT, or not for this robot.
    """
    config = config or FinetuneConfig()
    if out.exists() and any(out.iterdir()):
        raise InvalidFileError("the folder is not empty", file=out, cure="choose another --out")
    tuner = Finetuner(policy, dataset, config)
    losses = tuner.run(progress)
    folder = out / checkpoint.POLICY_FOLDER
    trained_on = TrainedOn(
        demonstrations=Demonstrations.of(dataset, dataset_digest(dataset)), beginning=tuner.beginning
    )
    checkpoint.save_policy(folder, tuner.policy, tuner.processors, trained_on)
    record = {
        "config": asdict(config),
        "policy": str(policy),
        "dataset": str(dataset),
        "parameters": tuner.count,
        "samples_per_second": round(tuner.samples_per_second, 1),
        "loss": losses[-1] if losses else None,
        "command": list(command),
    }
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    return folder


class Finetuner:
    """One run of fine-tuning.

    Attributes:
        policy: LeRobot's policy object, with the weights so far.
        processors: Its pre- and post-processing.
        beginning: Which checkpoint it began as.
        count: How many single weights are trained.
        samples_per_second: Speed of training, over the whole run; 0 before it.
    """

    def __init__(self, policy: Path, dataset: Path, config: FinetuneConfig) -> None:
        self._config = config
        loaded = LeRobotPolicy(policy)
        self.policy, self.processors = loaded.policy, loaded.processors
        self.beginning = _beginning(loaded)
        if self.policy.name != "act":
            raise IncompatiblePolicyError(
                f"{self.policy.name!r}, not 'act'",
                file=checkpoint_folder(policy) / "config.json",
                field="type",
                cure="choose an ACT policy",
            )
        info = check_dataset(dataset)
        size = resized_to(self.processors[0]) or info.image_size
        self._keys = list(self.policy.config.image_features)
        cameras = tuple(key.removeprefix("observation.images.") for key in self._keys)
        states, actions, episodes = joint_columns(dataset)
        frames = cached_frames(info, size)
        chunk = self.policy.config.chunk_size
        self._data = ChunkDataset(frames, states, actions, episodes, chunk, cameras, config.demonstrations)
        torch.manual_seed(config.seed)
        if LORA in config.parts:
            add_lora(self.policy, config.rank, config.seed)
        self._learnt = train_only(self.policy, config.parts, config.seed)
        self.count = sum(parameter.numel() for parameter in self._learnt)
        self.samples_per_second = 0.0
        # Without dropout a frozen part gives the same every time, and with the VAE's encoder unused as well.
        self.policy.eval()

    def run(self, progress: Callable[[Progress], None] | None = None) -> list[float]:
        """Train, and leave the policy whole and ready. Returns the loss of every step."""
        with lean_transformer(self.policy):
            losses = self._loop(progress)
        if LORA in self._config.parts:
            merge_lora(self.policy)
        self.policy.requires_grad_(True)
        return losses

    def _loop(self, progress: Callable[[Progress], None] | None) -> list[float]:
        phase = self._config.training
        optimizer = torch.optim.AdamW(self._learnt, lr=phase.learning_rate, weight_decay=0.0, fused=True)
        sampler = BatchSampler(len(self._data), phase.batch_size, self._config.seed)
        losses: list[float] = []
        loss_of = self._loss_function()
        started = clock = time.perf_counter()
        for step in range(phase.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, phase)
            with self._arithmetic():
                loss = loss_of(sampler.batch(step))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._learnt, 10.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise InvalidInputError(f"the loss became {losses[-1]}", field="learning_rate", cure="lower it")
            if progress is not None and (step + 1) % 10 == 0:
                now = time.perf_counter()
                progress(Progress(step + 1, phase.steps, losses[-1], 10 * phase.batch_size / (now - clock)))
                clock = now
        self.samples_per_second = phase.steps * phase.batch_size / max(time.perf_counter() - started, 1e-9)
        return losses

    def _loss_function(self) -> Callable[[NDArray[np.int64]], Tensor]:
        if not self._config.cached:
            return self._loss_from_images
        if set(self._config.parts) <= BEHIND_ATTENTION and len(self.policy.model.decoder.layers) == 1:
            streams = self._compute(self._streams)
            return lambda indices: self._loss_from_streams(indices, streams)
        if "all" in self._config.parts:
            return self._loss_from_images
        maps = self._compute(self._maps)
        return lambda indices: self._loss_from_maps(indices, maps)

    # -- Losses: from images, from feature maps, from the decoder's residual stream ---------------------------------

    def _loss_from_images(self, indices: NDArray[np.int64]) -> Tensor:
        with folded_batch_norm(backbone_of(self.policy)):
            maps = torch.stack(feature_maps(backbone_of(self.policy), self._images(indices)), dim=1)
        return self._loss(indices, maps)

    def _loss_from_maps(self, indices: NDArray[np.int64], maps: Tensor) -> Tensor:
        return self._loss(indices, maps[torch.from_numpy(indices)].float())

    def _loss(self, indices: NDArray[np.int64], maps: Tensor) -> Tensor:
        batch = {**self._joints(indices), **dict(zip(self._keys, maps.unbind(1), strict=True))}
        with images_are_feature_maps(self.policy):
            loss: Tensor = self.policy.forward(batch)[0]
        return loss

    def _loss_from_streams(self, indices: NDArray[np.int64], streams: Tensor) -> Tensor:
        batch = self._joints(indices)
        actions = actions_from_stream(self.policy.model, streams[torch.from_numpy(indices)].float())
        valid = ~batch["action_is_pad"][:, :, None]
        errors = functional.l1_loss(actions, batch["action"], reduction="none") * valid
        return errors.sum() / (valid.sum() * actions.shape[-1]).clamp_min(1)

    # -- What is computed once -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def _compute(self, function: Callable[[NDArray[np.int64]], Tensor]) -> Tensor:
        """The function's values for all samples, found batch by batch."""
        kept = torch.float32 if self._config.dtype == "float32" else torch.float16
        parts = []
        with folded_batch_norm(backbone_of(self.policy)), self._arithmetic():
            for first in range(0, len(self._data), _BATCH):
                parts.append(function(np.arange(first, min(first + _BATCH, len(self._data)))).to(kept))
        return torch.cat(parts)

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._config.dtype == "bfloat16")

    def _maps(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.stack(feature_maps(backbone_of(self.policy), self._images(indices)), dim=1)

    def _streams(self, indices: NDArray[np.int64]) -> Tensor:
        """The residual stream before the decoder's MLP, `(b, chunk, channels)`."""
        layer = self.policy.model.decoder.layers[-1]
        seen: list[Tensor] = []
        if layer.pre_norm:
            handle = layer.norm3.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        else:
            handle = layer.norm2.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            self._loss(indices, self._maps(indices).float())
        finally:
            handle.remove()
        return seen[0].transpose(0, 1)

    def _joints(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self.processors[0](self._data.joints(indices))
        return batch

    def _images(self, indices: NDArray[np.int64]) -> list[Tensor]:
        batch = self.processors[0](self._data.images(indices))
        return [batch[key] for key in self._keys]


def _beginning(policy: LeRobotPolicy) -> Beginning:
    record = describe_policy(policy)
    assert record.sha256 is not None  # a checkpoint has weights
    return Beginning(sha256=record.sha256, track=track_of(record))


def actions_from_stream(model: Any, stream: Tensor) -> Tensor:
    """Normalised actions `(b, chunk, n)` from the residual stream `(b, chunk, channels)` before the last MLP."""
    layer = model.decoder.layers[-1]
    hidden = layer.norm3(stream) if layer.pre_norm else stream
    hidden = layer.linear2(layer.dropout(layer.activation(layer.linear1(hidden))))
    stream = stream + layer.dropout3(hidden)
    if not layer.pre_norm:
        stream = layer.norm3(stream)
    actions: Tensor = model.action_head(model.decoder.norm(stream))
    return actions
