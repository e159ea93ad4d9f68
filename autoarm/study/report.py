"""The report of a study: verdicts first, in plain words, then the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from autoarm.figures.style import save_figure
from autoarm.pages.blocks import Block, Heading, Picture, Table, Text, Video
from autoarm.study.figures import Drawn, beta_parts, finetuning, slopes_by_distance, slopes_by_policy
from autoarm.study.films import VIDEOS
from autoarm.study.intervals import interval_caveat, interval_method
from autoarm.study.page import write_pages
from autoarm.study.plan import ControlCriterion, Criterion, Stage, Study
from autoarm.study.rows import Row, read_header
from autoarm.study.run import read_study_rows, rows_path
from autoarm.study.stages import STAGES
from autoarm.study.verdicts import NO_ROWS, Finding, Rows, Verdict, control_verdicts, judge, verdicts
from gym_autoarm.errors import InvalidFileError

FIGURES: Final = "figures"
CORRECTION: Final = "correction.md"
"""File that people write beside the rows: which verdicts do not hold after all, with the date; in paragraphs."""
CONCLUSIONS: Final = "conclusions.md"
"""File that people write beside the rows: what they conclude; in paragraphs."""
_SIZES: Final = {
    "full": "the full run",
    "quick": "a quick run, which shows that it works and decides nothing",
    "custom": "a run with an amount of work of its own",
}
_PLACES: Final = {
    "tuned": "at a new position",
    "old": "at a spot of the first training",
    "third": "at a third position",
}
_READING: Final = (
    "The policy sees the scene once and plans a chunk of actions; at the end of the chunk the gripper is over the "
    "cube, and that is where the policy aims. β compares how far the aim moves when the cube is moved away from the "
    "nearest demonstrated spot with how far the expert’s aim moves: 0 means that the policy repeats the "
    "demonstration, 1 that it follows the cube. The aim is exactly the sum of what comes through the decoder’s MLP "
    "and what comes around it, and so is β. Γ of a part is its β between demonstrated spots minus its β towards "
    "positions that were not demonstrated. A table that only knows its entries has a large Γ. Inside the hull of the "
    "spots a policy that interpolates has a β near 1 as well, so inside and outside are shown separately."
)
_RULE: Final = (
    "Each estimate is a mean over training seeds, or for controls over positions; {method}. A criterion is supported "
    "or refuted only if the whole interval lies beyond the threshold. A hypothesis is supported if all of its deciding "
    "criteria are, and refuted if one of them is."
)
_WASH_OUT: Final = (
    "It has been claimed that activations put into ACT wash out and leave the action as it was. An inert place in the "
    "network looks just like that, and ACT has one by construction: the decoder’s self-attention works on zeros, so "
    "that what it passes on does not depend on what is seen. Below, activations of a scene with the cube elsewhere "
    "are put into one place at a time. The effect is 0 where the action does not change, and 1 where it becomes that "
    "of the other scene."
)
_LIMITS: Final = (
    "One task, one simulated arm, small networks, and an expert with one way of grasping. {caveat} β and Γ are "
    "measured at the start of an episode, with the arm at home. The split takes the scales of the layer norms from the "
    "forward pass itself. The pretrained backbone has seen cubes everywhere. More seeds, a larger network, or an image "
    "encoder trained on other data could change a verdict; the thresholds could not: they were written down first."
)


def write_study_report(study: Study, folder: Path) -> Path:
    """Write `report.html`, `README.md` and their figures beside the rows; returns the path of the page.

    Raises:
        InvalidFileError: If nothing was measured, or rows belong to another study.
    """
    rows = _read(study, folder)
    first = next(iter(rows))
    size = _SIZES[read_header(rows_path(folder, first)).size]
    return write_pages(
        folder,
        study,
        size,
        [
            *_from_file("Correction", folder / CORRECTION),
            *_summary(study, rows),
            *_from_file("In plain words", folder / CONCLUSIONS),
            *_reading(study, rows),
            *_hypotheses(study, rows),
            *_evidence(study, folder, rows),
        ],
    )


def verdict_lines(study: Study, folder: Path) -> list[str]:
    """A line for each hypothesis: the verdict, and the deciding criterion with its interval."""
    rows = _read(study, folder)
    return [f"{name} {verdict.answer}: {_in_words(study, verdict)}" for name, verdict in verdicts(study, rows).items()]


def _read(study: Study, folder: Path) -> dict[Stage, list[Row]]:
    rows = read_study_rows(folder, study)
    if not rows:
        raise InvalidFileError("nothing was measured yet", file=folder, cure=f"autoarm study run {study.name}")
    return rows


def _in_words(study: Study, verdict: Verdict) -> str:
    claim = study.hypotheses[verdict.name].claim
    deciding = verdict.decisive
    why = f" ({verdict.reason})" if verdict.reason else ""
    return f"{claim} {_capital(deciding.measure.name)}: {estimate(deciding)}{why}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- The first page ----------------------------------------------------------------------------------------------------


def _summary(study: Study, rows: Rows) -> Iterable[Block]:
    yield Heading("In short")
    for name, verdict in verdicts(study, rows).items():
        yield Text(f"{name}. {_in_words(study, verdict)}", verdict.answer)


def _from_file(heading: str, file: Path) -> Iterable[Block]:
    """A section from a file that people wrote, if there is one."""
    if file.is_file():
        yield Heading(heading)
        for paragraph in file.read_text(encoding="utf-8").strip().split("\n\n"):
            yield Text(" ".join(paragraph.split()))


def _reading(study: Study, rows: Rows) -> Iterable[Block]:
    yield Heading("How to read it")
    yield Text(_READING)
    yield Text(_RULE.format(method=interval_method(study)))
    yield Heading("Can the measurement tell a lookup table from another policy?")
    yield Text("Policies whose behaviour is known in advance go through the same measurement.")
    for name, verdict in control_verdicts(study, rows).items():
        good = verdict.answer == "supported"
        outcome = "The measurement recognised it." if good else "The measurement did not clearly recognise it."
        yield Heading(name, 3)
        yield Text(f"{study.controls[name].about} {outcome}")
        yield _findings(verdict.findings)


def _hypotheses(study: Study, rows: Rows) -> Iterable[Block]:
    yield Heading("The hypotheses, one by one")
    found = verdicts(study, rows)
    for name, hypothesis in study.hypotheses.items():
        yield Heading(f"{name}. {hypothesis.claim}", 3)
        yield Text(f"Prediction: {hypothesis.prediction} {found[name].reason}".strip(), found[name].answer)
        yield Text(f"Analysis: {hypothesis.analysis} Left out: {hypothesis.exclusions}")
        yield _findings(found[name].findings)
    policies = [name for name in study.arms if any(row.arm == name for own in rows.values() for row in own)]
    if len(policies) > 1:
        yield Heading("The same criteria on the other policies")
        yield Text("Each verdict is about one recipe, chosen beforehand. The tables show whether the others agree.")
        judged = {
            policy: {name: judge(study, name, each, rows, policy) for name, each in study.hypotheses.items()}
            for policy in policies
        }
        yield Table(
            ["policy", *study.hypotheses], [[policy, *map(_answer, own.values())] for policy, own in judged.items()]
        )
        yield Table(["policy", "what it is"], [[policy, study.arms[policy].about] for policy in policies])
        for name in study.hypotheses:
            yield from _across(name, {policy: own[name].findings for policy, own in judged.items()})


def _across(name: str, found: Mapping[str, Sequence[Finding]]) -> Iterable[Table]:
    """A table of the estimates of each policy, for the criteria that several policies were measured by."""
    by_criterion = zip(*found.values(), strict=True)
    shared = [number for number, own in enumerate(by_criterion) if sum(each.estimate is not None for each in own) > 1]
    measured = [own for own in found.values() if any(each.estimate is not None for each in own)]
    if shared:
        cells = [[own[0].policy, *(estimate(own[number]) for number in shared)] for own in measured]
        yield Table([name, *(measured[0][number].measure.name for number in shared)], cells)


def _answer(verdict: Verdict) -> str:
    return verdict.answer if all(each.estimate is not None for each in verdict.deciding) else NO_ROWS


def _findings(findings: Sequence[Finding]) -> Table:
    cells = []
    for finding in findings:
        measure = finding.measure
        if isinstance(measure, ControlCriterion):
            thresholds = [str(measure.holds), ""]
        else:
            assert isinstance(measure, Criterion)
            thresholds = [str(measure.supported), str(measure.refuted)]
        decides = "" if getattr(measure, "decides", True) else "does not decide"
        unit = measure.unit if finding.clusters == 1 else f"{measure.unit}s"
        count = f"{finding.clusters} {unit}" if finding.clusters else ""
        cells.append([measure.name, estimate(finding), *thresholds, count, finding.answer, decides])
    return Table(["criterion", "estimate", "supported", "refuted", "measured on", "outcome", ""], cells)


def estimate(finding: Finding) -> str:
    """Estimate and interval as text."""
    if finding.estimate is None:
        return finding.reason or "not measured"
    number = _number(finding.estimate)
    missing = f", {finding.missing} undefined" if finding.missing else ""
    if finding.low is None or finding.high is None:
        return f"{number} ({finding.reason}{missing})"
    return f"{number} ({_number(finding.low)} to {_number(finding.high)}{missing})"


def _number(value: float | np.floating) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


# -- The evidence ------------------------------------------------------------------------------------------------------


def _evidence(study: Study, folder: Path, rows: Rows) -> Iterable[Block]:
    policy = next(iter(study.hypotheses.values())).arm
    yield Heading("Evidence")
    shown = [
        name for name in (*study.controls, *study.arms) if any(row.arm == name for row in rows.get("behaviour", ()))
    ]
    yield from _picture(
        folder,
        rows.get("behaviour", ()),
        "slopes",
        lambda own: slopes_by_distance(own, [name for name in shown if name in (*study.controls, policy)]),
        "Slope β at each position that was not demonstrated, mean over seeds.",
    )
    yield from _picture(
        folder,
        rows.get("behaviour", ()),
        "slopes-by-policy",
        lambda own: slopes_by_policy(own, shown),
        "Slope β of every policy, inside and outside the hull of its spots; small dots are seeds, large dots means.",
    )
    yield from _picture(
        folder,
        rows.get("mechanism", ()),
        "beta-parts",
        lambda own: beta_parts(own, policy),
        f"β of {policy}, through the decoder’s MLP and around it; dots are seeds.",
    )
    if "tracing" in rows:
        yield Heading("Do activations wash out?", 3)
        yield Text(_WASH_OUT)
        own = [row for row in rows["tracing"] if row.arm == policy and row.at["layer"] == "decoder"]
        yield _means(own, ["part"], ["place"], "Mean normalised effect.")
    yield from _picture(
        folder,
        rows.get("finetune", ()),
        "finetuning",
        lambda own: finetuning(own, policy),
        "Success after training one part on ten demonstrations at two new positions; dots are seeds.",
    )
    if "finetune" in rows:
        own = [row for row in rows["finetune"] if row.arm == policy and row.metric == "success"]
        yield _means(own, ["part", "demonstrations", "steps"], ["place"], "Success, mean over seeds and episodes.")
        for place, words in _PLACES.items():
            film = f"{VIDEOS}/finetuning-{place}.mp4"
            if (folder / film).is_file():
                yield Video(film, f"Before and after fine-tuning, {words}.")
    if "knockouts" in rows:
        own = [row for row in rows["knockouts"] if row.arm == policy and row.metric == "success"]
        yield _means(own, ["part", "kind"], ["place"], "Success with one part removed, on the same episodes.")
    if "probes" in rows:
        own = [row for row in rows["probes"] if row.arm == policy and row.metric == "selectivity"]
        yield _means(own, ["site", "place"], ["target"], "Selectivity of linear probes.")
    if "lens" in rows:
        own = [row for row in rows["lens"] if row.arm == policy and row.metric == "distance_translated"]
        yield _means(
            own,
            ["layers"],
            ["place"],
            "Distance from the action of what is decoded after each number of encoder layers.",
        )
    yield Heading("Limits, and what would change a verdict")
    yield Text(_LIMITS.format(caveat=interval_caveat(study)))
    yield Heading("How to repeat this")
    yield Text(
        f"`autoarm study run {study.name}` measures what is missing and writes these pages, `autoarm study film "
        f"{study.name}` makes the films; the rows are in `rows/`, one file a stage. Demonstrations and policies are "
        "made again from their seeds where they are missing."
    )
    yield Table(["stage", "what it measures", "rows"], [[n, STAGES[n].about, str(len(own))] for n, own in rows.items()])


def _means(rows: Sequence[Row], down: Sequence[str], across: Sequence[str], caption: str) -> Table:
    """Means of the rows: conditions `down` name a line, the one `across` a column; the last column counts seeds."""
    groups: dict[tuple[str, ...], dict[str, list[float]]] = {}
    seeds: dict[tuple[str, ...], set[int]] = {}
    for row in rows:
        if row.value is not None:
            key = tuple(str(row.at.get(name, "")) for name in down)
            groups.setdefault(key, {}).setdefault(str(row.at.get(across[0], "")), []).append(row.value)
            seeds.setdefault(key, set()).add(row.seed)
    columns = list(dict.fromkeys(name for own in groups.values() for name in own))
    cells = [
        [*key, *(_number(np.mean(own[name])) if name in own else "" for name in columns), str(len(seeds[key]))]
        for key, own in groups.items()
    ]
    return Table([*down, *columns, "seeds"], cells, caption)


def _picture(
    folder: Path, rows: Sequence[Row], name: str, draw: Callable[[Sequence[Row]], Drawn], alt: str
) -> Iterable[Block]:
    if not rows:
        return
    figure, data = draw(rows)
    if data:
        save_figure(figure, folder / FIGURES / name, data)
        yield Picture(f"{FIGURES}/{name}.png", f"{FIGURES}/{name}.csv", alt)
