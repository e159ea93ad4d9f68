"""A backbone that sees as a network from ImageNet does, made from the pictures of a dataset alone.

LeRobot's ACT takes ResNets, whose weights come from a hub. Where there is none, a ResNet-18 is trained to give the maps
that a network gives whose weights come as a package, on the demonstrations' own frames, changed at random: nothing is
learnt of where the cube lies but what those maps say anyway. After Romero et al. 2015, "FitNets", arXiv:1412.6550.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.data.dataset import check_dataset
from autoarm.data.frames import cached_frames, dataset_digest
from autoarm.policies.track import track_of_dataset
from autoarm.policies.trained_on import DISTILLED, DISTILLED_FURTHER
from autoarm.training.augment import augment_images
from autoarm.training.backbone import save_backbone
from autoarm.training.background import background_rows, find_background
from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.config import Augmentation, Phase
from autoarm.training.fitting import fit
from autoarm.training.folding import folded_batch_norm
from autoarm.training.precision import fast_dtype
from autoarm.training.sampling import BatchSampler
from autoarm.training.schedule import Progress
from autoarm.training.teacher import CHANNELS, Teacher, channel_statistics
from gym_autoarm import spec

_LAYERS: Final = {"layer3": 256, "layer4": 512}
"""The ResNet's layers of the teacher's strides, and their channels."""
_CALIBRATION: Final = 256


@dataclass(frozen=True)
class DistilConfig:
    """Options of distillation.

    Attributes:
        image_size: Height and width of the frames, as the policy will see them.
        training: Steps, batch size and learning rate.
        augmentation: How frames are changed: the more, the more is seen of the teacher.
        seed: Seed of the weights, of the order of the frames and of their changes.
    """

    image_size: tuple[int, int] = (96, 128)
    training: Phase = field(default_factory=lambda: Phase(steps=1500, batch_size=64, learning_rate=1e-3))
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            colour=0.3, image_noise=0.06, repaint=0.7, recolour=0.4, light=0.3, warp=0.15, blur=0.2
        )
    )
    seed: int = 0


def distil(
    dataset: Path,
    out: Path,
    config: DistilConfig | None = None,
    teacher: nn.Module | None = None,
    decoded: Callable[[int, int], None] | None = None,
    trained: Callable[[Progress], None] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a ResNet-18 to give the teacher's maps of a dataset's frames, and keep its layers up to the last map.

    After an interruption, the same call goes on from `<out>.partial`.

    Args:
        dataset: Folder of a LeRobotDataset.
        out: Folder for the backbone; see `autoarm.training.backbone`.
        config: What decides the weights.
        teacher: From images in 0..1 to maps, as `Teacher`, which it is by default.
        decoded: Called with the frames decoded and the frames in all.
        trained: Called every ten steps.
        device: Torch device.

    Returns:
        The record beside the weights: configuration, dataset, seconds, and how much of the teacher's maps it gives.

    Raises:
        MissingDependencyError: If the teacher is not installed.
        InvalidFileError: If the dataset cannot be used.
    """
    config, started = config or DistilConfig(), time.perf_counter()
    info = check_dataset(dataset)
    frames = cached_frames(info, config.image_size, decoded)
    student = _Student(config, teacher or Teacher(), frames, torch.device(device))
    state, digest = out.with_name(f"{out.name}.partial"), dataset_digest(dataset)
    student.fit(state, {**asdict(config), "dataset": digest}, trained)
    at_spots = track_of_dataset(dataset, digest) == "five-spots"
    record = {
        "made_by": DISTILLED if at_spots else DISTILLED_FURTHER,
        "config": asdict(config),
        "dataset": digest,
        "seconds": round(time.perf_counter() - started),
        "explained": student.explained(),
    }
    save_backbone(out, student.backbone_weights(), record)
    shutil.rmtree(state, ignore_errors=True)
    return record


