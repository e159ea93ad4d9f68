"""Radial-basis interpolation between demonstrations, with no more to go by than what the cameras show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.interpolate import RBFInterpolator

from autoarm.dataset import joint_columns
from autoarm.policies.alignment import aligned
from autoarm.policies.lookup import DemonstrationPolicy, read_trajectories, starts
from autoarm.policies.nearest import Standardised, dataset_thumbnails, look, look_spread
from autoarm.policies.scripted import Actions
from gym_autoarm import spec

SMOOTHING: Final = 0.1
"""Of the typical distance between two first looks. Demonstrations of one place differ in style, which is noise here."""


class RbfPolicy(DemonstrationPolicy):
    """Interpolates whole demonstrations, brought to one clock, by their first looks.

    The surface is the sum of one cone about each demonstration (`scipy.interpolate.RBFInterpolator`, kernel `linear`),
    the only classical kernel without a length to choose that is defined in thousands of dimensions. A lookup table
    jumps from one demonstration to the next; this goes from one to the other, and so tells interpolation from memory.
    """

    name = "rbf"
    needs_images = True

    def __init__(self, dataset: Path) -> None:
        super().__init__(dataset)
        states, _, episodes = joint_columns(dataset)
        first = starts(episodes)
        looks = np.concatenate([states[first], dataset_thumbnails(dataset, first)], axis=1)
        self._looks = Standardised(looks, look_spread(looks.shape[1]))
        trajectories = aligned(read_trajectories(dataset))
        self._length = trajectories.shape[1]
        flat = trajectories.reshape(len(trajectories), -1)
        rows = self._looks.rows
        self._alone = flat[0] if len(rows) == 1 else None
        if self._alone is None:
            distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
            smoothing = SMOOTHING * float(np.median(distances[np.triu_indices(len(rows), 1)]))
            self._surface = RBFInterpolator(rows, flat, kernel="linear", smoothing=smoothing, degree=0)

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        flat = self._alone
        if flat is None:
            flat = self._surface(self._looks.scale(look(observation))[None])[0]
        trajectory = np.asarray(flat, np.float32).reshape(self._length, len(spec.JOINTS))
        return np.clip(trajectory, spec.ACTION_LOW, spec.ACTION_HIGH)
