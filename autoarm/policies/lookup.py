"""Baselines that replay demonstrations: what a policy would score that had only memorised its training data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoarm.data.dataset import IMAGES, joint_columns, open_lerobot
from autoarm.policies.alignment import aligned
from autoarm.policies.scripted import Actions, TrajectoryPolicy
from autoarm.policies.track import track_of_dataset
from autoarm.results.result import PolicyRecord, Role
from gym_autoarm import spec

Frame = NDArray[np.uint8]

_THUMBNAIL: Final = (24, 32)
"""Rows and columns to which a view is averaged: a cell of the top view is some 2 cm of table, less than the cube."""
_LEAST_SPREAD: Final = np.float32(4.0)
"""Grey levels of a thumbnail; what varies less in a dataset is noise of the codec and must not be blown up."""
_LEAST_STATE_SPREAD: Final = np.float32(0.1)
"""Degrees of a joint, likewise."""


@dataclass(frozen=True)
class FirstObservation:
    """What was seen before the first action of a demonstration: joints `(6,)`, and a frame of each camera."""

    state: NDArray[np.float32]
    pixels: dict[str, Frame]


def read_trajectories(folder: Path) -> list[Actions]:
    """Goal positions `(steps, 6)` of every demonstration in a LeRobotDataset. Raises `InvalidFileError`."""
    _, actions, episode = joint_columns(folder)
    return np.split(actions, episode_starts(episode)[1:])


def read_first_observations(folder: Path) -> list[FirstObservation]:
    """The first observation of every demonstration in a LeRobotDataset. Raises `InvalidFileError`."""
    dataset = open_lerobot(folder, return_uint8=True)
    states, _, episode = joint_columns(folder)
    looks = []
    for start in episode_starts(episode):
        frame = dataset[int(start)]
        pixels = {camera: frame[key].permute(1, 2, 0).numpy() for camera, key in IMAGES.items()}
        looks.append(FirstObservation(states[start], pixels))
    return looks


def episode_starts(episode: NDArray[np.int64]) -> NDArray[np.intp]:
    """First frame of each episode, from the episode of every frame."""
    return np.flatnonzero(np.diff(episode, prepend=-1))


def fingerprint(folder: Path) -> str:
    """SHA-256 over the numbers of a LeRobotDataset: its Parquet files of states and actions, in order of name."""
    digest = hashlib.sha256()
    for path in sorted((folder / "data").rglob("*.parquet")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class DatasetBaseline:
    """A baseline that is made from a dataset, and says from which."""

    name: str
    role: Role = "control"

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset

    def describe(self) -> PolicyRecord:
        """Which demonstrations it is made from."""
        sha256 = fingerprint(self._dataset)
        config = {"dataset": str(self._dataset), "dataset_sha256": sha256}
        track = track_of_dataset(self._dataset, sha256)
        return PolicyRecord(name=self.name, kind="baseline", role=self.role, track=track, config=config)


class DemonstrationPolicy(DatasetBaseline, TrajectoryPolicy):
    """A baseline that is made from a dataset and decides once."""


class ReplayPolicy(DemonstrationPolicy):
    """Replays the mean demonstration, whatever it sees."""

    name = "replay"
    role = "floor"

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        self._mean = mean_trajectory(read_trajectories(dataset))

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        return self._mean


class NearestPolicy(DemonstrationPolicy):
    """Replays the demonstration whose first observation looks most like this one: the lookup-table hypothesis."""

    name = "nearest"
    needs_images = True

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        self._actions = read_trajectories(dataset)
        looks = np.stack([look(first.pixels, first.state) for first in read_first_observations(dataset)])
        self._mean = looks.mean(axis=0)
        self._spread = np.maximum(looks.std(axis=0), least_spread(looks.shape[1]))
        self._looks = (looks - self._mean) / self._spread

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        return self._actions[self.nearest(observation)]

    def nearest(self, observation: Mapping[str, Any]) -> int:
        """Number of the demonstration at the least Euclidean distance, each component in standard deviations."""
        seen = (look(observation["pixels"], observation["agent_pos"]) - self._mean) / self._spread
        return int(np.argmin(np.square(self._looks - seen).sum(axis=1)))


def least_spread(size: int) -> NDArray[np.float32]:
    """The least standard deviation that each of an observation's `size` numbers, joints first, is divided by."""
    least = np.full(size, _LEAST_SPREAD, np.float32)
    least[: len(spec.JOINTS)] = _LEAST_STATE_SPREAD
    return least


def look(pixels: Mapping[str, Frame], state: NDArray[np.float32]) -> NDArray[np.float32]:
    """An observation as numbers `(n,)`: joint positions, then a colour thumbnail of each view."""
    rows, columns = _THUMBNAIL
    views = [
        np.asarray(Image.fromarray(pixels[camera]).resize((columns, rows), Image.Resampling.BOX), np.float32).ravel()
        for camera in spec.CAMERAS
    ]
    return np.concatenate([np.asarray(state, np.float32), *views])


def mean_trajectory(trajectories: list[Actions]) -> Actions:
    """The mean of trajectories `(steps, 6)`, brought to one clock."""
    mean: Actions = aligned(trajectories).mean(axis=0)
    return mean
