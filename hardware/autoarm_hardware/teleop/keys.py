"""The keys of a terminal, and the events of an episode that they stand for."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Protocol

from gym_autoarm.errors import InvalidInputError


class Event(Enum):
    """What a person decides about the episode."""

    START = "start"
    KEEP = "keep"
    REPEAT = "repeat"
    PAUSE = "pause"
    SUCCESS = "success"
    FAILURE = "failure"
    QUIT = "quit"


EVENTS: Final = {
    "enter": Event.START,
    "right": Event.KEEP,
    "n": Event.KEEP,
    "left": Event.REPEAT,
    "r": Event.REPEAT,
    "esc": Event.QUIT,
    "q": Event.QUIT,
    "space": Event.PAUSE,
    "s": Event.SUCCESS,
    "f": Event.FAILURE,
}
"""The event of each key; keys of `lerobot-record` mean the same as there."""

HELP: Final = (
    "Enter starts an episode, n (→) ends it and keeps it, r (←) discards it and repeats it, space pauses, "
    "s says success and f failure, q (Esc) quits"
)


class Keys(Protocol):
    """A source of key presses."""

    is_there: bool
    """Whether there is a keyboard."""

    def take(self) -> list[str]:
        """The keys pressed since they were last taken, by LeRobot's names: characters, `left`, `enter`, `space` ..."""
        ...

    def wait(self, seconds: float) -> None:
        """Let so much time pass, or less if a key is pressed."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was. Safe to call twice."""
        ...


class NoKeys:
    """No keyboard: no key is ever pressed."""

    is_there = False

    def take(self) -> list[str]:
        """See `Keys`."""
        return []

    def wait(self, seconds: float) -> None:
        """See `Keys`."""
        time.sleep(seconds)

    def close(self) -> None:
        """See `Keys`."""


class TerminalKeys:
    """The keys of the terminal that the program runs in, read by LeRobot's `TerminalKeyListener`.

    LeRobot's other listener, pynput, receives what is typed into any window, and would move a real arm by it.

    Raises:
        InvalidInputError: If there is no terminal.
    """

    is_there = True

    def __init__(self) -> None:
        if not sys.stdin.isatty():
            raise InvalidInputError(
                "there is no terminal to read keys from", field="teleop", cure="run it in a terminal"
            )
        from lerobot.utils.keyboard_input import TerminalKeyListener

        self._pressed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._next: list[str] = []
        self._listener: Any = TerminalKeyListener(self._pressed.put)
        self._listener.start()

    def take(self) -> list[str]:
        """See `Keys`."""
        taken, self._next = self._next, []
        while not self._pressed.empty():
            taken.append(self._pressed.get())
        return taken

    def wait(self, seconds: float) -> None:
        """See `Keys`."""
        try:
            self._next.append(self._pressed.get(timeout=seconds))
        except queue.Empty:
            return

    def close(self) -> None:
        """See `Keys`."""
        self._listener.stop()


def events(pressed: Iterable[str]) -> list[Event]:
    """The events of the keys pressed; keys without one are left out."""
    return [EVENTS[key.lower()] for key in pressed if key.lower() in EVENTS]
