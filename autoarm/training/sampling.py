"""Which samples make up which batch: a function of seed and step, so that a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream


class Sampler(Protocol):
    """Says which samples make up a batch."""

    def batch(self, step: int) -> NDArray[np.int64]:
        """Indices `(batch_size,)` of the batch of a step."""
        ...


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


def check_shares(shares: Sequence[float], datasets: int) -> None:
    """Raise `InvalidInputError` unless there is one positive share for each dataset."""
    if len(shares) != datasets or min(shares) <= 0:
        raise InvalidInputError(
            f"{' '.join(map(str, shares))} does not fit {datasets} datasets",
            field="shares",
            cure=f"give {datasets} positive numbers for {datasets} datasets",
        )


class MixedSampler:
    """Samples of several datasets that follow each other, drawn independently: first the dataset, then the sample.

    Args:
        counts: Samples in each dataset.
        shares: Weight of each among the samples; what they add up to is all.
        batch_size: Samples a batch.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: If there is not one positive share for each dataset.
    """

    def __init__(self, counts: Sequence[int], shares: Sequence[float], batch_size: int, seed: int) -> None:
        check_shares(shares, len(counts))
        self._counts, self._shares = np.array(counts), np.divide(shares, np.sum(shares))
        self._starts = np.cumsum([0, *counts])[:-1]
        self._batch_size, self._seed = batch_size, seed

    def batch(self, step: int) -> NDArray[np.int64]:
        """Indices `(batch_size,)` of the batch of a step."""
        rng = stream(self._seed, "train", "mixed", step)
        datasets = rng.choice(len(self._counts), self._batch_size, p=self._shares)
        return self._starts[datasets] + rng.integers(self._counts[datasets])
