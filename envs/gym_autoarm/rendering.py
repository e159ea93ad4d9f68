"""Frames from both cameras, headless and cheap.

Rendering dominates the cost of simulation in software, so the settings matter: no multisampling, no reflections, a
1024-texel shadow map and coarse tessellation. Small frames are drawn at twice their size and box-filtered, which
costs less than multisampling and looks better. `benchmarks/speed/rendering.py` measures what this gains and costs.
"""

from __future__ import annotations

import atexit
import operator
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from gym_autoarm import spec
from gym_autoarm.errors import GL_CURE, InvalidInputError, RenderingError

Frame = NDArray[np.uint8]


class FrameRenderer:
    """Draws RGB frames of one model.

    Args:
        model: A compiled scene.
        image_size: Height and width of the frames, at most `spec.IMAGE_SIZE`.

    Raises:
        RenderingError: If no OpenGL context can be made.
    """

    def __init__(self, model: mujoco.MjModel, image_size: tuple[int, int] = spec.IMAGE_SIZE) -> None:
        check_image_size(image_size)
        _check_not_forked()
        self._double = all(2 * side <= largest for side, largest in zip(image_size, spec.IMAGE_SIZE, strict=True))
        height, width = (2 * side if self._double else side for side in image_size)
        try:
            self._renderer = _Renderer(model, height, width)
        except Exception as error:  # the GL backends raise whatever their bindings raise
            raise RenderingError(f"no OpenGL context ({error})", field="MUJOCO_GL", cure=GL_CURE) from error
        _process.has_drawn = True
        _open.add(self._renderer)
        _close_at_exit()
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = 1
        self._option = picture_option()

    def render(self, data: mujoco.MjData, camera: str) -> Frame:
        """A fresh uint8 `(height, width, 3)` frame.

        Raises:
            RenderingError: In a process that was forked from one that has drawn.
        """
        _check_not_forked()
        self._renderer.update_scene(data, camera, self._option)
        spare_planes_from_shadow_map(self._renderer.scene)
        frame: Frame = self._renderer.render()
        return halve(frame) if self._double else frame

    def close(self) -> None:
        """Free the GL context. Safe to call twice."""
        self._renderer.close()

    def __enter__(self) -> FrameRenderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Renderer(mujoco.Renderer):  # type: ignore[misc]
    def close(self) -> None:
        """Free the buffers of this renderer. MuJoCo's method deletes them by number from whichever context is current.

        Numbers are alike in all contexts: another renderer of the thread would lose its framebuffer, and return
        whatever is in memory as a picture, without an error.
        """
        if getattr(self, "_gl_context", None):
            with suppress(Exception):  # in use by another thread: the bindings raise whatever they raise
                self._gl_context.make_current()
        super().close()


def picture_option() -> mujoco.MjvOption:
    """Options that draw neither collision shapes (group 3) nor sites."""
    option = mujoco.MjvOption()
    option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
    option.sitegroup[:] = 0
    return option


def spare_planes_from_shadow_map(scene: mujoco.MjvScene) -> None:
    """Let the planes of an updated scene receive shadows and cast none.

    A plane has nothing to cast a shadow on but itself: it would fill the whole map and come out speckled. MuJoCo leaves
    decoration out of the map.
    """
    for geom in scene.geoms[: scene.ngeom]:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.category = mujoco.mjtCatBit.mjCAT_DECOR


class _Process:
    """Whether this process has a GL context, or was forked from one that had: there, drawing would hang for ever."""

    has_drawn = False
    is_forked = False


_process = _Process()


def _forget_contexts() -> None:
    _process.is_forked = _process.is_forked or _process.has_drawn
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_contexts)


def _check_not_forked() -> None:
    if _process.is_forked:
        raise RenderingError(
            "this process was forked from one that has drawn, and no GL context survives that",
            field="multiprocessing",
            cure='start processes by spawning them, as gymnasium.vector.AsyncVectorEnv(..., context="spawn") does,'
            " or fork before anything is drawn",
        )


_open: weakref.WeakSet[mujoco.Renderer] = weakref.WeakSet()


@cache
def _close_at_exit() -> None:
    """Close forgotten renderers at exit, once; later their destructors would complain of a terminated EGL.

    Exit handlers run in reverse: called after the first GL context was made, this one precedes EGL's own.
    """
    atexit.register(lambda: [renderer.close() for renderer in list(_open)])


def check_image_size(image_size: Sequence[int]) -> tuple[int, int]:
    """Height and width as integers. Raises `InvalidInputError` unless frames of this size can be drawn."""
    largest_height, largest_width = spec.IMAGE_SIZE
    try:
        height, width = map(operator.index, image_size)
        if not (0 < height <= largest_height and 0 < width <= largest_width):
            raise ValueError
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"frames of size {image_size!r} cannot be drawn",
            field="image_size",
            cure=f"give height and width, from 1x1 to {largest_height}x{largest_width}",
        ) from None
    return height, width


def halve(frame: Frame) -> Frame:
    """Mean of every 2x2 block, rounded to nearest, of a uint8 frame with even sides."""
    total = frame[::2, ::2].astype(np.uint16)
    # Strided adds are an order of magnitude faster than reshaping and summing over two axes.
    total += frame[1::2, ::2]
    total += frame[::2, 1::2]
    total += frame[1::2, 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint8)


def gl_renderer() -> str:
    """Name of the OpenGL renderer in use, such as `llvmpipe (LLVM 15.0.6, 256 bits)`.

    Raises:
        RenderingError: If no OpenGL context can be made.
    """
    with FrameRenderer(mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>"), (16, 16)):
        from OpenGL import GL

        name = GL.glGetString(GL.GL_RENDERER)
    return name.decode() if isinstance(name, bytes) else str(name)
