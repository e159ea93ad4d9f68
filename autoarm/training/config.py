"""What a training run is: everything that decides its weights, and the presets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup: int = 100
    cosine: bool = True
    backbone: Literal["trained", "frozen"] = "trained"


@dataclass(frozen=True)
class Augmentation:
    """What is done to a sample before it is learnt from; nothing, by default.

    Image changes need the images: they have no effect in a phase whose feature maps are kept.

    Attributes:
        shift: Largest shift of a camera's image in either direction, pixels of the resized frame.
        colour: Largest relative change of brightness, of contrast and of each colour channel.
        image_noise: Standard deviation of the noise on each pixel, in units of the full range.
        state_noise: Standard deviation of the noise on the joints' positions, in standard deviations of the dataset.
        state_dropout: Share of the samples whose joints' positions are replaced by the dataset's mean.
        feature_noise: Standard deviation of the noise on the backbone's feature maps, in their standard deviations.
    """

    shift: int = 0
    colour: float = 0.0
    image_noise: float = 0.0
    state_noise: float = 0.0
    state_dropout: float = 0.0
    feature_noise: float = 0.0

    @property
    def of_images(self) -> bool:
        """Whether any of it changes images."""
        return bool(self.shift or self.colour or self.image_noise)


@dataclass(frozen=True)
class TrainConfig:
    """Options of a training run.

    Attributes:
        image_size: Height and width that frames are resized to before the backbone.
        phases: What is done, one after the other.
        architecture: LeRobot's name of the policy.
        policy: Fields of LeRobot's configuration of it.
        cameras: Those that the policy sees.
        state: Whether the policy is given the joints' positions.
        relative_actions: Whether actions are learnt relative to the joints' positions when the policy looks.
        demonstrations: How many of the dataset's episodes are learnt from, evenly spread over it; None for all.
        augmentation: What is done to samples.
        weight_decay: AdamW's.
        clip: Largest gradient norm.
        dtype: Arithmetic of the forward pass. bfloat16 is autocast; weights stay in float32.
        calibrate: Whether to set the frozen batch-norm statistics of a randomly initialised backbone from data.
        backbone: Digest of the weights that the backbone starts from; None for the policy's own initialisation.
        seed: Of the initial weights, of the order of samples and of everything random in training.
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

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that a step, counted from 0, belongs to, and the phase's first step."""
        for phase, end in zip(self.phases, accumulate(phase.steps for phase in self.phases), strict=True):
            if step < end:
                return phase, end - phase.steps
        return self.phases[-1], self.steps - self.phases[-1].steps

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        data = asdict(self)
        for name in ("image_size", "phases", "cameras"):
            data[name] = list(data[name])
        return data


# Found by measurement on two cores: dropout's random numbers take 40 % of a step, the VAE's latent stays unused on
# demonstrations of one skill (KL 0.005), and 96x128 frames hold the cube in enough pixels. A backbone that has learnt
# to see changes little later on, while computing it takes nine tenths of a step: it is frozen after the first phase.
CPU: Final = TrainConfig(
    image_size=(96, 128),
    phases=(
        Phase(steps=1200),
        Phase(steps=2500, batch_size=64, learning_rate=3e-4, backbone="frozen"),
    ),
    policy={
        "dim_model": 256,
        "dim_feedforward": 1024,
        "n_heads": 8,
        "n_encoder_layers": 4,
        "n_decoder_layers": 1,
        "chunk_size": 100,
        "n_action_steps": 100,
        "use_vae": False,
        "dropout": 0.0,
        "pretrained_backbone_weights": None,
    },
)

# The published recipe of ACT as LeRobot has it, on frames of the cameras' own size.
FULL: Final = TrainConfig(
    image_size=(480, 640),
    phases=(Phase(steps=80_000, batch_size=8, learning_rate=1e-5, warmup=0, cosine=False),),
    policy={"chunk_size": 100, "n_action_steps": 100},
    calibrate=False,
)

# Diffusion Policy on a backbone that is there already. A longer horizon than its paper's, looked at once: frames are
# what costs. Ten denoising steps with DDIM act like a hundred (Song et al. 2021, arXiv:2010.02502).
CPU_DIFFUSION: Final = TrainConfig(
    image_size=(96, 128),
    phases=(Phase(steps=4000, batch_size=64, learning_rate=3e-4, backbone="frozen"),),
    architecture="diffusion",
    policy={
        "n_obs_steps": 1,
        "horizon": 64,
        "n_action_steps": 25,
        "down_dims": (128, 256),
        "use_separate_rgb_encoder_per_camera": False,
        "pretrained_backbone_weights": None,
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 10,
        "do_mask_loss_for_padding": True,
    },
    calibrate=False,
)

PRESETS: Final[dict[str, TrainConfig]] = {"cpu": CPU, "cpu-diffusion": CPU_DIFFUSION, "full": FULL}


def preset(
    name: str,
    steps: Sequence[int] = (),
    batch_size: Sequence[int] = (),
    policy: Mapping[str, Any] | None = None,
    augmentation: Mapping[str, float | None] | None = None,
    **changes: Any,
) -> TrainConfig:
    """A preset with some fields changed; those that are `None` are left alone.

    Args:
        name: Of the preset.
        steps: Of each phase, instead of the preset's; a phase without steps is dropped.
        batch_size: Of each phase, instead of the preset's.
        policy: Fields of LeRobot's `ACTConfig` on top of the preset's; text is read as JSON where it is JSON.
        augmentation: Fields of `Augmentation`.
        changes: Other fields of `TrainConfig`.
    """
    try:
        base = PRESETS[name]
    except KeyError:
        raise InvalidInputError(
            f"there is no preset {name!r}", field="preset", cure=f"choose from {', '.join(PRESETS)}"
        ) from None
    phases = base.phases
    changed: list[tuple[str, Sequence[int], int]] = [("steps", steps, 0), ("batch_size", batch_size, 1)]
    for option, values, least in changed:
        if not values:
            continue
        if len(values) != len(phases) or min(values) < least:
            raise InvalidInputError(
                f"{' '.join(map(str, values))} does not fit",
                field=option,
                cure=f"give one number for each of the preset's {len(phases)} phases, none under {least}",
            )
        wanted: list[dict[str, Any]] = [{option: value} for value in values]
        phases = tuple(replace(phase, **change) for phase, change in zip(phases, wanted, strict=True))
    phases = tuple(phase for phase in phases if phase.steps)
    if not phases:
        raise InvalidInputError("no step is left", field="steps", cure="give at least one phase some")
    fields = {key: _read(value) for key, value in (policy or {}).items()}
    return replace(
        base,
        phases=phases,
        policy={**base.policy, **fields},
        augmentation=replace(base.augmentation, **_given(augmentation or {})),
        **_given(changes),
    )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def with_backbone(config: TrainConfig, digest: str) -> TrainConfig:
    """The run over a backbone that is there already: the phases that would train one are left out.

    Raises:
        InvalidInputError: If no phase is left.
    """
    phases = tuple(phase for phase in config.phases if phase.backbone == "frozen")
    if not phases:
        raise InvalidInputError(
            "every phase of this preset trains the backbone", field="backbone", cure="use the preset cpu"
        )
    return replace(config, phases=phases, backbone=digest, calibrate=False)
