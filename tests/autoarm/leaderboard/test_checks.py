"""A result that was sealed again after somebody improved it is refused all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from autoarm.leaderboard.checks import check_whole
from autoarm.results.result import EpisodeRow, Result
from gym_autoarm.errors import InvalidFileError

MakeSuiteResult = Callable[..., Result]
AXES = ["seen", "yaw"]


def check(result: Result, rows: Sequence[EpisodeRow] | None = None) -> None:
    if rows is not None:
        result = Result.from_rows(result.policy, result.setting, result.platform, rows, result.seconds)
    assert result.setting.suite is not None
    check_whole(result, result.setting.suite, Path("mine.json"))


@pytest.fixture
def result(make_suite_result: MakeSuiteResult) -> Result:
    made = make_suite_result("mine", 0.5, axes=AXES)
    assert 0 < made.overall.successes < made.overall.episodes
    return made


def test_a_whole_result_passes_in_any_order(result: Result) -> None:
    check(result)
    check(result, result.rows[::-1])


@pytest.mark.parametrize("improve", ["drop failures", "repeat successes", "success instead of a failure"])
def test_missing_and_repeated_episodes_are_refused(result: Result, improve: str) -> None:
    won = [row for row in result.rows if row.success]
    rows = {
        "drop failures": won,
        "repeat successes": [*result.rows, won[0]],
        "success instead of a failure": [row if row.success else won[0] for row in result.rows],
    }[improve]
    with pytest.raises(InvalidFileError, match=r"rows: .*the setting says 4") as caught:
        check(result, rows)
    assert caught.value.file == "mine.json"


@pytest.mark.parametrize("field", ["overall", "groups", "levels"])
def test_rates_that_the_rows_do_not_add_up_to_are_refused(result: Result, field: str) -> None:
    perfect = result.overall.model_copy(update={"successes": result.overall.episodes, "rate": 1.0})
    forged = perfect if field == "overall" else dict.fromkeys(getattr(result, field), perfect)
    with pytest.raises(InvalidFileError, match="add up") as caught:
        check(result.model_copy(update={field: forged}).sealed())
    assert caught.value.field == field
