"""By which way the arm's state reaches the action: by its own token, or by pixel tokens that have absorbed it.

The policy is shown the same frames with another state. How much of the action's change goes with the state token at the
encoder's output is its direct effect; how much with the pixel tokens, into which the encoder's attention has carried
it, its indirect effect. A state that the action does not answer to is unused, which is not absorbed: the effects are
NaN there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm.interp.methods.ablation import NOISE, Effects, normalised_effect
from autoarm.interp.methods.probes import group_folds, predict_numbers, project, r_squared
from autoarm.interp.model.cached_backbone import backbone_once
from autoarm.interp.model.capture import Batch, capture
from autoarm.interp.model.intervene import Edit, block, chosen, intervene, replace
from autoarm.interp.model.tokens import STATE, TokenLayout, check_act, token_layout
from gym_autoarm.errors import InvalidInputError

Floats = NDArray[np.float64]

_OUT: Final = "encoder.out"


@dataclass(frozen=True, eq=False)
class Absorption:
    """Effects of another state under the same frames, `(batch,)` each, in shares of the total one.

    Attributes:
        total: Root mean square by which it moves the normalised chunk.
        direct: Through the state token at the encoder's output alone.
        indirect: Through the pixel tokens there alone.
        rest: Through the latent and other tokens there alone.
        blocked: What is left of the change when, in every encoder layer, no other token can look at the state's.
    """

    total: Effects
    direct: Effects
    indirect: Effects
    rest: Effects
    blocked: Effects

    def means(self) -> dict[str, float]:
        """Over the observations that answer to the state at all; NaN if none does."""
        shares = {name: getattr(self, name) for name in ("direct", "indirect", "rest", "blocked")}
        used = np.isfinite(self.direct)
        return {name: float(values[used].mean()) if used.any() else float("nan") for name, values in shares.items()}


def absorption(policy: Any, batch: Batch, states: ArrayLike, together: int = 8) -> Absorption:
    """Give the policy other states with the same frames, and patch what leaves the encoder.

    Args:
        policy: A LeRobot `ACTPolicy` with a state and a camera.
        batch: Observations.
        states: Others, normalised like those of `batch`, `(batch, joint)`.
        together: Most observations in one forward pass, which memory depends on.

    Raises:
        InvalidInputError: If the policy has no state or no camera, or the shapes do not fit.
    """
    layout = token_layout(policy, batch)
    if STATE not in layout.vectors or not layout.grids:
        raise InvalidInputError("a state and a camera are needed", field="policy", cure="choose another policy")
    other = with_states(batch, states)
    parts = []
    for first in range(0, len(batch["observation.state"]), together):
        rows = slice(first, first + together)
        clean, source = ({key: given[key][rows] for key in policy.config.input_features} for given in (batch, other))
        parts.append(_absorption(policy, clean, source, layout))
    return Absorption(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _absorption(policy: Any, clean: Batch, source: Batch, layout: TokenLayout) -> tuple[Effects, ...]:
    state = layout.indices(STATE)
    pixels = np.concatenate([layout.indices(camera) for camera in layout.grids])
    rest = np.setdiff1d(np.arange(layout.size), np.concatenate([state, pixels]))
    others = np.setdiff1d(np.arange(layout.size), state)
    layers = range(len(check_act(policy).model.encoder.layers))
    blocks = {f"encoder.{n}.attention.weights": block({"query": others, "token": state}) for n in layers}
    with backbone_once(policy, clean, source) as (start, goal):
        there = capture(policy, [goal], [_OUT, "action"])
        first = _run(policy, start, {})
        target = there["action"].values
        direct, indirect, other = (
            normalised_effect(first, _run(policy, start, {_OUT: replace(chosen(there[_OUT], at), at)}), target)
            for at in ({"token": tokens} for tokens in (state, pixels, rest))
        )
        # Blocking alone moves the action too; what the state still does is the difference that it makes then.
        left = _run(policy, goal, blocks).astype(np.float64) - _run(policy, start, blocks)
    total = np.sqrt(((target.astype(np.float64) - first) ** 2).mean(axis=(1, 2)))
    blocked = normalised_effect(first, first + left, target)
    return total, direct, indirect, other, blocked


def used(found: Absorption) -> float:
    """Share of the observations in which the action answers to the state at all."""
    return float((found.total >= NOISE).mean())


def with_states(batch: Batch, states: ArrayLike) -> dict[str, Any]:
    """The same observations with other states, `(batch, joint)`."""
    import torch

    old = batch["observation.state"]
    new = torch.as_tensor(states if torch.is_tensor(states) else np.array(states, np.float32)).to(old)
    if new.shape != old.shape:
        raise InvalidInputError(f"shape {tuple(new.shape)}, not {tuple(old.shape)}", field="states")
    return {**batch, "observation.state": new}


def state_in_pixels(
    policy: Any, batch: Batch, states: ArrayLike, groups: ArrayLike, limit: int = 1024
) -> dict[str, tuple[float, float]]:
    """How well the state is read off the pixel tokens, layer by layer: the one that was given, and the one it replaced.

    Args:
        policy: A LeRobot `ACTPolicy`.
        batch: Observations, more than a few.
        states: Given in place of their own, and unrelated to them, `(batch, joint)`.
        groups: Of every observation, such as its episode; kept on one side of the split.
        limit: As in `collect_features`.

    Returns:
        For the encoder's input and the output of each layer, R² of the given and of the replaced states. The second
        is read off the frames, which show the arm.
    """
    own = batch["observation.state"].double().cpu().numpy()
    given = np.asarray(states, np.float64)
    layout = token_layout(policy, batch)
    pixels = np.concatenate([layout.indices(camera) for camera in layout.grids])
    sites = ["tokens.in", *(f"encoder.{n}.out" for n in range(len(check_act(policy).model.encoder.layers)))]
    with backbone_once(policy, with_states(batch, given)) as (shown,):
        found = capture(policy, [shown], sites)
    scores = {}
    folds = group_folds(groups)
    for site, values in found.items():
        features = project(values.values[:, pixels].reshape(len(own), -1), limit)
        predicted = predict_numbers(features, np.concatenate([given, own], axis=1), folds, groups)
        both = r_squared(np.concatenate([given, own], axis=1), predicted)
        scores[site] = float(np.nanmean(both[: own.shape[1]])), float(np.nanmean(both[own.shape[1] :]))
    return scores


def _run(policy: Any, batch: Batch, edits: Mapping[str, Edit]) -> NDArray[np.float32]:
    if not edits:
        return capture(policy, [batch], ["action"])["action"].values
    with intervene(policy, edits):
        return capture(policy, [batch], ["action"])["action"].values
