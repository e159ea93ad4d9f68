"""The report of a study: verdicts first, in words for a newcomer, then the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from autoarm.figures.style import save_figure
from autoarm.study.figures import Drawn, beta_parts, finetuning, slopes_by_distance, slopes_by_policy
from autoarm.study.films import VIDEOS
from autoarm.study.page import Block, Heading, Picture, Table, Text, Video, write_pages
from autoarm.study.plan import ControlCriterion, Criterion, Stage, Study
from autoarm.study.rows import Row, read_header
from autoarm.study.run import read_study_rows, rows_path
from autoarm.study.stages import STAGES
from autoarm.study.verdicts import NO_ROWS, Finding, Rows, Verdict, control_verdicts, judge, verdicts
from gym_autoarm.errors import InvalidFileError

FIGURES: Final = "figures"
CORRECTION: Final = "correction.md"
"""Beside the rows, written by people: what of the verdicts does not hold after all, with the date. Paragraphs."""
CONCLUSIONS: Final = "conclusions.md"
"""Beside the rows, written by people: what they take from it. Paragraphs."""
_SIZES: Final = {
    "full": "the full run",
    "quick": "a quick run, which shows that it works and decides nothing",
    "custom": "a run of its own size",
}
_PLACES: Final = {
    "tuned": "at a new position",
    "old": "at a spot of the first training",
    "third": "at a third position",
}
_READING: Final = (
    "The policy looks once and plans a chunk of actions, at the end of which the gripper is over the cube: that is "
    "where it aims. β compares how the aim moves when the cube is moved away from the nearest demonstrated spot "
    "with how the expert’s does: 0 means that it goes on doing what was demonstrated, 1 that it follows. The aim is"
    " an exact sum of what comes through the decoder’s MLP and what comes around it, and so is β; Γ is a part’s β "
    "between demonstrated spots minus its β towards places that were not demonstrated. A table that only knows its "
    "entries has a large Γ. Inside the hull of the spots a policy that interpolates scores nearly 1 as well, which "
    "is why inside and outside stand apart."
)
_RULE: Final = (
    "Each estimate is a mean over training seeds; its interval comes from resampling whole seeds. A criterion is "
    "supported or refuted only if all of the interval lies beyond the threshold. A hypothesis is supported if all of "
    "its deciding criteria are, refuted if one of them is."
)
_WASH_OUT: Final = (
    "It has been claimed that activations put into ACT wash out and leave the action as it was. That is what an "
    "inert place looks like, and ACT has one by construction: the decoder’s self-attention works on zeros, so that "
    "what it passes on does not depend on what is seen. Below, activations of a scene with the cube elsewhere are "
    "put into one place at a time; the effect is 0 where nothing arrives and 1 where the action becomes that of the"
    " other scene."
)
_LIMITS: Final = (
    "One task, one simulated arm, small networks, an expert with one manner of grasping. Five seeds make intervals "
    "that are rather too narrow than too wide. β and Γ are taken at the start of an episode, with the arm at home. "
    "Norms are taken with the scales of their own forward pass, as the split demands. The pretrained backbone has "
    "seen cubes everywhere. More seeds, a larger network, or an image encoder trained on other data could change a "
    "verdict; the thresholds could not: they were written down first."
)


def write_study_report(study: Study, folder: Path) -> Path:
    """Write `report.html`, `README.md` and their figures beside the rows; returns the path of the page.

    Raises:
        InvalidFileError: If nothing was measured, or rows are of another study.
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
    """A line for each hypothesis: its verdict, and the criterion that made it so with its interval."""
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
    """A section that people wrote; nothing where the file is missing."""
    if file.is_file():
        yield Heading(heading)
        for paragraph in file.read_text(encoding="utf-8").strip().split("\n\n"):
            yield Text(" ".join(paragraph.split()))


def _reading(study: Study, rows: Rows) -> Iterable[Block]:
    yield Heading("How to read it")
    yield Text(_READING)
    yield Text(_RULE)
    yield Heading("Can it tell a lookup table from another policy?")
    yield Text("Two policies whose nature is known go through the same measurement of behaviour.")
    for name, verdict in control_verdicts(study, rows).items():
        good = verdict.answer == "supported"
        outcome = "It came out as what it is." if good else "It did not clearly come out as what it is."
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
    arms = [name for name in study.arms if any(row.arm == name for own in rows.values() for row in own)]
    if len(arms) > 1:
        yield Heading("The same criteria on the other policies")
        yield Text("The verdict is that of one recipe, chosen beforehand. These say whether it is alone in it.")
        judged = {
            arm: {name: judge(study, name, each, rows, arm) for name, each in study.hypotheses.items()} for arm in arms
        }
        yield Table(["policy", *study.hypotheses], [[arm, *map(_answer, own.values())] for arm, own in judged.items()])
        yield Table(["policy", "what it is"], [[arm, study.arms[arm].about] for arm in arms])
        for name in study.hypotheses:
            yield from _across(name, {arm: own[name].findings for arm, own in judged.items()})


