"""Options that make a simulated scene of what was measured of a real arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gym_autoarm.scene import Scene


@dataclass(frozen=True)
class MeasuredScene:
    """Files that make the simulated cameras and arm like measured real ones."""

    top: Path | None = None
    """File with the place of the top camera, which `autoarm align` writes."""
    lateral: Path | None = None
    """File with the place of the lateral camera, which `autoarm align` writes."""
    body: Path | None = None
    """File that says how the arm answers, which `autoarm twin-check --fit` writes."""

    def __bool__(self) -> bool:
        return any((self.top, self.lateral, self.body))

    def load(self) -> Scene:
        """The scene, otherwise the usual one. Raises `InvalidFileError`."""
        from gym_autoarm.scene_files import load_scene

        return load_scene(top=self.top, lateral=self.lateral, body=self.body)
