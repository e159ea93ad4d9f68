"""Linear probes: what can be predicted linearly from activations, tested on positions that the probe was not fitted to.

A probe that is tested on frames of its training episodes can succeed by recognising the episode, so rows are split in
groups, such as by where the cube lay. Each score comes with that of the same probe on a control task (Hewitt & Liang,
arXiv:1909.03368): the labels of another episode. A probe's selectivity is its score minus that of its control.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score, recall_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.random_projection import SparseRandomProjection
from torch.nn import functional

from autoarm.interp.model.capture import Batch, capture_each, to_numpy
from autoarm.interp.model.sites import resolve
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from autoarm.interp.observations.probe_data import FrameLabels, Target

Features = NDArray[np.float32]
Floats = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
Pooling = Literal["flat", "mean"]

PIXELS: Final = "input.pixels"
STATE: Final = "input.state"
"""Inputs that are collected beside the sites: thumbnails of the frames, and the normalised joints."""

ALPHAS: Final = tuple(10.0**power for power in range(-2, 7))
"""Ridge strengths to choose from, for features of unit variance."""
_REGULARISATION: Final = 0.1
"""Inverse strength of the logistic probes' penalty, for features of unit variance."""
_THUMBNAIL: Final = (24, 32)
"""Rows and columns to which frames are averaged, as in `autoarm.policies.lookup`."""
_POOLED: Final = frozenset({"token", "slot", "query", "row", "column", "head"})
"""Axes that `mean` pooling averages over."""
_LEAST_SPREAD: Final = 0.03
"""Standard deviation, as a share of the largest feature's, below which a feature is not scaled to unit variance.

Otherwise a pixel that hardly changes in the training rows, but does in others, would outweigh all the rest.
"""


# -- Features ----------------------------------------------------------------------------------------------------------


def collect_features(
    policy: Any, batches: Iterable[Batch], sites: Iterable[str], pooling: Pooling = "flat", limit: int = 1024
) -> dict[str, Features]:
    """Activations as one row of numbers an observation, a batch at a time.

    Rows of more than `limit` numbers get a fixed random projection to that many: distances stay nearly the same
    (Johnson & Lindenstrauss), labels and other rows have no influence, and memory stays small.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batches: Observations as its preprocessor returns them.
        sites: Names as `autoarm.interp.model.sites` lists them.
        pooling: `flat` keeps where things are; `mean` averages over tokens, slots, heads, or a map's rows and columns.
        limit: Largest number of features.

    Returns:
        `(n, d)` for each site, and for `PIXELS` and `STATE` where the policy takes them.
    """
    found = resolve(policy, sites)
    averaged = {
        name: tuple(number for number, axis in enumerate(site.axes) if axis in _POOLED) for name, site in found.items()
    }
    rows: dict[str, list[Features]] = {}
    seen: list[Batch] = []

    def remembered() -> Iterable[Batch]:
        for batch in batches:
            seen.append(batch)
            yield batch

    for values in capture_each(policy, remembered(), found):
        batch = seen.pop()
        if policy.config.image_features:
            views = [_thumbnails(batch[camera]) for camera in policy.config.image_features]
            rows.setdefault(PIXELS, []).append(np.concatenate(views, axis=1))
        if policy.config.robot_state_feature:
            rows.setdefault(STATE, []).append(to_numpy(batch["observation.state"]))
        for name, array in values.items():
            pooled = array.mean(axis=averaged[name]) if pooling == "mean" else array
            rows.setdefault(name, []).append(project(pooled.reshape(len(pooled), -1), limit))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def project(rows: Features, limit: int) -> Features:
    """Rows `(n, d)` as at most `limit` random sums of their numbers, the same sums for all rows of one length."""
    if rows.shape[1] <= limit:
        return np.asarray(rows, np.float32)
    return np.asarray(_projection(rows.shape[1], limit).transform(rows), np.float32)


@lru_cache(maxsize=8)
def _projection(width: int, limit: int) -> SparseRandomProjection:
    return SparseRandomProjection(limit, random_state=0).fit(np.zeros((1, width), np.float32))


