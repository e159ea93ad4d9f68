"""Frames of a dataset, decoded and resized once, in a memory-mapped file.

Decoding video costs far more than a training step on a CPU; a cache keyed by the dataset's content and the frame size
pays that once. The resize is the one that the policy's preprocessor applies at inference.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import batched
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torchvision.transforms.v2 import functional as transforms

from autoarm.data.dataset import DatasetInfo, episode_frames
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.files import replacing

Frames = NDArray[np.uint8]


class JoinedFrames:
    """The frames of several datasets, one after the other, each memory-mapped by itself.

    Args:
        parts: uint8 `(n, cameras, h, w, 3)` of each.
    """

    def __init__(self, parts: Sequence[Frames]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """As if they were one array."""
        return len(self), *self._parts[0].shape[1:]

    def __getitem__(self, place: tuple[NDArray[np.int64], int]) -> Frames:
        """One camera's frames of some rows, `(rows, h, w, 3)`."""
        rows, camera = place
        taken = np.empty((len(rows), *self._parts[0].shape[2:]), np.uint8)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for owner in np.unique(owners):
            own = owners == owner
            taken[own] = self._parts[owner][rows[own] - self._starts[owner], camera]
        return taken


_RESIZE_BATCH: Final = 32
_SPARE_DISK: Final = 2**28
"""Bytes to leave free on the disk."""


def cache_root() -> Path:
    """Where derived data that can be made again is kept: `AUTOARM_CACHE`, or the user's cache folder."""
    if named := os.environ.get("AUTOARM_CACHE"):
        return Path(named)
    return user_cache_path("autoarm", appauthor=False)


def joint_digest(digests: Sequence[str]) -> str:
    """The digest of several datasets from their own; of one, its own."""
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def dataset_digest(root: Path) -> str:
    """SHA-256 of every file under `meta`, `data` and `videos` of a dataset."""
    digest = hashlib.sha256()
    for folder in ("meta", "data", "videos"):
        for file in sorted(path for path in (root / folder).rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(root)).encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def cached_frames(
    info: DatasetInfo,
    image_size: tuple[int, int],
    progress: Callable[[int, int], None] | None = None,
    root: Path | None = None,
) -> Frames:
    """All frames of a dataset, uint8 `(frames, cameras, height, width, 3)`, read-only and memory-mapped.

    Args:
        info: A dataset, as `autoarm.data.dataset.check_dataset` returns it.
        image_size: Height and width to resize to.
        progress: Called with the frames done and the frames in all, counted over the cameras.
        root: Folder for the cache; `cache_root()` by default.
    """
    folder = (root or cache_root()) / "frames"
    key = hashlib.sha256(f"{dataset_digest(info.folder)} {image_size} v1".encode()).hexdigest()[:24]
    path = folder / f"{key}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, info, image_size, progress)
    frames: Frames = np.load(path, mmap_mode="r", allow_pickle=False)
    return frames


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise `InvalidInputError` unless so many bytes fit into a folder of the cache."""
    free = shutil.disk_usage(folder).free
    if needed > free - _SPARE_DISK:
        raise InvalidInputError(
            f"{what} need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            field=str(folder),
            cure="free some space, or set AUTOARM_CACHE to a folder on another disk",
        )


@contextmanager
def cache_file(path: Path) -> Iterator[Path]:
    """A temporary file that becomes a file of the cache when the block ends; what killed processes left is removed."""
    for leftover in path.parent.glob(".*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            leftover.unlink(missing_ok=True)
    with replacing(path) as temporary:
        yield temporary


def _write(
    path: Path, info: DatasetInfo, image_size: tuple[int, int], progress: Callable[[int, int], None] | None
) -> None:
    shape = (info.frames, len(spec.CAMERAS), *image_size, 3)
    check_room(path.parent, int(np.prod(shape)), "the decoded frames")
    with cache_file(path) as temporary:
        frames = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            temporary, mode="w+", dtype=np.uint8, shape=shape
        )
        first = 0
        for decoded in _episodes(info, image_size):
            count = len(decoded[0])
            for slot, each in enumerate(decoded):
                frames[first : first + count, slot] = each
            first += count
            if progress is not None:
                progress(first, info.frames)
        frames.flush()
        del frames


def _episodes(info: DatasetInfo, image_size: tuple[int, int]) -> Iterator[list[Frames]]:
    """Each episode's frames of all cameras, `(n, h, w, 3)`; decoding leaves the interpreter to others."""
    videos = ((episode, camera) for episode in range(info.episodes) for camera in spec.CAMERAS)

    def read(video: tuple[int, str]) -> Frames:
        return resize(episode_frames(info.folder, *video), image_size)

    at_once = max(1, (os.cpu_count() or 1) // len(spec.CAMERAS))
    with ThreadPoolExecutor(at_once * len(spec.CAMERAS)) as pool:
        # So many at a time: finished ones that wait for their turn take memory.
        for some in batched(videos, at_once * len(spec.CAMERAS)):
            for episode in batched(pool.map(read, some), len(spec.CAMERAS)):
                yield list(episode)


def resize(frames: Frames, image_size: tuple[int, int]) -> Frames:
    """Frames `(n, h, w, 3)` at another size, as the policy's preprocessor would make them, rounded."""
    if frames.shape[1:3] == image_size:
        return frames
    small = np.empty((len(frames), *image_size, 3), np.uint8)
    for first in range(0, len(frames), _RESIZE_BATCH):
        images = torch.from_numpy(frames[first : first + _RESIZE_BATCH]).permute(0, 3, 1, 2).float()
        resized = transforms.resize(images, list(image_size), antialias=True).round().clamp(0, 255)
        small[first : first + _RESIZE_BATCH] = resized.to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return small
