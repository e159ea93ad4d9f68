"""Is this machine ready? One line for each thing that can be missing, with the cure."""

from __future__ import annotations

import importlib
import io
import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

from autoarm.results.platform import machine
from gym_autoarm.errors import GL_CURE

Status = Literal["ok", "warning", "problem"]

_SETUP: Final = "make setup, or pip install --upgrade autoarm"
_GIGABYTE: Final = 1e9
_LEAST_DISK: Final = 1 * _GIGABYTE
_COMFORTABLE_DISK: Final = 10 * _GIGABYTE
"""A dataset of 50 episodes, its decoded cache and a few checkpoints."""
_CAMERA_PATIENCE: Final = 4.0
"""Seconds to wait for the search for cameras; a driver can keep it much longer."""
_SOFTWARE_GL: Final = ("llvmpipe", "softpipe", "swrast", "swiftshader")


@dataclass(frozen=True)
class Check:
    """What was found about one thing, and what to do about it if it is not well."""

    name: str
    status: Status
    message: str
    cure: str | None = None


def examine(folder: Path | None = None) -> list[Check]:
    """Run every check. None raises: what a check cannot bear is a problem it reports.

    Args:
        folder: Where outputs will go, for the free disk space; the present folder by default.
    """
    checks: dict[str, Callable[[], Iterator[Check]]] = {
        "system": check_system,
        "packages": check_packages,
        "torch": check_torch,
        "rendering": check_rendering,
        "frame": check_frame,
        "video": check_video,
        "disk": lambda: check_disk(folder or Path.cwd()),
        "policies": check_policies,
        "serial ports": check_serial_ports,
        "cameras": check_cameras,
    }
    found: list[Check] = []
    for name, check in checks.items():
        try:
            found += check()
        except Exception as error:  # whatever breaks on a broken machine is what the user asks about
            found.append(Check(name, "problem", f"{type(error).__name__}: {error}", _SETUP))
    return found


