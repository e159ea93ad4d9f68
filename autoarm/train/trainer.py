"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.files import write_text
from autoarm.train import checkpoint
from autoarm.train.calibration import calibrate_batch_norm
from autoarm.train.config import TrainConfig
from autoarm.train.data import ChunkDataset
from autoarm.train.folding import folded_batch_norm
from autoarm.train.processors import Pipelines, make_processors
from autoarm.train.sampling import BatchSampler
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

_CALIBRATION_BATCHES = 8


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    steps: int
    loss: float
    samples_per_second: float


def act_config(config: TrainConfig, device: str) -> ACTConfig:
    """LeRobot's configuration for this robot. Raises `InvalidInputError` for fields that ACT does not have."""
    frame = PolicyFeature(type=FeatureType.VISUAL, shape=(3, *spec.IMAGE_SIZE))
    joints = (len(spec.JOINTS),)
    try:
        return ACTConfig(
            input_features={
                **{f"observation.images.{camera}": frame for camera in spec.CAMERAS},
                "observation.state": PolicyFeature(type=FeatureType.STATE, shape=joints),
            },
            output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=joints)},
            device=device,
            push_to_hub=False,
            **config.policy,
        )
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidInputError(str(error), field="policy", cure="use fields of LeRobot's ACTConfig") from error


def learning_rate(step: int, config: TrainConfig) -> float:
    """Of a step, counted from 0: linear warm-up, then a cosine to zero or a constant."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if not config.cosine:
        return config.learning_rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


class Trainer:
    """One run of ACT.

    Args:
        config: What decides the weights.
        data: Demonstrations, with chunks as long as the policy's.
        stats: Of the dataset, as LeRobot keeps them.
        out: Folder of the run.
        dataset_digest: Ties the run to its data: a run is only continued on the same.
        device: Torch device.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ChunkDataset,
        stats: dict[str, Any],
        out: Path,
        dataset_digest: str,
        device: str = "cpu",
    ) -> None:
        self._config, self._data, self._out, self._device = config, data, out, torch.device(device)
        self._identity = {"config": config.plain(), "dataset": dataset_digest}
        self._check_folder()
        torch.manual_seed(config.seed)
        self.policy = ACTPolicy(act_config(config, device)).to(self._device)
        self._channels_last()
        self.processors: Pipelines = make_processors(self.policy.config, stats, config.image_size)
        self._sampler = BatchSampler(len(data), config.batch_size, config.seed)
        groups = [group for group in self.policy.get_optim_params() if group["params"]]
        for group in groups:
            group["lr"] = config.learning_rate
        self._optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.step = 0
        if (self._out / checkpoint.STATE_FOLDER).exists():
            self.step = checkpoint.load_state(self._out / checkpoint.STATE_FOLDER, self.policy, self._optimizer)
        elif config.calibrate:
            self._calibrate()

    def run(
        self, progress: Callable[[Progress], None] | None = None, save_every: int = 500, until: int | None = None
    ) -> Path:
        """Train to the end, or to step `until`, saving the state on the way. Returns the checkpoint folder."""
        self.policy.train()
        last = min(self._config.steps, until or self._config.steps)
        with folded_batch_norm(self.policy.model.backbone):
            self._loop(last, progress, save_every)
        return self._out / checkpoint.POLICY_FOLDER

    def _loop(self, last: int, progress: Callable[[Progress], None] | None, save_every: int) -> None:
        clock, mark = time.perf_counter(), self.step
        while self.step < last:
            loss = self._step()
            if not math.isfinite(loss):
                raise InvalidInputError(
                    f"the loss became {loss} at step {self.step}", field="learning_rate", cure="lower it"
                )
            self.step += 1
            if progress is not None and (self.step % 10 == 0 or self.step == last):
                now = time.perf_counter()
                rate = (self.step - mark) * self._config.batch_size / (now - clock)
                progress(Progress(self.step, self._config.steps, loss, rate))
                clock, mark = now, self.step
            if self.step % save_every == 0 or self.step == last:
                self.save()

    def save(self) -> None:
        """Write the checkpoint folder and the state that continues from here."""
        write_text(self._out / "train.json", json.dumps({**self._identity, "step": self.step}, indent=1) + "\n")
        checkpoint.save_state(self._out / checkpoint.STATE_FOLDER, self.step, self.policy.state_dict(), self._optimizer)
        checkpoint.save_policy(self._out / checkpoint.POLICY_FOLDER, self.policy, self.processors)

    def _step(self) -> float:
        rate = learning_rate(self.step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = self.processors[0](self._data.batch(self._sampler.batch(self.step)))
        enabled = self._config.dtype == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled):
            loss, _ = self.policy.forward(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._config.clip)
        self._optimizer.step()
        return float(loss.detach())

    def _calibrate(self) -> None:
        def images() -> Any:
            sampler = BatchSampler(len(self._data), self._config.batch_size, self._config.seed + 1)
            for step in range(_CALIBRATION_BATCHES):
                batch = self.processors[0](self._data.batch(sampler.batch(step)))
                for camera in spec.CAMERAS:
                    yield batch[f"observation.images.{camera}"]

        calibrate_batch_norm(self.policy.model.backbone, images())

    def _channels_last(self) -> None:
        # Convolutions on a CPU with bfloat16 are fastest with the channels innermost, which is how frames arrive.
        self.policy.model.backbone.to(memory_format=torch.channels_last)

    def _check_folder(self) -> None:
        path = self._out / "train.json"
        if not path.exists():
            if self._out.exists() and any(self._out.iterdir()):
                raise InvalidFileError(
                    "the folder is not empty and holds no training run", file=self._out, cure="choose another --out"
                )
            return
        try:
            found = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InvalidFileError(f"damaged: {error}", file=path, cure="choose another --out") from error
        for key, wanted in self._identity.items():
            if found.get(key) != json.loads(json.dumps(wanted)):
                raise InvalidFileError(
                    "the run in this folder was made with another one",
                    file=path,
                    field=key,
                    cure="choose another --out",
                )
