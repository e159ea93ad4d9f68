"""The head that a backbone is pretrained under."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """Predicts numbers from a backbone's maps as ACT's decoder does: attention over all tokens, then a linear layer.

    A head of several layers lets a backbone hide what it has seen where only such a head finds it again; a transformer
    that is then to learn from fifty demonstrations does not.

    Args:
        tokens: Number of tokens, all cameras together.
        channels: Channels of a token.
        numbers: How many numbers are predicted; each has attention weights of its own.
    """

    def __init__(self, tokens: int, channels: int, numbers: int) -> None:
        super().__init__()
        self._scale = channels**-0.5
        self._score, self._value = nn.Linear(channels, numbers), nn.Linear(channels, numbers)
        self._score_at, self._value_at = (nn.Parameter(torch.zeros(tokens, numbers)) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        """Numbers `(b, numbers)` from maps `(b, cameras, channels, h, w)`."""
        tokens = maps.movedim(2, -1).flatten(1, 3)
        weights = torch.softmax((self._score(tokens) * self._scale + self._score_at).float(), dim=1)
        numbers: Tensor = (weights * (self._value(tokens) + self._value_at)).sum(dim=1)
        return numbers
