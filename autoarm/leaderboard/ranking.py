"""Ranks policies by their scores, as far as the intervals allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoarm.results.result import Result
from autoarm.statistics import Estimate, mean_rate, stratified_bootstrap, wider
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream


@dataclass(frozen=True)
class Standing:
    """A policy's place in the ranking.

    Attributes:
        result: The policy's result.
        score: Mean of the success rates of all axes, with its 95 % interval; `None` if axes are missing.
        missing: Axes that were not run.
        rank: One more than the number of competitors whose intervals lie wholly above this one's; `None` for a policy
            that does not compete or has no score.
        ties: Names of the competitors whose intervals overlap this one's.
    """

    result: Result
    score: Estimate | None
    missing: tuple[str, ...] = ()
    rank: int | None = None
    ties: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.result.policy.name


def standings(results: Sequence[Result], axes: Iterable[str] | None = None) -> list[Standing]:
    """Rank results on one suite, best first; those without a score at the end.

    Floors, ceilings and controls are sorted in by their scores, but have no rank and count for nobody else's.

    Args:
        results: Results of policies whose names differ.
        axes: Axes of a complete result; by default all that any of the results has.

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

    On each side, the wider of the stratified bootstrap interval and Price and Bonett's is taken: where nearly all
    episodes end alike the bootstrap interval has no width, and where most axes are solved and one is not, Price and
    Bonett's covers the true score too seldom.

    Args:
        outcomes: Successes of each axis, `(n_k,)`.
        names: Names that select the random stream.
    """
    closed = mean_rate([own.sum() for own in outcomes], [own.size for own in outcomes])
    return wider(closed, stratified_bootstrap(outcomes, stream(0, "score", *names)))


def axis_outcomes(result: Result) -> dict[str, NDArray[np.bool_]]:
    """Successes of each axis `(n,)`, in the order of the rows."""
    found: dict[str, list[bool]] = {}
    for row in result.rows:
        found.setdefault(row.group, []).append(row.success)
    return {axis: np.array(own, np.bool_) for axis, own in found.items()}
