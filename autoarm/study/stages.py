"""The stages of a study: what each measures, on which policies, and in which units of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from autoarm.study.plan import Stage
from autoarm.study.rows import Row
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace

StageFunction = Callable[[Workspace, Unit, list[Row]], list[Row]]
"""Measures a unit; its last argument is the rows that the stage already has of the same policy."""


@dataclass(frozen=True)
class StagePlan:
    """What a stage measures, and on which policies.

    Attributes:
        about: What it measures, as the report says it.
        covers: `all` recipes, those that are `trained`, those that are `deciding`, which a hypothesis names, or
            `everybody`: all recipes and all controls.
    """

    about: str
    covers: Literal["all", "trained", "deciding", "everybody"]


STAGES: Final[dict[Stage, StagePlan]] = {
    "train": StagePlan("trains the policies, one seed after the other", "all"),
    "behaviour": StagePlan("does the chunk follow the cube, or copy a demonstration", "everybody"),
    "mechanism": StagePlan("the same, through the decoder's MLP and around it", "trained"),
    "probes": StagePlan("what linear probes read from the features", "all"),
    "steering": StagePlan("does the action follow what a probe is made to read", "trained"),
    "attention": StagePlan("over how many tokens the attention is spread", "all"),
    "absorption": StagePlan("through which tokens the arm's state reaches the action", "trained"),
    "tracing": StagePlan("which layer, token and part carries the cube's place", "trained"),
    "lens": StagePlan("after how many encoder layers the action can be decoded", "trained"),
    "finetune": StagePlan("success after training one part on new positions", "deciding"),
    "knockouts": StagePlan("success with one part removed", "deciding"),
}


def units(workspace: Workspace, stage: Stage) -> Iterator[Unit]:
    """The units of a stage, in order: each comes after those whose rows it needs."""
    study, effort = workspace.study, workspace.effort
    deciding = {each.arm for each in study.hypotheses.values()}
    covers = STAGES[stage].covers
    if covers == "everybody":
        yield from (Unit(name, 0) for name in study.controls)
    # Seed by seed: a run that is stopped has something to say of every recipe.
    for seed in range(effort.seeds):
        for name in effort.arms:
            recipe = study.arms[name]
            if seed >= recipe.seeds or (covers in ("trained", "deciding") and recipe.backbone == "untrained"):
                continue
            if covers == "deciding" and name not in deciding:
                continue
            yield from (Unit(name, seed, variant) for variant in _variants(workspace, stage, name, seed))


def _variants(workspace: Workspace, stage: Stage, recipe: str, seed: int) -> list[dict[str, str | int | float]]:
    from autoarm.study import closed_loop

    if stage == "finetune":
        return closed_loop.finetune_variants(workspace, seed)
    if stage == "knockouts":
        layers = int(workspace.config(recipe, seed).policy["n_encoder_layers"])
        return closed_loop.knockout_variants(layers)[: workspace.effort.parts + 1]
    return [{}]


def waves(units: Sequence[Unit]) -> list[list[Unit]]:
    """Units in groups: a unit needs at most the rows of earlier groups, so that a group can run in parallel."""
    from autoarm.study.closed_loop import rank

    ranks = sorted({rank(unit) for unit in units})
    return [[unit for unit in units if rank(unit) == each] for each in ranks]


@cache
def measure(stage: Stage) -> StageFunction:
    """The function that measures a stage; the libraries that it needs are imported here."""
    from autoarm.study import behaviour, closed_loop, depth, mechanism, probing, tokens

    found: dict[Stage, StageFunction] = {
        "train": train,
        "behaviour": behaviour.behaviour,
        "mechanism": mechanism.mechanism,
        "probes": probing.probes,
        "steering": probing.steering,
        "attention": tokens.attention,
        "absorption": tokens.absorption,
        "tracing": depth.tracing,
        "lens": depth.lens,
        "finetune": closed_loop.finetune,
        "knockouts": closed_loop.knockouts,
    }
    return found[stage]


def train(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Train a policy if it is missing; the row holds its steps and the digest of its weights."""
    record = workspace.policy(unit.recipe, unit.seed).describe()
    steps = workspace.config(unit.recipe, unit.seed).steps
    return [unit.row("steps", {"weights": (record.sha256 or "")[:16]}, steps)]
