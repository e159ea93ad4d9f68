"""Verdicts from made-up rows: each must come out, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoarm.study.intervals import interval_caveat, interval_method
from autoarm.study.plan import Criterion, Stage, Study
from autoarm.study.rows import Row
from autoarm.study.verdicts import NO_ROWS, combine, control_verdicts, find, verdicts

Rows = dict[Stage, list[Row]]
Choose = Callable[[Criterion], float]


EPISODES = 200


@pytest.fixture(scope="module", params=[None, 300], ids=["t", "resampled"])
def study(lookup_table: Study, request: pytest.FixtureRequest) -> Study:
    """The project's study with t intervals, as a new study has them, and with its own, quicker to compute."""
    return lookup_table.model_copy(update={"resamples": request.param})


def row(arm: str, seed: int, metric: str, at: dict[str, Any], value: float | None) -> Row:
    return Row(unit=f"{arm}/{seed}", arm=arm, seed=seed, metric=metric, at=at, value=value)


def support(criterion: Criterion) -> float:
    """A value well beyond the threshold of support."""
    limit = criterion.supported
    return limit.at_least + 0.1 if limit.at_least is not None else (limit.at_most or 0.0) - 0.1


def refute(criterion: Criterion) -> float:
    limit = criterion.refuted
    return limit.at_least + 0.1 if limit.at_least is not None else (limit.at_most or 0.0) - 0.1


def between(criterion: Criterion) -> float:
    ends = [criterion.supported.at_least, criterion.supported.at_most]
    ends += [criterion.refuted.at_least, criterion.refuted.at_most]
    return float(np.mean([end for end in ends if end is not None]))


def episodes(rate: float) -> list[float]:
    """Successes and failures at about this rate."""
    won = min(EPISODES, max(0, round(EPISODES * rate)))
    return [1.0] * won + [0.0] * (EPISODES - won)


def made_up(study: Study, choose: Choose, seeds: int = 5, spread: float = 0.01) -> Rows:
    """Rows for every criterion, and controls that come out as what they are."""
    rows: Rows = {}
    rng = np.random.default_rng(0)
    for hypothesis in study.hypotheses.values():
        for criterion in hypothesis.criteria:
            for seed in range(seeds):
                value = choose(criterion) + spread * (-1) ** seed
                values = episodes(value) if criterion.metric == "success" else [value]
                rows.setdefault(criterion.stage, []).extend(
                    row(hypothesis.arm, seed, criterion.metric, dict(criterion.at), each) for each in values
                )
    for name, slope in (("nearest", 0.0), ("position-fed", 1.0)):
        for place in ("inside", "outside"):
            for number in range(8):
                at = {"place": place, "position": number}
                rows.setdefault("behaviour", []).append(row(name, 0, "slope", at, slope + 0.05 * float(rng.normal())))
    return rows


def test_decisive_criterion_is_the_one_that_refutes(study: Study) -> None:
    def choose(criterion: Criterion) -> float:
        return refute(criterion) if criterion.metric == "gamma_above_skip" else support(criterion)

    found = verdicts(study, made_up(study, choose))
    assert found["H1"].answer == "refuted"
    assert found["H1"].decisive.measure.metric == "gamma_above_skip"
    assert found["H2"].decisive is found["H2"].findings[0]


@pytest.mark.parametrize(("choose", "answer"), [(support, "supported"), (refute, "refuted"), (between, "undecided")])
def test_every_hypothesis_can_come_out_each_way(study: Study, choose: Choose, answer: str) -> None:
    found = verdicts(study, made_up(study, choose))
    assert {name: verdict.answer for name, verdict in found.items()} == dict.fromkeys(study.hypotheses, answer)
    for verdict in found.values():
        for finding in verdict.findings:
            assert finding.estimate is not None
            assert finding.low is not None
            assert finding.high is not None
            assert finding.low <= finding.estimate <= finding.high


def test_an_interval_over_the_threshold_is_undecided(study: Study) -> None:
    found = verdicts(study, made_up(study, support, spread=3.0))
    assert {verdict.answer for verdict in found.values()} == {"undecided"}


def test_few_seeds_decide_nothing_but_are_shown(study: Study) -> None:
    found = verdicts(study, made_up(study, support, seeds=study.least_seeds - 1))
    assert {verdict.answer for verdict in found.values()} == {"undecided"}
    finding = found["H4"].findings[0]
    assert finding.estimate is not None
    assert "2 of at least 3 seeds" in finding.reason


def test_one_refuted_criterion_refutes_and_others_beside_it_do_not(study: Study) -> None:
    def one(name: str) -> Choose:
        return lambda criterion: refute(criterion) if criterion.name == name else support(criterion)

    assert verdicts(study, made_up(study, one("gamma of the MLP")))["H1"].answer == "refuted"
    beside = next(each.name for each in study.hypotheses["H1"].criteria if not each.decides)
    assert verdicts(study, made_up(study, one(beside)))["H1"].answer == "supported"


