"""Where in the network the cube's place is decided on: causal tracing, and decoding after each encoder layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoarm.interp.methods.lens import action_lens
from autoarm.interp.methods.tracing import trace
from autoarm.interp.methods.translator import fit_translators
from autoarm.study.behaviour import at_place
from autoarm.study.probing import rows_of
from autoarm.study.rows import Row
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace


def tracing(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Values seen with the cube elsewhere, put in one place at a time."""
    policy = workspace.policy(unit.arm, unit.seed)
    looks = workspace.looks(workspace.study.arms[unit.arm].dataset)
    batch = looks.frames.batch(policy)
    rows = []
    for place in dict.fromkeys(looks.places):
        chosen = at_place(looks, place)
        clean: dict[str, Any] = {name: rows_of(value, looks.there[chosen]) for name, value in batch.items()}
        source: dict[str, Any] = {name: rows_of(value, looks.here[chosen]) for name, value in batch.items()}
        for row in trace(policy.policy, clean, source).rows():
            at = {"place": place, "layer": row["layer"], "tokens": row["tokens"], "part": row["part"]}
            rows.append(unit.row("effect", at, row["effect"]))
    return rows


def lens(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """How far what is decoded after so many encoder layers is from the policy's chunk, at each place."""
    policy = workspace.policy(unit.arm, unit.seed)
    dataset = workspace.study.arms[unit.arm].dataset
    looks = workspace.looks(dataset)
    translators = fit_translators(policy.policy, workspace.sample(policy, dataset).batches(policy))
    found = action_lens(policy.policy, looks.frames.batch(policy), translators)
    rows = []
    for place in dict.fromkeys(looks.places):
        numbers = np.unique(looks.here[at_place(looks, place)])
        for metric, translated in (("distance", False), ("distance_translated", True)):
            values = found.distance(translated=translated)[:, numbers].mean(axis=1)
            rows += [
                unit.row(metric, {"place": place, "layers": layers}, value)
                for layers, value in zip(found.layers, values, strict=True)
            ]
    return rows
