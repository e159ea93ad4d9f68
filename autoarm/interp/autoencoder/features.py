"""Features of a sparse autoencoder: where each is active, ranked, with the observations that activate it most.

`memorisation` measures how far a feature is active in few episodes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from autoarm.interp.autoencoder.activations import TokenActivations
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.methods.memory_units import episode_spread
from autoarm.runtime.files import replacing
from gym_autoarm.errors import InvalidFileError, InvalidInputError

Floats = NDArray[np.float32]
Order = Literal["variance", "range", "episodes", "memorisation", "frequency"]

WEIGHTS: Final = "autoencoder.safetensors"
ACTIVATIONS: Final = "activations.parquet"
FEATURES: Final = "features.parquet"
OBSERVATIONS: Final = "observations.parquet"
"""Files of a folder with an autoencoder, its features' activations, and the observations."""

_KEY: Final = b"autoarm.features"
_COLUMNS: Final = ("observation", "token", "feature", "activation")
_CURE: Final = "record it again with `autoarm interp sae`"


@dataclass(frozen=True, eq=False)
class FeatureActivations:
    """All activations above 0 of all features, over some observations.

    Attributes:
        site: Site of the autoencoder.
        shape: Numbers of observations, tokens and features.
        observation: Observation of each activation, `(n,)`.
        token: Token of each activation, `(n,)`.
        feature: Feature of each activation, `(n,)`.
        activation: The activations, positive, `(n,)`.
        grids: First token, rows and columns of each camera's grid, where the tokens are those of the encoder.
    """

    site: str
    shape: tuple[int, int, int]
    observation: NDArray[np.int32]
    token: NDArray[np.int32]
    feature: NDArray[np.int32]
    activation: Floats
    grids: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def per_observation(self) -> Floats:
        """The largest activation of each feature over the tokens, `(observation, feature)`."""
        found = np.zeros((self.shape[0], self.shape[2]), np.float32)
        np.maximum.at(found, (self.observation, self.feature), self.activation)
        return found

    def tokens(self, feature: int, observation: int) -> Floats:
        """Activation of a feature at each token of an observation, `(token,)`."""
        self.check(feature)
        mine = (self.feature == feature) & (self.observation == observation)
        found = np.zeros(self.shape[1], np.float32)
        found[self.token[mine]] = self.activation[mine]
        return found

    def maps(self, feature: int, observation: int) -> dict[str, Floats]:
        """Activation of a feature on the cameras' grids, `(row, column)`; empty if the tokens are not pixels."""
        tokens = self.tokens(feature, observation)
        return {
            camera: tokens[first : first + rows * columns].reshape(rows, columns)
            for camera, (first, rows, columns) in self.grids.items()
        }

    def check(self, feature: int) -> None:
        """Raise `InvalidInputError` for an unknown feature."""
        if not 0 <= feature < self.shape[2]:
            raise InvalidInputError(f"there is no feature {feature}", field="feature", cure=f"0 to {self.shape[2] - 1}")

    def save(self, path: Path) -> None:
        """Write Parquet, one row an activation."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = json.dumps({"site": self.site, "shape": self.shape, "grids": dict(self.grids)})
        table = pa.table({name: getattr(self, name) for name in _COLUMNS})
        with replacing(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_KEY: about.encode()}), temporary)

    @classmethod
    def load(cls, path: Path) -> FeatureActivations:
        """Read what `save` wrote. Raises `InvalidFileError` if it is something else."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(path).read()
            about = json.loads((table.schema.metadata or {})[_KEY])
            columns = {name: table[name].to_numpy() for name in _COLUMNS}
            shape = tuple(int(size) for size in about["shape"])
            grids = {str(name): tuple(int(each) for each in grid) for name, grid in about["grids"].items()}
            found = cls(str(about["site"]), shape, **columns, grids=grids)  # type: ignore[arg-type]  # from a file
            inside = all(
                len(column) == 0 or (column.min() >= 0 and column.max() < size)
                for column, size in zip((found.observation, found.token, found.feature), found.shape, strict=True)
            )
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise InvalidFileError(f"no activations of features: {error}", file=path, cure=_CURE) from error
        if not inside:
            raise InvalidFileError("numbers beyond its own shape", file=path, cure=_CURE)
        return found


@dataclass(frozen=True)
class FeatureRank:
    """Statistics of a feature. Its activation at an observation is the largest over the tokens.

    Attributes:
        feature: Its number.
        frequency: Share of the observations in which it is active.
        mean: Mean over all observations, those without it included.
        maximum: Maximum over all observations.
        variance: Variance over all observations.
        range: Difference of the 95th and the 5th percentile over the observations.
        episodes: Effective number of episodes: exp of the entropy of how its activation divides between them.
        memorisation: 1 - (episodes - 1) / (all episodes - 1): 1, one episode only; 0, all alike. NaN if never active.
        chance: Memorisation with the observations assigned to episodes at random: the effect of rarity alone.
        within_group: Memorisation within groups of episodes, such as those with the cube at one spot, averaged in
            proportion to the feature's activation there: a feature of one spot is not one of an episode. NaN without
            groups.
    """

    feature: int
    frequency: float
    mean: float
    maximum: float
    variance: float
    range: float
    episodes: float
    memorisation: float
    chance: float
    within_group: float