def _thumbnails(images: torch.Tensor) -> Features:
    height, width = (min(small, side) for small, side in zip(_THUMBNAIL, images.shape[-2:], strict=True))
    return to_numpy(functional.adaptive_avg_pool2d(images.float(), (height, width)).flatten(1))


def random_weights(policy: Any, seed: int = 0) -> Any:
    """A policy of the same configuration with random weights: a control for what the architecture alone gives."""
    config = copy.deepcopy(policy.config)
    config.pretrained_backbone_weights = None
    device = next(policy.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return type(policy)(config).to(device).eval()


# -- Splits ------------------------------------------------------------------------------------------------------------


def group_folds(groups: ArrayLike, folds: int | None = None) -> list[Fold]:
    """Rows to train on and to test on, no group on both sides.

    Args:
        groups: Group of every row, `(n,)`, such as the spot or the episode.
        folds: By default one for each group, up to five.

    Raises:
        InvalidInputError: If there are too few groups.
    """
    labels = np.asarray(groups)
    count = len(np.unique(labels))
    wanted = min(count, 5) if folds is None else folds
    if count < 2 or not 2 <= wanted <= count:
        raise InvalidInputError(
            f"{count} groups cannot be split {wanted} ways", field="groups", cure="use data with more of them"
        )
    return list(GroupKFold(wanted).split(labels, groups=labels))


def leaky_folds(count: int, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Folds that ignore groups, with frames of one episode on both sides: to show how much that inflates scores."""
    if count < folds:
        raise InvalidInputError(f"{count} rows cannot be split {folds} ways", field="rows", cure="use more data")
    return list(KFold(folds, shuffle=True, random_state=seed).split(np.arange(count)))


def control_rows(episode: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """For every row the row whose label it gets in the control task: of another episode, at another time in it.

    Episodes are permuted, none staying in its place, and each is run through at the pace of the other from a random
    start on. Labels that are constant in an episode stay constant, and those that vary do so as smoothly as before,
    but they no longer depend on the observation.
    """
    labels = np.asarray(episode)
    names = np.unique(labels)
    if len(names) < 2:
        raise InvalidInputError("one episode has no other", field="episode", cure="use several")
    order = rng.permutation(names)
    other = dict(zip(order, np.roll(order, 1), strict=True))
    rows = np.empty(len(labels), np.int64)
    for name in names:
        here, there = np.flatnonzero(labels == name), np.flatnonzero(labels == other[name])
        phase = (np.arange(len(here)) / len(here) + rng.random()) % 1.0
        rows[here] = there[(phase * len(there)).astype(np.int64)]
    return rows


# -- Probes ------------------------------------------------------------------------------------------------------------


def predict_numbers(features: ArrayLike, targets: ArrayLike, folds: Sequence[Fold], groups: ArrayLike | None) -> Floats:
    """Ridge regression: predictions of all rows that are tested, NaN elsewhere, `(n, k)`.

    The strength is chosen for each target by leaving groups out of the training rows in turn. scikit-learn's `RidgeCV`
    leaves single rows out, which says little where rows are neighbouring frames, or fits anew for each strength and
    target; one singular value decomposition serves them all.

    Args:
        features: `(n, d)`.
        targets: `(n, k)`.
        folds: Rows to train on and to test on.
        groups: Group of every row, `(n,)`; None chooses the strength by rows, to go with `leaky_folds`.
    """
    x, y = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    labels = np.arange(len(x)) if groups is None else np.asarray(groups)
    if y.ndim != 2 or not len(x) == len(y) == len(labels):
        raise InvalidInputError(f"{len(x)} rows, targets {y.shape}, {len(labels)} groups", field="targets")
    predicted = np.full(y.shape, np.nan)
    for train, test in folds:
        inner = group_folds(labels[train]) if len(np.unique(labels[train])) > 1 else leaky_folds(len(train))
        errors = np.zeros((len(ALPHAS), y.shape[1]))
        for fit, check in inner:
            tried = ridge_path(x[train[fit]], y[train[fit]], x[train[check]])
            errors += ((tried - y[train[check]]) ** 2).sum(axis=1)
        tried = ridge_path(x[train], y[train], x[test])
        predicted[test] = tried[errors.argmin(axis=0), :, np.arange(y.shape[1])].T
    return predicted


def _standardised(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Features of mean 0 and unit variance; those that hardly vary get less (see `_LEAST_SPREAD`)."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.maximum(spread, _LEAST_SPREAD * spread.max(initial=0.0))
    scale[scale == 0.0] = 1.0
    return (train - mean) / scale, (test - mean) / scale


def ridge_path(train: Floats, targets: ArrayLike, test: Floats, alphas: Sequence[float] = ALPHAS) -> Floats:
    """Ridge regression at several strengths, on features of unit variance: predictions `(alpha, n, k)`.

    By the eigenvalues of the smaller of two products, rows by rows or features by features: several times faster than a
    singular value decomposition, and what squaring costs in digits is far below any of the strengths.
    """
    x, seen = _standardised(train, test)
    y = np.asarray(targets, np.float64)
    offset = y.mean(axis=0)
    aligned = y - offset
    if x.shape[0] <= x.shape[1]:
        x, seen = x @ x.T, seen @ x.T
    else:
        x, aligned = x.T @ x, x.T @ aligned
    eigenvalues, vectors = np.linalg.eigh(x)
    shrunk = 1.0 / (np.maximum(eigenvalues, 0.0) + np.asarray(alphas)[:, None])
    return np.asarray(
        np.einsum("nr,ar,rk->ank", seen @ vectors, shrunk, vectors.T @ aligned, optimize=True) + offset, np.float64
    )


def predict_classes(features: ArrayLike, targets: ArrayLike, folds: Sequence[Fold]) -> NDArray[np.int64]:
    """Logistic regression: the class of all rows that are tested, -1 elsewhere, `(n,)`.

    Raises:
        InvalidInputError: If a fold has one class only to train on.
    """
    x, y = np.asarray(features, np.float64), np.asarray(targets)
    predicted = np.full(len(y), -1, np.int64)
    for train, test in folds:
        if len(np.unique(y[train])) < 2:
            raise InvalidInputError("one class only to train on", field="targets", cure="split the data another way")
        inside, outside = _standardised(x[train], x[test])
        if inside.shape[1] > len(inside):
            # The penalty does not change under rotation, so the span of the rows holds the solution.
            right = np.linalg.svd(inside, full_matrices=False)[2]
            inside, outside = inside @ right.T, outside @ right.T
        # By curvature: the default solver is still on its way after hundreds of steps where features vary little.
        probe = LogisticRegression(C=_REGULARISATION, solver="newton-cg")
        predicted[test] = probe.fit(inside, y[train]).predict(outside)
    return predicted


def r_squared(truth: ArrayLike, predicted: ArrayLike) -> Floats:
    """Share of each column's variance that is explained, `(k,)`; below 0, worse than the mean; NaN without variance.

    Over all tested rows together, because within one spot there is almost no variance to explain.
    """
    values, guesses = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    tested = np.isfinite(guesses).all(axis=1)
    if not tested.any():
        return np.full(values.shape[1], np.nan)
    values, guesses = values[tested], guesses[tested]
    scores = r2_score(values, guesses, multioutput="raw_values")
    return np.where(np.ptp(values, axis=0) > 0, scores, np.nan)  # scikit-learn scores a constant column 0 or 1


def balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean over the classes of the share that was recognised (recall); 1 / classes for guessing."""
    values, guesses = np.asarray(truth), np.asarray(predicted)
    tested = guesses >= 0
    values, guesses = values[tested], guesses[tested]
    # Macro recall, which `balanced_accuracy_score` is too, without its warning for classes that are only guessed.
    return float(recall_score(values, guesses, labels=np.unique(values), average="macro"))


def score_above(score: float, baseline: float) -> float:
    """The difference of a score and its baseline, each clipped at 0.

    An R2 far below 0 means no more than one of 0: the probe found nothing.
    """
    return max(score, 0.0) - max(baseline, 0.0)


@dataclass(frozen=True)
class ProbeScore:
    """How well a probe reads a target off a site.

    Attributes:
        site: Name of the site or input.
        target: Name of the target, such as `cube`.
        split: How rows were split into folds.
        metric: `r2`, mean over the target's columns, or `balanced accuracy`.
        score: On rows that the probe was not fitted to.
        control: Score on the control task.
    """

    site: str
    target: str
    split: str
    metric: str
    score: float
    control: float

    @property
    def selectivity(self) -> float:
        """The score above the control; see `score_above`."""
        return score_above(self.score, self.control)


def probe_sites(
    features: Mapping[str, Features],
    labels: FrameLabels,
    targets: Sequence[Target],
    split: str = "spot",
    folds: Sequence[Fold] | None = None,
    seed: int = 0,
) -> list[ProbeScore]:
    """Probe all features for all targets.

    Args:
        features: As `collect_features` returns them for the frames of `labels`.
        labels: Labels of the frames.
        targets: Names of targets, such as `["cube", "grasped"]`.
        split: `spot` or `episode`, whose groups are kept together, or `frame`, which uses `leaky_folds`; any name where
            `folds` are given.
        folds: By default those of the split.
        seed: Random seed of the control task.

    Returns:
        Feature by feature, target by target.
    """
    from autoarm.interp.observations.probe_data import CLASSES

    groups = {"episode": labels.episode, "frame": None}.get(split, labels.spot)
    if folds is None:
        folds = leaky_folds(len(labels)) if groups is None else group_folds(groups)
    chosen = list(folds)
    other = control_rows(labels.episode, np.random.default_rng(seed))
    numbers = [name for name in targets if name not in CLASSES]
    columns = [labels.target(name)[rows] for name in numbers for rows in (slice(None), other)]
    scores = []
    for site, values in features.items():
        if len(values) != len(labels):
            raise InvalidInputError(f"{len(values)} rows for {len(labels)} frames", field=site)
        found: dict[str, list[float]] = {}
        if numbers:
            # All at once: one decomposition serves them.
            predicted = predict_numbers(values, np.concatenate(columns, axis=1), chosen, groups)
            edges = np.cumsum([column.shape[1] for column in columns])[:-1]
            parts = zip(columns, np.split(predicted, edges, axis=1), strict=True)
            means = [float(np.nanmean(r_squared(truth, guess))) for truth, guess in parts]
            found = {name: means[2 * number : 2 * number + 2] for number, name in enumerate(numbers)}
        for name in targets:
            if name in CLASSES:
                truths = labels.target(name), labels.target(name)[other]
                found[name] = [balanced_accuracy(truth, predict_classes(values, truth, chosen)) for truth in truths]
            metric = "balanced accuracy" if name in CLASSES else "r2"
            scores.append(ProbeScore(site, name, split, metric, *found[name]))
    return scores


# -- Channel by channel ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ChannelScores:
    """How well each channel of a feature map alone tells two classes apart, `(channel,)`.

    Attributes:
        leaky: Balanced accuracy where frames of one episode lie on both sides of the split.
        grouped: Balanced accuracy where none do.
    """

    leaky: Floats
    grouped: Floats


def probe_channels(maps: ArrayLike, classes: ArrayLike, groups: ArrayLike, folds: int | None = None) -> ChannelScores:
    """A logistic probe on each channel's map, with leaky folds and with folds by group.

    Args:
        maps: Feature maps of one camera, `(n, channel, row, column)`.
        classes: 0 or 1, such as whether the cube lies on the left, `(n,)`.
        groups: Group of every row, `(n,)`, such as the episode.
        folds: Number of folds, as in `group_folds`.
    """
    values, truth = np.asarray(maps, np.float64), np.asarray(classes, np.int64)
    if values.ndim != 4 or len(values) != len(truth):
        raise InvalidInputError(f"maps {values.shape} for {len(truth)} classes", field="maps")
    channels = np.moveaxis(values, 1, 0).reshape(values.shape[1], len(truth), -1)

    def scores(split: Sequence[Fold]) -> Floats:
        return np.array([balanced_accuracy(truth, predict_classes(each, truth, split)) for each in channels])

    return ChannelScores(scores(leaky_folds(len(truth))), scores(group_folds(groups, folds)))
