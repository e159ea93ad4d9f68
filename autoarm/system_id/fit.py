"""Find the servos with which the simulated arm answers as a recorded one did, by least squares.

The joints hardly act on each other's errors, so that one simulation tells all of them at once what a change of one
number each does: a step of the search takes some six simulations, whatever the number of joints.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.system_id.motion import Vector
from autoarm.system_id.parameters import PARAMETERS, servo_with, values_of
from autoarm.system_id.simulation import simulate
from autoarm.system_id.stretches import Stretch
from gym_autoarm import spec
from gym_autoarm.body import Body

_TRUST: Final = (1e-3, 0.3)
"""Levenberg's and Marquardt's damping, relative: a bold step and a careful one; each joint takes the better."""
_STEPS: Final = 12
_ENOUGH: Final = 1e-3
"""Share by which a step must lower a joint's squared error for the joint to be searched further."""
_OUTLIER: Final = 3.0
"""A stretch whose error is so many times the usual one weighs no more than if it were just that: a joint was stuck."""

Values = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Linearised:
    """How the errors of a joint depend on its parameters, where the search has ended.

    Attributes:
        residuals: Simulated minus recorded, degrees, a vector for each stretch.
        slopes: Their derivatives, `(samples, parameters)` for each stretch.
        weights: Weight of each stretch.
    """

    residuals: list[Vector]
    slopes: list[NDArray[np.float64]]
    weights: Vector


@dataclass(frozen=True)
class Search:
    """Where a search has ended.

    Attributes:
        body: The body with what was found.
        values: All parameters of each joint searched, found or kept.
        linear: The joints' errors there.
    """

    body: Body
    values: Values
    linear: dict[str, Linearised]


def search(
    stretches: Sequence[Stretch],
    body: Body,
    wanted: Mapping[str, Sequence[str]],
    on_step: Callable[[int], None] = lambda simulations: None,
    most: int = _STEPS,
) -> Search:
    """The parameters `wanted`, by joint, that explain the stretches best, from those of `body`.

    Args:
        stretches: What was recorded.
        body: Where the search begins; what is not wanted stays.
        wanted: Names of parameters, by joint.
        on_step: Told the number of simulations so far.
        most: Largest number of steps.
    """
    values = {joint: values_of(servo) for joint, servo in zip(spec.JOINTS, body.servos, strict=True) if joint in wanted}
    run = _Simulations(stretches, body, on_step)
    left = run.residuals(values)
    usual = {joint: _usual(left[joint], stretches, joint) for joint in wanted}
    active = set(wanted)
    for _ in range(most):
        linear = _linearise(run, values, wanted, left, usual)
        proposals = [_propose(values, wanted, linear, trust, active) for trust in _TRUST]
        outcomes = [run.residuals(proposal) for proposal in proposals]
        taken = set()
        for joint in sorted(active):
            now = _cost(left[joint], usual[joint])
            costs = [_cost(outcome[joint], usual[joint]) for outcome in outcomes]
            best = int(np.argmin(costs))
            if costs[best] < now:
                values[joint] = proposals[best][joint]
            if costs[best] < now * (1 - _ENOUGH):
                taken.add(joint)
        active = taken
        left = run.residuals(values)
        usual = {joint: _usual(left[joint], stretches, joint) for joint in wanted}
        if not active:
            break
    # The last step was small: the slopes before it are those after it.
    return Search(
        _with_values(body, values), values, {j: replace(each, residuals=left[j]) for j, each in linear.items()}
    )


def without(
    found: Search, stretches: Sequence[Stretch], wanted: Mapping[str, Sequence[str]], left_out: Collection[str]
) -> Body:
    """The body that the same search gives without some recordings, by one step from where it has ended with them.

    Args:
        found: Where the search has ended.
        stretches: What it has seen.
        wanted: The parameters that it has looked for, by joint.
        left_out: Names of the recordings to do without.
    """
    kept = [number for number, stretch in enumerate(stretches) if stretch.source not in left_out]
    fewer = {
        joint: Linearised([each.residuals[i] for i in kept], [each.slopes[i] for i in kept], each.weights[kept])
        for joint, each in found.linear.items()
    }
    values = _propose(found.values, wanted, fewer, _TRUST[0], set(wanted))
    return _with_values(found.body, values)


