"""The person beside the arm: who lays the cube, and says whether it is in the box."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TextIO

import cv2

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.files import replacing
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene

Verdict = Literal["success", "failure"]


class Operator(Protocol):
    """Whom the environment asks."""

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """Return once the cube lies as in `scene`; `look()` is the live top view with its place drawn in."""
        ...

    def verdict(self) -> Verdict | None:
        """What has been said of the present episode since it was last asked, if anything. Never waits."""
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

    The picture is written to a file over and over: an image viewer that reloads, as most do, is the window.

    Args:
        picture: A PNG file for the top view with the overlay.
        source: The terminal to listen to.

    Raises:
        InvalidInputError: If it is none.
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
        print(f"Lay the cube as {self._picture} shows, then press Enter.", flush=True)
        with _keys(self._source):
            while self._key(0.5) not in ("\r", "\n"):
                _write_picture(self._picture, look())

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
    """Hear single keys, without Enter; Ctrl-C still interrupts."""
    before = termios.tcgetattr(source)
    tty.setcbreak(source, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)


def _write_picture(path: Path, frame: Frame) -> None:
    _, png = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    with replacing(path) as temporary:
        temporary.write_bytes(png.tobytes())
