"""The processors of a LeRobot checkpoint, tried before it is used: damaged ones change actions without an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from lerobot.configs.types import NormalizationMode
from lerobot.processor import NormalizerProcessorStep, UnnormalizerProcessorStep

from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError

PREPROCESSOR: Final = "policy_preprocessor.json"
POSTPROCESSOR: Final = "policy_postprocessor.json"
_CURE: Final = "take the checkpoint as it was saved, or train the policy again"


def check_normalisation(config: Any, preprocess: Any, postprocess: Any, folder: Path) -> None:
    """What a policy takes and gives is normalised as its configuration says.

    LeRobot leaves a feature as it is whose statistics are missing: the policy would act, and mean something else.

    Args:
        config: The policy's configuration.
        preprocess: Its pipeline before the network.
        postprocess: The one after it.
        folder: The checkpoint.

    Raises:
        InvalidFileError: Naming the processor and the feature.
    """
    for file, pipeline, kind, features in (
        (PREPROCESSOR, preprocess, NormalizerProcessorStep, config.input_features),
        (POSTPROCESSOR, postprocess, UnnormalizerProcessorStep, config.output_features),
    ):
        steps = [step for step in pipeline.steps if isinstance(step, kind)]
        for name, feature in (features or {}).items():
            mode = config.normalization_mapping.get(feature.type.value, NormalizationMode.IDENTITY)
            if mode is NormalizationMode.IDENTITY:
                continue
            if not any(_normalises(step, name, feature.type, mode) for step in steps):
                raise InvalidFileError(
                    f"does not normalise {name} by {mode.value}, as config.json says",
                    file=folder / file,
                    field="steps",
                    cure=_CURE,
                )


def _normalises(step: Any, name: str, kind: Any, mode: NormalizationMode) -> bool:
    return step.norm_map.get(kind) == mode and name in step.features and name in (step.stats or {})


def check_batch(batch: Mapping[str, Any], config: Any, folder: Path) -> None:
    """The network is given what it takes: every input, finite. Raises `InvalidFileError`."""
    for name in config.input_features or {}:
        if name not in batch or not torch.isfinite(batch[name]).all():
            raise InvalidFileError(
                f"does not make finite numbers for {name}", file=folder / PREPROCESSOR, field="steps", cure=_CURE
            )


def check_actions_made(postprocess: Any, folder: Path) -> None:
    """Actions come out as this arm takes them: six finite numbers. Raises `InvalidFileError`."""
    made = postprocess(torch.zeros(1, len(spec.JOINTS)))
    if tuple(made.shape) != (1, len(spec.JOINTS)) or not torch.isfinite(made).all():
        raise InvalidFileError(
            f"does not make {len(spec.JOINTS)} finite numbers of an action",
            file=folder / POSTPROCESSOR,
            field="steps",
            cure=_CURE,
        )