def _with_values(body: Body, values: Values) -> Body:
    servos = zip(spec.JOINTS, body.servos, strict=True)
    return replace(body, servos=tuple(servo_with(each, values.get(name) or values_of(each)) for name, each in servos))


class _Simulations:
    def __init__(self, stretches: Sequence[Stretch], body: Body, on_step: Callable[[int], None]) -> None:
        self._stretches = stretches
        self._body = body
        self._on_step = on_step
        self._count = 0

    def residuals(self, values: Values) -> dict[str, list[Vector]]:
        """Simulated minus recorded, by joint and stretch, degrees."""
        paths = simulate([stretch.motion for stretch in self._stretches], _with_values(self._body, values))
        self._count += 1
        self._on_step(self._count)
        return {joint: [each.residual(path, joint) for each, path in zip(self._stretches, paths, strict=True)]
                for joint in values}  # fmt: skip


def _linearise(
    run: _Simulations,
    values: Values,
    wanted: Mapping[str, Sequence[str]],
    left: dict[str, list[Vector]],
    usual: dict[str, float],
) -> dict[str, Linearised]:
    columns: dict[str, list[list[Vector]]] = {joint: [] for joint in wanted}
    for number in range(max(map(len, wanted.values()))):
        moved = {joint: dict(each) for joint, each in values.items()}
        steps = {}
        for joint, names in wanted.items():
            if number < len(names):
                parameter = PARAMETERS[names[number]]
                value = values[joint][names[number]]
                # Away from the nearer bound.
                steps[joint] = parameter.step if value < (parameter.low + parameter.high) / 2 else -parameter.step
                moved[joint][names[number]] = value + steps[joint]
        there = run.residuals(moved)
        for joint, step in steps.items():
            columns[joint].append([(new - old) / step for new, old in zip(there[joint], left[joint], strict=True)])
    return {
        joint: Linearised(
            left[joint],
            [np.stack(parts, axis=1) for parts in zip(*columns[joint], strict=True)],
            np.array([_weight(each, usual[joint]) for each in left[joint]]),
        )
        for joint in wanted
    }


def _propose(
    values: Values,
    wanted: Mapping[str, Sequence[str]],
    linear: dict[str, Linearised],
    trust: float,
    active: set[str],
) -> Values:
    """Parameters after a step of Gauss and Newton, shortened by `trust`, for the joints that are still searched."""
    proposal = {joint: dict(each) for joint, each in values.items()}
    for joint in active:
        names, each = wanted[joint], linear[joint]
        curvature = sum(w * a.T @ a for w, a in zip(each.weights, each.slopes, strict=True))
        slope = sum(w * a.T @ r for w, a, r in zip(each.weights, each.slopes, each.residuals, strict=True))
        damped = curvature + np.diag(trust * np.diag(curvature) + 1e-12)
        step = -np.linalg.solve(damped, slope)
        for name, change in zip(names, step, strict=True):
            parameter = PARAMETERS[name]
            proposal[joint][name] = float(np.clip(values[joint][name] + change, parameter.low, parameter.high))
    return proposal


def _usual(left: Sequence[Vector], stretches: Sequence[Stretch], joint: str) -> float:
    """The median error of the stretches in which the joint is sent somewhere."""
    sent = [_rms(each) for each, stretch in zip(left, stretches, strict=True) if stretch.sends(joint) and len(each)]
    return float(np.median(sent)) if sent else np.inf


def _weight(residual: Vector, usual: float) -> float:
    error = _rms(residual)
    return 1.0 if error <= _OUTLIER * usual else _OUTLIER * usual / error


def _cost(left: Sequence[Vector], usual: float) -> float:
    """Huber's loss of the stretches' errors."""
    most, total = _OUTLIER * usual, 0.0
    for each in left:
        error = _rms(each)
        total += len(each) * (error**2 if error <= most else 2 * most * error - most**2)
    return total


def _rms(residual: Vector) -> float:
    return float(np.sqrt(np.mean(np.square(residual)))) if len(residual) else 0.0
