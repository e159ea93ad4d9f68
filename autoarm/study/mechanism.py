"""Through which part of the decoder a chunk follows the cube: through the MLP, or around it."""

from __future__ import annotations

import numpy as np

from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.memory_units import episodes_served, field_scores, unit_answers
from autoarm.interp.methods.slope import split_slopes
from autoarm.interp.observations.rendered import action_scale
from autoarm.study.aim import Aim
from autoarm.study.behaviour import at_place
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import Workspace

_LEAST_BETA = 0.05
"""Below which a share of beta is a share of nothing."""


def mechanism(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Beta of the skip, the MLP and the biases at each place; gamma; and what the MLP's units answer to."""
    policy = workspace.policy(unit.arm, unit.seed)
    dataset = workspace.study.arms[unit.arm].dataset
    looks = workspace.looks(dataset)
    split = split_action(policy.policy, looks.frames.batch(policy))
    aim = Aim(looks, action_scale(policy))
    parts = {"skip": split.skip, "mlp": split.mlp, "constant": split.constant, "all": split.action}
    changes = {name: aim.change(values[looks.here] - values[looks.there]) for name, values in parts.items()}
    each = {name: found.each for name, found in split_slopes(changes, aim.wanted, draws=0).items()}

    rows = [unit.row("split_error", {}, split.error)]
    beta: dict[str, dict[str, float | None]] = {}
    for place in dict.fromkeys(looks.places):
        chosen = at_place(looks, place)
        beta[place] = {name: mean_or_none(values[chosen]) for name, values in each.items()}
        rows += [unit.row("beta", {"part": name, "place": place}, value) for name, value in beta[place].items()]
        total = beta[place]["all"]
        for name in ("skip", "mlp", "constant"):
            own = beta[place][name]
            share = own / total if own is not None and total is not None and abs(total) >= _LEAST_BETA else None
            rows.append(unit.row("share", {"part": name, "place": place}, share))
    held_out = [place for place in beta if place != "trained"] if "trained" in beta else []
    for where in held_out:
        gamma = {name: _difference(beta["trained"][name], beta[where][name]) for name in beta[where]}
        rows += [unit.row("gamma", {"part": name, "place": where}, value) for name, value in gamma.items()]
        rows.append(unit.row("gamma_above_skip", {"place": where}, _difference(gamma["mlp"], gamma["skip"])))
    return rows + _memories(workspace, unit)


def _memories(workspace: Workspace, unit: Unit) -> list[Row]:
    """Whether units answer smoothly to where the cube lies, and over how many demonstrations their answers spread."""
    policy = workspace.policy(unit.arm, unit.seed)
    dataset = workspace.study.arms[unit.arm].dataset
    scenes, _ = workspace.scenes(dataset)
    answers = unit_answers(policy.policy, scenes.batches(policy)).mean
    scores = field_scores(answers, scenes.xy, np.arange(len(scenes)))
    sample = workspace.sample(policy, dataset)
    served = episodes_served(unit_answers(policy.policy, sample.batches(policy)).mean, sample.episode)
    effective = served.effective[np.isfinite(served.share).all(axis=1)]
    finite = scores[np.isfinite(scores)]
    return [
        unit.row("unit_field_r2", {}, float(np.median(finite)) if finite.size else None),
        unit.row("unit_field_live", {}, finite.size / scores.size),
        unit.row(
            "unit_episodes_share", {}, float(np.median(effective)) / len(served.episodes) if effective.size else None
        ),
    ]


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