def feature_activations(
    autoencoder: SparseAutoencoder,
    activations: TokenActivations,
    grids: Mapping[str, tuple[int, int, int]] | None = None,
) -> FeatureActivations:
    """Encode all tokens and keep the activations above 0.

    Args:
        autoencoder: An autoencoder of the same site.
        activations: As `site_activations` returns them.
        grids: First token, rows and columns of each camera's grid, as `camera_grids` returns them.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, values in enumerate(activations.values):
        features = autoencoder.encode(torch.from_numpy(np.array(values))).numpy()
        token, feature = np.nonzero(features)
        parts.append((np.full(len(token), number), token, feature, features[token, feature]))
    observation, token, feature, activation = (np.concatenate(column) for column in zip(*parts, strict=True))
    return FeatureActivations(
        activations.site,
        (activations.values.shape[0], activations.values.shape[1], autoencoder.features),
        observation.astype(np.int32),
        token.astype(np.int32),
        feature.astype(np.int32),
        activation.astype(np.float32),
        grids or {},
    )


def rank_features(
    found: FeatureActivations,
    episodes: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
    *,
    rng: np.random.Generator,
    draws: int = 5,
) -> list[FeatureRank]:
    """Statistics of each feature, in the order of their numbers.

    Args:
        found: Activations.
        episodes: Episode of each observation; at least two different ones.
        groups: Group of each observation, such as the spot at which the cube lay.
        rng: Assigns observations to episodes at random, for `FeatureRank.chance`.
        draws: Number of these random assignments.

    Raises:
        InvalidInputError: If there is only one episode, or lengths differ.
    """
    each = found.per_observation().astype(np.float64)
    if len(episodes) != len(each) or (groups is not None and len(groups) != len(each)):
        raise InvalidInputError(f"{len(episodes)} for {len(each)} observations", field="episodes", cure="give one each")
    if len(np.unique(episodes)) < 2:
        raise InvalidInputError("one episode cannot show memorisation", field="dataset", cure="record more episodes")
    spread = effective_episodes(each, episodes)
    score = memorisation(each, episodes)
    chance = np.mean([memorisation(each, rng.permutation(episodes)) for _ in range(draws)], axis=0)
    within = np.full(len(score), np.nan) if groups is None else _within(each, episodes, groups)
    low, high = np.quantile(each, (0.05, 0.95), axis=0)
    return [
        FeatureRank(
            feature=number,
            frequency=float((each[:, number] > 0).mean()),
            mean=float(each[:, number].mean()),
            maximum=float(each[:, number].max()),
            variance=float(each[:, number].var()),
            range=float(high[number] - low[number]),
            episodes=float(spread[number]),
            memorisation=float(score[number]),
            chance=float(chance[number]),
            within_group=float(within[number]),
        )
        for number in range(each.shape[1])
    ]


def ranked(rows: list[FeatureRank], by: Order = "variance") -> list[FeatureRank]:
    """Features sorted by one of their statistics, largest first; those that are never active are left out."""
    if by not in get_args(Order):
        raise InvalidInputError(f"{by!r} is unknown", field="by", cure=f"choose from {', '.join(get_args(Order))}")
    return sorted((row for row in rows if row.frequency > 0), key=lambda row: getattr(row, by), reverse=True)


def effective_episodes(each: NDArray[np.float64], episodes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Effective number of episodes in which features `(observation, feature)` are active; 0 if never.

    It is exp of the entropy of how a feature's mean activation divides between episodes.
    """
    return np.nan_to_num(episode_spread(each, episodes).effective)


def memorisation(each: NDArray[np.float64], episodes: NDArray[np.integer]) -> NDArray[np.float64]:
    """How far features are active in few episodes only, `(feature,)`; see `FeatureRank.memorisation`."""
    count = len(np.unique(episodes))
    spread = effective_episodes(each, episodes)
    score = np.full(len(spread), np.nan)
    np.divide(spread - 1, max(count - 1, 1), out=score, where=spread > 0)
    return 1 - score


def top_examples(
    found: FeatureActivations, feature: int, count: int, episodes: NDArray[np.integer] | None = None
) -> NDArray[np.intp]:
    """The observations with the largest activations of a feature, largest first; only those where it is active.

    Args:
        found: Activations.
        feature: Number of the feature.
        count: Most observations.
        episodes: Episode of each observation; if given, only the best observation of each episode is returned.
    """
    found.check(feature)
    values = np.zeros(found.shape[0], np.float32)
    mine = found.feature == feature
    np.maximum.at(values, found.observation[mine], found.activation[mine])
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > 0]
    if episodes is not None and len(order):
        _, first = np.unique(np.asarray(episodes)[order], return_index=True)
        order = order[np.sort(first)]
    return np.asarray(order[:count], np.intp)


def camera_grids(policy: Any, site: str, batch: Mapping[str, Any] | None = None) -> dict[str, tuple[int, int, int]]:
    """First token, rows and columns of each camera's grid at a site; empty if the tokens are not pixels."""
    from autoarm.interp.model.sites import resolve
    from autoarm.interp.model.tokens import token_layout

    layout = token_layout(policy, batch)
    if site.startswith("backbone."):
        camera = site.removeprefix("backbone.")
        return {camera: (0, *layout.grids[camera])}
    if resolve(policy, [site])[site].axes[1] != "token":
        return {}
    return {camera: (int(layout.camera(camera)[0, 0]), *grid) for camera, grid in layout.grids.items()}


def _within(
    each: NDArray[np.float64], episodes: NDArray[np.integer], groups: NDArray[np.integer]
) -> NDArray[np.float64]:
    total, weight = np.zeros(each.shape[1]), np.zeros(each.shape[1])
    for group in np.unique(groups):
        mine = groups == group
        if len(np.unique(episodes[mine])) < 2:
            continue  # where each episode is a group of its own, the two cannot be told apart
        score = memorisation(each[mine], episodes[mine])
        part = each[mine].mean(axis=0)
        total += np.where(part > 0, part * np.nan_to_num(score), 0.0)
        weight += part
    mean: NDArray[np.float64] = np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)
    return mean
