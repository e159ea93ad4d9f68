"""Chunks of actions: those of a number of steps in a row, filled up with the last one where the episode ends before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def episode_ends(episodes: NDArray[np.integer]) -> NDArray[np.intp]:
    """For every frame `(n,)`, the index after the last frame of its episode; episode numbers must be in order."""
    _, first, counts = np.unique(episodes, return_index=True, return_counts=True)
    ends: NDArray[np.intp] = np.repeat(first + counts, counts)
    return ends


def chunk_indices(first: ArrayLike, end: ArrayLike, chunk: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Frames whose actions make up a chunk.

    Args:
        first: Frame that each chunk starts at, `(...)`.
        end: The index after the last frame of its episode, `(...)`.
        chunk: Actions in a chunk.

    Returns:
        Frame numbers `(..., chunk)`, the last frame repeated past the end of the episode, and where that is the case.
    """
    wanted = np.asarray(first, np.int64)[..., None] + np.arange(chunk)
    ends = np.asarray(end, np.int64)[..., None]
    return np.minimum(wanted, ends - 1), wanted >= ends


def fill_chunk(actions: NDArray[Any], chunk: int) -> NDArray[Any]:
    """The first `chunk` of actions `(n, 6)`; the last is repeated where they end before."""
    return np.asarray(actions[chunk_indices(0, len(actions), chunk)[0]])
