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
"""Joint positions, in the contract's units `(6,)`, where the hand wants the arm after so many seconds."""

Motion = Literal["rest", "wave", "sweep"]

_PAUSE: Final = 3.0
_SWEEP: Final = 2.5
SWEEP_PERIOD: Final = _PAUSE + _SWEEP * len(spec.JOINTS)
"""Seconds after which `sweep` begins again."""
_MIDDLE: Final = (spec.ACTION_LOW.astype(np.float64) + spec.ACTION_HIGH) / 2
_REACH: Final = (spec.ACTION_HIGH.astype(np.float64) - spec.ACTION_LOW) / 2
_WAVE: Final = np.array([20.0, 0.0, 0.0, 10.0, 20.0, 30.0])


def hand(motion: Motion) -> Hand:
    """The hand that makes a motion: see the functions below."""
    return {"rest": rest, "wave": wave, "sweep": sweep}[motion]


def rest(_: float) -> NDArray[np.float64]:
    """Keeps the arm folded beside the work area."""
    return np.array(HOME)


def wave(seconds: float) -> NDArray[np.float64]:
    """Swings about there, slowly enough for any follower, touching nothing: 5 s a swing."""
    return np.array(HOME) + _WAVE * math.sin(2 * math.pi * seconds / 5.0)


def sweep(seconds: float) -> NDArray[np.float64]:
    """What LeRobot's calibration asks for: the middle of all ranges for 3 s, then joint by joint through its range."""
    position = _MIDDLE.copy()
    joint, part = divmod(seconds % SWEEP_PERIOD - _PAUSE, _SWEEP)
    if joint >= 0:
        # A little further than the joint goes: a person pushes until the stop.
        position[int(joint)] += 1.05 * _REACH[int(joint)] * math.sin(2 * math.pi * part / _SWEEP)
    return position
