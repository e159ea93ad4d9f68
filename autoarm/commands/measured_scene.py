"""Options that make a simulated scene of what was measured of a real arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gym_autoarm import spec

if TYPE_CHECKING:
    from gym_autoarm.scene import Scene


@dataclass(frozen=True)
class MeasuredScene:
    """Files that make the simulated cameras and arm like measured real ones."""

    top: Path | None = None
    """File with the place of the top camera, which `autoarm align` writes."""
    lateral: Path | None = None
    """File with the place of the lateral camera, which `autoarm align` writes."""
    body: str | None = None
    """How the arm answers: `so101-12v` (the default, fitted to a real arm), `so101` (the stiff one of five-spots-v1),
    another name, or a file that `autoarm twin-check --fit` has written."""

    def __bool__(self) -> bool:
        return any((self.top, self.lateral, self.body))

    def load(self) -> Scene:
        """The scene, otherwise the usual one. Raises `InvalidFileError`."""
        from gym_autoarm.scene_files import load_scene

        return load_scene(top=self.top, lateral=self.lateral, body=self.body)


def area_of(bounds: tuple[float, float, float, float] | None) -> spec.Area:
    """The bounds that an option gives as four numbers; the usual ones without it."""
    return spec.WORK_AREA if bounds is None else (bounds[:2], bounds[2:])
