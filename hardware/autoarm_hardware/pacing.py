"""A constant rate on a machine with other load, and a measurement of how constant it was."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from gym_autoarm.errors import AutoArmError, InvalidInputError

_WALL: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that goes on while the machine is asleep; on Linux, unlike macOS, the monotonic one stands still then."""


class LateError(AutoArmError, RuntimeError):
    """The machine was asleep, or too busy, between two commands to an arm."""


class Clock(Protocol):
    """A clock that can be waited on: wall time, or a simulated one."""

    def now(self) -> float:
        """Seconds since a fixed moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class WallClock:
    """Wall time."""

    def now(self) -> float:
        """Seconds since the machine was started, asleep or awake."""
        return time.clock_gettime(_WALL)

    def sleep(self, seconds: float) -> None:
        """Sleep, while other threads run."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class Timing:
    """How constant the rate was. Jitter is the absolute difference between a period and its nominal length, seconds.

    Attributes:
        steps: Number of periods that were timed.
        median_jitter: Median jitter; NaN before the first period.
        p95_jitter: 95th percentile of the jitter.
        worst_jitter: Largest jitter.
        missed: Number of periods that took more than twice their nominal length.
    """

    steps: int
    median_jitter: float
    p95_jitter: float
    worst_jitter: float
    missed: int

    def __str__(self) -> str:
        return (
            f"{self.steps} periods; jitter {1000 * self.median_jitter:.2f} ms (median), "
            f"{1000 * self.p95_jitter:.2f} ms (95 %), {1000 * self.worst_jitter:.2f} ms (worst); {self.missed} missed"
        )


class Heartbeat:
    """Notices when a machine stood still between two commands.

    Args:
        limit: Longest time between two beats, seconds.
        clock: The clock that it is measured by.
    """

    def __init__(self, limit: float, clock: Clock) -> None:
        self._limit, self._clock = limit, clock
        self._last = -math.inf

    def start(self, excused: float) -> None:
        """Begin now; time before does not count. `excused`: see `beat`."""
        self._last = self._clock.now() - excused

    def beat(self, excused: float) -> None:
        """Say that the machine is awake.

        Args:
            excused: Seconds, all together so far, that went by for a known reason.

        Raises:
            LateError: If the last beat, or the start, was too long ago.
        """
        now = self._clock.now() - excused
        late, self._last = now - self._last, now
        if late > self._limit:
            raise LateError(
                f"the machine was asleep or too busy: {late:.2f} s went by between two commands, {self._limit:g} s are"
                " allowed; the arm was stopped",
                field="limits.gap",
                cure="close other programs, plug the machine in, and keep it from being suspended",
            )


class Pacer:
    """Ticks `rate` times a second.

    A late tick does not delay the next one. After a tick that is more than a period late, counting starts anew: missed
    ticks are not made up for.

    Args:
        rate: Ticks a second.
        clock: The clock to wait on; wall time if nothing is given.
    """

    def __init__(self, rate: float, clock: Clock | None = None) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise InvalidInputError(f"{rate} is no rate", field="rate", cure="give a positive number")
        self._period = 1 / rate
        self._clock = clock or WallClock()
        self._due: float | None = None
        self._last: float | None = None
        self._periods: list[float] = []

    def start(self) -> None:
        """Begin now: the first tick is a period away, and time before does not count."""
        self._due = self._clock.now() + self._period
        self._last = None

    def wait(self) -> None:
        """Wait for the next tick."""
        if self._due is None:
            self.start()
        assert self._due is not None
        while (left := self._due - self._clock.now()) > 0:
            self._clock.sleep(left)
        now = self._clock.now()
        if self._last is not None:
            self._periods.append(now - self._last)
        self._last = now
        self._due = max(self._due + self._period, now)

    def pause(self) -> None:
        """Leave the time until the next tick out of the measurement."""
        self._last = None

    def timing(self) -> Timing:
        """The measurement over all ticks so far."""
        if not self._periods:
            return Timing(0, math.nan, math.nan, math.nan, 0)
        periods = np.array(self._periods)
        jitter = np.abs(periods - self._period)
        return Timing(
            steps=len(periods),
            median_jitter=float(np.median(jitter)),
            p95_jitter=float(np.percentile(jitter, 95)),
            worst_jitter=float(jitter.max()),
            missed=int((periods > 2 * self._period).sum()),
        )
