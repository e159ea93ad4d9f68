"""Batches for ACT from a dataset's cached frames, in the form in which LeRobot's data loader gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.data.chunks import chunk_indices, episode_ends
from autoarm.data.frames import JoinedFrames
from autoarm.training.background import Background, background_rows, find_background
from autoarm.training.rows import Rows
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError


class ChunkDataset:
    """A dataset in memory: states, actions, and frames through a memory map.

    Args:
        frames: uint8 `(n, cameras, h, w, 3)`, of all of the contract's cameras; of several datasets, `JoinedFrames`.
        states: float32 `(n, 6)`.
        actions: float32 `(n, 6)`.
        episodes: Episode of every frame, `(n,)`, in increasing order.
        chunk: Actions a sample.
        cameras: Cameras to give, by name.
        demonstrations: Episodes to use, evenly spread; None for all.
        datasets: Frames of each dataset, where there are several.

    Attributes:
        frames: Each camera's frames of the samples, uint8 `(n, h, w, 3)`.

    Raises:
        InvalidInputError: If there are fewer episodes than `demonstrations`.
    """

    frames: dict[str, Rows]

    def __init__(
        self,
        frames: NDArray[np.uint8] | JoinedFrames,
        states: NDArray[np.float32],
        actions: NDArray[np.float32],
        episodes: NDArray[np.int64],
        chunk: int,
        cameras: tuple[str, ...] = spec.CAMERAS,
        demonstrations: int | None = None,
        datasets: Sequence[int] | None = None,
    ) -> None:
        self._frames, self._states, self._actions, self._chunk = frames, states, actions, chunk
        self._cameras = cameras
        self._ends = episode_ends(episodes)
        numbers = np.unique(episodes)
        used = len(numbers) if demonstrations is None else demonstrations
        if not 1 <= used <= len(numbers):
            raise InvalidInputError(
                f"{used} of {len(numbers)} episodes", field="demonstrations", cure=f"from 1 to {len(numbers)}"
            )
        self._samples = np.flatnonzero(np.isin(episodes, numbers[np.arange(used) * len(numbers) // used]))

        self._starts = np.cumsum([0, *(datasets or [len(states)])])
        self.to(torch.device("cpu"))

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def dataset_sizes(self) -> tuple[int, ...]:
        """Samples of each dataset, which follow each other."""
        return tuple(np.diff(np.searchsorted(self._samples, self._starts)).tolist())

    def batch(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Samples as LeRobot collates them: images float `(b, 3, h, w)` in 0..1 with channels last in memory."""
        return {**self.joints(indices), **self.images(indices)}

    def joints(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """A batch without images: states `(b, 6)`, actions `(b, chunk, 6)`, and which of them are only repeated."""
        indices = self._samples[indices]
        chunk, padded = chunk_indices(indices, self._ends[indices], self._chunk)
        return {
            "observation.state": torch.from_numpy(self._states[indices]),
            "action": torch.from_numpy(self._actions[chunk]),
            "action_is_pad": torch.from_numpy(padded),
        }

    def relative_action_stats(self) -> dict[str, Tensor]:
        """Statistics of the actions of all samples relative to their states, as LeRobot keeps them of a dataset."""
        joints = self.joints(np.arange(len(self)))
        relative = (joints["action"] - joints["observation.state"][:, None])[~joints["action_is_pad"]]
        return {
            "mean": relative.mean(0),
            "std": relative.std(0),
            "min": relative.amin(0),
            "max": relative.amax(0),
        }

    def images(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """The images of a batch: float `(b, 3, h, w)` in 0..1 for each camera."""
        # Bytes are moved, and become floats where they are wanted.
        pixels = {f"observation.images.{camera}": self.frames[camera][indices] for camera in self._cameras}
        return {key: value.permute(0, 3, 1, 2).float() / 255.0 for key, value in pixels.items()}

    def to(self, device: torch.device) -> Self:
        """Give images on this device from now on; joints stay where they are. Returns itself."""
        self.frames = {camera: self._rows(slot, device) for slot, camera in self._slots()}
        return self

    def background(self, camera: str) -> Background:
        """What stands still in a camera's images, of samples from the first to the last."""
        chosen = self._samples[background_rows(len(self))]
        return find_background(self._frames[chosen, spec.CAMERAS.index(camera)])

    def _slots(self) -> list[tuple[int, str]]:
        return [(slot, camera) for slot, camera in enumerate(spec.CAMERAS) if camera in self._cameras]

    def _rows(self, slot: int, device: torch.device) -> Rows:
        def read(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
            return np.ascontiguousarray(self._frames[self._samples[rows], slot])

        return Rows(read, len(self), device)
