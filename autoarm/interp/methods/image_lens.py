"""Image lens: the frames as far as they can be reconstructed linearly from a hidden state.

In the spirit of Diffusion Lens (Toker et al., arXiv:2403.05846), which lets a generator draw a hidden state. Here a
linear decoder from a site's values to both frames, made small, is fitted for each site and tested at positions that it
was not fitted to. The mean frame, and the same decoder on a policy with random weights, are the controls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.probes import Features, Fold, group_folds, ridge_path
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]

SIZE: Final = (48, 64)
"""Rows and columns of the reconstructed frames: in the top view a cube of 3 cm is about 4 of their pixels wide."""
_STRENGTHS: Final = (1e1, 1e2, 1e3, 1e4, 1e5)


@dataclass(frozen=True, eq=False)
class ImageLens:
    """Frames reconstructed from a site.

    Attributes:
        drawn: Reconstructed frames, uint8 `(n, cameras, row, column, 3)`; black where not tested.
        tested: Whether a frame was left out of a fit and reconstructed, `(n,)`.
        error: Mean absolute error in grey levels of each tested frame, `(n,)`; NaN elsewhere.
        mean_error: Mean absolute error of the mean training frame, `(n,)`.
        explained: Share of the tested frames' variance that is explained; 0 for the mean training frame.
    """

    drawn: NDArray[np.uint8]
    tested: NDArray[np.bool_]
    error: Floats
    mean_error: Floats
    explained: float


def small_frames(frames: ArrayLike, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Frames `(n, cameras, h, w, 3)` averaged to a smaller size."""
    from autoarm.data.frames import resize

    values = np.asarray(frames, np.uint8)
    if values.ndim != 5:
        raise InvalidInputError(f"shape {values.shape}", field="frames", cure="give (n, cameras, h, w, 3)")
    flat = values.reshape(-1, *values.shape[2:])
    return resize(flat, size).reshape(*values.shape[:2], *size, 3)


def image_lens(
    features: Features, frames: NDArray[np.uint8], groups: ArrayLike, folds: Sequence[Fold] | None = None
) -> ImageLens:
    """Reconstruct every frame from its hidden state, by a decoder that was fitted to other groups.

    Args:
        features: Features of one site, as `collect_features` returns them, `(n, d)`.
        frames: As `small_frames` returns them, `(n, cameras, row, column, 3)`.
        groups: Group of every frame, such as the cube's spot.
        folds: By default those of the groups.
    """
    labels, x = np.asarray(groups), np.asarray(features, np.float64)
    if not len(x) == len(frames) == len(labels):
        raise InvalidInputError(f"{len(x)} rows, {len(frames)} frames, {len(labels)} groups", field="frames")
    y = frames.reshape(len(frames), -1).astype(np.float32)
    drawn, tested = np.zeros(frames.shape, np.uint8), np.zeros(len(x), bool)
    error, mean_error = np.full(len(x), np.nan), np.full(len(x), np.nan)
    missed = spread = 0.0
    for train, test in group_folds(labels) if folds is None else folds:
        mean = y[train].mean(axis=0)
        # In the span of the training frames: there are fewer frames than pixels.
        left, singular, right = np.linalg.svd(y[train] - mean, full_matrices=False)
        strength = _strength(x[train], left * singular, labels[train])
        guess = ridge_path(x[train], left * singular, x[test], [strength])[0] @ right + mean
        shown = np.clip(np.rint(guess), 0, 255)
        drawn[test], tested[test] = shown.astype(np.uint8).reshape(-1, *frames.shape[1:]), True
        error[test] = np.abs(shown - y[test]).mean(axis=1)
        mean_error[test] = np.abs(mean - y[test]).mean(axis=1)
        missed += float(((shown - y[test]) ** 2).sum())
        spread += float(((mean - y[test]) ** 2).sum())
    return ImageLens(drawn, tested, error, mean_error, 1.0 - missed / spread if spread > 0 else float("nan"))


def image_lenses(
    features: Mapping[str, Features], frames: NDArray[np.uint8], groups: ArrayLike
) -> dict[str, ImageLens]:
    """The lens of each site."""
    return {site: image_lens(values, frames, groups) for site, values in features.items()}


def _strength(x: Floats, y: Floats, labels: NDArray[np.generic]) -> float:
    """Ridge strength, chosen by leaving groups out in turn."""
    if len(np.unique(labels)) < 2:
        return _STRENGTHS[len(_STRENGTHS) // 2]
    errors = np.zeros(len(_STRENGTHS))
    for fit, check in group_folds(labels):
        errors += ((ridge_path(x[fit], y[fit], x[check], _STRENGTHS) - y[check]) ** 2).sum(axis=(1, 2))
    return _STRENGTHS[int(errors.argmin())]
