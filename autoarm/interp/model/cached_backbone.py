"""The backbone's feature maps in place of images, for measurements that run one batch many times.

The ResNet takes most of a forward pass, and edits behind it do not change its output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.tokens import camera_name, check_act
from autoarm.training.features import images_are_feature_maps


@contextmanager
def precomputed_feature_maps(policy: Any, *batches: Batch) -> Iterator[list[dict[str, Any]]]:
    """Yield the batches with feature maps in place of images, which the policy takes inside the block.

    Predictions are identical, bit for bit. Image sizes in these batches are those of the maps: compute the token layout
    from the original batch.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them.
    """
    cameras = check_act(policy).config.image_features
    if not cameras:
        yield [dict(batch) for batch in batches]
        return
    names = {key: f"backbone.{camera_name(key)}" for key in cameras}
    replaced = []
    for batch in batches:
        maps = capture(policy, [batch], names.values())
        seen = {key: torch.from_numpy(maps[name].values).to(batch[key].device) for key, name in names.items()}
        replaced.append({**batch, **seen})
    with images_are_feature_maps(policy):
        yield replaced