def _across(name: str, found: Mapping[str, Sequence[Finding]]) -> Iterable[Table]:
    """What each policy was measured at by those criteria of a hypothesis that several were measured by."""
    by_criterion = zip(*found.values(), strict=True)
    shared = [number for number, own in enumerate(by_criterion) if sum(each.estimate is not None for each in own) > 1]
    measured = [own for own in found.values() if any(each.estimate is not None for each in own)]
    if shared:
        cells = [[own[0].arm, *(estimate(own[number]) for number in shared)] for own in measured]
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
        decides = "" if getattr(measure, "decides", True) else "beside the verdict"
        unit = measure.unit if finding.clusters == 1 else f"{measure.unit}s"
        count = f"{finding.clusters} {unit}" if finding.clusters else ""
        cells.append([measure.name, estimate(finding), *thresholds, count, finding.answer, decides])
    return Table(["criterion", "estimate", "supported", "refuted", "of", "outcome", ""], cells)


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
    arm = next(iter(study.hypotheses.values())).arm
    yield Heading("Evidence")
    shown = [
        name for name in (*study.controls, *study.arms) if any(row.arm == name for row in rows.get("behaviour", ()))
    ]
    yield from _picture(
        folder,
        rows.get("behaviour", ()),
        "slopes",
        lambda own: slopes_by_distance(own, [name for name in shown if name in (*study.controls, arm)]),
        "Slope at each position that was not demonstrated, mean over seeds.",
    )
    yield from _picture(
        folder,
        rows.get("behaviour", ()),
        "slopes-by-policy",
        lambda own: slopes_by_policy(own, shown),
        "Slope of every policy, inside and outside the hull of its own spots; small dots are seeds, large ones means.",
    )
    yield from _picture(
        folder,
        rows.get("mechanism", ()),
        "beta-parts",
        lambda own: beta_parts(own, arm),
        f"Beta of {arm}, through the decoder’s MLP and around it; a dot a seed.",
    )
    if "tracing" in rows:
        yield Heading("Do activations wash out?", 3)
        yield Text(_WASH_OUT)
        own = [row for row in rows["tracing"] if row.arm == arm and row.at["layer"] == "decoder"]
        yield _means(own, ["part"], ["place"], "Mean normalised effect.")
    yield from _picture(
        folder,
        rows.get("finetune", ()),
        "finetuning",
        lambda own: finetuning(own, arm),
        "Success after training one part on ten demonstrations at two new positions; a dot a seed.",
    )
    if "finetune" in rows:
        own = [row for row in rows["finetune"] if row.arm == arm and row.metric == "success"]
        yield _means(own, ["part", "demonstrations", "steps"], ["place"], "Success, mean over seeds and episodes.")
        for place, words in _PLACES.items():
            film = f"{VIDEOS}/finetuning-{place}.mp4"
            if (folder / film).is_file():
                yield Video(film, f"Before and after fine-tuning, {words}.")
    if "knockouts" in rows:
        own = [row for row in rows["knockouts"] if row.arm == arm and row.metric == "success"]
        yield _means(own, ["part", "kind"], ["place"], "Success without a part, on the same episodes.")
    if "probes" in rows:
        own = [row for row in rows["probes"] if row.arm == arm and row.metric == "selectivity"]
        yield _means(own, ["site", "place"], ["target"], "Selectivity of linear probes.")
    if "lens" in rows:
        own = [row for row in rows["lens"] if row.arm == arm and row.metric == "distance_translated"]
        yield _means(
            own, ["layers"], ["place"], "What is decoded after so many encoder layers: distance from the action."
        )
    yield Heading("Limits, and what would change a verdict")
    yield Text(_LIMITS)
    yield Heading("To repeat it")
    yield Text(
        f"`autoarm study run {study.name}` measures what is missing and writes these pages, `autoarm study film "
        f"{study.name}` makes the films; the rows are in `rows/`, one file a stage. Demonstrations and policies are "
        "made again from their seeds where they are missing."
    )
    yield Table(["stage", "what it measures", "rows"], [[n, STAGES[n].about, str(len(own))] for n, own in rows.items()])


def _means(rows: Sequence[Row], down: Sequence[str], across: Sequence[str], caption: str) -> Table:
    """Mean of rows by some conditions down, and one across; and over how many seeds."""
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
