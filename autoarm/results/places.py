"""What the places of the cube are called."""

from __future__ import annotations

from typing import Final

from autoarm.results.result import Result

PLACES: Final = {"spots": "at the training spots", "everywhere": "anywhere in the work area"}
"""What the cube's positions are called, by `SceneDistribution.cube`."""


def place(result: Result) -> str:
    """Where the cube lay in a result, in words."""
    if result.setting.suite is not None:
        return f"on {result.setting.suite.name}"
    cube = str(result.setting.distribution.get("cube"))
    return PLACES.get(cube, cube)
