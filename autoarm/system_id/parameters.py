"""The numbers of a joint that a fit looks for, in the form in which a recording shows them.

Motions without load show only ratios: how long a joint lags (`damping / kp`) and how far from its goal it sticks
(`frictionloss / kp`). Stiffness itself shows where gravity pulls a joint away from its goal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gym_autoarm.servo import Servo


@dataclass(frozen=True)
class Parameter:
    """A number that is looked for.

    Attributes:
        low: Least value that is tried.
        high: Largest.
        step: How far the search looks to see what it does: further than the teeth that dry friction gives an error.
    """

    low: float
    high: float
    step: float


STIFFNESS: Final = "stiffness"
LAG: Final = "lag"
STICKING: Final = "sticking"
LIMIT: Final = "limit"

PARAMETERS: Final = {
    STIFFNESS: Parameter(math.log(2.0), math.log(1000.0), 0.05),
    LAG: Parameter(0.001, 0.5, 0.003),
    STICKING: Parameter(0.0, math.radians(8.0), math.radians(0.05)),
    LIMIT: Parameter(math.log(0.3), math.log(6.0), 0.05),
}
"""Logarithm of the stiffness, N m / rad; lag in seconds; sticking in radians; logarithm of the torque limit, N m."""


def values_of(servo: Servo) -> dict[str, float]:
    """The parameters of a servo, its controller's damping counted with its gears'."""
    # A ratio to critical damping, of the rotor alone: the links' inertia changes with the pose.
    unit = 2 * math.sqrt(servo.kp * servo.armature) if servo.damping_ratio else 1.0
    damping = servo.damping + servo.kv * unit
    values = {
        STIFFNESS: math.log(servo.kp),
        LAG: damping / servo.kp,
        STICKING: servo.frictionloss / servo.kp,
        LIMIT: math.log(servo.torque_limit),
    }
    return {name: min(max(value, PARAMETERS[name].low), PARAMETERS[name].high) for name, value in values.items()}


def servo_with(servo: Servo, values: Mapping[str, float]) -> Servo:
    """A servo with these parameters and otherwise the numbers of `servo`; its dry friction holds."""
    kp = math.exp(values[STIFFNESS])
    return replace(
        servo,
        kp=kp,
        kv=0.0,
        damping=values[LAG] * kp,
        frictionloss=values[STICKING] * kp,
        torque_limit=math.exp(values[LIMIT]),
        damping_ratio=False,
        sticks=True,
    )


def at_bound(name: str, value: float) -> bool:
    """Whether a value is where the search may go no further; no friction at all is a finding, not a bound."""
    parameter = PARAMETERS[name]
    near = 0.01 * (parameter.high - parameter.low)
    return value > parameter.high - near or (name != STICKING and value < parameter.low + near)
