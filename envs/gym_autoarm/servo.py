"""How one joint's servo answers: a position loop with a torque limit, and the friction of its gears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

STALL_TORQUE: Final = 2.94
"""Stall torque of the STS3215 at 12 V, N m; from its datasheet (30 kg cm)."""
SATURATION: Final = math.radians(21.6)
"""Error of position, radians, at which the STS3215 gives its motor all it has, with the P_Coefficient 16 that LeRobot
writes. The error as a share of it is the motor's duty, which the servo reports as its load."""


@dataclass(frozen=True)
class Servo:
    """One joint: its position loop and its gears.

    The motor's torque is `kp * (goal - position) - kv * velocity`, at most `torque_limit`. Against it stand viscous
    friction, `damping * velocity`, which holds the motor's back-EMF too, and dry friction, `frictionloss`.

    Attributes:
        kp: Stiffness, N m / rad.
        kv: Damping of the controller, N m s / rad; a ratio to critical damping where `damping_ratio` is set.
        torque_limit: Largest torque of the motor, N m.
        damping: Viscous friction while the motor is on, N m s / rad.
        frictionloss: Dry friction, N m.
        armature: Rotor inertia seen through the gears, kg m^2.
        damping_ratio: Whether `kv` is relative to critical damping.
        sticks: Whether dry friction holds a resting joint in place. MuJoCo's own friction lets it creep.
        damping_off: Viscous friction while the motor is off, N m s / rad, without back-EMF; `damping` if absent.
        saturation: Error of position, radians, at which the motor is given all there is.
    """

    kp: float
    kv: float = 0.0
    torque_limit: float = STALL_TORQUE
    damping: float = 0.6
    frictionloss: float = 0.052
    armature: float = 0.028
    damping_ratio: bool = False
    sticks: bool = False
    damping_off: float | None = None
    saturation: float = SATURATION


@dataclass(frozen=True)
class Protection:
    """What a servo does when it presses too hard for too long: the gripper's, as LeRobot sets it.

    Attributes:
        overload: Duty, as a share, above which it counts: Overload_Torque.
        seconds: For how long: Protection_Time.
        protective: Largest duty from then on, as a share: Protective_Torque; until a goal asks for no more than
            `overload`.
    """

    overload: float = 0.25
    seconds: float = 2.0
    protective: float = 0.20
