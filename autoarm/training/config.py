"""What a training run is: everything that decides its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any, Final, Literal

from gym_autoarm.errors import InvalidInputError


@dataclass(frozen=True)
class Phase:
    """A stretch of training with an optimiser and a learning-rate schedule of its own.

    Attributes:
        steps: Optimiser steps.
        batch_size: Samples a step.
        learning_rate: Peak; reached after `warmup` steps, then falling along a cosine to zero. Constant if `cosine`
            is off.
        backbone: `trained` with the rest, or `frozen`: its feature maps are then computed once and kept, and only the
            transformer is trained on them.
        views: With a frozen backbone: how many maps of each frame are kept, one as it is and the others changed at
            random, as `Augmentation` says.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup: int = 100
    cosine: bool = True
    backbone: Literal["trained", "frozen"] = "trained"
    views: int = 1


_OF_IMAGES: Final = ("shift", "colour", "image_noise", "repaint", "recolour", "light", "warp", "blur")


@dataclass(frozen=True)
class Augmentation:
    """What is done to a sample before it is learnt from; nothing, by default.

    Image changes need the images: in a phase whose feature maps are kept, they make its further views.

    Attributes:
        shift: Largest shift of a camera's image in either direction, pixels of the resized frame.
        colour: Largest relative change of brightness, of contrast and of each colour channel.
        image_noise: Standard deviation of the noise on each pixel, in units of the full range.
        state_noise: Standard deviation of the noise on the joints' positions, in standard deviations of the dataset.
        state_dropout: Share of the samples whose joints' positions are replaced by the dataset's mean.
        repaint: Share of the images in which what stands still gets other colours and a texture.
        recolour: How far colour channels are mixed.
        light: Strength of a smooth field of light, as the standard deviation of its logarithm.
        warp: Largest displacement of the image's corners, as a share of half its width: a camera that was moved.
        blur: Share of the images that are blurred.
        feature_noise: Standard deviation of the noise on the backbone's feature maps, in their standard deviations.
    """

    shift: int = 0
    colour: float = 0.0
    image_noise: float = 0.0
    state_noise: float = 0.0
    state_dropout: float = 0.0
    feature_noise: float = 0.0
    repaint: float = 0.0
    recolour: float = 0.0
    light: float = 0.0
    warp: float = 0.0
    blur: float = 0.0

    @property
    def changes_images(self) -> bool:
        """Whether images are changed at all."""
        return any(getattr(self, name) for name in _OF_IMAGES)


_LATER_CHANGES: Final = {"repaint": 0.0, "recolour": 0.0, "light": 0.0, "warp": 0.0, "blur": 0.0}
_LATER_IN_PHASES: Final = {"views": 1}
"""Options that came later; see `drop_defaults`."""


@dataclass(frozen=True)
class TrainConfig:
    """Options of a training run.

    Attributes:
        image_size: Height and width that frames are resized to before the backbone.
        phases: Stretches of training, one after the other.
        architecture: LeRobot's name of the policy.
        policy: Fields of LeRobot's configuration of that policy.
        cameras: Cameras that the policy sees.
        state: Whether the policy is given the joints' positions.
        relative_actions: Whether actions are learnt relative to the joints' positions when the policy looks.
        demonstrations: How many of the dataset's episodes are learnt from, evenly spread over it; None for all.
        augmentation: Random changes of samples.
        weight_decay: Weight decay of AdamW.
        clip: Largest gradient norm; gradients of a larger one are scaled down to it.
        dtype: Arithmetic of the forward pass. bfloat16 is autocast; weights stay in float32.
        calibrate: Whether to set the frozen batch-norm statistics of a randomly initialised backbone from data.
        backbone: Digest of the weights that the backbone starts from; None for the policy's own initialisation.
        seed: Seed of the initial weights, the order of samples and all other random numbers.
        average: Decay of the moving average of the weights that the checkpoint holds; without one, the last weights.
        shares: Weight of each dataset among the samples, where there are several; by default that of its size.
    """

    image_size: tuple[int, int]
    phases: tuple[Phase, ...]
    architecture: Literal["act", "diffusion"] = "act"
    policy: dict[str, Any] = field(default_factory=dict)
    cameras: tuple[str, ...] = ("top", "lateral")
    state: bool = True
    relative_actions: bool = False
    demonstrations: int | None = None
    augmentation: Augmentation = Augmentation()
    weight_decay: float = 1e-4
    clip: float = 10.0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    calibrate: bool = True
    backbone: str | None = None
    seed: int = 0
    average: float | None = None
    shares: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases together."""
        return sum(phase.steps for phase in self.phases)

    @property
    def first_steps(self) -> tuple[int, ...]:
        """The first step of each phase."""
        return tuple(accumulate((phase.steps for phase in self.phases[:-1]), initial=0))

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that a step, counted from 0, belongs to, and the phase's first step."""
        for phase, end in zip(self.phases, accumulate(phase.steps for phase in self.phases), strict=True):
            if step < end:
                return phase, end - phase.steps
        return self.phases[-1], self.steps - self.phases[-1].steps

    def plain(self) -> dict[str, Any]:
        """The configuration as JSON data."""
        data = asdict(self)
        for name in ("image_size", "phases", "cameras"):
            data[name] = list(data[name])
        drop_defaults(data["augmentation"], _LATER_CHANGES)
        for phase in data["phases"]:
            drop_defaults(phase, _LATER_IN_PHASES)
        drop_defaults(data, {"shares": (), "average": None})
        return data


def drop_defaults(data: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Take out of a record what is at its default: options that came later, so that earlier runs go on."""
    for name, usual in defaults.items():
        if data[name] == usual:
            del data[name]


def with_backbone(config: TrainConfig, digest: str, trained: bool = False) -> TrainConfig:
    """The same run on an existing backbone: the phases that would train one are left out, unless it is to be trained.

    Raises:
        InvalidInputError: If no phase is left.
    """
    phases = tuple(phase for phase in config.phases if trained or phase.backbone == "frozen")
    if not phases:
        raise InvalidInputError(
            "every phase of this preset trains the backbone", field="backbone", cure="use the preset cpu"
        )
    return replace(config, phases=phases, backbone=digest, calibrate=False)
