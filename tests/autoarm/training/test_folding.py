"""Frozen batch normalisation as a part of the convolutions."""

from __future__ import annotations

import torch
from torchvision.models import resnet18
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.folding import folded_batch_norm


def test_folding_changes_neither_function_nor_gradients() -> None:
    torch.manual_seed(0)
    backbone = resnet18(weights=None, norm_layer=FrozenBatchNorm2d).double()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    calibrate_batch_norm(backbone, [images])
    before = {name: value.clone() for name, value in backbone.state_dict().items()}

    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        backbone.zero_grad()
        output = backbone(images)
        output.square().sum().backward()
        return output.detach(), [p.grad.clone() for p in backbone.parameters() if p.grad is not None]

    expected, gradients = run()
    with folded_batch_norm(backbone) as pairs:
        folded, folded_gradients = run()
        assert backbone.state_dict().keys() == before.keys()
    assert pairs == 20
    torch.testing.assert_close(folded, expected, rtol=1e-9, atol=1e-9)
    for one, other in zip(gradients, folded_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
    again, _ = run()
    assert torch.equal(again, expected)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
