"""A checkpoint that acts as always, with a warning when an observation is unlike its training data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.model.tokens import check_act
from autoarm.interp.model.wrapped_policy import WrappedPolicy
from autoarm.interp.ood.detectors import DETECTOR, Detector
from autoarm.policies.protocol import Policy
from autoarm.results.result import PolicyRecord
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy


class WatchedPolicy(WrappedPolicy):
    """A LeRobot ACT checkpoint as a `Policy`, watched by a detector that does not change its actions.

    The detector scores each observation that the policy acts on. The first unfamiliar one of an episode is reported on
    standard error, from worker processes too.

    Args:
        reference: An ACT policy, as `load_policy` takes it. Each process loads its own.
        detector: File that `autoarm interp ood` wrote for this policy, or the folder it lies in.
        device: Torch device.
        image_size: Height and width of the frames that it will get.

    Raises:
        InvalidFileError: If the file is no detector.
        IncompatiblePolicyError: If the policy is no ACT, or the detector was fitted to another one.
    """

    def __init__(
        self,
        reference: str,
        detector: Path,
        device: str = "cpu",
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
    ) -> None:
        super().__init__(reference, device, image_size)
        self._file = detector / DETECTOR if detector.is_dir() else detector
        # Loaded now rather than in a worker, where an error would cost an episode each time.
        self._detector = Detector.load(self._file, self.inner.describe().sha256)
        self.name = self.inner.name
        self.scores: list[float] = []
        self._seed = 0
        self._step = 0
        self._warned = False

    def _accept(self, loaded: Policy) -> LeRobotPolicy:
        from autoarm.policies.lerobot import LeRobotPolicy

        if not isinstance(loaded, LeRobotPolicy):
            raise IncompatiblePolicyError(
                f"{self._arguments[0]!r} is no network", field="ood", cure="watch a checkpoint of LeRobot's ACT"
            )
        check_act(loaded.policy)
        return loaded

    def describe(self) -> PolicyRecord:
        """The checkpoint's record: watching changes nothing."""
        return self.inner.describe()

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self.inner.reset(seed, info)
        self.scores, self._seed, self._step, self._warned = [], seed, 0, False

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        batch = self.inner.batch(observation)
        score = float(self._detector.distance.scores(self.inner.policy, [batch])[0]) / self._detector.threshold
        self.scores.append(score)
        if score > 1 and not self._warned:
            self._warned = True
            print(
                f"seed {self._seed}, step {self._step}: unlike the training data ({score:.2f} of the threshold)",
                file=sys.stderr,
                flush=True,
            )
        actions = self.inner.act(observation, info)
        self._step += len(actions)
        return actions
