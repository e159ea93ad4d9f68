"""Who is ahead, and of whom that can be said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import Result
from autoarm.statistics import Estimate, mean_rate, stratified_bootstrap
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream


@dataclass(frozen=True)
class Standing:
    """A policy's place.

    Attributes:
        result: What was measured.
        score: Mean of the success rates of all axes, with its 95 % interval; `None` if axes are missing.
        missing: Axes that were not run.
        rank: One more than the number of competitors of whom it can be said that they are better: whose intervals lie
            above this one's. Only for a policy that competes and has a score.
        ties: Names of the competitors whose intervals overlap this one's.
    """

    result: Result
    score: Estimate | None
    missing: tuple[str, ...] = ()
    rank: int | None = None
    ties: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The policy's."""
        return self.result.policy.name


def standings(results: Sequence[Result], axes: Iterable[str] | None = None) -> list[Standing]:
    """Rank results on one suite, best first; those without a score at the end.

    Floors, ceilings and controls are sorted in by their scores, but have no rank and take none from anybody.

    Args:
        results: With names that differ.
        axes: That a complete result has; by default all that any of them has.

    Raises:
        InvalidInputError: If there are no results.
    """
    if not results:
        raise InvalidInputError("there is nothing to rank", field="results")
    wanted = list(dict.fromkeys(axis for result in results for axis in result.groups)) if axes is None else list(axes)
    found = [_scored(result, wanted) for result in results]
    competitors = [each for each in found if each.result.policy.role == "policy" and each.score is not None]
    placed = [_placed(each, competitors) for each in found]
    return sorted(placed, key=lambda each: (each.score is None, 0.0 if each.score is None else -each.score.estimate))


def _scored(result: Result, axes: Sequence[str]) -> Standing:
    outcomes = axis_outcomes(result)
    missing = tuple(axis for axis in axes if axis not in outcomes)
    if missing:
        return Standing(result, None, missing)
    return Standing(result, score([outcomes[axis] for axis in axes], result.policy.name))


def _placed(own: Standing, competitors: Sequence[Standing]) -> Standing:
    if all(own is not each for each in competitors) or own.score is None:
        return own
    others = [(each.name, each.score) for each in competitors if each is not own and each.score is not None]
    ahead = sum(other.low > own.score.high for _, other in others)
    ties = tuple(name for name, other in others if other.low <= own.score.high and own.score.low <= other.high)
    return replace(own, rank=ahead + 1, ties=ties)


def score(outcomes: Sequence[NDArray[np.bool_]], *names: str) -> Estimate:
    """Mean of the success rates of axes, with a 95 % interval.

    The interval is the wider, on each side, of the stratified bootstrap's and of Price and Bonett's: where nearly all
    episodes of a policy end alike, a bootstrap alone would claim to be certain; where most axes are solved and one is
    not, Price and Bonett's alone holds the truth too seldom.

    Args:
        outcomes: Successes of each axis, `(n_k,)`.
        names: Of the random stream.
    """
    closed = mean_rate([own.sum() for own in outcomes], [own.size for own in outcomes])
    return wider(closed, stratified_bootstrap(outcomes, stream(0, "score", *names)))


def wider(one: Estimate, other: Estimate) -> Estimate:
    """Two intervals of the same estimate as one that holds both."""
    return Estimate(one.estimate, min(one.low, other.low), max(one.high, other.high))


def axis_outcomes(result: Result) -> dict[str, NDArray[np.bool_]]:
    """Successes of each axis `(n,)`, in the order of the rows."""
    found: dict[str, list[bool]] = {}
    for row in result.rows:
        found.setdefault(row.group, []).append(row.success)
    return {axis: np.array(own, np.bool_) for axis, own in found.items()}
