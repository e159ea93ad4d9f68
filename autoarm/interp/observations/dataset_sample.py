"""Some frames of a dataset, spread over its episodes, as a policy sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.data.collection import SIDECAR
from autoarm.data.dataset import check_dataset, joint_columns, read_collection
from autoarm.data.frames import cached_frames
from autoarm.interp.observations.probe_data import input_size, policy_batch
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy

Floats = NDArray[np.float32]
Frames = NDArray[np.uint8]

_BATCH: Final = 32


@dataclass(frozen=True, eq=False)
class DatasetSample:
    """Frames of a dataset, in its order.

    Attributes:
        dataset: Its folder.
        index: Number of the frame in the dataset, `(n,)`.
        episode: Number of the episode, `(n,)`.
        step: Number of the frame in its episode, `(n,)`.
        state: Joint positions, `(n, 6)`.
        cube: Where the cube lay at the episode's start, metres, `(n, 2)`; NaN where the dataset does not say.
        spot: Number of the spot at which it lay, `(n,)`; -1 where it could lie anywhere, or the dataset does not say.
        pixels: uint8 `(n, camera, height, width, 3)`, as the network sees them.
        actions: Actions of all frames of the dataset, `(frames, 6)`, for the chunks that begin at the sampled ones.
        episodes: Episode numbers of all frames of the dataset, `(frames,)`.
    """

    dataset: Path
    index: NDArray[np.int64]
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    state: Floats
    cube: Floats
    spot: NDArray[np.int64]
    pixels: Frames
    actions: Floats
    episodes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, policy: LeRobotPolicy, rows: ArrayLike | None = None) -> dict[str, Any]:
        """All of them, or some, as the policy's preprocessor returns them."""
        chosen = np.arange(len(self)) if rows is None else np.atleast_1d(np.asarray(rows))
        views = {camera: self.pixels[chosen, place] for place, camera in enumerate(spec.CAMERAS)}
        return policy_batch(policy, views, self.state[chosen])

    def batches(
        self, policy: LeRobotPolicy, rows: ArrayLike | None = None, size: int = _BATCH
    ) -> Iterator[dict[str, Any]]:
        """Batches of all of them, or of some, in order, `size` at a time."""
        chosen = np.arange(len(self)) if rows is None else np.atleast_1d(np.asarray(rows))
        for first in range(0, len(chosen), size):
            yield self.batch(policy, chosen[first : first + size])

    def split(self, part: float, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of some episodes and of the others: neighbouring frames are much alike, and never on both sides.

        Args:
            part: Share of the episodes to hold out; at least one is held out.
            rng: Chooses the episodes.

        Raises:
            InvalidInputError: If there are fewer than two episodes.
        """
        names = np.unique(self.episode)
        if len(names) < 2:
            raise InvalidInputError(
                "one episode cannot be split", field="dataset", cure="record more with `autoarm collect`"
            )
        count = int(np.clip(round(part * len(names)), 1, len(names) - 1))
        held = np.isin(self.episode, rng.permutation(names)[:count])
        return np.flatnonzero(~held), np.flatnonzero(held)


def sample_dataset(policy: LeRobotPolicy, dataset: Path, count: int) -> DatasetSample:
    """Take about `count` frames, the same number from each episode, evenly spread over it.

    The dataset's videos are decoded once and cached.

    Args:
        policy: The policy, for whose input size the frames are resized.
        dataset: LeRobotDataset folder of this arm; the cube's places are in it if `autoarm collect` recorded it.
        count: Number of frames; at least one is taken from each episode.

    Raises:
        InvalidFileError: If the folder is no dataset of this arm.
        InvalidInputError: If `count` is below 1.
    """
    if count < 1:
        raise InvalidInputError(f"{count} frames", field="frames", cure="at least 1")
    info = check_dataset(dataset)
    states, actions, episodes = joint_columns(dataset)
    rows, steps = [], []
    each = max(1, count // info.episodes)
    for episode in range(info.episodes):
        own = np.flatnonzero(episodes == episode)
        chosen = np.unique(np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(np.int64))
        rows.append(own[chosen])
        steps.append(chosen)
    index = np.concatenate(rows).astype(np.int64)
    cubes, spots = _places(dataset, info.episodes)
    return DatasetSample(
        dataset=Path(dataset),
        index=index,
        episode=episodes[index].astype(np.int64),
        step=np.concatenate(steps),
        state=states[index],
        cube=cubes[episodes[index]],
        spot=spots[episodes[index]],
        pixels=np.asarray(cached_frames(info, input_size(policy, info.image_size))[index]),
        actions=actions,
        episodes=episodes.astype(np.int64),
    )


def _places(dataset: Path, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Where the cube lay in each episode."""
    if not (Path(dataset) / SIDECAR).is_file():
        return np.full((count, 2), np.nan, np.float32), np.full(count, -1, np.int64)
    records = read_collection(dataset).episodes
    names = list(dict.fromkeys(record.spot for record in records if record.spot is not None))
    spots = [-1 if record.spot is None else names.index(record.spot) for record in records]
    return np.asarray([record.cube_xy for record in records], np.float32), np.asarray(spots, np.int64)
