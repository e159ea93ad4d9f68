"""Signals that end a program, while an arm is connected: whenever they come, the arm is stopped first.

Python raises `KeyboardInterrupt` for SIGINT (Ctrl-C), and lets SIGTERM (`kill`) and SIGHUP (a closed terminal) end the
program at once, with the motors on. While an arm is connected, all three raise. They wait while it is connected or
stopped, where an exception halfway would leave motors on; and once one has been raised, more of them are ignored until
the arm is disconnected, for two seconds at most, so that impatience does not interrupt what leads to the stop.

Only the main thread receives signals, so that in other threads nothing here has an effect.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

_NUMBERS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)
_PATIENCE: Final = 2.0
"""Seconds after a signal in which more are ignored. Not longer: what it raised may have been caught, and the program
gone on; then the next one must be heard."""


class Terminated(SystemExit):
    """SIGTERM or SIGHUP, raised as `KeyboardInterrupt` is for SIGINT, so that `with` and `finally` do their work.

    If nothing catches it, the program ends without a traceback, with exit code 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return self.signal.name


class _Handling:
    """What this process does about signals. There is one, because handlers are the process's."""

    def __init__(self) -> None:
        self.arms: dict[Hashable, Callable[[], None]] = {}
        """Arms that are connected, and what stops each when the program ends."""
        self.shields = 0
        self.waiting: tuple[int, Any] | None = None
        """The first signal that came behind a shield, and the handler that it had."""
        self._before: dict[int, Any] = {}
        self._quiet_until = -math.inf
        self._process = os.getpid()

    def add(self, arm: Hashable, stop: Callable[[], None]) -> None:
        if not self.arms:
            self._process, self._quiet_until = os.getpid(), -math.inf
            atexit.register(self._stop_all)
        self.arms[arm] = stop
        if _in_main_thread():
            self._install()

    def remove(self, arm: Hashable) -> None:
        if self.arms.pop(arm, None) is not None and not self.arms:
            atexit.unregister(self._stop_all)
            if _in_main_thread():
                self._restore()

    def raise_waiting(self) -> None:
        if self.waiting is not None:
            self._raise(*self.waiting, None)

    def _install(self) -> None:
        for number in _NUMBERS:
            before = signal.getsignal(number)
            # Ignored on purpose, as SIGHUP under nohup, or handled by a library that is not Python's.
            if before not in (signal.SIG_IGN, None, self._arrive):
                self._before[number] = before
                signal.signal(number, self._arrive)

    def _restore(self) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._arrive:
                signal.signal(number, before)
        self._before.clear()

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if not self.arms or os.getpid() != self._process:
            # The last arm was disconnected by another thread, or this is a child that was forked: as if never here.
            self._restore()
            signal.raise_signal(number)
        elif time.monotonic() < self._quiet_until:
            return
        elif self.shields:
            self.waiting = self.waiting or (number, self._before[number])
        else:
            self._raise(number, self._before[number], frame)

    def _raise(self, number: int, before: Any, frame: FrameType | None) -> None:
        self.waiting = None
        self._quiet_until = time.monotonic() + _PATIENCE
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)
            self._quiet_until = -math.inf  # the program's own handler has not raised: nothing ends
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise Terminated(number)

    def _stop_all(self) -> None:
        if os.getpid() == self._process:
            with shield():
                for stop in list(self.arms.values()):
                    with suppress(Exception):
                        stop()


_HANDLING: Final = _Handling()


def connected(arm: Hashable, stop: Callable[[], None]) -> None:
    """From now on, until `disconnected(arm)`, signals that end the program raise.

    Args:
        arm: What stands for the arm.
        stop: Called if the program ends before that. It must end by itself within a second.
    """
    _HANDLING.add(arm, stop)


def disconnected(arm: Hashable) -> None:
    """Signals have their former handlers again, if this was the last arm. Safe to call twice."""
    _HANDLING.remove(arm)


@contextmanager
def shield() -> Iterator[None]:
    """Let signals wait until the block has ended; then the first of them raises, the others are forgotten.

    If one was raised before, and is why the block is run, those that come in the block are ignored.
    """
    if not _in_main_thread():
        yield
        return
    _HANDLING.shields += 1
    try:
        yield
    finally:
        _HANDLING.shields -= 1
        if not _HANDLING.shields:
            _HANDLING.raise_waiting()


def raise_waiting() -> None:
    """Raise a signal that waits, where the block of a `shield` may end early."""
    if _in_main_thread():
        _HANDLING.raise_waiting()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