@pytest.mark.parametrize("wrong", ["nearest", "position-fed"])
def test_a_control_that_comes_out_wrong_leaves_h1_undecided(study: Study, wrong: str) -> None:
    rows = made_up(study, support)
    rows["behaviour"] = [
        each.model_copy(update={"value": 0.5 - 0.2}) if each.arm == wrong else each for each in rows["behaviour"]
    ]
    assert control_verdicts(study, rows)[wrong].answer == "undecided"
    found = verdicts(study, rows)
    assert found["H1"].answer == "undecided"
    assert wrong in found["H1"].reason
    assert found["H2"].answer == "supported"


def test_controls_that_were_not_run_leave_h1_undecided(study: Study) -> None:
    rows = made_up(study, support)
    rows["behaviour"] = [each for each in rows["behaviour"] if each.arm == "end-to-end"]
    assert verdicts(study, rows)["H1"].answer == "undecided"


def test_nothing_measured_is_said(study: Study) -> None:
    found = verdicts(study, {})
    assert {finding.reason for verdict in found.values() for finding in verdict.findings} == {NO_ROWS}


def test_seeds_count_alike_however_many_rows_they_have(study: Study) -> None:
    criterion = study.hypotheses["H6"].criteria[0]
    at = dict(criterion.at)
    rows = [row("end-to-end", 0, "success", at, 1.0)] * 97
    rows += [row("end-to-end", seed, "success", at, 0.0) for seed in (1, 2)]
    finding = find(study, criterion, "end-to-end", {"finetune": rows})
    assert finding.estimate == pytest.approx(1 / 3)
    assert (finding.low, finding.high) == (0.0, 1.0)


def test_undefined_rows_are_counted_and_left_out(study: Study) -> None:
    criterion = study.hypotheses["H4"].criteria[0]
    rows = [row("end-to-end", seed, criterion.metric, {}, value) for seed, value in enumerate([0.1, None, 0.1, 0.1])]
    finding = find(study, criterion, "end-to-end", {"attention": rows})
    assert (finding.missing, finding.clusters, finding.answer) == (1, 3, "supported")


def test_rows_of_other_conditions_do_not_count(study: Study) -> None:
    criterion = study.hypotheses["H6"].criteria[0]
    at = {**criterion.at, "steps": 50}
    rows = [row("end-to-end", seed, "success", at, 1.0) for seed in range(5)]
    assert find(study, criterion, "end-to-end", {"finetune": rows}).reason == NO_ROWS


def interval_of(study: Study, values: list[float]) -> tuple[float | None, float | None]:
    criterion = study.hypotheses["H4"].criteria[0]
    rows = [row("end-to-end", seed, criterion.metric, {}, value) for seed, value in enumerate(values)]
    finding = find(study, criterion, "end-to-end", {"attention": rows})
    return finding.low, finding.high


def test_a_new_study_has_t_intervals(lookup_table: Study) -> None:
    new = lookup_table.model_copy(update={"resamples": None})
    half = 2.7764451 * np.sqrt(2.5 / 5)  # t's quantile of 0.975 at four degrees of freedom, and the standard error
    assert interval_of(new, [1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half))
    # The mean of five numbers that are drawn with replacement is never beyond them, and rarely near them.
    low, high = interval_of(lookup_table, [1, 2, 3, 4, 5])
    assert (low, high) == pytest.approx((1.8, 4.2), abs=0.1)


def test_success_of_every_seed_in_every_episode_is_not_certain(lookup_table: Study) -> None:
    new = lookup_table.model_copy(update={"resamples": None})
    criterion = new.hypotheses["H6"].criteria[0]
    rows = [row("end-to-end", seed, "success", dict(criterion.at), 1.0) for seed in range(5) for _ in range(20)]
    finding = find(new, criterion, "end-to-end", {"finetune": rows})
    assert (finding.estimate, finding.high) == (1.0, 1.0)
    assert finding.low is not None
    assert finding.low < 0.98


def test_the_report_says_how_intervals_were_made(lookup_table: Study) -> None:
    new = lookup_table.model_copy(update={"resamples": None})
    assert "resampling whole seeds" in interval_method(lookup_table)
    assert "Student’s t" in interval_method(new)
    assert interval_caveat(lookup_table) == "Intervals from five seeds tend to be too narrow."
    assert "all seeds gave the very same number" in interval_caveat(new)


def test_combining() -> None:
    assert combine(["supported", "supported"]) == "supported"
    assert combine(["supported", "undecided"]) == "undecided"
    assert combine(["supported", "undecided", "refuted"]) == "refuted"
    assert combine([]) == "undecided"
