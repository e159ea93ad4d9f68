"""Sections of the report: the decoder's MLP as a memory of keys and values, and its units."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.figures.memory import unit_fields, unit_histogram
from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.memory_units import Triggers, episode_spread, field_scores, triggers, unit_activations
from autoarm.interp.methods.probes import random_weights
from autoarm.interp.report.report import Material, Picture, Section, Text, percent, section
from gym_autoarm import spec

_LOOKS: Final = 96
"""Observations whose actions are decomposed."""
_FIELDS: Final = 8
_TRIGGERED: Final = 3
"""Units that are drawn over the table, and units whose frames are shown."""


@section("memory-split")
def memory_split(material: Material) -> Section:
    """How much of the action comes through the last MLP."""
    split = split_action(material.act, material.sample.batch(material.policy, material.rows(_LOOKS)))
    parts = {"around it (skip)": split.skip, "through the MLP": split.mlp, "constant": split.constant}
    around = split.action - split.action.mean(axis=0)
    variance = (around**2).sum(axis=(0, 1))
    explained = {
        name: ((values - values.mean(axis=0)) * around).sum(axis=(0, 1)) / np.maximum(variance, 1e-12)
        for name, values in parts.items()
    }
    joints = list(spec.JOINTS)
    rows = [{"joint": joint, **{name: float(v[n]) for name, v in explained.items()}} for n, joint in enumerate(joints)]
    with new_figure(7.5, 3.2) as figure:
        axes = figure.subplots()
        for number, (name, values) in enumerate(explained.items()):
            axes.bar(
                np.arange(len(joints)) + 0.27 * (number - 1), values, 0.25, color=POLICY_COLOURS[number], label=name
            )
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.set_xticks(np.arange(len(joints)), [joint.replace("_", "\n") for joint in joints])
        axes.set_ylabel("part of the variation")
        figure.legend(loc="outside upper center", ncols=3)
    whole = {
        name: float(((v - v.mean(axis=0)) * around).sum() / max(float(variance.sum()), 1e-12))
        for name, v in parts.items()
    }
    return Section(
        "How much does its last memory decide?",
        f"{percent(whole['through the MLP'])} of how its actions differ between observations comes through the"
        f" decoder’s MLP, {percent(whole['around it (skip)'])} around it.",
        [
            Text(
                "The decoder’s MLP can be read as a memory: each of its units answers to a pattern and adds something"
                " to the action when it does. Behind it there is nothing but scaling and a linear map, so that every"
                " action is exactly a sum of what came through the MLP, what came around it, and a constant."
            ),
            material.picture(
                "memory-split",
                figure,
                rows,
                "Part of each joint's variation that comes through the MLP, around it, and as a constant.",
                f"The parts sum to 1 for each joint; the action is put together again to {split.error:.0e}.",
            ),
            Text(
                "Parts can be negative or above 1 where two paths work against each other. That something passes"
                " through a memory does not make it a lookup table: see the next section.",
                small=True,
            ),
        ],
    )


@section("units")
def units(material: Material) -> Section:
    """What activates the MLP's units: moments, positions on the table, episodes."""
    sample, table, site = material.sample, material.table, material.last("mlp")
    answers = unit_activations(material.act, sample.batches(material.policy), site)
    over_table = unit_activations(material.act, table.batches(material.policy), site)
    groups = np.arange(len(table))
    scores = field_scores(over_table.mean, table.xy, groups)
    untrained = unit_activations(random_weights(material.act, material.seed), table.batches(material.policy), site)
    smooth = field_scores(untrained.mean, table.xy, groups)
    served = episode_spread(answers.mean, sample.episode)
    episodes = len(served.episodes)
    alive = np.flatnonzero(np.isfinite(served.effective))
    # Those that vary most with the cube's position, the arm at rest.
    loudest = np.argsort(-over_table.mean.std(axis=0), kind="stable")[:_FIELDS]
    fields, drawn = unit_fields(over_table.mean, table.xy, loudest, scores)
    spread, rows = unit_histogram(served.effective, f"episodes served, of {episodes}")
    known, plain = (float(np.mean(each[np.isfinite(each)] > 0.5)) if np.isfinite(each).any() else float("nan")
                    for each in (scores, smooth))  # fmt: skip
    few = float(np.mean(served.effective[alive] < 0.2 * episodes)) if len(alive) else float("nan")
    first = triggers(answers, min(4, len(sample)))
    return Section(
        "Does it remember episodes, or places?",
        f"{percent(few)} of the {len(alive)} units that ever answer do so in fewer than a fifth of the {episodes}"
        f" episodes; for {percent(known)} most of the answer follows smoothly from where the cube lies"
        f" ({percent(plain)} in a network with random weights).",
        [
            Text(
                "A unit of a lookup table would answer to one place or one episode. A unit that has learnt the"
                " table’s geometry changes smoothly over it, so that its answer at one place can be told from those at"
                " others. Here are the units that change most while the cube is drawn all over the work area, the arm"
                " at rest; seen as by the top camera, crosses where it lay in training (bright: a large answer)."
            ),
            material.picture("fields", fields, drawn, "Answers of eight units over the table.",
                             "R²: how well the answer is told at places left out, by a cubic surface through the"
                             " others."),
            Text("Over how many episodes each unit’s answers spread (as if it served so many alike):"),
            material.picture("episodes-served", spread, rows, "How many episodes each unit serves.",
                             f"Mean over the slots of the chunk, {len(sample)} observations.", wide=False),
            Text("And the moments at which three of these units answer most:"),
            _moments(material, first, loudest[:_TRIGGERED]),
        ],
    )  # fmt: skip


def _moments(material: Material, first: Triggers, chosen: Any) -> Picture:
    """The frames with the largest activations of units."""
    sample = material.sample
    columns = first.frame.shape[1]
    rows: list[dict[str, Any]] = []
    with new_figure(2.0 * columns, 1.75 * len(chosen)) as figure:
        panels = figure.subplots(len(chosen), columns, squeeze=False)
        for line, unit in zip(panels, chosen, strict=True):
            for axes, frame, answer in zip(line, first.frame[unit], first.answer[unit], strict=True):
                axes.imshow(sample.pixels[frame, 0])
                axes.set_axis_off()
                episode, step = int(sample.episode[frame]), int(sample.step[frame])
                axes.set_title(f"unit {unit}\nepisode {episode}, step {step}", fontsize=8, fontweight="normal")
                rows.append({"unit": int(unit), "episode": episode, "step": step, "answer": float(answer)})
    alt = "The frames to which three units answer most."
    return material.picture("triggers", figure, rows, alt, f"The {spec.CAMERAS[0]} view, strongest first.")
