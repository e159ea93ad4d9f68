"""The presets of `autoarm train`, and how a preset is changed by options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from autoarm.training.config import Phase, TrainConfig
from gym_autoarm.errors import InvalidInputError

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

# The published recipe of ACT as LeRobot has it, on frames of the cameras' own size: as many samples, but 64 a step
# instead of 8, because a GPU waits for its kernels to be launched at 8. AdamW's learning rate of 1e-5 grows with the
# square root of that (Malladi et al. 2022, arXiv:2205.10287).
FULL: Final = TrainConfig(
    image_size=(480, 640),
    phases=(Phase(steps=10_000, batch_size=64, learning_rate=3e-5, warmup=100, cosine=False),),
    policy={"chunk_size": 100, "n_action_steps": 100},
    calibrate=False,
)

# The same network in a few minutes on such a GPU: what the preset cpu does, at full size.
FULL_FAST: Final = TrainConfig(
    image_size=(480, 640),
    phases=(
        Phase(steps=2500, batch_size=64),
        Phase(steps=4000, batch_size=64, learning_rate=3e-4, backbone="frozen"),
    ),
    policy={
        "chunk_size": 100,
        "n_action_steps": 100,
        "use_vae": False,
        "dropout": 0.0,
        "pretrained_backbone_weights": None,
    },
)

# Diffusion Policy on an existing backbone. A longer horizon than its paper's, looked at once: frames are
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

PRESETS: Final[dict[str, TrainConfig]] = {
    "cpu": CPU,
    "cpu-diffusion": CPU_DIFFUSION,
    "full": FULL,
    "full-fast": FULL_FAST,
}


def preset(
    name: str,
    steps: Sequence[int] = (),
    batch_size: Sequence[int] = (),
    policy: Mapping[str, Any] | None = None,
    augmentation: Mapping[str, float | None] | None = None,
    views: int | None = None,
    **changes: Any,
) -> TrainConfig:
    """A preset with some fields changed; changes that are `None` are ignored.

    Args:
        name: Name of the preset.
        steps: Optimiser steps of each phase, instead of the preset's; a phase without steps is dropped.
        batch_size: Samples a step of each phase, instead of the preset's.
        policy: Fields of LeRobot's configuration of the policy, on top of the preset's; text that is JSON is read as
            such.
        augmentation: Fields of `Augmentation`.
        views: Maps kept of each frame, in the phases with a frozen backbone.
        changes: Other fields of `TrainConfig`.

    Raises:
        InvalidInputError: If there is no such preset, or the phases do not fit.
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
    if views is not None:
        if views < 1:
            raise InvalidInputError(f"{views} views of a frame", field="views", cure="at least 1")
        phases = tuple(replace(phase, views=views) if phase.backbone == "frozen" else phase for phase in phases)
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
