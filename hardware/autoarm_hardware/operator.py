"""The operator beside the arm: places the cube, and says whether it is in the box."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TextIO

from autoarm_hardware.pictures import write_picture
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene

Verdict = Literal["success", "failure"]

PICTURE: Final = Path("autoarm-top-view.png")
"""Where a person at a terminal finds the live top view with the cube's place drawn in."""


class Operator(Protocol):
    """Places the cube and decides on success, for the real environment."""

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """Return once the cube lies as in `scene`; `look()` is the live top view with the cube's place drawn in."""
        ...

    def verdict(self) -> Verdict | None:
        """The verdict on the present episode since the last call; `None` if there is none. Does not wait."""
        ...


@dataclass(frozen=True)
class Callbacks:
    """An operator made of functions: for programs with a window of their own, and for tests.

    Attributes:
        on_place: Called at reset with a function that gives the live top view with the overlay.
        on_verdict: Called at every step.
    """

    on_place: Callable[[Callable[[], Frame]], None] = lambda look: None
    on_verdict: Callable[[], Verdict | None] = lambda: None

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """See `Operator`."""
        self.on_place(look)

    def verdict(self) -> Verdict | None:
        """See `Operator`."""
        return self.on_verdict()


class Terminal:
    """An operator at a terminal: Enter when the cube lies, `s` for success, `f` for failure.

    The top view is written to a file twice a second: an image viewer that reloads shows it live.

    Args:
        picture: A PNG file for the top view with the overlay.
        source: The terminal whose keys are read; standard input if nothing is given.

    Raises:
        InvalidInputError: If `source` is not a terminal.
    """

    def __init__(self, picture: Path, source: TextIO | None = None) -> None:
        self._picture = picture
        self._source = source or sys.stdin
        if not self._source.isatty():
            raise InvalidInputError(
                "there is no terminal to ask the operator at",
                field="operator",
                cure="run it in a terminal, or give callbacks (autoarm_hardware.operator.Callbacks)",
            )

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """See `Operator`."""
        print(f"Put the cube where {self._picture} shows it, then press Enter.", flush=True)
        with _keys(self._source):
            while self._key(0.5) not in ("\r", "\n"):
                write_picture(self._picture, look())

    def verdict(self) -> Verdict | None:
        """See `Operator`."""
        with _keys(self._source):
            match self._key(0.0):
                case "s":
                    return "success"
                case "f":
                    return "failure"
        return None

    def _key(self, seconds: float) -> str | None:
        ready, _, _ = select.select([self._source], [], [], seconds)
        return os.read(self._source.fileno(), 1).decode(errors="replace") if ready else None


@contextmanager
def _keys(source: TextIO) -> Iterator[None]:
    """Read single keys, without Enter; Ctrl-C still interrupts."""
    before = termios.tcgetattr(source)
    tty.setcbreak(source, termios.TCSANOW)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal may have been closed, which is why this ends
            termios.tcsetattr(source, termios.TCSANOW, before)
