"""A steady rate on a machine that does other things too, and how steady it was."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gym_autoarm.errors import InvalidInputError


class Clock(Protocol):
    """Whose seconds count."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class WallClock:
    """The world's seconds."""

    def now(self) -> float:
        """Of `time.perf_counter`."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let others run meanwhile."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class Timing:
    """How steady the rate was.

    Attributes:
        steps: Periods that were timed.
        median_jitter: Median of how far a period was from what it should be, seconds; NaN before the first.
        p95_jitter: Its 95th percentile.
        worst_jitter: Its largest.
        missed: Periods that were longer than two.
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


class Pacer:
    """Ticks `rate` times a second.

    A tick that comes late does not delay the next, but for those that are a whole period late: what was missed is not
    made up for, because an arm cannot.

    Args:
        rate: Ticks a second.
        clock: Whose.
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
        """Begin now: the first tick is a period away, and what was before does not count as one."""
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
        """What takes time now is no period: the next tick is timed from itself."""
        self._last = None

    def timing(self) -> Timing:
        """Of all ticks so far."""
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
