"""Videos of episodes: both views side by side with a line of text, in a format that every browser plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from autoarm.runtime.files import replacing
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Scene

Frame = NDArray[np.uint8]

VIEW_SIZE: Final = (270, 360)
"""Height and width of a view in a video, whatever the policy saw."""
_STRIP: Final = 28
"""Rows of the caption."""
_LETTERS: Final = 14.0
_SMALLEST: Final = 7.0
"""Size of the caption's letters, in pixels, and how far a narrow frame can shrink them."""
_CRF: Final = "27"
"""x264's quality; its default, 23, gives files twice as large that look the same at this size."""


class VideoWriter:
    """Writes H.264 in yuv420p, frame by frame; the file appears whole when the `with` block ends, or not at all.

    Args:
        path: The file, ending in `.mp4`.
        fps: Frames a second.

    Raises:
        InvalidInputError: If frames differ in size, or there were none.
    """

    def __init__(self, path: Path, fps: int = spec.FPS) -> None:
        self._path = path
        self._fps = fps
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> VideoWriter:
        self._file = replacing(self._path)
        temporary = self._file.__enter__()
        # The index in front of the frames, so that a page can play the file while it loads.
        self._container = av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(self._fps))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": _CRF, "preset": "veryfast"}
        return self

    def write(self, frame: Frame) -> None:
        """Append an RGB frame `(height, width, 3)`; odd sides gain a row or column, which yuv420p needs."""
        frame = np.pad(frame, [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)], mode="edge")
        if self._shape is None:
            self._shape = frame.shape
            self._stream.height, self._stream.width = frame.shape[:2]
        elif frame.shape != self._shape:
            raise InvalidInputError(f"a frame of shape {frame.shape} after one of {self._shape}", file=self._path)
        self._container.mux(
            self._stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._shape is None:
                raise InvalidInputError("a video needs a frame", file=self._path)
            if error is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except BaseException as problem:
            self._file.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self._file.__exit__(kind, error, trace)


def film(path: Path, scene: Scene, actions: NDArray[np.floating], text: str) -> None:
    """Take `actions` `(steps, 6)` from the start of `scene` again, and write what both cameras see of it.

    The physics are those of the run that the actions come from, which may have drawn other frames or none.

    Args:
        path: The video.
        scene: Where the episode started.
        actions: What was executed.
        text: The caption, to which the stage is added.
    """
    with VideoWriter(path) as video:
        for pixels, info in _again(scene, actions):
            video.write(caption(side_by_side(pixels), f"{text} · {info['stage']}"))


def film_beside(path: Path, scene: Scene, runs: Mapping[str, NDArray[np.floating]]) -> None:
    """Film several runs from the same start beside each other, the views of each above one another under its name.

    Args:
        path: The video.
        scene: Where all of them started.
        runs: What was executed `(steps, 6)`, by what to call it; who has ended waits for the others.
    """
    with VideoWriter(path) as video:
        frames: list[Frame] = []
        for step in zip_longest(*(_again(scene, actions) for actions in runs.values())):
            for number, (name, taken) in enumerate(zip(runs, step, strict=True)):
                if taken is not None:
                    pixels, info = taken
                    views = np.concatenate([pixels[camera] for camera in spec.CAMERAS])
                    frames[number : number + 1] = [caption(views, f"{name} · {info['stage']}")]
            video.write(np.concatenate(frames, axis=1))


def _again(scene: Scene, actions: NDArray[np.floating]) -> Iterator[tuple[Mapping[str, Frame], dict[str, Any]]]:
    """Frames and info at the start, and after each of the actions."""
    env = PickIntoBoxEnv(VIEW_SIZE, time_limit=len(actions) + 1)
    try:
        observation, info = env.reset(seed=scene.noise_seed, options={"scene": scene})
        yield observation["pixels"], info
        for action in actions:
            observation, _, _, _, info = env.step(action)
            yield observation["pixels"], info
    finally:
        env.close()


def side_by_side(pixels: Mapping[str, Frame]) -> Frame:
    """The views of an observation in one frame, in the contract's order."""
    return np.concatenate([pixels[camera] for camera in spec.CAMERAS], axis=1)


@lru_cache(maxsize=16)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def caption(frame: Frame, text: str) -> Frame:
    """The frame with a strip of text above it, `(height + 28, width, 3)`."""
    strip = Image.new("RGB", (frame.shape[1], _STRIP), (24, 24, 27))
    draw = ImageDraw.Draw(strip)
    room = (frame.shape[1] - 16) / max(draw.textlength(text, font=_font(_LETTERS)), 1.0)
    font = _font(_LETTERS if room >= 1 else max(_SMALLEST, round(_LETTERS * room, 1)))
    draw.text((8, _STRIP // 2), text, fill=(244, 244, 245), anchor="lm", font=font)
    return np.concatenate([np.asarray(strip), frame])
