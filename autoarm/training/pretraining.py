"""A backbone that has learnt to see in simulation, from random scenes whose labels cost nothing.

It sees the cube everywhere, with its position as the label. That makes imitation on top of it fast, and it decides what
may be claimed afterwards: cubes at positions without demonstrations are not new to it.
"""

from __future__ import annotations

import math
import shutil
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
from autoarm.training.augment import augment_images
from autoarm.training.backbone import PRETRAINING, save_backbone
from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.config import Augmentation, Phase, drop_defaults
from autoarm.training.features import feature_maps
from autoarm.training.fitting import fit
from autoarm.training.folding import folded_batch_norm
from autoarm.training.sampling import BatchSampler
from autoarm.training.scenes import LabelledFrames, Scenes, render_scenes
from autoarm.training.schedule import Progress
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
        augmentation: Random changes of the images.
    """

    scenes: Scenes = field(default_factory=Scenes)
    image_size: tuple[int, int] = (96, 128)
    training: Phase = field(default_factory=lambda: Phase(steps=2500, learning_rate=5e-4))
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def plain(self) -> dict[str, Any]:
        """The options as JSON data; those that came later are left out at their defaults."""
        data = {**asdict(self), "scenes": self.scenes.plain()}
        drop_defaults(data, {"augmentation": asdict(Augmentation())})
        return data


def pretrain(
    out: Path,
    config: PretrainConfig | None = None,
    workers: int = 1,
    rendered: Callable[[int, int], None] | None = None,
    trained: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Render random scenes, train a ResNet-18 to say what they show, and keep its layers up to the last map.

    After an interruption, the same call goes on: frames are kept in the cache, and the state of training in
    `<out>.partial` until it is finished.

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
    partial = out.with_name(f"{out.name}.partial")
    network.fit(partial, trained)
    record = {
        "made_by": PRETRAINING,
        "config": config.plain(),
        "seconds": {"rendering": round(rendering), "training": round(time.perf_counter() - started - rendering)},
        "held_out": network.errors(np.flatnonzero(test)),
    }
    save_backbone(out, dict(network.backbone.state_dict()), record)
    shutil.rmtree(partial, ignore_errors=True)
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
        some = self._train[:: max(1, len(self._train) // _CALIBRATION)]
        pixels = data.frames[some].astype(np.float32) / 255.0
        self._pixel_mean = torch.from_numpy(pixels.mean(axis=(0, 2, 3)))
        self._pixel_std = torch.from_numpy(pixels.std(axis=(0, 2, 3)))
        order = BatchSampler(len(self._train), _CALIBRATION, config.seed + 1).batch(0)
        calibrate_batch_norm(self.backbone, self._images(self._train[order]))
        height, width = (math.ceil(side / 32) for side in config.image_size)
        self._head = AttentionPooling(len(spec.CAMERAS) * height * width, 512, len(config.scenes.labels))

    def fit(self, folder: Path, progress: Callable[[Progress], None] | None) -> None:
        """Train to the end, from the state in `folder` if there is one."""
        phase = self._config.training
        sampler = BatchSampler(len(self._train), phase.batch_size, self._config.seed)

        def loss_of(step: int) -> Tensor:
            indices = self._train[sampler.batch(step)]
            return nn.functional.smooth_l1_loss(self._predict(indices, augment=True), self._targets(indices), beta=0.1)

        both = nn.ModuleDict({"backbone": self.backbone, "head": self._head})
        with folded_batch_norm(self.backbone):
            fit(both, loss_of, phase, folder, self._config.plain(), progress)

    @torch.no_grad()
    def errors(self, indices: NDArray[np.int64]) -> dict[str, float]:
        """Mean distance of cube, grasp site and box from their true positions, millimetres."""
        with folded_batch_norm(self.backbone):
            batches = [self._predict(part) for part in np.array_split(indices, max(1, len(indices) // 64))]
        guess = torch.cat(batches).float().numpy() * self._std + self._mean
        off = guess - self._data.labels[indices]
        parts = {"cube_mm": off[:, :3], "grasp_mm": off[:, 5:8], "box_mm": off[:, 8:]}
        return {
            name: round(float(np.linalg.norm(part, axis=1).mean()) * 1000, 2)
            for name, part in parts.items()
            if part.shape[1]
        }

    def _targets(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((self._data.labels[indices] - self._mean) / self._std)

    def _predict(self, indices: NDArray[np.int64], augment: bool = False) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            maps = feature_maps(self.backbone, self._images(indices, augment))
            guess: Tensor = self._head(torch.stack(maps, dim=1))
        return guess.float()

    def _images(self, indices: NDArray[np.int64], augment: bool = False) -> list[Tensor]:
        images = []
        for slot in range(len(spec.CAMERAS)):
            pixels = torch.from_numpy(np.asarray(self._data.frames[indices, slot])).permute(0, 3, 1, 2).float() / 255.0
            if augment:
                pixels = augment_images(pixels, self._config.augmentation)
            mean, std = (value[slot][:, None, None] for value in (self._pixel_mean, self._pixel_std))
            images.append((pixels - mean) / std)
        return images
