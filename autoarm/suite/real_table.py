"""What of a suite can be laid on a real table by a person with the cube, the box, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from autoarm.suite.suite import Suite, Variation
from gym_autoarm.errors import InvalidInputError

NEEDS: Final = {
    "object": "other objects",
    "distractors": "other objects on the table",
    "light": "the lamp moved",
    "surface": "other table tops",
    "camera": "the cameras moved",
    "body": "another arm",
    "image_noise": "other cameras",
    "start": "room for the arm to begin elsewhere",
}
"""What it would take for a field of `Variation`: not in any episode's instructions, so that nobody could check it."""
_PLAIN: Final = Variation()


def needs(suite: Suite, axis: str) -> list[str]:
    """What an axis needs that a real table does not have; nothing for one that can be done."""
    levels = suite.axes[axis].levels.values()
    return [
        what
        for field, what in NEEDS.items()
        if any(getattr(level, field) != getattr(_PLAIN, field) for level in levels)
    ]


def doable_axes(suite: Suite, axes: Sequence[str] = ()) -> list[str]:
    """Axes to run on a real arm: those named, or of all those that can be done.

    Raises:
        InvalidInputError: If one that is named cannot be done, or none can.
    """
    doable = [axis for axis in suite.axes if not needs(suite, axis)]
    for axis in axes:
        if axis in suite.axes and axis not in doable:
            raise InvalidInputError(
                f"axis {axis!r} takes {', '.join(needs(suite, axis))}: only a simulation can do it",
                field="axis",
                cure=f"on a real arm choose from {', '.join(doable)}" if doable else "measure it with --body sim",
            )
    if not doable:
        raise InvalidInputError(
            f"suite {suite.name} has no axis that a real arm can do", field="suite", cure="measure it with --body sim"
        )
    return list(axes) or doable


def left_out(suite: Suite) -> dict[str, str]:
    """The axes that a real arm cannot do, and what each would take."""
    return {axis: ", ".join(what) for axis in suite.axes if (what := needs(suite, axis))}
