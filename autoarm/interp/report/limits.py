"""Sections of the report: scenes that are new to the policy, and its success with interventions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import FAILURE, FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.ood.detectors import FeatureDistance, fit_detector, score_scenes, suite_scenes
from autoarm.interp.report.report import Material, Section, Table, Text, section
from autoarm.results.result import Interval
from autoarm.suite.suite import load_suite
from gym_autoarm.errors import InvalidInputError

_SUITE: Final = "five-spots-v1"


@section("unfamiliar")
def unfamiliar(material: Material) -> Section:
    """How far scenes of other kinds are from the training data, in the backbone's features."""
    sample = material.sample
    train, held = sample.split(0.2, material.rng("unfamiliar"))
    detector = fit_detector(material.act, sample.batches(material.policy, train), sample.batches(material.policy, held))
    within = detector.distance.scores(material.act, sample.batches(material.policy, held)) / detector.threshold
    blocks: list[Any] = [
        Text(
            "What the image backbone makes of a frame is compared with what it made of the training frames. The"
            " distance is in units of the warning’s threshold, which 5 % of the frames of held-out episodes exceed: 1"
            " is where the warning begins."
        )
    ]
    rows = _scene_rows(material, detector.distance)
    if rows:
        with new_figure(7.5, 0.32 * len(rows) + 1.2) as figure:
            axes = figure.subplots()
            values = [float(row["median"]) / detector.threshold for row in rows]
            colours = [FAILURE if value > 1 else POLICY_COLOURS[0] for value in values]
            axes.barh(np.arange(len(rows)), values, color=colours)
            for line, (row, value) in enumerate(zip(rows, values, strict=True)):
                said = f" {row['auroc']:.2f}" if line else " (familiar)"
                axes.text(value, line, said, va="center", fontsize=8)
            axes.axvline(1, color=FAINT, linestyle="--")
            axes.set_yticks(np.arange(len(rows)), [str(row["scenes"]) for row in rows])
            axes.invert_yaxis()
            axes.margins(x=0.12)
            axes.set_xlabel("distance from the training data (dashed: the warning); number: AUROC")
        blocks.append(
            material.picture("unfamiliar", figure, rows, "Distance of scenes from the training data, by kind.",
                             f"Median over {material.scenes} first views of each axis of {_SUITE}. AUROC: how often one"
                             " of these is farther than one of the first, familiar kind; 0.5 is guessing.")
        )  # fmt: skip
    blocks.append(
        Text(
            "Far away does not mean that it fails there, nor near that it succeeds. First views show the arm at rest;"
            " held-out frames, from whole episodes, differ more from each other.",
            small=True,
        )
    )
    told = [row for row in rows[1:] if float(row["auroc"]) > 0.9]
    return Section(
        "Does it notice what is new?",
        f"{len(told)} of {len(rows) - 1} other kinds of scenes are told from training’s own in more than 9 of 10 pairs."
        if rows
        else f"Half of the held-out frames lie beyond {np.median(within):.2f} of the threshold, 5 % beyond 1.",
        blocks,
    )


def _scene_rows(material: Material, distance: FeatureDistance) -> list[dict[str, Any]]:
    if not material.scenes:
        return []
    scenes = suite_scenes(load_suite(_SUITE), material.scenes)
    return score_scenes(
        material.policy, {"feature distance": distance}, scenes, next(iter(scenes)), material.image_size
    )


@section("success")
def success(material: Material) -> Section | None:
    """Whether the policy still succeeds with interventions."""
    if not material.episodes:
        return None
    from autoarm.evaluation.evaluate import evaluate
    from autoarm.interp.methods.edited_policy import Ablate, EditedPolicy, Intervention, MaskTokens
    from autoarm.interp.methods.knockout import Part, state_token
    from autoarm.statistics.paired import mcnemar_exact

    if not material.reference:
        raise InvalidInputError("the policy has no name to be loaded by", field="reference", cure="give one")
    quarter = max(1, material.layout.size // 4)
    interventions: list[Intervention] = [
        Ablate(Part("the decoder’s MLP", material.last("mlp"))),
        Ablate(state_token(material.act)),
        MaskTokens(quarter, hidden=True),
        MaskTokens(quarter, top=False, hidden=True),
    ]
    how: dict[str, Any] = {"episodes": material.episodes, "seed": material.seed, "image_size": material.image_size}
    whole = evaluate(material.reference, **how)
    table, rates = [["as it is", *_cells(whole.overall), ""]], []
    for intervention in interventions:
        edited = EditedPolicy(material.reference, [intervention], image_size=material.image_size)
        result = evaluate(edited, **how)
        test = mcnemar_exact([row.success for row in whole.rows], [row.success for row in result.rows])
        table.append([intervention.label, *_cells(result.overall), f"{test.p_value:.2g}"])
        rates.append(result.overall.rate)
    worst = int(np.argmin(rates))
    return Section(
        "Does it still succeed?",
        f"{whole.overall.successes} of {material.episodes} times the cube ends in the box; {table[worst + 1][1]}"
        f" {interventions[worst].label}.",
        [
            Text(
                "What changes a planned action need not change whether it works. Here the policy acts in simulation,"
                " each way in the same scenes, the cube at the training spots."
            ),
            Table(["Policy", "Success", "95 % interval", "p (McNemar)"], table),
            Text("p: how likely a difference as large would be by luck alone. Intervals are Wilson’s.", small=True),
        ],
    )


def _cells(interval: Interval) -> list[str]:
    return [f"{interval.successes} of {interval.episodes}", f"{interval.low:.0%} to {interval.high:.0%}"]
