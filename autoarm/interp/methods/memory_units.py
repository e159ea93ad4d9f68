"""What the units of an MLP answer to: the frames that trigger them, where on the table, in how many episodes.

A unit of a lookup table answers to one place or one episode; a unit that has learned the table's geometry varies
smoothly over it, so that where it was not fitted its answer can be told from where the cube lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.probes import Fold, group_folds, predict_numbers, r_squared
from autoarm.interp.model.capture import Batch, capture_each
from autoarm.interp.model.sites import resolve
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DEGREE: Final = 3
"""Of the polynomial in x and y that a receptive field is fitted by."""


@dataclass(frozen=True, eq=False)
class UnitAnswers:
    """How units of an MLP answer to observations, slots (or tokens) summed up.

    Attributes:
        mean: Over slots, `(n, unit)`.
        peak: The largest over slots, `(n, unit)`.
        slot: Where that is, `(n, unit)`.
    """

    mean: NDArray[np.float32]
    peak: NDArray[np.float32]
    slot: NDArray[np.int16]


def unit_answers(policy: Any, batches: Iterable[Batch], site: str = "decoder.0.mlp") -> UnitAnswers:
    """Collect the answers of an MLP's units, a batch at a time.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations.
        site: Of the MLP.
    """
    keys = f"{site}.keys"
    found = resolve(policy, [keys])
    parts = [
        (values[keys].mean(axis=1), values[keys].max(axis=1), values[keys].argmax(axis=1).astype(np.int16))
        for values in capture_each(policy, batches, found)
    ]
    return UnitAnswers(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Triggers:
    """The observations that each unit answers to most, `(unit, rank)` each.

    Attributes:
        frame: Number of the observation.
        slot: Of the chunk.
        answer: How much.
    """

    frame: Integers
    slot: Integers
    answer: NDArray[np.float32]


def triggers(answers: UnitAnswers, count: int = 9) -> Triggers:
    """The `count` observations that each unit answers to most, the strongest first."""
    if not 1 <= count <= len(answers.peak):
        raise InvalidInputError(f"{count} of {len(answers.peak)} observations", field="count")
    frame = np.argsort(-answers.peak, axis=0, kind="stable")[:count]
    slot, answer = (np.take_along_axis(values, frame, axis=0) for values in (answers.slot, answers.peak))
    return Triggers(frame.T.astype(np.int64), slot.T.astype(np.int64), np.asarray(answer.T, np.float32))


def field_scores(
    answers: ArrayLike, positions: ArrayLike, groups: ArrayLike, folds: list[Fold] | None = None
) -> Floats:
    """How well each unit's answer is told from where the cube lies, at positions it was not fitted to: R², `(unit,)`.

    A cubic polynomial in x and y, by ridge regression. NaN for units that always answer the same.

    Args:
        answers: `(n, unit)`.
        positions: Of the cube, metres, `(n, 2)`.
        groups: Of every row; rows at one position belong together.
        folds: By default of the groups.
    """
    values, labels = np.asarray(answers, np.float64), np.asarray(groups)
    features = polynomial(np.asarray(positions, np.float64))
    return r_squared(values, predict_numbers(features, values, folds or group_folds(labels), labels))


def polynomial(positions: Floats, degree: int = _DEGREE) -> Floats:
    """Products of x and y up to a degree, `(n, d)`, from positions in units of their spread."""
    spread = positions.std(axis=0)
    x, y = ((positions - positions.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).T
    return np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i) if i + j], axis=1)


@dataclass(frozen=True, eq=False)
class EpisodesServed:
    """How a unit's answers spread over episodes.

    Attributes:
        episodes: Their numbers, `(episode,)`.
        share: Of each unit's answers, `(unit, episode)`, sums to 1; NaN for units that never answer.
        effective: How many episodes alike would give this entropy, `(unit,)`.
    """

    episodes: Integers
    share: Floats
    effective: Floats


def episodes_served(answers: ArrayLike, episode: ArrayLike) -> EpisodesServed:
    """Over which episodes each unit's answers spread; long episodes count no more than short ones.

    Args:
        answers: Not negative, as behind a ReLU, `(n, unit)`.
        episode: Of every row, `(n,)`.
    """
    values, labels = np.maximum(np.asarray(answers, np.float64), 0.0), np.asarray(episode)
    names = np.unique(labels)
    means = np.stack([values[labels == name].mean(axis=0) for name in names], axis=1)
    total = means.sum(axis=1, keepdims=True)
    share: Floats = np.full(means.shape, np.nan)
    np.divide(means, total, out=share, where=total > 0)
    logarithms = np.log(share, out=np.zeros_like(share), where=share > 0)
    return EpisodesServed(names.astype(np.int64), share, np.exp(-(share * logarithms).sum(axis=1)))


def variance_parts(keys: ArrayLike, groups: ArrayLike) -> dict[str, Floats]:
    """What the answers of each unit vary with: the chunk's slot, the group, both together, and the rest; sums to 1.

    Args:
        keys: `(n, slot, unit)`, as `MemorySplit.keys`.
        groups: Of every observation, such as the cube's spot; each with as many observations for an exact split.

    Returns:
        Shares of the variance, `(unit,)` each; NaN for units that always answer the same.
    """
    values, labels = np.asarray(keys, np.float64), np.asarray(groups)
    total_mean = values.mean(axis=(0, 1))
    slot = values.mean(axis=0) - total_mean
    names, where = np.unique(labels, return_inverse=True)
    cells = np.stack([values[labels == name].mean(axis=0) for name in names]) - total_mean  # (group, slot, unit)
    counts = np.bincount(where)
    group = cells.mean(axis=1)
    both = cells - slot - group[:, None]
    sums = {
        "slot": len(values) * (slot**2).sum(axis=0),
        "group": values.shape[1] * (counts[:, None] * group**2).sum(axis=0),
        "interaction": (counts[:, None, None] * both**2).sum(axis=(0, 1)),
        "rest": ((values - total_mean - cells[where]) ** 2).sum(axis=(0, 1)),
    }
    total = np.sum(list(sums.values()), axis=0)
    return {
        name: np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0) for name, part in sums.items()
    }
