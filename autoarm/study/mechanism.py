"""Does a chunk follow the cube through the decoder's MLP, or through the skip connection around it?"""

from __future__ import annotations

import numpy as np

from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.memory_units import episode_spread, field_scores, unit_activations
from autoarm.interp.methods.slope import split_slopes
from autoarm.interp.observations.rendered import action_scale
from autoarm.study.aim import Aim
from autoarm.study.behaviour import at_place
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import Workspace

_LEAST_BETA = 0.05
"""Smallest total β of which shares are computed."""


def mechanism(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """β of the skip connection, the MLP and the biases at each place; Γ; and what the MLP's units respond to."""
    policy = workspace.policy(unit.recipe, unit.seed)
    dataset = workspace.study.arms[unit.recipe].dataset
    pairs = workspace.paired_observations(dataset)
    split = split_action(policy.policy, pairs.frames.batch(policy))
    aim = Aim(pairs, action_scale(policy))
    parts = {"skip": split.skip, "mlp": split.mlp, "constant": split.constant, "all": split.action}
    changes = {name: aim.change(values[pairs.position] - values[pairs.nearest]) for name, values in parts.items()}
    each = {name: found.each for name, found in split_slopes(changes, aim.wanted, draws=0).items()}

    rows = [unit.row("split_error", {}, split.error)]
    beta: dict[str, dict[str, float | None]] = {}
    for place in dict.fromkeys(pairs.places):
        chosen = at_place(pairs, place)
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
    return rows + _unit_responses(workspace, unit)


def _unit_responses(workspace: Workspace, unit: Unit) -> list[Row]:
    """How smoothly the MLP's units respond to the cube's position, and in how many demonstrations each is active."""
    policy = workspace.policy(unit.recipe, unit.seed)
    dataset = workspace.study.arms[unit.recipe].dataset
    scenes, _ = workspace.scenes(dataset)
    answers = unit_activations(policy.policy, scenes.batches(policy)).mean
    scores = field_scores(answers, scenes.xy, np.arange(len(scenes)))
    sample = workspace.sample(policy, dataset)
    served = episode_spread(unit_activations(policy.policy, sample.batches(policy)).mean, sample.episode)
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
