"""Batches for ACT from a dataset's cached frames, in the form in which LeRobot's data loader gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.train.sampling import chunk_indices
from gym_autoarm import spec


class ChunkDataset:
    """A dataset in memory: states, actions, and frames through a memory map.

    Args:
        frames: uint8 `(n, cameras, h, w, 3)`.
        states: float32 `(n, 6)`.
        actions: float32 `(n, 6)`.
        episodes: Episode of every frame, `(n,)`, in increasing order.
        chunk: Actions a sample.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        states: NDArray[np.float32],
        actions: NDArray[np.float32],
        episodes: NDArray[np.int64],
        chunk: int,
    ) -> None:
        self._frames, self._states, self._actions, self._chunk = frames, states, actions, chunk
        _, first, counts = np.unique(episodes, return_index=True, return_counts=True)
        self._ends = np.repeat(first + counts, counts)

    def __len__(self) -> int:
        return len(self._states)

    def batch(self, indices: NDArray[np.int64]) -> dict[str, Any]:
        """Samples as LeRobot collates them: images float `(b, 3, h, w)` in 0..1 with channels last in memory."""
        chunk, padded = chunk_indices(indices, self._ends, self._chunk)
        batch: dict[str, Any] = {
            "observation.state": torch.from_numpy(self._states[indices]),
            "action": torch.from_numpy(self._actions[chunk]),
            "action_is_pad": torch.from_numpy(padded),
        }
        for slot, camera in enumerate(spec.CAMERAS):
            batch[f"observation.images.{camera}"] = self._images(indices, slot)
        return batch

    def _images(self, indices: NDArray[np.int64], slot: int) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(self._frames[indices, slot]))
        return pixels.permute(0, 3, 1, 2).float() / 255.0
