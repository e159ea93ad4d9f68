"""Moving a guarded arm at the contract's rate: one goal a thirtieth of a second, and slowly from place to place."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.follower import Follower
from autoarm_hardware.links import Links
from autoarm_hardware.pacing import Clock, Heartbeat, Pacer, Timing
from autoarm_hardware.planning import along, plan_way
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import ServoError
from gym_autoarm import spec

Vector = NDArray[np.float64]

SLOW: Final = 60.0
"""Degrees a second at which the arm goes from place to place: slowly enough to get a hand out of the way."""
_PAN: Final = spec.JOINTS.index("shoulder_pan")


class Mover:
    """Paces the goals that go to an arm, and notices when the machine stood still between two of them.

    Args:
        follower: The arm's limits.
        clock: The clock that steps are paced by.
        gap: Longest time between two goals, seconds; see `Limits`.
    """

    def __init__(self, follower: Follower, clock: Clock, gap: float) -> None:
        self._follower = follower
        self._pacer, self._heartbeat = Pacer(spec.FPS, clock), Heartbeat(gap, clock)
        self.sent: Vector = np.full(len(spec.JOINTS), np.nan)
        """The goal `(6,)` that was sent last."""

    @property
    def timing(self) -> Timing:
        """How evenly goals were sent so far, between places not counted."""
        return self._pacer.timing()

    def start(self, guard: Guard) -> None:
        """Begin: the time until the next goal does not count, a policy or a person may take it."""
        self._heartbeat.start(guard.waited)

    def tick(self, guard: Guard, goal: Vector) -> Vector:
        """Send a goal, wait for the next tick, and return the position `(6,)` then.

        Raises:
            ServoError: If a servo fails.
            LateError: If too much time went by since the last goal.
        """
        self._heartbeat.beat(guard.waited)
        try:
            self.sent = guard.send(goal)
            guard.watch()
            self._pacer.wait()
            position = guard.position()
        except ServoError:
            # A machine that slept has missed the answers: then that is the error, not a cable.
            self._heartbeat.beat(guard.waited)
            raise
        self._heartbeat.beat(guard.waited)
        return position

    def go(self, guard: Guard, goal: Vector, links: Links | None) -> None:
        """Move the arm to a goal slowly, on a way that touches nothing.

        Args:
            guard: The arm.
            goal: Joint positions `(6,)`.
            links: The arm's links and what is around them. If they are not known, all joints but the pan move, then
                the pan, whatever is in the way.

        Raises:
            UnreachablePoseError: If there is no such way; nothing has moved.
        """
        here = np.clip(guard.position(), self._follower.low, self._follower.high)
        if links is None:
            turned_last = goal.copy()
            turned_last[_PAN] = here[_PAN]
            way = [here, turned_last, goal]
        else:
            way = plan_way(here, goal, links)
        self._pacer.start()
        self.start(guard)
        for position in along(way, SLOW / spec.FPS):
            self.tick(guard, position)
        self._pacer.pause()