def check_system() -> Iterator[Check]:
    """Python and the processor."""
    yield Check("python", "ok", f"{platform.python_version()} on {machine()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        yield Check("cores", "warning", "1 core: everything works, slowly", "allow this process two or more cores")
    else:
        yield Check("cores", "ok", f"{cores}")


def check_packages() -> Iterator[Check]:
    """Whether what is installed is what our package asks for."""
    from packaging.requirements import Requirement

    fine = []
    for text in metadata.requires("autoarm") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Check(wanted.name, "problem", f"not installed; {wanted.specifier} is needed", _SETUP)
            continue
        if wanted.specifier.contains(version, prereleases=True):
            fine.append(f"{wanted.name} {version}")
        else:
            yield Check(wanted.name, "problem", f"{version} is installed; {wanted.specifier} is needed", _SETUP)
    yield Check("packages", "ok", ", ".join([f"autoarm {metadata.version('autoarm')}", *fine]))


def check_torch() -> Iterator[Check]:
    """Whether PyTorch works, and on what it can train."""
    import torch

    if has_gpu():
        yield Check("torch", "ok", f"{torch.__version__}, {torch.cuda.get_device_name(0)}")
    else:
        yield Check("torch", "ok", f"{torch.__version__}, on the processor: train with --preset cpu")


def check_rendering() -> Iterator[Check]:
    """Which OpenGL draws the frames."""
    try:
        from gym_autoarm.rendering import gl_renderer

        name = gl_renderer()
    except Exception as error:  # without its library, MuJoCo's import itself fails, in many ways
        yield Check("rendering", "problem", getattr(error, "message", str(error)), GL_CURE)
        return
    if is_software(name) and has_gpu():
        yield Check(
            "rendering",
            "warning",
            f"{name}: frames are drawn in software although there is a GPU",
            "install the GL part of the GPU's driver (libnvidia-gl), and set MUJOCO_EGL_DEVICE_ID if there are several",
        )
    else:
        yield Check("rendering", "ok", name)


def check_frame() -> Iterator[Check]:
    """Whether both cameras see the scene."""
    from gym_autoarm import spec
    from gym_autoarm.env import PickIntoBoxEnv

    env = PickIntoBoxEnv()
    try:
        observation, _ = env.reset(seed=0)
    finally:
        env.close()
    for camera, frame in observation["pixels"].items():
        # A driver can hand out a context and then draw nothing.
        if frame.std() < 1.0:
            yield Check("frame", "problem", f"the {camera} camera sees one colour only", GL_CURE)
            return
    height, width = spec.IMAGE_SIZE
    yield Check("frame", "ok", f"{' and '.join(spec.CAMERAS)}, {width}x{height}")


def check_video() -> Iterator[Check]:
    """Whether videos can be written: in the format of reports, and in those of datasets."""
    import av
    import numpy as np

    os.environ.setdefault("SVT_LOG", "1")  # errors only: it would write its settings over the report
    for codec in ("libx264", "libsvtav1"):
        try:
            with av.open(io.BytesIO(), "w", format="mp4") as container:
                stream: Any = container.add_stream(codec, rate=30)
                stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
                for _ in range(3):
                    frame = av.VideoFrame.from_ndarray(np.zeros((96, 128, 3), np.uint8), format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        except (av.FFmpegError, ValueError) as error:
            status: Status = "problem" if codec == "libx264" else "warning"
            yield Check("video", status, f"{codec} does not encode: {error}", "pip install --force-reinstall av")
        else:
            yield Check("video", "ok", f"{codec} encodes")


def check_disk(folder: Path) -> Iterator[Check]:
    """Whether a dataset and a training run fit."""
    free = shutil.disk_usage(folder).free
    message = f"{free / _GIGABYTE:.1f} GB free in {folder}"
    cure = "free some space, or work in a folder on another disk"
    if free < _LEAST_DISK:
        yield Check("disk", "problem", message, cure)
    elif free < _COMFORTABLE_DISK:
        yield Check("disk", "warning", message, cure)
    else:
        yield Check("disk", "ok", message)


def check_policies() -> Iterator[Check]:
    """Which reference policies this installation carries."""
    from autoarm.policies.loading import shipped_policies

    if names := sorted(shipped_policies()):
        yield Check("policies", "ok", ", ".join(names))
    else:
        yield Check("policies", "warning", "no reference policy is installed", "autoarm collect, then autoarm train")


def check_serial_ports() -> Iterator[Check]:
    """Where an arm may be connected, and whether we may talk to it."""
    list_ports: Any = importlib.import_module("serial.tools.list_ports")
    # A port without a USB vendor is built into the machine; the arm's board is not.
    ports = [port for port in list_ports.comports() if port.vid is not None]
    if not ports:
        yield Check("serial ports", "ok", "none on USB: fine without a real arm")
    for port in ports:
        if os.name == "posix" and not os.access(port.device, os.R_OK | os.W_OK):
            yield Check(
                "serial port",
                "warning",
                f"{port.device} ({port.description}) may not be opened",
                f"join the group that owns it: sudo usermod -aG $(stat -c %G {port.device}) $USER, then log in again",
            )
        else:
            yield Check("serial port", "ok", f"{port.device} ({port.description})")


def check_cameras() -> Iterator[Check]:
    """Which cameras LeRobot finds."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # read when OpenCV is first imported

    def search() -> list[dict[str, Any]]:
        from lerobot.cameras.opencv import OpenCVCamera

        found: list[dict[str, Any]] = OpenCVCamera.find_cameras()
        return found

    cameras = _in_time(search, _CAMERA_PATIENCE)
    if cameras is None:
        yield Check("cameras", "warning", "the search takes too long", "run lerobot-find-cameras opencv")
    elif not cameras:
        yield Check("cameras", "ok", "none: fine without a real arm")
    for camera in cameras or ():
        profile = camera.get("default_stream_profile", {})
        size = f"{profile.get('width')}x{profile.get('height')}"
        yield Check("camera", "ok", f"{camera.get('id')}, {size} at {profile.get('fps')} Hz")


def has_gpu() -> bool:
    """Whether PyTorch sees an NVIDIA or AMD GPU."""
    try:
        import torch
    except ImportError:  # said by the check of PyTorch itself
        return False
    return bool(torch.cuda.is_available())


def is_software(renderer: str) -> bool:
    """Whether an OpenGL renderer of this name draws on the processor."""
    return any(name in renderer.lower() for name in _SOFTWARE_GL)


def _in_time[T](work: Callable[[], T], seconds: float) -> T | None:
    """The result of `work`, or nothing if it takes longer; it is then left to itself."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None
