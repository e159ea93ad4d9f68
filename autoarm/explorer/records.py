"""Reads a folder that `autoarm interp sae` wrote, and answers questions about its features."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoarm.interp.autoencoder.features import (
    ACTIVATIONS,
    FEATURES,
    OBSERVATIONS,
    WEIGHTS,
    FeatureActivations,
    FeatureRank,
    Order,
    ranked,
    top_examples,
)
from autoarm.interp.methods.attention_video import tint
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]

_CURE: Final = "give the folder that `autoarm interp sae` wrote"
_COLUMNS: Final = ("frame", "episode", "step", "cube_x", "cube_y", *spec.CAMERAS)


@dataclass(frozen=True)
class Example:
    """A moment at which a feature is active.

    Attributes:
        observation: Number of the observation in the folder.
        episode: Number of the episode in the dataset.
        step: Step of the episode.
        activation: Largest activation over the tokens.
        views: Both cameras' frames side by side, tinted where the feature is active.
    """

    observation: int
    episode: int
    step: int
    activation: float
    views: Frame


@dataclass(frozen=True, eq=False)
class FeatureRecords:
    """What the folder holds about the features.

    Attributes:
        identity: SHA-256 of the autoencoder.
        activations: Activations of all features.
        ranks: Statistics of each feature.
        columns: Columns of the observations, by name; the cameras' columns hold JPEG.
    """

    identity: str
    activations: FeatureActivations
    ranks: list[FeatureRank]
    columns: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> FeatureRecords:
        """Read a folder. Raises `InvalidFileError` if something is missing, damaged, or does not fit the rest."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in (WEIGHTS, ACTIVATIONS, FEATURES, OBSERVATIONS):
            if not (folder / name).is_file():
                raise InvalidFileError(f"{name} is missing", file=folder, cure=_CURE)
        activations = FeatureActivations.load(folder / ACTIVATIONS)
        try:
            rows = pq.ParquetFile(folder / FEATURES).read().to_pylist()
            names = [field.name for field in fields(FeatureRank)]
            ranks = [FeatureRank(**{name: row[name] for name in names}) for row in rows]
            table = pq.ParquetFile(folder / OBSERVATIONS).read()
            columns = {
                name: table[name].to_pylist() if name in spec.CAMERAS else table[name].to_numpy() for name in _COLUMNS
            }
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise InvalidFileError(f"cannot be read: {error}", file=folder, cure=_CURE) from error
        if (len(table), len(ranks)) != (activations.shape[0], activations.shape[2]):
            raise InvalidFileError("its files do not belong together", file=folder, cure="make it again")
        identity = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        return cls(identity, activations, ranks, columns)

    @property
    def episodes(self) -> list[int]:
        """Numbers of the episodes with observations."""
        return [int(episode) for episode in np.unique(self.columns["episode"])]

    def order(self, by: Order) -> list[int]:
        """Features that are ever active, in the order `by`, largest first."""
        return [rank.feature for rank in ranked(self.ranks, by)]

    def examples(self, feature: int, count: int = 8, *, per_episode: bool = False) -> list[Example]:
        """The moments at which a feature is most active; with `per_episode` only the first of each episode."""
        chosen = top_examples(self.activations, feature, count, self.columns["episode"] if per_episode else None)
        mine = self.activations.activation[self.activations.feature == feature]
        top = float(mine.max()) if len(mine) else 0.0
        return [self._example(feature, int(number), top) for number in chosen]

    def clip(self, feature: int, observation: int, seconds: float = 2.0) -> tuple[list[Frame], list[float]]:
        """A clip around a moment, from the observations of its episode.

        Args:
            feature: The feature; frames are tinted where it is active.
            observation: Number of the observation in the middle of the clip.
            seconds: Length of the clip.

        Returns:
            Both cameras' frames side by side, and for how many seconds each is shown, at the arm's own pace.
        """
        self.activations.check(feature)
        step, episode = self.columns["step"], self.columns["episode"]
        reach = seconds / 2 * spec.FPS
        near = np.abs(step - step[observation]) <= reach
        rows = np.flatnonzero(near & (episode == episode[observation]))
        rows = rows[np.argsort(step[rows], kind="stable")]
        mine = self.activations.activation[self.activations.feature == feature]
        top = float(mine.max()) if len(mine) else 0.0
        gaps = np.diff(step[rows]) if len(rows) > 1 else np.array([spec.FPS])
        shown = np.append(gaps, np.median(gaps))[: len(rows)] / spec.FPS
        return [self._example(feature, int(row), top).views for row in rows], [float(each) for each in shown]

    def curve(self, feature: int, episode: int) -> tuple[NDArray[np.int64], Floats]:
        """Steps of an episode, and the largest activation of a feature over the tokens at each."""
        self.activations.check(feature)
        if episode not in self.episodes:
            raise InvalidInputError(f"there is no episode {episode}", field="episode", cure="choose one of the list")
        rows = np.flatnonzero(self.columns["episode"] == episode)
        return self.columns["step"][rows], self._values(feature)[rows]

    def whereabouts(self, feature: int) -> dict[str, float]:
        """Shares of a feature's activation in each camera's patches and in other tokens; empty if never active."""
        self.activations.check(feature)
        mine = self.activations.feature == feature
        token, much = self.activations.token[mine], self.activations.activation[mine]
        total = float(much.sum())
        shares = {
            f"{camera} view": float(much[(token >= first) & (token < first + rows * columns)].sum())
            for camera, (first, rows, columns) in self.activations.grids.items()
        }
        shares["other tokens" if shares else "tokens"] = total - sum(shares.values())
        return {name: share / total for name, share in shares.items()} if total else {}

    def places(self, feature: int) -> tuple[NDArray[np.float64], Floats]:
        """Cube position in each episode `(n, 2)`, metres, and mean activation of a feature there `(n,)`."""
        self.activations.check(feature)
        values, episode = self._values(feature), self.columns["episode"]
        first = [int(np.flatnonzero(episode == number)[0]) for number in self.episodes]
        places = np.stack([self.columns["cube_x"][first], self.columns["cube_y"][first]], axis=1)
        means = np.asarray([values[episode == number].mean() for number in self.episodes], np.float32)
        known = np.isfinite(places).all(axis=1)
        return np.asarray(places[known], np.float64), means[known]

    def _values(self, feature: int) -> Floats:
        values = np.zeros(self.activations.shape[0], np.float32)
        mine = self.activations.feature == feature
        np.maximum.at(values, self.activations.observation[mine], self.activations.activation[mine])
        return values

    def _example(self, feature: int, number: int, top: float) -> Example:
        maps = self.activations.maps(feature, number)
        views = []
        for camera in spec.CAMERAS:
            frame = _decoded(self.columns[camera][number])
            views.append(tint(frame, maps[camera], top) if camera in maps else frame)
        return Example(
            number,
            int(self.columns["episode"][number]),
            int(self.columns["step"][number]),
            float(self.activations.tokens(feature, number).max()),
            np.concatenate(views, axis=1),
        )


def _decoded(data: bytes) -> Frame:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return np.asarray(image.convert("RGB"), np.uint8)
    except OSError as error:
        raise InvalidFileError(f"not a picture: {error}", file=OBSERVATIONS, cure="make it again") from error
