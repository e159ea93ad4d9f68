"""What activates the units of an MLP: which frames, which places of the cube on the table, how many episodes.

A unit of a lookup table is active for one place or one episode. A unit that has learned the table's geometry varies
smoothly over it, so that its activation at a new place can be predicted from those at others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from autoarm.interp.methods.probes import Fold, group_folds, predict_numbers, r_squared
from autoarm.interp.methods.summary import entropy
from autoarm.interp.model.capture import Batch, capture_each
from autoarm.interp.model.sites import resolve
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DEGREE: Final = 3
"""Degree of the polynomial in x and y that is fitted to a unit's receptive field."""


@dataclass(frozen=True, eq=False)
class UnitActivations:
    """Activations of an MLP's units for each observation, summarised over slots (or tokens).

    Attributes:
        mean: Over slots, `(n, unit)`.
        peak: The largest over slots, `(n, unit)`.
        slot: The slot of the largest, `(n, unit)`.
    """

    mean: NDArray[np.float32]
    peak: NDArray[np.float32]
    slot: NDArray[np.int16]


def unit_activations(policy: Any, batches: Iterable[Batch], site: str = "decoder.0.mlp") -> UnitActivations:
    """Collect the activations of an MLP's units, a batch at a time.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations.
        site: Site of the MLP.
    """
    keys = f"{site}.keys"
    found = resolve(policy, [keys])
    parts = [
        (values[keys].mean(axis=1), values[keys].max(axis=1), values[keys].argmax(axis=1).astype(np.int16))
        for values in capture_each(policy, batches, found)
    ]
    return UnitActivations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Triggers:
    """The observations with the largest activations of each unit, `(unit, rank)` each.

    Attributes:
        frame: Number of the observation.
        slot: Slot of the chunk.
        answer: The activation there.
    """

    frame: Integers
    slot: Integers
    answer: NDArray[np.float32]


def triggers(answers: UnitActivations, count: int = 9) -> Triggers:
    """The `count` observations with the largest activations of each unit, largest first."""
    if not 1 <= count <= len(answers.peak):
        raise InvalidInputError(f"{count} of {len(answers.peak)} observations", field="count")
    frame = np.argsort(-answers.peak, axis=0, kind="stable")[:count]
    slot, answer = (np.take_along_axis(values, frame, axis=0) for values in (answers.slot, answers.peak))
    return Triggers(frame.T.astype(np.int64), slot.T.astype(np.int64), np.asarray(answer.T, np.float32))


def field_scores(
    answers: ArrayLike, positions: ArrayLike, groups: ArrayLike, folds: list[Fold] | None = None
) -> Floats:
    """How well the cube's position predicts each unit's activation, at positions not fitted to: R², `(unit,)`.

    By ridge regression on a cubic polynomial in x and y. NaN for units whose activation is constant.

    Args:
        answers: Activations, `(n, unit)`.
        positions: Positions of the cube, metres, `(n, 2)`.
        groups: Group of every row; rows at one position belong together.
        folds: By default those of the groups.
    """
    values, labels = np.asarray(answers, np.float64), np.asarray(groups)
    polynomial = make_pipeline(StandardScaler(), PolynomialFeatures(_DEGREE, include_bias=False))
    features = polynomial.fit_transform(np.asarray(positions, np.float64))
    return r_squared(values, predict_numbers(features, values, folds or group_folds(labels), labels))


@dataclass(frozen=True, eq=False)
class EpisodeSpread:
    """How a unit's activation spreads over episodes.

    Attributes:
        episodes: Their numbers, `(episode,)`.
        share: Shares of each unit's activation, `(unit, episode)`, sum to 1; NaN for units that are never active.
        effective: Effective number of episodes, exp of the entropy of the shares, `(unit,)`.
    """

    episodes: Integers
    share: Floats
    effective: Floats


def episode_spread(activations: ArrayLike, episode: ArrayLike) -> EpisodeSpread:
    """How each unit's activation divides between episodes; long episodes count no more than short ones.

    Args:
        activations: Not negative, as after a ReLU, `(n, unit)`.
        episode: Episode of every row, `(n,)`.
    """
    values, labels = np.maximum(np.asarray(activations, np.float64), 0.0), np.asarray(episode)
    names = np.unique(labels)
    means = np.stack([values[labels == name].mean(axis=0) for name in names], axis=1)
    total = means.sum(axis=1, keepdims=True)
    share: Floats = np.full(means.shape, np.nan)
    np.divide(means, total, out=share, where=total > 0)
    return EpisodeSpread(names.astype(np.int64), share, np.exp(entropy(share)))
