"""Answers that come late: what an arm does between the moment a policy looks and the first action it decides on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import Latency

Actions = NDArray[np.float64]


class LateAnswers:
    """From the answers of a policy to the actions of the arm, through one episode.

    A policy that looks at step t is waited for until step t + `latency.steps`. Meanwhile the arm goes on with what is
    left of the last answer; where nothing is left, it holds its last goal. Then the new answer begins with its first
    action, and after `latency.chunk` actions of it the policy looks again. Nobody asks while an answer is awaited: a
    policy that wants to be asked at every step waits at every step. One that decides once, for the whole episode, is
    waited for like any other, but its answer is never cut: looking again would change nothing of its plan.

    Args:
        latency: How late answers come.
        position: Where the arm is before the first, `(6,)`: there it waits.
        is_cut: Whether an answer ends after `latency.chunk` actions.
    """

    def __init__(self, latency: Latency, position: NDArray[np.floating], is_cut: bool) -> None:
        self._steps = latency.steps
        self._chunk = latency.chunk if is_cut else None
        self._goal = np.asarray(position, np.float64)[None]
        self._left: Actions = np.empty((0, self._goal.shape[1]))

    def take(self, answer: Actions) -> Actions:
        """What the arm does until the policy looks again, `(n, 6)`, now that it has decided on `answer` `(m, 6)`."""
        before = self._left[: self._steps]
        last = before[-1:] if len(before) else self._goal
        held = np.repeat(last, self._steps - len(before), axis=0)
        now = answer[: self._chunk]
        self._left, self._goal = answer[len(now) :], now[-1:]
        return np.concatenate([before, held, now])
