"""Parking: the arm goes home before it is released, where it rests by itself."""

from __future__ import annotations

import sys

from autoarm_hardware.follower import Follower
from autoarm_hardware.links import Links
from autoarm_hardware.moving import Mover
from autoarm_hardware.safety import Guard
from gym_autoarm.errors import AutoArmError


def park(guard: Guard, mover: Mover, follower: Follower, links: Links) -> bool:
    """Move the arm home, slowly, on a way that touches nothing; whether it got there.

    A failure is said on standard error and not raised: the arm is where it was, and is stopped next. A signal raises.
    """
    print("The arm goes home; Ctrl-C stops it where it is.", file=sys.stderr, flush=True)
    try:
        mover.go(guard, follower.home, links)
    except AutoArmError as error:
        print(f"The arm could not go home: {error}", file=sys.stderr, flush=True)
        return False
    return True
