"""Which samples make up which batch: a function of seed and step, so that a resumed run sees the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.rng import stream


class BatchSampler:
    """Shuffled epochs over `count` samples, cut into batches without a remainder left out.

    Args:
        count: Samples in the dataset.
        batch_size: Samples a batch.
        seed: Seed of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int) -> NDArray[np.int64]:
        """Indices `(batch_size,)` of the batch of a step."""
        first = step * self._batch_size
        positions = np.arange(first, first + self._batch_size)
        epochs, within = np.divmod(positions, self._count)
        return np.array([self._order(int(e))[i] for e, i in zip(epochs, within, strict=True)])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._epochs:
            self._epochs = {e: order for e, order in self._epochs.items() if e >= epoch - 1}
            self._epochs[epoch] = stream(self._seed, "train", "epoch", epoch).permutation(self._count)
        return self._epochs[epoch]
