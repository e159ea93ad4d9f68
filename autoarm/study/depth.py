"""Where in the network the cube's place takes effect: causal tracing, and decoding after each encoder layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoarm.interp.methods.lens import action_lens
from autoarm.interp.methods.tracing import trace
from autoarm.interp.methods.translator import fit_translators
from autoarm.study.behaviour import at_place
from autoarm.study.probing import take_rows
from autoarm.study.rows import Row
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace


def tracing(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Replace activations, one place in the network at a time, by those with the cube at another position."""
    policy = workspace.policy(unit.recipe, unit.seed)
    pairs = workspace.paired_observations(workspace.study.arms[unit.recipe].dataset)
    batch = pairs.frames.batch(policy)
    rows = []
    for place in dict.fromkeys(pairs.places):
        chosen = at_place(pairs, place)
        clean: dict[str, Any] = {name: take_rows(value, pairs.nearest[chosen]) for name, value in batch.items()}
        source: dict[str, Any] = {name: take_rows(value, pairs.position[chosen]) for name, value in batch.items()}
        for row in trace(policy.policy, clean, source).rows():
            at = {"place": place, "layer": row["layer"], "tokens": row["tokens"], "part": row["part"]}
            rows.append(unit.row("effect", at, row["effect"]))
    return rows


def lens(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Distance between the policy's chunk and the chunk decoded after each number of encoder layers."""
    policy = workspace.policy(unit.recipe, unit.seed)
    dataset = workspace.study.arms[unit.recipe].dataset
    pairs = workspace.paired_observations(dataset)
    translators = fit_translators(policy.policy, workspace.sample(policy, dataset).batches(policy))
    found = action_lens(policy.policy, pairs.frames.batch(policy), translators)
    rows = []
    for place in dict.fromkeys(pairs.places):
        numbers = np.unique(pairs.position[at_place(pairs, place)])
        for metric, translated in (("distance", False), ("distance_translated", True)):
            values = found.distance(translated=translated)[:, numbers].mean(axis=1)
            rows += [
                unit.row(metric, {"place": place, "layers": layers}, value)
                for layers, value in zip(found.layers, values, strict=True)
            ]
    return rows
