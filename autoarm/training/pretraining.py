"""A backbone that has learnt to see in simulation, from random scenes whose labels cost nothing.

It sees the cube everywhere, with its position as the label. That makes imitation on top of it fast, and it decides what
may be claimed afterwards: cubes at positions without demonstrations are not new to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.training.attention_pooling import AttentionPooling
from autoarm.training.backbone import PRETRAINING, save_backbone
from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.config import Phase
from autoarm.training.features import feature_maps
from autoarm.training.folding import folded_batch_norm
from autoarm.training.sampling import BatchSampler
from autoarm.training.scenes import LABELS, LabelledFrames, Scenes, render_scenes
from autoarm.training.schedule import Progress, learning_rate
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_HELD_OUT: Final = 20
"""Every scene whose number is a multiple of this is kept for the test."""
_CALIBRATION: Final = 256
"""Frames from which pixel and batch-norm statistics are taken."""


@dataclass(frozen=True)
class PretrainConfig:
    """Options of pretraining.

    Attributes:
        scenes: What is rendered.
        image_size: Height and width of the frames, as the policy will see them.
        training: Steps, batch size and learning rate.
        seed: Seed of the weights and of the order of samples.
    """

    scenes: Scenes = field(default_factory=Scenes)
    image_size: tuple[int, int] = (96, 128)
    training: Phase = field(default_factory=lambda: Phase(steps=2500, learning_rate=5e-4))
    seed: int = 0


def pretrain(
    out: Path,
    config: PretrainConfig | None = None,
    workers: int = 1,
    rendered: Callable[[int, int], None] | None = None,
    trained: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Render random scenes, train a ResNet-18 to say what they show, and keep its layers up to the last map.

    Args:
        out: Folder for the backbone; see `autoarm.training.backbone`.
        config: What decides the weights.
        workers: Processes that render.
        rendered: Called with the scenes rendered and the scenes in all.
        trained: Called every ten steps.

    Returns:
        The record beside the weights: configuration, seconds, and the errors on held-out scenes.

    Raises:
        InvalidInputError: If there are too few scenes to hold some out.
    """
    config = config or PretrainConfig()
    if config.scenes.count < _HELD_OUT:
        raise InvalidInputError(
            f"{config.scenes.count} scenes leave none for the test", field="scenes", cure=f"at least {_HELD_OUT}"
        )
    started = time.perf_counter()
    data = render_scenes(config.scenes, config.image_size, workers, rendered)
    rendering = time.perf_counter() - started
    test = data.scenes % _HELD_OUT == 0
    network = _Network(data, ~test, config)
    network.fit(trained)
    record = {
        "made_by": PRETRAINING,
        "config": asdict(config),
        "seconds": {"rendering": round(rendering), "training": round(time.perf_counter() - started - rendering)},
        "held_out": network.errors(np.flatnonzero(test)),
    }
    save_backbone(out, dict(network.backbone.state_dict()), record)
    return record


class _Network:
    """A backbone with a head over the maps of both cameras."""

    def __init__(self, data: LabelledFrames, train: NDArray[np.bool_], config: PretrainConfig) -> None:
        self._data, self._config, self._train = data, config, np.flatnonzero(train)
        torch.manual_seed(config.seed)
        whole = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
        # The same cut as LeRobot's ACT makes, so that names agree.
        self.backbone = IntermediateLayerGetter(whole, return_layers={"layer4": "feature_map"})
        self.backbone.to(memory_format=torch.channels_last)
        labels = data.labels[self._train]
        self._mean, self._std = labels.mean(axis=0), labels.std(axis=0) + 1e-6
        pixels = data.frames[self._train[:: max(1, len(self._train) // _CALIBRATION)]].astype(np.float32) / 255.0
        self._pixel_mean = torch.from_numpy(pixels.mean(axis=(0, 2, 3)))
        self._pixel_std = torch.from_numpy(pixels.std(axis=(0, 2, 3)))
        order = BatchSampler(len(self._train), _CALIBRATION, config.seed + 1).batch(0)
        calibrate_batch_norm(self.backbone, self._images(self._train[order]))
        height, width = (math.ceil(side / 32) for side in config.image_size)
        self._head = AttentionPooling(len(spec.CAMERAS) * height * width, 512, len(LABELS))

    def fit(self, progress: Callable[[Progress], None] | None) -> None:
        phase = self._config.training
        parameters = [*self.backbone.parameters(), *self._head.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=phase.learning_rate, weight_decay=1e-4, fused=True)
        sampler = BatchSampler(len(self._train), phase.batch_size, self._config.seed)
        clock = time.perf_counter()
        with folded_batch_norm(self.backbone):
            for step in range(phase.steps):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, phase)
                indices = self._train[sampler.batch(step)]
                loss = nn.functional.smooth_l1_loss(self._predict(indices), self._targets(indices), beta=0.1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(parameters, 10.0)
                optimizer.step()
                if progress is not None and (step + 1) % 10 == 0:
                    rate = 10 * phase.batch_size / (time.perf_counter() - clock)
                    progress(Progress(step + 1, phase.steps, float(loss.detach()), rate))
                    clock = time.perf_counter()

    @torch.no_grad()
    def errors(self, indices: NDArray[np.int64]) -> dict[str, float]:
        """Mean distance of the cube and of the grasp site from their true positions, millimetres."""
        with folded_batch_norm(self.backbone):
            parts = [self._predict(part) for part in np.array_split(indices, max(1, len(indices) // 64))]
        guess = torch.cat(parts).float().numpy() * self._std + self._mean
        off = guess - self._data.labels[indices]
        return {
            "cube_mm": round(float(np.linalg.norm(off[:, :3], axis=1).mean()) * 1000, 2),
            "grasp_mm": round(float(np.linalg.norm(off[:, 5:], axis=1).mean()) * 1000, 2),
        }

    def _targets(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((self._data.labels[indices] - self._mean) / self._std)

    def _predict(self, indices: NDArray[np.int64]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            maps = feature_maps(self.backbone, self._images(indices))
            guess: Tensor = self._head(torch.stack(maps, dim=1))
        return guess.float()

    def _images(self, indices: NDArray[np.int64]) -> list[Tensor]:
        images = []
        for slot in range(len(spec.CAMERAS)):
            pixels = torch.from_numpy(self._data.frames[indices, slot]).float() / 255.0
            images.append(((pixels - self._pixel_mean[slot]) / self._pixel_std[slot]).permute(0, 3, 1, 2))
        return images
