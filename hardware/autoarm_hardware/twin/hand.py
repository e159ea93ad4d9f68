"""How a person's hand moves an arm whose motors are off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.scene import HOME

Hand = Callable[[float], NDArray[np.float64]]
"""From seconds to the joint positions `(6,)`, in the contract's units, to which the hand moves the arm."""

Motion = Literal["rest", "wave", "sweep"]

_PAUSE: Final = 3.0
_SWEEP: Final = 2.5
SWEEP_PERIOD: Final = _PAUSE + _SWEEP * len(spec.JOINTS)
"""Seconds after which `sweep` begins again."""
_MIDDLE: Final = (spec.ACTION_LOW.astype(np.float64) + spec.ACTION_HIGH) / 2
_REACH: Final = (spec.ACTION_HIGH.astype(np.float64) - spec.ACTION_LOW) / 2
_WAVE: Final = np.array([20.0, 0.0, 0.0, 10.0, 20.0, 30.0])


def hand(motion: Motion) -> Hand:
    """The hand that makes a motion: `rest`, `wave` or `sweep` below."""
    return {"rest": rest, "wave": wave, "sweep": sweep}[motion]


def rest(_: float) -> NDArray[np.float64]:
    """Hold the arm folded beside the work area."""
    return np.array(HOME)


def wave(seconds: float) -> NDArray[np.float64]:
    """Swing the folded arm to and fro, 5 s a swing: slowly enough for any follower, and clear of the table."""
    return np.array(HOME) + _WAVE * math.sin(2 * math.pi * seconds / 5.0)


def sweep(seconds: float) -> NDArray[np.float64]:
    """Move as LeRobot's calibration asks: 3 s in the middle of all ranges, then each joint through its range."""
    position = _MIDDLE.copy()
    joint, part = divmod(seconds % SWEEP_PERIOD - _PAUSE, _SWEEP)
    if joint >= 0:
        # A little further than the joint goes: a person pushes until the stop.
        position[int(joint)] += 1.05 * _REACH[int(joint)] * math.sin(2 * math.pi * part / _SWEEP)
    return position
