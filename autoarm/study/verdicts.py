"""From rows to verdicts: pure functions; every threshold comes from the study's file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from autoarm.statistics import Estimate
from autoarm.study.intervals import by_cluster, interval
from autoarm.study.plan import Control, ControlCriterion, Criterion, Hypothesis, Measure, Stage, Study
from autoarm.study.rows import Row

Answer = Literal["supported", "refuted", "undecided"]
Rows = Mapping[Stage, Sequence[Row]]

NO_ROWS: Final = "not measured"


@dataclass(frozen=True)
class Finding:
    """The result of one criterion.

    Attributes:
        measure: The criterion.
        policy: The recipe or control that was measured.
        answer: For a control, `supported` if the value came out as it must.
        estimate: Mean over the rows; None if there are none.
        low: Lower end of the interval; None where too few seeds or positions were measured for one.
        high: Upper end of the interval.
        clusters: Number of seeds, or of positions.
        missing: Number of rows whose value is not defined; they were left out.
        reason: Why it is undecided, unless the interval is the reason.
    """

    measure: Measure
    policy: str
    answer: Answer
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    clusters: int = 0
    missing: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a hypothesis, or on a control.

    Attributes:
        name: Name of the hypothesis or control.
        answer: The verdict.
        findings: Results of all criteria, also of those that do not decide.
        reason: Why it is undecided, where the criteria alone do not say.
    """

    name: str
    answer: Answer
    findings: tuple[Finding, ...]
    reason: str = ""

    @property
    def deciding(self) -> list[Finding]:
        """Results of the criteria that decide."""
        return [each for each in self.findings if getattr(each.measure, "decides", True)]

    @property
    def decisive(self) -> Finding:
        """The first deciding criterion that made the verdict what it is: of a refuted one, the one that refutes."""
        return next((each for each in self.deciding if each.answer == self.answer), self.deciding[0])


def verdicts(study: Study, rows: Rows) -> dict[str, Verdict]:
    """The verdicts on all hypotheses, by name."""
    controls = control_verdicts(study, rows)
    failed = [name for name, verdict in controls.items() if verdict.answer != "supported"]
    found = {}
    for name, hypothesis in study.hypotheses.items():
        verdict = judge(study, name, hypothesis, rows)
        if hypothesis.needs_controls and failed:
            reason = f"the measurement did not tell known policies apart: {', '.join(failed)}"
            verdict = Verdict(name, "undecided", verdict.findings, reason)
        found[name] = verdict
    return found


def judge(study: Study, name: str, hypothesis: Hypothesis, rows: Rows, policy: str | None = None) -> Verdict:
    """What the criteria of a hypothesis say of a policy; by default of the hypothesis' own."""
    who = policy or hypothesis.arm
    findings = tuple(find(study, criterion, who, rows) for criterion in hypothesis.criteria)
    deciding = [
        finding.answer for finding, criterion in zip(findings, hypothesis.criteria, strict=True) if criterion.decides
    ]
    return Verdict(name, combine(deciding), findings)


def combine(answers: Sequence[Answer]) -> Answer:
    """Supported if all answers are, refuted if one is, undecided otherwise."""
    if "refuted" in answers:
        return "refuted"
    return "supported" if answers and all(answer == "supported" for answer in answers) else "undecided"


def control_verdicts(study: Study, rows: Rows) -> dict[str, Verdict]:
    """The verdicts on all controls: whether policies of known behaviour came out as what they are."""
    return {name: _judge_control(study, name, control, rows) for name, control in study.controls.items()}


def _judge_control(study: Study, name: str, control: Control, rows: Rows) -> Verdict:
    findings = tuple(find(study, criterion, name, rows) for criterion in control.criteria)
    return Verdict(name, combine([finding.answer for finding in findings]), findings)


def find(study: Study, measure: Measure, policy: str, rows: Rows) -> Finding:
    """Estimate, interval and answer of a criterion for a policy."""
    chosen = [
        row
        for row in rows.get(measure.stage, ())
        if row.arm == policy and row.metric == measure.metric and row.meets(measure.at)
    ]
    defined = [(row, row.value) for row in chosen if row.value is not None and math.isfinite(row.value)]
    missing = len(chosen) - len(defined)
    if not defined:
        reason = "not defined in any row" if chosen else NO_ROWS
        return Finding(measure, policy, "undecided", missing=missing, reason=reason)
    values = [value for _, value in defined]
    clusters = [row.seed if measure.unit == "seed" else int(row.at.get("position", 0)) for row, _ in defined]
    count = len(set(clusters))
    if count < study.least_seeds:
        reason = f"{count} of at least {study.least_seeds} {measure.unit}s"
        estimate = float(np.mean([own.mean() for own in by_cluster(values, clusters).values()]))
        return Finding(measure, policy, "undecided", estimate, clusters=count, missing=missing, reason=reason)
    found = interval(study, measure, policy, values, clusters)
    return Finding(measure, policy, _answer(measure, found), *found, clusters=count, missing=missing)


def _answer(measure: Measure, found: Estimate) -> Answer:
    if isinstance(measure, Criterion):
        supported, refuted = measure.supported, measure.refuted
        if supported.holds(found.low, found.high):
            return "supported"
        return "refuted" if refuted.holds(found.low, found.high) else "undecided"
    assert isinstance(measure, ControlCriterion)
    return "supported" if measure.holds.holds(found.low, found.high) else "undecided"
