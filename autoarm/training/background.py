"""What stands still in a dataset's pictures, found from the pictures themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

_FRAMES: Final = 300
_SEGMENTS: Final = 4
_MOVING: Final = 0.06
"""Difference from the background, in units of the full range, from which a pixel shows something that moves."""


@dataclass(frozen=True)
class Background:
    """What a camera sees of a dataset where nothing moves.

    Attributes:
        picture: The median of its frames, `(3, h, w)` in 0..1.
        segments: Which of a few colours each pixel of it has, one-hot, `(segments, h, w)`.
    """

    picture: Tensor
    segments: Tensor

    def to(self, device: torch.device) -> Background:
        """The same on a device."""
        return Background(self.picture.to(device), self.segments.to(device))

    def moving(self, images: Tensor) -> Tensor:
        """Which pixels of images `(b, 3, h, w)` show something else, `(b, 1, h, w)`, from 0 to 1 with soft edges."""
        difference = (images - self.picture).abs().amax(dim=1, keepdim=True)
        # A pixel on an edge is a mixture: half of the threshold is nothing, and one and a half all of it.
        return ((difference / _MOVING) - 0.5).clamp(0, 1)


def background_rows(count: int) -> NDArray[np.int64]:
    """Which of so many frames a background is found from: some, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, _FRAMES).astype(np.int64))


def find_background(frames: NDArray[np.uint8]) -> Background:
    """The background of some of one camera's frames `(n, h, w, 3)`: whatever most of them show at a pixel.

    The cube lies elsewhere in most episodes and the arm is elsewhere in most frames, so that the median shows neither.
    """
    picture = np.median(frames, axis=0).astype(np.float32) / 255.0
    height, width, _ = picture.shape
    colours = min(_SEGMENTS, len(np.unique(picture.reshape(-1, 3), axis=0)))
    labels = KMeans(colours, n_init=4, random_state=0).fit_predict(picture.reshape(-1, 3)).reshape(height, width)
    segments = torch.from_numpy(labels[None] == np.arange(colours)[:, None, None])
    return Background(torch.from_numpy(picture).permute(2, 0, 1).contiguous(), segments.float())
