"""Two result files of the same episodes compared, and pairs that are no comparison refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.cli import main
from autoarm.evaluation.compare import ALPHA, POWER, Comparison, compare
from autoarm.results.comparison import compare_results
from autoarm.results.result import EpisodeRow, Result, SuiteRecord
from autoarm.statistics import holm, mcnemar_exact, paired_difference, paired_power
from gym_autoarm.errors import InvalidFileError, InvalidInputError

EPISODES = 200
Rows = list[EpisodeRow]
Write = Callable[..., Path]


@pytest.fixture
def write(make_result: Callable[..., Result], tmp_path: Path) -> Write:
    """Writes a result: `write(name, outcomes, rows=..., setting=...)`, both of which change what there would be."""

    def write(
        name: str, outcomes: Sequence[bool], rows: Callable[[Rows], Rows] = lambda rows: rows, **setting: Any
    ) -> Path:
        made = make_result(name, "everywhere", outcomes, rows=rows)
        result = Result.from_rows(
            made.policy, made.setting.model_copy(update=setting), made.platform, made.rows, made.seconds
        )
        result.save(tmp_path / f"{name}.json")
        return tmp_path / f"{name}.json"

    return write


def in_two_axes(rows: Rows) -> Rows:
    """The even rows as axis `even`, with levels, and the odd ones as axis `odd`."""
    return [row.model_copy(update={"group": ("even", "odd")[number % 2]}) for number, row in enumerate(rows)]


def outcomes(rate: float, seed: int) -> list[bool]:
    """Successes of a policy on episodes of which each is as hard for all policies."""
    hard = np.random.default_rng(0).random(EPISODES)
    luck = np.random.default_rng(seed).random(EPISODES)
    return [bool(own) for own in 0.8 * hard + 0.2 * luck < rate]


@pytest.fixture
def better_on_even(write: Write) -> Comparison:
    """`first` and `second`: alike on the odd episodes, the first far better on the even ones."""
    one, other = outcomes(0.7, 1), outcomes(0.3, 2)
    like_one = outcomes(0.7, 3)
    second = [like_one[number] if number % 2 else other[number] for number in range(EPISODES)]
    return compare(write("first", one, in_two_axes), write("second", second, in_two_axes))


def test_the_numbers_are_those_of_the_rows(write: Write, better_on_even: Comparison, tmp_path: Path) -> None:
    first, second = (Result.load(tmp_path / f"{name}.json") for name in ("first", "second"))
    assert (better_on_even.first, better_on_even.second, better_on_even.left_out) == ("first", "second", 0)
    assert list(better_on_even.groups) == ["even", "odd"]
    for name, group in {**better_on_even.groups, "": better_on_even.overall}.items():
        one = [row.success for row in first.rows if name in ("", row.group)]
        two = [row.success for row in second.rows if name in ("", row.group)]
        assert (group.first_successes, group.second_successes, group.episodes) == (sum(one), sum(two), len(one))
        assert group.difference == paired_difference(one, two)
        assert group.p_value == mcnemar_exact(one, two).p_value
    p_values = [group.p_value for group in better_on_even.groups.values()]
    assert [group.adjusted for group in better_on_even.groups.values()] == pytest.approx(holm(p_values))
    assert better_on_even.overall.adjusted == better_on_even.overall.p_value
    assert better_on_even.mean_difference == compare_results(first, second).difference


def test_a_clear_difference_is_settled_early(better_on_even: Comparison) -> None:
    even = better_on_even.groups["even"]
    assert even.more_episodes == 0
    assert even.clear_winner == 1
    assert even.clear_after is not None
    assert even.clear_after < even.episodes
    assert even.sequential_p_value <= ALPHA / 2


def test_what_is_not_settled_names_the_episodes_that_would(better_on_even: Comparison) -> None:
    odd = better_on_even.groups["odd"]
    assert odd.adjusted > ALPHA
    assert (odd.clear_after, odd.clear_winner) == (None, None)
    share = (odd.only_first + odd.only_second + 1) / (odd.episodes + 2)
    difference = abs(odd.difference.estimate)
    assert difference > 0
    assert odd.more_episodes is not None
    total = odd.episodes + odd.more_episodes
    assert paired_power(total, share, difference, ALPHA / 2) >= POWER
    assert paired_power(int(0.95 * total), share, difference, ALPHA / 2) < POWER


def test_detectable_difference_is_noticed_with_the_promised_probability(better_on_even: Comparison) -> None:
    overall = better_on_even.overall
    share = (overall.only_first + overall.only_second + 1) / (overall.episodes + 2)
    assert overall.detectable is not None
    assert paired_power(overall.episodes, share, overall.detectable) == pytest.approx(POWER, abs=1e-3)


def test_policies_that_always_agree_are_not_told_apart_by_any_number(write: Write) -> None:
    both = outcomes(0.5, 1)
    overall = compare(write("first", both), write("second", both)).overall
    assert overall.difference.low < overall.difference.estimate == 0.0 < overall.difference.high
    assert (overall.p_value, overall.more_episodes, overall.clear_winner) == (1.0, None, None)
    # They hardly ever disagree, so that a difference could only come with more disagreement.
    assert overall.detectable is not None
    assert paired_power(EPISODES, overall.detectable, overall.detectable) == pytest.approx(POWER, abs=1e-3)


def test_three_episodes_can_show_nothing(write: Write) -> None:
    overall = compare(write("first", [True] * 3), write("second", [False] * 3)).overall
    assert overall.detectable is None
    assert overall.p_value == 0.25
    assert overall.more_episodes is not None


def test_turning_round_turns_the_signs(write: Write) -> None:
    one, two = write("first", outcomes(0.8, 1)), write("second", outcomes(0.4, 2))
    there, back = compare(one, two).overall, compare(two, one).overall
    assert back.difference.estimate == -there.difference.estimate
    assert (there.clear_winner, back.clear_winner) == (1, 2)
    assert (back.p_value, back.detectable, back.clear_after) == (there.p_value, there.detectable, there.clear_after)


def test_rows_that_only_one_has_are_left_out(write: Write) -> None:
    first = write("first", outcomes(0.8, 1))
    second = write("second", outcomes(0.4, 2), rows=lambda rows: rows[:50][::-1], image_size=(96, 128))
    found = compare(first, second)
    assert (found.overall.episodes, found.left_out) == (50, EPISODES - 50)


def suite_record(sha256: str) -> SuiteRecord:
    axes = {"everywhere": {"title": "Everywhere", "levels": {"": {"episodes": 3}}}}
    return SuiteRecord.model_validate({"name": "small", "version": 1, "sha256": sha256, "size": "quick", "axes": axes})


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ({"suite": suite_record("b")}, "setting.suite.sha256"),
        ({"suite": None}, "setting.suite.sha256"),
        ({"distribution": {"cube": "spots"}}, "setting.distribution"),
        ({"time_limit": 100}, "setting.time_limit"),
    ],
)
def test_other_settings_are_refused(write: Write, setting: dict[str, Any], field: str) -> None:
    usual = {"suite": suite_record("a")}
    first, second = write("first", [True] * 3, **usual), write("second", [True] * 3, **{**usual, **setting})
    with pytest.raises(InvalidInputError, match=str(first)) as refused:
        compare(first, second)
    assert (refused.value.file, refused.value.field) == (str(second), field)
    assert refused.value.cure


def test_no_shared_episodes_are_refused(write: Write) -> None:
    def elsewhere(rows: Rows) -> Rows:
        return [row.model_copy(update={"seed": row.seed + 1}) for row in rows]

    first, second = write("first", [True] * 3), write("second", [True] * 3, elsewhere)
    with pytest.raises(InvalidInputError, match="no episode") as refused:
        compare(first, second)
    assert (refused.value.file, refused.value.field) == (str(second), "rows")


def test_equal_episodes_with_other_scenes_are_refused(write: Write) -> None:
    def moved(rows: Rows) -> Rows:
        return [*rows[:2], rows[2].model_copy(update={"scene": {"cube": {"x": 0.2}}})]

    first, second = write("first", [True] * 3), write("second", [True] * 3, moved)
    with pytest.raises(InvalidInputError) as refused:
        compare(first, second)
    assert refused.value.field == "rows.2.scene"


def test_what_is_no_result_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="absent"):
        compare(write("first", [True]), tmp_path / "absent.json")


def test_the_command_prints_a_row_for_each_axis(
    better_on_even: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", str(tmp_path / "first.json"), str(tmp_path / "second.json")])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    even = better_on_even.groups["even"]
    (row,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["even"])
    assert row[:3] == ["even", f"{even.first_successes}/100", f"{even.second_successes}/100"]
    assert row[-1] == "settled"
    assert "A: first" in printed
    assert "all episodes" in printed
    assert "mean over the axes: A - B = +" in printed


def test_the_command_prints_json(
    better_on_even: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "first.json"), str(tmp_path / "second.json"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["overall"]["difference"] == better_on_even.overall.difference._asdict()
    assert printed["groups"]["odd"]["more_episodes"] == better_on_even.groups["odd"].more_episodes
    assert printed["mean_difference"]["low"] == better_on_even.mean_difference.low
