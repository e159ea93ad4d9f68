"""What a training run is: everything that decides its weights, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from gym_autoarm.errors import InvalidInputError


@dataclass(frozen=True)
class TrainConfig:
    """Options of a training run.

    Attributes:
        image_size: Height and width that frames are resized to before the backbone.
        policy: Fields of LeRobot's `ACTConfig`.
        batch_size: Samples a step.
        steps: Optimiser steps.
        learning_rate: Peak; reached after `warmup` steps, then falling along a cosine to zero. Constant if `cosine`
            is off.
        weight_decay: AdamW's.
        clip: Largest gradient norm.
        dtype: Arithmetic of the forward pass. bfloat16 is autocast; weights stay in float32.
        calibrate: Whether to set the frozen batch-norm statistics of a randomly initialised backbone from data.
        seed: Of the initial weights, of the order of samples and of everything random in training.
    """

    image_size: tuple[int, int]
    policy: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    steps: int = 1500
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    warmup: int = 100
    cosine: bool = True
    clip: float = 10.0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    calibrate: bool = True
    seed: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        data = asdict(self)
        data["image_size"] = list(self.image_size)
        return data


# Found by measurement on two cores: dropout's random numbers take 40 % of a step, the VAE's latent stays unused on
# demonstrations of one skill (KL 0.005), and 96x128 frames hold the cube in enough pixels.
CPU: Final = TrainConfig(
    image_size=(96, 128),
    policy={
        "dim_model": 256,
        "dim_feedforward": 1024,
        "n_heads": 8,
        "n_encoder_layers": 4,
        "n_decoder_layers": 1,
        "chunk_size": 50,
        "n_action_steps": 25,
        "use_vae": False,
        "dropout": 0.0,
        "pretrained_backbone_weights": None,
    },
    steps=3000,
)

# The published recipe of ACT as LeRobot has it, on frames of the cameras' own size.
FULL: Final = TrainConfig(
    image_size=(480, 640),
    policy={"chunk_size": 100, "n_action_steps": 100},
    batch_size=8,
    steps=80_000,
    learning_rate=1e-5,
    warmup=0,
    cosine=False,
    calibrate=False,
)

PRESETS: Final[dict[str, TrainConfig]] = {"cpu": CPU, "full": FULL}


def preset(name: str, **changes: Any) -> TrainConfig:
    """A preset with some fields changed; those that are `None` are left alone."""
    try:
        base = PRESETS[name]
    except KeyError:
        raise InvalidInputError(
            f"there is no preset {name!r}", field="preset", cure=f"choose from {', '.join(PRESETS)}"
        ) from None
    return replace(base, **{key: value for key, value in changes.items() if value is not None})
