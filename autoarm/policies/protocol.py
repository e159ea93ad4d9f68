"""What the evaluator asks of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Policy(Protocol):
    """Maps what is seen to a chunk of goal positions.

    Attributes:
        name: How results and reports call it.
        needs_images: Whether it looks at `pixels`; frames are not drawn for one that does not.

    One that reads true poses from the `info` of `act`, which only simulation knows, says so by an attribute
    `needs_poses`; at reset every body tells them. One that plans with the simulated arm's links, which another arm does
    not have, says so by `plans_with_model`. One that was trained says by `joint_range` between which joint positions.
    One that looks at the first observation alone, and plans the whole episode, says so by `decides_once`.
    """

    name: str
    needs_images: bool

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        """Forget the last episode.

        Args:
            seed: Seed of the episode; the only source of randomness a policy may use.
            info: What the environment says at reset. A privileged policy may read the true poses from it.
        """
        ...

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The next actions `(n, 6)`, n >= 1, in the contract's units, to be executed before it is asked again."""
        ...
