"""Radial-basis interpolation between demonstrations, with no more to go by than what the cameras show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter

from autoarm.data.dataset import joint_columns
from autoarm.policies.alignment import aligned
from autoarm.policies.lookup import DemonstrationPolicy, episode_starts, read_trajectories
from autoarm.policies.nearest import THUMBNAIL, dataset_thumbnails, look
from autoarm.policies.scripted import Actions
from gym_autoarm import spec

BLUR: Final = 4.0
"""Standard deviation in pixels of a thumbnail, some 8 cm of table: as far as the spots lie apart, so that the cube of
one place overlaps with that of the next. Sharp pictures of two places are equally unlike wherever they are."""
COMPONENTS: Final = 4
SMOOTHING: Final = 0.1
"""Relative to the spread of the first component. Demonstrations of one place differ in style, which is noise here."""


class RbfPolicy(DemonstrationPolicy):
    """Interpolates whole demonstrations, brought to one clock, by what was seen before the first action.

    Blurred thumbnails of both views, their principal components, and a thin-plate spline (`RBFInterpolator`) from
    these few numbers to the trajectory. A lookup table jumps from one demonstration to the next; this goes smoothly
    from one to the other, and so tells interpolation from memory.
    """

    name = "rbf"
    needs_images = True

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        _, _, episodes = joint_columns(dataset)
        views = blurred(dataset_thumbnails(dataset, episode_starts(episodes)))
        trajectories = aligned(read_trajectories(dataset))
        self._length = trajectories.shape[1]
        flat = trajectories.reshape(len(trajectories), -1)
        self._mean = views.mean(axis=0)
        _, spread, axes = np.linalg.svd(views - self._mean, full_matrices=False)
        # A spline needs more points than directions; directions in which nothing differs are none.
        count = min(COMPONENTS, len(views) - 1, int(np.sum(spread > 1e-3 * max(spread[0], 1.0))))
        self._axes = axes[:count] * np.sqrt(len(views)) / spread[0] if count else axes[:0]
        self._alone = None if count else flat.mean(axis=0)
        if count:
            self._surface = RBFInterpolator(
                self._place(views), flat, kernel="thin_plate_spline", smoothing=SMOOTHING, degree=1
            )

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        flat = self._alone
        if flat is None:
            thumbnail = look(observation)[len(spec.JOINTS) :]
            flat = self._surface(self._place(blurred(thumbnail[None])))[0]
        trajectory = np.asarray(flat, np.float32).reshape(self._length, len(spec.JOINTS))
        return np.clip(trajectory, spec.ACTION_LOW, spec.ACTION_HIGH)

    def _place(self, views: NDArray[np.float32]) -> NDArray[np.float64]:
        """Where looks `(n, d)` lie along the principal axes, `(n, components)`."""
        return np.asarray((views - self._mean) @ self._axes.T, np.float64)


def blurred(views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thumbnails `(n, d)`, blurred within each view and channel, their mean taken off.

    A video's codec shifts colours by a grey level or so, which is more than a cube leaves of itself in some directions.
    """
    images = views.reshape(len(views), -1, *THUMBNAIL, 3)
    images = images - images.mean(axis=(2, 3), keepdims=True)
    return gaussian_filter(images, (0, 0, BLUR, BLUR, 0)).reshape(views.shape)
