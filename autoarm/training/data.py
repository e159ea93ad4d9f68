"""Batches for ACT from a dataset's cached frames, in the form in which LeRobot's data loader gives them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoarm.data.chunks import chunk_indices, episode_ends
from autoarm.data.frames import JoinedFrames
from autoarm.training.background import Background, background_rows, find_background
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

    Raises:
        InvalidInputError: If there are fewer episodes than `demonstrations`.
    """

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
        self._kept: dict[str, Tensor] = {}

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
        return {f"observation.images.{camera}": self._camera(indices, camera) for camera in self._cameras}

    @property
    def frame_bytes(self) -> int:
        """Size of the frames of all samples."""
        return len(self) * len(self._cameras) * int(np.prod(self._frames.shape[2:]))

    def keep_on(self, device: torch.device) -> None:
        """Keep the frames in a device's memory, as bytes: they become floats there, where batches are wanted."""
        self._kept = {
            camera: torch.from_numpy(np.ascontiguousarray(self._frames[self._samples, slot])).to(device)
            for slot, camera in enumerate(spec.CAMERAS)
            if camera in self._cameras
        }

    def background(self, camera: str) -> Background:
        """What stands still in a camera's images, of samples from the first to the last."""
        chosen = self._samples[background_rows(len(self))]
        return find_background(self._frames[chosen, spec.CAMERAS.index(camera)])

    def _camera(self, indices: NDArray[np.int64], camera: str) -> Tensor:
        if camera in self._kept:
            kept = self._kept[camera]
            pixels = kept[torch.from_numpy(indices).to(kept.device)]
        else:
            slot = spec.CAMERAS.index(camera)
            pixels = torch.from_numpy(np.ascontiguousarray(self._frames[self._samples[indices], slot]))
        return pixels.permute(0, 3, 1, 2).float() / 255.0
