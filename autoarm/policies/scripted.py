"""Baselines that know the task or nothing at all: the ceiling and the floors that every policy is measured against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import Role
from gym_autoarm import spec
from gym_autoarm.expert import Expert, Style
from gym_autoarm.rng import stream

Actions = NDArray[np.float32]

_REST: Final = spec.FPS
"""Steps for which a finished trajectory's last goal is held before the policy is asked again."""
_HOLD: Final = spec.FPS // 2
"""Steps for which a random goal is held: long enough for the arm to get somewhere."""


class TrajectoryPolicy(ABC):
    """Decides once, from the first observation, and then rests at the last goal."""

    name: str
    role: Role = "policy"
    needs_images = False
    decides_once = True

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self._seed = seed
        self._rest: Actions | None = None

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Actions:
        if self._rest is None:
            trajectory = self.plan(observation, info, self._seed)
            self._rest = np.repeat(trajectory[-1:], _REST, axis=0)
            return trajectory
        return self._rest

    @abstractmethod
    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        """Goal positions `(steps, 6)` of the episode."""


class ExpertPolicy(TrajectoryPolicy):
    """The scripted expert: privileged, because it plans from the true poses in `info`."""

    name = "expert"
    role = "ceiling"
    plans_with_model = True

    def __init__(self) -> None:
        self._expert = Expert()

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        return self._expert.plan_for(info, observation["agent_pos"], Style.sample(seed))


class NoOpPolicy(TrajectoryPolicy):
    """Holds the start position."""

    name = "no-op"
    role = "floor"

    def plan(self, observation: Mapping[str, Any], info: Mapping[str, Any], seed: int) -> Actions:
        return np.asarray(observation["agent_pos"], np.float32)[None]


class RandomPolicy:
    """Goals drawn uniformly within the limits, each held for half a second."""

    name = "random"
    role: Role = "floor"
    needs_images = False

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self._rng = stream(seed, "policy", "random")

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Actions:
        goal = self._rng.uniform(spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)
        return np.tile(goal, (_HOLD, 1))
