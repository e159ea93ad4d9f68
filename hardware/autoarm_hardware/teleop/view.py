"""A live view of what the arm sees and does, in rerun's viewer or in a file for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.extras import missing_extra
from gym_autoarm.files import replacing
from gym_autoarm.rendering import Frame

LIVE: Final = "live"
"""The target that opens rerun's window instead of writing a file."""
_SUFFIX: Final = ".rrd"
_QUALITY: Final = 80
"""Quality of the JPEGs, out of 100; uncompressed pictures would fill a file at 55 MB a second."""
_MEMORY: Final = "10%"
"""Share of the machine's memory after which the window drops the oldest data; LeRobot's choice."""


class View(Protocol):
    """Shows observations and goals."""

    def step(self, observation: Mapping[str, Any], goal: NDArray[np.floating]) -> None:
        """Show an observation and the goal positions `(6,)` that follow it."""
        ...

    def place(self, frame: Frame) -> None:
        """Show the top view with the cube's place."""
        ...

    def close(self) -> None:
        """Close the window's stream, or complete the file. Safe to call twice."""
        ...


class NoView:
    """Shows nothing."""

    def step(self, observation: Mapping[str, Any], goal: NDArray[np.floating]) -> None:
        """See `View`."""

    def place(self, frame: Frame) -> None:
        """See `View`."""

    def close(self) -> None:
        """See `View`."""


class RerunView:
    """Cameras, state and goal in rerun, on a timeline of control steps.

    LeRobot's `log_rerun_data` shows the same, but keeps only a camera's newest picture, so that a file would hold no
    video.

    Args:
        file: A file to write, whole or not at all; `None` opens a window.

    Raises:
        InvalidInputError: If rerun is not installed, has no window to open, or the file's name does not fit.
    """

    def __init__(self, file: Path | None = None) -> None:
        if file is not None and file.suffix != _SUFFIX:
            raise InvalidInputError(
                f"{str(file)!r} is neither {LIVE!r} nor the name of a file for rerun",
                field="view",
                cure=f"end it in {_SUFFIX}",
            )
        try:
            import rerun
        except ImportError as error:
            raise missing_extra("rerun", "viz", field="view") from error
        self._rerun = rerun
        self._steps = 0
        self._end = ExitStack()
        self._stream = rerun.RecordingStream("autoarm teleop")
        if file is None:
            _check_display()
            self._stream.spawn(memory_limit=_MEMORY)
        else:
            self._stream.save(self._end.enter_context(replacing(file)))
        self._end.callback(self._stream.disconnect)
        self._stream.send_blueprint(self._blueprint())
        for series in ("state", "goal"):
            self._stream.log(series, rerun.SeriesLines(names=spec.JOINTS), static=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def step(self, observation: Mapping[str, Any], goal: NDArray[np.floating]) -> None:
        """See `View`."""
        self._stream.set_time("step", sequence=self._steps)
        self._steps += 1
        for camera in spec.CAMERAS:
            self._show(f"camera/{camera}", observation["pixels"][camera])
        self._stream.log("state", self._rerun.Scalars(np.asarray(observation["agent_pos"], np.float64)))
        self._stream.log("goal", self._rerun.Scalars(np.asarray(goal, np.float64)))

    def place(self, frame: Frame) -> None:
        """See `View`."""
        self._stream.set_time("step", sequence=self._steps)
        self._show(f"camera/{spec.CAMERAS[0]}", frame)

    def close(self) -> None:
        """See `View`."""
        self._end.close()

    def _show(self, name: str, frame: Frame) -> None:
        self._stream.log(name, self._rerun.Image(frame).compress(jpeg_quality=_QUALITY))

    def _blueprint(self) -> Any:
        import rerun.blueprint as layout

        cameras = [layout.Spatial2DView(origin=f"camera/{camera}", name=camera) for camera in spec.CAMERAS]
        series = [layout.TimeSeriesView(origin=name, name=name) for name in ("state", "goal")]
        return layout.Blueprint(layout.Vertical(layout.Horizontal(*cameras), layout.Horizontal(*series)))


def make_view(target: str | None) -> View:
    """Nothing, rerun's window (`live`), or a file for it (`NAME.rrd`). Raises `InvalidInputError`."""
    if target is None:
        return NoView()
    return RerunView(None if target == LIVE else Path(target))


def _check_display() -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InvalidInputError(
            "there is no display for a window", field="view", cure=f"write a file: --view NAME{_SUFFIX}"
        )
