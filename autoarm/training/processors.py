"""Pre- and post-processing of a policy: LeRobot's own pipelines, with a resize in front of the normalisation."""

from __future__ import annotations

from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import (
    AbsoluteActionsProcessorStep,
    ImageCropResizeProcessorStep,
    NormalizerProcessorStep,
    PolicyProcessorPipeline,
    RelativeActionsProcessorStep,
    UnnormalizerProcessorStep,
)

Pipelines = tuple[PolicyProcessorPipeline[Any, Any], PolicyProcessorPipeline[Any, Any]]


def make_processors(
    config: PreTrainedConfig, stats: dict[str, Any], image_size: tuple[int, int], relative_actions: bool = False
) -> Pipelines:
    """Pipelines for a new policy that is shown frames of any size.

    Args:
        config: The policy's configuration, its features set.
        stats: Statistics of the dataset, as LeRobot keeps them.
        image_size: Height and width that the backbone gets.
        relative_actions: Whether actions are relative to the joints' positions; `stats` are then of relative actions.
    """
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    place = next(i for i, step in enumerate(before.steps) if isinstance(step, NormalizerProcessorStep))
    steps = list(before.steps)
    # Last before normalisation, after the batch dimension is there: the resize is antialiased and clamps to 0..1.
    steps.insert(place, ImageCropResizeProcessorStep(resize_size=image_size))
    if relative_actions:
        relative = RelativeActionsProcessorStep(enabled=True)
        steps.insert(place, relative)
        undo = list(after.steps)
        place = next(i for i, step in enumerate(undo) if isinstance(step, UnnormalizerProcessorStep))
        undo.insert(place + 1, AbsoluteActionsProcessorStep(enabled=True, relative_step=relative))
        after.steps = undo
    before.steps = steps
    return before, after
