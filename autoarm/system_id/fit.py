"""Find the gains with which the simulated arm answers as another one did.

Stiffness and damping of the servos, the delay of commands and the play of the gears are found, one of each for all
joints. Friction of the gears and torque limits are left as they are: damping of servo and gear add up, and without
loads near the limit the torque limits do not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, least_squares

from autoarm.system_id.response import rms, simulate
from autoarm.system_id.trajectory import Recording
from gym_autoarm import spec
from gym_autoarm.scene import Body

Vector = NDArray[np.float64]

LONGEST_LATENCY: Final = 6
"""Largest latency that is tried, in control steps: a fifth of a second."""
_ROUNDS: Final = 4
"""Most rounds of fitting gains and latency in turn; the second usually confirms the first."""
_LOW: Final = np.array([math.log(2.0), math.log(1e-3), 0.0])
_HIGH: Final = np.array([math.log(5000.0), math.log(50.0), 8.0])
"""Bounds of log stiffness (N m / rad), log damping (N m s / rad) and play (degrees)."""
_STARTS: Final = ((math.log(20.0), math.log(0.02)), (math.log(60.0), math.log(1.0)))
"""Log stiffness and damping from which the search may begin too: soft gains have another valley than stiff ones."""
_LATENCIES: Final = (0, 2, 4)
_PRECISION: Final = 0.05
"""Degrees; half an encoder's tick. What is smaller is not worth a search."""


@dataclass(frozen=True)
class Fit:
    """Gains that explain a recording.

    Attributes:
        body: The body with these gains.
        before: Root mean square difference between arm and simulation before, over all joints compared.
        after: That difference with these gains.
        doubt: Factor within which stiffness and damping, and degrees within which the play, are known (95 %), as the
            scatter of what is left has it: `kp`, `kv`, `backlash`.
        simulations: How many simulations the search took.
    """

    body: Body
    before: float
    after: float
    doubt: dict[str, float]
    simulations: int


def fit(
    recording: Recording,
    body: Body | None = None,
    on_progress: Callable[[int, float], None] = lambda count, error: None,
) -> Fit:
    """The gains, latency and play that explain a recording best, by least squares.

    Args:
        recording: What an arm did.
        body: Body that the search begins from; its other properties stay.
        on_progress: Told, after every simulation, how many there were and the least error so far.
    """
    search = _Search(recording, body or Body(), on_progress)
    before = search.error(search.body)
    valleys = [search.descend(x, latency) for x, latency in search.starts()]
    best = min(valleys, key=lambda valley: rms(valley.left))
    found = search.made(best.x, best.latency)
    return Fit(found, before, rms(best.left), _doubt(best.jacobian, best.left), search.count)


@dataclass(frozen=True)
class _Valley:
    """Where a descent has ended: parameters, latency, derivatives there, and what is left."""

    x: Vector
    latency: int
    jacobian: NDArray[np.float64]
    left: Vector


class _Search:
    def __init__(self, recording: Recording, body: Body, on_progress: Callable[[int, float], None]) -> None:
        # A ratio to critical damping would mean another thing at every stiffness.
        self.body = replace(body, gains=replace(body.gains, damping_ratio=False))
        self._recording = recording
        self._columns = [spec.JOINTS.index(joint) for joint in recording.compared]
        self._on_progress = on_progress
        self._least = math.inf
        self.count = 0

    def residual(self, body: Body) -> Vector:
        """Simulated minus recorded, degrees, flat."""
        there = simulate(self._recording.trajectory, body)
        difference = np.asarray((there - self._recording.positions)[:, self._columns].ravel())
        self.count += 1
        self._least = min(self._least, rms(difference))
        self._on_progress(self.count, self._least)
        return difference

    def error(self, body: Body) -> float:
        """Root mean square of the residual."""
        return rms(self.residual(body))

    def made(self, x: Vector, latency: int) -> Body:
        """The body of parameters `(3,)`: see `_LOW`."""
        gains = replace(self.body.gains, kp=math.exp(x[0]), kv=math.exp(x[1]))
        return Body(gains, latency, float(x[2]))

    def starts(self) -> list[tuple[Vector, int]]:
        """Where to begin: gains, each with its best latency, and of several gains the two best."""
        own = (math.log(self.body.gains.kp), math.log(max(self.body.gains.kv, 2e-3)))
        rated = []
        for start in (own, *_STARTS):
            x = np.clip([*start, self.body.backlash], _LOW, _HIGH)
            error, latency = min((self.error(self.made(x, latency)), latency) for latency in _LATENCIES)
            rated.append((error, latency, x))
        rated.sort(key=lambda each: each[:2])
        return [(x, latency) for _, latency, x in rated[:2]]

    def descend(self, x: Vector, latency: int) -> _Valley:
        """Gains and latency in turn, until the latency stays."""
        for _ in range(_ROUNDS):
            valley = self._gains(x, latency)
            x, latency = valley.x, self._latency(valley.x, latency)
            if latency == valley.latency:
                break
        return valley

    def _latency(self, x: Vector, near: int) -> int:
        """The best number of control steps with given gains."""
        # The error has one valley along it: walk down.
        known: dict[int, float] = {}

        def error(latency: int) -> float:
            if latency not in known:
                known[latency] = self.error(self.made(x, latency))
            return known[latency]

        while True:
            around = [step for step in (near - 1, near, near + 1) if 0 <= step <= LONGEST_LATENCY]
            best = min(around, key=error)
            if best == near:
                return near
            near = best

    def _gains(self, x: Vector, latency: int) -> _Valley:
        """The best gains and play with a given latency."""

        def residual(each: Vector) -> Vector:
            return self.residual(self.made(each, latency))

        found = least_squares(
            residual,
            np.clip(x, _LOW + 1e-3, _HIGH - 1e-3),
            bounds=Bounds(_LOW, _HIGH),
            # Dry friction makes the error jagged: look further than its teeth are wide.
            diff_step=np.full(3, 0.02),
            ftol=1e-3,
            xtol=1e-3,
            max_nfev=15,
        )
        return _Valley(found.x, latency, np.asarray(found.jac), found.fun)


def _doubt(jacobian: NDArray[np.float64], left: Vector) -> dict[str, float]:
    """Half widths of 95 % intervals: factors for the logarithmic ones."""
    # Neighbouring steps err alike: a tenth of them counts.
    scatter = max(rms(left), _PRECISION) ** 2
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * scatter * 10
    width = 1.96 * np.sqrt(np.diag(covariance))
    return {"kp": math.exp(min(width[0], 50.0)), "kv": math.exp(min(width[1], 50.0)), "backlash": float(width[2])}
