"""The backbone's maps in place of frames, for measurements that ask one batch again and again.

Most of a forward pass is the ResNet; edits behind it do not change what it sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.tokens import camera_name, check_act


@contextmanager
def backbone_once(policy: Any, *batches: Batch) -> Iterator[list[dict[str, Any]]]:
    """Have the policy take, in the block, the batches that are yielded: with feature maps in place of frames.

    Predictions are the same to the bit. The sizes in these batches are those of the maps: take the layout of the tokens
    from the frames.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them.
    """
    model, cameras = check_act(policy).model, policy.config.image_features
    if not cameras:
        yield [dict(batch) for batch in batches]
        return
    names = {key: f"backbone.{camera_name(key)}" for key in cameras}
    replaced = []
    for batch in batches:
        maps = capture(policy, [batch], names.values())
        seen = {key: torch.from_numpy(maps[name].values).to(batch[key].device) for key, name in names.items()}
        replaced.append({**batch, **seen})
    backbone, model.backbone = model.backbone, _Given().eval()
    try:
        yield replaced
    finally:
        model.backbone = backbone


class _Given(nn.Module):
    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        return {"feature_map": maps}
