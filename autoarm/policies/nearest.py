"""Baselines that look again after every chunk, and do what followed the most similar moment of a demonstration.

A policy that had memorised its training frames and generalised in nothing but "which of them is this most like" would
act like `NearestImagePolicy`. `NearestStatePolicy` is the same without eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.chunks import chunk_indices, episode_ends
from autoarm.data.dataset import check_dataset, joint_columns
from autoarm.policies.lookup import DatasetBaseline, Frame, least_spread
from autoarm.policies.scripted import Actions
from autoarm.results.result import Role
from gym_autoarm import spec

Floats = NDArray[np.float32]

CHUNK: Final = 25
"""Actions that are taken before it looks again: a quarter of what the reference policies take."""
FRAME_SIZE: Final = (96, 128)
"""Height and width of the frames that thumbnails average: those of the preset `cpu`, which shares the cache."""
_CELL: Final = 4
"""Rows and columns of such a frame that make a pixel of the thumbnail."""
THUMBNAIL: Final = (FRAME_SIZE[0] // _CELL, FRAME_SIZE[1] // _CELL)
"""Rows and columns: a pixel of the top view is some 2 cm of table, less than the cube."""
_BATCH: Final = 256


class Standardised:
    """Rows `(n, d)` in standard deviations, and the nearest of them to another such row."""

    def __init__(self, rows: Floats, least_spread: Floats) -> None:
        self._mean = rows.mean(axis=0)
        self._spread = np.maximum(rows.std(axis=0), least_spread)
        self.rows = self.scale(rows)
        self._squares = np.square(self.rows).sum(axis=1)

    def scale(self, values: Floats) -> Floats:
        """Values `(..., d)` in standard deviations from the mean."""
        return np.asarray((values - self._mean) / self._spread, np.float32)

    def nearest(self, value: Floats) -> int:
        """Number of the row at the least Euclidean distance from a value `(d,)`."""
        # |a - b|^2 without |b|^2, which is the same for all.
        return int(np.argmin(self._squares - 2 * self.rows @ self.scale(value)))


class NearestStatePolicy(DatasetBaseline):
    """The chunk that followed the nearest joint positions, wherever the cube is."""

    name = "nearest-state"
    role: Role = "floor"
    needs_images = False

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        states, self._actions, episodes = joint_columns(dataset)
        self._ends = episode_ends(episodes)
        self._memory = self._remember(states)

    def _remember(self, states: Floats) -> Standardised:
        return Standardised(states, least_spread(states.shape[1]))

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        """Nothing is carried from one episode to the next."""

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Actions:
        found = self._memory.nearest(self._look(observation))
        chunk: Actions = self._actions[chunk_indices(found, self._ends[found], CHUNK)[0]]
        return chunk

    def _look(self, observation: Mapping[str, Any]) -> Floats:
        return np.asarray(observation["agent_pos"], np.float32)


class NearestImagePolicy(NearestStatePolicy):
    """The chunk that followed the most similar look: joint positions and thumbnails of both views.

    Pixels rather than the features of a network: they favour no policy, need no weights, and show the cube, which is
    all that differs between two frames of the same arm.
    """

    name = "nearest-image"
    role: Role = "control"
    needs_images = True

    def _remember(self, states: Floats) -> Standardised:
        looks = np.concatenate([states, dataset_thumbnails(self._dataset)], axis=1)
        return Standardised(looks, least_spread(looks.shape[1]))

    def _look(self, observation: Mapping[str, Any]) -> Floats:
        return look(observation)


def look(observation: Mapping[str, Any]) -> Floats:
    """An observation as numbers `(d,)`: joint positions, then the thumbnails of both views."""
    from autoarm.data.frames import resize

    views = np.stack([resize(observation["pixels"][camera][None], FRAME_SIZE)[0] for camera in spec.CAMERAS])
    return np.concatenate([np.asarray(observation["agent_pos"], np.float32), thumbnails(views[None])[0]])


def dataset_thumbnails(dataset: Path, wanted: NDArray[np.intp] | None = None) -> Floats:
    """The thumbnails `(n, d)` of the wanted frames, or all, of a LeRobotDataset. Raises `InvalidFileError`.

    The videos are decoded once and cached.
    """
    from autoarm.data.frames import cached_frames

    frames = cached_frames(check_dataset(dataset), FRAME_SIZE)
    if wanted is None:
        wanted = np.arange(len(frames))
    batches = np.split(wanted, range(_BATCH, len(wanted), _BATCH))
    return np.concatenate([thumbnails(frames[batch]) for batch in batches])


def thumbnails(frames: Frame) -> Floats:
    """Frames `(n, cameras, *FRAME_SIZE, 3)` averaged over cells, as rows `(n, d)`."""
    rows, columns = THUMBNAIL
    cells = frames.reshape(len(frames), -1, rows, _CELL, columns, _CELL, 3)
    return np.asarray(cells.mean(axis=(3, 5), dtype=np.float32).reshape(len(frames), -1), np.float32)
