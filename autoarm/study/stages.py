"""The stages of a study: what each measures, of whom, and in which pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from autoarm.study.plan import Stage
from autoarm.study.rows import Row
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace

Measure = Callable[[Workspace, Unit, list[Row]], list[Row]]
"""Rows of a unit; given, besides, those that the stage has of the same policy already."""


@dataclass(frozen=True)
class StagePlan:
    """A stage.

    Attributes:
        about: What it does, for people.
        of: `all` arms, those that are `trained`, `deciding` ones, which a hypothesis names, or `everybody`, the
            controls included.
    """

    about: str
    of: Literal["all", "trained", "deciding", "everybody"]


STAGES: Final[dict[Stage, StagePlan]] = {
    "train": StagePlan("policies from demonstrations, a seed after the other", "all"),
    "behaviour": StagePlan("does the chunk follow the cube, or copy a demonstration", "everybody"),
    "mechanism": StagePlan("the same, split at the decoder's MLP", "trained"),
    "probes": StagePlan("what a straight line reads off the features", "all"),
    "steering": StagePlan("does the action follow what a probe is made to read", "trained"),
    "attention": StagePlan("how many tokens carry the attention", "all"),
    "absorption": StagePlan("by which tokens the arm's state travels", "trained"),
    "tracing": StagePlan("which layer, token and part carries the cube's place", "trained"),
    "lens": StagePlan("after how many layers the action is there", "trained"),
    "finetune": StagePlan("parts trained on new positions, in closed loop", "deciding"),
    "knockouts": StagePlan("parts taken out, in closed loop", "deciding"),
}


def units(workspace: Workspace, stage: Stage) -> Iterator[Unit]:
    """The pieces of a stage, in the order in which they build on each other."""
    study, effort = workspace.study, workspace.effort
    deciding = {each.arm for each in study.hypotheses.values()}
    of = STAGES[stage].of
    if of == "everybody":
        yield from (Unit(name, 0) for name in study.controls)
    # Seed by seed: a run that is stopped has something to say of every arm.
    for seed in range(effort.seeds):
        for name in effort.arms:
            arm = study.arms[name]
            if seed >= arm.seeds or (of in ("trained", "deciding") and arm.backbone == "untrained"):
                continue
            if of == "deciding" and name not in deciding:
                continue
            yield from (Unit(name, seed, variant) for variant in _variants(workspace, stage, name, seed))


def _variants(workspace: Workspace, stage: Stage, arm: str, seed: int) -> list[dict[str, str | int | float]]:
    from autoarm.study import closed_loop

    if stage == "finetune":
        return closed_loop.finetune_variants(workspace, seed)
    if stage == "knockouts":
        layers = int(workspace.config(arm, seed).policy["n_encoder_layers"])
        return closed_loop.knockout_variants(layers)[: workspace.effort.parts + 1]
    return [{}]


def waves(units: Sequence[Unit]) -> list[list[Unit]]:
    """Units that need nothing of each other, in groups: each group needs at most what is in those before it."""
    from autoarm.study.closed_loop import rank

    ranks = sorted({rank(unit) for unit in units})
    return [[unit for unit in units if rank(unit) == each] for each in ranks]


@cache
def measure(stage: Stage) -> Measure:
    """The function of a stage; the libraries that it needs are loaded only now."""
    from autoarm.study import behaviour, closed_loop, depth, mechanism, probing, tokens

    found: dict[Stage, Measure] = {
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
    """Make sure that a policy is there; which one it is, by the digest of its weights."""
    record = workspace.policy(unit.arm, unit.seed).describe()
    steps = workspace.config(unit.arm, unit.seed).steps
    return [unit.row("steps", {"weights": (record.sha256 or "")[:16]}, steps)]
