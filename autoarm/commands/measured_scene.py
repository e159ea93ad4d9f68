"""Options that make a simulated scene of what was measured of a real arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gym_autoarm.scene import Scene


@dataclass(frozen=True)
class MeasuredScene:
    """Of the simulated arm: what was measured of a real one."""

    top: Path | None = None
    """Where the top camera is: a file of `autoarm align`."""
    lateral: Path | None = None
    """Where the lateral camera is, likewise."""
    body: Path | None = None
    """How the arm answers: a file of `autoarm twin-check --fit`."""

    def __bool__(self) -> bool:
        return any((self.top, self.lateral, self.body))

    def load(self) -> Scene:
        """The scene, otherwise the usual one. Raises `InvalidFileError`."""
        from gym_autoarm.scene_files import load_scene

        return load_scene(top=self.top, lateral=self.lateral, body=self.body)
