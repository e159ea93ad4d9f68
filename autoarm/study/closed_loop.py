"""Success in whole episodes after a part of the network was removed, or trained on new positions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from autoarm.study.plan import Point
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import FINETUNING, Workspace

if TYPE_CHECKING:
    from autoarm.policies.protocol import Policy
    from autoarm.training.finetune import Finetuner

Kind = Literal["zero", "mean", "resample"]

NONE: Final = "none"
"""Name in rows of the policy that was not changed, to compare with."""
ABOVE: Final = "above-encoder-mlps"
"""Name in rows of the comparison of fine-tuned parts with each other."""
_TUNED: Final = "decoder-mlp"
_DECODER: Final = "decoder.0.mlp"


def rank(unit: Unit) -> int:
    """Order of work: 0 for the unchanged policy, 2 for what compares other units, 1 for the rest."""
    return {NONE: 0, ABOVE: 2}.get(str(unit.variant.get("part")), 1)


# -- Knockouts ---------------------------------------------------------------------------------------------------------


def knockout_variants(layers: int) -> list[dict[str, Any]]:
    """The unchanged policy; then without the decoder's MLP in each way, each encoder MLP, and the state's token."""
    kinds: list[Kind] = list(get_args(Kind))
    parts: list[tuple[str, Kind | Literal["none"]]] = [(NONE, NONE)]
    parts += [(_DECODER, kind) for kind in kinds]
    parts += [(f"encoder.{number}.mlp", "mean") for number in range(layers)]
    return [{"part": part, "kind": kind} for part, kind in [*parts, ("state token", "mean")]]


def knockouts(workspace: Workspace, unit: Unit, done: list[Row]) -> list[Row]:
    """Success of a policy with one part removed, on the same episodes as before."""
    dataset = workspace.study.arms[unit.recipe].dataset
    held = workspace.study.held_out(dataset)
    places: dict[str, list[Point]] = {"trained": list(workspace.study.datasets[dataset].spots)}
    for place in ("inside", "outside"):
        if points := [point for point, at in held if at == place]:
            places[place] = points
    policy = _without(workspace, unit)
    before = {
        place: mean_or_none([row.value for row in done if row.value is not None and _is_intact(row, place)])
        for place in places
    }
    rows = []
    for place, points in places.items():
        episodes = workspace.episodes(place, points, workspace.effort.episodes)
        successes = workspace.successes(policy, episodes)
        rows += _success_rows(unit, place, successes)
        if before[place]:
            rows.append(unit.row("kept_success", {"place": place}, _rate(successes) / (before[place] or 1.0)))
    return rows


def _is_intact(row: Row, place: str) -> bool:
    conditions = {"part": NONE, "place": place}
    return row.metric == "success" and row.meets(conditions)


def _without(workspace: Workspace, unit: Unit) -> Any:
    from autoarm.interp.methods.edited_policy import Ablate, EditedPolicy
    from autoarm.interp.methods.knockout import Part, state_token
    from autoarm.interp.model.capture import capture

    policy = workspace.policy(unit.recipe, unit.seed)
    name = str(unit.variant["part"])
    if name == NONE:
        return policy
    part = state_token(policy.policy) if name == "state token" else Part(name, name)
    sample = workspace.sample(policy, workspace.study.arms[unit.recipe].dataset)
    reference = capture(policy.policy, sample.batches(policy), [part.site])[part.site]
    kind = next(kind for kind in get_args(Kind) if kind == unit.variant["kind"])
    checkpoint = str(workspace.checkpoint(unit.recipe, unit.seed))
    return EditedPolicy(checkpoint, [Ablate(part, kind, reference)], image_size=workspace.effort.image_size)


# -- Fine-tuning -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tuning:
    """One run of fine-tuning, with the numbers of the study's file; a smaller effort scales them down."""

    part: str
    demonstrations: int
    steps: int


def tunings(workspace: Workspace, seed: int) -> Iterator[Tuning]:
    """The fine-tuning runs of a seed, in order, without repetitions."""
    seen: set[Tuning] = set()
    for grid in workspace.study.finetuning.grids:
        if seed >= grid.seeds:
            continue
        for part in grid.parts[: workspace.effort.parts]:
            for demonstrations in grid.demonstrations:
                for steps in grid.steps:
                    tuning = Tuning(part, demonstrations, steps)
                    if tuning not in seen:
                        seen.add(tuning)
                        yield tuning


def finetune_variants(workspace: Workspace, seed: int) -> list[dict[str, Any]]:
    """The unchanged policy, every fine-tuning run, and the comparison of parts."""
    runs = [
        {"part": tuning.part, "demonstrations": tuning.demonstrations, "steps": tuning.steps}
        for tuning in tunings(workspace, seed)
    ]
    return [{"part": NONE}, *runs, {"part": ABOVE}]


