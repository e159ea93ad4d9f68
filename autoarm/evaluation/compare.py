"""Two policies on the same episodes, from their result files: how far apart they are, and what would settle it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy import optimize

from autoarm.results.comparison import Outcomes, PairedAxis, compare_results, shared_outcomes
from autoarm.results.result import Result
from autoarm.statistics import (
    Estimate,
    mcnemar_exact,
    paired_detectable_difference,
    paired_difference,
    paired_episodes,
    paired_power,
    sequential_comparison,
)
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.scene_data import is_same_scene

ALPHA: Final = 0.05
"""Probability of a false alarm over all axes together, and over the pooled episodes."""
POWER: Final = 0.8
"""Probability with which a difference is noticed by as many episodes as are said to be needed."""


@dataclass(frozen=True)
class GroupComparison(PairedAxis):
    """Two policies on the shared episodes of one axis, or of all axes pooled.

    The sequential test, `detectable` and `more_episodes` spend `ALPHA` divided by the number of axes on each axis, and
    `ALPHA` on the pooled episodes.

    Attributes:
        sequential_p_value: P-value that stays valid however often one looks; not corrected for the number of axes.
        clear_after: Number of episodes, shuffled, after which the sequential test could have stopped; `None` if it
            would still go on.
        clear_winner: 1 or 2, the policy that the sequential test found better; `None` if it would still go on.
        detectable: Smallest difference that McNemar's test on as many episodes notices with probability `POWER`, if
            the policies disagree as often as they did, or just often enough for such a difference; `None` if the
            episodes are too few to notice any.
        more_episodes: How many episodes more are likely (`POWER`) to settle which policy is better, if the true rates
            are those measured: 0 if it is settled; `None` if no reasonable number does.
    """

    sequential_p_value: float
    clear_after: int | None
    clear_winner: int | None
    detectable: float | None
    more_episodes: int | None

    @property
    def first_successes(self) -> int:
        """Number of shared episodes on which the first policy succeeded."""
        return self.both + self.only_first

    @property
    def second_successes(self) -> int:
        """Number of shared episodes on which the second policy succeeded."""
        return self.both + self.only_second


@dataclass(frozen=True)
class Comparison:
    """Two policies on the same episodes; differences are first minus second.

    Attributes:
        first: Name of the first policy.
        second: Name of the second policy.
        suite: Name of the suite; `None` for results of `autoarm eval`.
        left_out: Number of rows of the two results that have no counterpart in the other.
        groups: The comparison on each axis, by its name.
        overall: The comparison on all shared episodes pooled; its p-value needs no correction.
        mean_difference: Mean of the axes' differences with its 95 % interval, as the leaderboard's scores differ.
    """

    first: str
    second: str
    suite: str | None
    left_out: int
    groups: dict[str, GroupComparison]
    overall: GroupComparison
    mean_difference: Estimate


def compare(file_a: Path, file_b: Path) -> Comparison:
    """Compare two results on the episodes that both have, paired by group, level, index and seed.

    Suite (its content), distribution of scenes and time limit must be equal, because they decide what an episode asks.
    Frame size, size of the suite's run, platform and arm may differ.

    Args:
        file_a: Result of the first policy, written by `autoarm bench` or `autoarm eval --out`.
        file_b: Result of the second policy.

    Raises:
        InvalidFileError: If a file is not a result.
        InvalidInputError: If the results have different settings or scenes, or share no episodes.
    """
    first, second = Result.load(file_a), Result.load(file_b)
    _check_settings(first, second, file_a, file_b)
    paired = compare_results(first, second)
    outcomes = shared_outcomes(first, second)
    alpha = ALPHA / len(paired.axes)
    groups = {name: _extended(axis, outcomes[name], alpha, name) for name, axis in paired.axes.items()}
    pooled = (
        np.concatenate([outcomes[name][0] for name in groups]),
        np.concatenate([outcomes[name][1] for name in groups]),
    )
    overall = _extended(_pooled(pooled), pooled, ALPHA)
    suite = first.setting.suite
    return Comparison(
        paired.first,
        paired.second,
        None if suite is None else suite.name,
        len(first.rows) + len(second.rows) - 2 * overall.episodes,
        groups,
        overall,
        paired.difference,
    )


def _check_settings(first: Result, second: Result, file_a: Path, file_b: Path) -> None:
    one, other = first.setting, second.setting
    fields: dict[str, tuple[object, object]] = {
        "setting.suite.sha256": (one.suite and one.suite.sha256, other.suite and other.suite.sha256),
        "setting.distribution": (one.distribution, other.distribution),
        "setting.time_limit": (one.time_limit, other.time_limit),
    }
    for field, (in_a, in_b) in fields.items():
        if in_a != in_b:
            raise InvalidInputError(
                f"{in_b or 'absent'}, but {in_a or 'absent'} in {file_a}",
                file=file_b,
                field=field,
                cure="measure both policies with the same suite, or the same options of `autoarm eval`",
            )
    rows = {row.key: row for row in first.rows}
    if not any(row.key in rows for row in second.rows):
        raise InvalidInputError(
            f"no episode (group, level, index, seed) is also in {file_a}",
            file=file_b,
            field="rows",
            cure="measure both policies on the same axes and seed",
        )
    for number, row in enumerate(second.rows):
        if row.key in rows and not is_same_scene(row.scene, rows[row.key].scene):
            raise InvalidInputError(
                f"not the scene that the same episode has in {file_a}",
                file=file_b,
                field=f"rows.{number}.scene",
                cure="measure both policies with the same release of AutoArm",
            )


def _pooled(outcomes: tuple[Outcomes, Outcomes]) -> PairedAxis:
    first, second = outcomes
    test = mcnemar_exact(first, second)
    return PairedAxis(
        episodes=first.size,
        both=int(np.sum(first & second)),
        only_first=test.only_first,
        only_second=test.only_second,
        difference=paired_difference(first, second),
        p_value=test.p_value,
        adjusted=test.p_value,
    )


def _extended(paired: PairedAxis, outcomes: tuple[Outcomes, Outcomes], alpha: float, *names: str) -> GroupComparison:
    # The order of the rows, from easy to hard levels, would mislead a test that may stop early.
    order = stream(0, "compare", *names).permutation(paired.episodes)
    sequential = sequential_comparison(outcomes[0][order], outcomes[1][order], alpha)
    # One more episode on which just one policy succeeds, and one more on which not: never none, never all.
    discordant = (paired.only_first + paired.only_second + 1) / (paired.episodes + 2)
    return GroupComparison(
        **vars(paired),
        sequential_p_value=sequential.p_value,
        clear_after=sequential.stopped,
        clear_winner=sequential.better,
        detectable=_detectable(paired.episodes, discordant, alpha),
        more_episodes=_more_episodes(paired, discordant, alpha),
    )


def _detectable(episodes: int, discordant: float, alpha: float) -> float | None:
    found = paired_detectable_difference(episodes, discordant, POWER, alpha)
    if not math.isnan(found):
        return found

    def excess(difference: float) -> float:
        return paired_power(episodes, difference, difference, alpha) - POWER

    largest = 1 - 1e-9
    if excess(largest) < 0:
        return None
    return float(optimize.brentq(excess, discordant, largest))


def _more_episodes(paired: PairedAxis, discordant: float, alpha: float) -> int | None:
    if paired.adjusted <= ALPHA:
        return 0
    difference = min(abs(paired.difference.estimate), discordant)
    if not difference:
        return None
    needed = paired_episodes(discordant, difference, POWER, alpha)
    return None if needed is None else max(1, needed - paired.episodes)
