"""Where a result was measured: versions, machine and OpenGL renderer."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from autoarm.results.result import Platform

PACKAGES: Final = ("autoarm", "mujoco", "gymnasium", "numpy", "lerobot", "torch", "torchvision")
"""Distributions whose releases can change a result."""


def describe_platform(gl: bool = True) -> Platform:
    """The present platform.

    Args:
        gl: Whether frames are drawn; without them the renderer is of no concern and is not asked for.

    Raises:
        RenderingError: If frames are to be drawn and there is no OpenGL.
    """
    return Platform(
        python=platform.python_version(), machine=machine(), versions=versions(), gl_renderer=gl_name() if gl else None
    )


def versions() -> dict[str, str]:
    """Releases of the `PACKAGES` that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """System, architecture and model of the processor: llvmpipe's frames depend on the last."""
    return f"{platform.system()} {platform.machine()}, {_processor()}"


def gl_name() -> str:
    """Name of the OpenGL renderer. Raises `RenderingError` if there is none."""
    from gym_autoarm.rendering import gl_renderer

    return gl_renderer()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
