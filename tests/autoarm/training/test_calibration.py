"""Frozen batch normalisation gets the statistics of the data."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.training.calibration import calibrate_batch_norm


def test_calibration_normalises_every_layer() -> None:
    torch.manual_seed(0)
    backbone = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
    images = torch.randn(16, 3, 96, 128) * 3 + 1
    assert calibrate_batch_norm(backbone, [images]) == 20
    outputs: list[torch.Tensor] = []
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            # A copy: the ReLU behind works in place.
            module.register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
        assert not isinstance(module, nn.BatchNorm2d)
    with torch.no_grad():
        backbone(images)
    assert len(outputs) == 20
    for output in outputs:
        assert float(output.mean(dim=(0, 2, 3)).abs().max()) < 0.05
        # Variances are unbiased in the statistics, biased in the activations; small maps differ by a few percent.
        assert 0.8 < float(output.var(dim=(0, 2, 3)).mean()) < 1.2
