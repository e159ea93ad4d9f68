"""Decide what a recording shows of each joint, and fit that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.system_id.fit import Search, search, without
from autoarm.system_id.intervals import Interval, intervals
from autoarm.system_id.motion import Motion, moving
from autoarm.system_id.parameters import LAG, LIMIT, STICKING, STIFFNESS, at_bound
from autoarm.system_id.simulation import gravity
from autoarm.system_id.stretches import Stretch, cut
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.errors import InvalidInputError

_MOVED: Final = 2.0
"""Degrees that a joint must move to be fitted."""
_LOADED: Final = 0.05
"""N m of gravity, root mean square, from which a joint's stiffness shows: two ticks of the encoder of a soft one."""
_ROWS: Final = 2000
"""Positions at which gravity is looked at."""
_UNSURE: Final = 1.5
"""Factor between value and end of its interval beyond which a recording does not show it."""
_FIELDS: Final = {STIFFNESS: "kp", LAG: "damping", STICKING: "frictionloss", LIMIT: "torque_limit"}
_UNMOVED: Final = "does not move, or is not compared: kept as it was"
_COARSE: Final = 40
"""Stretches, spread over all, with which the search begins."""
_FINE: Final = 2
"""Steps of the search with all of them: the first brings nearly all of what they add."""

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class JointFit:
    """What was found of a joint.

    Attributes:
        intervals: 95 % intervals by field of `Servo`; a field that was assumed, or not fitted, has none.
        notes: What is to be known about its numbers, in sentences.
    """

    intervals: dict[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A body that explains motions.

    Attributes:
        body: The body; delay, play and protection are those that the fit began with.
        joints: What was found of each joint, by name.
        without: The body that the same fit gives without the recordings of these names.
    """

    body: Body
    joints: dict[str, JointFit]
    without: Callable[[Collection[str]], Body]


def identify(motions: Sequence[Motion], body: Body, on_progress: Progress = lambda stage, count: None) -> Fit:
    """The servos with which the simulated arm answers as the recorded one did.

    Viscous and dry friction are fitted for every joint that moves; stiffness where gravity loads a joint; the torque
    limit for the gripper, to which LeRobot writes its own. What the motions do not show stays as `body` has it.

    Args:
        motions: What the arm did.
        body: Where the search begins.
        on_progress: Told the stage and how many simulations it has taken.

    Raises:
        InvalidInputError: If no joint moves.
    """
    stretches = cut(motions)
    moves = moving(list(motions), _MOVED)
    if not moves.any():
        raise InvalidInputError("no joint moves in them", field="motions", cure="record motions of every joint")
    loaded = _loaded(motions)
    wanted = {}
    for index, joint in enumerate(spec.JOINTS):
        if moves[index]:
            extra = [STIFFNESS] if loaded[index] else [LIMIT] if index == spec.GRIPPER else []
            wanted[joint] = [LAG, STICKING, *extra]
    found, wanted = _search(stretches, body, wanted, on_progress)
    joints = {}
    for index, joint in enumerate(spec.JOINTS):
        joints[joint] = _judge(joint, found, wanted, stretches) if moves[index] else JointFit(notes=(_UNMOVED,))
    return Fit(found.body, joints, partial(without, found, stretches, wanted))


def _search(
    stretches: Sequence[Stretch], body: Body, wanted: dict[str, list[str]], on_progress: Progress
) -> tuple[Search, dict[str, list[str]]]:
    """The search, repeated without what it has found not to show."""
    few = stretches[:: max(1, len(stretches) // _COARSE)]
    found = search(few, body, wanted, lambda count: on_progress("search", count))
    if len(few) < len(stretches):
        found = search(stretches, found.body, wanted, lambda count: on_progress("search, all motions", count), _FINE)
    shown = {joint: [name for name in names if _shows(name, joint, found, names, stretches, body)]
             for joint, names in wanted.items()}  # fmt: skip
    if shown == wanted:
        return found, wanted
    kept = replace(body, servos=tuple(
        own if shown.get(joint, []) != wanted.get(joint, []) else there
        for joint, own, there in zip(spec.JOINTS, body.servos, found.body.servos, strict=True)
    ))  # fmt: skip
    return search(stretches, kept, shown, lambda count: on_progress("search, what they show", count)), shown


def _shows(
    name: str, joint: str, found: Search, names: Sequence[str], stretches: Sequence[Stretch], body: Body
) -> bool:
    if name not in (STIFFNESS, LIMIT):
        return True
    known = intervals(names, found.values[joint], found.linear[joint], stretches, spec.JOINTS.index(joint))
    low, high = known[_FIELDS[name]]
    if not _is_wide((low, high)) and not at_bound(name, found.values[joint][name]):
        return True
    # What is assumed instead must agree with the motions: those of a stiff arm say little but that it is stiff.
    own = float(getattr(body.servos[spec.JOINTS.index(joint)], _FIELDS[name]))
    return not low < own < high


def _is_wide(ends: Interval) -> bool:
    return ends[1] > ends[0] * _UNSURE**2


def _judge(joint: str, found: Search, wanted: dict[str, list[str]], stretches: Sequence[Stretch]) -> JointFit:
    names, values = wanted[joint], found.values[joint]
    known = intervals(names, values, found.linear[joint], stretches, spec.JOINTS.index(joint))
    notes = []
    for name in names:
        if at_bound(name, values[name]):
            notes.append(f"{_FIELDS[name]} is at the end of what is tried: not measured")
            known.pop(_FIELDS[name])
        elif name in (STIFFNESS, LIMIT) and _is_wide(known[_FIELDS[name]]):
            low, high = known.pop(_FIELDS[name])
            notes.append(f"{_FIELDS[name]} is hardly shown: anything from {low:.3g} to {high:.3g} would do")
    if STIFFNESS not in names:
        notes.append("kp is assumed: the motions show only how friction compares with it")
    return JointFit(known, tuple(notes))


def _loaded(motions: Sequence[Motion]) -> NDArray[np.bool_]:
    positions = np.concatenate([motion.positions for motion in motions])
    torque = gravity(positions[:: max(1, len(positions) // _ROWS)])
    return np.asarray(np.sqrt(np.mean(np.square(torque), axis=0)) > _LOADED)
