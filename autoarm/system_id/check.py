"""Recordings beside simulations of them: what the default servos explain, what fitted ones do, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from autoarm.system_id.identify import Fit, identify
from autoarm.system_id.motion import Motion, Vector
from autoarm.system_id.response import JointError, joint_errors
from autoarm.system_id.simulation import simulate
from autoarm.system_id.split import folds
from gym_autoarm.body import Body
from gym_autoarm.body_files import STIFF_BODY, shipped_body

PERFECT: Final = "perfect servo"
FITTED: Final = "fitted"
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Answers:
    """What several bodies do with the same motions.

    Attributes:
        motions: What was recorded.
        paths: Where each body's joints are, by what to call it, `(n, 6)` for each motion.
        errors: How these differ from what was recorded.
    """

    motions: list[Motion]
    paths: dict[str, list[Vector]]
    errors: dict[str, list[JointError]]


@dataclass(frozen=True)
class Check:
    """An arm and its simulation.

    Attributes:
        name: What to call the recordings.
        judged: What the bodies do with the motions that judge them: those held out, or all of them.
        fit: What was fitted, if it was asked for.
        seen: What the bodies do with the motions that the fit has seen.
        folds: Errors on the motions that a fold's fit has not seen, for each fold of a cross-validation.
        notes: What is to be said of the recordings.
    """

    name: str
    judged: Answers
    fit: Fit | None = None
    seen: Answers | None = None
    folds: list[list[JointError]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def held_out(self) -> list[str]:
        """Names of the recordings that the fit has not seen."""
        return [] if self.seen is None else sorted({motion.recording for motion in self.judged.motions})


def compare(
    motions: Sequence[Motion], bodies: dict[str, Body], on_progress: Progress = lambda stage, count: None
) -> Answers:
    """What bodies, a servo that is where it is told to be, and the stiff arm of `five-spots-v1` do with motions."""
    paths = {PERFECT: [motion.goals for motion in motions]}
    for name, body in {STIFF_BODY: shipped_body(STIFF_BODY), **bodies}.items():
        paths[name] = simulate(motions, body, lambda done, name=name: on_progress(f"{name}: motions", done))  # type: ignore[misc]
    return Answers(list(motions), paths, {name: joint_errors(motions, path) for name, path in paths.items()})


def check(
    name: str,
    motions: Sequence[Motion],
    held_out: Sequence[str],
    body_name: str,
    body: Body,
    fit: bool = False,
    fold_count: int = 0,
    on_progress: Progress = lambda stage, count: None,
) -> Check:
    """Compare recordings with simulations of them, and fit the simulated servos.

    Args:
        name: What to call the recordings.
        motions: What was recorded.
        held_out: Names of the recordings that judge a fit, and that it must not see; without any, all do both.
        body_name: What to call the body.
        body: The body to compare with, where a fit begins.
        fit: Whether to fit.
        fold_count: Number of folds of a cross-validation over the motions that are fitted; 0 for none.
        on_progress: Told what is done and how much of it.
    """
    seen = [motion for motion in motions if motion.recording not in held_out]
    unseen = [motion for motion in motions if motion.recording in held_out]
    if not fit:
        return Check(name, compare(motions, {body_name: body}, on_progress))
    found = identify(seen, body, on_progress)
    bodies = {body_name: body, FITTED: found.body}
    return Check(
        name,
        compare(unseen or seen, bodies, on_progress),
        found,
        compare(seen, bodies, on_progress) if unseen else None,
        cross_validate(seen, found, fold_count) if fold_count else [],
    )


def cross_validate(motions: Sequence[Motion], fit: Fit, count: int) -> list[list[JointError]]:
    """Errors on each of `count` folds of the recordings, of the servos that the other folds give."""
    found = []
    for fold in folds(sorted({motion.recording for motion in motions}), count):
        own = [motion for motion in motions if motion.recording in fold]
        found.append(joint_errors(own, simulate(own, fit.without(fold))))
    return found
