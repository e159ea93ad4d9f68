"""Which tokens get the decoder's attention, and through which tokens the arm's state reaches the action."""

from __future__ import annotations

from typing import Any, Final

from autoarm.interp.methods.absorption import absorption as absorbed
from autoarm.interp.methods.absorption import responsive_share, state_in_pixels
from autoarm.interp.methods.probes import control_rows
from autoarm.interp.methods.summary import effective_tokens, shares
from autoarm.interp.methods.token_mask import mask_tokens
from autoarm.interp.model.capture import capture
from autoarm.interp.model.tokens import token_layout
from autoarm.study.rows import Row
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace
from gym_autoarm.rng import stream

SHARES: Final = (0.1, 0.2, 0.5)
"""Shares of the tokens that the decoder may still attend to."""
_WEIGHTS: Final = "decoder.0.cross_attention.weights"


def attention(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Over how many tokens the decoder's attention is spread, and whether the most attended ones suffice."""
    policy, batch = _shown(workspace, unit)
    layout = token_layout(policy.policy, batch)
    weights = capture(policy.policy, [batch], [_WEIGHTS])[_WEIGHTS].values
    effective = effective_tokens(weights)
    rows = [
        unit.row("tokens", {}, layout.size),
        unit.row("effective_tokens", {}, float(effective.mean())),
        unit.row("effective_share", {}, float(effective.mean()) / layout.size),
    ]
    rows += [
        unit.row("attention_share", {"tokens": name}, float(value.mean()))
        for name, value in shares(weights, layout).items()
    ]
    counts = {share: max(1, round(share * layout.size)) for share in SHARES}
    rng = stream(unit.seed, workspace.study.name, "attention", unit.recipe)
    masked = mask_tokens(policy.policy, batch, sorted(set(counts.values())), rng, workspace.effort.draws)
    found = {row["tokens"]: row for row in masked.rows()}
    for share, count in counts.items():
        row = found[count]
        names = ("attention", "keep top", "keep random", "hide top", "hide random")
        rows += [unit.row(name.replace(" ", "_"), {"share": share}, row[name]) for name in names]
        ratio = row["keep top"] / row["keep random"] if row["keep random"] > 0 else None
        rows.append(unit.row("top_to_random", {"share": share}, ratio))
    return rows


def absorption(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Give each frame the arm's state of another episode: through which tokens does it reach the chunk?"""
    policy, batch = _shown(workspace, unit)
    sample = workspace.sample(policy, workspace.study.arms[unit.recipe].dataset)
    rng = stream(unit.seed, workspace.study.name, "absorption", unit.recipe)
    states = batch["observation.state"].double().cpu().numpy()[control_rows(sample.episode, rng)]
    found = absorbed(policy.policy, batch, states)
    rows = [unit.row("used", {}, responsive_share(found)), unit.row("total", {}, float(found.total.mean()))]
    rows += [unit.row(name, {}, value) for name, value in found.means().items()]
    scores = state_in_pixels(policy.policy, batch, states, sample.episode)
    for site, (given, own) in scores.items():
        rows += [
            unit.row("state_r2", {"site": site, "state": "given"}, given),
            unit.row("state_r2", {"site": site, "state": "shown"}, own),
        ]
    return rows


def _shown(workspace: Workspace, unit: Unit) -> tuple[Any, dict[str, Any]]:
    policy = workspace.policy(unit.recipe, unit.seed)
    sample = workspace.sample(policy, workspace.study.arms[unit.recipe].dataset)
    return policy, sample.batch(policy)
