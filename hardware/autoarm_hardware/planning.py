"""A way for the arm from one position to another that touches neither table, nor what stands on it, nor the arm itself.

Planned with the simulated arm's links before anything moves: the hand goes straight up, above everything on the table;
the joints turn, together or one after another, in the first order that keeps its distance; the hand goes straight down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm_hardware.links import Links
from gym_autoarm import spec
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.task import RELEASED

Vector = NDArray[np.float64]

CLEARANCE: Final = 0.015
"""Metres that the way keeps from everything: an arm that lags and sags is elsewhere than its goals (`Body`)."""
_SELF_CLEARANCE: Final = 0.004
"""Metres that links keep from each other; they are modelled as boxes, a little larger than they are."""
_RISE: Final = 0.005
"""Metres of each step up."""
_RISES: Final = 40
_ROUNDING: Final = 5e-4
"""Metres by which a step up may come nearer to something."""
_NEAR: Final = 10.0
"""Degrees from home, in every joint, from which the arm goes there straight."""
_STEP: Final = 2.0
"""Degrees between two positions of a way that are looked at."""
_ORDERED: Final = tuple(
    spec.JOINTS.index(joint) for joint in ("shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
)
_PAN: Final = spec.JOINTS.index("shoulder_pan")


def plan_way(start: ArrayLike, goal: ArrayLike, links: Links) -> list[Vector]:
    """Joint positions from `start` to `goal`, both `(6,)`, to be joined by straight lines in joint space.

    The gripper's opening changes last, so that what it holds is carried along; but one that has let go opens first.

    Raises:
        UnreachablePoseError: If no order of the joints keeps its distance.
    """
    first = np.clip(np.asarray(start, np.float64), spec.ACTION_LOW, spec.ACTION_HIGH)
    last = np.array(goal, np.float64)
    begin, end = first.copy(), last.copy()
    if first[spec.GRIPPER] > RELEASED:
        begin[spec.GRIPPER] = max(first[spec.GRIPPER], last[spec.GRIPPER])
    end[spec.GRIPPER] = begin[spec.GRIPPER]
    if np.abs(end - begin).max() <= _NEAR:
        return [first, begin, end, last]
    for descent in _ascents(end, links)[:1]:
        above = descent[-1]
        for ascent in _ascents(begin, links):
            for way in _orders(ascent[-1], above):
                if all(is_clear(one, other, links) for one, other in pairwise([ascent[-1], *way])):
                    return [first, *ascent, *way, *descent[-2::-1], last]
    raise UnreachablePoseError(
        "no way was found that keeps clear of the table, of what stands on it, and of the arm itself",
        field="way",
        cure="hold the arm, release it with autoarm release, and fold it by hand",
    )


def along(way: Sequence[Vector], step: float) -> Iterator[Vector]:
    """Joint positions `(6,)` on a way, after its first one, no joint more than `step` degrees from one to the next."""
    for start, end in pairwise(way):
        parts = int(np.ceil(np.abs(end - start).max() / step))
        for part in np.arange(1, parts + 1) / parts:
            yield start + part * (end - start)


def is_clear(start: Vector, end: Vector, links: Links) -> bool:
    """Whether the straight line in joint space between two positions keeps its distance everywhere."""
    steps = max(1, int(np.ceil(np.abs(end - start).max() / _STEP)))
    return all(
        around >= CLEARANCE and within >= _SELF_CLEARANCE
        for around, within in (links.clearances(start + part * (end - start)) for part in np.arange(steps + 1) / steps)
    )


def _ascents(start: Vector, links: Links) -> list[list[Vector]]:
    """Ways straight up from a position that may touch something: to where it is clear, and to twice and thrice that.

    Empty if it does not get clear without coming nearer to something meanwhile.
    """
    way, found = [start], []
    around, within = links.clearances(start)
    for _ in range(_RISES):
        if around >= CLEARANCE and within >= _SELF_CLEARANCE:
            found.append(way)
        above = links.straight_up(way[-1], _RISE)
        above_around, above_within = links.clearances(above)
        comes_nearer = above_around < min(around, CLEARANCE) - _ROUNDING or (
            above_within < min(within, _SELF_CLEARANCE) - _ROUNDING
        )
        if comes_nearer or links.grasp_height(above) < links.grasp_height(way[-1]) + _RISE / 2:
            break
        way, around, within = [*way, above], above_around, above_within
    return [found[index] for index in sorted({0, len(found) // 2, len(found) - 1}) if found]


def _orders(start: Vector, end: Vector) -> Iterator[list[Vector]]:
    """Ways from one position to another: all joints but the pan, then the pan, as people fold it; then others."""
    raised = end.copy()
    raised[_PAN] = start[_PAN]
    yield [raised, end]
    for order in permutations(_ORDERED):
        yield [*_one_by_one(start, end, order), end]
    turned = start.copy()
    turned[_PAN] = end[_PAN]
    yield [turned, end]
    for order in permutations(_ORDERED):
        yield [turned, *_one_by_one(turned, end, order), end]


def _one_by_one(start: Vector, end: Vector, order: Sequence[int]) -> Iterator[Vector]:
    here = start
    for joint in order:
        here = here.copy()
        here[joint] = end[joint]
        yield here