class _Student:
    def __init__(
        self, config: DistilConfig, teacher: nn.Module, frames: NDArray[np.uint8], device: torch.device
    ) -> None:
        self._config, self._teacher, self._frames = config, teacher.to(device), frames
        self._device, bfloat16 = device, fast_dtype(str(device)) == "bfloat16"
        self._arithmetic = partial(torch.autocast, device.type, torch.bfloat16, enabled=bfloat16)
        torch.manual_seed(config.seed)
        whole = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
        self._backbone = IntermediateLayerGetter(whole, return_layers={layer: layer for layer in _LAYERS})
        self._backbone.to(device).to(memory_format=torch.channels_last)
        self._heads = nn.ModuleList(
            nn.Conv2d(own, theirs, 1) for own, theirs in zip(_LAYERS.values(), CHANNELS, strict=True)
        ).to(device)
        some = frames[background_rows(len(frames))]
        self._backgrounds = [find_background(some[:, camera]) for camera in range(len(spec.CAMERAS))]
        pixels = some.astype(np.float32) / 255.0
        self._mean = torch.from_numpy(pixels.mean(axis=(0, 2, 3)))[..., None, None].to(device)
        self._std = torch.from_numpy(pixels.std(axis=(0, 2, 3)))[..., None, None].to(device)
        self._sampler = BatchSampler(frames.shape[0] * frames.shape[1], config.training.batch_size, config.seed)
        order = BatchSampler(frames.shape[0] * frames.shape[1], _CALIBRATION, config.seed + 1).batch(0)
        shown, seen = self._images(order)
        calibrate_batch_norm(self._backbone, [seen])
        with self._arithmetic():
            self._statistics = channel_statistics([each.float() for each in self._teacher(shown)])

    def fit(self, folder: Path, config: dict[str, Any], progress: Callable[[Progress], None] | None) -> None:
        both = nn.ModuleDict({"backbone": self._backbone, "heads": self._heads})
        with folded_batch_norm(self._backbone):
            fit(
                both,
                lambda step: self._losses(self._sampler.batch(step)).mean(),
                self._config.training,
                folder,
                config,
                progress,
            )

    @torch.no_grad()
    def explained(self) -> list[float]:
        """Share of the variance of the teacher's maps that the student gives, layer by layer, on changed frames."""
        order = BatchSampler(self._frames.shape[0] * self._frames.shape[1], _CALIBRATION, self._config.seed + 2).batch(
            0
        )
        with folded_batch_norm(self._backbone):
            return [round(1 - float(loss), 3) for loss in self._losses(order)]

    def backbone_weights(self) -> dict[str, Tensor]:
        return dict(self._backbone.state_dict())

    def _losses(self, places: NDArray[np.int64]) -> Tensor:
        """Mean squared error of each layer's maps, in units of the teacher's variance, `(layers,)`."""
        shown, seen = self._images(places)
        with self._arithmetic():
            targets = self._teacher(shown)
            maps = self._backbone(seen)
            guesses = [head(maps[layer]) for head, layer in zip(self._heads, _LAYERS, strict=True)]
        losses = [
            nn.functional.mse_loss(guess.float(), (target.float() - mean) / std)
            for guess, target, (mean, std) in zip(guesses, targets, self._statistics, strict=True)
        ]
        return torch.stack(losses)

    def _images(self, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Changed frames in 0..1, as the teacher sees them, and normalised, as the student does."""
        numbers, cameras = np.divmod(places, len(spec.CAMERAS))
        shown, seen = [], []
        for camera, background in enumerate(self._backgrounds):
            frames = torch.from_numpy(np.ascontiguousarray(self._frames[numbers[cameras == camera], camera]))
            images = frames.to(self._device).permute(0, 3, 1, 2).float() / 255.0
            images = augment_images(images, self._config.augmentation, background)
            shown.append(images)
            seen.append((images - self._mean[camera]) / self._std[camera])
        return torch.cat(shown), torch.cat(seen).contiguous(memory_format=torch.channels_last)
