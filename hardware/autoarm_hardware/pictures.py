"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from gym_autoarm.files import replacing
from gym_autoarm.rendering import Frame


def write_picture(path: Path, frame: Frame) -> None:
    """Write an RGB frame as PNG, whole or not at all. Raises `InvalidFileError`."""
    with replacing(path) as temporary:
        Image.fromarray(frame).save(temporary, format="PNG")