def finetune(workspace: Workspace, unit: Unit, done: list[Row]) -> list[Row]:
    """Train a part on the new positions, and measure success there, at the old spots, and at third positions."""
    own = [row for row in done if row.value is not None]
    part = str(unit.variant["part"])
    if part == ABOVE:
        return list(_above_encoder_mlps(unit, own))
    if part == NONE:
        return list(_places(workspace, unit, workspace.policy(unit.recipe, unit.seed), own))
    return list(_tuned(workspace, unit, own))


@contextmanager
def tuned(workspace: Workspace, unit: Unit) -> Iterator[tuple[Finetuner, list[float], Policy]]:
    """The fine-tuner after its run, the loss of every step, and the policy with a part trained on the new positions."""
    from autoarm.policies.lerobot import LeRobotPolicy
    from autoarm.training.checkpoint import save_policy
    from autoarm.training.config import Phase
    from autoarm.training.finetune import FinetuneConfig, Finetuner

    plan, effort = workspace.study.finetuning, workspace.effort
    wanted = workspace.demonstrations(FINETUNING)
    there = wanted.episodes_per_spot * len(wanted.spots)
    steps = max(1, round(int(unit.variant["steps"]) * effort.finetune_steps))
    config = FinetuneConfig(
        parts=(str(unit.variant["part"]),),
        training=Phase(steps, plan.batch_size, plan.learning_rate, warmup=min(20, steps)),
        demonstrations=min(there, int(unit.variant["demonstrations"])),
        seed=unit.seed,
    )
    workspace.say(f"fine-tuning {unit.name}")
    tuner = Finetuner(workspace.checkpoint(unit.recipe, unit.seed), workspace.dataset(FINETUNING), config)
    losses = tuner.run()
    with tempfile.TemporaryDirectory(dir=workspace.folder) as temporary:
        folder = Path(temporary) / "tuned"
        save_policy(folder, tuner.policy, tuner.processors)
        yield tuner, losses, LeRobotPolicy(folder, "cpu", effort.image_size)


def _tuned(workspace: Workspace, unit: Unit, own: Sequence[Row]) -> Iterator[Row]:
    with tuned(workspace, unit) as (tuner, losses, policy):
        yield unit.row("parameters", {}, tuner.count)
        yield unit.row("samples_per_second", {}, tuner.samples_per_second)
        for step in sorted({0, len(losses) // 4, len(losses) // 2, len(losses) - 1}):
            yield unit.row("loss", {"step": step}, losses[step])
        yield from _places(workspace, unit, policy, own)


def finetuning_places(workspace: Workspace, recipe: str) -> dict[str, list[Point]]:
    """Where a fine-tuned policy is tested: at the new positions, at those of the first training, and at third ones."""
    plan = workspace.study.finetuning
    old = list(workspace.study.datasets[workspace.study.arms[recipe].dataset].spots)
    return {"tuned": plan.tuned, "old": old, "third": plan.third}


def _places(workspace: Workspace, unit: Unit, policy: Policy, own: Sequence[Row]) -> Iterator[Row]:
    for place, points in finetuning_places(workspace, unit.recipe).items():
        episodes = workspace.episodes(place, points, workspace.effort.finetune_episodes)
        successes = workspace.successes(policy, episodes)
        yield from _success_rows(unit, place, successes)
        before = mean_or_none([row.value for row in own if _is_intact(row, place) and row.value is not None])
        if before is not None:
            yield unit.row("gain", {"place": place}, _rate(successes) - before)


def _above_encoder_mlps(unit: Unit, own: Sequence[Row]) -> Iterator[Row]:
    """Success of the decoder's MLP minus the mean of the encoder MLPs, with equal demonstrations and steps."""
    tuned = [row for row in own if row.metric == "success" and row.at["part"] == _TUNED]
    for place in dict.fromkeys(row.at["place"] for row in tuned):
        found = []
        for row in own:
            if row.metric == "success" and str(row.at["part"]).startswith("encoder-mlp-") and row.at["place"] == place:
                found.append(row)
        alike = {(row.at["demonstrations"], row.at["steps"]) for row in found}
        mine = [
            row.value
            for row in tuned
            if row.at["place"] == place
            and row.value is not None
            and (row.at["demonstrations"], row.at["steps"]) in alike
        ]
        theirs = mean_or_none([row.value for row in found if row.value is not None])
        ours = mean_or_none(mine)
        if ours is not None and theirs is not None:
            yield unit.row("above_encoder_mlps", {"place": place}, ours - theirs)
    if not tuned:
        yield unit.row("above_encoder_mlps", {"place": "tuned"}, None)


def _success_rows(unit: Unit, place: str, successes: Sequence[bool]) -> list[Row]:
    return [
        unit.row("success", {"place": place, "index": index}, float(success)) for index, success in enumerate(successes)
    ]


def _rate(successes: Sequence[bool]) -> float:
    return sum(successes) / len(successes)
