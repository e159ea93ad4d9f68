"""The pick-into-box task for the SO-101 arm, as Gymnasium environments."""

from __future__ import annotations

import ctypes
import os
import sys

from gymnasium.envs.registration import register


def _headless_gl() -> str:
    """The OpenGL backend for a machine without a display; MuJoCo chooses its backend when it is first imported.

    EGL needs no display, and Mesa no longer has OSMesa. Without EGL's library MuJoCo could not even be imported: with
    `disable` physics works, nothing is drawn, and `FrameRenderer` says what to install.
    """
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disable"
    return "egl"


if sys.platform.startswith("linux") and not {"DISPLAY", "MUJOCO_GL"} & os.environ.keys():
    os.environ["MUJOCO_GL"] = _headless_gl()

ENV_ID = "gym_autoarm/PickIntoBox-v0"

register(
    id=ENV_ID,
    entry_point="gym_autoarm.env:PickIntoBoxEnv",
    vector_entry_point="gym_autoarm.vector:PickIntoBoxVectorEnv",
)
