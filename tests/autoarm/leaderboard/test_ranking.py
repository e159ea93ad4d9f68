"""Who is ahead, and of whom it can be said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autoarm.leaderboard.ranking import score, standings
from autoarm.results.comparison import compare_results
from autoarm.results.result import Result
from autoarm.statistics import mcnemar_exact, stratified_bootstrap
from gym_autoarm.errors import InvalidInputError

MakeSuiteResult = Callable[..., Result]


def test_score_counts_axes_alike(make_suite_result: MakeSuiteResult) -> None:
    result = make_suite_result("mine", 0.6, 0.2)
    (standing,) = standings([result])
    assert standing.score is not None
    assert standing.score.estimate == pytest.approx(np.mean([own.rate for own in result.groups.values()]))
    assert standing.score.estimate != pytest.approx(result.overall.rate)  # axes differ in their number of episodes


def test_interval_holds_the_bootstrap_and_is_never_a_point(make_suite_result: MakeSuiteResult) -> None:
    perfect = score([np.ones(50, np.bool_)] * 13)
    assert perfect.estimate == perfect.high == 1.0
    assert 0.98 < perfect.low < 0.995
    outcomes = [np.arange(40) < 10, np.arange(40) < 30]
    bootstrap = stratified_bootstrap(outcomes, np.random.default_rng(0))
    found = score(outcomes)
    assert found.low <= bootstrap.low + 0.01
    assert found.high >= bootstrap.high - 0.01


def test_only_competitors_with_all_axes_are_ranked(make_suite_result: MakeSuiteResult) -> None:
    results = [
        make_suite_result("part", 1.2, 0.0, axes=["seen", "yaw"]),
        make_suite_result("bad", 0.2, 0.1),
        make_suite_result("ceiling", 1.2, 0.0, role="ceiling"),
        make_suite_result("good", 0.9, 0.0),
    ]
    found = {each.name: each for each in standings(results)}
    assert list(found) == ["ceiling", "good", "bad", "part"]
    assert [each.rank for each in found.values()] == [None, 1, 2, None]
    assert found["part"].score is None
    assert set(found["part"].missing) == set(results[1].groups) - {"seen", "yaw"}


def test_those_who_cannot_be_told_apart_share_a_rank(make_suite_result: MakeSuiteResult) -> None:
    results = [make_suite_result(name, 0.6, 0.1) for name in ("one", "two")] + [make_suite_result("far", 0.0, 0.0)]
    found = {each.name: each for each in standings(results)}
    assert [found[name].rank for name in ("one", "two", "far")] == [1, 1, 3]
    assert (found["one"].ties, found["two"].ties, found["far"].ties) == (("two",), ("one",), ())


def test_nobody_is_no_ranking() -> None:
    with pytest.raises(InvalidInputError):
        standings([])


def test_comparison_is_of_shared_episodes(make_suite_result: MakeSuiteResult) -> None:
    first, second = make_suite_result("first", 0.8, 0.1), make_suite_result("second", 0.4, 0.1)
    shorter = Result.from_rows(
        second.policy, second.setting, second.platform, [row for row in second.rows[::-1] if row.index < 2], 1.0
    )
    found = compare_results(first, shorter)
    assert {own.episodes for axis, own in found.axes.items() if axis in ("seen", "fresh")} == {2}
    for axis, own in found.axes.items():
        one = [row.success for row in first.rows if row.group == axis and row.index < 2]
        two = [row.success for row in second.rows if row.group == axis and row.index < 2]
        assert own.difference.estimate == pytest.approx(np.mean(one) - np.mean(two))
        assert own.p_value == pytest.approx(mcnemar_exact(one, two).p_value)
        assert own.both + own.only_first + own.only_second <= own.episodes == len(one)
        assert own.adjusted >= own.p_value
    estimates = [own.difference.estimate for own in found.axes.values()]
    assert found.difference.estimate == pytest.approx(np.mean(estimates))
    assert found.difference.low > 0


def test_comparison_of_a_policy_with_itself_shows_nothing(make_suite_result: MakeSuiteResult) -> None:
    result = make_suite_result("same", 0.6, 0.2)
    found = compare_results(result, result)
    assert found.difference.low < found.difference.estimate == 0.0 < found.difference.high
    assert {own.adjusted for own in found.axes.values()} == {1.0}


def test_nothing_in_common_is_no_comparison(make_suite_result: MakeSuiteResult) -> None:
    first, second = make_suite_result("first", axes=["seen"]), make_suite_result("second", axes=["yaw"])
    with pytest.raises(InvalidInputError, match="share no episodes"):
        compare_results(first, second)
